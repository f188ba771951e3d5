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

import functools
import os
import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from . import _core
from ._api import download as _download
from ._partition import check_options, plan, read, worker_client
from ._query import Query, make_query

if TYPE_CHECKING:
    import pyarrow as _pa
    from ray.data import Dataset as _Dataset

    from ._stream import _OnError

__all__ = ["Budget", "download", "read_images"]

#: The longest time that a lease is waited for at once, in seconds: a worker notices its end in this time.
_MAX_SLEEP = 5.0


class Budget:
    """A rate that all workers share: an actor hands out leases of calls.

    Mapillary permits 60,000 images a minute for each token. Pass one budget to all readers with the same token; without
    one, each reader makes its own.
    """

    def __init__(self, images_per_minute: float) -> None:
        if not images_per_minute > 0:
            raise ValueError("images_per_minute must be above 0")
        import ray

        self._actor = ray.remote(num_cpus=0)(_Leases).remote(images_per_minute / 60)

    def wait(self, images: int) -> None:
        """Waits until so many images may be requested."""
        import ray

        left = ray.get(self._actor.lease.remote(images))
        while left > 0:
            time.sleep(min(left, _MAX_SLEEP))
            left -= _MAX_SLEEP


class _Leases:
    """The times at which calls are permitted, one after another."""

    def __init__(self, per_second: float) -> None:
        self.per_second = per_second
        self.free_at = time.monotonic()

    def lease(self, calls: int) -> float:
        """Returns the seconds to wait before these calls."""
        now = time.monotonic()
        # Time that nobody used is gone: there is no burst after a pause.
        self.free_at = max(self.free_at, now)
        wait = self.free_at - now
        self.free_at += calls / self.per_second
        return wait


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
    import ray.data

    options = check_options(client_options)
    chosen = make_query(query, arguments)
    parts = plan(chosen, options, partitions)
    source = _source_class()(parts, chosen, options, on_error == "skip", budget or Budget(images_per_minute))
    return ray.data.read_datasource(source, override_num_blocks=max(len(parts), 1), concurrency=concurrency)


def _source_class() -> Any:
    """The data source. Ray is an extra, so it is imported when it is used."""
    from ray.data import Datasource

    class _Images(Datasource):
        """Partitions of images, each a task."""

        def __init__(
            self, parts: list[Query], query: Query, options: dict[str, Any], skip: bool, budget: Budget
        ) -> None:
            self.parts = parts
            self.query = query
            self.options = options
            self.skip = skip
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

            schema = pa.table(_core.empty(self.query.to_json(), "images")).schema
            metadata = BlockMetadata(
                num_rows=None, size_bytes=None, exec_stats=None, task_exec_stats=None, input_files=None
            )
            tasks = []
            for part in self.parts:
                task = functools.partial(_read_task, part.to_json(), schema, self.options, self.skip, self.budget)
                tasks.append(ReadTask(task, metadata, schema, per_task_row_limit))
            return tasks

    return _Images


def _read_task(
    query: str, schema: _pa.Schema, options: dict[str, Any], skip: bool, budget: Budget
) -> Iterator[_pa.Table]:
    """Reads a partition, and pays for each batch before the next one is requested."""
    import pyarrow as pa

    rows = 0
    for batch in read(Query.from_json(query), "images", options, skip):
        budget.wait(len(batch))
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
) -> _Dataset:
    """Downloads the pictures of a dataset with a column `img_id` to a folder that all workers can write.

    Returns a dataset with one row for each batch: `pictures`, `existing`, `gone` and `failed` are numbers. Nothing is
    downloaded before it is used, and each use visits all pictures again; pictures that exist are not downloaded again.
    """
    step = functools.partial(
        _download_step,
        folder=os.fspath(folder),
        options=check_options(client_options),
        arguments={"quality": quality, "exif": exif, "layout": layout},
    )
    return images.map_batches(step, batch_format="pyarrow", batch_size=batch_size, concurrency=concurrency)


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
