//! Faults from end to end with the built command: kills, all kinds of faults, a full disk, a failing host, slow
//! responses.
//!
//! The long form of the first test: `cargo test --release --locked --test cli -- --ignored a_hundred_kills`.

#![allow(clippy::print_stdout, reason = "a drill's figures are worth seeing: `--nocapture` shows them")]

use std::collections::HashSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use streetflow_sandbox::{Fault, Host, RecordedRequest, Rule, Sandbox};

#[cfg(unix)]
use crate::support::eventually;
use crate::support::{command_on, names, output};

const CYPRUS: &str = "crawl --bbox 32.19,34.52,34.18,35.49 --concurrency 16 --tile-rate 1000000";
const NICOSIA: &str = "crawl --bbox 33.33,35.15,33.39,35.19 --concurrency 16";
const IN_FLIGHT: usize = 16;

fn with(sandbox: &Sandbox, folder: &Path, args: &str) -> Command {
    let mut command = command_on(sandbox, folder);
    command.args(args.split_whitespace());
    command
}

async fn run(sandbox: &Sandbox, folder: &Path, args: &str) -> (i32, String) {
    output(with(sandbox, folder, args)).await
}

/// Sorts the lines of the log of deleted items: their order depends on timing.
fn in_order(name: &str, bytes: Vec<u8>) -> Vec<u8> {
    if name != "gone.csv" {
        return bytes;
    }
    let mut lines: Vec<_> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
    lines.sort_unstable();
    lines.concat()
}

/// Returns all result files with their bytes.
fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let outputs = folder.join("outputs");
    let of = |folder: &Path| {
        let read = |name: String| Some((name.clone(), in_order(&name, fs::read(folder.join(&name)).ok()?)));
        names(folder).into_iter().filter(|name| name != "report.json").filter_map(read).collect::<Vec<_>>()
    };
    [of(&outputs), of(&outputs.join("downloaded_images"))].concat()
}

/// Asserts that two folders contain the same files.
#[track_caller]
fn assert_same_files(one: &Path, other: &Path) {
    let (one, other) = (files(one), files(other));
    let names = |files: &[(String, Vec<u8>)]| files.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&one), names(&other));
    for ((name, bytes), (_, others)) in one.iter().zip(&other) {
        let text = |bytes: &[u8]| String::from_utf8_lossy(&bytes[..bytes.len().min(2000)]).into_owned();
        assert!(bytes == others, "{name} differs: {}\n{}", text(bytes), text(others));
    }
}

