"""A query as a lazy frame of polars."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from . import _core
from ._client import ClientLike, get_client
from ._query import Query, make_query
from ._stream import Stream

if TYPE_CHECKING:
    import polars as pl  # type: ignore[import-not-found, unused-ignore]
    from typing_extensions import Unpack

    from ._arguments import OfMetadata
    from ._stream import _OnError

#: Columns that every stream has.
_KEYS = ("seq_id", "img_id")


def scan_polars(
    query: Query | None = None,
    *,
    client: ClientLike = None,
    sandbox: bool = False,
    on_error: _OnError = "skip",
    progress: bool = False,
    **arguments: Unpack[OfMetadata],
) -> pl.LazyFrame:
    """Returns the images of a query as a `LazyFrame` of polars.

    Only the fields of the columns that the frame uses are requested, and `.head(n)` stops after its rows. Filters of
    polars run after the requests: filter by the arguments of the query where one exists. Each `collect` requests
    everything again. The arguments are those of `images`; without `fields`, all fields can be used.

    >>> import polars as pl, streetflow as sf
    >>> frame = sf.scan_polars(bbox=(33.33, 35.15, 33.39, 35.19), sandbox=True)
    >>> frame.group_by("is_pano").len().select(pl.col("len").sum()).collect().item()
    611
    """
    import polars as pl  # type: ignore[import-not-found, unused-ignore]
    from polars.io.plugins import register_io_source  # type: ignore[import-not-found, unused-ignore]

    names_fields = "fields" in arguments or (isinstance(query, Query) and "fields" in query.to_dict())
    if not names_fields:
        # Detections of an image are a request of their own, and derived values are no columns to scan for.
        arguments["fields"] = [field for field in _core.known_fields() if field != "detections"]
    chosen = make_query(query, arguments, sandbox=sandbox)
    used = get_client(client, sandbox)
    columns = _columns_of_fields(chosen)
    unread = Stream("images", chosen, used)

    # A thread of polars reads, and cannot listen for Ctrl-C. The unread stream does, for as long as the frame exists.
    def read(
        with_columns: list[str] | None,
        predicate: pl.Expr | None,
        n_rows: int | None,
        batch_size: int | None,
        _unread: Stream = unread,
    ) -> Iterator[pl.DataFrame]:
        scan = chosen if with_columns is None else chosen.replace(fields=_fields(chosen, columns, with_columns))
        left = n_rows
        with Stream("images", scan, used, on_error, progress) as stream:
            for batch in stream:
                frame = pl.DataFrame(batch)
                if with_columns is not None:
                    frame = frame.select(with_columns)
                if left is not None:
                    frame = frame.head(left)
                    left -= frame.height
                yield frame if predicate is None else frame.filter(predicate)
                if left == 0:
                    return

    schema = pl.DataFrame(_core.empty(chosen.to_json(), "images")).schema
    return register_io_source(read, schema=schema, validate_schema=False, is_pure=False)


def _columns_of_fields(query: Query) -> dict[str, str]:
    """The field of each column."""
    fields: dict[str, str] = {}
    for field in query.fields:
        for column in _core.column_names(query.replace(fields=[field]).to_json(), "images"):
            if column not in _KEYS:
                fields.setdefault(column, field)
    return fields


def _fields(query: Query, columns: dict[str, str], wanted: list[str]) -> list[str]:
    """The fields of the columns, in the order of the query. At least one, because a request needs one."""
    needed = {columns[column] for column in wanted if column in columns}
    return [field for field in query.fields if field in needed] or query.fields[:1]
