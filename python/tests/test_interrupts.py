"""Ctrl-C in each consumer. As a program, this file measures how long each of them takes to end."""

from __future__ import annotations

import os
import pathlib
import signal
import statistics
import subprocess
import sys
import tempfile
import textwrap
import time

import pytest

pytestmark = pytest.mark.skipif(os.name != "posix", reason="sends SIGINT")

CONSUMERS = {
    "own loop": "for batch in images: pass",
    "to_arrow": "images.to_arrow()",
    "to_polars": "images.to_polars()",
    "to_pandas": "images.to_pandas()",
    "to_geopandas": "images.to_geopandas()",
    "write": "images.write(path)",
    "map": "images.map(path)",
    "pyarrow table": "import pyarrow as pa; pa.table(images)",
    "pyarrow reader": "import pyarrow as pa; pa.RecordBatchReader.from_stream(images).read_all()",
    "polars": "import polars as pl; pl.DataFrame(images)",
    "pandas": "import pandas as pd; pd.DataFrame.from_arrow(images)",
    "duckdb": "import duckdb; duckdb.sql('from images').fetchall()",
    "duckdb, grouped": "import duckdb; duckdb.sql('select seq_id, count(*) from images group by all').fetchall()",
    "duckdb, one thread": "import duckdb; duckdb.sql('set threads = 1'); duckdb.sql('from images').fetchall()",
    "download": "sf.download(images, path)",
    "async": "asyncio.run(read(images))",
}
#: These do not read `images`.
OTHERS = {
    "estimate": "sf.estimate(bbox=BOX, client=sandbox)",
    "sequences": "sf.sequences(bbox=BOX, client=sandbox).to_arrow()",
    "scan_polars": "sf.scan_polars(bbox=BOX, fields=['geometry'], client=sandbox).collect()",
    "scan_polars, streaming": "sf.scan_polars(bbox=BOX, fields=['geometry'], client=sandbox).collect(engine='streaming')",
}

#: Where the requests stop: what makes them stall, and what tells that the consumer waits.
MOMENTS = {
    "before the first batch": ("sandbox.fail('tiles', 'stall')", "sandbox.requests()"),
    # A batch closes after a second, so that the rows that arrived are passed on.
    "after the first batch": ("sandbox.fail('graph', 'stall', skip=20)", "images.report.records"),
    "in a slow server": ("sandbox.fail('graph', 'delay', delay=700)", "len(sandbox.requests()) > 8"),
}

#: What a process may have done before.
HISTORIES = {
    "nothing": "",
    # Both replace the handler of the process for the signal.
    "an event loop": "sf.images(bbox=BOX, client=sf.Sandbox()).to_arrow(); asyncio.run(asyncio.sleep(0))",
    "a prompt of IPython": """
        sf.images(bbox=BOX, client=sf.Sandbox()).to_arrow()
        loop = asyncio.new_event_loop()
        loop.add_signal_handler(signal.SIGINT, print)
        loop.remove_signal_handler(signal.SIGINT)
        loop.close()
    """,
}

PROGRAM = """
import asyncio, os, signal, sys, threading, time
import streetflow as sf

BOX = (33.33, 35.15, 33.39, 35.19)
{history}
sandbox = sf.Sandbox()
{stall}
images = sf.images(bbox=BOX, fields=["geometry"], client=sandbox)
path = {path!r}

async def read(images):
    async for batch in images:
        pass

# An interruption before this would test nothing.
def announce():
    while not ({waits}):
        time.sleep(0.005)
    print("reading", flush=True)

threading.Thread(target=announce, daemon=True).start()
ended = None
try:
    try:
        {code}
    except BaseException as error:
        ended = error
        # Where a thread of the consumer saw the signal first, Python raises a second exception here.
        time.sleep(0)
except KeyboardInterrupt:
    pass
if ended is None:
    print("not interrupted", flush=True)
else:
    print("ended", type(ended).__name__, str(ended).splitlines()[:1], time.time(), flush=True)
"""


