"""Errors, warnings, interruption and forks."""

from __future__ import annotations

import logging
import multiprocessing
import os
import pickle
import sys
import threading
import time
import warnings

import duckdb
import polars as pl
import pyarrow as pa
import pytest
import streetflow as sf
from conftest import NICOSIA


def test_every_class_has_its_kind_and_survives_pickling():
    classes = [getattr(sf, name) for name in sf.exceptions.__all__ if name.endswith("Error")]
    assert len({cls.kind for cls in classes}) == len(classes)
    for cls in classes:
        assert issubclass(cls, sf.StreetflowError)
        error = cls("it failed", "try again", subject="a file", status=503)
        copy = pickle.loads(pickle.dumps(error))
        assert type(copy) is cls
        assert (copy.message, copy.hint, copy.subject, copy.status) == ("it failed", "try again", "a file", 503)
        assert str(copy) == "it failed\nhint: try again"
    assert issubclass(sf.UsageError, ValueError) and issubclass(sf.OutputError, OSError)


def test_without_a_token_the_error_says_how_to_set_it():
    with pytest.raises(sf.AuthError) as caught:
        sf.images(bbox=NICOSIA, client=sf.Client(tiles_url=sf.Sandbox().url, tile_cache_age=0)).to_arrow()
    assert caught.value.kind == "auth" and "MAPILLARY_TOKEN" in caught.value.hint


def test_a_bad_token_is_an_auth_error_that_does_not_show_it(sandbox):
    token = "MLY|1234567890|0123456789abcdef0123456789abcdef"
    client = sf.Client(token=token, graph_url=sandbox.url, tiles_url=sandbox.url)
    assert token not in repr(client)
    with pytest.raises(sf.AuthError) as caught:
        sf.images(bbox=NICOSIA, client=client).to_arrow()
    assert token not in str(caught.value) and "0123456789abcdef" not in repr(caught.value)
    with pytest.raises(sf.UsageError):
        sf.Client(token="not a token")


def test_limits_of_a_client_are_checked():
    assert sf.Client(rate_share=8, tile_rate=10, concurrency=4).concurrency == 4
    sf.Client(rate_share="1/8", rate=10)
    for arguments in ({"rate_share": 0}, {"rate_share": "8"}, {"rate": 0}, {"concurrency": 0}, {"attempts": 99}):
        with pytest.raises(sf.UsageError):
            sf.Client(**arguments)


def test_the_class_survives_in_our_own_methods_and_the_text_in_others(sandbox):
    sandbox.fail("tiles", "blocked")

    def images() -> sf.Stream:
        return sf.images(bbox=NICOSIA, client=sandbox)

    for read in (sf.Stream.to_arrow, sf.Stream.to_polars, sf.Stream.to_pandas, sf.Stream.to_pylist, list):
        with pytest.raises(sf.BlockedError):
            read(images())
    for read in (pa.table, pl.DataFrame, lambda stream: duckdb.sql("from stream").fetchall()):
        stream = images()
        with pytest.raises(Exception, match="BlockedError: ") as caught:
            read(stream)
        assert "hint: " in str(caught.value)
        assert isinstance(stream.report.error, sf.BlockedError)


def test_an_unreachable_host_is_an_error(unused_port=9):
    client = sf.Client(
        token="MLY|1234|abcd", graph_url=f"http://127.0.0.1:{unused_port}", tiles_url=f"http://127.0.0.1:{unused_port}", attempts=1
    )
    with pytest.raises((sf.UnavailableError, sf.UnreachableError)) as caught:
        sf.images(bbox=NICOSIA, client=client, on_error="raise").to_arrow()
    assert isinstance(caught.value, ConnectionError)


def one_image(sandbox) -> str:
    return sf.images(bbox=NICOSIA, client=sandbox).to_pylist()[5]["img_id"]


def test_skipped_records_are_counted_and_told(sandbox):
    sandbox.fail("graph", "unavailable", skip=1, times=6)
    images = sf.images(bbox=NICOSIA, client=sf.Client(**urls(sandbox), attempts=1))
    with pytest.warns(sf.StreetflowWarning, match="failed and are missing") as caught:
        rows = images.to_arrow().num_rows
    assert caught[0].filename == __file__, "the warning belongs to the caller"
    report = images.report
    assert report.failed == len([item for item in report.failures if item["kind"] != "gone"]) > 0
    assert report.records == rows < 611
    assert report.complete
    assert all(item["id"] and item["message"] for item in report.failures)


def urls(sandbox) -> dict[str, str]:
    env = sandbox.env
    return {
        "graph_url": env["MAPILLARY_GRAPH_URL"],
        "tiles_url": env["MAPILLARY_TILES_URL"],
        "token": env["MAPILLARY_TOKEN"],
    }


def test_raise_stops_at_the_first_failure(sandbox):
    sandbox.fail("graph", "unavailable")
    images = sf.images(bbox=NICOSIA, client=sf.Client(**urls(sandbox), attempts=1), on_error="raise")
    with pytest.raises(sf.UnavailableError):
        images.to_arrow()
    assert not images.report.complete and images.report.ended


