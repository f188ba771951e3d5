"""Partitions of a query for several processes: contiguous ranges of its sequences."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from ._client import get_client
from ._core import Client
from ._query import Query
from ._stream import Stream
from .exceptions import UsageError

if TYPE_CHECKING:
    from ._core import Batch

#: Sequences in a partition, if the caller does not say: some ten thousand images, minutes of work.
SEQUENCES_PER_PARTITION = 200

#: What selects sequences. A partition names its sequences instead.
_SELECTS_SEQUENCES = (
    "bbox",
    "area",
    "around",
    "radius",
    "place",
    "place_url",
    "user",
    "org_id",
    "min_zoom",
    "max_zoom",
    "lines_only",
    "thorough",
    "exhaustive",
)

#: Arguments of a client that may be sent to another machine.
_OPTIONS = (
    "concurrency",
    "tile_rate",
    "rate_share",
    "attempts",
    "graph_url",
    "tiles_url",
    "image_proxy",
    "allow_host",
    "trust_gone",
)

_clients: dict[tuple[object, ...], Client] = {}


def check_options(options: Mapping[str, Any] | None) -> dict[str, Any]:
    """Returns the arguments of the workers' clients. A token is refused: it would be in the logs of the engine."""
    options = dict(options or {})
    for name in options:
        if name in ("token", "token_file"):
            raise UsageError(
                f"failed to use `client_options`: `{name}` would be stored in the tasks of the engine",
                "set MAPILLARY_TOKEN in the environment of the workers",
            )
        if name not in _OPTIONS:
            raise UsageError(f"failed to use `client_options`: unknown argument `{name}`", ", ".join(_OPTIONS))
    return options


def worker_client(options: Mapping[str, Any]) -> Client:
    """The client of this worker process. Tasks share it, so that none starts with a fresh burst of requests."""
    key = (os.getpid(), repr(sorted(options.items())), os.environ.get("MAPILLARY_TOKEN"))
    if key not in _clients:
        _clients[key] = Client(**options)
    return _clients[key]


def plan(query: Query, options: Mapping[str, Any], count: int | None) -> list[Query]:
    """Walks the tiles of a query in this process, and returns the queries of its partitions, in order.

    Each sequence is in one partition. Concatenated, the partitions have the rows of the query in their order.
    """
    values = query.to_dict()
    if "limit" in values or "clip" in values:
        name = "limit" if "limit" in values else "clip"
        hint = {
            "limit": "a limit counts over all partitions: use `.limit(n)` of the engine",
            "clip": "partitions know no area: select the rows by their geometry in the engine",
        }[name]
        raise UsageError(f"failed to plan partitions: the query has `{name}`", hint)
    if "images" in values:
        ids = [text for text in values["images"].split(",") if text]
        return [query.replace(images=part) for part in _split(ids, count, 50 * SEQUENCES_PER_PARTITION)]
    stream = Stream("sequences", query.replace(fields=None), get_client(worker_client(options)), "raise")
    ids = [row["seq_id"] for row in stream.to_pylist()]
    rest = query.replace(**{name: None for name in _SELECTS_SEQUENCES if name in values})
    return [rest.replace(sequences=part) for part in _split(ids, count, SEQUENCES_PER_PARTITION)]


def _split(ids: list[str], count: int | None, size: int) -> Iterator[list[str]]:
    """Cuts a list into contiguous parts of nearly the same length."""
    if count is not None and count < 1:
        raise UsageError("failed to plan partitions: there must be at least one")
    count = min(count or -(-len(ids) // size), len(ids))
    for part in range(count):
        yield ids[part * len(ids) // count : (part + 1) * len(ids) // count]


def read(
    query: Query,
    kind: str,
    client: Client,
    skip: bool,
    record_options: dict[str, Any] | None = None,
) -> Iterator[Batch]:
    """Reads a partition in a worker. `record_options` are those of detections."""
    yield from Stream(kind, query, client, "skip" if skip else "raise", options=record_options)
