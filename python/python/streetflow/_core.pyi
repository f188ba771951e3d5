"""The compiled part of the package."""

import os
import pathlib
from typing import Any, final

__all__ = [
    "Batch",
    "Collected",
    "Client",
    "Leases",
    "run_command",
    "convert",
    "download",
    "estimate",
    "MapPage",
    "listen",
    "map_page",
    "check",
    "column_names",
    "empty",
    "known_fields",
    "normalize_query",
    "query_fields",
    "schema",
    "start",
    "write",
    "Report",
    "Sandbox",
    "Reader",
    "__version__",
]
__version__: str

@final
class Client:
    """A connection to Mapillary, with its limits.

    Streams and downloads with the same client share its rate limits and its connections. Without a client, they share
    that of `default_client()`. The token comes from `token`, `token_file` or the environment (`MAPILLARY_TOKEN`), and
    appears in no message.

    `concurrency` is the maximum number of requests in flight, 1 to 1024. `tile_rate`, or `rate`, is in tiles a minute;
    the default for Mapillary is 40. `rate_share` is the number of processes that share the limits of one token, or
    `"1/8"`. `attempts` are those per request. `tile_cache_age` is in hours: tiles of Mapillary's host stay in the cache of
    the command for 24 hours by default, those of other hosts for none. `allow_host` names further hosts that may serve
    pictures.

    >>> import streetflow as sf
    >>> client = sf.Client(token="MLY|1234|abcd", concurrency=16)
    >>> client.concurrency
    16
    """

    def __new__(
        cls,
        *,
        token: str | None = None,
        token_file: str | os.PathLike[str] | None = None,
        concurrency: int = 64,
        tile_rate: float | None = None,
        rate: float | None = None,
        rate_share: int | str | None = None,
        attempts: int = 6,
        graph_url: str | None = None,
        tiles_url: str | None = None,
        image_proxy: str | None = None,
        allow_host: list[str] = ...,
        trust_gone: bool = False,
        tile_cache_age: float | None = None,
        leases: Leases | None = None,
    ) -> Client: ...
    @property
    def concurrency(self) -> int: ...
    @property
    def requests(self) -> int: ...
    @property
    def tile_requests(self) -> tuple[int, int]: ...
    def __reduce__(self) -> Any: ...

@final
class Leases:
    """Permissions for requests of images that a coordinator of several processes grants to a client."""

    def __new__(cls) -> Leases: ...
    def wanted(self, seconds: float) -> bool: ...
    def grant(self, calls: int) -> None: ...

@final
class Sandbox:
    """A mock server of Mapillary on this machine, with fictional data of Cyprus.

    It needs no token and no network. `images` generates a data set with so many images instead, `latency` is the
    duration of each response in milliseconds.

    >>> import streetflow as sf
    >>> with sf.Sandbox() as sandbox:
    ...     sf.sequences(bbox=(33.33, 35.15, 33.39, 35.19), client=sandbox).to_arrow().num_rows
    12
    """

    def __new__(cls, *, images: int | None = None, latency: float = 0.0, port: int | None = None) -> Sandbox: ...
    def client(self, *, concurrency: int = 64) -> Client: ...
    @property
    def url(self) -> str: ...
    @property
    def env(self) -> dict[str, str]: ...
    def requests(self) -> list[tuple[str, str]]: ...
    def fail(
        self,
        host: str,
        fault: str,
        *,
        times: int | None = None,
        skip: int = 0,
        ids: list[str] = ...,
        delay: float = 1000.0,
    ) -> None: ...
    def clear_faults(self) -> None: ...
    def __enter__(self) -> Sandbox: ...
    def __exit__(self, *_args: object) -> None: ...

@final
class Batch:
    """Some rows of a stream, for every library that reads Arrow.

    >>> import streetflow as sf
    >>> images = sf.images(bbox=(33.33, 35.15, 33.39, 35.19), fields=["is_pano"], client=sf.Sandbox())
    >>> batch = next(iter(images))
    >>> batch.column_names
    ['seq_id', 'img_id', 'is_pano']
    >>> len(batch.to_pylist()) == len(batch)
    True
    """

    @property
    def num_rows(self) -> int: ...
    @property
    def num_columns(self) -> int: ...
    @property
    def column_names(self) -> list[str]: ...
    def __len__(self) -> int: ...
    def to_pylist(self) -> list[dict[str, Any]]: ...
    def __arrow_c_schema__(self) -> object: ...
    def __arrow_c_array__(self, requested_schema: object | None = None) -> tuple[object, object]: ...
    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object: ...

