"""Crawls into moto and azurite, kills runs and partitions, uploads large tables, and reads shards in other programs. Writes
there from Python too, if the package is installed."""

import glob
import json
import os
import random
import shutil
import socket
import subprocess
import sys
import tarfile
import tempfile
import time

import boto3
import webdataset

STREETFLOW = os.environ["STREETFLOW"]
KILLS = int(os.environ["KILLS"])
BOX = "33.355,35.165,33.37,35.18"
SECRET = "secretOfTheBucketTests/123456"
AZURITE_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
scratch = sys.argv[1]


def timed(check, *args):
    started = time.monotonic()
    check(*args)
    print(f"  {check.__name__}: {time.monotonic() - started:.0f} s", flush=True)


def free_port():
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return server.getsockname()[1]


def start(command, port, log):
    """Starts a server and waits for its port."""
    server = subprocess.Popen(command, stdout=log, stderr=log)
    for _ in range(300):
        with socket.socket() as client:
            if client.connect_ex(("127.0.0.1", port)) == 0:
                return server
        time.sleep(0.1)
    server.kill()
    raise SystemExit(f"{command[0]} does not listen")


def crawl(url, env, state, *more):
    return [STREETFLOW, "crawl", "--sandbox", "--bbox", BOX, "-o", url, *more], dict(env, XDG_STATE_HOME=state)


def run(url, env, state, *more, exit=0):
    command, env = crawl(url, env, state, *more)
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    assert done.returncode == exit, f"{command}: exit code {done.returncode}\n{done.stderr}"
    for secret in (SECRET, AZURITE_KEY):
        assert secret not in done.stderr + done.stdout, "a credential was printed"
    return done.stderr


def drill(env, objects, url, clean):
    """Kills runs, then compares with an undisturbed one."""
    options = ["--pictures", "tar", "--shard-rows", "50", "--concurrency", "4"]
    with tempfile.TemporaryDirectory() as state:
        run(url("calm"), env, state, *options)
        calm = objects("calm")
        for kill in range(KILLS):
            command, kill_env = crawl(url("drill"), env, state, *options, "-q")
            child = subprocess.Popen(command, env=kill_env, stderr=subprocess.DEVNULL)
            time.sleep(random.uniform(0.02, 1.2))
            child.kill()
            child.wait()
            for name, content in objects("drill").items():
                assert calm.get(name) == content, f"{name} after kill {kill}"
        run(url("drill"), env, state, *options)
        assert objects("drill") == calm, "the drill ends in other objects"
        run(url("files"), env, state, "--format", "csv,parquet")
        names = objects("files")
        assert any(name.endswith(".parquet") for name in names) and any(name.endswith(".jpg") for name in names)
        shutil.rmtree(os.path.join(state, "streetflow"))
        text = run(url("files"), env, state, "--format", "csv,parquet")
        assert "already exist" in text, text
    clean()
    print(f"{KILLS} kills, {len(calm)} objects equal to those of an undisturbed run")


class Sandbox:
    """The mock server as a process of its own."""

    def __init__(self, *flags):
        command = [STREETFLOW, "sandbox", *flags]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.env = {}
        for _ in range(3):
            name, _, value = self.process.stdout.readline().removeprefix("export ").strip().partition("=")
            self.env[name] = value.strip("'")

    def __enter__(self):
        return self.env

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()


PARTITIONS = 8


