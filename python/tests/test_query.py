"""Arguments of a query."""

from __future__ import annotations

import datetime as dt
import inspect
import json
import pathlib

import geopandas
import numpy as np
import pandas as pd
import pytest
import shapely
import streetflow as sf
from conftest import NICOSIA

SQUARE = shapely.box(*NICOSIA)


def value(name: str, argument) -> object:
    start = {} if name in ("bbox", "area", "around", "images", "sequences") else {"user": "me"}
    return sf.Query(**start, **{name: argument}).to_dict()[name.rstrip("_")]


@pytest.mark.parametrize(
    "box",
    [NICOSIA, list(NICOSIA), "33.33,35.15,33.39,35.19", np.array(NICOSIA), SQUARE, geopandas.GeoSeries([SQUARE])],
    ids=["tuple", "list", "text", "numpy", "shapely", "geopandas"],
)
def test_a_box_may_be_given_in_many_ways(box):
    assert value("bbox", box) == list(NICOSIA)


def test_an_area_may_be_given_in_many_ways(sandbox, tmp_path):
    geojson = shapely.geometry.mapping(SQUARE)
    feature = {"type": "Feature", "properties": {"at": dt.date(2024, 1, 1)}, "geometry": geojson}
    frame = geopandas.GeoDataFrame({"day": [pd.Timestamp("2024-01-01")]}, geometry=[SQUARE], crs=4326)
    path = tmp_path / "area.geojson"
    path.write_text(json.dumps(geojson))
    areas = [
        SQUARE,
        geojson,
        json.dumps(geojson),
        feature,
        {"type": "FeatureCollection", "features": [feature]},
        frame,
        frame.to_crs(3857),
        frame.geometry,
        [SQUARE],
        path,
        str(path),
    ]
    expected = sf.sequences(bbox=NICOSIA, client=sandbox).to_arrow()["seq_id"].to_pylist()
    for area in areas:
        found = sf.sequences(area=area, client=sandbox).to_arrow()["seq_id"].to_pylist()
        assert sorted(found) == sorted(expected), repr(area)[:60]


@pytest.mark.parametrize(
    ("date", "text"),
    [
        ("2024-06-01", "2024-06-01"),
        (dt.date(2024, 6, 1), "2024-06-01"),
        (dt.datetime(2024, 6, 1, 8, 30), "2024-06-01T08:30:00.000Z"),
        (dt.datetime(2024, 6, 1, 8, 30, tzinfo=dt.timezone(dt.timedelta(hours=3))), "2024-06-01T05:30:00.000Z"),
        (pd.Timestamp("2024-06-01T08:30:00Z"), "2024-06-01T08:30:00.000Z"),
        (np.datetime64("2024-06-01T08:30"), "2024-06-01T08:30:00.000Z"),
    ],
)
def test_dates_may_be_given_in_many_ways(date, text):
    assert value("from_", date) == text


@pytest.mark.parametrize(
    "ids",
    [["1", "2"], [1, 2], "1,2", np.array([1, 2]), pd.Series(["1", "2"]), ("1", 2)],
    ids=["texts", "numbers", "text", "numpy", "pandas", "mixed"],
)
def test_ids_are_text(ids):
    assert value("images", ids) == "1,2"


def test_a_float_is_no_id():
    with pytest.raises(sf.UsageError, match="no id") as caught:
        sf.Query(images=[7.28019821979741e14])
    assert "text" in caught.value.hint


def test_many_ids_need_no_file(sandbox):
    ids = sf.images(bbox=NICOSIA, client=sandbox).to_arrow()["img_id"].to_pylist()
    images = sf.images(images=ids, client=sandbox)
    assert sorted(images.to_arrow()["img_id"].to_pylist()) == sorted(ids)


def test_from_is_a_word_of_python_and_may_be_passed_by_name():
    assert sf.Query(user="me", **{"from": "2024-06-01"}) == sf.Query(user="me", from_="2024-06-01")