def test_a_warning_that_is_an_error_reaches_the_caller(sandbox):
    sandbox.fail("graph", "unavailable", skip=1, times=6)
    client = sf.Client(**urls(sandbox), attempts=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error", sf.StreetflowWarning)
        with pytest.raises(sf.StreetflowWarning):
            sf.images(bbox=NICOSIA, client=client).to_arrow()


def test_failures_are_logged_under_the_name_of_the_package(sandbox, caplog):
    sandbox.fail("graph", "unavailable", times=2)
    with caplog.at_level(logging.DEBUG, "streetflow"):
        sf.images(bbox=NICOSIA, client=sandbox).to_arrow()
    retries = [record for record in caplog.records if record.name == "streetflow" and "attempt" in record.message]
    assert len(retries) == 2
    assert all("MLY" not in record.message for record in caplog.records)


def test_progress_shows_a_bar_of_tqdm_and_ends_it(sandbox, capsys):
    sf.images(bbox=NICOSIA, client=sandbox, progress=True).to_arrow()
    shown = capsys.readouterr().err
    assert "611 images" in shown and "tiles=" in shown


def test_progress_works_without_tqdm(sandbox, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "tqdm", None)
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    sf.images(bbox=NICOSIA, client=sandbox, progress=True).to_arrow()
    assert capsys.readouterr().err.startswith("611 images, tiles ")


def test_other_threads_run_while_a_stream_waits(sandbox):
    sandbox.fail("tiles", "delay", times=1, delay=500)
    count, done = 0, threading.Event()

    def work() -> None:
        nonlocal count
        while not done.is_set():
            count += 1
            time.sleep(0.001)

    thread = threading.Thread(target=work)
    thread.start()
    sf.images(bbox=NICOSIA, client=sandbox).to_arrow()
    done.set()
    thread.join()
    assert count > 50, "the interpreter was released during the half second"


def test_two_threads_read_two_streams(sandbox):
    results = []
    threads = [
        threading.Thread(target=lambda: results.append(sf.images(bbox=NICOSIA, client=sandbox).to_arrow().num_rows))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert results == [611] * 4


def in_child(client: sf.Client, queue) -> None:
    try:
        sf.images(bbox=NICOSIA, client=client).to_arrow()
        queue.put("no error")
    except sf.ForkError as error:
        queue.put((error.kind, error.hint))


@pytest.mark.skipif(os.name != "posix", reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_process_gets_a_clear_error(sandbox):
    client = sandbox.client()
    sf.images(bbox=NICOSIA, client=client).to_arrow()
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    process = context.Process(target=in_child, args=(client, queue))
    process.start()
    kind, hint = queue.get(timeout=30)
    process.join(30)
    assert kind == "fork" and "spawn" in hint
    assert process.exitcode == 0
    assert sf.images(bbox=NICOSIA, client=client).to_arrow().num_rows == 611, "the parent goes on"


def test_a_query_pickles_and_a_client_and_a_stream_do_not(sandbox):
    query = sf.Query(bbox=NICOSIA, limit=3)
    assert pickle.loads(pickle.dumps(query)) == query
    with pytest.raises(TypeError, match="token"):
        pickle.dumps(sandbox.client())
    with pytest.raises(TypeError, match="pass its `.query` on"):
        pickle.dumps(sf.images(query, client=sandbox))


def test_hints_name_arguments_instead_of_flags(tmp_path):
    (tmp_path / "a.csv").write_text("img_id\n1\n")
    with pytest.raises(sf.UsageError) as caught:
        sf.convert(tmp_path / "a.csv", tmp_path / "b.unknown")
    assert "`format`" in caught.value.hint and "--" not in caught.value.hint


def test_a_client_of_another_type_is_an_error():
    with pytest.raises(sf.UsageError, match="type str") as caught:
        sf.images(bbox=NICOSIA, client="MLY|1234|abcd")
    assert "streetflow.Client" in caught.value.hint and "abcd" not in str(caught.value)


def test_a_stream_of_which_everything_failed_is_an_error(sandbox, tmp_path):
    def images(**more) -> sf.Stream:
        return sf.images(bbox=NICOSIA, client=sf.Client(**urls(sandbox), attempts=1, concurrency=1), **more)

    sandbox.fail("graph", "unavailable")
    for read in (sf.Stream.to_pylist, lambda stream: stream.write(tmp_path / "a.csv"), lambda stream: stream.map()):
        with pytest.raises(sf.UnavailableError, match="none were received, 12 failed; the first: ") as caught:
            read(images())
        assert "network" in caught.value.hint
    assert not (tmp_path / "a.csv").exists()
    with pytest.raises(pl.exceptions.ComputeError, match="UnavailableError: failed to get any records"):
        pl.DataFrame(images())
    sandbox.clear_faults()
    sandbox.fail("graph", "unavailable", skip=14)
    # All images that were received were filtered.
    with pytest.warns(sf.StreetflowWarning):
        assert images(make="no such maker").to_pylist() == []


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"pano": True, "flat": True, "bbox": NICOSIA},
        {"bbox": NICOSIA, "images": ["1"]},
        {"around": (33.36, 35.17)},
        {"bbox": NICOSIA, "from_": "2024-01-02", "to": "2024-01-01"},
        {"bbox": NICOSIA, "min_quality": 2},
        {"bbox": NICOSIA, "place": "Nicosia"},
        {"bbox": (float("nan"), 35, 33, 36)},
    ],
)
def test_contradictions_are_errors_before_the_first_read(arguments):
    with pytest.raises(sf.UsageError):
        sf.images(**arguments)
    sf.images(place="Nicosia, Cyprus")  # Its area is found later.


def test_numbers_out_of_range_are_usage_errors(sandbox):
    for call in (
        lambda: sf.Sandbox(images=-1),
        lambda: sf.Sandbox(port=70_000),
        lambda: sf.Client(concurrency=-1),
        lambda: sf.Client(attempts=-1),
        lambda: sandbox.client(concurrency=0),
        lambda: sf.Query(images=b"53"),
        lambda: sf.Query(images={"img_id": "53"}),
        lambda: sf.Query(images=pl.DataFrame({"img_id": ["53"]})),
    ):
        with pytest.raises(sf.UsageError):
            call()