def partitions(env, objects):
    """Kills partitions that run as processes, each with a state directory of its own, then merges and compares."""
    query = ["--bbox", "33.30,35.13,33.40,35.20", "--fields", "captured_at,geometry", "--format", "csv,parquet"]
    url = "s3://streets/plan"
    with tempfile.TemporaryDirectory() as folder, Sandbox("--latency", "5") as server:
        env = dict(env, **server, XDG_STATE_HOME=os.path.join(folder, "state"))

        def call(*args, exit=0):
            done = subprocess.run([STREETFLOW, *args], env=env, cwd=folder, capture_output=True, text=True)
            assert done.returncode == exit, f"{args}: exit code {done.returncode}\n{done.stderr}"
            assert SECRET not in done.stderr, "a credential was printed"

        call("crawl", *query, "-o", "single")
        call("plan", *query, "-o", url, "--partitions", str(PARTITIONS))
        running, done, kills = {}, set(), 0
        while len(done) < PARTITIONS:
            for index in set(range(PARTITIONS)) - done:
                ended = running[index].poll() if index in running else None
                if ended == 0:
                    del running[index]
                    done.add(index)
                elif index not in running or ended is not None:
                    assert ended in (None, -9), f"partition {index}: exit code {ended}"
                    command = [STREETFLOW, "crawl", "--plan", url, "--partition", f"{index}/{PARTITIONS}", "-q",
                               "--concurrency", "4", "--state-dir", f"machine-{index}"]
                    running[index] = subprocess.Popen(command, env=env, cwd=folder)
            if kills < 3 * KILLS and running and random.random() < 0.25:
                victim = random.choice(list(running.values()))
                victim.kill()
                victim.wait()
                kills += 1
            time.sleep(0.1)
        call("merge", url, "--join")
        found = objects("plan")
        for name in ("seq_dataset.csv", "img_dataset.csv", "img_meta_dataset.csv"):
            with open(os.path.join(folder, "single", name), "rb") as table:
                assert found[name] == table.read(), f"{name} differs from that of a single crawl"
        call("convert", f"{url}/img_meta_dataset.parquet", "joined.csv", "--fields", "captured_at,geometry")
        call("convert", "single/img_meta_dataset.parquet", "one.csv", "--fields", "captured_at,geometry")
        rows = [open(os.path.join(folder, name)).read() for name in ("joined.csv", "one.csv")]
        assert rows[0] == rows[1], "the joined Parquet table has other rows"
        pictures = sorted(name.rsplit("/", 1)[1] for name in found if name.endswith(".jpg"))
        single = sorted(name for name in os.listdir(os.path.join(folder, "single", "downloaded_images")) if name.endswith(".jpg"))
        assert pictures == single, "the partitions have other pictures"
        print(f"{PARTITIONS} partitions, {kills} kills: {rows[0].count(chr(10)) - 1} rows and {len(single)} pictures equal to a single crawl")


def uploads(env, client, objects):
    """Uploads a table of several parts, and kills the upload."""
    def leftover():
        return client.list_multipart_uploads(Bucket="streets").get("Uploads", [])

    with tempfile.TemporaryDirectory() as folder:
        before = len(leftover())
        table = os.path.join(folder, "table.csv")
        with open(table, "w") as out:
            out.write("seq_id,img_id,captured_at,compass_angle\n")
            out.writelines(f"sequence-{i // 150},{10**15 + i},{1_700_000_000_000 + i},{i % 360 + 0.5}\n" for i in range(300_000))
        command = [STREETFLOW, "convert", table, "s3://streets/big/table.csv", "--storage-option", "part_size=5242880"]
        child = subprocess.Popen(command, env=env, stderr=subprocess.DEVNULL)
        while len(leftover()) == before and child.poll() is None:
            time.sleep(0.01)
        child.kill()
        child.wait()
        assert objects("big") == {}, "a killed upload is visible"
        killed = len(leftover()) - before
        subprocess.run(command, env=env, check=True, capture_output=True)
        with open(table, "rb") as expected:
            assert objects("big")["table.csv"] == expected.read(), "the uploaded table differs"
        assert len(leftover()) - before == killed, "a completed upload left parts"
        # Without an option, parts have 16 MiB.
        subprocess.run([*command[:3], "s3://streets/big/copy.geojsonl"], env=env, check=True, capture_output=True)
        back = os.path.join(folder, "back.csv")
        subprocess.run([STREETFLOW, "convert", "s3://streets/big/copy.geojsonl", back], env=env, check=True, capture_output=True)
        with open(table) as expected, open(back) as found:
            assert found.read() == expected.read(), "the table read back differs"
        size = len(objects("big")["copy.geojsonl"])
        assert size > 16 << 20
        print(f"uploads in parts: {os.path.getsize(table)} and {size} bytes, {killed} left by a kill")


