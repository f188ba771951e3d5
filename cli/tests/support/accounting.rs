//! Consistency checks of a run: report, tables, logs of failures and requests must agree.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::Value;
use streetflow_sandbox::{Fault, Host, RecordedRequest, Rule, Sandbox};

use crate::support::{command_on, names, output};

pub(crate) const CRAWL: &str =
    "crawl --bbox=33.33,35.15,33.39,35.19 --fields=captured_at,thumb_256_url --attempts=2";

pub(crate) async fn sandbox() -> Sandbox {
    // The same picture for all images, because drawing would dominate the time.
    Sandbox::builder().picture_bytes(900).start().await.unwrap()
}

pub(crate) async fn run(sandbox: &Sandbox, folder: &Path, args: &str) -> (i32, String) {
    let mut command = command_on(sandbox, folder);
    command.args(args.split(' '));
    output(command).await
}

pub(crate) fn read(folder: &Path, name: &str) -> String {
    fs::read_to_string(folder.join(name)).unwrap_or_default()
}

pub(crate) fn report(outputs: &Path) -> Value {
    serde_json::from_str(&read(outputs, "report.json")).unwrap()
}

pub(crate) fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("no number: {value}"))
}

/// Returns a column of a table. Empty if the table does not exist.
pub(crate) fn column(outputs: &Path, table: &str, name: &str) -> Vec<String> {
    let text = read(outputs, table);
    let mut rows = csv::Reader::from_reader(text.as_bytes());
    let Some(at) = rows.headers().unwrap().iter().position(|column| column == name) else {
        return Vec::new();
    };
    rows.records().map(|row| row.unwrap()[at].to_owned()).collect()
}

/// Returns the ids of a step in a log.
pub(crate) fn ids_in_log(outputs: &Path, log: &str, step: &str) -> Vec<String> {
    let ids = column(outputs, log, "id");
    let steps = column(outputs, log, "step");
    steps.into_iter().zip(ids).filter(|(name, _)| name == step).map(|(_, id)| id).collect()
}

/// Asserts that report, tables, logs and requests of a run agree. Returns the report.
pub(crate) fn check(context: &str, sandbox: &Sandbox, outputs: &Path, exit: i32) -> Value {
    let report = report(outputs);
    assert_eq!(report["exit_code"], exit, "{context}: {report:#}");
    let outcome = report["outcome"].as_str().unwrap();
    let completed = ["finished", "finished_with_failures"].contains(&outcome);
    let mut expected: Option<u64> = None;
    for (step, counts) in report["steps"].as_object().unwrap() {
        let count = |name: &str| number(&counts[name]);
        let outcomes =
            ["done", "already_exists", "pruned", "filtered", "over_limit", "gone", "failed", "not_reached"];
        let out = outcomes.map(count);
        assert_eq!(count("inputs"), out.iter().sum::<u64>(), "{context}: {step}: {counts:#}");
        assert!(!completed || count("not_reached") == 0, "{context}: {step}: {counts:#}");
        if let Some(expected) = expected {
            let limited = count("over_limit") > 0;
            assert!(
                count("inputs") == expected || (!completed || limited) && count("inputs") < expected,
                "{context}: {step} {expected}"
            );
        }
        expected = Some(count("rows"));
        for (log, count) in [("failures.csv", count("failed")), ("gone.csv", count("gone"))] {
            let ids = ids_in_log(outputs, log, step);
            assert_eq!(ids.len() as u64, count, "{context}: {step}: {log}: {ids:?}");
            assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len(), "{context}: each once");
            assert!(ids.iter().all(|id| !id.is_empty() && !id.contains(' ')), "{context}: {ids:?}");
        }
    }
    let beyond = |step: &Value| number(&step["over_limit"]) > 0;
    let limited = report["steps"].as_object().unwrap().values().any(beyond);
    check_rows(context, &report, outputs, completed);
    if completed {
        check_ids(context, &report, outputs);
    }
    for (host, classes) in
        [(Host::Tiles, &["tile"][..]), (Host::Graph, &["entity", "search"]), (Host::Images, &["bytes"])]
    {
        let sent: u64 = classes.iter().map(|class| number(&report["requests"][class]["sent"])).sum();
        let received = sandbox.requests_to(host).len() as u64;
        // A request that is cancelled early can be missing on the server.
        assert!(
            sent == received || (!completed || limited) && sent > received,
            "{context}: {host:?}: {sent} sent, {received} received"
        );
    }
    let secret = Sandbox::TOKEN.rsplit('|').next().unwrap();
    for name in ["report.json", "failures.csv", "gone.csv"] {
        assert!(!read(outputs, name).contains(secret), "{context}: the token in {name}");
    }
    report
}

