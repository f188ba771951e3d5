"""Ray Data on a local cluster of two workers. Run by `python/tests/engines/run`."""

from __future__ import annotations

import os
import pathlib
import signal
import time

import pyarrow as pa
import pytest
import ray
import streetflow as sf
import streetflow.ray

IMAGES = 60_000
WORLD = (-180, -85, 180, 85)


@pytest.fixture(scope="module")
def sandbox():
    sandbox = sf.Sandbox(images=IMAGES)
    # The token is in the environment of the workers only.
    # The workers import this module for the function that kills them.
    paths = [str(pathlib.Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
    env = {"MAPILLARY_TOKEN": sandbox.env["MAPILLARY_TOKEN"], "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    ray.init(num_cpus=2, include_dashboard=False, runtime_env={"env_vars": env})
    yield sandbox
    ray.shutdown()


@pytest.fixture
def options(sandbox, monkeypatch):
    monkeypatch.setenv("MAPILLARY_TOKEN", sandbox.env["MAPILLARY_TOKEN"])
    return {"graph_url": sandbox.url, "tiles_url": sandbox.url}


def ids(table) -> list[str]:
    return pa.table(table)["img_id"].to_pylist()


@pytest.fixture
def expected(sandbox):
    return ids(sf.images(bbox=WORLD, fields=["is_pano"], client=sandbox).to_arrow())


def read_all(dataset) -> pa.Table:
    return pa.concat_tables(ray.get(dataset.to_arrow_refs()))


def test_the_partitions_have_the_rows_of_the_crawl_each_once_and_in_order(options, expected, monkeypatch):
    # Ray gives blocks in the order in which they end, unless told.
    monkeypatch.setattr(ray.data.DataContext.get_current().execution_options, "preserve_order", True)
    dataset = streetflow.ray.read_images(
        bbox=WORLD, fields=["is_pano"], partitions=8, images_per_minute=1e9, client_options=options
    )
    assert ids(read_all(dataset)) == expected


def test_a_token_in_the_options_is_refused(options):
    with pytest.raises(sf.UsageError, match="token"):
        streetflow.ray.read_images(bbox=WORLD, client_options={"token": "MLY|1|a"})
    with pytest.raises(sf.UsageError, match="limit"):
        streetflow.ray.read_images(bbox=WORLD, limit=5, client_options=options)


def kill_once(table: pa.Table, marker: str, last: str) -> pa.Table:
    """Kills the worker in the middle of the run, once."""
    path = pathlib.Path(marker)
    if last in set(table["img_id"].to_pylist()) and not path.exists():
        path.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return table


def test_a_killed_worker_loses_and_doubles_nothing(options, expected, tmp_path):
    dataset = streetflow.ray.read_images(
        bbox=WORLD, fields=["is_pano"], partitions=8, images_per_minute=1e9, client_options=options
    )
    marker = str(tmp_path / "killed")
    killed = dataset.map_batches(
        kill_once, batch_format="pyarrow", fn_kwargs={"marker": marker, "last": expected[len(expected) // 2]}
    )
    killed.write_parquet(str(tmp_path / "out"))
    assert pathlib.Path(marker).exists(), "a worker was killed"
    rows = ids(read_all(ray.data.read_parquet(str(tmp_path / "out"))))
    assert len(rows) == len(expected) and sorted(rows) == sorted(expected)


def test_all_workers_share_one_rate(options):
    per_minute = IMAGES * 6  # Ten seconds for all.
    dataset = streetflow.ray.read_images(
        bbox=WORLD, fields=["is_pano"], partitions=16, images_per_minute=per_minute, client_options=options
    )
    start = time.monotonic()
    rows = sum(table.num_rows for table in ray.get(dataset.to_arrow_refs()))
    elapsed = time.monotonic() - start
    # What the last batches paid for is not waited for.
    assert rows / elapsed * 60 < per_minute * 1.25, f"{rows} rows in {elapsed:.1f} s"


def test_pictures_are_downloaded_once(options, tmp_path):
    dataset = streetflow.ray.read_images(
        images=None, bbox=WORLD, pano=True, fields=["thumb_256_url"], partitions=4, client_options=options
    ).limit(300)
    table = read_all(dataset)
    source = ray.data.from_arrow(table)
    folder = tmp_path / "pictures"
    first = streetflow.ray.download(source, folder, client_options=options, batch_size=64).to_pandas().sum()
    again = streetflow.ray.download(source, folder, client_options=options, batch_size=64).to_pandas().sum()
    assert (first["pictures"], first["failed"]) == (300, 0)
    assert (again["pictures"], again["existing"]) == (0, 300)
    assert len(list(folder.glob("*.jpg"))) == 300
