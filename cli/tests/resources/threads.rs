//! Limits on threads and open files: the run reports the limit and never hangs.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::{command, output};

const MIB: u64 = 1 << 20;

/// Stack size per thread, so that a memory limit is a thread limit, which needs no other user.
const STACK: u64 = 64 * MIB;

/// Memory of the program without its threads.
const PROGRAM: u64 = 640 * MIB;

#[tokio::test(flavor = "multi_thread")]
async fn with_any_thread_limit_a_run_succeeds_or_reports_the_limit() {
    let (mut refused, mut done) = (0, 0);
    for threads in [0, 1, 2, 3, 5, 8, 12, 16, 20, 24, 28, 30, 32, 36, 40, 60, 200] {
        let folder = tempfile::tempdir().unwrap();
        let binary = command(folder.path());
        let limit = (PROGRAM + threads * STACK) / 1024;
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("ulimit -v {limit}; exec \"$0\" \"$@\"")]).arg(binary.get_program());
        shell.args(["crawl", "--sandbox", "--bbox=33.3,35.15,33.4,35.2", "--no-download"]);
        // One arena, because each thread would reserve another 64 MiB.
        shell.env("RUST_MIN_STACK", STACK.to_string()).env("MALLOC_ARENA_MAX", "1");
        shell.current_dir(folder.path()).stdin(Stdio::null());
        let started = Instant::now();
        let (exit, stderr) = output(shell).await;
        assert!(started.elapsed() < Duration::from_secs(40), "{threads}: {stderr}");
        match exit {
            0 => done += 1,
            1 => {
                assert!(stderr.contains("error: failed to start a thread"), "{threads}: {stderr}");
                assert!(stderr.contains("ulimit -u") && stderr.contains("pids"), "{threads}: {stderr}");
                assert!(!stderr.contains("panicked"), "{threads}: {stderr}");
                assert_eq!(done, 0, "fewer threads were enough: {stderr}");
                refused += 1;
            }
            _ => panic!("{threads}: {exit} {stderr}"),
        }
    }
    assert!(refused >= 5 && done >= 2, "{refused} refused, {done} done");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_low_limit_of_open_files_lowers_the_concurrency() {
    for files in [64, 100, 130, 300] {
        let folder = tempfile::tempdir().unwrap();
        let binary = command(folder.path());
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("ulimit -n {files}; exec \"$0\" \"$@\"")]).arg(binary.get_program());
        shell.args(["crawl", "--sandbox", "--bbox=33.3,35.15,33.4,35.2", "--quality=256", "--yes"]);
        shell.current_dir(folder.path()).stdin(Stdio::null());
        let (exit, stderr) = output(shell).await;
        assert_eq!(exit, 0, "{files}: {stderr}");
        assert!(stderr.contains(&format!("the limit of open files is {files}")), "{files}: {stderr}");
        assert!(stderr.contains("ulimit -n"), "{files}: {stderr}");
    }
}