/// Kills a crawl with pictures this many times, each time after a random number of requests, then lets it finish.
async fn crawl_with_kills(kills: usize) {
    let sandbox = Sandbox::builder().latency(Duration::from_millis(4)).start().await.unwrap();
    let fresh = tempfile::tempdir().unwrap();
    let (exit, stderr) = run(&sandbox, fresh.path(), CYPRUS).await;
    assert_eq!(exit, 0, "{stderr}");
    let needed = sandbox.requests().len();
    let folder = tempfile::tempdir().unwrap();
    let (mut random, mut requests, mut killed) = (fastrand::Rng::with_seed(7), 0, 0);
    while killed < kills {
        sandbox.clear_requests();
        let mut child = with(&sandbox, folder.path(), CYPRUS).stderr(Stdio::null()).spawn().unwrap();
        let most = random.usize(1..2 * needed / kills);
        // The last run can finish earlier.
        let mut ended = false;
        while !ended && sandbox.requests().len() < most {
            tokio::time::sleep(Duration::from_millis(2)).await;
            ended = child.try_wait().unwrap().is_some();
        }
        child.kill().ok();
        child.wait().unwrap();
        requests += sandbox.requests().len();
        killed += 1;
        if ended {
            break;
        }
    }
    sandbox.clear_requests();
    let (exit, stderr) = run(&sandbox, folder.path(), CYPRUS).await;
    assert_eq!(exit, 0, "{stderr}");
    requests += sandbox.requests().len();
    println!("{killed} kills: {requests} requests where {needed} are needed");
    // After a complete run, everything except pictures is requested again.
    // An empty list is not stored, so each run requests it twice, and twice more at the end.
    assert!(requests <= needed + killed * (IN_FLIGHT + 4), "{requests} requests, {needed} are needed");
    assert_same_files(folder.path(), fresh.path());
    assert!(!folder.path().join("outputs/.streetflow").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn eight_kills_cost_only_what_was_in_flight() {
    crawl_with_kills(8).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "minutes; the head of the file says how to run it"]
async fn a_hundred_kills_cost_only_what_was_in_flight() {
    crawl_with_kills(100).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fault_in_every_fifth_response_does_not_change_the_files() {
    let sandbox = Sandbox::start().await.unwrap();
    let fresh = tempfile::tempdir().unwrap();
    let (exit, stderr) = run(&sandbox, fresh.path(), NICOSIA).await;
    assert_eq!(exit, 0, "{stderr}");
    let limit =
        || Fault::graph_error(403, 4, None, "Application request limit reached").header("retry-after", "1");
    let on_all = [
        Fault::status(500, ""),
        Fault::status(503, "<html>busy</html>"),
        Fault::status(502, ""),
        Fault::Reset,
        Fault::Truncate(200),
        Fault::TruncateSilently(200),
    ];
    for host in [Host::Tiles, Host::Graph, Host::Images] {
        for fault in on_all.clone() {
            sandbox.add_rule(Rule::on(host).every_nth(30).fault(fault));
        }
    }
    for fault in [
        Fault::graph_error(500, 2, None, "Service temporarily unavailable"),
        Fault::graph_error(400, -2, Some(3_404_014), "Query Timeout"),
        Fault::Html,
    ] {
        sandbox.add_rule(Rule::on(Host::Graph).every_nth(20).fault(fault));
    }
    sandbox.add_rule(Rule::on(Host::Graph).skip(5).times(1).fault(limit()));
    for fault in [Fault::Empty, Fault::Html] {
        sandbox.add_rule(Rule::on(Host::Images).every_nth(60).fault(fault));
    }
    // Responses that are believed after two occurrences occur once.
    sandbox.add_rule(first_request(Host::Graph, 5, 0).path("/image_ids").fault(Fault::EmptyData));
    sandbox.add_rule(first_request(Host::Graph, 5, 0).path("/").fault(Fault::EmptyData));
    sandbox.add_rule(first_request(Host::Images, 20, 0).fault(Fault::status(403, "URL signature expired")));
    sandbox.add_rule(first_request(Host::Images, 20, 1).fault(Fault::status(404, "")));
    sandbox.clear_requests();
    let folder = tempfile::tempdir().unwrap();
    // With random faults, one in some thousand requests fails six times.
    let (exit, stderr) = run(&sandbox, folder.path(), &format!("{NICOSIA} --attempts 15")).await;
    assert_eq!(exit, 0, "{stderr}");
    assert_same_files(folder.path(), fresh.path());
    let requests = sandbox.requests();
    let bad = requests.iter().filter(|request| request.status != Some(200)).count();
    assert!(bad * 8 > requests.len(), "{bad} of {} went wrong", requests.len());
}

/// Returns a rule for the first request of every `one_in`-th URL.
fn first_request(host: Host, one_in: u32, rest: u32) -> Rule {
    let seen = Mutex::new(HashSet::new());
    Rule::when(move |request| {
        let address = format!("{}?{}", request.path, request.query);
        let chosen = address.bytes().map(u32::from).sum::<u32>() % one_in == rest;
        request.host == host && chosen && seen.lock().unwrap().insert(address)
    })
}

/// Selects a tenth of the pictures, the same in every run.
fn a_tenth(request: &RecordedRequest) -> bool {
    request.host == Host::Images && request.path.bytes().map(u32::from).sum::<u32>().is_multiple_of(10)
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_pictures_are_logged_and_the_next_run_downloads_them() {
    let sandbox = Sandbox::start().await.unwrap();
    let (fresh, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    run(&sandbox, fresh.path(), NICOSIA).await;
    sandbox.clear_requests();
    sandbox.add_rule(Rule::when(a_tenth).fault(Fault::status(503, "busy")));
    let (exit, stderr) = run(&sandbox, folder.path(), &format!("{NICOSIA} --attempts 3")).await;
    assert_eq!(exit, 3, "{stderr}");
    let requests = sandbox.requests();
    let failing: HashSet<_> =
        requests.iter().filter(|request| a_tenth(request)).map(|request| &request.path).collect();
    let failures = fs::read_to_string(folder.path().join("outputs/failures.csv")).unwrap();
    assert_eq!(failures.lines().count(), failing.len() + 1);
    let existing = names(&folder.path().join("outputs/downloaded_images"));
    let all = names(&fresh.path().join("outputs/downloaded_images"));
    assert_eq!(existing.len() + failing.len(), all.len());
    let missing =
        all.iter().filter(|name| !existing.contains(name)).map(|name| name.split('_').next().unwrap());
    assert!(missing.clone().all(|id| failures.contains(&format!("download,{id},"))), "{failures}");

    sandbox.clear_rules();
    sandbox.clear_requests();
    let (exit, stderr) = run(&sandbox, folder.path(), NICOSIA).await;
    assert_eq!(exit, 0, "{stderr}");
    assert_eq!(sandbox.requests().len(), failing.len(), "exactly these are requested");
    assert!(
        files(folder.path()) == files(fresh.path()) && !folder.path().join("outputs/failures.csv").exists()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_block_the_same_command_requests_no_tile_twice() {
    let sandbox = Sandbox::start().await.unwrap();
    let (fresh, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    run(&sandbox, fresh.path(), CYPRUS).await;
    let tiles =
        |requests: &[RecordedRequest]| requests.iter().filter(|request| request.host == Host::Tiles).count();
    let needed = tiles(&sandbox.requests());
    sandbox.clear_requests();
    sandbox.add_rule(Rule::on(Host::Tiles).skip(40).fault(Fault::Redirect));
    let (exit, stderr) = run(&sandbox, folder.path(), CYPRUS).await;
    assert_eq!(exit, 1, "{stderr}");
    assert!(stderr.contains("about a day") && stderr.contains("the same command again tomorrow"), "{stderr}");
    let before = tiles(&sandbox.requests());
    assert!(before <= 40 + IN_FLIGHT, "{before}: none after the first refusal but those under way");
    sandbox.clear_rules();
    sandbox.clear_requests();
    let (exit, stderr) = run(&sandbox, folder.path(), CYPRUS).await;
    assert!(exit == 0 && stderr.contains("resuming with"), "{stderr}");
    let after = tiles(&sandbox.requests());
    assert!(after <= needed - 40 + IN_FLIGHT, "{after} of {needed}, 40 were there or on their way");
    assert_same_files(folder.path(), fresh.path());
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn an_interrupt_ends_the_run_quickly_despite_slow_responses() {
    let sandbox = Sandbox::builder().latency(Duration::from_secs(10)).start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let rows: Vec<_> = (0..1000).map(|number| format!("sequence-{number}")).collect();
    fs::write(folder.path().join("thousand.csv"), format!("seq_id\n{}\n", rows.join("\n"))).unwrap();
    let child =
        with(&sandbox, folder.path(), "images -i thousand.csv").stderr(Stdio::piped()).spawn().unwrap();
    eventually("the maximum is in flight", || sandbox.requests().len() == 64).await;
    let started = std::time::Instant::now();
    Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    let ended = tokio::task::spawn_blocking(move || child.wait_with_output().unwrap()).await.unwrap();
    println!("it ended {:?} after the signal", started.elapsed());
    assert_eq!(ended.status.code(), Some(130));
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
}

/// Runs a script in its own namespace with a small disk. Returns `None` if that is not permitted.
#[cfg(target_os = "linux")]
async fn on_a_small_disk(sandbox: &Sandbox, folder: &Path, script: &str) -> Option<String> {
    let may = Command::new("unshare").args(["-rm", "mount", "-t", "tmpfs", "none", "/mnt"]).output();
    if !may.is_ok_and(|output| output.status.success()) {
        println!("no small disk can be mounted here: this drill ran on nothing");
        return None;
    }
    fs::create_dir(folder.join("outputs")).unwrap();
    let binary = env!("CARGO_BIN_EXE_streetflow");
    let script = format!(
        "set -u\nmount -t tmpfs -o size=$1 none outputs\nrun() {{ {binary} \"$@\" 2>&1; echo \"exit $?\"; }}\n{script}"
    );
    let inner = command_on(sandbox, folder);
    let mut shell = Command::new("unshare");
    shell.args(["-rm", "sh", "-c", &script, "sh", "256k"]).current_dir(folder);
    for (name, value) in inner.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    let output = tokio::task::spawn_blocking(move || shell.output().unwrap()).await.unwrap();
    Some(String::from_utf8(output.stdout).unwrap())
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_an_error_without_partial_files_and_the_run_resumes_with_more_space() {
    let sandbox = Sandbox::start().await.unwrap();
    let fresh = tempfile::tempdir().unwrap();
    let crawl = "crawl --bbox 32.19,34.52,34.18,35.49 --concurrency 4 --format csv,parquet";
    run(&sandbox, fresh.path(), crawl).await;
    let expected = files(fresh.path());
    let folder = tempfile::tempdir().unwrap();
    // More than half of the disk without a terminal; then full in the response store, full in pictures, enough space.
    let script = format!(
        "run {crawl}; rm -f outputs/*_dataset.*\nrun {crawl} --yes; ls -A outputs outputs/downloaded_images\n\
         mount -o remount,size=3m outputs\nrun {crawl} --yes; ls outputs\n\
         mount -o remount,size=200m outputs\nrun {crawl}; ls -A outputs; mkdir kept; cp -r outputs/. kept"
    );
    let Some(stderr) = on_a_small_disk(&sandbox, folder.path(), &script).await else { return };
    let runs: Vec<&str> = stderr.split("exit ").collect();
    assert_eq!(runs.len(), 5, "{stderr}");
    assert!(runs[0].contains("to start a large download") && runs[0].contains("`--yes`"), "{stderr}");
    for run in &runs[1..3] {
        assert!(run.contains("No space left") && run.contains("free some space"), "{stderr}");
    }
    let exits: String = runs[1..].iter().filter_map(|run| run.chars().next()).collect();
    assert_eq!(exits, "2110", "{stderr}");
    assert!(!runs[2].contains("_dataset") && runs[3].contains("resuming with"), "{stderr}");
    fs::remove_dir(folder.path().join("outputs")).unwrap();
    fs::rename(folder.path().join("kept"), folder.path().join("outputs")).unwrap();
    assert!(files(folder.path()) == expected, "the files differ: {stderr}");
}
