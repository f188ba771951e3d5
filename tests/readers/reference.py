"""The reference of the readers: the CSV file that a run writes beside the other formats, read by Python's csv module.

Whatever a reader gives back must be the same to the bit.
"""

import csv
import json
import struct

import numpy as np
import pyarrow as pa

# The columns by kind: the parser of a CSV cell, and the expected Arrow type.
KINDS = [
    (
        "org_id seq_id img_id id sequence camera_type make model creator_id creator_username organization_id "
        "thumb_256_url thumb_1024_url thumb_2048_url thumb_original_url mesh_id mesh_url sfm_cluster_id "
        "sfm_cluster_url attribution page_url",
        str,
        pa.string(),
    ),
    (
        "lon lat computed_lon computed_lat compass_angle computed_compass_angle altitude computed_altitude "
        "atomic_scale quality_score merge_cc",
        float,
        pa.float64(),
    ),
    ("exif_orientation width height", int, pa.int32()),
    ("is_pano on_foot", {"true": True, "false": False}.__getitem__, pa.bool_()),
    ("captured_at", int, pa.timestamp("ms", "UTC")),
    ("computed_rotation camera_parameters", lambda t: json.loads(t, parse_int=float), pa.list_(pa.float64())),
    ("detections", json.loads, pa.list_(pa.string())),
]
PARSE = {name: parse for names, parse, _ in KINDS for name in names.split()}
EDGES = ["xmin", "ymin", "xmax", "ymax"]
ARROW = {name: arrow for names, _, arrow in KINDS for name in names.split()} | {
    "captured_at_raw": pa.int64(),
    "geometry": pa.binary(),
    "bbox": pa.struct([pa.field(edge, pa.float32(), nullable=False) for edge in EDGES]),
}
# Milliseconds of the years 1 to 9999.
TIMES = range(-62_135_596_800_000, 253_402_300_800_000)


def read_csv(path):
    """Returns the columns of a CSV file by name, with None for empty cells."""
    with open(path, newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    return {name: [PARSE[name](row[i]) if row[i] else None for row in rows] for i, name in enumerate(header)}


def points(table, place="original"):
    """Returns (lon, lat) or None for each row. None for a table without coordinates."""

    def of(lon, lat):
        return [None if None in pair else pair for pair in zip(table[lon], table[lat])]

    if "lon" not in table:
        return None
    if place == "original":
        return of("lon", "lat")
    computed = of("computed_lon", "computed_lat")
    return computed if place == "computed" else [c or o for c, o in zip(computed, of("lon", "lat"))]


def wkb(point):
    return point and struct.pack("<BIdd", 1, 1, *point)


def feature_columns(table, place="original"):
    """Returns the columns as in GeoJSON: the geometry replaces the original point, or is in addition to both."""
    hidden = ("lon", "lat") if place == "original" else ()
    columns = {name: values for name, values in table.items() if name not in hidden}
    places = points(table, place)
    return columns if places is None else columns | {"geometry": [wkb(point) for point in places]}


def parquet_columns(table, place="original"):
    """Returns the columns as in Parquet, without boxes. Times that are no timestamps have their own column."""
    columns = {}
    for name, values in feature_columns(table, place).items():
        columns[name] = values
        if name == "captured_at":
            columns[name] = [value if value in TIMES else None for value in values]
            columns["captured_at_raw"] = [None if value in TIMES else value for value in values]
    return columns


def bits(value):
    """Returns a key that is unique for a value: in Python, 0.0 equals -0.0, and 1 equals 1.0 and True."""
    if isinstance(value, list):
        return [bits(item) for item in value]
    return struct.pack("<d", value) if isinstance(value, float) else (type(value), value)


def differences(expected, got):
    """Returns the differences of a reader's result: columns, order, number of rows, values."""
    wrong = [] if list(expected) == list(got) else [f"columns {list(got)} instead of {list(expected)}"]
    for column in expected.keys() & got.keys():
        if len(expected[column]) != len(got[column]):
            wrong.append(f"{column} has {len(got[column])} rows instead of {len(expected[column])}")
        pairs = enumerate(zip(expected[column], got[column]))
        wrong += [f"{column}[{row}] is {b!r} instead of {a!r}" for row, (a, b) in pairs if bits(a) != bits(b)]
    return wrong


def coordinates(places):
    return np.array([point or (np.nan, np.nan) for point in places]).reshape(-1, 2).T


def extent(places):
    lon, lat = coordinates([point for point in places if point])
    return [lon.min(), lat.min(), lon.max(), lat.max()] if len(lon) else None


def search(table, places):
    """Returns a box around at least a hundredth of the points, and the ids of its images.

    No point is so near the edge of the box that rounding to 32 bits would decide whether it is in.
    """
    lon, lat = coordinates(places)

    def inside(by=0.0):
        return (west - by <= lon) & (lon <= east + by) & (south - by <= lat) & (lat <= north + by)

    known = np.flatnonzero(~np.isnan(lon))
    if not len(known):
        return (0.0, 0.0, 0.0, 0.0), []
    middle = known[len(known) // 2]
    size = 0.0
    while True:
        west, east = float(lon[middle] - size), float(lon[middle] + size)
        south, north = float(lat[middle] - size), float(lat[middle] + size)
        # At 180 degrees, adjacent 32-bit numbers are 1.5e-5 apart, elsewhere less.
        if inside().sum() >= len(known) / 100 and inside(2e-5).sum() == inside(-2e-5).sum():
            return (west, south, east, north), [table["img_id"][row] for row in np.flatnonzero(inside())]
        size += 2e-4
