"""The readers: each compares a file with the reference."""

import json

import duckdb
import geopandas
import geoparquet_validator
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pyogrio

from reference import ARROW, EDGES, differences, extent, feature_columns, parquet_columns, points, search, wkb

GROUP_ROWS = 65_536
# Columns with mostly unique values, for which a dictionary would only add size.
NO_DICTIONARY = ["img_id", "captured_at", "compass_angle", "geometry", "bbox"]
NO_DICTIONARY += ["thumb_256_url", "thumb_1024_url", "thumb_2048_url", "thumb_original_url"]

results = []


def check(name, condition, detail=""):
    results.append(bool(condition))
    print(f"ok    {name}" if condition else f"FAIL  {name}: {str(detail)[:600]}", flush=True)


def compare(name, expected, got):
    wrong = differences(expected, got)
    check(name, not wrong, f"{len(wrong)} differences, such as {'; '.join(wrong[:3])}")


def attempt(job, label, *args, **options):
    """Runs a job. If a reader fails, that is a failure, and the next reader still runs."""
    try:
        job(label, *args, **options)
    except Exception as error:
        check(f"{label}: {job.__name__} comes to its end", False, f"{type(error).__name__}: {error}")


def with_validator(label, path):
    report = geoparquet_validator.check(str(path))
    for group in ("core", "covering"):
        tests = [test for test in report["outcomes"] if test["id"].startswith(f"/conf/{group}/")]
        failed = [f"{test['id']} {test['message']}" for test in tests if test["status"] == "fail"]
        # Skipped tests would pass too.
        ran = any(test["status"] == "pass" for test in tests) and not report["sampled"]
        check(f"{label}: geoparquet-validator, class {group}", ran and not failed, failed)


def with_pyarrow(label, path, table, place="original", codec="ZSTD", native=False, crawled=True):
    expected, places = parquet_columns(table, place), points(table, place)
    file = pq.ParquetFile(path)
    types = {name: ARROW[name] for name in [*expected, *([] if places is None else ["bbox"])]}
    got = {field.name: field.type for field in file.schema_arrow}
    odd = [f"{name} is {got.get(name)}" for name in types | got if types.get(name) != got.get(name)]
    check(f"{label}: pyarrow, types of the columns", not odd and list(types) == list(got), odd)
    leaves = [file.schema.column(i) for i in range(len(file.schema))]
    unsigned = [leaf.path for leaf in leaves if "isSigned=false" in str(leaf.logical_type)]
    check(f"{label}: pyarrow, no unsigned type", not unsigned, unsigned)

    arrow = file.read()
    if "captured_at" in expected:
        # As numbers, because Python's timestamps overflow in the year 9999 in some time zones.
        index = arrow.schema.get_field_index("captured_at")
        arrow = arrow.set_column(index, "captured_at", arrow["captured_at"].cast(pa.int64()))
    columns = {name: arrow[name].to_pylist() for name in arrow.column_names}
    boxes = columns.pop("bbox", None)
    compare(f"{label}: pyarrow, values of {len(table['seq_id'])} rows", expected, columns)
    nulls = [name for name in expected if arrow[name].null_count != expected[name].count(None)]
    check(f"{label}: pyarrow, null counts", not nulls, nulls)
    chunks_of(label, file, expected, codec, native)
    notes_of(label, path, file, places, crawled)
    if places is not None:
        boxes_of(label, boxes, places)
        kinds = [leaf.logical_type.type for leaf in leaves if leaf.path == "geometry"]
        good = kinds == ["GEOMETRY" if native else "NONE"]
        check(f"{label}: pyarrow, native geometry only where asked for", good, kinds)
    if native:
        geospatial_statistics_of(label, file, places)


def boxes_of(label, boxes, places):
    """Checks that each edge is the nearest 32-bit number outside of the point, or the point itself."""
    nulls = [box is None for box in boxes] == [point is None for point in places]
    got = np.array([[box[edge] for edge in EDGES] for box in boxes if box]).reshape(-1, 4)
    exact = np.array([point * 2 for point in places if point]).reshape(-1, 4)
    outwards = np.array([-np.inf, -np.inf, np.inf, np.inf], dtype=np.float32)
    near = exact.astype(np.float32)
    wanted = np.where((near - exact) * np.sign(outwards) < 0, np.nextafter(near, outwards), near)
    check(f"{label}: pyarrow, bbox is the point rounded outwards", nulls and np.array_equal(got, wanted))


