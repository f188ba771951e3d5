"""Downloads, estimates, conversions and lazy frames."""

from __future__ import annotations

import json
import tarfile

import geopandas
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import streetflow as sf
from conftest import NICOSIA


def pictures(folder) -> set[str]:
    return {path.name for path in folder.rglob("*.jpg")}


def test_pictures_of_a_stream(nicosia, tmp_path):
    images = nicosia(limit=5)
    report = sf.download(images, tmp_path, quality=1024)
    assert (report.records, report.existing, report.failed) == (5, 0, 0) and report.complete
    assert len(pictures(tmp_path)) == 5 and all(name.endswith("_1024.jpg") for name in pictures(tmp_path))
    with pytest.raises(sf.StreamConsumedError):
        sf.download(images, tmp_path)
    again = sf.download(nicosia(limit=5), tmp_path, quality=1024)
    assert (again.records, again.existing) == (0, 5)
    assert "0 records and 5 that existed" in repr(again)


def test_pictures_in_shards(sandbox, nicosia, tmp_path):
    report = sf.download(nicosia(limit=5, fields=["captured_at"]), tmp_path / "a", pictures="tar", shard_rows=3)
    assert report.records == 5
    assert {path.name for path in (tmp_path / "a").iterdir()} == {
        "pictures-000000.tar",
        "pictures-000001.tar",
        "shards.parquet",
    }
    table = nicosia(limit=5, fields=["captured_at", "make"]).to_arrow()
    # The row beside each picture is whole, although the table has no URLs.
    sf.download(table, tmp_path / "b", pictures="tar", client=sandbox)
    with tarfile.open(tmp_path / "b/pictures-000000.tar") as shard:
        rows = [json.load(shard.extractfile(name)) for name in shard.getnames() if name.endswith(".json")]
    assert [row["make"] for row in rows] == table["make"].to_pylist()
    for wrong in ({"pictures": "zip"}, {"pictures": "tar", "shard_rows": 0}, {"pictures": "tar", "layout": "date"}):
        with pytest.raises(sf.UsageError):
            sf.download(table, tmp_path / "c", client=sandbox, **wrong)


def sources(images: sf.Stream, tmp_path):
    table = images.to_arrow()
    path = tmp_path / "t.parquet"
    pa.parquet.write_table(table, path)
    frame = pl.DataFrame(table)
    return {
        "pyarrow": table,
        "reader": pa.RecordBatchReader.from_batches(table.schema, table.to_batches()),
        "polars": frame,
        "polars categories": frame.with_columns(pl.col("seq_id").cast(pl.Categorical)),
        "pandas": pd.DataFrame({"img_id": table["img_id"].to_pylist()}),
        "geopandas": geopandas.GeoDataFrame.from_arrow(table),
        "numbers": pa.table({"img_id": [int(text) for text in table["img_id"].to_pylist()]}),
        "path": path,
        "ids": pa.table({"img_id": table["img_id"]}),
    }


@pytest.mark.parametrize(
    "source", ["pyarrow", "reader", "polars", "polars categories", "pandas", "geopandas", "numbers", "path", "ids"]
)
def test_pictures_of_a_table(sandbox, nicosia, tmp_path, source):
    import pyarrow.parquet  # noqa: F401

    images = nicosia(limit=4, fields=["thumb_256_url", "captured_at", "geometry"])
    chosen = sources(images, tmp_path)[source]
    report = sf.download(chosen, tmp_path / "pictures", client=sandbox)
    assert report.records == 4, report
    expected = {row["img_id"] for row in nicosia(limit=4).to_pylist()}
    assert {name.split("_")[0] for name in pictures(tmp_path / "pictures")} == expected


def test_a_failed_picture_is_told_and_costs_itself_only(sandbox, nicosia, tmp_path):
    client = sf.Client(
        graph_url=sandbox.url,
        tiles_url=sandbox.url,
        token=sandbox.env["MAPILLARY_TOKEN"],
        attempts=1,
        allow_host=["127.0.0.1"],
    )
    sandbox.fail("images", "truncate", times=1)
    with pytest.warns(sf.StreetflowWarning, match="1 failed"):
        report = sf.download(sf.images(bbox=NICOSIA, limit=5, client=client), tmp_path)
    assert (report.records, report.failed) == (4, 1)
    assert len(report.failures) == 1
    assert len(pictures(tmp_path)) == 4
    sandbox.fail("images", "truncate", times=1)
    with pytest.raises(sf.StreetflowError):
        sf.download(sf.images(bbox=NICOSIA, limit=5, client=client), tmp_path / "other", on_error="raise")


