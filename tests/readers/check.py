"""Reads the files that streetflow writes with other programs. `run` installs them and starts this script."""

import csv
import itertools
import os
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import duckdb
import pyarrow.compute as pc
import pyarrow.dataset as ds

from objects import objects
from pictures import with_exiftool
from readers import (
    attempt,
    check,
    compare,
    results,
    with_duckdb,
    with_gdal,
    with_geopandas,
    with_json,
    with_polars,
    with_pyarrow,
    with_validator,
)
from reference import points, read_csv, search
from sets import sets

STREETFLOW = os.environ["STREETFLOW"]
FIELDS = (
    "id,sequence,geometry,computed_geometry,captured_at,compass_angle,computed_compass_angle,altitude,"
    "computed_altitude,computed_rotation,atomic_scale,camera_type,camera_parameters,make,model,exif_orientation,"
    "width,height,is_pano,quality_score,on_foot,creator,organization,thumb_256_url,thumb_1024_url,thumb_2048_url,"
    "thumb_original_url,merge_cc,mesh,sfm_cluster,detections,attribution,page_url"
)
ENDINGS = {"csv": "csv", "parquet": "parquet", "geojson": "geojson", "geojsonseq": "geojsonl"}
BIG = 600_000

# Values that the mock data does not contain, as cells of a CSV file. The lists are repeated and combined.
TEXTS = ['quote " comma , line\nfeed', "Ω 🚲 \u2028", " spaces ", "null", "007", "1e5", "\\", "\x01\x1e\x7f"]
NUMBERS = ["-0", "0", "5e-324", "1.7976931348623157e308", "0.1", "1e16", "123456789.12345679", "-2.225073858e-308"]
ODD = {
    "camera_type": TEXTS,
    "make": TEXTS,
    "creator_username": TEXTS,
    "altitude": NUMBERS,
    "merge_cc": NUMBERS,
    # The last and first timestamps, and those just out of range. GDAL reads numbers below -1e18 as doubles, and
    # the largest of 64 bits as an overflow.
    "captured_at": [-62135596800001, -62135596800000, -1, 0, 253402300799999, 253402300800000, 2**63 - 2, -(10**17)],
    "width": [-(2**31), 2**31 - 1, 0, ""],
    "is_pano": ["true", "false", ""],
    "lon": ["-0", "180", "-180", "5e-324", "33.123456789012345", "-33.1", "0", ""],
    "lat": ["90", "-90", "-0", "1e-300", "35.000000000000007", "0", "89.99999999999999", ""],
    "computed_lon": ["-0", "", "5e-324"],
    "computed_lat": ["0", "", "-90"],
    # GDAL reads a column as JSON text if its first list is empty.
    "computed_rotation": ["[-0,5e-324,1e300]", "[]", "[1]", ""],
    "detections": ['["","a\\"b","Ω,\\n"]', "[]", '["7"]', ""],
}


def streetflow(*args, env=None):
    command = [STREETFLOW, *map(str, args)]
    ended = subprocess.run(command, env={**os.environ, **(env or {})}, capture_output=True, text=True, timeout=600)
    if ended.returncode:
        sys.exit(f"{shlex.join(command)} ended with {ended.returncode}:\n{ended.stderr}")


def crawl(folder, formats, *args):
    fixed = ["--sandbox", "--no-download", "--fields", FIELDS, "--format", ",".join(formats), "-o", folder]
    streetflow("crawl", *fixed, *args)


def all_readers(label, folder, name, table, place="original", **options):
    """Runs every reader on every format of the table in the folder."""
    parquet = folder / f"{name}.parquet"
    attempt(with_pyarrow, f"{label} {name}.parquet", parquet, table, place, **options)
    attempt(with_duckdb, f"{label} {name}.parquet", parquet, table, place)
    if points(table, place) is not None:
        attempt(with_validator, f"{label} {name}.parquet", parquet)
        attempt(with_geopandas, f"{label} {name}.parquet", parquet, table, place)
    # Polars 2.1 cannot open a file with a native geometry.
    if not options.get("native"):
        attempt(with_polars, f"{label} {name}.parquet", parquet, table, place)
    for ending in ("geojson", "geojsonl"):
        attempt(with_json, f"{label} {name}.{ending}", folder / f"{name}.{ending}", table, place)
        # GDAL infers the columns from the features, so it cannot read a file without features.
        if table["seq_id"]:
            attempt(with_gdal, f"{label} {name}.{ending}", folder / f"{name}.{ending}", table, place)


