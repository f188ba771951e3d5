"""Writes the same tables and pictures into a bucket and into a folder, with the Python package: URL FOLDER BOX."""

import os
import signal
import sys
import threading
import time

import streetflow as sf

url, folder, box = sys.argv[1:]
# A shell starts jobs in the background with the signal ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
here = os.path.join(folder, "python")
os.mkdir(here)
server = sf.Sandbox()


def images(client=server):
    return sf.images(bbox=box, fields=["captured_at", "geometry"], client=client)


for place in (here, url):
    for extension in ("csv", "parquet", "geojson", "geojsonl"):
        assert images().write(f"{place}/images.{extension}").records > 50
    assert sf.sequences(bbox=box, client=server).write(f"{place}/tables/sequences.csv").records > 1
    assert sf.download(images(), f"{place}/pictures").records > 50
    assert sf.download(images(), f"{place}/shards", pictures="tar", shard_rows=50).records > 50

# Pictures that exist are not downloaded again.
again = sf.download(images(), f"{url}/pictures")
assert again.records == 0 and again.existing > 50, again
again = sf.download(images(), f"{url}/shards", pictures="tar", shard_rows=50)
assert again.records == 0 and again.existing > 50, again

# Tables in the bucket are read too.
table = os.path.join(folder, "copy.csv")
sf.convert(f"{url}/images.parquet", table, fields="captured_at,geometry")
with open(table, "rb") as copy, open(os.path.join(here, "images.csv"), "rb") as original:
    assert copy.read() == original.read()
assert len(sf.map_page(f"{url}/images.parquet")) == len(sf.map_page(f"{here}/images.parquet")) > 50
assert sf.download(f"{url}/images.csv", f"{here}/pictures", client=server).existing > 50

# A table that is not complete is not there, after a failure and after Ctrl-C.
failing = sf.Sandbox()
failing.fail("graph", "auth", skip=3)
try:
    images(failing).write(f"{url}/failed.csv")
    raise SystemExit("no error of a rejected token")
except sf.AuthError:
    pass
stalling = sf.Sandbox()
stalling.fail("graph", "stall", skip=3)


def interrupt():
    while len(stalling.requests()) < 5:
        time.sleep(0.01)
    os.kill(os.getpid(), signal.SIGINT)


threading.Thread(target=interrupt, daemon=True).start()
try:
    images(stalling).write(f"{url}/interrupted.csv")
    raise SystemExit("no interruption")
except KeyboardInterrupt:
    pass

# A bucket that does not exist.
try:
    images().write("s3://nowhere/images.csv")
    raise SystemExit("no error of a missing bucket")
except sf.StreetflowError as error:
    assert "does not create buckets" in str(error), error
