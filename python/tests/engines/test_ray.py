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
    assert rows == IMAGES
    print(f"{rows / elapsed * 60 / per_minute:.3f} of the permitted rate")
    # Each partition ends with a batch that is not full but counts as one.
    assert rows / elapsed * 60 < per_minute * 1.01, f"{rows} rows in {elapsed:.1f} s"


def test_two_readers_with_one_budget_share_it(options):
    per_minute = IMAGES * 12
    budget = streetflow.ray.Budget(per_minute)
    arguments = {"bbox": WORLD, "fields": ["is_pano"], "partitions": 4, "client_options": options, "budget": budget}
    first, second = (streetflow.ray.read_images(**arguments) for _ in range(2))
    start = time.monotonic()
    rows = sum(table.num_rows for table in ray.get(first.union(second).to_arrow_refs()))
    elapsed = time.monotonic() - start
    assert rows == 2 * IMAGES
    assert rows / elapsed * 60 < per_minute * 1.01, f"{rows} rows in {elapsed:.1f} s"


def test_detections_are_those_of_the_crawl_each_once(sandbox, options):
    area = {"bbox": (33.33, 35.15, 33.39, 35.19), "fields": ["value", "area"], "values": "object--*"}
    server = sf.Sandbox()
    theirs = sf.detections(**area, client=server).to_arrow()
    at = {"graph_url": server.url, "tiles_url": server.url}
    dataset = streetflow.ray.read_detections(**area, partitions=3, images_per_minute=1e9, client_options=at)
    rows = read_all(dataset)
    key = lambda row: row["detection_id"]
    assert sorted(rows.to_pylist(), key=key) == sorted(theirs.to_pylist(), key=key) and rows.num_rows > 0


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


@pytest.fixture
def bucket(monkeypatch):
    """A bucket in moto."""
    import socket
    import subprocess
    import sys

    import boto3

    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        port = server.getsockname()[1]
    moto = subprocess.Popen([os.path.join(os.path.dirname(sys.executable), "moto_server"), "-p", str(port)])
    endpoint = f"http://127.0.0.1:{port}"
    env = {
        "AWS_ACCESS_KEY_ID": "engine-tests",
        "AWS_SECRET_ACCESS_KEY": "secretOfTheEngineTests",
        "AWS_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ALLOW_HTTP": "true",
        "NO_PROXY": "127.0.0.1",
    }
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    client = boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1")
    for _ in range(100):
        try:
            client.create_bucket(Bucket="streets")
            break
        except Exception:
            time.sleep(0.1)
    yield client, env
    moto.kill()
    moto.wait()


def test_pictures_are_downloaded_into_a_bucket_once(options, bucket):
    client, env = bucket
    source = ray.data.from_arrow(
        sf.images(bbox=WORLD, pano=True, limit=100, fields=["thumb_256_url"], client=sf.Client(**options)).to_arrow()
    )
    # The credentials are in the environment of the workers only.
    remote = {"ray_remote_args": {"runtime_env": {"env_vars": env}}}
    counts = []
    for _ in range(2):
        pictures = streetflow.ray.download(
            source, "s3://streets/pictures", client_options=options, batch_size=32, **remote
        )
        counts.append(pictures.to_pandas().sum())
    assert (counts[0]["pictures"], counts[0]["failed"]) == (100, 0)
    assert (counts[1]["pictures"], counts[1]["existing"]) == (0, 100)
    objects = client.list_objects_v2(Bucket="streets")["Contents"]
    assert len([found for found in objects if found["Key"].endswith("_256.jpg")]) == 100
