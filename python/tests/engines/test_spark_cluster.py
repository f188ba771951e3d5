"""Spark on a cluster of two executors, one of which is killed. Run by `python/tests/engines/run`.

It is a file of its own, because a process has one Spark session.
"""

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
        SparkSession.builder.master("local-cluster[2,1,1024]")
        .config("spark.ui.enabled", "false")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.executor.memory", "512m")
        .config("spark.executorEnv.MAPILLARY_TOKEN", sandbox.env["MAPILLARY_TOKEN"])
        .config("spark.executorEnv.PYSPARK_PYTHON", sys.executable)
        .getOrCreate()
    )
    streetflow.spark.register(session)
    yield session
    session.stop()
    del os.environ["MAPILLARY_TOKEN"]


def test_a_killed_executor_loses_and_doubles_nothing(spark, sandbox, tmp_path):
    expected = sf.images(bbox=WORLD, fields=["is_pano"], client=sandbox).to_arrow()["img_id"].to_pylist()
    options = {"graph_url": sandbox.url, "tiles_url": sandbox.url, "partitions": "8", "rate_share": "2"}
    reader = spark.read.format("streetflow").options(bbox=WORLD, fields="is_pano", **options)
    images = reader.load()
    marker = str(tmp_path / "killed")

    def step(batches):
        import os
        import pathlib
        import signal

        def parent(process):
            with open(f"/proc/{process}/stat") as stat:
                return int(stat.read().rsplit(")", 1)[1].split()[1])

        def is_executor(process):
            with open(f"/proc/{process}/cmdline", "rb") as command:
                return b"CoarseGrainedExecutorBackend" in command.read()

        for batch in batches:
            path = pathlib.Path(marker)
            if not path.exists():
                process = os.getpid()
                while process > 1 and not is_executor(process):
                    process = parent(process)
                path.write_text(str(process))
                assert process > 1
                os.kill(process, signal.SIGKILL)
            yield batch

    images.mapInArrow(step, images.schema).write.parquet(str(tmp_path / "out"))
    assert int(pathlib.Path(marker).read_text()) > 1, "an executor was killed"
    rows = [row["img_id"] for row in spark.read.parquet(str(tmp_path / "out")).select("img_id").collect()]
    assert len(rows) == len(expected) and sorted(rows) == sorted(expected)
