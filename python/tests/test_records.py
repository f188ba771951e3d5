"""Detections and map features."""

from __future__ import annotations

import datetime as dt

import pyarrow as pa
import pytest
import streetflow as sf
from conftest import NICOSIA


def test_detections_of_the_images_of_a_query(sandbox):
    images = sf.images(bbox=NICOSIA, limit=30, client=sandbox).to_arrow()["img_id"].to_pylist()
    table = sf.detections(bbox=NICOSIA, limit=30, client=sandbox).to_arrow()
    assert table.num_rows > 0 and set(table["img_id"].to_pylist()) <= set(images)
    assert {"img_id", "value"} <= set(table.column_names)


def test_classes_and_areas_select_detections(sandbox):
    every = sf.detections(bbox=NICOSIA, limit=30, client=sandbox).to_arrow()
    objects = sf.detections(bbox=NICOSIA, limit=30, values=["object--*"], client=sandbox).to_arrow()
    values = every["value"].to_pylist()
    assert sorted(objects["value"].to_pylist()) == sorted(value for value in values if value.startswith("object--"))
    assert 0 < objects.num_rows < every.num_rows
    large = sf.detections(bbox=NICOSIA, limit=30, min_area=0.1, client=sandbox).to_arrow().num_rows
    assert 0 <= large < every.num_rows


def test_filters_of_images_apply_to_their_detections(sandbox):
    panoramas = set(sf.images(bbox=NICOSIA, pano=True, client=sandbox).to_arrow()["img_id"].to_pylist())
    found = sf.detections(bbox=NICOSIA, pano=True, client=sandbox).to_arrow()["img_id"].to_pylist()
    assert found and set(found) <= panoramas


def test_map_features_of_an_area(sandbox):
    every = sf.features(bbox=NICOSIA, client=sandbox).to_arrow()
    signs = sf.features(bbox=NICOSIA, kind="sign", client=sandbox).to_arrow()
    objects = sf.features(bbox=NICOSIA, kind="object", client=sandbox).to_arrow()
    assert signs.num_rows + objects.num_rows == every.num_rows and signs.num_rows > 0 and objects.num_rows > 0
    frame = sf.features(bbox=NICOSIA, client=sandbox).to_geopandas()
    # The mock server has some features without coordinates, which cost only themselves.
    frame = frame[frame.geometry.notna() & ~frame.geometry.is_empty]
    assert len(frame) > 0.9 * every.num_rows
    west, south, east, north = NICOSIA
    assert frame.geometry.x.between(west, east).all() and frame.geometry.y.between(south, north).all()
    assert sf.features(bbox=NICOSIA, limit=3, client=sandbox).to_arrow().num_rows == 3


def test_details_of_map_features(sandbox):
    table = sf.features(bbox=NICOSIA, min_images=2, client=sandbox).to_arrow()
    assert "image_ids" in table.column_names
    assert all(count >= 2 for count in table["n_images"].to_pylist())
    recent = sf.features(bbox=NICOSIA, seen_from=dt.date(2023, 1, 1), client=sandbox).to_arrow()
    start = dt.datetime(2023, 1, 1, tzinfo=dt.timezone.utc)
    assert all(time >= start for time in recent["last_seen_at"].to_pylist())


@pytest.mark.parametrize(
    ("call", "arguments"),
    [
        (sf.features, {"kind": "tree"}),
        (sf.features, {"seen_from": "2024-01-02", "seen_to": "2024-01-01"}),
        (sf.features, {"fields": "colour"}),
        (sf.features, {"kind": 5}),
        (sf.features, {"details": "yes"}),
        *[(sf.features, {"min_images": count}) for count in ("3", 2.5, 0, -1)],
        (sf.detections, {"fields": ["colour"]}),
        *[(sf.detections, {"min_area": area}) for area in ("0.1", 1.5, -0.1, True)],
    ],
)
def test_invalid_options_are_errors_at_once(sandbox, call, arguments):
    with pytest.raises(sf.UsageError):
        call(bbox=NICOSIA, client=sandbox, **arguments)


def test_the_schemas_are_those_of_the_rows(sandbox):
    for stream in (sf.detections(bbox=NICOSIA, limit=5, client=sandbox), sf.features(bbox=NICOSIA, client=sandbox)):
        schema = pa.schema(stream)
        assert stream.to_pylist()[0].keys() == set(schema.names)


def test_arguments_without_effect_are_refused(sandbox):
    for name, value in {"min_quality": 0.5, "every": 20, "limit": 3, "fields": ["geometry"], "clip": True}.items():
        with pytest.raises(sf.UsageError, match=f"failed to list the sequences: `{name}` does not apply"):
            sf.sequences(bbox=NICOSIA, client=sandbox, **{name: value})
    for name, value in {"org_id": [1], "from_": "2024-01-01", "pano": True, "user": "maria_streets"}.items():
        with pytest.raises(sf.UsageError, match=f"failed to find map features: `{name}` does not apply"):
            sf.features(bbox=NICOSIA, client=sandbox, **{name: value})
    with pytest.raises(TypeError, match="did you mean `every`"):
        sf.features(bbox=NICOSIA, client=sandbox, evry=3)
    # A query may be for images too.
    query = sf.Query(bbox=NICOSIA, limit=3, fields=["geometry"])
    assert sf.sequences(query, client=sandbox).to_arrow().num_rows == 12


def test_the_size_of_requests_of_detections(sandbox):
    def requests(**size) -> int:
        before = len(sandbox.requests())
        sf.detections(bbox=NICOSIA, limit=40, client=sandbox, **size).to_arrow()
        return sum("detections" in path for _, path in sandbox.requests()[before:])

    assert (requests(), requests(batch_size=10)) == (2, 4)
    for size in (0, 51, -1, 2.5):
        with pytest.raises(sf.UsageError, match="`batch_size`"):
            sf.detections(bbox=NICOSIA, batch_size=size, client=sandbox)
