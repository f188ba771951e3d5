"""The data source of Spark on Sail, without Java. Run by `python/tests/engines/run`."""

from __future__ import annotations

import os

import pytest
import streetflow as sf
import streetflow.spark
from pysail.spark import SparkConnectServer
from pyspark.sql import SparkSession

IMAGES = 30_000
WORLD = "-180,-85,180,85"


@pytest.fixture(scope="module")
def sandbox():
    return sf.Sandbox(images=IMAGES)


@pytest.fixture(scope="module")
def spark(sandbox):
    os.environ["MAPILLARY_TOKEN"] = sandbox.env["MAPILLARY_TOKEN"]
    server = SparkConnectServer("127.0.0.1", 0)
    server.start(background=True)
    _, port = server.listening_address
    session = SparkSession.builder.remote(f"sc://127.0.0.1:{port}").getOrCreate()
    streetflow.spark.register(session)
    yield session
    session.stop()
    server.stop()
    del os.environ["MAPILLARY_TOKEN"]


@pytest.fixture
def reader(spark, sandbox):
    options = {"graph_url": sandbox.url, "tiles_url": sandbox.url, "partitions": "8"}
    return spark.read.format("streetflow").options(bbox=WORLD, **options)


def test_rows_are_those_of_the_crawl(reader, sandbox):
    expected = sf.images(bbox=WORLD, fields=["is_pano", "compass_angle"], client=sandbox).to_arrow()
    rows = reader.options(fields="is_pano,compass_angle").load().toArrow()
    key = lambda row: row["img_id"]
    assert sorted(rows.to_pylist(), key=key) == sorted(expected.to_pylist(), key=key)


def test_they_are_written_once(reader, sandbox, spark, tmp_path):
    expected = sf.images(bbox=WORLD, fields=["is_pano"], client=sandbox).to_arrow()["img_id"].to_pylist()
    reader.options(fields="is_pano").load().write.parquet(str(tmp_path / "out"))
    rows = [row["img_id"] for row in spark.read.parquet(str(tmp_path / "out")).select("img_id").collect()]
    assert sorted(rows) == sorted(expected)


def test_times_without_a_zone_and_geometries_are_those_of_the_crawl(reader, sandbox):
    expected = sf.images(bbox=WORLD, fields=["captured_at", "geometry"], client=sandbox).to_arrow().to_pylist()
    rows = reader.options(fields="captured_at,geometry", ntz="true").load().toArrow().to_pylist()
    key = lambda row: row["img_id"]
    utc = [{**row, "captured_at": row["captured_at"].replace(tzinfo=None)} for row in expected]
    assert sorted(rows, key=key) == sorted(utc, key=key)
