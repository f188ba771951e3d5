"""Ray Data: images and pictures on many machines.

    import ray, streetflow.ray
    images = streetflow.ray.read_images(bbox=(33.30, 35.13, 33.40, 35.20), fields=["captured_at", "thumb_1024_url"])
    images.write_parquet("images")                       # write first: each action on `images` crawls again
    pictures = streetflow.ray.download(ray.data.read_parquet("images"), "pictures", quality=1024)
    pictures.write_parquet("pictures.parquet")

One process walks the tiles and cuts the sequences into partitions; workers crawl the partitions and never request tiles. A
partition that is lost with its worker is read again, and has the same rows. The token comes from `MAPILLARY_TOKEN` in the
environment of the workers (`ray.init(runtime_env={"env_vars": …})`); it is in no task.

Ray is lazy: each action, such as `count()`, crawls again. Write the dataset first, then read the files.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import threading
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from . import _core
from ._api import _joined
from ._api import download as _download
from ._core import Client
from ._partition import check_options, plan, read, worker_client
from ._query import Query, make_query

if TYPE_CHECKING:
    import pyarrow as _pa
    from ray.data import Dataset as _Dataset

    from ._stream import _OnError

__all__ = ["Budget", "download", "read_detections", "read_images"]

#: Requests of a lease.
_CALLS = 10

#: Images of one request for metadata.
_BATCH = 50

#: How often a worker looks whether requests wait, in seconds.
_POLL = 1.0


class Budget:
    """A rate that all workers share: an actor hands out leases of requests.

    Mapillary permits 60,000 images a minute for each token. Pass one budget to all readers with the same token; without
    one, each reader makes its own. A request is sent after its lease, and a batch counts as 50 images even if it has
    fewer, so the rate is never exceeded.
    """

    def __init__(self, images_per_minute: float) -> None:
        if not images_per_minute > 0:
            raise ValueError("images_per_minute must be above 0")
        import ray

        # An actor that is lost starts again, without a burst.
        self._actor = ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=-1)(_Leases).remote(images_per_minute / 60)
        #: Tells budgets apart in a worker.
        self._id = uuid.uuid4().hex

    def lease(self, images: int) -> float:
        """Reserves so many images, and returns the seconds to wait before they may be requested."""
        import ray

        seconds: float = ray.get(self._actor.lease.remote(images))
        return seconds

    def wait(self, images: int) -> None:
        """Waits until so many images may be requested."""
        time.sleep(self.lease(images))


class _Leases:
    """The times at which images are permitted, one after another."""

    def __init__(self, per_second: float) -> None:
        self.per_second = per_second
        self.free_at = time.monotonic()

    def lease(self, images: int) -> float:
        """Returns the seconds to wait before these images."""
        now = time.monotonic()
        # Time that nobody used is gone: there is no burst after a pause.
        self.free_at = max(self.free_at, now) + images / self.per_second
        # The end of the lease, so that the first one is no burst either.
        return self.free_at - now


_clients: dict[tuple[object, ...], Client] = {}


def _client(options: dict[str, Any], budget: Budget, images_per_call: int) -> Client:
    """The client of this worker process for a budget. A thread takes leases while requests wait."""
    key = (os.getpid(), repr(sorted(options.items())), os.environ.get("MAPILLARY_TOKEN"), budget._id, images_per_call)
    if key not in _clients:
        leases = _core.Leases()
        _clients[key] = Client(**options, leases=leases)
        threading.Thread(target=_take_leases, args=(leases, budget, images_per_call), daemon=True).start()
    return _clients[key]


def _take_leases(leases: _core.Leases, budget: Budget, images_per_call: int) -> None:
    while True:
        if leases.wanted(_POLL):
            budget.wait(_CALLS * images_per_call)
            leases.grant(_CALLS)


def read_images(
    query: Query | None = None,
    *,
    partitions: int | None = None,
    images_per_minute: float = 60_000,
    budget: Budget | None = None,
    client_options: Mapping[str, Any] | None = None,
    on_error: _OnError = "skip",
    concurrency: int | None = None,
    **arguments: Any,
) -> _Dataset:
    """Returns the images of a query with their metadata as a dataset of Ray.

    The arguments are those of `streetflow.images`, without `limit` and `clip`. The tiles are walked at once, in this
    process; the workers crawl when the dataset is used. `partitions` is the number of tasks, by default one for 200
    sequences. `images_per_minute` is the rate of all workers together, or of all readers that share a `budget`.
    `client_options` are arguments of the workers' `Client`, without a token. `concurrency` limits the tasks that run at
    once.
    """
    # These fields make batches fail, so their images are requested one by one.
    chosen = make_query(query, arguments)
    is_heavy = not {"sfm_cluster", "mesh", "detections"}.isdisjoint(chosen.fields)
    source = _Source("images", None, options=check_options(client_options), skip=on_error == "skip")
    source.images_per_call = 1 if is_heavy else _BATCH
    return source.read(chosen, partitions, budget or Budget(images_per_minute), concurrency)


def read_detections(
    query: Query | None = None,
    *,
    values: str | Iterable[str] | None = None,
    min_area: float | None = None,
    fields: str | Iterable[str] | None = None,
    partitions: int | None = None,
    images_per_minute: float = 60_000,
    budget: Budget | None = None,
    client_options: Mapping[str, Any] | None = None,
    on_error: _OnError = "skip",
    concurrency: int | None = None,
    **arguments: Any,
) -> _Dataset:
    """Returns the detections in the images of a query as a dataset of Ray.

    `values`, `min_area` and `fields` are those of `streetflow.detections`, the others those of `read_images`. Each image
    is a request of its own.
    """
    given = {"values": _joined(values), "min_area": min_area, "fields": _joined(fields)}
    record_options = {name: value for name, value in given.items() if value is not None}
    source = _Source("detections", record_options, options=check_options(client_options), skip=on_error == "skip")
    return source.read(make_query(query, arguments), partitions, budget or Budget(images_per_minute), concurrency)


@dataclasses.dataclass
class _Source:
    """What the tasks of a dataset read."""

    kind: str
    #: The options of detections.
    record_options: dict[str, Any] | None
    #: The arguments of the workers' clients.
    options: dict[str, Any]
    skip: bool
    images_per_call: int = 1

    def read(self, query: Query, partitions: int | None, budget: Budget, concurrency: int | None) -> _Dataset:
        import ray.data

        parts = plan(query, self.options, partitions)
        source = _source_class()(self, parts, query, budget)
        return ray.data.read_datasource(source, override_num_blocks=max(len(parts), 1), concurrency=concurrency)

    def request(self, query: Query) -> str:
        """The query and the options, as the library reads them."""
        if not self.record_options:
            return query.to_json()
        return json.dumps({"query": query.to_dict(), **self.record_options})


def _source_class() -> Any:
    """The data source. Ray is an extra, so it is imported when it is used."""
    from ray.data import Datasource

    class _Partitions(Datasource):
        """Partitions of a query, each a task."""

        def __init__(self, source: _Source, parts: list[Query], query: Query, budget: Budget) -> None:
            self.source = source
            self.parts = parts
            self.query = query
            self.budget = budget

        def get_name(self) -> str:
            return "Mapillary"

        def estimate_inmemory_data_size(self) -> int | None:
            return None

        def get_read_tasks(
            self, parallelism: int, per_task_row_limit: int | None = None, data_context: Any = None
        ) -> list[Any]:
            import pyarrow as pa
            from ray.data import ReadTask
            from ray.data.block import BlockMetadata

            schema = pa.table(_core.empty(self.source.request(self.query), self.source.kind)).schema
            metadata = BlockMetadata(
                num_rows=None, size_bytes=None, exec_stats=None, task_exec_stats=None, input_files=None
            )
            tasks = []
            for part in self.parts:
                task = functools.partial(_read_task, part.to_json(), schema, self.source, self.budget)
                tasks.append(ReadTask(task, metadata, schema, per_task_row_limit))
            return tasks

    return _Partitions


def _read_task(query: str, schema: _pa.Schema, source: _Source, budget: Budget) -> Iterator[_pa.Table]:
    """Reads a partition. Its requests wait for leases of the budget."""
    import pyarrow as pa

    rows = 0
    client = _client(source.options, budget, source.images_per_call)
    for batch in read(Query.from_json(query), source.kind, client, source.skip, source.record_options):
        rows += len(batch)
        yield pa.table(batch)
    if rows == 0:
        yield schema.empty_table()


def download(
    images: _Dataset,
    folder: str | os.PathLike[str],
    *,
    quality: str | int = 256,
    exif: str = "auto",
    layout: str = "flat",
    client_options: Mapping[str, Any] | None = None,
    concurrency: int | None = None,
    batch_size: int = 512,
    ray_remote_args: Mapping[str, Any] | None = None,
) -> _Dataset:
    """Downloads the pictures of a dataset with a column `img_id` to a folder that all workers can write, or to a bucket.

    A bucket is `s3://…`, `gs://…` or `az://…`, with credentials in the environment of the workers (`AWS_…`).

    Returns a dataset with one row for each batch: `pictures`, `existing`, `gone` and `failed` are numbers. Nothing is
    downloaded before it is used, and each use visits all pictures again; pictures that exist are not downloaded again.
    `ray_remote_args` are arguments of the tasks, such as `{"runtime_env": {"env_vars": …}}`.
    """
    step = functools.partial(
        _download_step,
        folder=os.fspath(folder),
        options=check_options(client_options),
        arguments={"quality": quality, "exif": exif, "layout": layout},
    )
    return images.map_batches(
        step,
        batch_format="pyarrow",
        batch_size=batch_size,
        concurrency=concurrency,
        **(ray_remote_args or {}),
    )


def _download_step(table: _pa.Table, *, folder: str, options: dict[str, Any], arguments: dict[str, Any]) -> _pa.Table:
    import pyarrow as pa

    report = _download(table, folder, client=worker_client(options), **arguments)
    counts = {
        "pictures": report.records,
        "existing": report.existing,
        "gone": report.gone,
        "failed": report.failed,
    }
    return pa.table({name: pa.array([count], pa.int64()) for name, count in counts.items()})
