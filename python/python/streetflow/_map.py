"""Map pages."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from . import _core
from ._core import Client, MapPage, Report
from ._run import Run
from .exceptions import UsageError

if TYPE_CHECKING:
    from typing import Literal

    _Geometry = Literal["original", "computed", "best"]


class PageOptions(NamedTuple):
    """How a page looks, and where it is written."""

    path: str | os.PathLike[str] | None
    title: str | None
    geometry: _Geometry | None
    ids: bool
    basemap: str | None
    basemap_credit: str | None
    pictures: str | os.PathLike[str] | None

    def check(self) -> None:
        """Refuses pictures for a page that is not written, whose paths would lead nowhere."""
        if self.pictures is not None and self.path is None:
            raise UsageError("failed to use `pictures`: the page is not written", "set `path` too")


def make_page(
    images: tuple[str | None, str | None, object | None],
    client: Client | None,
    report: Report,
    options: PageOptions,
    *,
    skip: bool,
    progress: bool,
) -> MapPage:
    """Reads a query as JSON, the table at a path, or the capsule of an Arrow stream, and writes the page if it has a path."""
    page = _core.map_page(
        *images,
        client,
        options.title or "",
        options.geometry,
        options.ids,
        options.basemap,
        options.basemap_credit,
        skip,
        report,
        Run(report, "images", progress),
    )
    if options.path is not None:
        page.write(options.path, pictures=options.pictures)
    return page
