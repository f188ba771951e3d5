"""The compared works: their peers, the targets, and the table."""

import json
import os
import shutil
import subprocess
import sys
import tempfile

import network

PICTURES, PICTURE_BYTES, CONCURRENCY = 1200, 217_000, 32
ROWS = {"500k x 10": 500_000, "200k x 4": 200_000}

# Work, peers, the peer of the target, and the target: how many times as fast at least.
TABLES = [
    ("encode csv 500k x 10", ["polars", "pyarrow"], ["polars"], 1.0),
    *(
        (f"encode parquet {shape}", ["duckdb", "geopandas", "polars"], ["duckdb"], 1.2)
        for shape in ("200k x 4", "500k x 10")
    ),
    *(
        (f"encode {form} 200k x 4", ["gdal", "overturemaps", "duckdb"], ["gdal", "overturemaps", "duckdb"], 15.0)
        for form in ("geojson", "geojsonseq")
    ),
    ("decode csv 500k x 10", ["polars", "pyarrow"], ["polars", "pyarrow"], 1.0),
    *(
        (f"decode parquet {shape}", ["polars", "pyarrow", "geopandas"], ["polars", "pyarrow"], 1.0)
        for shape in ("200k x 4", "500k x 10")
    ),
    ("decode geojson 200k x 4", ["gdal"], ["gdal"], 1.0),
    ("decode geojsonseq 200k x 4", ["gdal", "polars", "pyarrow"], ["polars", "pyarrow"], 1.0),
]

# Work, peers, and the target in million items per CPU second.
VECTOR_TILES = ["json + mapbox-vector-tile", "orjson + mapbox-vector-tile"]
RATES = [
    ("decode tile real", ["mapbox-vector-tile"], 10.0),
    ("decode tile synthetic", ["mapbox-vector-tile"], 10.0),
    ("decode response", ["orjson"], 1.0),
    ("decode detections", VECTOR_TILES, 1.0),
    ("decode detections to parquet", [f"{peer} + pyarrow" for peer in VECTOR_TILES], 1.0),
]

# Detections of the training sets, of 40 a picture, and the target in thousand per CPU second.
DETECTIONS, SETS_TARGET = 200_000, 300
# Detections whose sets must be built within so many MB.
MANY_DETECTIONS, MAX_MEMORY = 1_000_000, 300
# Task and format of our table. panlabel has boxes only.
SETS = [("detect", "csv"), ("detect", "parquet"), ("segment", "csv"), ("segment", "parquet")]


def artifact(line):
    """Returns name and path of a bench that Cargo built."""
    try:
        said = json.loads(line)
    except ValueError:
        return None
    if said.get("reason") != "compiler-artifact" or "bench" not in said["target"]["kind"]:
        return None
    return said["target"]["name"], said["executable"]


class Least:
    """Returns the minimum CPU time, wall time and memory of several rounds."""

    def __init__(self):
        self.turns, self.why = [], None

    def add(self, turn):
        self.turns.append(turn)

    def __getitem__(self, name):
        return min(turn[name] for turn in self.turns)

    def __bool__(self):
        return bool(self.turns)

    def cells(self):
        return f"{self['cpu']:.3f} | {self['wall']:.3f}" if self else "missing | missing"


def by_turns(rounds, each):
    """Runs all peers once per round. A failed peer is skipped in later rounds, with the reason."""
    least = {name: Least() for name in each}
    for _ in range(rounds):
        for name, work in each.items():
            if least[name].why:
                continue
            try:
                least[name].add(work())
            except (RuntimeError, OSError) as error:
                least[name] = Least()
                least[name].why = str(error)
                print(f"{name} is missing: {error}", file=sys.stderr)
    return least


def child(argv, env=None):
    """Returns the JSON objects that a program prints, one per line."""
    done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env)
    if done.returncode:
        raise RuntimeError((done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1])
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def row(work, ours, peer="", theirs=None, ratio="", target="", reached=None):
    word = {None: "", True: "yes", False: "**no**"}[reached]
    there = theirs.cells() if theirs is not None else " | "
    print(f"| {work} | {ours.cells()} | {peer} | {there} | {ratio} | {target} | {word} |", flush=True)


