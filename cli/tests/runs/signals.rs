//! Signals to the built command: it ends well, at once, and keeps what is done.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use streetflow_sandbox::{Fault, Host, Rule, Sandbox};

use crate::support::{command_on, eventually, names, read, run, with};

const NICOSIA: &str = "--bbox=33.33,35.15,33.39,35.19";

/// The command with SIGHUP as it is by default, even where the tests themselves run under `nohup`.
fn ends_with_its_terminal(sandbox: &Sandbox, folder: &Path) -> Command {
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
async fn interrupted(sandbox: &Sandbox, folder: &Path, signal: &str) -> (i32, String) {
    sandbox.script(Rule::on(Host::Images).fault(Fault::Delay(Duration::from_millis(400))));
    let command = with(ends_with_its_terminal(sandbox, folder), ["crawl", NICOSIA, "--concurrency=4"]);
    signalled(command, &folder.join("outputs/downloaded_images"), signal).await
}

/// Runs a command, sends a signal when a picture is there, and gives exit code and words.
async fn signalled(mut command: Command, pictures: &Path, signal: &str) -> (i32, String) {
    let child = command.stderr(Stdio::piped()).spawn().unwrap();
    eventually("pictures arrive", || names(pictures).iter().any(|name| !name.starts_with('.'))).await;
    Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap();
    let started = Instant::now();
    let ended = tokio::task::spawn_blocking(move || child.wait_with_output().unwrap()).await.unwrap();
    assert!(started.elapsed() < Duration::from_secs(5), "it took {:?} to end", started.elapsed());
    (ended.status.code().unwrap_or(-1), String::from_utf8(ended.stderr).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_ends_it_well_with_valid_shorter_files() {
    for signal in ["-INT", "-TERM", "-HUP"] {
        let sandbox = Sandbox::start().await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let (exit, said) = interrupted(&sandbox, folder.path(), signal).await;
        assert_eq!(exit, 130, "{said}");
        assert!(said.contains("stopping") && said.contains("stopped early"), "{said}");
        let outputs = folder.path().join("outputs");
        for table in ["seq_dataset.csv", "img_dataset.csv", "img_meta_dataset.csv"] {
            assert!(read(&outputs, table).ends_with('\n'), "{table}");
        }
        assert!(names(&outputs.join("downloaded_images")).iter().all(|name| name.ends_with("_256.jpg")));
        sandbox.clear_script();
        let (exit, said) = run(&sandbox, folder.path(), ["crawl", NICOSIA]).await;
        assert_eq!(exit, 0, "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_when_only_pictures_are_left_is_no_success() {
    let sandbox = Sandbox::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    run(&sandbox, folder.path(), ["crawl", NICOSIA, "--no-download"]).await;
    sandbox.script(Rule::on(Host::Images).skip(3).fault(Fault::Delay(Duration::from_secs(30))));
    // All rows of the table are under way at once, so the table is at its end.
    let command = with(command_on(&sandbox, folder.path()), ["download", "--concurrency=1000"]);
    let (exit, said) = signalled(command, &folder.path().join("outputs/downloaded_images"), "-INT").await;
    assert_eq!(exit, 130, "{said}");
    assert!(said.contains("stopped early"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_leaves_no_half_file_and_the_next_run_sweeps_up() {
    let sandbox = Sandbox::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    interrupted(&sandbox, folder.path(), "-KILL").await;
    let outputs = folder.path().join("outputs");
    let visible =
        |folder: &Path| names(folder).into_iter().filter(|name| !name.starts_with('.')).collect::<Vec<_>>();
    assert_eq!(visible(&outputs), ["downloaded_images"]);
    for name in visible(&outputs.join("downloaded_images")) {
        let truth = sandbox.world().picture(name.strip_suffix("_256.jpg").unwrap(), Some(256)).unwrap();
        assert!(fs::read(outputs.join("downloaded_images").join(name)).unwrap() == truth);
    }
    sandbox.clear_script();
    let (exit, said) = run(&sandbox, folder.path(), ["crawl", NICOSIA]).await;
    assert_eq!(exit, 0, "{said}");
    let hidden = |folder: &Path| names(folder).into_iter().any(|name| name.starts_with('.'));
    assert!(!hidden(&outputs) && !hidden(&outputs.join("downloaded_images")));
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn what_was_started_with_nohup_outlives_its_terminal() {
    let sandbox =
        Sandbox::builder().latency(Duration::from_millis(5)).picture_bytes(900).start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let words = ["-c", "trap '' HUP; exec \"$@\"", "sh", env!("CARGO_BIN_EXE_streetflow"), "crawl", NICOSIA];
    let mut command = Command::new("sh");
    command.args(words).current_dir(folder.path()).stderr(Stdio::piped());
    command.env("MAPILLARY_TOKEN", Sandbox::TOKEN).env("MAPILLARY_GRAPH_URL", sandbox.graph_url());
    command.env("MAPILLARY_TILES_URL", sandbox.tiles_url());
    let child = command.spawn().unwrap();
    eventually("it is at work", || !sandbox.requests().is_empty()).await;
    kill(&child, "-HUP");
    let ended = tokio::task::spawn_blocking(move || child.wait_with_output().unwrap()).await.unwrap();
    let said = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(ended.status.code(), Some(0), "{said}");
    assert!(!said.contains("stopping"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_signals_at_once_are_one_and_a_terminal_that_goes_twice_abandons_nothing() {
    for signals in [[Signal::INT, Signal::TERM], [Signal::HUP, Signal::HUP]] {
        let (sandbox, folder) = (Sandbox::start().await.unwrap(), tempfile::tempdir().unwrap());
        sandbox.script(Rule::on(Host::Images).fault(Fault::Stall));
        let mut command = ends_with_its_terminal(&sandbox, folder.path());
        let child = command.args(["crawl", NICOSIA]).stderr(Stdio::piped()).spawn().unwrap();
        eventually("it waits", || sandbox.requests_to(Host::Images).len() > 5).await;
        // From here, for on a busy machine a program takes longer to start than two signals at once may.
        let process = Pid::from_child(&child);
        for signal in signals {
            kill_process(process, signal).unwrap();
        }
        let ended = tokio::task::spawn_blocking(move || child.wait_with_output().unwrap()).await.unwrap();
        let said = String::from_utf8(ended.stderr).unwrap();
        assert_eq!(ended.status.code(), Some(130), "{signals:?}: {said}");
        let report: Value =
            serde_json::from_str(&read(&folder.path().join("outputs"), "report.json")).unwrap();
        assert_eq!(report["outcome"], "stopped", "{signals:?}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_before_anything_came_leaves_the_tables_of_an_earlier_run() {
    for (slow, words) in [
        (Host::Tiles, ["crawl", NICOSIA, "--restart"]),
        (Host::Graph, ["crawl", NICOSIA, "--no-download"]),
        (Host::Graph, ["images", "--restart", "-v"]),
    ] {
        let (sandbox, folder) = (Sandbox::start().await.unwrap(), tempfile::tempdir().unwrap());
        let (exit, said) = run(&sandbox, folder.path(), ["crawl", NICOSIA, "--no-download"]).await;
        assert_eq!(exit, 0, "{said}");
        let outputs = folder.path().join("outputs");
        let tables = ["seq_dataset.csv", "img_dataset.csv", "img_meta_dataset.csv"];
        let before = tables.map(|table| read(&outputs, table));
        let asked = sandbox.requests_to(slow).len();
        sandbox.script(Rule::on(slow).fault(Fault::Stall));
        let child = with(command_on(&sandbox, folder.path()), words).stderr(Stdio::piped()).spawn().unwrap();
        eventually("it waits", || sandbox.requests_to(slow).len() > asked).await;
        kill(&child, "-INT");
        let ended = tokio::task::spawn_blocking(move || child.wait_with_output().unwrap()).await.unwrap();
        let said = String::from_utf8(ended.stderr).unwrap();
        assert_eq!(ended.status.code(), Some(130), "{words:?}: {said}");
        assert!(said.contains("before anything came") && said.contains("left as they were"), "{said}");
        assert!(!said.contains("what was done so far"), "{said}");
        assert!(tables.map(|table| read(&outputs, table)) == before, "{words:?}");
        let report: Value = serde_json::from_str(&read(&outputs, "report.json")).unwrap();
        assert_eq!(report["outcome"], "stopped", "{words:?}: {said}");
    }
}
