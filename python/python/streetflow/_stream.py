"""A stream of records: lazy, read once, by any library that reads Arrow."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Any, Literal, NoReturn

from . import _core, _signals
from ._map import PageOptions, make_page
from ._query import Query
from ._run import Run
from .exceptions import StreamConsumedError, UsageError

if TYPE_CHECKING:
    import geopandas as _geopandas  # type: ignore[import-not-found, import-untyped, unused-ignore]
    import pandas as _pandas  # type: ignore[import-not-found, import-untyped, unused-ignore]
    import polars as _polars  # type: ignore[import-not-found, unused-ignore]
    import pyarrow as _pyarrow  # type: ignore[import-not-found, import-untyped, unused-ignore]

    from ._core import Batch, Client, MapPage, Report
    from ._map import _Geometry

    _OnError = Literal["skip", "raise"]


class Stream:
    """Records that are requested while they are read.

    Nothing is requested before the first read. A stream is read once: by an Arrow consumer (`pl.DataFrame(stream)`,
    `pa.table(stream)`, `duckdb.sql("from stream")`), by a method such as `to_polars`, or by iteration over its
    batches, `for batch in stream` or `async for batch in stream`. A second read is a `StreamConsumedError`, because it
    would request everything again.

    Closing it, or dropping it, ends its requests.

    >>> import streetflow as sf
    >>> images = sf.images(bbox=(33.33, 35.15, 33.39, 35.19), client=sf.Sandbox())
    >>> sum(len(batch) for batch in images)
    611
    >>> images.report.gone
    1
    """

    def __init__(
        self,
        kind: str,
        query: Query,
        client: Client,
        on_error: _OnError = "skip",
        progress: bool = False,
        options: dict[str, Any] | None = None,
    ) -> None:
        if on_error not in ("skip", "raise"):
            raise UsageError(f"failed to use `on_error`: it is {on_error!r}", 'use "skip" or "raise"')
        #: The name of the records: `images`, `sequences`, `detections` or `features`.
        self.kind = kind
        #: What the stream selects.
        self.query = query
        #: The counts, while the stream is read and after it.
        self.report: Report = _core.Report(client)
        self._client = client
        #: The query, with what only this kind of records has.
        self._request = query.to_json()
        if options:
            self._request = json.dumps({"query": query.to_dict(), **options})
        _core.check(self._request, kind)
        _signals.expect(self)
        _core.listen()
        self._on_error = on_error
        self._progress = progress
        self._reader: _core.Reader | None = None
        self._taken = False

    @property
    def column_names(self) -> list[str]:
        """The names of the columns.

        >>> import streetflow as sf
        >>> sf.sequences(bbox=(33.33, 35.15, 33.39, 35.19)).column_names
        ['org_id', 'seq_id']
        """
        return _core.column_names(self._request, self.kind)

    def _take(self) -> _core.Reader:
        """Starts the flow, once."""
        self._use()
        run = Run(self.report, self.kind, self._progress)
        self._reader = _core.start(
            self._request, self.kind, self._client, self._on_error == "skip", self.report, run
        )
        return self._reader

    def _use(self) -> None:
        if self._taken:
            raise StreamConsumedError(
                f"failed to read the {self.kind}: the stream was read already",
                f"make another one with `streetflow.{self.kind}(...)`, which requests everything again, or keep the"
                " result of `.to_arrow()`",
            )
        self._taken = True

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """The stream for Arrow consumers. The interface allows to ignore the requested schema."""
        return self._take().capsule()

    def __arrow_c_schema__(self) -> object:
        """The schema for Arrow consumers. It requests nothing."""
        return _core.schema(self._request, self.kind)

    def __iter__(self) -> Iterator[Batch]:
        reader = self._take()
        try:
            while (batch := reader.read()) is not None:
                yield batch
        finally:
            reader.close()

    async def __aiter__(self) -> AsyncIterator[Batch]:
        import asyncio  # It takes longer to import than the rest of the package.

        reader = self._take()
        try:
            # The waiting thread sees no signals: `asyncio` cancels this task instead, and `close` ends the thread.
            while (batch := await asyncio.to_thread(reader.read)) is not None:
                yield batch
        finally:
            reader.close()
            _signals.rest()  # The other thread could not do it.

    def close(self) -> None:
        """Ends the requests. Closing a stream that has ended does nothing.

        >>> import streetflow as sf
        >>> images = sf.images(bbox=(33.33, 35.15, 33.39, 35.19), client=sf.Sandbox())
        >>> images.close()
        """
        self._taken = True
        _signals.forget(self)
        if self._reader is not None:
            self._reader.close()
        _signals.rest()

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _collect(self) -> _core.Collected:
        return self._take().collect()

    def to_arrow(self) -> _pyarrow.Table:
        """Reads the stream into a table of pyarrow.

        >>> import streetflow as sf
        >>> table = sf.images(bbox=(33.33, 35.15, 33.39, 35.19), client=sf.Sandbox()).to_arrow()
        >>> table.num_rows
        611
        """
        import pyarrow  # type: ignore[import-not-found, import-untyped, unused-ignore]

        return pyarrow.table(self._collect())

    def to_polars(self) -> _polars.DataFrame:
        """Reads the stream into a data frame of polars.

        >>> import streetflow as sf
        >>> images = sf.images(bbox=(33.33, 35.15, 33.39, 35.19), fields=["is_pano"], client=sf.Sandbox())
        >>> images.to_polars().shape
        (611, 3)
        """
        import polars  # type: ignore[import-not-found, unused-ignore]

        return polars.DataFrame(self._collect())

    def to_pandas(self) -> _pandas.DataFrame:
        """Reads the stream into a data frame of pandas.

        >>> import streetflow as sf
        >>> images = sf.images(bbox=(33.33, 35.15, 33.39, 35.19), fields=["is_pano"], client=sf.Sandbox())
        >>> list(images.to_pandas())
        ['seq_id', 'img_id', 'is_pano']
        """
        return self.to_arrow().to_pandas()

    def to_geopandas(self) -> _geopandas.GeoDataFrame:
        """Reads the stream into a data frame of GeoPandas, with its geometry and coordinate system.

        The query needs a geometry: the field `geometry` or `computed_geometry`.

        >>> import streetflow as sf
        >>> images = sf.images(bbox=(33.33, 35.15, 33.39, 35.19), fields=["geometry"], client=sf.Sandbox())
        >>> images.to_geopandas().crs.to_string()
        'OGC:CRS84'
        """
        import geopandas  # type: ignore[import-not-found, import-untyped, unused-ignore]

        if "geometry" not in self.column_names:
            raise UsageError(
                f"failed to make a GeoDataFrame: the {self.kind} have no geometry",
                'add the field "geometry" to `fields`',
            )
        return geopandas.GeoDataFrame.from_arrow(self.to_arrow())

    def to_pylist(self) -> list[dict[str, Any]]:
        """Reads the stream into a list of dictionaries. It needs no other package.

        >>> import streetflow as sf
        >>> images = sf.images(bbox=(33.33, 35.15, 33.39, 35.19), fields=["is_pano"], client=sf.Sandbox())
        >>> sorted(images.to_pylist()[0])
        ['img_id', 'is_pano', 'seq_id']
        """
        return [row for batch in self for row in batch.to_pylist()]

    def write(
        self,
        path: str | os.PathLike[str],
        *,
        format: str | None = None,
        compression: str | None = None,
        native_geometry: bool = False,
        rs: bool = False,
    ) -> Report:
        """Writes the stream as a table: CSV, Parquet or GeoJSON, by the extension of the path or by `format`.

        The file is that of the command, and is complete or absent. `path` may be in a bucket: `"s3://bucket/a.parquet"`, also
        `gs://` and `az://`, with credentials from the environment. Returns the counts. `compression` ("zstd:3",
        "snappy", "none") and `native_geometry` are flags of the command for Parquet, `rs` is one for newline-delimited
        GeoJSON.

        >>> import streetflow as sf, tempfile, os
        >>> path = os.path.join(tempfile.mkdtemp(), "images.parquet")
        >>> sf.images(bbox=(33.33, 35.15, 33.39, 35.19), client=sf.Sandbox()).write(path).records
        611
        """
        self._use()
        run = Run(self.report, self.kind, self._progress)
        _core.write(
            self._request,
            self.kind,
            self._client,
            self._on_error == "skip",
            self.report,
            run,
            os.fspath(path),
            format,
            compression,
            native_geometry,
            rs,
        )
        return self.report

    def map(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        title: str | None = None,
        geometry: _Geometry | None = None,
        ids: bool = True,
        basemap: str | None = None,
        basemap_credit: str | None = None,
        pictures: str | os.PathLike[str] | None = None,
    ) -> MapPage:
        """Reads the images onto a map: one HTML page that works offline. A notebook shows the result in a frame.

        This uses up the stream. The page requests what it shows, whatever the fields of the query are. For a table that
        you have already, and for the meaning of the arguments, see `map_page`.

        >>> import streetflow as sf
        >>> page = sf.images(bbox=(33.33, 35.15, 33.39, 35.19), client=sf.Sandbox()).map()
        >>> page
        <streetflow.MapPage of 611 images: .write("map.html") makes a file>
        """
        options = PageOptions(path, title, geometry, ids, basemap, basemap_credit, pictures)
        options.check()
        if self.kind != "images":
            raise UsageError(f"failed to make the map: the stream has {self.kind}, not images")
        self._use()
        skip = self._on_error == "skip"
        images = (self.query.to_json(), None, None)
        return make_page(images, self._client, self.report, options, skip=skip, progress=self._progress)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a streetflow.Stream cannot be pickled: pass its `.query` on, and make a stream of it there")

    def __repr__(self) -> str:
        state = "read" if self._taken else "not read"
        return f"<streetflow.Stream of {self.kind}, {state}: {self.query!r}>"
