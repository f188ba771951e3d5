"""Spark in local mode, with a worker that ends half way. Run by `python/tests/engines/run`."""

from __future__ import annotations

import os
import pathlib
import sys

import pytest
import streetflow as sf
import streetflow.spark
from pyspark.sql import SparkSession

IMAGES = 30_000
WORLD = "-180,-85,180,85"


@pytest.fixture(scope="module")
def sandbox():
    return sf.Sandbox(images=IMAGES)


@pytest.fixture(scope="module")
def spark(sandbox):
    os.environ["PYSPARK_PYTHON"] = sys.executable
    os.environ["MAPILLARY_TOKEN"] = sandbox.env["MAPILLARY_TOKEN"]
    session = (
        SparkSession.builder.master("local[2,4]")
        .config("spark.ui.enabled", "false")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.sql.session.timeZone", "UTC")
        .getOrCreate()
    )
    streetflow.spark.register(session)
    yield session
    session.stop()
    del os.environ["MAPILLARY_TOKEN"]


@pytest.fixture
def images(spark, sandbox):
    options = {"graph_url": sandbox.url, "tiles_url": sandbox.url, "partitions": "8"}
    reader = spark.read.format("streetflow").options(bbox=WORLD, fields="captured_at,geometry,is_pano", **options)
    return reader.load()


@pytest.fixture(scope="module")
def expected(sandbox):
    table = sf.images(bbox=WORLD, fields=["captured_at", "geometry", "is_pano"], client=sandbox).to_arrow()
    return {row["img_id"]: row for row in table.to_pylist()}


def test_rows_and_values_are_those_of_the_crawl(images, expected):
    rows = images.toArrow().to_pylist()
    assert len(rows) == len(expected)
    for row in rows:
        theirs = expected[row["img_id"]]
        assert {**row, "captured_at": row["captured_at"]} == theirs


def test_a_worker_that_ends_loses_and_doubles_nothing(images, expected, tmp_path, spark):
    marker = str(tmp_path / "killed")

    def step(batches):
        import os
        import pathlib

        for batch in batches:
            path = pathlib.Path(marker)
            if not path.exists():
                path.touch()
                os._exit(1)
            yield batch

    images.mapInArrow(step, images.schema).write.parquet(str(tmp_path / "out"))
    assert pathlib.Path(marker).exists(), "a worker ended"
    rows = [row["img_id"] for row in spark.read.parquet(str(tmp_path / "out")).select("img_id").collect()]
    assert sorted(rows) == sorted(expected)


def test_a_token_as_an_option_is_refused(spark):
    with pytest.raises(Exception, match="token"):
        spark.read.format("streetflow").options(bbox=WORLD, token="MLY|1|a").load()


def test_pictures_are_downloaded(spark, sandbox, images, tmp_path):
    options = {"graph_url": sandbox.url, "tiles_url": sandbox.url}
    images.limit(50).write.parquet(str(tmp_path / "table"))
    table = spark.read.parquet(str(tmp_path / "table"))
    counts = streetflow.spark.download(table, tmp_path / "pictures", client_options=options).toPandas().sum()
    assert (counts["pictures"] + counts["gone"], counts["failed"]) == (50, 0)
    assert len(list((tmp_path / "pictures").glob("*.jpg"))) == counts["pictures"]
