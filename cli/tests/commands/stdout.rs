//! Standard output that takes nothing: a full disk is a failure, a closed pipe is not.

use std::fs;
use std::process::{Command, Stdio};

use streetflow_sandbox::Sandbox;

use crate::support::{command, command_on, output, with};

const NICOSIA: &str = "--bbox=33.3,35.15,33.4,35.2";

/// All commands that print something that a person or a program wants.
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
async fn a_full_disk_behind_standard_output_is_told_and_ends_with_1() {
    let folder = in_folder();
    for words in printing() {
        let mut full = with(command(folder.path()), words.iter().copied());
        full.stdout(fs::File::options().write(true).open("/dev/full").unwrap());
        let (exit, said) = stdout_kept(full).await;
        assert_eq!(exit, 1, "{words:?}: {said}");
        assert!(
            said.contains("error: failed to write") && said.contains("No space left"),
            "{words:?}: {said}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_pipe_behind_standard_output_is_no_failure() {
    let folder = in_folder();
    for words in printing().into_iter().filter(|words| *words != ["sandbox"]) {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut piped = with(command(folder.path()), words.iter().copied());
        piped.stdout(writer);
        let (exit, said) = stdout_kept(piped).await;
        assert_eq!(exit, 0, "{words:?}: {said}");
        assert!(!said.contains("error") && !said.contains("panicked"), "{words:?}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_estimate_of_a_served_area_says_that_it_could_not_be_printed() {
    let (sandbox, folder) = (Sandbox::start().await.unwrap(), tempfile::tempdir().unwrap());
    let mut full = with(command_on(&sandbox, folder.path()), ["crawl", "--estimate", NICOSIA]);
    full.stdout(fs::File::options().write(true).open("/dev/full").unwrap());
    let (exit, said) = stdout_kept(full).await;
    assert!(exit == 1 && said.contains("failed to write to standard output"), "{said}");
    let (exit, said) =
        output(with(command_on(&sandbox, folder.path()), ["crawl", "--estimate", NICOSIA])).await;
    assert_eq!(exit, 0, "{said}");
}

/// Runs it with standard output as it is, and gives its exit code and what it said.
async fn stdout_kept(mut command: Command) -> (i32, String) {
    command.stderr(Stdio::piped()).stdin(Stdio::null());
    let ended = tokio::task::spawn_blocking(move || command.spawn().unwrap().wait_with_output().unwrap());
    let ended = ended.await.unwrap();
    (ended.status.code().unwrap_or(-1), String::from_utf8(ended.stderr).unwrap())
}
