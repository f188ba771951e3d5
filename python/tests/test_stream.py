"""Streams: laziness, consumers, one read only, batches."""

from __future__ import annotations

import asyncio
import csv
import datetime as dt
import subprocess
import sys
import time

import duckdb
import geopandas
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import streetflow as sf
from conftest import NICOSIA


def test_nothing_is_requested_before_the_first_read(sandbox, nicosia):
    images = nicosia()
    assert images.column_names[:2] == ["seq_id", "img_id"]
    pa.schema(images)
    repr(images)
    assert sandbox.requests() == []
    images.to_arrow()
    assert sandbox.requests()


@pytest.mark.parametrize(
    "read",
    [
        pa.table,
        lambda images: pa.RecordBatchReader.from_stream(images).read_all(),
        pl.DataFrame,
        pd.DataFrame.from_arrow,
        lambda images: duckdb.sql("from images").to_arrow_table(),
        lambda images: images.to_arrow(),
        lambda images: images.to_polars(),
        lambda images: images.to_pandas(),
        lambda images: images.to_pylist(),
        lambda images: [row for batch in images for row in batch.to_pylist()],
    ],
    ids=["table", "reader", "polars", "pandas", "duckdb", "to_arrow", "to_polars", "to_pandas", "to_pylist", "batches"],
)
def test_every_consumer_reads_all_rows_once(sandbox, nicosia, read):
    images = nicosia(fields=["captured_at", "is_pano"])
    assert len(read(images)) == 611
    assert (images.report.records, images.report.gone, images.report.failed) == (611, 1, 0)
    assert images.report.complete
    paths = [path.split("?")[0] for _, path in sandbox.requests() if "/images" not in path]
    tiles = [path for path in paths if "vtp" in path or path.endswith(".mvt")]
    assert len(tiles) == len(set(tiles)), "no tile is requested twice"


def test_a_duckdb_filter_sees_the_columns(nicosia):
    images = nicosia(fields=["is_pano"])
    panoramas = duckdb.sql("select count(*) from images where is_pano").fetchall()[0][0]
    assert panoramas == nicosia(pano=True).to_arrow().num_rows > 0


def test_a_query_of_duckdb_that_ends_early_ends_the_requests():
    sandbox = sf.Sandbox(latency=20)
    images = sf.images(bbox=(32.19, 34.52, 34.18, 35.49), client=sandbox)
    assert len(duckdb.sql("from images limit 5").fetchall()) == 5
    deadline = time.monotonic() + 30
    while not images.report.ended and time.monotonic() < deadline:
        time.sleep(0.01)
    assert images.report.ended


def test_a_second_read_is_an_error_that_says_so(sandbox, nicosia):
    images = nicosia()
    images.to_arrow()
    before = len(sandbox.requests())
    for read in (pl.DataFrame, pa.table, list, lambda images: images.write("x.csv")):
        with pytest.raises(sf.StreamConsumedError, match="read already") as caught:
            read(images)
        assert "to_arrow" in caught.value.hint
    assert len(sandbox.requests()) == before


def test_the_schema_is_that_of_the_rows(nicosia):
    images = nicosia(fields=["captured_at", "geometry", "computed_rotation", "width"])
    schema = pa.schema(images)
    table = images.to_arrow()
    assert table.schema == schema
    assert schema.field("captured_at").type == pa.timestamp("ms", tz="UTC")
    assert schema.field("img_id").type == pa.string()
    assert schema.field("geometry").metadata[b"ARROW:extension:name"] == b"geoarrow.wkb"


def test_without_a_geometry_field_there_is_no_geometry(nicosia):
    images = nicosia(fields=["width"])
    assert images.column_names == ["seq_id", "img_id", "width"]
    with pytest.raises(sf.UsageError, match="no geometry"):
        images.to_geopandas()
    assert images.to_arrow().num_rows == 611, "the refusal did not use up the stream"


def test_geopandas_gets_points_and_the_coordinate_system(nicosia):
    images = nicosia(fields=["geometry"])
    frame = images.to_geopandas()
    assert isinstance(frame, geopandas.GeoDataFrame)
    assert frame.crs.to_epsg() == 4326 or frame.crs.to_string() == "OGC:CRS84"
    # Sequences that touch the box are complete.
    assert frame.geometry.x.between(33, 34).all() and frame.geometry.y.between(34.5, 35.7).all()


def run_command(*args: str, cwd) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "streetflow", *args]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=120)


