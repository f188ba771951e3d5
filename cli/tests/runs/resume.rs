//! Resuming: the same command after a kill writes the same files and repeats few requests.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::Duration;

use streetflow_sandbox::{Fault, Host, RecordedRequest, Rule, Sandbox};

use crate::support::{command_on, eventually, names, output};

const ARGS: &str = "crawl --bbox 32.19,34.52,34.18,35.49 --no-download --tile-rate 1000000 --concurrency 16 \
    --format csv,parquet,geojson";
const IN_FLIGHT: usize = 16;

async fn slow() -> Sandbox {
    Sandbox::builder().latency(Duration::from_millis(5)).start().await.unwrap()
}

fn start(sandbox: &Sandbox, folder: &Path) -> Child {
    let mut command = command_on(sandbox, folder);
    command.args(ARGS.split_whitespace()).arg("-q").spawn().unwrap()
}

async fn resume(sandbox: &Sandbox, folder: &Path) -> (i32, String) {
    let mut command = command_on(sandbox, folder);
    command.args(ARGS.split_whitespace());
    output(command).await
}

/// Returns the path of the response store of a run.
fn response_store(folder: &Path) -> PathBuf {
    let folder = folder.join("outputs/.streetflow");
    let own: Vec<_> = names(&folder).into_iter().filter(|name| name.starts_with("crawl-")).collect();
    assert_eq!(own.len(), 1, "{own:?}");
    folder.join(&own[0])
}

/// Returns all tables of a folder by name.
fn tables(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let folder = folder.join("outputs");
    let tables = names(&folder).into_iter().filter(|name| name.contains("_dataset."));
    tables.map(|name| (name.clone(), fs::read(folder.join(name)).unwrap())).collect()
}

/// Returns the number of requests and the tables of a run without kills.
async fn crawl_without_kills(sandbox: &Sandbox) -> (usize, Vec<(String, Vec<u8>)>) {
    let folder = tempfile::tempdir().unwrap();
    sandbox.clear_requests();
    let (exit, stderr) = resume(sandbox, folder.path()).await;
    assert_eq!(exit, 0, "{stderr}");
    (sandbox.requests().len(), tables(folder.path()))
}

