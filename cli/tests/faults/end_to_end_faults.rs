//! Bad days from beginning to end, through the built command: kills, faults of every kind, a full disk, a host that
//! stays ill, answers that take for ever.
//!
//! The long form of the first one: `cargo test --release --locked --test it -- --ignored a_hundred_kills`.

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

fn with(sandbox: &Sandbox, folder: &Path, words: &str) -> Command {
    let mut command = command_on(sandbox, folder);
    command.args(words.split_whitespace());
    command
}

async fn run(sandbox: &Sandbox, folder: &Path, words: &str) -> (i32, String) {
    output(with(sandbox, folder, words)).await
}

/// What is gone is named as it is found out, so the order of its lines is chance.
fn in_order(name: &str, bytes: Vec<u8>) -> Vec<u8> {
    if name != "gone.csv" {
        return bytes;
    }
    let mut lines: Vec<_> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
    lines.sort_unstable();
    lines.concat()
}

/// Every file that is to stay, with its bytes.
fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let outputs = folder.join("outputs");
    let of = |folder: &Path| {
        let read = |name: String| Some((name.clone(), in_order(&name, fs::read(folder.join(&name)).ok()?)));
        names(folder).into_iter().filter(|name| name != "report.json").filter_map(read).collect::<Vec<_>>()
    };
    [of(&outputs), of(&outputs.join("downloaded_images"))].concat()
}

/// Two folders hold the same.
#[track_caller]
fn same(one: &Path, other: &Path) {
    let (one, other) = (files(one), files(other));
    let names = |files: &[(String, Vec<u8>)]| files.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&one), names(&other));
    for ((name, bytes), (_, others)) in one.iter().zip(&other) {
        let text = |bytes: &[u8]| String::from_utf8_lossy(&bytes[..bytes.len().min(2000)]).into_owned();
        assert!(bytes == others, "{name} differs: {}\n{}", text(bytes), text(others));
    }
}

