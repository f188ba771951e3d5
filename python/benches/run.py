"""Wall time, CPU time and peak memory of each consumer, crawl included, and the size and import time of the package.

    python python/benches/run.py [--images 1000000] [--runs 3] [--only polars,arrow] [--wheel FILE] [--library]

The mock server runs in a process of its own, and each measurement in a fresh process. The consumers take turns. Prints a
table of medians. Install a release build of the package first (`pip install ./python`): the figures of a debug build say
nothing. `--library` adds the loop of a Rust program over the same flow (`cargo bench --bench stream`).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import pathlib
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator

FIELDS = ["captured_at", "compass_angle", "geometry", "is_pano", "width", "thumb_1024_url"]
WORLD = (-180, -85, 180, 85)
ROOT = pathlib.Path(__file__).parents[2]

# What a measurement runs. `images` is a stream that was not read.
CONSUMERS = {
    "own loop (batches)": "rows = sum(len(batch) for batch in images)",
    "RecordBatchReader": "rows = sum(batch.num_rows for batch in pa.RecordBatchReader.from_stream(images))",
    "pa.table": "rows = pa.table(images).num_rows",
    "pl.DataFrame": "rows = pl.DataFrame(images).height",
    "pd.DataFrame.from_arrow": "rows = len(pd.DataFrame.from_arrow(images))",
    "duckdb": "rows = duckdb.sql('select count(*), max(captured_at) from images').fetchall()[0][0]",
    "to_geopandas": "rows = len(images.to_geopandas())",
    "write parquet": "rows = images.write(path).records",
    "map": "rows = len(images.map(path + '.html'))",
    "scan_polars, one column": """
frame = sf.scan_polars(bbox=WORLD, fields=FIELDS).group_by("is_pano").len().collect()
rows = frame["len"].sum()""",
}

# The libraries are imported before the clock starts, and only where they are used: they take 30 to 60 MB.
LIBRARIES = {"pa": "pyarrow", "pl": "polars", "pd": "pandas", "duckdb": "duckdb"}

PROGRAM = """
import json, resource, sys, tempfile, time
import streetflow as sf
{imports}
FIELDS, WORLD = {fields!r}, {world!r}
path = tempfile.mkdtemp() + "/x.parquet"
images = sf.images(bbox=WORLD, fields=FIELDS)
base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
start = time.perf_counter()
{code}
wall = time.perf_counter() - start
used = resource.getrusage(resource.RUSAGE_SELF)
print(json.dumps([rows, wall, used.ru_maxrss / 1024, used.ru_utime + used.ru_stime, base]))
"""


def output(command: list[str], env: dict[str, str]) -> list[float]:
    done = subprocess.run(command, env=env, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr)
    values: list[float] = json.loads(done.stdout.splitlines()[-1])
    return values


def measure(code: str, env: dict[str, str]) -> list[float]:
    used = [f"import {library} as {name}" for name, library in LIBRARIES.items() if f"{name}." in code]
    program = PROGRAM.format(fields=FIELDS, world=WORLD, code=code.strip(), imports="\n".join(used))
    return output([sys.executable, "-c", program], env)


def measure_library(env: dict[str, str]) -> list[float]:
    command = ["cargo", "bench", "--quiet", "--locked", "--bench", "stream", "--features", "internals"]
    return [*output([*command, "--", "--fields", ",".join(FIELDS)], env), 0]


def import_time() -> float:
    code = "import time; t = time.perf_counter(); import streetflow; print(time.perf_counter() - t)"
    texts = [subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout for _ in range(11)]
    return statistics.median(map(float, texts))


@contextlib.contextmanager
def server(images: int) -> Iterator[dict[str, str]]:
    """The environment of the clients of a mock server, which is stopped at the end."""
    command = [sys.executable, "-m", "streetflow", "sandbox", "--images", str(images)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        env = dict(os.environ)
        for line in process.stdout or []:
            if found := re.match(r"export (\w+)='?([^']*?)'?$", line.strip()):
                env[found[1]] = found[2]
            if "then" in line:
                break
        yield env
    finally:
        process.terminate()
        process.wait(10)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--only", default="")
    parser.add_argument("--wheel", type=pathlib.Path)
    parser.add_argument("--library", action="store_true")
    args = parser.parse_args()

    if args.wheel:
        print(f"wheel: {args.wheel.stat().st_size / 1e6:.1f} MB")
    print(f"import: {import_time() * 1000:.0f} ms")
    names = [name for name in CONSUMERS if not args.only or any(word in name for word in args.only.split(","))]
    measured: dict[str, list[list[float]]] = {name: [] for name in names}
    if args.library:
        measured = {"library's own loop": [], **measured}
    with server(args.images) as env:
        for _ in range(args.runs):
            for name, results in measured.items():
                results.append(measure(CONSUMERS[name], env) if name in CONSUMERS else measure_library(env))
                time.sleep(0.2)
    print(f"\n{args.images:,} images, {len(FIELDS)} fields, median of {args.runs}\n")
    print("| consumer | wall s | CPU s | peak MB | of these before the read |\n|---|--:|--:|--:|--:|")
    for name, results in measured.items():
        rows = {result[0] for result in results}
        assert len(rows) == 1 and min(rows) > 0.99 * args.images, (name, rows)
        wall, peak, cpu, base = (statistics.median(column) for column in list(zip(*results))[1:])
        print(f"| {name} | {wall:.1f} | {cpu:.1f} | {peak:.0f} | {base:.0f} |")


if __name__ == "__main__":
    main()