def detections(env, objects):
    """Updates detections in a bucket, counts their classes, and builds a training set from the tables there."""
    url = "s3://streets/detections"
    with tempfile.TemporaryDirectory() as folder:
        env = dict(env, XDG_STATE_HOME=os.path.join(folder, "state"))

        def call(*args):
            done = subprocess.run([STREETFLOW, *args], env=env, cwd=folder, capture_output=True, text=True)
            assert done.returncode == 0, f"{args}: exit code {done.returncode}\n{done.stderr}"
            assert SECRET not in done.stderr + done.stdout, "a credential was printed"
            return done.stdout

        crawl = ["crawl", "--sandbox", "--bbox", BOX, "--detections", "--format", "csv,parquet"]
        call(*crawl, "-o", "local")
        call(*crawl, "-o", url, "--no-download")
        before = objects("detections")
        without = [row.rsplit(b",", 1)[0] for row in before.pop("img_detections_dataset_none.csv").splitlines()]
        call(*crawl, "-o", url, "--no-download", "--update")
        after = objects("detections")
        assert [row.rsplit(b",", 1)[0] for row in after.pop("img_detections_dataset_none.csv").splitlines()] == without
        assert after.pop("changes.csv") and after == before, "an update changes the tables"
        table = f"{url}/img_detections_dataset.parquet"
        counts = call("classes", table)
        assert counts == call("classes", "local") and counts.count("\n") > 5, counts
        call("dataset", "--to", "coco", "--split", "60,40", "-o", "local", "here")
        there = ["--input", table, "--images", f"{url}/img_meta_dataset.csv", "--classes", "s3://streets/classes.csv"]
        with open(os.path.join(folder, "here", "classes.csv"), "rb") as file:
            objects.client.put_object(Bucket="streets", Key="classes.csv", Body=file.read())
        call("dataset", "--to", "coco", "--split", "60,40", "-o", "local", *there, "there")
        for split in ("train", "val"):
            names = (os.path.join(folder, name, "annotations", f"instances_{split}.json") for name in ("here", "there"))
            here, there = (json.load(open(name))["annotations"] for name in names)
            assert here == there and here, split
    print(f"detections: {len(without) - 1} images without any are not requested again; classes and sets from the bucket")


