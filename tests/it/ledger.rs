//! Nothing is lost: whatever entered a step left it as a row, as gone, or as a failure with its name.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::StreamExt;
use serde_json::Value;
use streetflow::sandbox::{Asked, Fault, Host, Rule, Sandbox};

use crate::support::{command_on, eventually, names, output};

const CRAWL: &str = "crawl --bbox=33.33,35.15,33.39,35.19 --fields=captured_at,thumb_256_url --attempts=2";

async fn sandbox() -> Sandbox {
    // One picture for all: drawing hundreds would take longer than all else.
    Sandbox::builder().picture_bytes(900).start().await.unwrap()
}

async fn run(sandbox: &Sandbox, folder: &Path, words: &str) -> (i32, String) {
    let mut command = command_on(sandbox, folder);
    command.args(words.split(' '));
    output(command).await
}

fn read(folder: &Path, name: &str) -> String {
    fs::read_to_string(folder.join(name)).unwrap_or_default()
}

fn report(outputs: &Path) -> Value {
    serde_json::from_str(&read(outputs, "report.json")).unwrap()
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("no number: {value}"))
}

/// One column of a table; none where the table is not there.
fn column(outputs: &Path, table: &str, name: &str) -> Vec<String> {
    let text = read(outputs, table);
    let mut rows = csv::Reader::from_reader(text.as_bytes());
    let Some(at) = rows.headers().unwrap().iter().position(|column| column == name) else {
        return Vec::new();
    };
    rows.records().map(|row| row.unwrap()[at].to_owned()).collect()
}

/// The ids that a ledger names for a step.
fn named(outputs: &Path, ledger: &str, step: &str) -> Vec<String> {
    let ids = column(outputs, ledger, "id");
    let steps = column(outputs, ledger, "step");
    steps.into_iter().zip(ids).filter(|(of, _)| of == step).map(|(_, id)| id).collect()
}

/// Asserts that a run's report, tables, ledgers and requests tell the same, and gives the report.
fn check(what: &str, sandbox: &Sandbox, outputs: &Path, exit: i32) -> Value {
    let report = report(outputs);
    assert_eq!(report["exit_code"], exit, "{what}: {report:#}");
    let outcome = report["outcome"].as_str().unwrap();
    let ended = ["finished", "failures_left"].contains(&outcome);
    let mut came: Option<u64> = None;
    for (step, counts) in report["steps"].as_object().unwrap() {
        let count = |name: &str| number(&counts[name]);
        let out = ["done", "already_there", "ruled_out", "gone", "failed", "not_reached"].map(count);
        assert_eq!(count("entered"), out.iter().sum::<u64>(), "{what}: {step}: {counts:#}");
        assert!(!ended || count("not_reached") == 0, "{what}: {step}: {counts:#}");
        if let Some(came) = came {
            assert!(count("entered") == came || !ended && count("entered") < came, "{what}: {step} {came}");
        }
        came = Some(count("rows"));
        for (ledger, count) in [("failures.csv", count("failed")), ("gone.csv", count("gone"))] {
            let named = named(outputs, ledger, step);
            assert_eq!(named.len() as u64, count, "{what}: {step}: {ledger}: {named:?}");
            assert_eq!(named.iter().collect::<BTreeSet<_>>().len(), named.len(), "{what}: each once");
            assert!(named.iter().all(|id| !id.is_empty() && !id.contains(' ')), "{what}: {named:?}");
        }
    }
    rows_agree(what, &report, outputs, ended);
    if ended {
        each_id_has_left(what, &report, outputs);
    }
    for (host, classes) in
        [(Host::Tiles, &["tile"][..]), (Host::Graph, &["entity", "search"]), (Host::Images, &["bytes"])]
    {
        let sent: u64 = classes.iter().map(|class| number(&report["requests"][class]["sent"])).sum();
        let came = sandbox.requests_to(host).len() as u64;
        // One that is cut off on its way may never arrive.
        assert!(sent == came || !ended && sent > came, "{what}: {host:?}: {sent} sent, {came} came");
    }
    let secret = Sandbox::TOKEN.rsplit('|').next().unwrap();
    for name in ["report.json", "failures.csv", "gone.csv"] {
        assert!(!read(outputs, name).contains(secret), "{what}: the token in {name}");
    }
    report
}

