"""The build without default features: streams work, and what is missing says so."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import polars as pl
import pytest
import streetflow as sf

NICOSIA = (33.33, 35.15, 33.39, 35.19)


@pytest.fixture(scope="module", autouse=True)
def server():
    """A mock server in another process, which the environment names."""
    process = subprocess.Popen([os.environ["STREETFLOW"], "sandbox"], stdout=subprocess.PIPE, text=True)
    try:
        with pytest.MonkeyPatch.context() as patch:
            for line in process.stdout:
                if found := re.match(r"export (\w+)='?([^']*?)'?$", line.strip()):
                    patch.setenv(found[1], found[2])
                if "then" in line:
                    break
            yield
    finally:
        process.terminate()
        process.wait(10)


def test_streams_and_pictures(tmp_path):
    images = sf.images(bbox=NICOSIA, fields=["captured_at", "is_pano"])
    assert pl.DataFrame(images).shape == (611, 5)
    assert images.report.gone == 1
    assert sf.images(bbox=NICOSIA, limit=5).write(tmp_path / "images.parquet").records == 5
    assert sf.download(tmp_path / "images.parquet", tmp_path / "pictures").records == 5

def test_the_map_page_and_buckets_are_missing(tmp_path):
    with pytest.raises(sf.UsageError, match="no map page"):
        sf.images(bbox=NICOSIA, limit=5).map()
    for use in (
        lambda: sf.images(bbox=NICOSIA, limit=5).write("s3://bucket/a.csv"),
        lambda: sf.download(sf.Query(bbox=NICOSIA, limit=5), "s3://bucket/pictures"),
        lambda: sf.download("s3://bucket/a.csv", tmp_path),
    ):
        with pytest.raises(sf.UsageError, match="no buckets"):
            use()


@pytest.mark.parametrize(
    "use", [lambda: sf.Sandbox(images=10), lambda: sf.images(sandbox=True), lambda: sf.sequences(sandbox=True)]
)
def test_the_mock_server_is_missing(use):
    with pytest.raises(sf.UsageError, match="this build of streetflow has no mock server") as raised:
        use()
    assert "pip install ./python" in raised.value.hint


def test_the_command_is_missing(tmp_path):
    run = subprocess.run([sys.executable, "-m", "streetflow", "--version"], capture_output=True, text=True)
    assert (run.returncode, run.stdout) == (2, "")
    assert "this build of streetflow has no command" in run.stderr
    assert "pip install ./python" in run.stderr and "Traceback" not in run.stderr
    with pytest.raises(sf.UsageError, match="no command, which converts tables"):
        sf.convert(tmp_path / "a.csv", tmp_path / "b.parquet")