class Comparison:
    def __init__(self, args, folder, python, benches, command):
        self.args, self.folder, self.python = args, folder, python
        self.benches, self.command = benches, command
        self.data = os.path.join(folder, "data")
        os.makedirs(self.data, exist_ok=True)
        self.env = dict(os.environ, STREETFLOW_BENCH_TILE=args.tile) if args.tile else None

    def ours(self, work):
        bench = self.benches[work.split(" ")[0]]
        argv = [bench, "--json", "--only", work, "--folder", self.data]
        return lambda: next(said for said in child(argv, self.env) if said["work"] == work)

    def theirs(self, work, peer):
        script = os.path.join(os.path.dirname(__file__), "tables.py")
        return lambda: child([self.python, script, work, peer, self.data])[-1]

    def wants(self, work):
        return self.args.only in work

    def tables(self):
        wanted = [entry for entry in TABLES if self.wants(entry[0])]
        if wanted:
            # The peers read the files of this run.
            child([self.benches["encode"], "--json", "--only", " x ", "--folder", self.data, "--once"])
        for work, peers, against, target in wanted:
            each = {"ours": self.ours(work), **{peer: self.theirs(work, peer) for peer in peers}}
            least = by_turns(self.args.rounds, each)
            if not least["ours"]:
                row(work, least["ours"])
                continue
            best = max((least[peer] for peer in against if least[peer]), key=lambda peer: -peer["cpu"], default=None)
            for peer in peers:
                is_best = least[peer] is best
                ratio = f"{least[peer]['cpu'] / least['ours']['cpu']:.2f}" if least[peer] else ""
                reached = least[peer]["cpu"] / least["ours"]["cpu"] >= target if is_best else None
                row(work, least["ours"], peer, least[peer], ratio, f"≥ {target:g}" if is_best else "", reached)

    def conversions(self):
        """Whole processes from CSV to Parquet, with their memory."""
        work = "convert csv to parquet 500k x 12"
        if not self.wants(work):
            return
        script = os.path.join(os.path.dirname(__file__), "convert.py")
        source, out = os.path.join(self.data, "convert.csv"), os.path.join(self.data, "converted.parquet")
        network.run([self.python, script, "make", source])
        each = {"ours": lambda: network.run([self.command, "convert", source, out])}
        for peer in ("polars", "duckdb", "geopandas"):
            each[peer] = lambda peer=peer: network.run([self.python, script, peer, source, out])
        least = by_turns(self.args.rounds, each)
        ours = least["ours"]
        for peer in ("polars", "duckdb", "geopandas"):
            if not (ours and least[peer]):
                row(work, ours, peer, least[peer])
                continue
            ratio, is_polars = ours["cpu"] / least[peer]["cpu"], peer == "polars"
            said = f"ours is {ratio:.2f} CPU; {least[peer]['memory'] / 1e6:.0f} MB"
            row(work, ours, peer, least[peer], said, "≤ 1.0" if is_polars else "", ratio <= 1.0 if is_polars else None)
        if ours:
            memory = ours["memory"] / 1e6
            row(f"{work}: memory", ours, ratio=f"{memory:.0f} MB", target="≤ 60", reached=memory <= 60)

    def rates(self):
        for work, peers, target in RATES:
            if not self.wants(work) or (work.endswith("real") and not self.args.tile):
                continue
            # It writes the tile or the responses that the peers read.
            items = self.ours(work)()["items"]
            each = {"ours": self.ours(work), **{peer: self.theirs(work, peer) for peer in peers}}
            least = by_turns(self.args.rounds, each)
            rate = items / least["ours"]["cpu"] / 1e6
            for peer in peers:
                said = f"{rate:.2f} M/CPU-s"
                if least[peer]:
                    its = (least[peer].turns[0]["items"] or items) / least[peer]["cpu"] / 1e6
                    said += f" beside {its:.2f}"
                is_first = peer == peers[0]
                goal, reached = (f"≥ {target:g} M", rate >= target) if is_first else ("", None)
                row(work, least["ours"], peer, least[peer], said, goal, reached)
            if "tile" in work:
                self.tile_memory(work)

    def detections(self, name, rows, formats):
        """Writes tables of detections and pictures. Returns their folder."""
        folder = os.path.join(self.data, name)
        os.makedirs(folder, exist_ok=True)
        child([self.benches["dataset"], "--json", "--rows", str(rows), "--folder", folder, "--prepare", formats])
        return folder

    def set_memory(self):
        """Peak memory of whole processes that build sets of many detections, with outlines and masks."""
        wanted = [form for form in ("coco", "yolo", "webdataset", "hf") if self.wants(f"dataset {form} memory")]
        if not wanted:
            return
        folder = self.detections("many", MANY_DETECTIONS, "parquet")
        for form in wanted:
            argv = [self.command, "dataset", "--to", form, "--task", "segment", "-o", folder, os.path.join(folder, form)]
            ours = by_turns(1, {"ours": lambda argv=argv: network.run(argv)})["ours"]
            shutil.rmtree(os.path.join(folder, form), ignore_errors=True)
            memory = ours["memory"] / 1e6 if ours else 0
            reached = memory <= MAX_MEMORY if ours else None
            row(f"dataset {form} memory, {MANY_DETECTIONS:,} detections", ours, ratio=f"{memory:.0f} MB", target=f"≤ {MAX_MEMORY}", reached=reached)
        shutil.rmtree(folder)

    def sets(self):
        """Training sets as whole processes, from a table and a folder of pictures."""
        wanted = [entry for entry in SETS if self.wants("dataset coco {} from {}".format(*entry))]
        if not wanted:
            return
        folder = self.detections("sets", DETECTIONS, "csv,parquet")
        table = os.path.join(folder, "img_detections_dataset")
        script = os.path.join(os.path.dirname(__file__), "panlabel.py")
        boxes = os.path.join(self.data, "panlabel.csv")
        child([self.python, script, table + ".csv", boxes])
        panlabel = os.path.join(os.path.dirname(self.python), "panlabel")
        out = os.path.join(self.data, "panlabel.json")
        theirs = [panlabel, "convert", "-f", "tfod", "-t", "coco", "-i", boxes, "-o", out, "--allow-lossy"]
        for task, form in wanted:
            work = f"dataset coco {task} from {form}"
            ours = [self.command, "dataset", "--to", "coco", "--task", task, "-i", f"{table}.{form}"]
            ours += ["-o", folder, os.path.join(folder, "set")]
            each = {"ours": lambda ours=ours: network.run(ours)}
            if task == "detect":
                each["panlabel"] = lambda: network.run(theirs)
            least = by_turns(self.args.rounds, each)
            if not least["ours"]:
                row(work, least["ours"])
                continue
            rate, memory = DETECTIONS / least["ours"]["cpu"] / 1e3, least["ours"]["memory"] / 1e6
            said, peer = f"{rate:.0f} k/CPU-s; {memory:.0f} MB", least.get("panlabel")
            if peer:
                said += f" beside {DETECTIONS / peer['cpu'] / 1e3:.0f} k/CPU-s; {peer['memory'] / 1e6:.0f} MB"
            name = "panlabel" if task == "detect" else ""
            row(work, least["ours"], name, peer, said, f"≥ {SETS_TARGET} k", rate >= SETS_TARGET)

    def tile_memory(self, work):
        argv = [self.benches["decode"], "--json", "--peak", os.path.join(self.data, work.replace(" ", "-") + ".mvt")]
        said = child(argv)[0]
        times = 1 + said["peak"] / said["bytes"]
        row(f"{work}: memory", NOTHING, ratio=f"{times:.2f} × the tile", target="≤ 2", reached=times <= 2)

    def pictures(self):
        work = f"download {PICTURES} x {PICTURE_BYTES // 1000} kB"
        if not self.wants(work):
            return
        argv = [self.benches["serve"], "--images", str(PICTURES * 5 // 4), "--picture-bytes", str(PICTURE_BYTES)]
        with tempfile.TemporaryDirectory(dir=memory()) as folder, network.Server(argv) as server:
            each = network.Pictures(self.command, server, folder, PICTURES, CONCURRENCY)
            clients = {"ours": each.streetflow, "curl": each.curl, "aria2": each.aria2}
            least = by_turns(3 * self.args.rounds, clients)
        ours = least["ours"]
        for peer in ("curl", "aria2"):
            if not (ours and least[peer]):
                row(work, ours, peer, least[peer])
                continue
            ratios = [ours[clock] / least[peer][clock] for clock in ("cpu", "wall")]
            is_curl = peer == "curl"
            reached = max(ratios) <= 1.0 if is_curl else None
            row(work, ours, peer, least[peer], "ours is {:.2f} CPU, {:.2f} wall".format(*ratios), "≤ 1.0" if is_curl else "", reached)

    def crawls(self):
        sizes = [400_000, *([10_000_000] if self.args.long else [])]
        for images in sizes:
            work = f"crawl of metadata, {images:,} images"
            if not self.wants(work):
                continue
            with tempfile.TemporaryDirectory(dir=self.folder) as folder:
                argv = [self.command, "sandbox", "--images", str(images)]
                with network.Server(argv) as server:
                    rounds = self.args.rounds if images < 1_000_000 else 1
                    each = {"ours": lambda: network.crawl(self.command, server, folder)}
                    ours = by_turns(rounds, each)["ours"]
            if not ours:
                row(work, ours)
                continue
            each, memory = ours["cpu"] / images * 1e6, ours["memory"] / 1e6
            row(work, ours, ratio=f"{each:.2f} µs CPU an image", target="≤ 6", reached=each <= 6)
            row(f"{work}: memory", ours, ratio=f"{memory:.0f} MB", target="≤ 100", reached=memory <= 100)

    def starts(self):
        for word in ("--version", "--help"):
            if self.wants(word):
                each = {"ours": lambda: network.run([self.command, word])}
                ours = by_turns(20, each)["ours"]
                milliseconds = ours["wall"] * 1000
                row(word, ours, ratio=f"{milliseconds:.1f} ms", target="≤ 20", reached=milliseconds <= 20)
        if self.wants("binary"):
            size = os.path.getsize(self.command) / 1e6
            row("release binary", NOTHING, ratio=f"{size:.1f} MB", target="≤ 25", reached=size <= 25)


class Nothing(Least):
    def cells(self):
        return " | "


NOTHING = Nothing()


def memory():
    """A folder that is in memory, so that no disk takes part; else the usual one."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


def compare(args, folder, python, benches, command):
    for tool in ("curl", "aria2c"):
        if not shutil.which(tool):
            print(f"{tool} is not installed: `apt-get install curl aria2` as root", file=sys.stderr)
    print("| Work | Ours: CPU s | wall s | Peer | CPU s | wall s | Ratio | Target | Reached |")
    print("|---|--:|--:|---|--:|--:|--:|--:|---|")
    comparison = Comparison(args, folder, python, benches, command)
    comparison.pictures()
    comparison.tables()
    comparison.conversions()
    comparison.rates()
    comparison.sets()
    comparison.set_memory()
    comparison.crawls()
    comparison.starts()
