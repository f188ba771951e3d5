"""The tables of the package are the files of the command, byte for byte."""

from __future__ import annotations

import pathlib
import re

import pyarrow.parquet as pq
import pytest
import streetflow as sf
from conftest import NICOSIA
from test_stream import run_command

BOX = ",".join(map(str, NICOSIA))
FIELDS = ",".join(sf.known_fields())

#: For each kind of records: the command, the name of its table, and the call.
KINDS = {
    "images": (
        ["crawl", "--bbox", BOX, "--no-download", "--limit", "200", "--fields", FIELDS, "--batch-size", "20"],
        "img_meta_dataset",
        lambda **more: sf.images(bbox=NICOSIA, limit=200, fields=FIELDS, batch_size=20, **more),
    ),
    "sequences": (["sequences", "--bbox", BOX], "seq_dataset", lambda **more: sf.sequences(bbox=NICOSIA, **more)),
    "detections": (
        ["crawl", "--bbox", BOX, "--no-download", "--limit", "60", "--detections", "--detections-to-keep", "object--*"],
        "img_detections_dataset",
        lambda **more: sf.detections(bbox=NICOSIA, limit=60, values="object--*", **more),
    ),
    "features": (
        ["features", "--bbox", BOX, "--details"],
        "map_features",
        lambda **more: sf.features(bbox=NICOSIA, details=True, **more),
    ),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.filterwarnings("ignore::streetflow.StreetflowWarning")
def test_tables_are_those_of_the_command(kind, sandbox, tmp_path):
    args, name, call = KINDS[kind]
    formats = ["csv", "parquet", "geojson"] if kind != "sequences" else ["csv", "parquet"]
    done = run_command(*args, "--sandbox", "--format", ",".join(formats), cwd=tmp_path)
    assert done.returncode in (0, 3), done.stderr

    theirs = [tmp_path / "outputs" / f"{name}.{format}" for format in formats]
    for path in theirs:
        ours = pathlib.Path(tmp_path, path.name)
        report = call(client=sandbox).write(ours)
        assert report.records > 10
        if path.suffix != ".parquet":
            assert without_hosts(ours) == without_hosts(path), path.name

    # The URLs of pictures name the port of the mock server.
    table, other = pq.read_table(theirs[1]), call(client=sandbox).to_arrow()
    urls = [column for column in other.column_names if column.endswith("_url") and column != "page_url"]
    assert set(other.column_names) <= set(table.column_names)
    assert table.num_rows == other.num_rows
    for column in set(other.column_names).difference(urls):
        assert other[column].to_pylist() == table[column].to_pylist(), column
    written = pq.read_table(tmp_path / f"{name}.parquet")
    assert written.drop_columns(urls) == table.drop_columns(urls)
    notes = [{key: value for key, value in read.schema.metadata.items() if key != b"streetflow:query"} for read in (written, table)]
    assert notes[0] == notes[1] and b"streetflow:licence" in notes[0]


def without_hosts(path: pathlib.Path) -> str:
    return re.sub(r"http://[^\",]*", "URL", path.read_text(encoding="utf-8"))


def test_options_of_a_format(sandbox, tmp_path):
    def images(**more):
        return sf.images(bbox=NICOSIA, limit=50, fields=["captured_at", "geometry"], client=sandbox, **more)

    images().write(tmp_path / "a.parquet", compression="snappy", native_geometry=True)
    chunk = pq.ParquetFile(tmp_path / "a.parquet").metadata.row_group(0).column(0)
    assert chunk.compression == "SNAPPY"
    assert "Geometry" in str(pq.ParquetFile(tmp_path / "a.parquet").schema)
    images().write(tmp_path / "a.geojsonl", rs=True)
    assert (tmp_path / "a.geojsonl").read_bytes().count(b"\x1e") == 50
    for name, option in {"b.csv": {"compression": "snappy"}, "b.geojson": {"rs": True}, "c.csv": {"native_geometry": True}}.items():
        with pytest.raises(sf.UsageError, match="applies only to"):
            images().write(tmp_path / name, **option)
        assert not (tmp_path / name).exists()
    with pytest.raises(sf.UsageError):
        images().write(tmp_path / "b.parquet", compression="zip")
