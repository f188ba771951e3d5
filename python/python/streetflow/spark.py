"""Spark: images as a data source, `spark.read.format("streetflow")`, and a step that downloads pictures.

    import streetflow.spark
    streetflow.spark.register(spark)
    images = spark.read.format("streetflow").options(bbox="33.30,35.13,33.40,35.20", fields="captured_at,is_pano").load()
    images.write.parquet("images")                       # write first: each action on `images` crawls again
    pictures = streetflow.spark.download(spark.read.parquet("images"), "pictures", quality=1024)

The options are the arguments of `streetflow.images` as text, without `limit` and `clip`, and `partitions`, `graph_url`,
`tiles_url`, `concurrency`, `attempts`, `rate_share`, `on_error`. The driver walks the tiles and cuts the sequences into partitions; a task
crawls one. A task that is lost is run again by Spark, and has the same rows.

- Spark is lazy: each action crawls again. Write first, then read the files.
- The token comes from `MAPILLARY_TOKEN` in the environment of driver and executors (`spark.executorEnv.MAPILLARY_TOKEN`); as
  an option it is refused, because options are in logs.
- Executors have no common rate: set `rate_share` to the number of Python workers that run at once, or use one token per
  executor.
- Times have microseconds, because Spark has no milliseconds. With the option `ntz`, they have no time zone (UTC is meant),
  which Sail needs. Geometries are WKB in a binary column.
- Spark in local mode retries no task: use `local[2,4]` for four attempts.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from . import _core
from ._api import download as _download
from ._partition import check_options, plan, read, worker_client
from ._query import NAMES, Query

if TYPE_CHECKING:
    import pyarrow as _pa
    from pyspark.sql import DataFrame as _DataFrame
    from pyspark.sql import SparkSession as _SparkSession

    from ._core import Batch

__all__ = ["data_source", "download", "register"]

_FLAGS = ("pano", "flat", "clip", "lines_only", "thorough", "exhaustive", "trust_gone", "ntz")
_NUMBERS = ("concurrency", "attempts")


def register(spark: _SparkSession) -> None:
    """Makes the format `streetflow` known to a session."""
    spark.dataSource.register(data_source())


def spark_schema(schema: _pa.Schema, *, ntz: bool = False) -> _pa.Schema:
    """The schema with types that Spark has: microseconds, and no extension types. With `ntz`, times have no zone."""
    import pyarrow as pa

    time = pa.timestamp("us") if ntz else pa.timestamp("us", "UTC")
    fields = []
    for field in schema:
        kind = time if pa.types.is_timestamp(field.type) else field.type
        fields.append(pa.field(field.name, kind, field.nullable))
    return pa.schema(fields)


def data_source() -> Any:
    """The class of the data source, for `spark.dataSource.register`. Spark is an extra, so it is imported when it is used."""
    from pyspark.sql.datasource import DataSource, DataSourceReader, InputPartition

    class _Part(InputPartition):
        def __init__(self, query: str) -> None:
            self.query = query

    class _Reader(DataSourceReader):
        def __init__(
            self, query: Query, options: dict[str, Any], count: int | None, *, skip: bool, ntz: bool
        ) -> None:
            self.query = query.to_json()
            self.ntz = ntz
            self.options = options
            self.count = count
            self.skip = skip

        def partitions(self) -> Sequence[InputPartition]:
            parts = plan(Query.from_json(self.query), self.options, self.count)
            return [_Part(part.to_json()) for part in parts]

        def read(self, partition: InputPartition) -> Iterator[_pa.RecordBatch]:
            assert isinstance(partition, _Part)
            schema = spark_schema(_arrow_schema(Query.from_json(self.query)), ntz=self.ntz)
            for batch in read(Query.from_json(partition.query), "images", worker_client(self.options), self.skip):
                yield _to_spark(batch, schema)

    class StreetflowDataSource(DataSource):
        """Images of Mapillary. See the documentation of the module for the options."""

        @classmethod
        def name(cls) -> str:
            return "streetflow"

        def __init__(self, options: dict[str, str]) -> None:
            super().__init__(options)
            values = {name: _value(name, text) for name, text in options.items()}
            self.partitions = int(values.pop("partitions")) if "partitions" in values else None
            self.skip = values.pop("on_error", "skip") == "skip"
            self.ntz = bool(values.pop("ntz", False))
            names = {name.rstrip("_") for name in NAMES}
            self.query = Query(**{name: value for name, value in values.items() if name in names})
            self.client_options = check_options({name: value for name, value in values.items() if name not in names})

        def schema(self) -> Any:
            from pyspark.sql.pandas.types import from_arrow_schema

            schema = spark_schema(_arrow_schema(self.query), ntz=self.ntz)
            return from_arrow_schema(schema, prefer_timestamp_ntz=self.ntz)

        def reader(self, schema: Any) -> DataSourceReader:
            return _Reader(self.query, self.client_options, self.partitions, skip=self.skip, ntz=self.ntz)

    return StreetflowDataSource


def _arrow_schema(query: Query) -> _pa.Schema:
    import pyarrow as pa

    return pa.table(_core.empty(query.to_json(), "images")).schema


def _to_spark(batch: Batch, schema: _pa.Schema) -> _pa.RecordBatch:
    import pyarrow as pa

    table = pa.record_batch(batch)
    arrays = []
    for name, kind in zip(schema.names, schema.types):
        array = table.column(name)
        storage = array.storage if isinstance(array, pa.ExtensionArray) else array
        arrays.append(storage.cast(kind))
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _value(name: str, text: str) -> Any:
    if name in _FLAGS:
        return text.strip().lower() in ("true", "1")
    if name in _NUMBERS:
        return int(text)
    if name == "tile_rate":
        return float(text)
    if name == "rate_share":
        return int(text) if text.strip().isdigit() else text
    return text.split(",") if name in ("org_id", "exclude_owner", "allow_host") else text


def download(
    images: _DataFrame,
    folder: str | os.PathLike[str],
    *,
    quality: str | int = 256,
    exif: str = "auto",
    layout: str = "flat",
    client_options: dict[str, Any] | None = None,
) -> _DataFrame:
    """Downloads the pictures of a data frame with a column `img_id` to a folder that all executors can write.

    Returns a data frame with one row for each batch: `pictures`, `existing`, `gone` and `failed` are numbers. Nothing is
    downloaded before an action on it, and each action visits all pictures again; pictures that exist are not downloaded
    again.
    """
    step = functools.partial(
        _download_step,
        folder=os.fspath(folder),
        options=check_options(client_options),
        arguments={"quality": quality, "exif": exif, "layout": layout},
    )
    return images.mapInArrow(step, "pictures long, existing long, gone long, failed long")


def _download_step(
    batches: Iterator[_pa.RecordBatch], *, folder: str, options: dict[str, Any], arguments: dict[str, Any]
) -> Iterator[_pa.RecordBatch]:
    import pyarrow as pa

    for batch in batches:
        report = _download(pa.table(batch), folder, client=worker_client(options), **arguments)
        counts = {
            "pictures": report.records,
            "existing": report.existing,
            "gone": report.gone,
            "failed": report.failed,
        }
        yield pa.RecordBatch.from_pydict({name: pa.array([count], pa.int64()) for name, count in counts.items()})
