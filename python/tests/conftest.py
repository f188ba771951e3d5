"""Fixtures: a mock server for each test, and no token and no cache of the machine."""

from __future__ import annotations

import signal

import pytest
import streetflow as sf

# A shell may start jobs in the background with the signal ignored, which the programs of the tests would inherit.
signal.signal(signal.SIGINT, signal.default_int_handler)

NICOSIA = (33.33, 35.15, 33.39, 35.19)


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path):
    for name in ("MAPILLARY_TOKEN", "MAPILLARY_CLIENT_TOKEN", "MAPILLARY_ACCESS_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    for name in ("MAPILLARY_GRAPH_URL", "MAPILLARY_TILES_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("STREETFLOW_CACHE_DIR", str(tmp_path / "cache"))


@pytest.fixture
def sandbox():
    return sf.Sandbox()


@pytest.fixture
def nicosia(sandbox):
    """Makes streams of the images of Nicosia: 611, and one that is gone."""

    def images(**arguments):
        return sf.images(**{"bbox": NICOSIA, "client": sandbox, **arguments})

    return images
