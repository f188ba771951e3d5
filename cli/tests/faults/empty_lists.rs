//! An outage with empty lists loses nothing, and deleted sequences are still reported as gone.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fs;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use futures::{StreamExt, stream};
use streetflow::{ErrorKind, Event, Image, ListImages, Result, Stage, Step};
use streetflow_sandbox::{Fault, MockSequence, RecordedRequest, Rule, Sandbox};

use crate::support::accounting::{check, column, ids_in_log, number, report, run, sandbox};
use crate::support::{builder, command_on, eventually, read, sequence_record};

const CRAWL: &str = "crawl --bbox=33.33,35.15,33.39,35.19 --no-download --fields=captured_at --concurrency=8";

fn is_list(request: &RecordedRequest) -> bool {
    request.path == "/image_ids"
}

/// Returns a rule that makes every list empty for some time after the first request for one.
fn outage(duration: Duration) -> Rule {
    let started = OnceLock::new();
    Rule::when(move |request| is_list(request) && started.get_or_init(Instant::now).elapsed() < duration)
        .fault(Fault::EmptyData)
}

/// Returns the rows of a table, without their order.
fn rows(folder: &std::path::Path, table: &str) -> BTreeSet<String> {
    read(&folder.join("outputs"), table).lines().map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_short_outage_with_empty_responses_loses_no_sequence() {
    let sandbox = sandbox().await;
    let (fresh, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (exit, stderr) = run(&sandbox, fresh.path(), CRAWL).await;
    assert_eq!(exit, 0, "{stderr}");
    sandbox.clear_requests();
    sandbox.add_rule(outage(Duration::from_millis(3500)));
    let (exit, stderr) = run(&sandbox, folder.path(), CRAWL).await;
    assert_eq!(exit, 0, "{stderr}");
    check("outage", &sandbox, &folder.path().join("outputs"), 0);
    for table in ["seq_dataset.csv", "img_dataset.csv", "img_meta_dataset.csv"] {
        assert!(rows(folder.path(), table) == rows(fresh.path(), table), "{table}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_list_is_not_stored_for_the_run_after_a_kill() {
    let sandbox = Sandbox::builder().latency(Duration::from_millis(5)).start().await.unwrap();
    let (fresh, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (exit, stderr) = run(&sandbox, fresh.path(), CRAWL).await;
    assert_eq!(exit, 0, "{stderr}");
    // Two thirds of the lists are empty during the first run.
    sandbox.add_rule(
        Rule::when(|request| is_list(request) && request.query.bytes().map(u32::from).sum::<u32>() % 3 > 0)
            .fault(Fault::EmptyData),
    );
    sandbox.clear_requests();
    let mut command = command_on(&sandbox, folder.path());
    let mut child = command.args(CRAWL.split(' ')).arg("-q").spawn().unwrap();
    let retried = || {
        let requests: Vec<_> =
            sandbox.requests().into_iter().filter(is_list).map(|request| request.query).collect();
        requests.iter().collect::<HashSet<_>>().len() < requests.len()
    };
    eventually("empty lists are requested again", retried).await;
    child.kill().unwrap();
    child.wait().unwrap();
    sandbox.clear_rules();
    let (exit, stderr) = run(&sandbox, folder.path(), CRAWL).await;
    assert!(exit == 0 && stderr.contains("resuming with"), "{stderr}");
    for table in ["seq_dataset.csv", "img_dataset.csv", "img_meta_dataset.csv"] {
        let same = read(&folder.path().join("outputs"), table) == read(&fresh.path().join("outputs"), table);
        assert!(same, "{table}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn during_an_outage_nothing_is_gone_and_the_next_run_gets_everything() {
    let sandbox = sandbox().await;
    let (fresh, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    run(&sandbox, fresh.path(), CRAWL).await;
    // From the fifth request on, all lists are empty, including those that had images.
    sandbox.add_rule(Rule::when(is_list).skip(4).fault(Fault::EmptyData));
    let found = listed(&sandbox, 12).await;
    let kinds: Vec<_> =
        found.iter().filter_map(|item| item.as_ref().err().map(streetflow::Error::kind)).collect();
    assert!(!kinds.is_empty() && kinds.iter().all(|kind| *kind == ErrorKind::Unavailable), "{kinds:?}");
    sandbox.clear_rules();
    let (exit, stderr) = run(&sandbox, folder.path(), CRAWL).await;
    assert_eq!(exit, 0, "{stderr}");
    let gone = column(&folder.path().join("outputs"), "gone.csv", "id");
    assert_eq!(gone, column(&fresh.path().join("outputs"), "gone.csv", "id"));
}

/// Lists the images of the first existing sequences, with short backoff.
async fn listed(sandbox: &Sandbox, count: usize) -> Vec<Result<Image>> {
    let client = builder(sandbox).initial_backoff(Duration::from_millis(1)).concurrency(2).build().unwrap();
    let sequences = sandbox.mock_data().sequences().iter().filter(|sequence| !sequence.is_gone()).take(count);
    let sequences: Vec<_> = sequences.map(|sequence| Ok(sequence_record(sequence))).collect();
    ListImages::new(&client).apply(stream::iter(sequences).boxed()).collect().await
}

#[tokio::test]
async fn sequences_with_two_empty_lists_come_last_in_their_order() {
    let sandbox = Sandbox::start().await.unwrap();
    let sequences: Vec<&MockSequence> =
        sandbox.mock_data().sequences().iter().filter(|sequence| !sequence.is_gone()).take(30).collect();
    let late: Vec<_> = [7, 8, 20].map(|at: usize| sequences[at].id().to_owned()).into();
    // One list is empty once, and its images stay in order.
    let short = sequences[12].id().to_owned();
    let (chosen, seen) = (late.clone(), Mutex::new(HashMap::new()));
    sandbox.add_rule(
        Rule::when(move |request| {
            let id = request.param("sequence_id").unwrap_or_default();
            let times = if id == short { 1 } else { 2 * u64::from(chosen.contains(&id)) };
            let mut seen = seen.lock().unwrap();
            let requests_before = seen.entry(id).or_insert(0);
            *requests_before += 1;
            is_list(request) && *requests_before <= times
        })
        .fault(Fault::EmptyData),
    );
    let done = Arc::new(AtomicU64::new(0));
    let observer = Arc::clone(&done);
    let client = builder(&sandbox).observer(Arc::new(move |event: &Event<'_>| {
        observer.fetch_add(
            u64::from(matches!(event, Event::InputDone { step: Step::IMAGES })),
            Ordering::Relaxed,
        );
    }));
    let client = client.build().unwrap();
    let inputs: Vec<_> = sequences.iter().map(|sequence| Ok(sequence_record(sequence))).collect();
    let found: Vec<_> = ListImages::new(&client).apply(stream::iter(inputs).boxed()).collect().await;
    let mut order: Vec<String> =
        found.iter().map(|image| image.as_ref().unwrap().seq_id.to_string()).collect();
    assert_eq!(order.len(), sequences.iter().map(|sequence| sequence.image_count() as usize).sum::<usize>());
    order.dedup();
    let on_time = sequences.iter().map(|sequence| sequence.id().to_owned()).filter(|id| !late.contains(id));
    assert_eq!(order, on_time.chain(late.iter().cloned()).collect::<Vec<_>>());
    assert_eq!(done.load(Ordering::Relaxed), 30, "each sequence is done");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sequence_that_stays_empty_while_others_do_not_is_gone() {
    let sandbox = sandbox().await;
    let folder = tempfile::tempdir().unwrap();
    let sequence =
        sandbox.mock_data().sequences().iter().find(|sequence| !sequence.is_gone()).unwrap().id().to_owned();
    fs::write(folder.path().join("ids.txt"), format!("{sequence}\nnever-was-0000000000\n")).unwrap();
    let started = Instant::now();
    let (exit, stderr) =
        run(&sandbox, folder.path(), "crawl --sequences=ids.txt --no-download --fields=captured_at").await;
    assert_eq!(exit, 0, "{stderr}");
    assert_eq!(ids_in_log(&folder.path().join("outputs"), "gone.csv", "images"), ["never-was-0000000000"]);
    let images = &report(&folder.path().join("outputs"))["steps"]["images"];
    assert_eq!((number(&images["inputs"]), number(&images["gone"])), (2, 1));
    let requests = sandbox.requests().iter().filter(|request| request.query.contains("never-was")).count();
    assert_eq!(requests, 4, "twice, and twice at the end");
    assert!(started.elapsed() < Duration::from_secs(30));
}
