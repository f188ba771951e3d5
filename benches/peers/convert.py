"""Peers that convert a table as a whole process: `convert.py PEER IN OUT`; `convert.py make OUT` writes the table.

A metadata table of 500,000 rows and 12 columns, three of them texts that repeat, and a signed URL of a picture that
does not. All peers write Parquet with Zstandard level 1, as streetflow does. Start and imports belong to the process.
"""

import random
import sys

ROWS = 500_000
HEADER = "seq_id,img_id,captured_at,compass_angle,altitude,lon,lat,make,model,width,is_pano,thumb_1024_url"


def make(path):
    chance = random.Random(1)
    letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
    with open(path, "w", encoding="utf-8") as out:
        out.write(HEADER + "\n")
        sequence = ""
        for number in range(ROWS):
            if number % 200 == 0:
                sequence = "".join(chance.choices(letters, k=22))
            image = 1_000_000_000_000_000 + chance.randrange(10**15)
            signature = "".join(chance.choices(letters, k=120))
            url = f"https://scontent.example.net/m1/v/t6/{signature}?ccb=10-5&oh=00_{image:x}&oe=66A1B2C3&_nc_sid=201bca"
            row = [
                sequence, image, 1_700_000_000_000 + number * 1000, f"{chance.random() * 360:.11f}",
                f"{chance.random() * 300:.8f}", f"{33.3 + chance.random() / 10:.12f}", f"{35.1 + chance.random() / 10:.12f}",
                "GoPro", "GoPro Max", 4000, "true", url,
            ]
            out.write(",".join(map(str, row)) + "\n")


def polars_(source, out):
    import polars

    ids = {"seq_id": polars.String, "img_id": polars.String}
    polars.scan_csv(source, schema_overrides=ids).sink_parquet(out, compression="zstd", compression_level=1)


def duckdb_(source, out):
    import duckdb

    duckdb.sql(
        f"COPY (SELECT * FROM read_csv('{source}', types={{'img_id': 'VARCHAR', 'seq_id': 'VARCHAR'}}))"
        f" TO '{out}' (FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1)"
    )


def geopandas_(source, out):
    import geopandas
    import pandas

    data = pandas.read_csv(source, dtype={"img_id": str, "seq_id": str})
    points = geopandas.points_from_xy(data.pop("lon"), data.pop("lat"), crs="EPSG:4326")
    geopandas.GeoDataFrame(data, geometry=points).to_parquet(out, compression="zstd", write_covering_bbox=True)


if sys.argv[1] == "make":
    make(sys.argv[2])
else:
    {"polars": polars_, "duckdb": duckdb_, "geopandas": geopandas_}[sys.argv[1]](*sys.argv[2:])