/// Kills a run after this many requests.
async fn killed_after(sandbox: &Sandbox, folder: &Path, requests: usize) {
    sandbox.clear_requests();
    let mut child = start(sandbox, folder);
    eventually("enough requests are sent", || sandbox.requests().len() >= requests).await;
    child.kill().unwrap();
    child.wait().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_crawl_resumes_and_writes_the_same_bytes() {
    let sandbox = slow().await;
    let (all, expected) = crawl_without_kills(&sandbox).await;
    let folder = tempfile::tempdir().unwrap();
    let mut requests = 0;
    for kill in [all / 6, all / 5, all / 4] {
        killed_after(&sandbox, folder.path(), kill).await;
        requests += sandbox.requests().len();
        let kept = response_store(folder.path());
        assert!(kept.join("index").metadata().unwrap().len() > 0);
        for name in names(&kept) {
            let bytes = fs::read(kept.join(&name)).unwrap();
            let secret = Sandbox::TOKEN.rsplit('|').next().unwrap();
            assert!(!String::from_utf8_lossy(&bytes).contains(secret), "the token in {name}");
        }
    }
    sandbox.clear_requests();
    let (exit, stderr) = resume(&sandbox, folder.path()).await;
    assert_eq!(exit, 0, "{stderr}");
    assert!(stderr.contains("resuming with"), "{stderr}");
    requests += sandbox.requests().len();
    assert!(requests <= all + 3 * IN_FLIGHT, "{requests} requests, {all} are needed");
    assert!(tables(folder.path()) == expected);
    assert!(!folder.path().join("outputs/.streetflow").exists(), "a finished run leaves no state");
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_responses_and_those_of_another_query_are_never_used() {
    let sandbox = slow().await;
    let (all, expected) = crawl_without_kills(&sandbox).await;
    let mut random = fastrand::Rng::with_seed(11);
    for round in 0..6 {
        let folder = tempfile::tempdir().unwrap();
        killed_after(&sandbox, folder.path(), all / 2).await;
        let kept = response_store(folder.path());
        let damage = |name: &str, random: &mut fastrand::Rng| {
            let mut bytes = fs::read(kept.join(name)).unwrap();
            for _ in 0..20 {
                let at = random.usize(..bytes.len());
                bytes[at] ^= 1 << random.u8(..8);
            }
            fs::write(kept.join(name), bytes).unwrap();
        };
        match round {
            0 => damage("answers", &mut random),
            1 => damage("index", &mut random),
            2 => damage("question", &mut random),
            3 => fs::File::options().write(true).open(kept.join("answers")).unwrap().set_len(1000).unwrap(),
            4 => fs::File::options().write(true).open(kept.join("index")).unwrap().set_len(100).unwrap(),
            _ => fs::write(kept.join("question"), "streetflow answers 0\nanything\n").unwrap(),
        }
        let (exit, stderr) = resume(&sandbox, folder.path()).await;
        assert_eq!(exit, 0, "{round}: {stderr}");
        assert_eq!(stderr.contains("cannot use the responses"), [2, 5].contains(&round), "{round}: {stderr}");
        assert!(tables(folder.path()) == expected, "{round}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_run_requests_only_what_failed() {
    let sandbox = Sandbox::start().await.unwrap();
    let (_, expected) = crawl_without_kills(&sandbox).await;
    let folder = tempfile::tempdir().unwrap();
    let data = sandbox.mock_data();
    let sequence = &data.sequences()[3];
    sandbox
        .add_rule(Rule::on(Host::Graph).query("sequence_id", sequence.id()).fault(Fault::status(500, "{}")));
    let mut command = command_on(&sandbox, folder.path());
    command.args(ARGS.split_whitespace()).args(["--attempts", "2"]);
    let (exit, stderr) = output(command).await;
    assert_eq!(exit, 3, "{stderr}");
    sandbox.clear_rules();
    sandbox.clear_requests();
    let (exit, stderr) = resume(&sandbox, folder.path()).await;
    assert_eq!(exit, 0, "{stderr}");
    assert!(tables(folder.path()) == expected);
    let requests = sandbox.requests();
    // Its own images, and the rest of a batch that they share with the next images.
    let batches = sequence.image_count() as usize / 50 + 3;
    // An empty list is not stored: it is requested four times, twice beside a list with images.
    assert!(requests.len() <= 1 + batches + 6, "{requests:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_run_in_the_same_folder_is_an_error() {
    let sandbox = Sandbox::builder().latency(Duration::from_millis(300)).start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut first = start(&sandbox, folder.path());
    eventually("the first run is at work", || !sandbox.requests().is_empty()).await;
    let (exit, stderr) = resume(&sandbox, folder.path()).await;
    assert_eq!(exit, 2, "{stderr}");
    assert!(stderr.contains("another streetflow is running in it"), "{stderr}");
    first.kill().unwrap();
    first.wait().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn restart_and_another_box_start_from_scratch() {
    let sandbox = slow().await;
    let (all, expected) = crawl_without_kills(&sandbox).await;
    let folder = tempfile::tempdir().unwrap();
    killed_after(&sandbox, folder.path(), all / 2).await;
    sandbox.clear_requests();
    let mut command = command_on(&sandbox, folder.path());
    command.args(ARGS.split_whitespace()).arg("--restart");
    let (exit, stderr) = output(command).await;
    assert!(exit == 0 && !stderr.contains("going on"), "{stderr}");
    // Requests in flight at the kill can arrive a little later.
    assert!((all..=all + IN_FLIGHT).contains(&sandbox.requests().len()), "{}", sandbox.requests().len());
    assert!(tables(folder.path()) == expected);
    killed_after(&sandbox, folder.path(), all / 2).await;
    let mut command = command_on(&sandbox, folder.path());
    command.args("crawl --bbox 32.40,35.02,32.44,35.05 --no-download --tile-rate 1000000 --yes".split(' '));
    let (exit, stderr) = output(command).await;
    assert!(exit == 0 && stderr.contains("contains responses of another unfinished `crawl`"), "{stderr}");
    sandbox.clear_requests();
    let mut command = command_on(&sandbox, folder.path());
    command.args(ARGS.split_whitespace()).arg("--yes");
    let (exit, stderr) = output(command).await;
    assert!(exit == 0 && stderr.contains("resuming with"), "another box in between loses nothing: {stderr}");
    assert!(sandbox.requests().len() <= all - all / 2 + IN_FLIGHT, "{}", sandbox.requests().len());
    assert!(tables(folder.path()) == expected);
    assert!(!folder.path().join("outputs/.streetflow").exists());
}

/// Kills a crawl, then runs it with other arguments. Returns the second run's requests, and those of a fresh run.
async fn requests_after_change(args: &str, other: &str) -> (Vec<RecordedRequest>, Vec<RecordedRequest>) {
    let sandbox = slow().await;
    let run = async |folder: &Path, args: &str| {
        let mut command = command_on(&sandbox, folder);
        command.args(args.split_whitespace());
        let (exit, stderr) = output(command).await;
        assert_eq!(exit, 0, "{stderr}");
        sandbox.requests()
    };
    let fresh = tempfile::tempdir().unwrap();
    let needed = run(fresh.path(), other).await;
    let folder = tempfile::tempdir().unwrap();
    sandbox.clear_requests();
    let mut command = command_on(&sandbox, folder.path());
    let mut child = command.args(args.split_whitespace()).arg("-q").spawn().unwrap();
    let enough = needed.len() * 4 / 5;
    eventually("enough requests are sent", || sandbox.requests().len() >= enough).await;
    child.kill().unwrap();
    child.wait().unwrap();
    let before: HashSet<_> =
        sandbox.requests().into_iter().map(|request| (request.path, request.query)).collect();
    sandbox.clear_requests();
    let requests = run(folder.path(), other).await;
    let twice: Vec<_> = requests
        .iter()
        .filter(|request| before.contains(&(request.path.clone(), request.query.clone())))
        .map(|request| format!("{} {}", request.path, request.query))
        .collect();
    // Not stored: the empty list of one sequence and the missing list of another. Each is requested up to four times.
    assert!(twice.len() <= IN_FLIGHT + 8, "{} requests are made again: {twice:#?}", twice.len());
    assert!(tables(folder.path()) == tables(fresh.path()), "{args} → {other}");
    (requests, needed)
}

#[tokio::test(flavor = "multi_thread")]
async fn another_format_or_quality_uses_the_same_stored_responses() {
    const BOX: &str = "crawl --no-download --bbox 32.19,34.52,34.18,35.49 --concurrency 16";
    let args = format!("{BOX} --fields captured_at,thumb_256_url,width");
    // The same fields are not requested twice, in any order and format.
    let other =
        format!("{BOX} --fields width,thumb_256_url,captured_at --format csv,geojsonseq --geometry original");
    let (requests, needed) = requests_after_change(&args, &other).await;
    assert!(requests.len() <= needed.len(), "{} of {}", requests.len(), needed.len());
    // New fields are requested alone.
    let of_old =
        requests.iter().filter(|request| request.param("fields").as_deref() == Some("geometry")).count();
    assert!(of_old > 5, "{of_old} requests for the place alone");
    let other = format!("{BOX} --fields captured_at,thumb_256_url,width,thumb_1024_url");
    let (requests, _) = requests_after_change(&args, &other).await;
    let of_old = requests
        .iter()
        .filter(|request| request.param("fields").as_deref() == Some("thumb_1024_url"))
        .count();
    assert!(of_old > 5, "{of_old} requests for the new URL alone");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_single_step_resumes_too() {
    let sandbox = slow().await;
    let (_, expected) = crawl_without_kills(&sandbox).await;
    let folder = tempfile::tempdir().unwrap();
    let outputs = folder.path().join("outputs");
    for (step, table) in [
        ("sequences --bbox 32.19,34.52,34.18,35.49 --tile-rate 1000000", "seq_dataset.csv"),
        ("images", "img_dataset.csv"),
        ("metadata", "img_meta_dataset.csv"),
    ] {
        sandbox.clear_requests();
        let command = || {
            let mut command = command_on(&sandbox, folder.path());
            command.args(step.split(' ')).args(["--concurrency", "4"]);
            command
        };
        let mut child = command().arg("-q").spawn().unwrap();
        eventually("enough requests are sent", || sandbox.requests().len() >= 25).await;
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!outputs.join(table).exists(), "{step}");
        let before = sandbox.requests().len();
        let (exit, stderr) = output(command()).await;
        assert!(exit == 0 && stderr.contains("resuming with"), "{step}: {stderr}");
        let answered: Vec<_> =
            sandbox.requests().into_iter().map(|request| (request.path, request.query)).collect();
        let distinct: HashSet<_> = answered.iter().collect();
        assert!(
            // A deleted sequence is requested four times, at the end beside an existing one.
            answered.len() - distinct.len() <= 4 + 5,
            "{step}: {} of {before}",
            answered.len() - distinct.len()
        );
        let expected = expected.iter().find(|(name, _)| name == table).unwrap();
        assert!(fs::read(outputs.join(table)).unwrap() == expected.1, "{step}");
    }
}
