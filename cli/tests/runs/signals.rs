//! Signals to the built command: it ends quickly and keeps its results.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use streetflow_sandbox::{Fault, Host, Rule, Sandbox};

use crate::support::{command_on, eventually, names, read, run, with};

const NICOSIA: &str = "--bbox=33.33,35.15,33.39,35.19";

/// Returns the command with the default action for SIGHUP, even if the tests run under `nohup`.
fn command_with_sighup(sandbox: &Sandbox, folder: &Path) -> Command {
    let inner = command_on(sandbox, folder);
    let can = Command::new("env").args(["--default-signal=HUP", "true"]).output();
    if !can.is_ok_and(|output| output.status.success()) {
        return inner;
    }
    let mut command = Command::new("env");
    command.args(["--default-signal=HUP".as_ref(), inner.get_program()]).current_dir(folder);
    for (name, value) in inner.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command
}

fn kill(child: &Child, signal: &str) {
    Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap();
}

/// Starts a slow crawl and sends a signal when pictures arrive.
async fn run_and_signal(sandbox: &Sandbox, folder: &Path, signal: &str) -> (i32, String) {
    sandbox.add_rule(Rule::on(Host::Images).fault(Fault::Delay(Duration::from_millis(400))));
    let command = with(command_with_sighup(sandbox, folder), ["crawl", NICOSIA, "--concurrency=4"]);
    signal_at_first_picture(command, &folder.join("outputs/downloaded_images"), signal).await
}

