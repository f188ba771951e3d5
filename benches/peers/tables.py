"""Peers that write and read tables, and decode tiles and responses: `tables.py WORK PEER FOLDER` prints one figure.

The data is what `cargo bench --bench encode` left in FOLDER. What a peer needs in memory before it can begin (a data
frame, a table with a geometry) is made outside the clock. CPU is of all threads of this process.
"""

import json
import os
import resource
import sys
import time

SHAPES = {"500k x 10": "500k-x-10", "200k x 4": "200k-x-4"}

# Like our benches: at least three rounds and two seconds. Otherwise the minimum would favour us.
TURNS, SECONDS = 3, 2


def cpu():
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def best(work):
    """Returns the minimum CPU and wall time of some rounds."""
    turns, begun = [], time.monotonic()
    while len(turns) < TURNS or time.monotonic() - begun < SECONDS:
        began = cpu(), time.monotonic()
        work()
        turns.append((cpu() - began[0], time.monotonic() - began[1]))
    return {"cpu": min(turn[0] for turn in turns), "wall": min(turn[1] for turn in turns)}


def frame(path):
    """Reads our CSV file as a data frame with our types: ids are text."""
    import polars

    return polars.read_csv(path, schema_overrides={"seq_id": polars.String, "img_id": polars.String})


def places(path):
    """Reads our CSV file as a GeoDataFrame."""
    import geopandas

    data = frame(path).to_pandas()
    points = geopandas.points_from_xy(data.pop("lon"), data.pop("lat"), crs="EPSG:4326")
    return geopandas.GeoDataFrame(data, geometry=points)


def arrow_places(path):
    """Reads our CSV file as an Arrow table with a WKB column."""
    import pyarrow
    import shapely

    data = places(path)
    wkb = pyarrow.array(shapely.to_wkb(data.geometry.values), pyarrow.binary())
    return pyarrow.Table.from_pandas(data.drop(columns="geometry"), preserve_index=False).append_column("geometry", wkb)


# Each of these prepares its data, which is not measured, and returns the measured function.


def write_csv_polars(source, out):
    data = frame(source + ".csv")
    return lambda: data.write_csv(out)


def write_csv_pyarrow(source, out):
    from pyarrow import csv

    data = frame(source + ".csv").to_arrow()
    return lambda: csv.write_csv(data, out)


def write_parquet_duckdb(source, out):
    import duckdb

    base = duckdb.connect()
    rows = arrow_places(source + ".csv")
    base.execute("CREATE TABLE t AS SELECT * REPLACE (ST_GeomFromWKB(geometry) AS geometry) FROM rows")
    del rows
    return lambda: base.execute(f"COPY t TO '{out}' (FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 3)")


def write_parquet_geopandas(source, out):
    data = places(source + ".csv")
    return lambda: data.to_parquet(
        out, index=False, compression="zstd", schema_version="1.1.0", write_covering_bbox=True
    )


def write_parquet_polars(source, out):
    import polars

    data = polars.from_arrow(arrow_places(source + ".csv"))
    return lambda: data.write_parquet(out, compression="zstd", compression_level=3)


def gdal(source, out, driver):
    import pyogrio

    data = arrow_places(source + ".csv")

    def work():
        if os.path.exists(out):
            os.remove(out)
        pyogrio.write_arrow(
            data, out, driver=driver, geometry_name="geometry", geometry_type="Point", crs="OGC:CRS84"
        )

    return work


def overture(source, out, form):
    from overturemaps import writers

    batches = arrow_places(source + ".csv").to_batches(max_chunksize=65536)
    writer = {"geojson": writers.GeoJSONWriter, "geojsonseq": writers.GeoJSONSeqWriter}[form]

    def work():
        with writer(out) as open_writer:
            for batch in batches:
                open_writer.write_batch(batch)

    return work


def write_geojson_gdal(source, out):
    return gdal(source, out, "GeoJSON")


def write_geojsonseq_gdal(source, out):
    return gdal(source, out, "GeoJSONSeq")


def write_geojson_overturemaps(source, out):
    return overture(source, out, "geojson")


def write_geojsonseq_overturemaps(source, out):
    return overture(source, out, "geojsonseq")


def write_geojson_duckdb(source, out):
    import duckdb

    base = duckdb.connect()
    base.execute("INSTALL spatial; LOAD spatial")
    rows = arrow_places(source + ".csv")
    base.execute("CREATE TABLE t AS SELECT * REPLACE (ST_GeomFromWKB(geometry) AS geometry) FROM rows")

    def work():
        if os.path.exists(out):
            os.remove(out)
        base.execute(f"COPY t TO '{out}' (FORMAT gdal, DRIVER 'GeoJSON')")

    return work


def write_geojsonseq_duckdb(source, out):
    """Without its spatial extension: features as structs with its JSON writer."""
    import duckdb

    base = duckdb.connect()
    rows = frame(source + ".csv").to_arrow()
    base.execute("CREATE TABLE t AS SELECT * FROM rows")
    others = [name for name in rows.column_names if name not in ("lon", "lat")]
    properties = ", ".join(f"{name} := {name}" for name in others)
    feature = (
        "SELECT 'Feature' AS type, struct_pack(type := 'Point', coordinates := [lon, lat]) AS geometry, "
        f"struct_pack({properties}) AS properties FROM t"
    )
    return lambda: base.execute(f"COPY ({feature}) TO '{out}' (FORMAT json)")


