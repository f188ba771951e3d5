"""Works over the network: pictures with curl and aria2, and complete crawls with our command."""

import csv
import os
import shutil
import subprocess
import time


def run(argv, env=None, folder=None):
    """Returns CPU time, wall time, peak memory in bytes and output of a child process."""
    began = time.monotonic()
    with open(os.devnull) as nothing:
        child = subprocess.Popen(
            argv, env=env, cwd=folder, stdin=nothing, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        said = child.stdout.read()
        _, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise RuntimeError(f"{argv[0]} ended with {child.returncode}: {said.decode()[-400:]}")
    return {
        "cpu": used.ru_utime + used.ru_stime,
        "wall": time.monotonic() - began,
        "memory": used.ru_maxrss * 1024,
        "said": said.decode(),
    }


class Server:
    """The mock server in its own process, and the environment of its clients."""

    def __init__(self, argv, stderr=subprocess.DEVNULL):
        self.child = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr, text=True)
        self.env = dict(os.environ)
        while "MAPILLARY_TOKEN" not in (line := self.child.stdout.readline()):
            if not line:
                raise RuntimeError(f"{argv[0]} did not start")
            self.note(line)
        self.note(line)

    def note(self, line):
        name, there, value = line.strip().removeprefix("export ").partition("=")
        if there:
            self.env[name] = value.strip("'")

    def cpu(self):
        """Returns the CPU seconds used so far."""
        with open(f"/proc/{self.child.pid}/stat") as file:
            fields = file.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.child.kill()
        self.child.wait()


class Pictures:
    """Downloads pictures from one server with each client at the same concurrency."""

    def __init__(self, command, server, folder, count, concurrency):
        self.command, self.server, self.folder = command, server, folder
        self.concurrency = str(concurrency)
        tables = os.path.join(folder, "tables")
        run([command, "crawl", "--bbox=-180,-85,180,85", "--no-download", "-o", tables, "--progress=none"], server.env)
        with open(os.path.join(tables, "img_meta_dataset.csv"), newline="") as file:
            rows = [row for row in csv.DictReader(file) if row["thumb_256_url"]][:count]
        if len(rows) < count:
            raise RuntimeError(f"the server has {len(rows)} pictures, {count} are wanted")
        self.table = os.path.join(folder, "pictures.csv")
        with open(self.table, "w", newline="") as file:
            writer = csv.DictWriter(file, rows[0].keys())
            writer.writeheader()
            writer.writerows(rows)
        self.pictures = [(row["thumb_256_url"], f"{row['img_id']}_256.jpg") for row in rows]

    def streetflow(self):
        argv = [self.command, "download", "--input", self.table, "--output", self.fresh("ours")]
        return self.measured([*argv, "--concurrency", self.concurrency, "--progress=none"], "ours/downloaded_images")

    def curl(self):
        into = self.fresh("curl")
        config = os.path.join(self.folder, "curl.conf")
        with open(config, "w") as file:
            file.writelines(f'url = "{url}"\noutput = "{into}/{name}"\n' for url, name in self.pictures)
        argv = ["curl", "--silent", "--parallel", "--parallel-max", self.concurrency, "--config", config]
        return self.measured(argv, "curl")

    def aria2(self):
        into = self.fresh("aria2")
        names = os.path.join(self.folder, "aria2.txt")
        with open(names, "w") as file:
            file.writelines(f"{url}\n out={name}\n" for url, name in self.pictures)
        argv = ["aria2c", "--quiet", f"--max-concurrent-downloads={self.concurrency}", "--file-allocation=none"]
        return self.measured([*argv, "--split=1", f"--dir={into}", f"--input-file={names}"], "aria2")

    def fresh(self, name):
        path = os.path.join(self.folder, name)
        shutil.rmtree(path, ignore_errors=True)
        os.makedirs(path)
        return path

    def measured(self, argv, into):
        before = self.server.cpu()
        figures = run(argv, self.server.env)
        figures["server"] = self.server.cpu() - before
        there = len([name for name in os.listdir(os.path.join(self.folder, into)) if name.endswith(".jpg")])
        if there != len(self.pictures):
            raise RuntimeError(f"{argv[0]} left {there} of {len(self.pictures)} pictures: {figures['said'][-400:]}")
        return figures


def crawl(command, server, folder, *more):
    """Runs a complete metadata crawl of the server's data, with the response store."""
    out = os.path.join(folder, "crawl")
    shutil.rmtree(out, ignore_errors=True)
    argv = [command, "crawl", "--bbox=-180,-85,180,85", "--no-download", "-o", out, "--progress=none", *more]
    return run(argv, server.env)
