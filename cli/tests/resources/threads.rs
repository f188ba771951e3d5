//! Threads and open files that the system refuses: told, with the limit, and never a run that hangs.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::{command, output};

const MIB: u64 = 1 << 20;

/// What each thread takes here, so that a limit on memory is one on threads; that needs no other user.
const STACK: u64 = 64 * MIB;

/// The program itself, and what it needs beside its threads.
const PROGRAM: u64 = 640 * MIB;

#[tokio::test(flavor = "multi_thread")]
async fn however_few_threads_are_granted_a_run_ends_well_or_says_what_is_missing() {
    let (mut refused, mut done) = (0, 0);
    for threads in [0, 1, 2, 3, 5, 8, 12, 16, 20, 24, 28, 30, 32, 36, 40, 60, 200] {
        let folder = tempfile::tempdir().unwrap();
        let binary = command(folder.path());
        let limit = (PROGRAM + threads * STACK) / 1024;
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("ulimit -v {limit}; exec \"$0\" \"$@\"")]).arg(binary.get_program());
        shell.args(["crawl", "--sandbox", "--bbox=33.3,35.15,33.4,35.2", "--no-download"]);
        // One arena, or each thread would take another 64 MiB.
        shell.env("RUST_MIN_STACK", STACK.to_string()).env("MALLOC_ARENA_MAX", "1");
        shell.current_dir(folder.path()).stdin(Stdio::null());
        let began = Instant::now();
        let (exit, said) = output(shell).await;
        assert!(began.elapsed() < Duration::from_secs(40), "{threads}: {said}");
        match exit {
            0 => done += 1,
            1 => {
                assert!(said.contains("error: failed to start a thread"), "{threads}: {said}");
                assert!(said.contains("ulimit -u") && said.contains("pids"), "{threads}: {said}");
                assert!(!said.contains("panicked"), "{threads}: {said}");
                assert_eq!(done, 0, "fewer were enough: {said}");
                refused += 1;
            }
            _ => panic!("{threads}: {exit} {said}"),
        }
    }
    assert!(refused >= 5 && done >= 2, "{refused} refused, {done} done");
}

#[tokio::test(flavor = "multi_thread")]
async fn with_few_open_files_fewer_requests_are_under_way_and_the_run_ends_well() {
    for files in [64, 100, 130, 300] {
        let folder = tempfile::tempdir().unwrap();
        let binary = command(folder.path());
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("ulimit -n {files}; exec \"$0\" \"$@\"")]).arg(binary.get_program());
        shell.args(["crawl", "--sandbox", "--bbox=33.3,35.15,33.4,35.2", "--quality=256", "--yes"]);
        shell.current_dir(folder.path()).stdin(Stdio::null());
        let (exit, said) = output(shell).await;
        assert_eq!(exit, 0, "{files}: {said}");
        assert!(said.contains(&format!("only {files} files may be open at once")), "{files}: {said}");
        assert!(said.contains("ulimit -n"), "{files}: {said}");
    }
}
