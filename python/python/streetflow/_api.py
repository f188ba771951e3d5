"""The functions of the package."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from . import _core
from ._client import ClientLike, get_client
from ._core import Client, MapPage, Report
from ._estimate import Estimate, make_estimate
from ._map import PageOptions, make_page
from ._query import NAMES, Query, _time, make_query
from ._run import Run
from ._source import take_images
from ._stream import Stream
from .exceptions import UsageError

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ._arguments import OfFeatures, OfImages, OfMetadata, OfSequences
    from ._map import _Geometry
    from ._stream import _OnError

_MAX_ZOOM = 14

#: Arguments that select single images, or say what is known of an image.
_OF_IMAGES = ("min_quality", "heading", "make", "model", "every", "clip", "limit", "fields", "geometry", "batch_size")

#: What selects map features, besides their own arguments. Their tiles know no owner and no date of an image.
_OF_FEATURES = ("bbox", "area", "around", "radius", "place", "place_url", "exhaustive", "limit")


def images(
    query: Query | None = None,
    *,
    client: ClientLike = None,
    sandbox: bool = False,
    on_error: _OnError = "skip",
    progress: bool = False,
    **arguments: Unpack[OfMetadata],
) -> Stream:
    """Returns the images of a query with their metadata, as a stream that requests nothing before it is read.

    The keyword arguments are those of `Query`, with the names of the command's flags: `bbox=(west, south, east,
    north)`, `area=` (GeoJSON, a path, or anything with `__geo_interface__`), `around=` with `radius=`, `place=`,
    `user=`, `sequences=` or `images=` (ids), or `features=` (the path of a table of map features, for the images that
    saw them) say where; `org_id`, `exclude_owner`, `from_`, `to`, `pano`, `flat`, `min_quality`, `heading`, `make`,
    `model`, `every`, `limit` and `clip` filter; `fields` names the columns, and `geometry` the point of an image that
    becomes its geometry.

    `client` is a `Client` or a `Sandbox`; without it, the client of this process is used, with the token of
    `MAPILLARY_TOKEN`. `sandbox=True` uses the mock server of this process. With `on_error="skip"`, records that failed
    are left out, counted in `.report`, and told by a `StreetflowWarning`; `"raise"` stops at the first.
    `progress=True` shows a bar.

    >>> import streetflow as sf
    >>> images = sf.images(bbox=(33.33, 35.15, 33.39, 35.19), fields=["captured_at"], pano=True, sandbox=True)
    >>> images.column_names
    ['seq_id', 'img_id', 'captured_at', 'captured_at_raw']
    """
    chosen = make_query(query, arguments, sandbox=sandbox)
    return Stream("images", chosen, get_client(client, sandbox), on_error, progress)


def sequences(
    query: Query | None = None,
    *,
    client: ClientLike = None,
    sandbox: bool = False,
    on_error: _OnError = "skip",
    progress: bool = False,
    **arguments: Unpack[OfSequences],
) -> Stream:
    """Returns the sequences of a query, with the id of their organisation.

    The arguments are those of `images` that say where, and `org_id`, `exclude_owner`, `from_`, `to`, `pano` and `flat`. A
    `Query` may have all of them.

    >>> import streetflow as sf
    >>> sf.sequences(bbox=(33.33, 35.15, 33.39, 35.19), sandbox=True).to_arrow().num_rows
    12
    """
    _refuse("list the sequences", arguments, _OF_IMAGES, "it selects images: use `streetflow.images`")
    chosen = make_query(query, arguments, sandbox=sandbox)
    return Stream("sequences", chosen, get_client(client, sandbox), on_error, progress)


def detections(
    query: Query | None = None,
    *,
    values: str | Iterable[str] | None = None,
    min_area: float | None = None,
    fields: str | Iterable[str] | None = None,
    batch_size: int | None = None,
    client: ClientLike = None,
    sandbox: bool = False,
    on_error: _OnError = "skip",
    progress: bool = False,
    **arguments: Unpack[OfImages],
) -> Stream:
    """Returns the detections in the images of a query: class, shape in the picture, and area.

    `values` are classes, in which `*` stands for any text, such as `"object--sign--*"`. `min_area` is a fraction of the
    picture, `fields` are those of detections, and `batch_size` is the number of images per request, 20 by default. The
    other arguments are those of `images`, and select the images.

    >>> import streetflow as sf
    >>> signs = sf.detections(bbox=(33.33, 35.15, 33.39, 35.19), limit=20, values="object--*", sandbox=True)
    >>> rows = signs.to_pylist()
    >>> bool(rows) and all(row["value"].startswith("object--") for row in rows)
    True
    """
    chosen = make_query(query, arguments, sandbox=sandbox)
    options = {"values": _joined(values), "min_area": min_area, "fields": _joined(fields), "batch_size": batch_size}
    return Stream("detections", chosen, get_client(client, sandbox), on_error, progress, _given(options))


def features(
    query: Query | None = None,
    *,
    kind: str | None = None,
    values: str | Iterable[str] | None = None,
    seen_from: dt.date | str | None = None,
    seen_to: dt.date | str | None = None,
    min_images: int | None = None,
    details: bool = False,
    fields: str | Iterable[str] | None = None,
    client: ClientLike = None,
    sandbox: bool = False,
    on_error: _OnError = "skip",
    progress: bool = False,
    **arguments: Unpack[OfFeatures],
) -> Stream:
    """Returns the map features in an area: traffic signs and objects, each a point with a class.

    The arguments are the flags of `streetflow features`, and `limit`: `bbox`, `area`, `around` with `radius`, or `place`
    say where, `exhaustive` reads every tile, `kind` is "sign" or "object", `values` are classes with `*`,
    `seen_from` and `seen_to` a period, `min_images` the number of images that saw a feature, and `details` adds exact
    coordinates and the images.

    >>> import streetflow as sf
    >>> signs = sf.features(bbox=(33.33, 35.15, 33.39, 35.19), kind="sign", sandbox=True)
    >>> len(signs.to_pylist()) > 0
    True
    """
    others = [name for name in arguments if name not in _OF_FEATURES]
    _refuse("find map features", arguments, others, "it selects images or sequences, and map features are neither")
    chosen = make_query(query, arguments, sandbox=sandbox)
    options = {
        "kind": kind,
        "values": _joined(values),
        "seen_from": None if seen_from is None else _time("seen_from", seen_from),
        "seen_to": None if seen_to is None else _time("seen_to", seen_to),
        "min_images": min_images,
        "details": details or None,
        "fields": _joined(fields),
    }
    return Stream("features", chosen, get_client(client, sandbox), on_error, progress, _given(options))


def _refuse(doing: str, arguments: Mapping[str, Any], names: Iterable[str], why: str) -> None:
    """Refuses arguments that would have no effect. Unknown ones have an error of their own."""
    for name in names:
        if arguments.get(name) is not None and name in (*NAMES, "from"):
            raise UsageError(f"failed to {doing}: `{name}` does not apply", why)


def _joined(texts: str | Iterable[str] | None) -> str | None:
    return texts if texts is None or isinstance(texts, str) else ",".join(texts)


def _given(options: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


def estimate(
    query: Query | None = None,
    *,
    client: ClientLike = None,
    sandbox: bool = False,
    progress: bool = False,
    **arguments: Unpack[OfMetadata],
) -> Estimate:
    """Reads the tiles of an area, and estimates what a crawl of it would cost. The arguments are those of `images`.

    >>> import streetflow as sf
    >>> sf.estimate(bbox=(33.33, 35.15, 33.39, 35.19), sandbox=True).sequences
    12
    """
    chosen = make_query(query, arguments, sandbox=sandbox)
    used = get_client(client, sandbox)
    report = _core.Report(used)
    found = _core.estimate(chosen.to_json(), used, report, Run(report, "sequences", progress))
    if found is None:
        raise UsageError(
            "failed to estimate: the query reads no tiles, because it starts from a user or from ids",
            "add an area with `bbox`, `area`, `place` or `around`",
        )
    values = chosen.to_dict()
    return make_estimate(
        *found,
        report.failed,
        shows_images=values.get("max_zoom", _MAX_ZOOM) == _MAX_ZOOM and not values.get("lines_only"),
        limit=values.get("limit"),
        batch_size=values.get("batch_size", 50),
    )


def download(
    source: Stream | Query | str | os.PathLike[str] | Any,
    folder: str | os.PathLike[str],
    *,
    quality: str | int = 256,
    exif: str = "auto",
    layout: str = "flat",
    file_time: str = "capture",
    check_existing: bool = False,
    pictures: str = "files",
    shard_rows: int = 10_000,
    client: ClientLike = None,
    sandbox: bool = False,
    on_error: _OnError = "skip",
    progress: bool = False,
) -> Report:
    """Downloads pictures to a folder, as `<img_id>_<quality>.jpg`, and returns the counts.

    `source` is a stream of images that was not read, a `Query`, the path of a table, or a table in memory: anything
    with `__arrow_c_stream__`, such as a table of pyarrow or a data frame of polars or pandas, with a column `img_id`.
    The table may be in a bucket, such as `"s3://bucket/images.parquet"`. Picture URLs that it lacks are requested. Pictures
    that exist are not downloaded again, and a file appears under its name only when it is complete.

    `quality` is 256, 1024, 2048 or "original"; `exif`, `layout`, `file_time` and `check_existing` are the flags of
    `streetflow download`. `pictures="tar"` packs the pictures of `shard_rows` rows into each WebDataset shard.

    >>> import streetflow as sf, tempfile
    >>> images = sf.images(bbox=(33.33, 35.15, 33.39, 35.19), limit=3, sandbox=True)
    >>> sf.download(images, tempfile.mkdtemp()).records
    3
    """
    skip = _skips(on_error)
    used = _client_for(source, client, sandbox)
    query, table, stream = take_images(source, "download")
    report = source.report if isinstance(source, Stream) else _core.Report(used)
    run = Run(report, "pictures", progress, stop=not skip)
    _core.download(
        query,
        table,
        stream,
        used,
        os.fspath(folder),
        str(quality),
        exif,
        layout,
        file_time,
        check_existing,
        pictures,
        shard_rows,
        skip,
        report,
        run,
    )
    return report


def map_page(
    source: Stream | Query | str | os.PathLike[str] | Any,
    path: str | os.PathLike[str] | None = None,
    *,
    title: str | None = None,
    geometry: _Geometry | None = None,
    ids: bool = True,
    basemap: str | None = None,
    basemap_credit: str | None = None,
    pictures: str | os.PathLike[str] | None = None,
    client: ClientLike = None,
    sandbox: bool = False,
    on_error: _OnError = "skip",
    progress: bool = False,
) -> MapPage:
    """Shows images on a map: one HTML page that works offline. A notebook shows the result in a frame.

    `source` is what `download` takes: a stream of images that was not read, a `Query`, the path of a table, or a table
    in memory with `__arrow_c_stream__`. A path may lead into a bucket. A table needs a geometry, or the columns `lon` and
    `lat`, and sends no requests. A stream and a query request what the page shows, whatever their fields are.

    With `path`, the page is also written to that file. `geometry` is the point of an image: "original", "computed" or
    "best". `ids=False` makes a page of half the size, without links to Mapillary. `basemap` offers a background map,
    which loads nothing before the reader switches it on: "openfreemap", or the URL of a style or of raster tiles with
    `basemap_credit`. `pictures` is a folder of downloaded pictures for the page at `path`.

    >>> import streetflow as sf
    >>> table = sf.images(bbox=(33.33, 35.15, 33.39, 35.19), fields=["geometry"], sandbox=True).to_polars()
    >>> len(sf.map_page(table.head(100), title="A hundred images"))
    100
    """
    skip = _skips(on_error)
    options = PageOptions(path, title, geometry, ids, basemap, basemap_credit, pictures)
    options.check()
    used = _client_for(source, client, sandbox) if isinstance(source, (Stream, Query)) else None
    images = take_images(source, "make the map")
    report = source.report if isinstance(source, Stream) else _core.Report(used)
    return make_page(images, used, report, options, skip=skip, progress=progress)


def _skips(on_error: str) -> bool:
    if on_error not in ("skip", "raise"):
        raise UsageError(f"failed to use `on_error`: it is {on_error!r}", 'use "skip" or "raise"')
    return on_error == "skip"


def _client_for(source: object, client: ClientLike, sandbox: bool) -> Client:
    """The client that the call names, else that of the stream, else the one of this process."""
    if isinstance(source, Stream) and client is None and not sandbox:
        return source._client
    return get_client(client, sandbox)


def convert(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    *,
    input_format: str | None = None,
    format: str | None = None,
    fields: str | Sequence[str] | None = None,
    geometry: str | None = None,
    compression: str | None = None,
    native_geometry: bool = False,
    rs: bool = False,
) -> list[str]:
    """Converts a table to another format, as `streetflow convert` does. Returns what the command would print.

    >>> import streetflow as sf, tempfile, os
    >>> csv = os.path.join(tempfile.mkdtemp(), "images.csv")
    >>> report = sf.images(bbox=(33.33, 35.15, 33.39, 35.19), limit=5, sandbox=True).write(csv)
    >>> sf.convert(csv, csv.replace(".csv", ".parquet"))[0][:19]
    'converted 5 records'
    """
    args = [f"--{name}={value}" for name, value in _flags(input_format, format, fields, geometry, compression)]
    args += [name for name, is_set in (("--native-geometry", native_geometry), ("--rs", rs)) if is_set]
    # Without a client: a conversion sends no requests.
    report = _core.Report(None)
    return _core.convert([*args, "--", os.fspath(source), os.fspath(target)], report, Run(report, "records", False))


def _flags(
    input_format: str | None,
    format: str | None,
    fields: str | Iterable[str] | None,
    geometry: str | None,
    compression: str | None,
) -> Iterable[tuple[str, str]]:
    if fields is not None and not isinstance(fields, str):
        fields = ",".join(fields)
    flags = {
        "input-format": input_format,
        "format": format,
        "fields": fields,
        "geometry": geometry,
        "compression": compression,
    }
    return [(name, value) for name, value in flags.items() if value is not None]
