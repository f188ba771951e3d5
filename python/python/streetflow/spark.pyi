import os
from typing import Any

import pyarrow as _pa  # type: ignore[import-not-found, import-untyped, unused-ignore]
from pyspark.sql import DataFrame as _DataFrame  # type: ignore[import-not-found, import-untyped, unused-ignore]
from pyspark.sql import SparkSession as _SparkSession

__all__ = ["data_source", "download", "register"]

def register(spark: _SparkSession) -> None: ...
def spark_schema(schema: _pa.Schema, *, ntz: bool = False) -> _pa.Schema: ...
def data_source() -> Any: ...
def download(
    images: _DataFrame,
    folder: str | os.PathLike[str],
    *,
    quality: str | int = 256,
    exif: str = "auto",
    layout: str = "flat",
    client_options: dict[str, Any] | None = None,
) -> _DataFrame: ...