def chunks_of(label, file, expected, codec, native):
    """Checks encodings, statistics and indexes of each column chunk in the footer."""
    groups = [file.metadata.row_group(i) for i in range(file.metadata.num_row_groups)]
    odd, start = [], 0
    for group in groups:
        for chunk in map(group.column, range(group.num_columns)):
            path, stats = chunk.path_in_schema, chunk.statistics
            name = path.split(".")[0]
            values = expected.get(name, [])[start : start + group.num_rows]
            known = [value for value in values if value is not None]
            is_number = known and ARROW[name] in (pa.float64(), pa.int32(), pa.int64())
            has_dictionary = chunk.has_dictionary_page or "DICTIONARY" in " ".join(chunk.encodings)
            rules = {
                "codec": chunk.compression == codec,
                "statistics": chunk.is_stats_set and stats.has_null_count,
                # A native geometry has no minimum and maximum, so it has no index.
                "page index": chunk.has_offset_index and chunk.has_column_index != (native and name == "geometry"),
                "dictionary": name not in NO_DICTIONARY or not has_dictionary,
                # For lists, the items are counted.
                "null count": "." in path or stats.null_count == len(values) - len(known),
                "least and most": not is_number or (stats.min, stats.max) == (min(known), max(known)),
            }
            odd += [f"{rule} of {path} from row {start}" for rule, good in rules.items() if not good]
        start += group.num_rows
    check(f"{label}: pyarrow, {codec}, statistics, page index, dictionaries", not odd, odd)
    sizes = [group.num_rows for group in groups]
    good = all(size == GROUP_ROWS for size in sizes[:-1]) and all(0 < size <= GROUP_ROWS for size in sizes[-1:])
    check(f"{label}: pyarrow, row groups of {GROUP_ROWS} rows and one of the rest", good, sizes)


def notes_of(label, path, file, places, crawled):
    """Returns the metadata of the file."""
    notes = {key.decode(): value.decode() for key, value in file.metadata.metadata.items()}
    # `read_schema` returns the metadata of the embedded Arrow schema, not of the footer.
    embedded = {key.decode(): value.decode() for key, value in (pq.read_schema(path).metadata or {}).items()}
    footer = {key: value for key, value in notes.items() if key != "ARROW:schema"}
    check(f"{label}: pyarrow, the embedded schema says what the footer says", embedded == footer, embedded.keys())
    good = notes.get("streetflow:version") and "CC BY-SA" in notes.get("streetflow:licence", "")
    good = good and (not crawled or notes.get("streetflow:query", "").startswith("streetflow crawl "))
    check(f"{label}: pyarrow, the file says its version, licence and query", good, notes.keys())
    if places is None:
        return check(f"{label}: pyarrow, plain Parquet without `geo`", "geo" not in notes)
    covering = {"bbox": {edge: ["bbox", edge] for edge in EDGES}}
    column = {"encoding": "WKB", "geometry_types": ["Point"], "covering": covering}
    column |= {"bbox": extent(places)} if any(places) else {}
    wanted = {"version": "1.1.0", "primary_column": "geometry", "columns": {"geometry": column}}
    check(f"{label}: pyarrow, `geo` with the right box and no crs", json.loads(notes["geo"]) == wanted, notes["geo"])


def geospatial_statistics_of(label, file, places):
    group = file.metadata.row_group(0)
    chunk = next(c for c in map(group.column, range(group.num_columns)) if c.path_in_schema == "geometry")
    stats = chunk.geo_statistics
    good = stats and [stats.xmin, stats.ymin, stats.xmax, stats.ymax] == extent(places)
    good = good and stats.geospatial_types == [1] and not chunk.statistics.has_min_max
    check(f"{label}: pyarrow, geospatial statistics", good, stats)


def with_geopandas(label, path, table, place="original"):
    places = points(table, place)
    frame = geopandas.read_parquet(path)
    check(f"{label}: geopandas, OGC:CRS84", frame.crs.to_authority() == ("OGC", "CRS84"), frame.crs)
    got = {"img_id": frame["img_id"].tolist(), "geometry": [point and point.wkb for point in frame.geometry]}
    compare(f"{label}: geopandas, points", {"img_id": table["img_id"], "geometry": [wkb(p) for p in places]}, got)
    box, inside = search(table, places)
    found = geopandas.read_parquet(path, bbox=box)["img_id"].tolist()
    check(f"{label}: geopandas, bbox= finds the {len(inside)} images of the CSV", found == inside, len(found))


