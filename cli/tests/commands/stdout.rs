//! Failing standard output: a full disk is a failure, a closed pipe is not.

use std::fs;
use std::process::{Command, Stdio};

use streetflow_sandbox::Sandbox;

use crate::support::{command, command_on, output, with};

const NICOSIA: &str = "--bbox=33.3,35.15,33.4,35.2";

/// Returns all commands that print to standard output.
fn printing() -> Vec<Vec<&'static str>> {
    vec![
        vec!["--help"],
        vec!["--version"],
        vec!["crawl", "--help"],
        vec!["config"],
        vec!["man"],
        vec!["completions", "bash"],
        vec!["completions", "zsh"],
        vec!["convert", "table.csv", "-"],
        vec!["convert", "table.csv", "-", "--format=geojson"],
        vec!["crawl", "--estimate", "--sandbox", NICOSIA],
        vec!["sandbox"],
    ]
}

fn in_folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let rows: Vec<String> =
        (0..50_000).map(|id| format!("{},33.5,35\n", 1_000_000_000_000_000_u64 + id)).collect();
    fs::write(folder.path().join("table.csv"), format!("img_id,lon,lat\n{}", rows.concat())).unwrap();
    folder
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_behind_stdout_is_an_error_with_exit_code_1() {
    let folder = in_folder();
    for args in printing() {
        let mut full = with(command(folder.path()), args.iter().copied());
        full.stdout(fs::File::options().write(true).open("/dev/full").unwrap());
        let (exit, stderr) = run_with_stdout(full).await;
        assert_eq!(exit, 1, "{args:?}: {stderr}");
        assert!(
            stderr.contains("error: failed to write") && stderr.contains("No space left"),
            "{args:?}: {stderr}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_pipe_behind_stdout_is_no_failure() {
    let folder = in_folder();
    for args in printing().into_iter().filter(|args| *args != ["sandbox"]) {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut piped = with(command(folder.path()), args.iter().copied());
        piped.stdout(writer);
        let (exit, stderr) = run_with_stdout(piped).await;
        assert_eq!(exit, 0, "{args:?}: {stderr}");
        assert!(!stderr.contains("error") && !stderr.contains("panicked"), "{args:?}: {stderr}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_estimate_that_cannot_be_printed_is_an_error() {
    let (sandbox, folder) = (Sandbox::start().await.unwrap(), tempfile::tempdir().unwrap());
    let mut full = with(command_on(&sandbox, folder.path()), ["crawl", "--estimate", NICOSIA]);
    full.stdout(fs::File::options().write(true).open("/dev/full").unwrap());
    let (exit, stderr) = run_with_stdout(full).await;
    assert!(exit == 1 && stderr.contains("failed to write to standard output"), "{stderr}");
    let (exit, stderr) =
        output(with(command_on(&sandbox, folder.path()), ["crawl", "--estimate", NICOSIA])).await;
    assert_eq!(exit, 0, "{stderr}");
}

/// Runs a command with its standard output unchanged. Returns exit code and stderr.
async fn run_with_stdout(mut command: Command) -> (i32, String) {
    command.stderr(Stdio::piped()).stdin(Stdio::null());
    let ended = tokio::task::spawn_blocking(move || command.spawn().unwrap().wait_with_output().unwrap());
    let ended = ended.await.unwrap();
    (ended.status.code().unwrap_or(-1), String::from_utf8(ended.stderr).unwrap())
}