def read_csv_polars(source, _):
    return lambda: frame(source + ".csv")


def read_csv_pyarrow(source, _):
    import pyarrow
    from pyarrow import csv

    texts = {"seq_id": pyarrow.string(), "img_id": pyarrow.string()}
    return lambda: csv.read_csv(source + ".csv", convert_options=csv.ConvertOptions(column_types=texts))


def read_parquet_polars(source, _):
    import polars

    return lambda: polars.read_parquet(source + ".parquet")


def read_parquet_pyarrow(source, _):
    from pyarrow import parquet

    return lambda: parquet.read_table(source + ".parquet")


def read_parquet_geopandas(source, _):
    import geopandas

    return lambda: geopandas.read_parquet(source + ".parquet")


def read_geojson_gdal(source, _):
    import pyogrio

    return lambda: pyogrio.read_arrow(source + ".geojson")


def read_geojsonseq_gdal(source, _):
    import pyogrio

    # GDAL detects the format by the file extension.
    path = source + ".geojsonl"
    if not os.path.exists(path):
        os.symlink(source + ".geojsonseq", path)
    return lambda: pyogrio.read_arrow(path)


def read_geojsonseq_polars(source, _):
    import polars

    return lambda: polars.read_ndjson(source + ".geojsonseq")


def read_geojsonseq_pyarrow(source, _):
    from pyarrow import json as arrow_json

    return lambda: arrow_json.read_json(source + ".geojsonseq")


def decode_tile(path):
    """Finds the sequences of one owner, as a script would."""
    import mapbox_vector_tile

    with open(path, "rb") as file:
        body = file.read()

    def work():
        found, layers = set(), mapbox_vector_tile.decode(body)
        for name, key in (("sequence", "id"), ("image", "sequence_id")):
            for feature in layers.get(name, {"features": []})["features"]:
                properties = feature["properties"]
                if 100_000_000_000_007 in (properties.get("organization_id"), properties.get("creator_id")):
                    found.add(properties[key])
        return found

    return work


def decode_response(folder):
    import orjson

    with open(os.path.join(folder, "decode-response.json"), "rb") as file:
        body = file.read()
    keys = ("id", "captured_at", "compass_angle", "thumb_256_url", "width")

    def work():
        for _ in range(2000):
            response = orjson.loads(body)
            _ = [tuple(image.get(key) for key in keys) for image in response.values()]

    return work


def detections(response, decode):
    """Makes the rows of a nested response, with shapes and boxes as fractions of the picture, y down."""
    import base64

    for image_id, image in response.items():
        size = [image.get(key) for key in ("width", "height", "exif_orientation")]
        for found in image.get("detections", {"data": []})["data"]:
            polygons = []
            if "geometry" in found:
                try:
                    layers = decode(base64.b64decode(found["geometry"]), default_options={"y_coord_down": True})
                # The mock data has broken shapes, for which it raises errors of many types.
                except Exception:
                    layers = {}
                layer = layers.get("mpy-or", {"features": [], "extent": 4096})
                extent = layer["extent"]
                for feature in layer["features"]:
                    shape = feature["geometry"]
                    parts = {"Polygon": [shape["coordinates"]], "MultiPolygon": shape["coordinates"]}.get(shape["type"], [])
                    polygons += [[[[x / extent, y / extent] for x, y in ring] for ring in part] for part in parts]
            xs = [x for part in polygons for ring in part for x, _ in ring]
            ys = [y for part in polygons for ring in part for _, y in ring]
            box = [min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)] if xs else [None] * 4
            yield [image_id, found["id"], found.get("value"), found.get("created_at"), *size, *box, polygons, found.get("geometry")]


DETECTION_COLUMNS = (
    "img_id detection_id value created_at width height exif_orientation x y w h polygons geometry".split()
)


def decode_detections(folder, peer, out):
    """Rows of all detections in memory, or with pyarrow in a Parquet file."""
    import mapbox_vector_tile

    module = __import__(peer.split(" ")[0])
    with open(os.path.join(folder, "decode-detections.jsonl"), "rb") as file:
        bodies = file.read().splitlines()

    def rows():
        return [row for body in bodies for row in detections(module.loads(body), mapbox_vector_tile.decode)]

    def to_parquet():
        import pyarrow
        from pyarrow import parquet

        columns = dict(zip(DETECTION_COLUMNS, zip(*rows())))
        parquet.write_table(pyarrow.table(columns), out, compression="zstd", compression_level=1)

    return (to_parquet if "pyarrow" in peer else rows), len(rows())


def main():
    work, peer, folder = sys.argv[1:4]
    way, what, *shape = work.split(" ", 2)
    items = None
    if what == "tile":
        ready = decode_tile(os.path.join(folder, f"decode-tile-{shape[0]}.mvt"))
    elif what == "response":
        ready, items = decode_response(folder), 100_000
    elif what == "detections":
        ready, items = decode_detections(folder, peer, os.path.join(folder, "peer-detections.parquet"))
    else:
        source = os.path.join(folder, SHAPES[shape[0]])
        verb = {"encode": "write", "decode": "read"}[way]
        ending = {"geojsonseq": "geojsonl"}.get(what, what)
        make = globals()[f"{verb}_{what}_{peer}"]
        ready = make(source, os.path.join(folder, f"peer-{peer}.{ending}"))
    print(json.dumps(best(ready) | {"items": items}))


main()
