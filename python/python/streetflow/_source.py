"""Where the images of `download` and `map_page` come from."""

from __future__ import annotations

import os
from typing import Any, NamedTuple

from ._query import Query
from ._stream import Stream
from .exceptions import UsageError


class Images(NamedTuple):
    """One of these: a query as JSON, the path of a table, the capsule of an Arrow stream."""

    query: str | None = None
    table: str | None = None
    stream: object | None = None


def take_images(source: Stream | Query | str | os.PathLike[str] | Any, doing: str) -> Images:
    """Returns the images for the compiled functions. A stream counts as read."""
    if isinstance(source, Stream):
        if source.kind != "images":
            raise UsageError(f"failed to {doing}: the stream has {source.kind}, not images")
        source._use()
        return Images(query=source.query.to_json())
    if isinstance(source, Query):
        return Images(query=source.to_json())
    if isinstance(source, (str, os.PathLike)):
        return Images(table=os.fspath(source))
    if callable(getattr(source, "to_crs", None)) and callable(getattr(source, "to_arrow", None)):
        # The interface that a GeoDataFrame has from pandas does not know geometries.
        source = (source if source.crs is None else source.to_crs(4326)).to_arrow(index=False)
    if hasattr(source, "__arrow_c_stream__"):
        return Images(stream=source.__arrow_c_stream__())
    raise UsageError(
        f"failed to {doing}: {type(source).__name__} is no table",
        "pass a stream of images, a query, a path, or a table with `__arrow_c_stream__`",
    )
