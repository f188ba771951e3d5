"""Images a second and peak memory beside other packages, against the same mock server.

    pip install mapillary zensvi
    python python/benches/peers.py [--images 20000] [--runs 3]

`mapillary` is Mapillary's Python SDK, `zensvi` a package that downloads and analyses street views. Neither has a setting
for the hosts, so their requests are sent to the mock server where the HTTP library opens the connection. Each package
gets the images of the same box with the same fields, in its own way: both peers read the tiles and then request each
image, which is what their functions offer. A package that is not installed
is listed as missing.
"""

from __future__ import annotations

import argparse
import importlib.util
import statistics
import sys

from run import FIELDS, WORLD, output, server

#: The SDK refuses `is_pano`, which it has from the tile.
FIELDS_OF_SDK = [field for field in FIELDS if field != "is_pano"]

#: Side of the box in degrees.
SIDE = 0.02

OURS = """
import streetflow as sf
rows = len(sf.images(bbox={box!r}, fields={fields!r}, clip=True).to_pylist())
"""

TO_THE_MOCK_SERVER = """
import json, os, pathlib, tempfile
from urllib.parse import urlsplit
import requests

HOSTS = {{"graph.mapillary.com": os.environ["MAPILLARY_GRAPH_URL"], "tiles.mapillary.com": os.environ["MAPILLARY_TILES_URL"]}}
send = requests.adapters.HTTPAdapter.send

def to_the_mock_server(self, request, **options):
    host = urlsplit(request.url).netloc
    assert host in HOSTS, host
    request.url = HOSTS[host].rstrip("/") + request.url.split(host, 1)[1]
    return send(self, request, **options)

requests.adapters.HTTPAdapter.send = to_the_mock_server
west, south, east, north = {box!r}
"""

SDK = """
import mapillary.interface as mly

mly.set_access_token(os.environ["MAPILLARY_TOKEN"])
found = json.loads(mly.images_in_bbox(dict(west=west, south=south, east=east, north=north)))
rows = 0
for feature in found["features"]:
    # It reads ids as floats, so those above 2^53 are other ids or none.
    try:
        image = mly.image_from_key(str(int(feature["properties"]["id"])), fields={fields_of_sdk!r})
    except Exception:
        continue
    rows += "captured_at" in image
"""

ZENSVI = """
import pandas
from zensvi.download import MLYDownloader

folder = pathlib.Path(tempfile.mkdtemp())
ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
area = folder / "area.geojson"
area.write_text(json.dumps(dict(type="Polygon", coordinates=[ring])))
downloader = MLYDownloader(os.environ["MAPILLARY_TOKEN"], verbosity=0)
downloader.download_svi(folder, input_shp_file=str(area), metadata_only=True, additional_fields={fields_of_sdk!r})
rows = len(pandas.read_csv(downloader.pids_url))
"""

PROGRAM = """
import contextlib, io, json, logging, resource, time
logging.disable()
start = time.perf_counter()
with contextlib.redirect_stdout(io.StringIO()):
    {code}
wall = time.perf_counter() - start
used = resource.getrusage(resource.RUSAGE_SELF)
print(json.dumps([rows, wall, used.ru_maxrss / 1024, used.ru_utime + used.ru_stime]))
"""

PEERS = {"streetflow": OURS, "mapillary": TO_THE_MOCK_SERVER + SDK, "zensvi": TO_THE_MOCK_SERVER + ZENSVI}


def densest_box(env: dict[str, str]) -> tuple[float, float, float, float]:
    """The cell of a grid with the most images."""
    code = f"""
import collections, json
import streetflow as sf
cells = collections.Counter()
for batch in sf.images(bbox={WORLD!r}, fields=["geometry"], geometry="best"):
    cells.update((row["lon"] // {SIDE}, row["lat"] // {SIDE}) for row in batch.to_pylist())
print(json.dumps(cells.most_common(1)[0][0]))
"""
    x, y = output([sys.executable, "-c", code], env)
    return (x * SIDE, y * SIDE, (x + 1) * SIDE, (y + 1) * SIDE)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--runs", type=int, default=3)
    args = parser.parse_args()
    print("| package | images | images/s | CPU ms per image | peak MB |\n|---|--:|--:|--:|--:|")
    with server(args.images) as env:
        box = densest_box(env)
        for name, code in PEERS.items():
            if importlib.util.find_spec(name) is None:
                print(f"| {name} | missing | | | |")
                continue
            code = code.format(box=box, fields=FIELDS, fields_of_sdk=FIELDS_OF_SDK).strip().replace("\n", "\n    ")
            results = [output([sys.executable, "-c", PROGRAM.format(code=code)], env) for _ in range(args.runs)]
            rows = results[0][0]
            wall, peak, cpu = (statistics.median(column) for column in list(zip(*results))[1:])
            print(f"| {name} | {rows:.0f} | {rows / wall:.0f} | {cpu / rows * 1000:.2f} | {peak:.0f} |", flush=True)


if __name__ == "__main__":
    main()
