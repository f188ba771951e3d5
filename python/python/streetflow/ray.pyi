import os
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from ray.data import Dataset as _Dataset  # type: ignore[import-not-found, import-untyped, unused-ignore]

from ._query import Query

__all__ = ["Budget", "download", "read_detections", "read_images"]

class Budget:
    def __init__(self, images_per_minute: float) -> None: ...
    def lease(self, images: int) -> float: ...
    def wait(self, images: int) -> None: ...

def read_images(
    query: Query | None = None,
    *,
    partitions: int | None = None,
    images_per_minute: float = 60_000,
    budget: Budget | None = None,
    client_options: Mapping[str, Any] | None = None,
    on_error: Literal["skip", "raise"] = "skip",
    concurrency: int | None = None,
    **arguments: Any,
) -> _Dataset: ...
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
    on_error: Literal["skip", "raise"] = "skip",
    concurrency: int | None = None,
    **arguments: Any,
) -> _Dataset: ...
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
) -> _Dataset: ...
