//! How often the command calls the system to read and write, and how many bytes it hands over: the kernel counts
//! that, for time depends on the machine. What goes over sockets by `recv` and `send` is not in it; requests are.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};
use streetflow::{CsvSink, Flow};
use streetflow_sandbox::{Sandbox, World};

use crate::support::pictures::{PICTURES, fine};
use crate::support::{command, command_on, images, names, with};

/// What a table or a picture is handed on in, at the least.
const PIECE: u64 = 1 << 16;

/// What a command needs to begin and to end, libraries and markers; and the pages of a small Parquet file.
const ROOM: u64 = 250;

const EVERYWHERE: &str = "crawl --bbox=-180,-85,180,85 --no-download";

#[derive(Debug)]
struct Calls {
    reads: u64,
    writes: u64,
    bytes_written: u64,
}

/// Runs a command to its end; the kernel's counts stay until somebody waits for it.
fn counted(mut command: Command) -> Calls {
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

async fn counted_on(sandbox: &Sandbox, folder: &Path, words: &str) -> Calls {
    let command = with(command_on(sandbox, folder), words.split_whitespace());
    tokio::task::spawn_blocking(|| counted(command)).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_picture_takes_few_calls_and_is_written_once() {
    const BYTES: usize = 100_000;
    let world = World::of_size(300, 1);
    let sandbox = Sandbox::builder().world(world).picture_bytes(BYTES).start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    fine(&sandbox, folder.path(), EVERYWHERE).await;
    let calls = counted_on(&sandbox, folder.path(), "download").await;
    let pictures = names(&folder.path().join(PICTURES)).len() as u64;
    assert!(pictures > 200, "{pictures}");
    // Its request, its file, and a word from thread to thread.
    assert!(calls.writes < 4 * pictures + ROOM, "{calls:?}");
    assert!(calls.bytes_written < pictures * (BYTES as u64 * 11 / 10), "{calls:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_takes_few_calls_and_little_is_written_for_it() {
    let sandbox = Sandbox::builder().world(World::of_size(20_000, 1)).start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let calls = counted_on(&sandbox, folder.path(), EVERYWHERE).await;
    let requests = sandbox.requests().len() as u64;
    assert!(requests > 400, "{requests}");
    // The request, the answer and its place in the store, and a word from thread to thread.
    assert!(calls.writes < 4 * requests + ROOM, "{calls:?}");
    // The tables, and in the store the answers that they come of.
    let tables: u64 = ["seq", "img", "img_meta"]
        .iter()
        .map(|table| fs::metadata(folder.path().join(format!("outputs/{table}_dataset.csv"))).unwrap().len())
        .sum();
    assert!(calls.bytes_written < 3 * tables, "{calls:?} for {tables}");
}

#[tokio::test]
async fn a_table_is_read_and_written_in_large_pieces() {
    let folder = tempfile::tempdir().unwrap();
    let rows = images(200_000).map(Ok);
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
        let calls = counted(with(command(folder.path()), ["convert", from.as_str(), to]));
        assert!(calls.reads < len(&from) / PIECE + ROOM, "{from}: {calls:?}");
        assert!(calls.writes < len(to) / PIECE + ROOM, "{to}: {calls:?}");
        assert!(calls.bytes_written < len(to) * 11 / 10 + PIECE, "{to}: {calls:?}");
        to.clone_into(&mut from);
    }
    assert_eq!(fs::read(&table).unwrap(), fs::read(folder.path().join("e.csv")).unwrap());
}
