"""Wall time and peak memory of each consumer, crawl included, and the size and import time of the package.

    python python/benches/run.py [--images 1000000] [--runs 3] [--only polars,arrow] [--wheel FILE]

The mock server runs in a process of its own, and each measurement in a fresh process. Prints a table of medians. Build
the package with `maturin develop --release` first: the figures of a debug build say nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import re
import statistics
import subprocess
import sys

FIELDS = ["captured_at", "compass_angle", "geometry", "is_pano", "width", "thumb_1024_url"]
WORLD = (-180, -85, 180, 85)

# What a measurement runs. `images` is a stream that was not read.
CONSUMERS = {
    "own loop (batches)": "rows = sum(len(batch) for batch in images)",
    "RecordBatchReader": """
import pyarrow as pa
rows = sum(batch.num_rows for batch in pa.RecordBatchReader.from_stream(images))""",
    "pa.table": "import pyarrow as pa; rows = pa.table(images).num_rows",
    "pl.DataFrame": "import polars as pl; rows = pl.DataFrame(images).height",
    "pd.DataFrame.from_arrow": "import pandas as pd; rows = len(pd.DataFrame.from_arrow(images))",
    "duckdb": "import duckdb; rows = duckdb.sql('select count(*), max(captured_at) from images').fetchall()[0][0]",
    "to_geopandas": "rows = len(images.to_geopandas())",
    "write parquet": "rows = images.write(path).records",
    "scan_polars, one column": """
import polars as pl
frame = sf.scan_polars(bbox=WORLD, fields=FIELDS).group_by("is_pano").len().collect()
rows = frame["len"].sum()""",
}

PROGRAM = """
import json, resource, sys, tempfile, time
import streetflow as sf
FIELDS, WORLD = {fields!r}, {world!r}
path = tempfile.mkdtemp() + "/x.parquet"
images = sf.images(bbox=WORLD, fields=FIELDS)
start = time.perf_counter()
{code}
wall = time.perf_counter() - start
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps([rows, wall, peak]))
"""


def measure(code: str, env: dict[str, str]) -> tuple[int, float, float]:
    program = PROGRAM.format(fields=FIELDS, world=WORLD, code=code)
    done = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr)
    rows, wall, peak = json.loads(done.stdout)
    return rows, wall, peak


def import_time() -> float:
    code = "import time; t = time.perf_counter(); import streetflow; print(time.perf_counter() - t)"
    texts = [subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout for _ in range(11)]
    return statistics.median(map(float, texts))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--only", default="")
    parser.add_argument("--wheel", type=pathlib.Path)
    args = parser.parse_args()

    if args.wheel:
        print(f"wheel: {args.wheel.stat().st_size / 1e6:.1f} MB")
    print(f"import: {import_time() * 1000:.0f} ms")
    server = subprocess.Popen(
        [sys.executable, "-m", "streetflow", "sandbox", "--images", str(args.images)], stdout=subprocess.PIPE, text=True
    )
    try:
        env = dict(os.environ)
        for line in server.stdout or []:
            if found := re.match(r"export (\w+)='?([^']*?)'?$", line.strip()):
                env[found[1]] = found[2]
            if "then" in line:
                break
        print(f"\n{args.images:,} images, {len(FIELDS)} fields, median of {args.runs}\n")
        print("| consumer | s | MB |\n|---|--:|--:|")
        for name, code in CONSUMERS.items():
            if args.only and not any(word in name for word in args.only.split(",")):
                continue
            results = [measure(code, env) for _ in range(args.runs)]
            rows = {rows for rows, _, _ in results}
            assert len(rows) == 1 and min(rows) > 0.99 * args.images, rows
            wall = statistics.median(wall for _, wall, _ in results)
            peak = statistics.median(peak for _, _, peak in results)
            print(f"| {name} | {wall:.1f} | {peak:.0f} |", flush=True)
    finally:
        server.terminate()
        server.wait(10)


if __name__ == "__main__":
    main()
