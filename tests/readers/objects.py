"""Tables of detections and map features: each reader gives the values of the CSV file, with the right types."""

import csv
import json
import struct

import duckdb
import geopandas
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from readers import attempt, check, compare
from reference import EDGES, TIMES, extent, wkb

csv.field_size_limit(1 << 24)

FORMATS = {"csv": "csv", "parquet": "parquet", "geojson": "geojson", "geojsonseq": "geojsonl"}
AREA = ["--bbox", "33.33,35.15,33.39,35.19"]


def nested(kind, depth):
    return pa.list_(nested(kind, depth - 1)) if depth else kind


# The parser of a CSV cell, the type in Arrow and in DuckDB.
TEXT = (str, pa.string(), "VARCHAR")
FLOAT = (float, pa.float64(), "DOUBLE")
INTEGER = (int, pa.int32(), "INTEGER")
TIME = (int, pa.timestamp("ms", "UTC"), "TIMESTAMP WITH TIME ZONE")
BOOL = ({"true": True, "false": False}.__getitem__, pa.bool_(), "BOOLEAN")
TEXTS = (json.loads, nested(pa.string(), 1), "VARCHAR[]")
POLYGONS = (lambda cell: json.loads(cell, parse_int=float), nested(pa.float64(), 4), "DOUBLE[][][][]")

DETECTIONS = {
    "img_id": TEXT, "detection_id": TEXT, "value": TEXT, "created_at": TIME, "width": INTEGER, "height": INTEGER,
    "exif_orientation": INTEGER, "kind": TEXT, "x": FLOAT, "y": FLOAT, "w": FLOAT, "h": FLOAT, "area": FLOAT,
    "parts": INTEGER, "holes": INTEGER, "touches_edge": BOOL, "polygons": POLYGONS, "geometry": TEXT,
}  # fmt: skip
FEATURES = {
    "feature_id": TEXT, "value": TEXT, "kind": TEXT, "lon": FLOAT, "lat": FLOAT, "first_seen_at": TIME,
    "last_seen_at": TIME, "object_type": TEXT, "aligned_direction": FLOAT, "n_images": INTEGER, "image_ids": TEXTS,
}  # fmt: skip


def is_time(value):
    """Whether a value is a time of Arrow. `None in TIMES` would visit the whole range."""
    return value is not None and value in TIMES


class Table:
    """The CSV file, and what it is in Parquet. `point` is the name of the geometry column there; None without one."""

    def __init__(self, folder, name, kinds, point=None):
        self.folder, self.name, self.kinds, self.point = folder, name, kinds, point
        with open(self.path("csv"), newline="", encoding="utf-8") as file:
            header, *rows = csv.reader(file)
        parse = {column: (kinds | {"lon": FLOAT, "lat": FLOAT})[column][0] for column in header}
        self.cells = {
            column: [parse[column](row[i]) if row[i] else None for row in rows] for i, column in enumerate(header)
        }
        self.key = self.cells["feature_id" if "feature_id" in header else "detection_id"]
        places = zip(self.cells.get("lon", []), self.cells.get("lat", []))
        self.places = [None if None in place else place for place in places]

    def path(self, ending):
        return self.folder / f"{self.name}.{ending}"

    def parquet(self):
        """Returns the columns of the Parquet file without boxes: values, Arrow type and DuckDB type."""
        columns = {}
        for name, values in self.cells.items():
            if name in ("lon", "lat"):
                continue
            columns[name] = (values, *self.kinds[name][1:])
            if self.kinds[name] is TIME:
                columns[name] = ([time if is_time(time) else None for time in values], *TIME[1:])
                raw = [None if is_time(time) else time for time in values]
                columns[f"{name}_raw"] = (raw, pa.int64(), "BIGINT")
        if self.point:
            columns[self.point] = ([wkb(place) for place in self.places], pa.binary(), "GEOMETRY")
        return columns

    def times(self):
        return [name for name in self.cells if self.kinds.get(name) is TIME]