/// Asserts that the tables have the reported number of rows, and the files the reported sizes.
fn check_rows(context: &str, report: &Value, outputs: &Path, completed: bool) {
    let steps = &report["steps"];
    let written = completed || report["outcome"] == "stopped";
    for (step, table) in [
        ("sequences", "seq_dataset.csv"),
        ("images", "img_dataset.csv"),
        ("metadata", "img_meta_dataset.csv"),
    ]
    .into_iter()
    .filter(|(step, _)| steps[step].is_object())
    {
        let rows = if written { number(&steps[step]["rows"]) } else { 0 };
        assert_eq!(column(outputs, table, "seq_id").len() as u64, rows, "{context}: {table}");
    }
    let pictures = names(&outputs.join("downloaded_images")).len() as u64;
    if completed && steps["download"].is_object() {
        let counts = &steps["download"];
        assert_eq!(pictures, number(&counts["done"]) + number(&counts["already_exists"]), "{context}");
    }
    let files = report["files"].as_array().unwrap();
    let listed: BTreeSet<_> = files.iter().map(|file| file["path"].as_str().unwrap()).collect();
    for file in files.iter().filter(|file| file["path"] != "downloaded_images") {
        let (name, found) = (file["path"].as_str().unwrap(), number(&file["rows"]));
        assert_eq!(number(&file["bytes"]), outputs.join(name).metadata().unwrap().len(), "{context}: {name}");
        let column = if name.ends_with("_dataset.csv") { "seq_id" } else { "id" };
        assert_eq!(found, self::column(outputs, name, column).len() as u64, "{context}: {name}");
    }
    for name in names(outputs).iter().filter(|name| name.contains(".csv")) {
        assert!(listed.contains(name.as_str()), "{context}: {name} is not listed");
    }
}

/// Asserts that every id of a table is either in the next table, or logged as failed or gone.
fn check_ids(context: &str, report: &Value, outputs: &Path) {
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
        let missing = ["failures.csv", "gone.csv"].map(|log| ids_in_log(outputs, log, step));
        let missing: Vec<_> = missing.into_iter().flatten().collect();
        assert!(missing.iter().all(|id| !out.contains(id)), "{context}: {step}: both there and missing");
        let left: BTreeSet<_> = out.into_iter().chain(missing).collect();
        let count = |way: &str| number(&report["steps"][step][way]);
        if count("filtered") + count("over_limit") == 0 {
            assert!(left == entered, "{context}: {step}: {:?}", left.symmetric_difference(&entered));
        }
        // A sequence cut by the limit has some of its images in the table.
        let lost = (entered.len() - left.len()) as u64;
        assert!(
            left.is_subset(&entered) && (step == "images" || lost == count("filtered") + count("over_limit"))
        );
    }
}

/// Selects a third of the requests by URL, so that retries of a request behave the same.
pub(crate) fn is_in_failing_third(request: &RecordedRequest) -> bool {
    let host = if request.host == Host::Tiles { "" } else { &request.query };
    let text = format!("{}{host}", request.path);
    let hash = text.bytes().fold(0xcbf2_9ce4_u32, |hash, b| (hash ^ u32::from(b)).wrapping_mul(0x0100_0193));
    (hash >> 8).is_multiple_of(3)
}

/// Returns a rule for a third of a host's requests, and the counter of affected requests.
pub(crate) fn failing_third(host: Host, fault: Fault, times: u64) -> (Rule, Arc<AtomicU64>) {
    let hits = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&hits);
    let rule = Rule::when(move |request| {
        let hit = request.host == host && is_in_failing_third(request);
        count.fetch_add(u64::from(hit), Ordering::Relaxed);
        hit
    });
    (rule.times(times).fault(fault), hits)
}

/// Returns the sorted paths of requests.
pub(crate) fn paths(requests: &[RecordedRequest]) -> Vec<String> {
    let mut paths: Vec<_> = requests.iter().map(|request| request.path.clone()).collect();
    paths.sort();
    paths
}
