"""Images a second and peak memory beside other packages, against the same mock server.

    pip install mapillary
    python python/benches/peers.py [--images 20000] [--runs 3]

`mapillary` is Mapillary's Python SDK. It has no setting for the hosts, so its requests are sent to the mock server where
the HTTP library opens the connection. Each package gets the images of the same box with the same fields, in its own way:
the SDK reads the tiles and then requests each image, which is what its functions offer. A package that is not installed
is listed as missing.
"""

from __future__ import annotations

import argparse
import importlib.util
import statistics
import sys

from run import FIELDS, output, server

#: A town of the mock data, about 600 m wide.
BOX = (33.355, 35.165, 33.365, 35.175)

OURS = """
import streetflow as sf
rows = len(sf.images(bbox={box!r}, fields={fields!r}, clip=True).to_pylist())
"""

SDK = """
import json, os
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
import mapillary.interface as mly

mly.set_access_token(os.environ["MAPILLARY_TOKEN"])
west, south, east, north = {box!r}
found = json.loads(mly.images_in_bbox(dict(west=west, south=south, east=east, north=north)))
rows = 0
for feature in found["features"]:
    image = json.loads(mly.image_from_key(str(feature["properties"]["id"]), fields={fields!r}))
    rows += "captured_at" in json.dumps(image)
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

PEERS = {"streetflow": OURS, "mapillary": SDK}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--runs", type=int, default=3)
    args = parser.parse_args()
    print("| package | images | images/s | CPU ms per image | peak MB |\n|---|--:|--:|--:|--:|")
    with server(args.images) as env:
        for name, code in PEERS.items():
            if importlib.util.find_spec(name) is None:
                print(f"| {name} | missing | | | |")
                continue
            code = code.format(box=BOX, fields=FIELDS).strip().replace("\n", "\n    ")
            results = [output([sys.executable, "-c", PROGRAM.format(code=code)], env) for _ in range(args.runs)]
            rows = results[0][0]
            wall, peak, cpu = (statistics.median(column) for column in list(zip(*results))[1:])
            print(f"| {name} | {rows:.0f} | {rows / wall:.0f} | {cpu / rows * 1000:.2f} | {peak:.0f} |", flush=True)


if __name__ == "__main__":
    main()
