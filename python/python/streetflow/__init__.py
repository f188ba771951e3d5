"""Turns any part of Mapillary into a dataset: sequences, images, metadata and pictures.

`images`, `sequences` and the other calls return a `Stream`, which requests nothing before it is read, and which every
library that reads Arrow can read:

>>> import streetflow as sf
>>> images = sf.images(bbox=(33.33, 35.15, 33.39, 35.19), fields=["captured_at", "is_pano"], client=sf.Sandbox())
>>> images.to_polars().shape
(611, 5)

The token is read from `MAPILLARY_TOKEN`. `sandbox=True` or `client=sf.Sandbox()` uses the mock server of the package
instead, which needs neither a token nor a network.
"""

from __future__ import annotations

from . import exceptions
from ._api import convert, detections, download, estimate, features, images, map_page, sequences
from ._client import default_client
from ._core import Batch, Client, MapPage, Report, Sandbox, __version__, known_fields
from ._estimate import Estimate
from ._polars import scan_polars
from ._query import Query
from ._stream import Stream
from .exceptions import (
    AuthError,
    BlockedError,
    ForkError,
    GoneError,
    MalformedError,
    OutputError,
    RateLimitedError,
    RejectedError,
    StoppedError,
    StreamConsumedError,
    StreetflowError,
    StreetflowWarning,
    TooLargeError,
    UnavailableError,
    UnreachableError,
    UsageError,
)

__all__ = [
    "AuthError",
    "Batch",
    "BlockedError",
    "Client",
    "Estimate",
    "ForkError",
    "GoneError",
    "MalformedError",
    "MapPage",
    "OutputError",
    "Query",
    "RateLimitedError",
    "RejectedError",
    "Report",
    "Sandbox",
    "StoppedError",
    "Stream",
    "StreamConsumedError",
    "StreetflowError",
    "StreetflowWarning",
    "TooLargeError",
    "UnavailableError",
    "UnreachableError",
    "UsageError",
    "__version__",
    "convert",
    "default_client",
    "detections",
    "download",
    "estimate",
    "exceptions",
    "features",
    "images",
    "known_fields",
    "map_page",
    "scan_polars",
    "sequences",
]