def with_pyarrow(label, table):
    columns = table.parquet()
    file = pq.ParquetFile(table.path("parquet"))
    got = {field.name: field.type for field in file.schema_arrow}
    wanted = {name: kind for name, (_, kind, _) in columns.items()}
    box = pa.struct([pa.field(edge, pa.float32(), nullable=False) for edge in EDGES])
    wanted |= {"bbox": box} if table.point else {}
    check(f"{label}: pyarrow, types of the columns", got == wanted and list(got) == list(wanted), got)
    arrow = file.read()
    for name in table.times():
        arrow = arrow.set_column(arrow.schema.get_field_index(name), name, arrow[name].cast(pa.int64()))
    values = {name: arrow[name].to_pylist() for name in columns}
    compare(f"{label}: pyarrow, values of {len(table.key)} rows", {n: c[0] for n, c in columns.items()}, values)
    notes = {key.decode(): value.decode() for key, value in file.metadata.metadata.items()}
    if table.point is None:
        return check(f"{label}: pyarrow, shapes in pictures are not declared as geography", "geo" not in notes)
    geo = json.loads(notes["geo"])
    good = geo["primary_column"] == table.point and list(geo["columns"]) == [table.point]
    good = good and geo["columns"][table.point]["geometry_types"] == ["Point"]
    good = good and geo["columns"][table.point].get("bbox") == extent(table.places)
    return check(f"{label}: pyarrow, `geo` declares only the points of `{table.point}`", good, geo)


def with_polars(label, table):
    frame = pl.read_parquet(table.path("parquet"))
    frame = frame.with_columns(pl.col(name).dt.epoch("ms") for name in table.times())
    got = frame.select(pl.exclude("bbox")).to_dict(as_series=False)
    compare(f"{label}: polars, values", {name: column[0] for name, column in table.parquet().items()}, got)


def with_duckdb(label, table):
    columns, path = table.parquet(), table.path("parquet")
    kinds = dict(row[:2] for row in duckdb.sql(f"DESCRIBE FROM '{path}'").fetchall())
    wanted = {name: kind for name, (_, _, kind) in columns.items()}
    odd = [(name, kinds.get(name)) for name in wanted if not kinds.get(name, "").startswith(wanted[name])]
    check(f"{label}: duckdb, types of the columns", not odd, odd)
    shown = {name: f"epoch_ms({name})" for name in table.times()}
    shown |= {table.point: f"ST_AsWKB({table.point})"} if table.point else {}
    select = ", ".join(f'{shown.get(name, name)} AS "{name}"' for name in columns)
    answer = duckdb.sql(f"SELECT {select} FROM '{path}'")
    rows = answer.fetchall()
    got = {name: [row[i] for row in rows] for i, name in enumerate(answer.columns)}
    compare(f"{label}: duckdb, values", {name: column[0] for name, column in columns.items()}, got)


def with_geopandas(label, table):
    path = table.path("parquet")
    if table.point is None:
        try:
            geopandas.read_parquet(path)
            return check(f"{label}: geopandas takes it for no map", False)
        except ValueError as error:
            return check(f"{label}: geopandas takes it for no map", "geo metadata" in str(error), error)
    frame = geopandas.read_parquet(path)
    good = frame.geometry.name == table.point and frame.crs.to_authority() == ("OGC", "CRS84")
    check(f"{label}: geopandas, the points are `{table.point}` in OGC:CRS84", good, (frame.geometry.name, frame.crs))
    got = {"point": [point and point.wkb for point in frame.geometry]}
    return compare(f"{label}: geopandas, points", {"point": [wkb(place) for place in table.places]}, got)


def cells_of_csv(label, table):
    """The nested columns of the CSV file, parsed by polars and duckdb."""
    path = table.path("csv")
    for name, (_, _, kind) in ((n, k) for n, k in table.kinds.items() if n in table.cells and k in (POLYGONS, TEXTS)):
        rows = duckdb.sql(f"SELECT {name}::JSON::{kind} FROM read_csv('{path}', all_varchar = true)").fetchall()
        compare(f"{label}: duckdb, {name} of the CSV", {name: table.cells[name]}, {name: [row[0] for row in rows]})
        depth, of = kind.count("[]"), pl.Float64 if "DOUBLE" in kind else pl.String
        dtype = of
        for _ in range(depth):
            dtype = pl.List(dtype)
        frame = pl.read_csv(path, infer_schema=False)
        got = frame[name].str.json_decode(dtype).to_list()
        compare(f"{label}: polars, {name} of the CSV", {name: table.cells[name]}, {name: got})