def seconds_to_end(code: str, path: pathlib.Path, moment: str, history: str = "nothing", pause: float = 0.3) -> float:
    """Interrupts a program that waits for a server, and returns the seconds until its read ends."""
    stall, waits = MOMENTS[moment]
    text = PROGRAM.format(
        history=textwrap.dedent(HISTORIES[history]), stall=stall, waits=waits, code=code, path=str(path)
    )
    with subprocess.Popen(
        [sys.executable, "-c", text], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout.readline() == "reading\n", process.stderr.read()
            # Long enough for a consumer to wait in a thread of its own.
            time.sleep(pause)
            sent = time.time()
            process.send_signal(signal.SIGINT)
            line = process.stdout.readline()
            assert line.startswith("ended"), line + process.stderr.read()
            # DuckDB reports an interruption that it saw first in its own words.
            assert "KeyboardInterrupt" in line or "nterrupt" in line
            process.wait(20)
            return float(line.split()[-1]) - sent
        finally:
            process.kill()


#: Measured: 0.01 to 0.1 s. The bound is wide, for a machine with other work.
MAX_SECONDS = 5


@pytest.mark.parametrize("consumer", [*CONSUMERS, *OTHERS])
def test_ctrl_c_ends_each_consumer_at_once(consumer, tmp_path):
    """The first tile never arrives, so only the signal can end the read."""
    code = {**CONSUMERS, **OTHERS}[consumer]
    assert seconds_to_end(code, tmp_path / "out.csv", "before the first batch") < MAX_SECONDS
    assert not (tmp_path / "out.csv").is_file()


@pytest.mark.parametrize("consumer", ["own loop", "pyarrow table", "polars", "pandas", "duckdb", "duckdb, grouped", "async"])
def test_ctrl_c_ends_a_consumer_that_has_a_batch(consumer, tmp_path):
    assert seconds_to_end(CONSUMERS[consumer], tmp_path / "out.csv", "after the first batch") < MAX_SECONDS


@pytest.mark.parametrize("history", ["an event loop", "a prompt of IPython"])
@pytest.mark.parametrize("consumer", ["duckdb", "polars", "scan_polars"])
def test_ctrl_c_works_after_other_users_of_the_signal(consumer, history, tmp_path):
    code = {**CONSUMERS, **OTHERS}[consumer]
    assert seconds_to_end(code, tmp_path / "out.csv", "before the first batch", history) < MAX_SECONDS


def test_ctrl_c_ends_a_lazy_frame_of_an_earlier_cell():
    script = """
        import signal, threading, time
        from IPython.core.interactiveshell import InteractiveShell

        shell = InteractiveShell.instance()
        shell.run_cell("import streetflow as sf; sandbox = sf.Sandbox(); sandbox.fail('tiles', 'stall')")
        shell.run_cell("frame = sf.scan_polars(bbox=(33.33, 35.15, 33.39, 35.19), client=sandbox)")
        # As the prompt of the next cell does.
        signal.set_wakeup_fd(-1)

        def announce():
            while not shell.user_ns["sandbox"].requests():
                time.sleep(0.005)
            print("reading", flush=True)

        threading.Thread(target=announce, daemon=True).start()
        print("ended", type(shell.run_cell("frame.collect()").error_in_exec).__name__, flush=True)
    """
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)], stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout.readline() == "reading\n"
            process.send_signal(signal.SIGINT)
            process.wait(20)
            assert "ended KeyboardInterrupt" in process.stdout.read()
        finally:
            process.kill()


def test_ctrl_c_still_ends_calls_of_python_after_a_stream():
    script = """
        import threading, time
        import streetflow as sf
        sf.images(bbox=(33.33, 35.15, 33.39, 35.19), sandbox=True).to_arrow()
        lock = threading.Lock()
        lock.acquire()
        print("waiting", flush=True)
        try:
            lock.acquire()
        except KeyboardInterrupt:
            print("ended", flush=True)
    """
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)], stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout.readline() == "waiting\n"
            time.sleep(0.3)
            process.send_signal(signal.SIGINT)
            process.wait(20)
            assert process.stdout.readline() == "ended\n"
        finally:
            process.kill()


def test_the_place_for_a_descriptor_of_signals_is_free_after_the_streams():
    # Trio warns if something else has the place, and asyncio replaces it.
    script = """
        import asyncio, signal, socket
        import duckdb
        import streetflow as sf

        def is_free():
            found = signal.set_wakeup_fd(-1)
            signal.set_wakeup_fd(found)
            return found == -1

        def images():
            return sf.images(bbox=(33.33, 35.15, 33.39, 35.19), client=sandbox)

        async def read(stream):
            async for batch in stream:
                pass

        sandbox = sf.Sandbox()
        first, second = images(), images()
        assert not is_free()
        first.to_arrow()
        assert not is_free(), "the other stream may still be read"
        second.close()
        assert is_free()
        for use in (
            lambda stream: [next(iter(stream)), stream.close()],
            lambda stream: stream.write(path),
            lambda stream: stream.map(),
            lambda stream: asyncio.run(read(stream)),
            lambda stream: sf.download(stream, path + ".pictures"),
        ):
            use(images())
            assert is_free(), use
        dropped = images()
        del dropped
        # DuckDB ends it in a thread of its own.
        stream = images()
        duckdb.sql("select count(*) from stream").fetchall()
        images().to_arrow()
        assert is_free()

        # The place of others is left alone.
        other, end = socket.socketpair()
        other.setblocking(False)
        signal.set_wakeup_fd(other.fileno())
        images().to_arrow()
        assert signal.set_wakeup_fd(-1) == other.fileno()
    """
    with tempfile.TemporaryDirectory() as folder:
        text = f"path = {os.path.join(folder, 'images.csv')!r}\n{textwrap.dedent(script)}"
        done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def main() -> None:
    print("Seconds from the signal to the end of the read: median and maximum of three.\n")
    print("| consumer |", " | ".join(MOMENTS), "|\n|---|" + "--:|" * len(MOMENTS))
    for name, code in CONSUMERS.items():
        cells = []
        for moment in MOMENTS:
            with tempfile.TemporaryDirectory() as folder:
                times = [
                    seconds_to_end(code, pathlib.Path(folder) / "out.csv", moment, pause=pause) for pause in (0.02, 0.3, 0.55)
                ]
            cells.append(f"{statistics.median(times):.2f}, {max(times):.2f}")
        print(f"| {name} |", " | ".join(cells), "|", flush=True)


if __name__ == "__main__":
    main()
