"""Map pages."""

from __future__ import annotations

import base64
import html
import pathlib
import re
import subprocess
import sys
import zlib

import geopandas
import pandas as pd
import polars as pl
import pytest
import streetflow as sf
from conftest import NICOSIA


def test_a_stream_becomes_a_page_that_counts_its_images(nicosia, sandbox):
    images = nicosia()
    page = images.map(title="Nicosia <old town>")
    assert (len(page), page.unplaced) == (611, 0)
    assert page.html.startswith("<!doctype html><!-- streetflow map -->")
    assert "<title>Nicosia &lt;old town>" in page.html
    assert images.report.records == 611 and images.report.gone == 1 and images.report.complete
    # The page shows more than the fields of the query, and requests no pictures.
    requested = [path for host, path in sandbox.requests() if host == "graph" and "fields=" in path]
    assert any("creator" in path and "geometry" in path for path in requested)
    assert not any("thumb" in path for path in requested)


def test_a_notebook_gets_the_page_in_a_frame(nicosia):
    page = nicosia(limit=5).map()
    frame = page._repr_html_()
    source = re.fullmatch(r'<iframe [^>]*srcdoc="([^"]*)"></iframe>', frame)
    assert source, frame[:300]
    # The nonce of the script is new in each page.
    plain = [re.sub(r'nonce(=|-)["\']?\w+', "", text) for text in (html.unescape(source[1]), page.html)]
    assert plain[0] == plain[1]


def test_a_stream_makes_one_map(nicosia):
    images = nicosia()
    images.map()
    for read in (sf.Stream.map, sf.Stream.to_arrow):
        with pytest.raises(sf.StreamConsumedError, match="read already"):
            read(images)


def test_a_page_is_written_whole_and_replaces_only_a_page(nicosia, tmp_path):
    path = tmp_path / "map.html"
    page = nicosia().map(path)
    first = path.read_text(encoding="utf-8")
    assert first.startswith("<!doctype html>") and first.rstrip().endswith("</html>")
    assert list(tmp_path.glob("*.html*")) == [path], "no temporary file is left"
    assert page.write(path) == path
    other = tmp_path / "notes.html"
    other.write_text("mine", encoding="utf-8")
    with pytest.raises(sf.UsageError, match="no map page"):
        page.write(other)
    assert other.read_text(encoding="utf-8") == "mine"
    assert page.write(tmp_path / "new" / "map.html").is_file()
    with pytest.raises(OSError):
        page.write(path / "map.html")


def test_tables_become_pages_without_requests(nicosia, tmp_path):
    rows = nicosia(fields=["captured_at", "geometry", "make"])
    arrow = rows.to_arrow()
    nicosia(fields=["geometry"]).write(tmp_path / "images.csv")
    tables = {
        "arrow": arrow,
        "polars": pl.DataFrame(arrow),
        "geopandas": geopandas.GeoDataFrame.from_arrow(arrow),
        "pandas": pd.DataFrame({"seq_id": ["a", "a"], "img_id": ["1", "2"], "lon": [33.3, None], "lat": [35.1, None]}),
        "path": tmp_path / "images.csv",
    }
    for name, table in tables.items():
        page = sf.map_page(table)
        expected = (1, 1) if name == "pandas" else (611, 0)
        assert (len(page), page.unplaced) == expected, name
    assert "1 without coordinates" in repr(sf.map_page(tables["pandas"]))


def test_the_page_is_that_of_the_command(nicosia, tmp_path):
    nicosia(fields=["captured_at", "geometry", "make", "is_pano", "creator"]).write(tmp_path / "images.csv")
    command = [sys.executable, "-m", "streetflow", "map", "images.csv", "--out", "theirs.html"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    sf.map_page(tmp_path / "images.csv", tmp_path / "ours.html", title="images")
    theirs, ours = (blocks(tmp_path / name) for name in ("theirs.html", "ours.html"))
    assert len(theirs) > 5 and theirs == ours


def blocks(path: pathlib.Path) -> dict[str, str]:
    """The library and the columns of a page, without the description, which has the title."""
    text = path.read_text(encoding="utf-8")
    found = dict(re.findall(r'id="block-(\w+)">([^<]*)</script>', text))
    found.pop("head", None)
    return found


def head(path: pathlib.Path) -> str:
    """The description of a page."""
    text = path.read_text(encoding="utf-8")
    return zlib.decompress(base64.b64decode(re.search(r'id="block-head">([^<]*)<', text)[1])).decode()


def test_pictures_on_the_disk_are_on_the_page(nicosia, tmp_path):
    sf.download(nicosia(limit=3), tmp_path / "pictures")
    nicosia(limit=3).map(tmp_path / "with.html", pictures=tmp_path / "pictures")
    nicosia(limit=3).map(tmp_path / "without.html")
    heads = [head(tmp_path / name) for name in ("with.html", "without.html")]
    assert "pictures/" in heads[0] and "pictures/" not in heads[1]
    with pytest.raises(sf.UsageError, match="not written"):
        nicosia().map(pictures=tmp_path)


def test_what_is_no_map_is_refused(nicosia, sandbox, tmp_path):
    images = nicosia()
    for arguments, words in [
        ({"basemap": "http://example.org/style.json"}, "https"),
        ({"basemap": "https://example.org/{z}/{x}/{y}.png"}, "credit"),
        ({"geometry": "nearest"}, "geometry"),
    ]:
        with pytest.raises(sf.UsageError, match=words):
            nicosia().map(**arguments)
    with pytest.raises(sf.UsageError, match="sequences"):
        sf.sequences(bbox=NICOSIA, client=sandbox).map()
    with pytest.raises(sf.UsageError, match="coordinates"):
        sf.map_page(pl.DataFrame({"seq_id": ["a"], "img_id": ["1"]}))
    with pytest.raises(sf.UsageError, match="is no table"):
        sf.map_page(17)
    with pytest.raises(sf.UsageError):
        sf.map_page(tmp_path / "nowhere.csv")
    assert len(images.map()) == 611, "no refusal used up another stream"


def test_a_failed_crawl_makes_no_page(sandbox, tmp_path):
    sandbox.fail("graph", "auth")
    with pytest.raises(sf.AuthError):
        sf.images(bbox=NICOSIA, client=sandbox).map(tmp_path / "map.html")
    assert not (tmp_path / "map.html").exists()


def test_an_empty_area_is_an_empty_page(sandbox):
    assert len(sf.images(bbox=(33.9, 34.9, 33.901, 34.901), client=sandbox).map()) == 0
