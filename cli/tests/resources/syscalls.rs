//! System calls for reading and writing, and their bytes, counted by the kernel because times depend on the machine.
//! `recv` and `send` on sockets are not included.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};
use streetflow::{CsvSink, Flow};
use streetflow_sandbox::{MockData, Sandbox};

use crate::support::pictures::{PICTURES, run_ok};
use crate::support::{command, command_on, image_records, names, with};

/// Minimum size of a chunk of a table or a picture.
const CHUNK_SIZE: u64 = 1 << 16;

/// Calls for the start and end of a command, libraries and markers, and the pages of a small Parquet file.
const MARGIN: u64 = 250;

const EVERYWHERE: &str = "crawl --bbox=-180,-85,180,85 --no-download";

#[derive(Debug)]
struct Calls {
    reads: u64,
    writes: u64,
    bytes_written: u64,
}

/// Runs a command. The kernel keeps the counts until the parent waits for it.
fn run_counted(mut command: Command) -> Calls {
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let pid = Pid::from_child(&child);
    waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT).unwrap();
    let counts = fs::read_to_string(format!("/proc/{}/io", child.id())).unwrap();
    assert!(child.wait().unwrap().success());
    let count = |name: &str| {
        let line = counts.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim_start_matches(':').trim().parse().unwrap()
    };
    Calls { reads: count("syscr"), writes: count("syscw"), bytes_written: count("wchar") }
}

async fn run_counted_on(sandbox: &Sandbox, folder: &Path, args: &str) -> Calls {
    let command = with(command_on(sandbox, folder), args.split_whitespace());
    tokio::task::spawn_blocking(|| run_counted(command)).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_picture_needs_few_system_calls_and_is_written_once() {
    const BYTES: usize = 100_000;
    let data = MockData::with_image_count(300, 1);
    let sandbox = Sandbox::builder().mock_data(data).picture_bytes(BYTES).start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    run_ok(&sandbox, folder.path(), EVERYWHERE).await;
    let calls = run_counted_on(&sandbox, folder.path(), "download").await;
    let pictures = names(&folder.path().join(PICTURES)).len() as u64;
    assert!(pictures > 200, "{pictures}");
    // The request, the file, and a wake-up between threads.
    assert!(calls.writes < 4 * pictures + MARGIN, "{calls:?}");
    assert!(calls.bytes_written < pictures * (BYTES as u64 * 11 / 10), "{calls:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_response_needs_few_system_calls_and_few_written_bytes() {
    let sandbox = Sandbox::builder().mock_data(MockData::with_image_count(20_000, 1)).start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let calls = run_counted_on(&sandbox, folder.path(), EVERYWHERE).await;
    let requests = sandbox.requests().len() as u64;
    assert!(requests > 400, "{requests}");
    // The request, the response and its entry in the store, and a wake-up between threads.
    assert!(calls.writes < 4 * requests + MARGIN, "{calls:?}");
    // The tables, and the stored responses.
    let tables: u64 = ["seq", "img", "img_meta"]
        .iter()
        .map(|table| fs::metadata(folder.path().join(format!("outputs/{table}_dataset.csv"))).unwrap().len())
        .sum();
    assert!(calls.bytes_written < 3 * tables, "{calls:?} for {tables}");
}

#[tokio::test]
async fn a_table_is_read_and_written_in_large_chunks() {
    let folder = tempfile::tempdir().unwrap();
    let rows = image_records(200_000).map(Ok);
    let table = folder.path().join("img_dataset.csv");
    Flow::from(futures::stream::iter(rows)).into_sink(CsvSink::create(&table)).await.unwrap();
    let mut from = "img_dataset.csv".to_owned();
    for to in [
        "a.geojsonseq",
        "b.geojson",
        "c.csv",
        #[cfg(feature = "parquet")]
        "d.parquet",
        "e.csv",
    ] {
        let len = |name: &str| fs::metadata(folder.path().join(name)).unwrap().len();
        let calls = run_counted(with(command(folder.path()), ["convert", from.as_str(), to]));
        assert!(calls.reads < len(&from) / CHUNK_SIZE + MARGIN, "{from}: {calls:?}");
        assert!(calls.writes < len(to) / CHUNK_SIZE + MARGIN, "{to}: {calls:?}");
        assert!(calls.bytes_written < len(to) * 11 / 10 + CHUNK_SIZE, "{to}: {calls:?}");
        to.clone_into(&mut from);
    }
    assert_eq!(fs::read(&table).unwrap(), fs::read(folder.path().join("e.csv")).unwrap());
}