def crawls(root):
    """Crawls the mock server with each of the options."""
    variants = {
        "default": ([], {}),
        "best": (["--geometry", "best"], {"place": "best"}),
        "computed": (["--geometry", "computed"], {"place": "computed"}),
        "native": (["--native-geometry"], {"native": True}),
        "snappy": (["--compression", "snappy"], {"codec": "SNAPPY"}),
        "zstd:3": (["--compression", "zstd:3"], {}),
        "uncompressed": (["--compression", "none"], {"codec": "UNCOMPRESSED"}),
    }
    for label, (args, options) in variants.items():
        folder = root / label.replace(":", "")
        crawl(folder, ENDINGS, *args)
        all_readers(label, folder, "img_meta_dataset", read_csv(folder / "img_meta_dataset.csv"), **options)
    for name in ("seq_dataset", "img_dataset"):
        all_readers("default", root / "default", name, read_csv(root / "default" / f"{name}.csv"))


def csv_in_duckdb(label, path):
    """Returns the cells as text, because DuckDB would read ids as numbers."""
    with open(path, newline="", encoding="utf-8") as file:
        _, *cells = csv.reader(file)
    rows = duckdb.sql(f"FROM read_csv('{path}', all_varchar = true)").fetchall()
    check(f"{label}: duckdb, every cell", [[cell or "" for cell in row] for row in rows] == cells)


def separators(root):
    """Checks features that start with RS."""
    folder = root / "rs"
    crawl(folder, ["csv", "geojsonseq"], "--rs")
    table = read_csv(folder / "img_meta_dataset.csv")
    attempt(with_json, "--rs img_meta_dataset.geojsonl", folder / "img_meta_dataset.geojsonl", table, rs=True)
    attempt(with_gdal, "--rs img_meta_dataset.geojsonl", folder / "img_meta_dataset.geojsonl", table)


def conversions(root):
    """Converts every format into every other. Each file must equal that of the crawl."""
    meta = ["--fields", FIELDS]
    for run, name, place, args in (
        ("default", "img_meta_dataset", "original", meta),
        ("best", "img_meta_dataset", "best", meta),
        ("default", "img_dataset", "original", []),
        ("default", "seq_dataset", "original", []),
    ):
        table = read_csv(root / run / f"{name}.csv")
        for source, target in itertools.product(ENDINGS.values(), repeat=2):
            label, path = f"{source} to {target}, {run} {name}", root / f"{run}-{name}-of-{source}.{target}"
            # CSV has no choice of geometry.
            chosen = ["--geometry", place] if target != "csv" and place != "original" else []
            streetflow("convert", root / run / f"{name}.{source}", path, *args, *chosen)
            if target == "csv":
                compare(f"{label}: csv, values", table, read_csv(path))
            elif target == "parquet":
                attempt(with_pyarrow, label, path, table, place, crawled=source == "parquet")
            else:
                attempt(with_json, label, path, table, place)