@final
class Collected:
    """All batches of a stream. It can be read many times."""

    @property
    def num_rows(self) -> int: ...
    def __arrow_c_schema__(self) -> object: ...
    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object: ...

@final
class Report:
    """The counts of a stream or a download. They change while it runs.

    >>> import streetflow as sf
    >>> images = sf.images(bbox=(33.33, 35.15, 33.39, 35.19), client=sf.Sandbox())
    >>> table = images.to_arrow()
    >>> images.report.records, images.report.gone, images.report.failed, images.report.complete
    (611, 1, 0, True)
    """

    def __new__(cls, client: Client | None) -> Report: ...
    def _log(self) -> None: ...
    @property
    def records(self) -> int: ...
    @property
    def gone(self) -> int: ...
    @property
    def failed(self) -> int: ...
    @property
    def filtered(self) -> int: ...
    @property
    def existing(self) -> int: ...
    @property
    def ended(self) -> bool: ...
    @property
    def complete(self) -> bool: ...
    @property
    def elapsed(self) -> float: ...
    @property
    def error(self) -> BaseException | None: ...
    @property
    def failures(self) -> list[dict[str, str]]: ...
    @property
    def progress(self) -> tuple[int, int, int]: ...

@final
class Reader:
    """A running stream."""

    def read(self) -> Batch | None: ...
    def collect(self) -> Collected: ...
    def capsule(self) -> object | None: ...
    def schema(self) -> object: ...
    def close(self) -> None: ...

@final
class MapPage:
    """Images on a map: one HTML page that works offline and contacts no host.

    A notebook shows it in a frame. `write` makes a file that opens with a double click.

    >>> import streetflow as sf
    >>> page = sf.images(bbox=(33.33, 35.15, 33.39, 35.19), sandbox=True).map()
    >>> len(page), page.unplaced
    (611, 0)
    >>> page.html[:15]
    '<!doctype html>'
    """

    @property
    def html(self) -> str: ...
    @property
    def unplaced(self) -> int: ...
    def write(
        self, path: str | os.PathLike[str], *, pictures: str | os.PathLike[str] | None = None
    ) -> pathlib.Path: ...
    def _repr_html_(self) -> str: ...
    def __len__(self) -> int: ...

def check(text: str, kind: str) -> None: ...
def column_names(text: str, kind: str) -> list[str]: ...
def convert(args: list[str], report: Report, run: object) -> list[str]: ...
def download(
    query: str | None,
    table: str | None,
    stream: object | None,
    client: Client,
    folder: str,
    quality: str,
    exif: str,
    layout: str,
    file_time: str,
    check_existing: bool,
    storage: str,
    shard_rows: int,
    skip: bool,
    report: Report,
    run: object,
) -> None: ...
def empty(text: str, kind: str) -> Collected: ...
def estimate(text: str, client: Client, report: Report, run: object) -> tuple[int, int, int, int] | None: ...
def known_fields() -> list[str]:
    """Returns the names of all fields of images.

    >>> import streetflow as sf
    >>> "captured_at" in sf.known_fields()
    True
    """

def listen() -> bool: ...
def map_page(
    query: str | None,
    table: str | None,
    stream: object | None,
    client: Client | None,
    title: str,
    geometry: str | None,
    ids: bool,
    basemap: str | None,
    basemap_credit: str | None,
    skip: bool,
    report: Report,
    run: object,
) -> MapPage: ...
def normalize_query(text: str) -> str: ...
def query_fields(text: str) -> list[str]: ...
def run_command(args: list[str]) -> int: ...
def schema(text: str, kind: str) -> object: ...
def start(text: str, kind: str, client: Client, skip: bool, report: Report, run: object) -> Reader: ...
def write(
    text: str,
    kind: str,
    client: Client,
    skip: bool,
    report: Report,
    run: object,
    path: str,
    format: str | None,
    compression: str | None,
    native_geometry: bool,
    rs: bool,
) -> None: ...