def with_duckdb(label, path, table, place="original"):
    expected, places = parquet_columns(table, place), points(table, place)
    kinds = dict(row[:2] for row in duckdb.sql(f"DESCRIBE FROM '{path}'").fetchall())
    shown = {"captured_at": "epoch_ms(captured_at)", "geometry": "ST_AsWKB(geometry)"}
    select = ", ".join(f'{shown.get(name, name)} AS "{name}"' for name in kinds if name != "bbox")
    answer = duckdb.sql(f"SELECT {select} FROM '{path}'")
    rows = answer.fetchall()
    got = {name: [row[i] for row in rows] for i, name in enumerate(answer.columns)}
    compare(f"{label}: duckdb, values", expected, got)
    if times := [value for value in expected.get("captured_at", []) if value is not None]:
        query = f"SELECT epoch_ms(min(captured_at)), epoch_ms(max(captured_at)) FROM '{path}'"
        found = duckdb.sql(query).fetchall()
        check(f"{label}: duckdb, first and last time", found == [(min(times), max(times))], found)
    if places is not None:
        check(f"{label}: duckdb, type of the geometry", kinds["geometry"].startswith("GEOMETRY"), kinds["geometry"])
        (west, south, east, north), inside = search(table, places)
        query = f"""SELECT img_id FROM '{path}' WHERE bbox.xmin <= {east} AND bbox.xmax >= {west}
            AND bbox.ymin <= {north} AND bbox.ymax >= {south}"""
        found = [row[0] for row in duckdb.sql(query).fetchall()]
        check(f"{label}: duckdb, a search by bbox finds {len(inside)} images", found == inside, len(found))


def with_polars(label, path, table, place="original"):
    expected, places = parquet_columns(table, place), points(table, place)
    frame = pl.read_parquet(path)
    if "captured_at" in frame:
        frame = frame.with_columns(pl.col("captured_at").dt.epoch("ms"))
    compare(f"{label}: polars, values", expected, frame.select(pl.exclude("bbox")).to_dict(as_series=False))
    if places is not None:
        (west, south, east, north), inside = search(table, places)
        edge = pl.col("bbox").struct.field
        wanted = (edge("xmin") <= east) & (edge("xmax") >= west) & (edge("ymin") <= north) & (edge("ymax") >= south)
        found = pl.scan_parquet(path).filter(wanted).select("img_id").collect()["img_id"].to_list()
        check(f"{label}: polars, a scan by bbox finds {len(inside)} images", found == inside, len(found))


def with_gdal(label, path, table, place="original"):
    expected, places = feature_columns(table, place), points(table, place)
    key = table["img_id" if "img_id" in table else "seq_id"]
    info = pyogrio.read_info(path, force_feature_count=True)
    driver = "GeoJSON" if path.suffix == ".geojson" else "GeoJSONSeq"
    # If all geometries are null, their type is unknown.
    wanted = (driver, "EPSG:4326", "Point" if any(places or ()) else "Unknown", len(key))
    got = (info["driver"], info["crs"], info["geometry_type"], info["features"])
    check(f"{label}: GDAL, driver, reference system, type and number", got == wanted, got)
    arrow = pyogrio.read_arrow(path)[1]
    got = {name: arrow[name].to_pylist() for name in arrow.column_names}
    # It adds a column for the ids of features, unless a property has that name, and always one for the geometry.
    expected = ({} if "id" in expected else {"id": key}) | expected
    expected["wkb_geometry"] = expected.pop("geometry", [None] * len(key))
    compare(f"{label}: GDAL, values", expected, got)


def with_json(label, path, table, place="original", rs=False):
    """Python's json module in the strictness of RFC 8259: no NaN, no duplicate keys."""

    def refuse(what):
        raise ValueError(f"{what} is no JSON")

    def once(pairs):
        return dict(pairs) if len(dict(pairs)) == len(pairs) else refuse(f"a key that comes twice in {pairs}")

    def load(part):
        return json.loads(part, parse_constant=refuse, object_pairs_hook=once)

    expected, text = feature_columns(table, place), path.read_bytes().decode()
    if path.suffix == ".geojson":
        collection = load(text)
        features = collection.pop("features")
        check(f"{label}: json, a feature collection", collection == {"type": "FeatureCollection"}, collection)
    else:
        *lines, rest = text.split("\n")
        begun = [line.startswith("\x1e") for line in lines]
        good = rest == "" and "\r" not in text and begun == [rs] * len(lines) and text.count("\x1e") == sum(begun)
        check(f"{label}: json, a feature a line, {'each begun by RS' if rs else 'no RS'}", good)
        features = [load(line.removeprefix("\x1e")) for line in lines]
    names = [name for name in expected if name != "geometry"]
    forms = {(*feature, feature["type"], *feature["properties"]) for feature in features}
    good = forms <= {("type", "id", "geometry", "properties", "Feature", *names)}
    check(f"{label}: json, every feature has its id, geometry and all properties", good, forms)
    shapes = [feature["geometry"] for feature in features]
    kinds = {(*shape, shape["type"]) for shape in shapes if shape}
    check(f"{label}: json, no other geometry than points", kinds <= {("type", "coordinates", "Point")}, kinds)
    got = {name: [feature["properties"][name] for feature in features] for name in names}
    got["geometry"] = [shape and wkb(shape["coordinates"]) for shape in shapes]
    compare(f"{label}: json, values", {**expected, "geometry": expected.get("geometry", [None] * len(shapes))}, got)
    ids = [feature["id"] for feature in features]
    check(f"{label}: json, the id is the record's", ids == table["img_id" if "img_id" in table else "seq_id"])