def test_what_is_no_table_is_refused(sandbox, nicosia, tmp_path):
    with pytest.raises(sf.UsageError, match="no table"):
        sf.download(5, tmp_path, client=sandbox)
    with pytest.raises(sf.UsageError, match="img_id"):
        sf.download(pa.table({"name": ["a"]}), tmp_path, client=sandbox)
    with pytest.raises(sf.UsageError, match="sequences, not images"):
        sf.download(sf.sequences(bbox=NICOSIA, client=sandbox), tmp_path)
    with pytest.raises(sf.UsageError):
        sf.download(nicosia(), tmp_path, quality=77)
    with pytest.raises(sf.UsageError):
        sf.download(tmp_path / "nowhere.csv", tmp_path, client=sandbox)
    assert pictures(tmp_path) == set()


def test_an_estimate_counts_without_crawling(sandbox):
    estimate = sf.estimate(bbox=NICOSIA, client=sandbox)
    crawled = sf.sequences(bbox=NICOSIA, client=sandbox).to_arrow().num_rows
    assert estimate.sequences == crawled == 12
    assert estimate.tiles > 0 and estimate.failed_tiles == 0
    assert not [path for host, path in sandbox.requests() if "/images" in path or "ids=" in path]
    assert sf.estimate(bbox=NICOSIA, limit=3, client=sandbox).images == 3
    lines = sf.estimate(bbox=NICOSIA, lines_only=True, client=sandbox)
    assert lines.images_are_estimated and lines.images_range[0] < lines.images < lines.images_range[1]
    with pytest.raises(sf.UsageError, match="reads no tiles"):
        sf.estimate(user="maria_streets", client=sandbox)


def test_a_table_is_converted(nicosia, tmp_path):
    nicosia(fields=["geometry", "captured_at"]).write(tmp_path / "a.csv")
    messages = sf.convert(tmp_path / "a.csv", tmp_path / "a.geojson")
    assert messages == [f"converted 611 records into {tmp_path / 'a.geojson'}"] or "converted 611" in messages[-1]
    assert len(json.loads((tmp_path / "a.geojson").read_text())["features"]) == 611
    sf.convert(tmp_path / "a.csv", tmp_path / "b.csv", fields=["captured_at"])
    assert (tmp_path / "b.csv").read_text().splitlines()[0] == "seq_id,img_id,captured_at"
    with pytest.raises(sf.UsageError):
        sf.convert(tmp_path / "nowhere.csv", tmp_path / "c.csv")
    with pytest.raises(sf.UsageError, match="xlsx"):
        sf.convert(tmp_path / "a.csv", tmp_path / "c.xlsx")
    assert not (tmp_path / "c.csv").exists()


def fields_requested(sandbox) -> set[str]:
    texts = [path.split("fields=")[1].split("&")[0] for host, path in sandbox.requests() if "fields=" in path]
    return {field for text in texts for field in text.replace("%2C", ",").split(",")} - {"id", "images"}


def test_a_lazy_frame_requests_the_fields_that_it_uses(sandbox):
    frame = sf.scan_polars(bbox=NICOSIA, client=sandbox)
    assert sandbox.requests() == []
    assert {"seq_id", "img_id", "is_pano", "width"} <= set(frame.collect_schema())
    counts = frame.group_by("is_pano").len().collect()
    assert counts["len"].sum() == 611
    assert fields_requested(sandbox) == {"is_pano"}


def test_a_lazy_frame_stops_after_its_head(sandbox):
    # A query without fields can use all of them too.
    assert sf.scan_polars(sf.Query(bbox=NICOSIA), client=sandbox).select("make").collect().height == 611
    frame = sf.scan_polars(bbox=NICOSIA, client=sandbox, fields=["width", "is_pano"])
    assert frame.head(10).collect().shape == (10, 4)
    assert frame.filter(pl.col("is_pano")).select("img_id").collect().height > 0
    assert frame.select(pl.len()).collect().item() == 611


def test_the_client_of_the_process_is_shared_until_its_environment_changes(sandbox, monkeypatch):
    for name, text in sandbox.env.items():
        monkeypatch.setenv(name, text)
    client = sf.default_client()
    assert sf.default_client() is client
    assert sf.images(bbox=NICOSIA).to_arrow().num_rows == 611
    monkeypatch.setenv("MAPILLARY_TOKEN", "MLY|1|a")
    assert sf.default_client() is not client
    with pytest.raises(sf.AuthError):
        sf.images(bbox=NICOSIA).to_arrow()