/// Kills a crawl with pictures so often, each time after a random number of requests, and lets it finish then.
async fn killed_often(kills: usize) {
    let sandbox = Sandbox::builder().latency(Duration::from_millis(4)).start().await.unwrap();
    let fresh = tempfile::tempdir().unwrap();
    let (exit, said) = run(&sandbox, fresh.path(), CYPRUS).await;
    assert_eq!(exit, 0, "{said}");
    let needed = sandbox.requests().len();
    let folder = tempfile::tempdir().unwrap();
    let (mut random, mut asked, mut killed) = (fastrand::Rng::with_seed(7), 0, 0);
    while killed < kills {
        sandbox.clear_requests();
        let mut child = with(&sandbox, folder.path(), CYPRUS).stderr(Stdio::null()).spawn().unwrap();
        let most = random.usize(1..2 * needed / kills);
        // The last of them may come to its end before.
        let mut ended = false;
        while !ended && sandbox.requests().len() < most {
            tokio::time::sleep(Duration::from_millis(2)).await;
            ended = child.try_wait().unwrap().is_some();
        }
        child.kill().ok();
        child.wait().unwrap();
        asked += sandbox.requests().len();
        killed += 1;
        if ended {
            break;
        }
    }
    sandbox.clear_requests();
    let (exit, said) = run(&sandbox, folder.path(), CYPRUS).await;
    assert_eq!(exit, 0, "{said}");
    asked += sandbox.requests().len();
    println!("{killed} kills: {asked} requests where {needed} are needed");
    // After an end, everything but pictures is asked for anew.
    // An empty list is not kept, so each run asks for the one that there is twice, and at the end twice more.
    assert!(asked <= needed + killed * (IN_FLIGHT + 4), "{asked} requests, {needed} are needed");
    same(folder.path(), fresh.path());
    assert!(!folder.path().join("outputs/.streetflow").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn eight_kills_cost_only_what_was_in_flight() {
    killed_often(8).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "minutes; the head of the file says how to run it"]
async fn a_hundred_kills_cost_only_what_was_in_flight() {
    killed_often(100).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fifth_of_all_answers_faulty_in_every_way_changes_nothing() {
    let sandbox = Sandbox::start().await.unwrap();
    let fresh = tempfile::tempdir().unwrap();
    let (exit, said) = run(&sandbox, fresh.path(), NICOSIA).await;
    assert_eq!(exit, 0, "{said}");
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
            sandbox.script(Rule::on(host).every_nth(30).fault(fault));
        }
    }
    for fault in [
        Fault::graph_error(500, 2, None, "Service temporarily unavailable"),
        Fault::graph_error(400, -2, Some(3_404_014), "Query Timeout"),
        Fault::Html,
    ] {
        sandbox.script(Rule::on(Host::Graph).every_nth(20).fault(fault));
    }
    sandbox.script(Rule::on(Host::Graph).skip(5).times(1).fault(limit()));
    for fault in [Fault::Empty, Fault::Html] {
        sandbox.script(Rule::on(Host::Images).every_nth(60).fault(fault));
    }
    // What is believed when it is said twice is said once.
    sandbox.script(once(Host::Graph, 5, 0).path("/image_ids").fault(Fault::EmptyData));
    sandbox.script(once(Host::Graph, 5, 0).path("/").fault(Fault::EmptyData));
    sandbox.script(once(Host::Images, 20, 0).fault(Fault::status(403, "URL signature expired")));
    sandbox.script(once(Host::Images, 20, 1).fault(Fault::status(404, "")));
    sandbox.clear_requests();
    let folder = tempfile::tempdir().unwrap();
    // Chance alone makes one request in some thousands fail six times.
    let (exit, said) = run(&sandbox, folder.path(), &format!("{NICOSIA} --attempts 15")).await;
    assert_eq!(exit, 0, "{said}");
    same(folder.path(), fresh.path());
    let asked = sandbox.requests();
    let bad = asked.iter().filter(|asked| asked.status != Some(200)).count();
    assert!(bad * 8 > asked.len(), "{bad} of {} went wrong", asked.len());
}

/// The first request for one in so many things, by its address.
fn once(host: Host, one_in: u32, rest: u32) -> Rule {
    let seen = Mutex::new(HashSet::new());
    Rule::when(move |asked| {
        let address = format!("{}?{}", asked.path, asked.query);
        let chosen = address.bytes().map(u32::from).sum::<u32>() % one_in == rest;
        asked.host == host && chosen && seen.lock().unwrap().insert(address)
    })
}

/// A tenth of the pictures, the same ones always.
fn a_tenth(asked: &RecordedRequest) -> bool {
    asked.host == Host::Images && asked.path.bytes().map(u32::from).sum::<u32>().is_multiple_of(10)
}

#[tokio::test(flavor = "multi_thread")]
async fn pictures_that_fail_all_the_time_are_named_and_the_next_run_has_them() {
    let sandbox = Sandbox::start().await.unwrap();
    let (fresh, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    run(&sandbox, fresh.path(), NICOSIA).await;
    sandbox.clear_requests();
    sandbox.script(Rule::when(a_tenth).fault(Fault::status(503, "busy")));
    let (exit, said) = run(&sandbox, folder.path(), &format!("{NICOSIA} --attempts 3")).await;
    assert_eq!(exit, 3, "{said}");
    let asked = sandbox.requests();
    let ill: HashSet<_> = asked.iter().filter(|asked| a_tenth(asked)).map(|asked| &asked.path).collect();
    let failures = fs::read_to_string(folder.path().join("outputs/failures.csv")).unwrap();
    assert_eq!(failures.lines().count(), ill.len() + 1);
    let there = names(&folder.path().join("outputs/downloaded_images"));
    let all = names(&fresh.path().join("outputs/downloaded_images"));
    assert_eq!(there.len() + ill.len(), all.len());
    let missing = all.iter().filter(|name| !there.contains(name)).map(|name| name.split('_').next().unwrap());
    assert!(missing.clone().all(|id| failures.contains(&format!("download,{id},"))), "{failures}");

    sandbox.clear_script();
    sandbox.clear_requests();
    let (exit, said) = run(&sandbox, folder.path(), NICOSIA).await;
    assert_eq!(exit, 0, "{said}");
    assert_eq!(sandbox.requests().len(), ill.len(), "exactly these are asked for");
    assert!(
        files(folder.path()) == files(fresh.path()) && !folder.path().join("outputs/failures.csv").exists()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_block_the_same_command_asks_for_no_tile_again() {
    let sandbox = Sandbox::start().await.unwrap();
    let (fresh, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    run(&sandbox, fresh.path(), CYPRUS).await;
    let tiles = |asked: &[RecordedRequest]| asked.iter().filter(|asked| asked.host == Host::Tiles).count();
    let needed = tiles(&sandbox.requests());
    sandbox.clear_requests();
    sandbox.script(Rule::on(Host::Tiles).skip(40).fault(Fault::Redirect));
    let (exit, said) = run(&sandbox, folder.path(), CYPRUS).await;
    assert_eq!(exit, 1, "{said}");
    assert!(said.contains("about a day") && said.contains("the same command again tomorrow"), "{said}");
    let before = tiles(&sandbox.requests());
    assert!(before <= 40 + IN_FLIGHT, "{before}: none after the first refusal but those under way");
    sandbox.clear_script();
    sandbox.clear_requests();
    let (exit, said) = run(&sandbox, folder.path(), CYPRUS).await;
    assert!(exit == 0 && said.contains("going on from"), "{said}");
    let after = tiles(&sandbox.requests());
    assert!(after <= needed - 40 + IN_FLIGHT, "{after} of {needed}, 40 were there or on their way");
    same(folder.path(), fresh.path());
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn with_answers_that_take_ten_seconds_it_still_ends_at_once() {
    let sandbox = Sandbox::builder().latency(Duration::from_secs(10)).start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let rows: Vec<_> = (0..1000).map(|number| format!("sequence-{number}")).collect();
    fs::write(folder.path().join("thousand.csv"), format!("seq_id\n{}\n", rows.join("\n"))).unwrap();
    let child =
        with(&sandbox, folder.path(), "images -i thousand.csv").stderr(Stdio::piped()).spawn().unwrap();
    eventually("all that may be is under way", || sandbox.requests().len() == 64).await;
    let started = std::time::Instant::now();
    Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    let ended = tokio::task::spawn_blocking(move || child.wait_with_output().unwrap()).await.unwrap();
    println!("it ended {:?} after the signal", started.elapsed());
    assert_eq!(ended.status.code(), Some(130));
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
}

/// Runs a script in a namespace of its own, where it may mount a small disk; false where that is not allowed.
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
async fn a_full_disk_is_told_leaves_no_half_file_and_the_run_goes_on_when_there_is_room() {
    let sandbox = Sandbox::start().await.unwrap();
    let fresh = tempfile::tempdir().unwrap();
    let crawl = "crawl --bbox 32.19,34.52,34.18,35.49 --concurrency 4 --format csv,parquet";
    run(&sandbox, fresh.path(), crawl).await;
    let truth = files(fresh.path());
    let folder = tempfile::tempdir().unwrap();
    // More than half of it, and nobody can be asked; full in the store, then in pictures; then with room enough.
    let script = format!(
        "run {crawl}; rm -f outputs/*_dataset.*\nrun {crawl} --yes; ls -A outputs outputs/downloaded_images\n\
         mount -o remount,size=3m outputs\nrun {crawl} --yes; ls outputs\n\
         mount -o remount,size=200m outputs\nrun {crawl}; ls -A outputs; mkdir kept; cp -r outputs/. kept"
    );
    let Some(said) = on_a_small_disk(&sandbox, folder.path(), &script).await else { return };
    let runs: Vec<&str> = said.split("exit ").collect();
    assert_eq!(runs.len(), 5, "{said}");
    assert!(runs[0].contains("to download so much") && runs[0].contains("`--yes`"), "{said}");
    for run in &runs[1..3] {
        assert!(run.contains("No space left") && run.contains("make room"), "{said}");
    }
    let exits: String = runs[1..].iter().filter_map(|run| run.chars().next()).collect();
    assert_eq!(exits, "2110", "{said}");
    assert!(!runs[2].contains("_dataset") && runs[3].contains("going on from"), "{said}");
    fs::remove_dir(folder.path().join("outputs")).unwrap();
    fs::rename(folder.path().join("kept"), folder.path().join("outputs")).unwrap();
    assert!(files(folder.path()) == truth, "the files differ: {said}");
}