/// The tables have as many rows as the counts say, and the files are as large.
fn rows_agree(what: &str, report: &Value, outputs: &Path, ended: bool) {
    let steps = &report["steps"];
    let written = ended || report["outcome"] == "stopped";
    for (step, table) in [
        ("sequences", "seq_dataset.csv"),
        ("images", "img_dataset.csv"),
        ("metadata", "img_meta_dataset.csv"),
    ] {
        let rows = if written { number(&steps[step]["rows"]) } else { 0 };
        assert_eq!(column(outputs, table, "seq_id").len() as u64, rows, "{what}: {table}");
    }
    let pictures = names(&outputs.join("downloaded_images")).len() as u64;
    if ended && steps["download"].is_object() {
        let counts = &steps["download"];
        assert_eq!(pictures, number(&counts["done"]) + number(&counts["already_there"]), "{what}");
    }
    let files = report["files"].as_array().unwrap();
    let listed: BTreeSet<_> = files.iter().map(|file| file["path"].as_str().unwrap()).collect();
    for file in files.iter().filter(|file| file["path"] != "downloaded_images") {
        let (name, found) = (file["path"].as_str().unwrap(), number(&file["rows"]));
        assert_eq!(number(&file["bytes"]), outputs.join(name).metadata().unwrap().len(), "{what}: {name}");
        let column = if name.ends_with("_dataset.csv") { "seq_id" } else { "id" };
        assert_eq!(found, self::column(outputs, name, column).len() as u64, "{what}: {name}");
    }
    for name in names(outputs).iter().filter(|name| name.contains(".csv")) {
        assert!(listed.contains(name.as_str()), "{what}: {name} is not listed");
    }
}

/// Every id of a table is in the next one, or named as failed or gone, and in one of these only.
fn each_id_has_left(what: &str, report: &Value, outputs: &Path) {
    let pictures: Vec<_> = names(&outputs.join("downloaded_images"))
        .iter()
        .map(|name| name.strip_suffix("_256.jpg").unwrap().to_owned())
        .collect();
    for (step, from, column_of, out) in [
        ("images", "seq_dataset.csv", "seq_id", column(outputs, "img_dataset.csv", "seq_id")),
        ("metadata", "img_dataset.csv", "img_id", column(outputs, "img_meta_dataset.csv", "img_id")),
        ("download", "img_meta_dataset.csv", "img_id", pictures),
    ] {
        if !report["steps"][step].is_object() {
            continue;
        }
        let entered: BTreeSet<_> = column(outputs, from, column_of).into_iter().collect();
        let out: BTreeSet<_> = out.into_iter().collect();
        let missing = ["failures.csv", "gone.csv"].map(|ledger| named(outputs, ledger, step));
        let missing: Vec<_> = missing.into_iter().flatten().collect();
        assert!(missing.iter().all(|id| !out.contains(id)), "{what}: {step}: both there and missing");
        let left: BTreeSet<_> = out.into_iter().chain(missing).collect();
        assert!(left == entered, "{what}: {step}: {:?}", left.symmetric_difference(&entered));
    }
}

/// Always the same third of the requests, whatever is asked before or after; a retry meets the same fate.
fn unlucky(asked: &Asked) -> bool {
    let host = if asked.host == Host::Tiles { "" } else { &asked.query };
    let text = format!("{}{host}", asked.path);
    let hash = text.bytes().fold(0xcbf2_9ce4_u32, |hash, b| (hash ^ u32::from(b)).wrapping_mul(0x0100_0193));
    (hash >> 8).is_multiple_of(3)
}

/// A rule for a third of a host's requests, and how many it has met.
fn third(host: Host, fault: Fault, times: u64) -> (Rule, Arc<AtomicU64>) {
    let met = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&met);
    let rule = Rule::when(move |asked| {
        let hit = asked.host == host && unlucky(asked);
        count.fetch_add(u64::from(hit), Ordering::Relaxed);
        hit
    });
    (rule.times(times).fault(fault), met)
}

