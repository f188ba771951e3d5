//! An outage that answers with empty lists loses nothing, and what is gone is still told as gone.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fs;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use futures::{StreamExt, stream};
use streetflow::{ErrorKind, Event, Image, ListImages, Result, Stage, Step};
use streetflow_sandbox::{Fault, MockSequence, RecordedRequest, Rule, Sandbox};

use crate::support::accounting::{check, column, named, number, report, run, sandbox};
use crate::support::{builder, command_on, eventually, read, sequence};

const CRAWL: &str = "crawl --bbox=33.33,35.15,33.39,35.19 --no-download --fields=captured_at --concurrency=8";

fn lists(asked: &RecordedRequest) -> bool {
    asked.path == "/image_ids"
}

/// Every list is empty for so long after the first one that is asked for.
fn outage(lasts: Duration) -> Rule {
    let began = OnceLock::new();
    Rule::when(move |asked| lists(asked) && began.get_or_init(Instant::now).elapsed() < lasts)
        .fault(Fault::EmptyData)
}

/// The rows of a table without regard to their order.
fn rows(folder: &std::path::Path, table: &str) -> BTreeSet<String> {
    read(&folder.join("outputs"), table).lines().map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_of_seconds_that_answers_with_nothing_loses_no_sequence() {
    let sandbox = sandbox().await;
    let (fresh, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (exit, said) = run(&sandbox, fresh.path(), CRAWL).await;
    assert_eq!(exit, 0, "{said}");
    sandbox.clear_requests();
    sandbox.script(outage(Duration::from_millis(3500)));
    let (exit, said) = run(&sandbox, folder.path(), CRAWL).await;
    assert_eq!(exit, 0, "{said}");
    check("outage", &sandbox, &folder.path().join("outputs"), 0);
    for table in ["seq_dataset.csv", "img_dataset.csv", "img_meta_dataset.csv"] {
        assert!(rows(folder.path(), table) == rows(fresh.path(), table), "{table}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_list_is_no_answer_for_the_run_after_a_kill() {
    let sandbox = Sandbox::builder().latency(Duration::from_millis(5)).start().await.unwrap();
    let (fresh, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (exit, said) = run(&sandbox, fresh.path(), CRAWL).await;
    assert_eq!(exit, 0, "{said}");
    // Two thirds of the sequences are empty as long as the first run lives.
    sandbox.script(
        Rule::when(|asked| lists(asked) && asked.query.bytes().map(u32::from).sum::<u32>() % 3 > 0)
            .fault(Fault::EmptyData),
    );
    sandbox.clear_requests();
    let mut command = command_on(&sandbox, folder.path());
    let mut child = command.args(CRAWL.split(' ')).arg("-q").spawn().unwrap();
    let asked_again = || {
        let asked: Vec<_> = sandbox.requests().into_iter().filter(lists).map(|asked| asked.query).collect();
        asked.iter().collect::<HashSet<_>>().len() < asked.len()
    };
    eventually("empty lists are asked for again", asked_again).await;
    child.kill().unwrap();
    child.wait().unwrap();
    sandbox.clear_script();
    let (exit, said) = run(&sandbox, folder.path(), CRAWL).await;
    assert!(exit == 0 && said.contains("going on from"), "{said}");
    for table in ["seq_dataset.csv", "img_dataset.csv", "img_meta_dataset.csv"] {
        let same = read(&folder.path().join("outputs"), table) == read(&fresh.path().join("outputs"), table);
        assert!(same, "{table}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_outage_lasts_nothing_is_gone_and_the_next_run_has_all() {
    let sandbox = sandbox().await;
    let (fresh, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    run(&sandbox, fresh.path(), CRAWL).await;
    // From the fifth list on there is nothing, for those that had images too.
    sandbox.script(Rule::when(lists).skip(4).fault(Fault::EmptyData));
    let found = listed(&sandbox, 12).await;
    let kinds: Vec<_> =
        found.iter().filter_map(|item| item.as_ref().err().map(streetflow::Error::kind)).collect();
    assert!(!kinds.is_empty() && kinds.iter().all(|kind| *kind == ErrorKind::Unavailable), "{kinds:?}");
    sandbox.clear_script();
    let (exit, said) = run(&sandbox, folder.path(), CRAWL).await;
    assert_eq!(exit, 0, "{said}");
    let gone = column(&folder.path().join("outputs"), "gone.csv", "id");
    assert_eq!(gone, column(&fresh.path().join("outputs"), "gone.csv", "id"));
}

/// The images of the first sequences of the world that are there, with the shortest waits.
async fn listed(sandbox: &Sandbox, count: usize) -> Vec<Result<Image>> {
    let client = builder(sandbox).initial_backoff(Duration::from_millis(1)).concurrency(2).build().unwrap();
    let drives = sandbox.world().sequences().iter().filter(|drive| !drive.is_gone()).take(count);
    let sequences: Vec<_> = drives.map(|drive| Ok(sequence(drive))).collect();
    ListImages::new(&client).apply(stream::iter(sequences).boxed()).collect().await
}

#[tokio::test]
async fn sequences_that_were_empty_twice_come_at_the_end_in_their_order() {
    let sandbox = Sandbox::start().await.unwrap();
    let drives: Vec<&MockSequence> =
        sandbox.world().sequences().iter().filter(|drive| !drive.is_gone()).take(30).collect();
    let late: Vec<_> = [7, 8, 20].map(|at: usize| drives[at].id().to_owned()).into();
    // One is empty once, and keeps its place.
    let short = drives[12].id().to_owned();
    let (chosen, seen) = (late.clone(), Mutex::new(HashMap::new()));
    sandbox.script(
        Rule::when(move |asked| {
            let id = asked.param("sequence_id").unwrap_or_default();
            let times = if id == short { 1 } else { 2 * u64::from(chosen.contains(&id)) };
            let mut seen = seen.lock().unwrap();
            let asked_before = seen.entry(id).or_insert(0);
            *asked_before += 1;
            lists(asked) && *asked_before <= times
        })
        .fault(Fault::EmptyData),
    );
    let told = Arc::new(AtomicU64::new(0));
    let observer = Arc::clone(&told);
    let client = builder(&sandbox).observer(Arc::new(move |event: &Event<'_>| {
        observer.fetch_add(
            u64::from(matches!(event, Event::InputDone { step: Step::IMAGES })),
            Ordering::Relaxed,
        );
    }));
    let client = client.build().unwrap();
    let sequences: Vec<_> = drives.iter().map(|drive| Ok(sequence(drive))).collect();
    let found: Vec<_> = ListImages::new(&client).apply(stream::iter(sequences).boxed()).collect().await;
    let mut order: Vec<String> =
        found.iter().map(|image| image.as_ref().unwrap().seq_id.to_string()).collect();
    assert_eq!(order.len(), drives.iter().map(|drive| drive.image_count() as usize).sum::<usize>());
    order.dedup();
    let on_time = drives.iter().map(|drive| drive.id().to_owned()).filter(|id| !late.contains(id));
    assert_eq!(order, on_time.chain(late.iter().cloned()).collect::<Vec<_>>());
    assert_eq!(told.load(Ordering::Relaxed), 30, "each sequence left its step");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sequence_that_stays_empty_while_others_are_not_is_gone() {
    let sandbox = sandbox().await;
    let folder = tempfile::tempdir().unwrap();
    let drive = sandbox.world().sequences().iter().find(|drive| !drive.is_gone()).unwrap().id().to_owned();
    fs::write(folder.path().join("ids.txt"), format!("{drive}\nnever-was-0000000000\n")).unwrap();
    let began = Instant::now();
    let (exit, said) =
        run(&sandbox, folder.path(), "crawl --sequences=ids.txt --no-download --fields=captured_at").await;
    assert_eq!(exit, 0, "{said}");
    assert_eq!(named(&folder.path().join("outputs"), "gone.csv", "images"), ["never-was-0000000000"]);
    let images = &report(&folder.path().join("outputs"))["steps"]["images"];
    assert_eq!((number(&images["inputs"]), number(&images["gone"])), (2, 1));
    let asked = sandbox.requests().iter().filter(|asked| asked.query.contains("never-was")).count();
    assert_eq!(asked, 4, "twice, and twice at the end");
    assert!(began.elapsed() < Duration::from_secs(30));
}
