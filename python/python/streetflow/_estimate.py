"""What a crawl would cost."""

from __future__ import annotations

from typing import NamedTuple

#: Images per sequence, if the tiles show none: a typical number, and a range that holds for most areas.
_IMAGES_PER_SEQUENCE = 150
_IMAGES_PER_SEQUENCE_RANGE = (50, 400)

#: Typical sizes of pictures in bytes, minimum and maximum. Measured at Mapillary by others.
_PICTURE_BYTES = {
    "256": (6_000, 12_000),
    "1024": (80_000, 120_000),
    "2048": (200_000, 500_000),
    "original": (400_000, 5_000_000),
}

#: Mapillary's limits a minute.
_ENTITIES_PER_MINUTE = 60_000
_SEARCHES_PER_MINUTE = 10_000


class Estimate(NamedTuple):
    """The size of a crawl, from the tiles of its area.

    >>> import streetflow as sf
    >>> estimate = sf.estimate(bbox=(33.33, 35.15, 33.39, 35.19), client=sf.Sandbox())
    >>> estimate.sequences
    12
    >>> estimate.picture_bytes("1024") > estimate.picture_bytes("256")
    True
    """

    #: Sequences that intersect the area.
    sequences: int
    #: Images in the tiles read, at most the limit. Sequences that continue outside the area are complete, so there may
    #: be more, except with `clip`. A guess if `images_are_estimated`.
    images: int
    #: The tiles showed no images, so their number is a guess within `images_range`.
    images_are_estimated: bool
    #: Minimum and maximum number of images.
    images_range: tuple[int, int]
    #: Tiles requested for this estimate. The crawl finds them in the tile cache, if there is one.
    tiles: int
    #: Tiles that came from the tile cache.
    cached_tiles: int
    #: Tiles that failed; the crawl is larger then.
    failed_tiles: int
    #: Requests for metadata.
    metadata_requests: int

    @property
    def seconds(self) -> float:
        """The time of the tables in seconds at Mapillary's rate limits; a guess."""
        return 60.0 * max(self.sequences / _SEARCHES_PER_MINUTE, self.images / _ENTITIES_PER_MINUTE)

    def picture_bytes(self, quality: str | int = "256") -> tuple[int, int]:
        """Returns the minimum and maximum size of all pictures in bytes; a guess."""
        least, most = _PICTURE_BYTES[str(quality)]
        return least * self.images, most * self.images


def make_estimate(
    sequences: int,
    images: int,
    tiles: int,
    cached_tiles: int,
    failed_tiles: int,
    *,
    shows_images: bool,
    limit: int | None,
    batch_size: int,
) -> Estimate:
    """Derives the estimate from what was counted in the tiles."""
    most = limit if limit is not None else 2**63
    if shows_images:
        bounds = (images, images)
    else:
        images = sequences * _IMAGES_PER_SEQUENCE
        bounds = (sequences * _IMAGES_PER_SEQUENCE_RANGE[0], sequences * _IMAGES_PER_SEQUENCE_RANGE[1])
    images = min(images, most)
    return Estimate(
        sequences=sequences,
        images=images,
        images_are_estimated=not shows_images,
        images_range=(min(bounds[0], most), min(bounds[1], most)),
        tiles=tiles,
        cached_tiles=cached_tiles,
        failed_tiles=failed_tiles,
        metadata_requests=-(-images // batch_size),
    )