def test_the_rows_are_those_of_the_command(nicosia, tmp_path):
    fields = "captured_at,compass_angle,geometry,computed_geometry,computed_rotation,is_pano,make,width"
    box = ",".join(map(str, NICOSIA))
    done = run_command(
        "crawl", "--sandbox", "--bbox", box, "--no-download", "--fields", fields, "--format", "csv,parquet", cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    table = nicosia(fields=fields.split(",")).to_arrow()
    theirs = pq.read_table(tmp_path / "outputs/img_meta_dataset.parquet")
    assert theirs.num_rows == table.num_rows == 611
    for name in table.column_names:
        assert table[name].to_pylist() == theirs[name].to_pylist(), name
    path = tmp_path / "images.csv"
    nicosia(fields=fields.split(",")).write(path)
    assert path.read_bytes() == (tmp_path / "outputs/img_meta_dataset.csv").read_bytes()


def test_sequences_are_those_of_the_command(sandbox, tmp_path):
    done = run_command("sequences", "--sandbox", "--bbox", ",".join(map(str, NICOSIA)), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    rows = list(csv.DictReader((tmp_path / "outputs/seq_dataset.csv").open()))
    stream = sf.sequences(bbox=NICOSIA, client=sandbox)
    assert [{**row, "org_id": row["org_id"] or ""} for row in stream.to_pylist()] == rows or [
        {name: value or "" for name, value in row.items()} for row in sf.sequences(bbox=NICOSIA, client=sandbox).to_pylist()
    ] == rows


def test_python_values_are_those_of_pyarrow(nicosia):
    fields = ["captured_at", "compass_angle", "geometry", "computed_rotation", "is_pano", "make", "width"]
    rows = nicosia(fields=fields).to_pylist()
    assert rows == nicosia(fields=fields).to_arrow().to_pylist()
    assert isinstance(rows[0]["captured_at"], dt.datetime) and rows[0]["captured_at"].utcoffset() == dt.timedelta(0)


def test_batches_have_the_arrow_interface(nicosia):
    batches = list(nicosia(fields=["width"]))
    batch = batches[0]
    assert batch.column_names == ["seq_id", "img_id", "width"]
    assert (batch.num_columns, len(batch)) == (3, batch.num_rows)
    assert pa.record_batch(batch).num_rows == len(batch)
    assert pl.DataFrame(batch).height == len(batch)
    assert pa.table(batch).num_rows == len(batch)
    assert repr(batch).startswith("<streetflow.Batch")


def test_async_iteration_gives_all_batches(nicosia):
    async def count() -> int:
        return sum([len(batch) async for batch in nicosia()])

    assert asyncio.run(count()) == 611


def test_async_streams_run_beside_other_tasks(nicosia):
    async def run() -> tuple[list[int], int]:
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                ticks += 1
                await asyncio.sleep(0)

        async def count() -> int:
            return sum([len(batch) async for batch in nicosia()])

        ticker = asyncio.create_task(tick())
        counts = await asyncio.gather(count(), count(), count())
        ticker.cancel()
        return counts, ticks

    counts, ticks = asyncio.run(run())
    assert counts == [611] * 3 and ticks > 0


def test_a_cancelled_task_ends_the_requests(sandbox):
    sandbox.fail("tiles", "stall")

    async def run() -> sf.Stream:
        images = sf.images(bbox=NICOSIA, client=sandbox)

        async def read() -> None:
            async for _ in images:
                pass

        task = asyncio.create_task(read())
        while not sandbox.requests():
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return images

    images = asyncio.run(run())
    assert images.report.ended and not images.report.complete


def test_closing_early_ends_the_requests(sandbox):
    sandbox = sf.Sandbox(latency=20)
    images = sf.images(bbox=(32.19, 34.52, 34.18, 35.49), client=sandbox)
    with images:
        next(iter(images))
    assert images.report.ended and not images.report.complete
    with pytest.raises(sf.StreamConsumedError):
        images.to_arrow()


def test_an_iterator_that_is_dropped_ends_the_requests(nicosia):
    images = nicosia()
    for _ in images:
        break
    assert images.report.ended


def test_a_table_is_written_in_each_format(nicosia, tmp_path):
    for name in ("a.csv", "a.parquet", "a.geojson", "a.geojsonl"):
        report = nicosia(fields=["geometry", "width"]).write(tmp_path / name)
        assert report.records == 611 and report.complete
    assert geopandas.read_parquet(tmp_path / "a.parquet").shape[0] == 611
    assert geopandas.read_file(tmp_path / "a.geojson").shape[0] == 611
    with pytest.raises(sf.UsageError) as caught:
        nicosia().write(tmp_path / "a.xlsx")
    assert "format=" in caught.value.hint
    nicosia().write(tmp_path / "a.txt", format="csv")
    assert len(list(csv.reader((tmp_path / "a.txt").open()))) == 612


def test_a_failed_write_leaves_no_file(sandbox, tmp_path):
    sandbox.fail("graph", "auth")
    with pytest.raises(sf.AuthError):
        sf.images(bbox=NICOSIA, client=sandbox).write(tmp_path / "a.csv")
    assert list(tmp_path.glob("a*")) == []