/// Every fault but those that are waited out for longer than a test may take.
fn faults(sandbox: &Sandbox) -> Vec<(&'static str, Fault, u64)> {
    let ids: Vec<_> = sandbox.world().sequences().iter().filter(|drive| !drive.is_gone()).collect();
    let ids: Vec<_> =
        ids.iter().flat_map(|drive| sandbox.world().images_of(drive)).map(|shot| shot.id()).collect();
    let (all, few) = (u64::MAX, 5);
    vec![
        ("503", Fault::status(503, ""), all),
        ("404", Fault::status(404, "not found"), all),
        ("403", Fault::status(403, "URL signature expired"), all),
        ("429", Fault::status(429, "").header("retry-after", "0"), few),
        ("code 2", Fault::graph_error(500, 2, None, "Service temporarily unavailable"), all),
        ("code 100", Fault::graph_error(500, 100, None, "Tried accessing nonexisting field"), all),
        ("code 100/33", Fault::graph_error(400, 100, Some(33), "Unsupported get request"), all),
        ("code 190", Fault::graph_error(401, 190, None, "Invalid OAuth 2.0 Access Token"), all),
        ("redirect", Fault::Redirect, all),
        ("html", Fault::Html, all),
        ("empty", Fault::Empty, all),
        ("empty data", Fault::EmptyData, all),
        ("truncate", Fault::Truncate(10), all),
        ("truncate silently", Fault::TruncateSilently(10), all),
        ("reset", Fault::Reset, all),
        ("trickle", Fault::Trickle(1_000_000), all),
        ("delay", Fault::Delay(Duration::from_millis(20)), all),
        ("missing ids", Fault::MissingIds(ids.iter().step_by(2).cloned().collect()), all),
        ("too big", Fault::TooBig, all),
    ]
}