def odd_values(root):
    """Unusual values, and a table without rows: written as CSV, converted into all formats."""
    with open(root / "default/img_meta_dataset.csv", newline="", encoding="utf-8") as file:
        header = next(csv.reader(file))
    for label, rows in (("odd", 72), ("empty", 0)):
        folder = root / label
        folder.mkdir()
        with open(folder / "table.csv", "w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(header)
            for row in range(rows):
                cells = {"seq_id": "s", "img_id": row, "id": row}
                cells |= {name: values[row % len(values)] for name, values in ODD.items()}
                writer.writerow(cells.get(name, "") for name in header)
        for ending in ("parquet", "geojson", "geojsonl"):
            streetflow("convert", folder / "table.csv", folder / f"table.{ending}")
        all_readers(label, folder, "table", read_csv(folder / "table.csv"), crawled=False)


def big(root):
    """Checks with large mock data over the network that a spatial query skips row groups."""
    folder = root / "big"
    box, fields = "32.19,34.52,34.18,35.49", "captured_at,geometry"
    fixed = ["--no-download", "--format", "csv,parquet", "--tile-rate", "100000", "-o", folder]
    server = subprocess.Popen([STREETFLOW, "sandbox", "--images", str(BIG)], stdout=subprocess.PIPE, text=True)
    try:
        exports = [shlex.split(server.stdout.readline())[1].split("=", 1) for _ in range(3)]
        began = time.monotonic()
        streetflow("crawl", "--bbox", box, "--fields", fields, *fixed, env=dict(exports))
        print(f"      crawled {BIG} images in {time.monotonic() - began:.1f} s")
    finally:
        server.terminate()
        server.wait()
    table, images = (read_csv(folder / f"{name}.csv") for name in ("img_meta_dataset", "img_dataset"))
    check("big: all images were found", len(table["img_id"]) == BIG, len(table["img_id"]))
    path = folder / "img_meta_dataset.parquet"
    attempt(with_validator, "big img_meta_dataset.parquet", path)
    for reader in (with_pyarrow, with_geopandas, with_duckdb, with_polars):
        attempt(reader, "big img_meta_dataset.parquet", path, table)
    attempt(with_pyarrow, "big img_dataset.parquet", folder / "img_dataset.parquet", images)
    attempt(skipping, "big img_meta_dataset.parquet", path, table)


def skipping(label, path, table):
    """Returns the number of row groups that a query for a hundredth of the points reads."""
    (west, south, east, north), inside = search(table, points(table))
    wanted = (pc.field("bbox", "xmin") <= east) & (pc.field("bbox", "xmax") >= west)
    wanted &= (pc.field("bbox", "ymin") <= north) & (pc.field("bbox", "ymax") >= south)
    fragment = next(ds.dataset(path).get_fragments())
    kept, groups = fragment.subset(filter=wanted).num_row_groups, fragment.num_row_groups
    print(f"      a search for {len(inside)} of {len(table['img_id'])} images reads {kept} of {groups} row groups")
    good = groups > 4 and 0 < kept < groups / 2
    check(f"{label}: pyarrow, a search by bbox skips more than half of the row groups", good, f"{kept} of {groups}")
    found = sorted(ds.dataset(path).to_table(columns=["img_id"], filter=wanted)["img_id"].to_pylist())
    check(f"{label}: pyarrow, and finds the {len(inside)} images of the CSV", found == sorted(inside), len(found))


def pictures(root):
    """Checks EXIF data of pictures: thumbnails of all images and some originals."""
    fields = "geometry,captured_at,compass_angle,altitude,make,model,is_pano,creator,attribution,page_url"
    for label, args in (
        ("thumbs", ["--exif", "always", "--layout", "sequence"]),
        ("originals", ["--quality", "original", "--bbox", "33.33,35.15,33.39,35.19"]),
    ):
        folder = root / label
        streetflow("crawl", "--sandbox", "--fields", fields, *args, "-o", folder)
        with open(folder / "img_meta_dataset.csv", newline="", encoding="utf-8") as file:
            attempt(with_exiftool, label, folder / "downloaded_images", list(csv.DictReader(file)))


def training_sets(root):
    """Builds training sets from a crawl with detections, and reads them."""
    folder = root / "detections"
    area = ["--bbox", "33.33,35.15,33.39,35.19", "--limit", "150"]
    streetflow("crawl", "--sandbox", *area, "--quality", "1024", "--detections", "-o", folder)
    sets(root / "sets", streetflow, folder)


def object_tables(root):
    """Checks the tables of detections and map features."""
    objects(root, streetflow)


def no_token(root):
    """Checks that no file contains the token of the crawl."""
    files = [path for path in root.rglob("*") if path.is_file()]
    found = [str(path.relative_to(root)) for path in files if b"MLY|" in path.read_bytes()]
    check(f"no token in any of {len(files)} files", files and not found, found)


PARTS = (
    crawls, separators, conversions, odd_values, big, pictures, object_tables, training_sets, no_token,
)  # fmt: skip


def chosen(parts):
    """Returns the parts named on the command line, by default all. `conversions` and `odd_values` need `crawls`."""
    names = sys.argv[1:]
    if unknown := set(names) - {part.__name__ for part in parts}:
        sys.exit(f"no such part: {', '.join(sorted(unknown))}")
    return [part for part in parts if not names or part.__name__ in names]


def main():
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for part in chosen(PARTS):
            part(root)
        if (root / "default").exists():
            attempt(csv_in_duckdb, "default img_meta_dataset.csv", root / "default/img_meta_dataset.csv")
    failed = results.count(False)
    print(f"{len(results)} checks, {failed} failed, {time.monotonic() - began:.0f} s")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