def with_json(label, table, ending):
    """Features at points only: shapes of detections are properties."""
    text = table.path(ending).read_text(encoding="utf-8")
    features = json.loads(text)["features"] if ending == "geojson" else [json.loads(t) for t in text.splitlines()]
    names = [name for name in table.cells if name not in ("lon", "lat")]
    doubles = {name for name in names if table.kinds[name] in (FLOAT, POLYGONS)}

    def value(name, found):
        if name not in doubles or found is None:
            return found
        return json.loads(json.dumps(found), parse_int=float)

    got = {name: [value(name, feature["properties"][name]) for feature in features] for name in names}
    compare(f"{label}: json, properties", {name: table.cells[name] for name in names}, got)
    check(f"{label}: json, the id is the record's", [feature["id"] for feature in features] == table.key)
    shapes = [feature["geometry"] for feature in features]
    check(f"{label}: json, points or nothing", all(shape is None or shape["type"] == "Point" for shape in shapes))
    if table.places:
        got = {"point": [shape and wkb(shape["coordinates"]) for shape in shapes]}
        compare(f"{label}: json, points", {"point": [wkb(place) for place in table.places]}, got)
    frame = geopandas.read_file(table.path(ending))
    points = [point and struct.pack("<BIdd", 1, 1, point.x, point.y) for point in frame.geometry]
    wanted = [shape and wkb(shape["coordinates"]) for shape in shapes]
    compare(f"{label}: geopandas reads the features", {"point": wanted}, {"point": points})


def all_readers(label, streetflow, table):
    for reader in (with_pyarrow, with_polars, with_duckdb, with_geopandas):
        attempt(reader, f"{label} {table.name}.parquet", table)
    attempt(cells_of_csv, f"{label} {table.name}.csv", table)
    for ending in ("geojson", "geojsonl"):
        attempt(with_json, f"{label} {table.name}.{ending}", table, ending)
    for ending in ("parquet", "geojson", "geojsonl"):
        back = table.folder / f"{ending}.csv"
        streetflow("convert", table.path(ending), back, "--fields", ",".join(fields(table)))
        check(f"{label} {table.name}: {ending} to CSV gives its bytes", back.read_bytes() == table.path("csv").read_bytes())


def fields(table):
    """Returns the fields of the columns: `lon` and `lat` are those of a point."""
    point = "geometry" if "feature_id" in table.cells else "image_geometry"
    names = [point if name in ("lon", "lat") else name for name in table.cells]
    keys = ("img_id", "detection_id", "feature_id")
    return [name for name in dict.fromkeys(names) if name not in keys]


def objects(root, streetflow):
    """Crawls detections and map features of the mock server in all formats."""
    fixed = ["--sandbox", *AREA, "--format", ",".join(FORMATS)]
    chosen = ",".join([*list(DETECTIONS)[2:], "image_geometry"])
    for label, args, point in (("default", [], None), ("placed", ["--image-detections-fields", chosen], "image_geometry")):
        folder = root / f"objects-{label}"
        streetflow("crawl", *fixed, "--limit", "150", "--no-download", "--detections", *args, "-o", folder)
        table = Table(folder, "img_detections_dataset", DETECTIONS, point)
        # Odd rows must be among those that are compared.
        odd = {
            "holes": any(table.cells["holes"]),
            "parts": any((parts or 0) > 1 for parts in table.cells["parts"]),
            "no shape": None in table.cells["polygons"],
            "a broken shape": any(g and not p for g, p in zip(table.cells["geometry"], table.cells["polygons"])),
        }
        check(f"{label}: detections with holes, several parts and no shape", all(odd.values()), odd)
        all_readers(label, streetflow, table)
    folder = root / "objects-features"
    streetflow("features", *fixed, "--details", "-o", folder)
    table = Table(folder, "map_features", FEATURES, "geometry")
    odd = {"no place": None in table.places, "large ids": any(int(key) > 2**53 for key in table.key)}
    check("features without a place, and ids beyond 2^53", all(odd.values()), odd)
    all_readers("features", streetflow, table)
