"""The types of the arguments that select what is crawled, for editors and type checkers. `Query` explains the arguments.

None is as if the argument was omitted.
"""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Iterable, Sequence
from typing import Any, Literal, TypedDict, Union

#: One id or many. A column of a data frame has values of its own types.
_Ids = Union[str, int, "os.PathLike[str]", Iterable[Any]]
_Texts = Union[str, Iterable[str]]
#: Without a zone, times are UTC.
_Time = Union[str, dt.date]


class Place(TypedDict, total=False):
    """An area."""

    bbox: Any
    area: Any
    around: Any
    radius: float | None
    place: str | None
    place_url: str | None
    exhaustive: bool | None


class OfFeatures(Place, total=False):
    """What selects map features."""

    limit: int | None


class OfSequences(Place, total=False):
    """What selects sequences."""

    user: str | None
    org_id: _Ids | None
    exclude_owner: _Ids | None
    sequences: _Ids | None
    images: _Ids | None
    features: str | os.PathLike[str] | None
    from_: _Time | None
    to: _Time | None
    pano: bool | None
    flat: bool | None
    min_zoom: int | None
    max_zoom: int | None
    lines_only: bool | None
    thorough: bool | None


class OfImages(OfSequences, total=False):
    """What selects images."""

    min_quality: float | None
    heading: str | Sequence[float] | None
    make: _Texts | None
    model: _Texts | None
    every: float | None
    limit: int | None
    clip: bool | None
    geometry: Literal["original", "computed", "best"] | None


class OfMetadata(OfImages, total=False):
    """What selects images, and the columns of their metadata."""

    fields: _Texts | None
    batch_size: int | None