def package(env, objects, url):
    """Writes tables and pictures from Python, and compares them with those of a folder."""
    python = os.environ.get("PACKAGE_PYTHON")
    if not python:
        print("left out: the Python package, because it is not in STREETFLOW_VENV")
        return
    program = os.path.join(os.path.dirname(__file__), "package.py")
    with tempfile.TemporaryDirectory() as folder:
        env = dict(env, XDG_STATE_HOME=os.path.join(folder, "state"))
        # A write that cannot be interrupted would never end.
        arguments = [url("python"), folder, BOX]
        done = subprocess.run([python, program, *arguments], env=env, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stdout + done.stderr
        for secret in (SECRET, AZURITE_KEY):
            assert secret not in done.stderr + done.stdout, "a credential was printed"
        here = {}
        for name in glob.glob(os.path.join(folder, "python", "**"), recursive=True):
            if os.path.isfile(name):
                with open(name, "rb") as file:
                    here[os.path.relpath(name, os.path.join(folder, "python"))] = file.read()
        there = objects("python")
        assert set(there) == set(here) and len(here) > 20, (sorted(there), sorted(here))
        different = [name for name in here if here[name] != there[name]]
        assert not different, different
    print(f"Python: {len(here)} tables, pictures and shards equal to those of a folder")


def s3():
    port = free_port()
    endpoint = f"http://127.0.0.1:{port}"
    env = dict(os.environ, AWS_ACCESS_KEY_ID="bucket-tests", AWS_SECRET_ACCESS_KEY=SECRET, AWS_REGION="us-east-1",
               AWS_ENDPOINT_URL=endpoint, AWS_ALLOW_HTTP="true", NO_PROXY="127.0.0.1", no_proxy="127.0.0.1")
    os.environ.update(NO_PROXY="127.0.0.1", no_proxy="127.0.0.1")
    with open(os.path.join(scratch, "moto.log"), "w") as log:
        server = start([os.path.join(os.path.dirname(sys.executable), "moto_server"), "-p", str(port)], port, log)
        try:
            client = boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x")
            client.create_bucket(Bucket="streets")

            def objects(folder):
                pages = client.get_paginator("list_objects_v2").paginate(Bucket="streets", Prefix=f"{folder}/")
                keys = [found["Key"] for page in pages for found in page.get("Contents", [])]
                keys = [key for key in keys if not key.endswith(("report.json", ".streetflow.lock"))]
                read = lambda key: client.get_object(Bucket="streets", Key=key)["Body"].read()
                return {key.split("/", 1)[1]: read(key) for key in keys}

            objects.client = client

            def clean():
                uploads = client.list_multipart_uploads(Bucket="streets").get("Uploads", [])
                print(f"S3: {len(uploads)} unfinished uploads left by kills")

            timed(drill, env, objects, lambda folder: f"s3://streets/{folder}", clean)
            timed(partitions, env, objects)
            timed(detections, env, objects)
            timed(uploads, env, client, objects)
            timed(package, env, objects, lambda folder: f"s3://streets/{folder}")
            error = run("s3://nowhere/x", env, scratch, exit=1)
            assert "does not create buckets" in error, error
        finally:
            server.kill()
            server.wait()


def azure():
    azurite = os.path.join(scratch, "node_modules", ".bin", "azurite-blob")
    if not os.path.exists(azurite):
        if not shutil.which("npm") or subprocess.run(["npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", scratch, "azurite@3"]).returncode != 0:
            print("left out: azurite is not installed and npm cannot install it")
            return
    port = free_port()
    endpoint = f"http://127.0.0.1:{port}/devstoreaccount1"
    env = dict(os.environ, AZURE_STORAGE_ACCOUNT_NAME="devstoreaccount1", AZURE_STORAGE_ACCOUNT_KEY=AZURITE_KEY,
               AZURE_STORAGE_ENDPOINT=endpoint, AZURE_ALLOW_HTTP="true")
    with open(os.path.join(scratch, "azurite.log"), "w") as log:
        command = [azurite, "--blobPort", str(port), "--inMemoryPersistence", "--disableTelemetry", "--skipApiVersionCheck", "--silent"]
        server = start(command, port, log)
        try:
            make_container(port)
            with tempfile.TemporaryDirectory() as state:
                url = "az://streets/run"
                text = run(url, env, state, "--format", "csv,parquet")
                text = run(url, env, state, "--format", "csv,parquet")
                assert "already exist" in text, text
                run(url, env, state, "--pictures", "tar", "--image-downloads-folder", "shards")
                with tempfile.TemporaryDirectory() as local:
                    command = [STREETFLOW, "convert", f"{url}/img_meta_dataset.parquet", os.path.join(local, "rows.csv")]
                    subprocess.run(command, env=env, check=True, capture_output=True)
            print("Azure: crawled twice, converted from there")
        finally:
            server.kill()
            server.wait()


def make_container(port):
    """Creates a container with a signed request: azurite knows no other way without its own tools."""
    import base64
    import email.utils
    import hashlib
    import hmac
    import urllib.request

    date = email.utils.formatdate(usegmt=True)
    path = "/devstoreaccount1/streets"
    headers = f"x-ms-date:{date}\nx-ms-version:2021-08-06\n"
    text = f"PUT\n\n\n\n\n\n\n\n\n\n\n\n{headers}/devstoreaccount1{path}\nrestype:container"
    digest = hmac.new(base64.b64decode(AZURITE_KEY), text.encode(), hashlib.sha256).digest()
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}?restype=container", method="PUT")
    request.add_header("x-ms-date", date)
    request.add_header("x-ms-version", "2021-08-06")
    request.add_header("Authorization", f"SharedKey devstoreaccount1:{base64.b64encode(digest).decode()}")
    urllib.request.urlopen(request)


def readers():
    """Reads shards in tarfile, GNU tar and webdataset."""
    with tempfile.TemporaryDirectory() as folder:
        run(os.path.join(folder, "out"), os.environ, folder, "--pictures", "tar", "--shard-rows", "60")
        shards = sorted(glob.glob(os.path.join(folder, "out", "downloaded_images", "pictures-*.tar")))
        samples = list(webdataset.WebDataset(shards, shardshuffle=False))
        assert len(shards) > 1 and samples
        for sample in samples:
            row = json.loads(sample["json"])
            assert row["img_id"] == sample["__key__"] and sample["jpg"][:2] == b"\xff\xd8", sample["__key__"]
        keys = [sample["__key__"] for sample in samples]
        assert len(set(keys)) == len(keys)
        for shard in shards:
            with tarfile.open(shard) as archive:
                names = archive.getnames()
            listed = subprocess.run(["tar", "tf", shard], capture_output=True, text=True, check=True)
            assert listed.stdout.split() == names and not listed.stderr, listed.stderr
        print(f"tarfile, tar and webdataset read {len(samples)} samples in {len(shards)} shards")


timed(readers)
timed(s3)
timed(azure)