def test_an_unknown_argument_is_a_type_error_with_the_closest_name():
    with pytest.raises(TypeError, match="did you mean `fields`"):
        sf.images(bbox=NICOSIA, field=["width"])
    with pytest.raises(TypeError, match="the arguments are"):
        sf.Query(zzz=1)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"bbox": (1, 2, 3)}, "bbox"),
        ({"bbox": NICOSIA, "fields": ["colour"]}, "colour"),
        ({"bbox": NICOSIA, "every": -1}, "every"),
        ({"bbox": NICOSIA, "limit": 0}, "limit"),
        ({"bbox": NICOSIA, "limit": object()}, "limit"),
        ({"bbox": NICOSIA, "min_quality": "good"}, "min_quality"),
        ({"area": 5}, "area"),
        ({"area": "/nowhere/area.geojson"}, "area"),
        ({"bbox": NICOSIA, "from_": 5}, "from_"),
    ],
)
def test_invalid_values_are_usage_errors_that_name_the_argument(arguments, words):
    with pytest.raises(sf.UsageError, match=words):
        sf.Query(**arguments)


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"around": (33.36, 35.17)},
        {"bbox": NICOSIA, "pano": True, "flat": True},
        {"bbox": NICOSIA, "images": ["1"]},
        {"user": "me", "clip": True},
    ],
)
def test_contradictions_are_usage_errors_before_a_request(sandbox, arguments):
    with pytest.raises(sf.UsageError):
        sf.images(**arguments, client=sandbox).to_arrow()
    assert sandbox.requests() == []


def test_a_query_is_data():
    query = sf.Query(bbox=NICOSIA, pano=True, fields="captured_at,geometry")
    assert sf.Query.from_json(query.to_json()) == query and hash(sf.Query.from_json(query.to_json())) == hash(query)
    assert query.fields == ["captured_at", "geometry"]
    assert query.replace(pano=None, limit=5).to_dict() == {
        "bbox": list(NICOSIA),
        "limit": 5,
        "fields": ["captured_at", "geometry"],
    }
    assert repr(query).startswith("streetflow.Query(bbox=[33.33")
    assert query != sf.Query(bbox=NICOSIA)


def test_filters_are_those_of_the_command(nicosia):
    every = nicosia().to_arrow().num_rows
    panoramas = nicosia(pano=True).to_arrow().num_rows
    flat = nicosia(flat=True).to_arrow().num_rows
    assert panoramas + flat == every and panoramas > 0 and flat > 0
    assert nicosia(limit=7).to_arrow().num_rows == 7
    thinned = nicosia(every=50)
    assert 0 < thinned.to_arrow().num_rows < every
    assert thinned.report.filtered == every - thinned.report.records
    clipped = nicosia(clip=True, fields=["geometry"]).to_geopandas()
    assert 0 < len(clipped) and clipped.within(SQUARE.buffer(1e-9)).all()


def test_the_sandbox_without_an_area_is_cyprus():
    assert sf.sequences(sandbox=True).to_arrow().num_rows > 12
    with pytest.raises(sf.UsageError, match="both"):
        sf.images(sandbox=True, client=sf.Sandbox())


def test_the_arguments_are_those_of_the_command(tmp_path):
    """Every flag of the crawl about what is crawled is an argument."""
    from streetflow._query import NAMES

    import subprocess
    import sys

    text = subprocess.run(
        [sys.executable, "-m", "streetflow", "crawl", "--help"], capture_output=True, text=True, check=True
    ).stdout
    flags = {word.strip(",").removeprefix("--").replace("-", "_") for word in text.split() if word.startswith("--")}
    assert {name.rstrip("_") for name in NAMES} <= flags


def test_every_public_name_has_a_docstring():
    for name in sf.__all__:
        item = getattr(sf, name)
        if inspect.isclass(item) or inspect.isroutine(item):
            assert inspect.getdoc(item), name
            assert pathlib.Path(sf.__file__).exists()
