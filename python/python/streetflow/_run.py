"""What happens beside a running flow: log messages, progress, the warning at its end."""

from __future__ import annotations

import sys
import warnings
from typing import TYPE_CHECKING, Any

from . import _signals
from .exceptions import StreetflowWarning, _from_kind

if TYPE_CHECKING:
    from ._core import Report


class Run:
    """Called by the thread that waits for a flow, about twenty times a second."""

    def __init__(self, report: Report, unit: str, progress: bool, *, stop: bool = False) -> None:
        self.report = report
        self.unit = unit
        #: Raise the first failure, for work that counts its failures and goes on.
        self.stop = stop
        self.bar = _bar(unit) if progress else None

    def tick(self) -> None:
        """Logs what has happened since the last call, and moves the bar."""
        self.report._log()
        if self.stop and self.report.failed:
            first = next(item for item in self.report.failures if item["kind"] != "gone")
            raise _from_kind(first["kind"], first["message"], subject=first["id"])
        if self.bar is not None:
            self._show()

    def finish(self) -> None:
        """Ends the bar after the last record, and warns if records failed."""
        self.tick()
        self.close()
        report = self.report
        if report.failed:
            first = report.failures[0] if report.failures else None
            why = f"; the first: {first['message']}" if first else ""
            warnings.warn(
                f"{report.failed} failed and are missing in the result, {report.records} {self.unit} are in it"
                f"{why}. `.report.failures` lists them; `on_error=\"raise\"` stops at the first",
                StreetflowWarning,
                stacklevel=_stack_level(),
            )

    def close(self) -> None:
        """Ends the bar, also after an error, and what was set up for signals."""
        _signals.rest()
        if self.bar is not None:
            self._show()
            self.bar.close()
            self.bar = None

    def _show(self) -> None:
        report, bar = self.report, self.bar
        assert bar is not None
        read, expected, requests = report.progress
        details: dict[str, Any] = {"requests": requests}
        if expected:
            details = {"tiles": f"{read}/{max(read, expected)}", **details}
        if report.failed:
            details["failed"] = report.failed
        bar.set_postfix(details, refresh=False)
        bar.update(report.records + report.existing - bar.n)


def _stack_level() -> int:
    """The level of the first caller outside this package, to which the warning belongs."""
    level, frame = 1, sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith("streetflow."):
        level, frame = level + 1, frame.f_back
    return level


def _bar(unit: str) -> Any:
    """A bar of tqdm, in a notebook as a widget if that is possible; without tqdm, a line of our own."""
    try:
        with warnings.catch_warnings():
            # Without ipywidgets, a notebook shows the bar of a terminal, and tqdm would warn of it.
            warnings.simplefilter("ignore")
            from tqdm.auto import tqdm  # type: ignore[import-not-found, import-untyped, unused-ignore]
    except ImportError:
        return _Line(unit)
    return tqdm(unit=f" {unit}")


class _Line:
    """A line on standard error, with the methods of a tqdm bar that are used here."""

    def __init__(self, unit: str) -> None:
        self.unit = unit
        self.n = 0
        self.details = ""
        self.is_terminal = sys.stderr.isatty()

    def set_postfix(self, details: dict[str, Any], refresh: bool = True) -> None:
        self.details = "".join(f", {name} {value}" for name, value in details.items())

    def update(self, more: int) -> None:
        self.n += more
        if self.is_terminal:
            sys.stderr.write(f"\r\x1b[K{self._text()}")
            sys.stderr.flush()

    def close(self) -> None:
        sys.stderr.write(f"\r\x1b[K{self._text()}\n" if self.is_terminal else f"{self._text()}\n")

    def _text(self) -> str:
        return f"{self.n} {self.unit}{self.details}"
