"""Messages of the library for the logger `streetflow`."""

from __future__ import annotations

import logging

LOGGER = logging.getLogger("streetflow")
# A library adds no handler of its own; without one, Python would print warnings by its last resort.
LOGGER.addHandler(logging.NullHandler())


def emit(messages: list[tuple[int, str]], dropped: int) -> None:
    """Logs messages with their levels, and how many more there were."""
    for level, text in messages:
        LOGGER.log(level, "%s", text)
    if dropped:
        LOGGER.warning("%d more messages were dropped", dropped)