/// Runs a command and sends a signal after the first picture. Returns exit code and stderr.
async fn signal_at_first_picture(mut command: Command, pictures: &Path, signal: &str) -> (i32, String) {
    let child = command.stderr(Stdio::piped()).spawn().unwrap();
    eventually("pictures arrive", || names(pictures).iter().any(|name| !name.starts_with('.'))).await;
    Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap();
    let started = Instant::now();
    let ended = tokio::task::spawn_blocking(move || child.wait_with_output().unwrap()).await.unwrap();
    assert!(started.elapsed() < Duration::from_secs(5), "it took {:?} to end", started.elapsed());
    (ended.status.code().unwrap_or(-1), String::from_utf8(ended.stderr).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_ends_the_run_with_valid_shorter_files() {
    for signal in ["-INT", "-TERM", "-HUP"] {
        let sandbox = Sandbox::start().await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let (exit, stderr) = run_and_signal(&sandbox, folder.path(), signal).await;
        assert_eq!(exit, 130, "{stderr}");
        assert!(stderr.contains("stopping") && stderr.contains("stopped early"), "{stderr}");
        let outputs = folder.path().join("outputs");
        for table in ["seq_dataset.csv", "img_dataset.csv", "img_meta_dataset.csv"] {
            assert!(read(&outputs, table).ends_with('\n'), "{table}");
        }
        assert!(names(&outputs.join("downloaded_images")).iter().all(|name| name.ends_with("_256.jpg")));
        sandbox.clear_rules();
        let (exit, stderr) = run(&sandbox, folder.path(), ["crawl", NICOSIA]).await;
        assert_eq!(exit, 0, "{stderr}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_during_the_last_pictures_is_no_success() {
    let sandbox = Sandbox::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    run(&sandbox, folder.path(), ["crawl", NICOSIA, "--no-download"]).await;
    sandbox.add_rule(Rule::on(Host::Images).skip(3).fault(Fault::Delay(Duration::from_secs(30))));
    // All rows of the table are in flight at once, so the table is completely read.
    let command = with(command_on(&sandbox, folder.path()), ["download", "--concurrency=1000"]);
    let (exit, stderr) =
        signal_at_first_picture(command, &folder.path().join("outputs/downloaded_images"), "-INT").await;
    assert_eq!(exit, 130, "{stderr}");
    assert!(stderr.contains("stopped early"), "{stderr}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_leaves_no_partial_file_and_the_next_run_cleans_up() {
    let sandbox = Sandbox::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    run_and_signal(&sandbox, folder.path(), "-KILL").await;
    let outputs = folder.path().join("outputs");
    let visible =
        |folder: &Path| names(folder).into_iter().filter(|name| !name.starts_with('.')).collect::<Vec<_>>();
    assert_eq!(visible(&outputs), ["downloaded_images"]);
    for name in visible(&outputs.join("downloaded_images")) {
        let expected =
            sandbox.mock_data().picture(name.strip_suffix("_256.jpg").unwrap(), Some(256)).unwrap();
        assert!(fs::read(outputs.join("downloaded_images").join(name)).unwrap() == expected);
    }
    sandbox.clear_rules();
    let (exit, stderr) = run(&sandbox, folder.path(), ["crawl", NICOSIA]).await;
    assert_eq!(exit, 0, "{stderr}");
    let hidden = |folder: &Path| names(folder).into_iter().any(|name| name.starts_with('.'));
    assert!(!hidden(&outputs) && !hidden(&outputs.join("downloaded_images")));
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn a_run_under_nohup_survives_its_terminal() {
    let sandbox =
        Sandbox::builder().latency(Duration::from_millis(5)).picture_bytes(900).start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let args = ["-c", "trap '' HUP; exec \"$@\"", "sh", env!("CARGO_BIN_EXE_streetflow"), "crawl", NICOSIA];
    let mut command = Command::new("sh");
    command.args(args).current_dir(folder.path()).stderr(Stdio::piped());
    command.env("MAPILLARY_TOKEN", Sandbox::TOKEN).env("MAPILLARY_GRAPH_URL", sandbox.graph_url());
    command.env("MAPILLARY_TILES_URL", sandbox.tiles_url());
    let child = command.spawn().unwrap();
    eventually("the run is at work", || !sandbox.requests().is_empty()).await;
    kill(&child, "-HUP");
    let ended = tokio::task::spawn_blocking(move || child.wait_with_output().unwrap()).await.unwrap();
    let stderr = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(ended.status.code(), Some(0), "{stderr}");
    assert!(!stderr.contains("stopping"), "{stderr}");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_simultaneous_signals_count_once_and_two_hangups_abandon_nothing() {
    for signals in [[Signal::INT, Signal::TERM], [Signal::HUP, Signal::HUP]] {
        let (sandbox, folder) = (Sandbox::start().await.unwrap(), tempfile::tempdir().unwrap());
        sandbox.add_rule(Rule::on(Host::Images).fault(Fault::Stall));
        let mut command = command_with_sighup(&sandbox, folder.path());
        let child = command.args(["crawl", NICOSIA]).stderr(Stdio::piped()).spawn().unwrap();
        eventually("it waits", || sandbox.requests_to(Host::Images).len() > 5).await;
        // Both from this process, because starting a program takes too long on a busy machine.
        let process = Pid::from_child(&child);
        for signal in signals {
            kill_process(process, signal).unwrap();
        }
        let ended = tokio::task::spawn_blocking(move || child.wait_with_output().unwrap()).await.unwrap();
        let stderr = String::from_utf8(ended.stderr).unwrap();
        assert_eq!(ended.status.code(), Some(130), "{signals:?}: {stderr}");
        let report: Value =
            serde_json::from_str(&read(&folder.path().join("outputs"), "report.json")).unwrap();
        assert_eq!(report["outcome"], "stopped", "{signals:?}: {stderr}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_before_the_first_record_keeps_the_tables_of_an_earlier_run() {
    for (slow, args) in [
        (Host::Tiles, ["crawl", NICOSIA, "--restart"]),
        (Host::Graph, ["crawl", NICOSIA, "--no-download"]),
        (Host::Graph, ["images", "--restart", "-v"]),
    ] {
        let (sandbox, folder) = (Sandbox::start().await.unwrap(), tempfile::tempdir().unwrap());
        let (exit, stderr) = run(&sandbox, folder.path(), ["crawl", NICOSIA, "--no-download"]).await;
        assert_eq!(exit, 0, "{stderr}");
        let outputs = folder.path().join("outputs");
        let tables = ["seq_dataset.csv", "img_dataset.csv", "img_meta_dataset.csv"];
        let before = tables.map(|table| read(&outputs, table));
        let sent = sandbox.requests_to(slow).len();
        sandbox.add_rule(Rule::on(slow).fault(Fault::Stall));
        let child = with(command_on(&sandbox, folder.path()), args).stderr(Stdio::piped()).spawn().unwrap();
        eventually("it waits", || sandbox.requests_to(slow).len() > sent).await;
        kill(&child, "-INT");
        let ended = tokio::task::spawn_blocking(move || child.wait_with_output().unwrap()).await.unwrap();
        let stderr = String::from_utf8(ended.stderr).unwrap();
        assert_eq!(ended.status.code(), Some(130), "{args:?}: {stderr}");
        assert!(stderr.contains("before the first record") && stderr.contains("unchanged"), "{stderr}");
        assert!(!stderr.contains("what was done so far"), "{stderr}");
        assert!(tables.map(|table| read(&outputs, table)) == before, "{args:?}");
        let report: Value = serde_json::from_str(&read(&outputs, "report.json")).unwrap();
        assert_eq!(report["outcome"], "stopped", "{args:?}: {stderr}");
    }
}