/// Where a fault can occur. A redirect of a picture would lead out of this machine.
fn occurs(name: &str, host: Host) -> bool {
    match name {
        "missing ids" => host == Host::Graph,
        "redirect" => host != Host::Images,
        _ => true,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn under_every_fault_the_counts_add_up_and_the_next_run_has_the_rest() {
    let undisturbed = tempfile::tempdir().unwrap();
    let well = sandbox().await;
    let (exit, said) = run(&well, undisturbed.path(), CRAWL).await;
    assert_eq!(exit, 0, "{said}");
    check("no fault", &well, &undisturbed.path().join("outputs"), 0);
    let mut cases = Vec::new();
    for host in [Host::Tiles, Host::Graph, Host::Images] {
        cases.extend(
            faults(&well).into_iter().filter(|(name, ..)| occurs(name, host)).map(|case| (host, case)),
        );
    }
    let cases = cases.into_iter().map(|(host, (name, fault, times))| {
        let undisturbed = undisturbed.path().join("outputs");
        async move { faulty(host, name, fault, times, &undisturbed).await }
    });
    let exits: BTreeSet<i32> = futures::stream::iter(cases).buffer_unordered(4).collect().await;
    assert_eq!(exits, BTreeSet::from([0, 1, 3]), "each kind of end has occurred");
}

/// One crawl with a fault, one without; gives the exit code of the first.
async fn faulty(host: Host, name: &str, fault: Fault, times: u64, undisturbed: &Path) -> i32 {
    let what = &format!("{name} on {host:?}");
    let (sandbox, folder) = (sandbox().await, tempfile::tempdir().unwrap());
    let outputs = folder.path().join("outputs");
    let words = if host == Host::Images { CRAWL.to_owned() } else { format!("{CRAWL} --no-download") };
    let (rule, met) = third(host, fault, times);
    sandbox.script(rule);
    let (exit, said) = run(&sandbox, folder.path(), &words).await;
    assert!(met.load(Ordering::Relaxed) > 0, "{what}: it never occurred");
    let first = check(what, &sandbox, &outputs, exit);
    assert_eq!(exit == 1, first["outcome"] == "broken_off", "{what}: {said}");
    assert_eq!(exit == 1, first["error"].is_object(), "{what}: {said}");
    let met = |what: &str| {
        first["requests"].as_object().unwrap().values().map(|class| number(&class[what])).sum::<u64>()
    };
    assert_eq!(met("throttled") > 0, name == "429", "{what}: {first:#}");
    assert_eq!(
        met("blocked") > 0,
        name == "redirect" || name == "html" && host == Host::Tiles,
        "{what}: {first:#}"
    );
    if exit != 3 {
        return exit;
    }
    sandbox.clear_script();
    sandbox.clear_requests();
    let (exit, said) = run(&sandbox, folder.path(), &words).await;
    assert_eq!(exit, 0, "{what}: {said}");
    let second = check(what, &sandbox, &outputs, exit);
    assert!(!outputs.join("failures.csv").exists(), "{what}");
    let stored: u64 =
        second["requests"].as_object().unwrap().values().map(|class| number(&class["from_store"])).sum();
    assert!(stored > 0, "{what}: {second:#}");
    // Lies are believed: an empty tile, a sequence without images, an id that the API does not know.
    if !["empty", "empty data", "code 100/33"].contains(&name) {
        for table in ["seq_dataset.csv", "img_dataset.csv"] {
            assert!(read(&outputs, table) == read(undisturbed, table), "{what}: {table} differs");
        }
        let ids = |outputs| column(outputs, "img_meta_dataset.csv", "img_id");
        assert!(ids(&outputs) == ids(undisturbed), "{what}: metadata differs");
    }
    3
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_one_image_spoils_costs_that_image_at_the_most() {
    let (sandbox, folder) = (sandbox().await, tempfile::tempdir().unwrap());
    run(&sandbox, folder.path(), &format!("{CRAWL} --no-download")).await;
    let outputs = folder.path().join("outputs");
    let spoilt = column(&outputs, "img_meta_dataset.csv", "img_id").swap_remove(100);
    sandbox.script(Rule::on(Host::Graph).fault(Fault::BatchFails(spoilt.clone())));
    sandbox.clear_requests();
    let (exit, said) = run(&sandbox, folder.path(), "metadata --attempts=1").await;
    assert_eq!(exit, 0, "{said}");
    let report = report(&outputs);
    assert_eq!(report["steps"]["metadata"]["failed"], 0);
    assert!(named(&outputs, "failures.csv", "metadata").is_empty());
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_stopped_in_a_long_wait_says_what_it_did_not_reach() {
    let cases = [Host::Tiles, Host::Graph, Host::Images].into_iter().flat_map(|host| {
        [("stall", Fault::Stall), ("quota", Fault::Quota { per_minute: 3 })].map(|case| (host, case))
    });
    let cases = cases.map(|(host, (name, fault))| async move {
        let what = &format!("{name} on {host:?}");
        let (sandbox, folder) = (sandbox().await, tempfile::tempdir().unwrap());
        sandbox.script(Rule::on(host).skip(2).fault(fault));
        let mut command = command_on(&sandbox, folder.path());
        let child = command.args(CRAWL.split(' ')).stderr(Stdio::piped()).spawn().unwrap();
        eventually("it waits", || sandbox.requests_to(host).len() > 5).await;
        std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
        let ended = tokio::task::spawn_blocking(move || child.wait_with_output().unwrap()).await.unwrap();
        let said = String::from_utf8(ended.stderr).unwrap();
        assert_eq!(ended.status.code(), Some(130), "{what}: {said}");
        let report = check(what, &sandbox, &folder.path().join("outputs"), 130);
        assert_eq!(report["outcome"], "stopped", "{what}");
        assert!(said.contains("not reached"), "{what}: {said}");
        let step = match host {
            Host::Tiles => "sequences",
            Host::Graph => "images",
            Host::Images => "download",
        };
        assert!(number(&report["steps"][step]["not_reached"]) > 0, "{what}: {report:#}");
    });
    futures::stream::iter(cases).buffer_unordered(3).collect::<Vec<_>>().await;
}

/// The paths of requests, sorted.
fn paths(asked: &[Asked]) -> Vec<String> {
    let mut paths: Vec<_> = asked.iter().map(|asked| asked.path.clone()).collect();
    paths.sort();
    paths
}

/// A step by itself: with a fault it leaves one failure, and the next run asks for that alone.
async fn fails_once(step: &str, words: &str, rule: impl Fn() -> Rule, id: &str, asked: impl Fn(&[Asked])) {
    let (sandbox, folder) = (sandbox().await, tempfile::tempdir().unwrap());
    let outputs = folder.path().join("outputs");
    run(&sandbox, folder.path(), &format!("{CRAWL} --no-download")).await;
    let tables = || ["seq_dataset.csv", "img_dataset.csv"].map(|table| read(&outputs, table));
    let ids = || column(&outputs, "img_meta_dataset.csv", "img_id");
    let before = (tables(), ids());
    let others = "step,id,reason,attempts,last_status\nelsewhere,77,\"it, too\",1,404\n";
    fs::write(outputs.join("failures.csv"), others).unwrap();
    sandbox.script(rule());
    for round in 0..2 {
        let (exit, said) = run(&sandbox, folder.path(), words).await;
        assert_eq!(exit, 3, "{step}, {round}: {said}");
        assert_eq!(named(&outputs, "failures.csv", step), [id], "{said}");
        assert_eq!(report(&outputs)["failures"], serde_json::json!({ "this_run": 1, "earlier": 1 }));
        assert!(said.contains("1 failed") && said.contains("1 failure of other steps"), "{said}");
    }
    sandbox.clear_script();
    sandbox.clear_requests();
    let (exit, said) = run(&sandbox, folder.path(), words).await;
    assert_eq!(exit, 0, "{step}: {said}");
    asked(&sandbox.requests());
    assert_eq!(read(&outputs, "failures.csv"), others, "lines of other steps stay");
    assert!((tables(), ids()) == before, "{step}: the tables differ");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_step_by_itself_asks_again_for_exactly_what_failed() {
    let (sandbox, folder) = (sandbox().await, tempfile::tempdir().unwrap());
    run(&sandbox, folder.path(), CRAWL).await;
    let outputs = folder.path().join("outputs");
    let sequence = column(&outputs, "seq_dataset.csv", "seq_id").swap_remove(5);
    let image = column(&outputs, "img_meta_dataset.csv", "img_id").swap_remove(77);
    let tile = sandbox.requests_to(Host::Tiles).swap_remove(3).path;
    let down = || Fault::status(500, "");

    let id = tile.splitn(6, '/').last().unwrap();
    let steps = CRAWL.replace("crawl", "sequences").replace(" --fields=captured_at,thumb_256_url", "");
    let rule = || Rule::on(Host::Tiles).path(&tile).fault(down());
    fails_once("sequences", &steps, rule, id, |asked| assert_eq!(paths(asked), [&*tile])).await;

    let rule = || Rule::on(Host::Graph).query("sequence_id", &sequence).fault(down());
    fails_once("images", "images --attempts=2", rule, &sequence, |asked| {
        assert_eq!(asked.len(), 1);
        assert_eq!(asked[0].param("sequence_id").as_deref(), Some(&*sequence));
    })
    .await;

    let spoils =
        |image: String| move |asked: &Asked| asked.path.contains(&image) || asked.query.contains(&image);
    let rule = || Rule::when(spoils(image.clone())).fault(down());
    let words = "metadata --attempts=2 --fields=captured_at,thumb_256_url";
    // The batch that the image was in never came as a whole, so it may be asked for as one.
    fails_once("metadata", words, rule, &image, |asked| {
        assert!(asked.len() == 1 && spoils(image.clone())(&asked[0]), "{asked:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pictures_that_failed_are_all_that_the_next_download_asks_for() {
    let (sandbox, folder) = (sandbox().await, tempfile::tempdir().unwrap());
    let outputs = folder.path().join("outputs");
    run(&sandbox, folder.path(), &format!("{CRAWL} --no-download")).await;
    sandbox.clear_requests();
    let (rule, _) = third(Host::Images, Fault::status(503, ""), u64::MAX);
    sandbox.script(rule);
    let (exit, said) = run(&sandbox, folder.path(), "download --attempts=1").await;
    assert_eq!(exit, 3, "{said}");
    let failed: BTreeSet<_> =
        sandbox.requests().iter().filter(|asked| unlucky(asked)).cloned().map(|a| a.path).collect();
    assert_eq!(named(&outputs, "failures.csv", "download").len(), failed.len());
    sandbox.clear_script();
    sandbox.clear_requests();
    let (exit, said) = run(&sandbox, folder.path(), "download").await;
    assert_eq!(exit, 0, "{said}");
    assert_eq!(paths(&sandbox.requests()), failed.into_iter().collect::<Vec<_>>());
    assert!(!outputs.join("failures.csv").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crawl_asks_again_for_what_failed_in_any_step_and_for_what_follows_from_it() {
    let (sandbox, folder, whole) =
        (sandbox().await, tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    run(&sandbox, whole.path(), CRAWL).await;
    let (outputs, whole) = (folder.path().join("outputs"), whole.path().join("outputs"));
    // Sequences are in the order of their tiles, so the last tile is not the one that these come from.
    let tile = sandbox.requests_to(Host::Tiles).pop().unwrap().path;
    let sequences = column(&whole, "seq_dataset.csv", "seq_id");
    let sequence = sequences[0].clone();
    let of = column(&whole, "img_meta_dataset.csv", "seq_id");
    let ids = column(&whole, "img_meta_dataset.csv", "img_id");
    let image_of = |sequence: &str| ids[of.iter().position(|of| of == sequence).unwrap()].clone();
    let (image, shown) = (image_of(&sequences[1]), image_of(&sequences[2]));
    let url = &column(&whole, "img_meta_dataset.csv", "thumb_256_url")
        [ids.iter().position(|id| *id == shown).unwrap()];
    let picture = format!("/m1{}", url.split_once("/m1").unwrap().1.split_once('?').unwrap().0);
    let poor = image.clone();
    let down = || Fault::status(500, "");
    sandbox.script(Rule::on(Host::Tiles).path(&tile).fault(down()));
    sandbox.script(Rule::on(Host::Graph).query("sequence_id", &sequence).fault(down()));
    let spoils = move |asked: &Asked| {
        asked.host == Host::Graph && (asked.path.contains(&poor) || asked.query.contains(&poor))
    };
    sandbox.script(Rule::when(spoils).fault(down()));
    sandbox.script(Rule::on(Host::Images).path(&picture).fault(down()));
    sandbox.clear_requests();
    let (exit, said) = run(&sandbox, folder.path(), CRAWL).await;
    assert_eq!(exit, 3, "{said}");
    check("first", &sandbox, &outputs, 3);
    assert_eq!(named(&outputs, "failures.csv", "images"), [&*sequence], "{said}");
    assert_eq!(named(&outputs, "failures.csv", "metadata"), [&*image], "{said}");
    assert_eq!(named(&outputs, "failures.csv", "download"), [&*shown], "{said}");
    let tile_id = tile.splitn(6, '/').last().unwrap();
    assert_eq!(named(&outputs, "failures.csv", "sequences"), [tile_id], "{said}");
    let known: BTreeSet<_> = column(&outputs, "seq_dataset.csv", "seq_id").into_iter().collect();
    let had: BTreeSet<_> = names(&outputs.join("downloaded_images")).into_iter().collect();
    sandbox.clear_script();
    sandbox.clear_requests();
    let (exit, said) = run(&sandbox, folder.path(), CRAWL).await;
    assert_eq!(exit, 0, "{said}");
    check("second", &sandbox, &outputs, 0);
    assert_eq!(paths(&sandbox.requests_to(Host::Tiles)), [tile]);
    for asked in sandbox.requests_to(Host::Graph).iter().filter_map(|asked| asked.param("sequence_id")) {
        assert!(asked == sequence || !known.contains(&asked), "{asked} was listed before");
    }
    let all: BTreeSet<_> = names(&outputs.join("downloaded_images")).into_iter().collect();
    let pictures = paths(&sandbox.requests_to(Host::Images));
    assert_eq!(pictures.len(), all.difference(&had).count() + gone_pictures(&outputs));
    assert!(pictures.contains(&picture));
    for table in ["seq_dataset.csv", "img_dataset.csv"] {
        assert!(read(&outputs, table) == read(&whole, table), "{table} differs");
    }
    assert_eq!(all, names(&whole.join("downloaded_images")).into_iter().collect());
}

/// Pictures that are asked for each time, and that the server does not have; those without a URL cost nothing.
fn gone_pictures(outputs: &Path) -> usize {
    let gone = column(outputs, "gone.csv", "reason");
    gone.iter().filter(|reason| reason.contains("download") && !reason.contains("is empty")).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_cannot_be_read_has_entered_and_failed_under_its_number() {
    let (sandbox, folder) = (sandbox().await, tempfile::tempdir().unwrap());
    let drives: Vec<_> = sandbox.world().sequences().iter().filter(|drive| !drive.is_gone()).collect();
    let rows = format!("seq_id\n{}\n../x\n{}\na b\n", drives[0].id(), drives[1].id());
    fs::write(folder.path().join("in.csv"), rows).unwrap();
    let (exit, said) = run(&sandbox, folder.path(), "images -i in.csv").await;
    assert_eq!(exit, 3, "{said}");
    let outputs = folder.path().join("outputs");
    let counts = &report(&outputs)["steps"]["images"];
    assert_eq!((number(&counts["entered"]), number(&counts["done"]), number(&counts["failed"])), (4, 2, 2));
    assert_eq!(named(&outputs, "failures.csv", "images"), ["in.csv row 3", "in.csv row 5"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_that_stands_twice_in_a_table_is_named_once_also_with_q() {
    let (sandbox, folder) = (sandbox().await, tempfile::tempdir().unwrap());
    let outputs = folder.path().join("outputs");
    let drives: Vec<_> = sandbox.world().sequences().iter().filter(|drive| !drive.is_gone()).collect();
    let (good, bad) = (drives[0].id(), drives[1].id());
    fs::write(folder.path().join("in.csv"), format!("seq_id\n{bad}\n{good}\n{bad}\n{bad}\n")).unwrap();
    sandbox.script(Rule::on(Host::Graph).query("sequence_id", bad).fault(Fault::status(500, "")));
    for _ in 0..2 {
        let (exit, said) = run(&sandbox, folder.path(), "images -i in.csv --attempts=1 -q").await;
        assert_eq!(exit, 3, "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
        assert!(said.contains("failed: 3") && said.contains("`outputs/failures.csv`"), "{said}");
        assert_eq!(named(&outputs, "failures.csv", "images"), [bad]);
    }
    sandbox.clear_script();
    let (exit, said) = run(&sandbox, folder.path(), "images -i in.csv -q").await;
    assert_eq!((exit, said.as_str()), (0, ""));
    assert!(!outputs.join("failures.csv").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_report_is_of_the_last_run_that_ended_and_of_no_other() {
    let sandbox = Sandbox::builder().latency(Duration::from_millis(50)).start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let outputs = folder.path().join("outputs");
    let (exit, _) = run(&sandbox, folder.path(), "sequences --bbox=33.33,35.15,33.39,35.19").await;
    let first = read(&outputs, "report.json");
    assert!(
        exit == 0 && first.contains("\"query\": \"streetflow sequences --bbox=33.33,35.15,33.39,35.19\"")
    );
    run(&sandbox, folder.path(), "images -i none.csv").await;
    assert_eq!(read(&outputs, "report.json"), first, "a slip of the pen is no run");
    sandbox.clear_requests();
    let mut child = command_on(&sandbox, folder.path()).arg("images").spawn().unwrap();
    eventually("it is at work", || !sandbox.requests().is_empty()).await;
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!outputs.join("report.json").exists(), "a run that was killed has none");
    fs::write(outputs.join("report.json"), "{\"mine\": 1}\n").unwrap();
    let (exit, said) = run(&sandbox, folder.path(), "images").await;
    assert_eq!(exit, 1, "{said}");
    assert!(
        said.contains("failed to write the report `outputs/report.json`") && said.contains("not ours"),
        "{said}"
    );
    assert_eq!(read(&outputs, "report.json"), "{\"mine\": 1}\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_breaks_off_reports_why_and_what_it_had_done() {
    let (sandbox, folder) = (sandbox().await, tempfile::tempdir().unwrap());
    sandbox.script(Rule::on(Host::Tiles).skip(4).fault(Fault::Redirect));
    let (exit, said) = run(&sandbox, folder.path(), "sequences --bbox=33.33,35.15,33.39,35.19").await;
    assert_eq!(exit, 1, "{said}");
    let report = check("block", &sandbox, &folder.path().join("outputs"), 1);
    assert_eq!(report["outcome"], "broken_off");
    assert_eq!(report["error"]["kind"], "blocked");
    assert!(report["error"]["chain"].as_array().unwrap().len() > 1, "{report:#}");
    assert!(report["error"]["hint"].as_str().unwrap().contains("about a day"));
    assert!(number(&report["requests"]["tile"]["blocked"]) > 0);
    assert!(said.contains("sequences: 12 tiles: ") && said.contains(" not reached"), "{said}");
    assert!(said.find("not reached") < said.find("error:"), "the error comes last: {said}");
}
