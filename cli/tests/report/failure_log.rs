//! Nothing is lost: every input of a step becomes a row, a gone item, or a logged failure.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
#[cfg(unix)]
use std::process::Stdio;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::StreamExt;
use streetflow_sandbox::{Fault, Host, Rule, Sandbox};

use crate::support::accounting::{
    CRAWL, check, column, failing_third, ids_in_log, number, read, report, run, sandbox,
};
use crate::support::{command_on, eventually};

/// Returns all faults except those with long waits.
fn faults(sandbox: &Sandbox) -> Vec<(&'static str, Fault, u64)> {
    let ids: Vec<_> = sandbox.mock_data().sequences().iter().filter(|sequence| !sequence.is_gone()).collect();
    let ids: Vec<_> = ids.iter().flat_map(|sequence| sequence.images()).map(|image| image.id()).collect();
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
        ("too big", Fault::TooLarge, all),
    ]
}

/// Returns whether a fault can occur on a host. A redirected picture would lead to another machine.
fn occurs(name: &str, host: Host) -> bool {
    match name {
        "missing ids" => host == Host::Graph,
        "redirect" => host != Host::Images,
        _ => true,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn with_every_fault_the_counts_add_up_and_the_next_run_completes() {
    let undisturbed = tempfile::tempdir().unwrap();
    let well = sandbox().await;
    let (exit, stderr) = run(&well, undisturbed.path(), CRAWL).await;
    assert_eq!(exit, 0, "{stderr}");
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
    assert_eq!(exits, BTreeSet::from([0, 1, 3]), "each exit code occurred");
}

/// Crawls with a fault, then without it. Returns the exit code of the first run.
async fn faulty(host: Host, name: &str, fault: Fault, times: u64, undisturbed: &Path) -> i32 {
    let what = &format!("{name} on {host:?}");
    let (sandbox, folder) = (sandbox().await, tempfile::tempdir().unwrap());
    let outputs = folder.path().join("outputs");
    let args = if host == Host::Images { CRAWL.to_owned() } else { format!("{CRAWL} --no-download") };
    let (rule, hits) = failing_third(host, fault, times);
    sandbox.add_rule(rule);
    let (exit, stderr) = run(&sandbox, folder.path(), &args).await;
    assert!(hits.load(Ordering::Relaxed) > 0, "{what}: it never occurred");
    let first = check(what, &sandbox, &outputs, exit);
    assert_eq!(exit == 1, first["outcome"] == "failed", "{what}: {stderr}");
    assert_eq!(exit == 1, first["error"].is_object(), "{what}: {stderr}");
    let hits = |what: &str| {
        first["requests"].as_object().unwrap().values().map(|class| number(&class[what])).sum::<u64>()
    };
    assert_eq!(hits("rate_limited") > 0, name == "429", "{what}: {first:#}");
    assert_eq!(
        hits("blocked") > 0,
        name == "redirect" || name == "html" && host == Host::Tiles,
        "{what}: {first:#}"
    );
    if exit != 3 {
        return exit;
    }
    sandbox.clear_rules();
    sandbox.clear_requests();
    let (exit, stderr) = run(&sandbox, folder.path(), &args).await;
    assert_eq!(exit, 0, "{what}: {stderr}");
    let second = check(what, &sandbox, &outputs, exit);
    assert!(!outputs.join("failures.csv").exists(), "{what}");
    let stored: u64 =
        second["requests"].as_object().unwrap().values().map(|class| number(&class["from_store"])).sum();
    assert!(stored > 0, "{what}: {second:#}");
    // Some wrong responses look valid: an empty tile, a sequence without images, an unknown id.
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
async fn a_batch_that_one_image_fails_loses_at_most_that_image() {
    let (sandbox, folder) = (sandbox().await, tempfile::tempdir().unwrap());
    run(&sandbox, folder.path(), &format!("{CRAWL} --no-download")).await;
    let outputs = folder.path().join("outputs");
    let spoilt = column(&outputs, "img_meta_dataset.csv", "img_id").swap_remove(100);
    sandbox.add_rule(Rule::on(Host::Graph).fault(Fault::BatchFails(spoilt.clone())));
    sandbox.clear_requests();
    let (exit, stderr) = run(&sandbox, folder.path(), "metadata --attempts=1").await;
    assert_eq!(exit, 0, "{stderr}");
    let report = report(&outputs);
    assert_eq!(report["steps"]["metadata"]["failed"], 0);
    assert!(ids_in_log(&outputs, "failures.csv", "metadata").is_empty());
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn a_run_stopped_in_a_long_wait_reports_unprocessed_items() {
    let cases = [Host::Tiles, Host::Graph, Host::Images].into_iter().flat_map(|host| {
        [("stall", Fault::Stall), ("quota", Fault::Quota { per_minute: 3 })].map(|case| (host, case))
    });
    let cases = cases.map(|(host, (name, fault))| async move {
        let what = &format!("{name} on {host:?}");
        let (sandbox, folder) = (sandbox().await, tempfile::tempdir().unwrap());
        sandbox.add_rule(Rule::on(host).skip(2).fault(fault));
        let mut command = command_on(&sandbox, folder.path());
        let child = command.args(CRAWL.split(' ')).stderr(Stdio::piped()).spawn().unwrap();
        eventually("it waits", || sandbox.requests_to(host).len() > 5).await;
        std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
        let ended = tokio::task::spawn_blocking(move || child.wait_with_output().unwrap()).await.unwrap();
        let stderr = String::from_utf8(ended.stderr).unwrap();
        assert_eq!(ended.status.code(), Some(130), "{what}: {stderr}");
        let report = check(what, &sandbox, &folder.path().join("outputs"), 130);
        assert_eq!(report["outcome"], "stopped", "{what}");
        assert!(stderr.contains("not reached"), "{what}: {stderr}");
        let step = match host {
            Host::Tiles => "sequences",
            Host::Graph => "images",
            Host::Images => "download",
        };
        assert!(number(&report["steps"][step]["not_reached"]) > 0, "{what}: {report:#}");
    });
    futures::stream::iter(cases).buffer_unordered(3).collect::<Vec<_>>().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreadable_row_counts_as_input_and_failure_with_its_number() {
    let (sandbox, folder) = (sandbox().await, tempfile::tempdir().unwrap());
    let sequences: Vec<_> =
        sandbox.mock_data().sequences().iter().filter(|sequence| !sequence.is_gone()).collect();
    let rows = format!("seq_id\n{}\n../x\n{}\na b\n", sequences[0].id(), sequences[1].id());
    fs::write(folder.path().join("in.csv"), rows).unwrap();
    let (exit, stderr) = run(&sandbox, folder.path(), "images -i in.csv").await;
    assert_eq!(exit, 3, "{stderr}");
    let outputs = folder.path().join("outputs");
    let counts = &report(&outputs)["steps"]["images"];
    assert_eq!((number(&counts["inputs"]), number(&counts["done"]), number(&counts["failed"])), (4, 2, 2));
    assert_eq!(ids_in_log(&outputs, "failures.csv", "images"), ["in.csv line 3", "in.csv line 5"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_duplicate_id_of_a_table_is_logged_once_with_and_without_quiet() {
    let (sandbox, folder) = (sandbox().await, tempfile::tempdir().unwrap());
    let outputs = folder.path().join("outputs");
    let sequences: Vec<_> =
        sandbox.mock_data().sequences().iter().filter(|sequence| !sequence.is_gone()).collect();
    let (good, bad) = (sequences[0].id(), sequences[1].id());
    fs::write(folder.path().join("in.csv"), format!("seq_id\n{bad}\n{good}\n{bad}\n{bad}\n")).unwrap();
    sandbox.add_rule(Rule::on(Host::Graph).query("sequence_id", bad).fault(Fault::status(500, "")));
    for _ in 0..2 {
        let (exit, stderr) = run(&sandbox, folder.path(), "images -i in.csv --attempts=1 -q").await;
        assert_eq!(exit, 3, "{stderr}");
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
        assert!(stderr.contains("failed: 3") && stderr.contains("`outputs/failures.csv`"), "{stderr}");
        assert_eq!(ids_in_log(&outputs, "failures.csv", "images"), [bad]);
    }
    sandbox.clear_rules();
    let (exit, stderr) = run(&sandbox, folder.path(), "images -i in.csv -q").await;
    assert_eq!((exit, stderr.as_str()), (0, ""));
    assert!(!outputs.join("failures.csv").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_report_describes_the_last_run_that_ended() {
    let sandbox = Sandbox::builder().latency(Duration::from_millis(50)).start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let outputs = folder.path().join("outputs");
    let (exit, _) = run(&sandbox, folder.path(), "sequences --bbox=33.33,35.15,33.39,35.19").await;
    let first = read(&outputs, "report.json");
    assert!(
        exit == 0 && first.contains("\"command\": \"streetflow sequences --bbox=33.33,35.15,33.39,35.19\"")
    );
    run(&sandbox, folder.path(), "images -i none.csv").await;
    assert_eq!(read(&outputs, "report.json"), first, "a usage error writes no report");
    sandbox.clear_requests();
    let mut child = command_on(&sandbox, folder.path()).arg("images").spawn().unwrap();
    eventually("the run is at work", || !sandbox.requests().is_empty()).await;
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!outputs.join("report.json").exists(), "a killed run writes no report");
    fs::write(outputs.join("report.json"), "{\"mine\": 1}\n").unwrap();
    let (exit, stderr) = run(&sandbox, folder.path(), "images").await;
    assert_eq!(exit, 1, "{stderr}");
    assert!(
        stderr.contains("failed to write the report `outputs/report.json`")
            && stderr.contains("not written by streetflow"),
        "{stderr}"
    );
    assert_eq!(read(&outputs, "report.json"), "{\"mine\": 1}\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_run_reports_the_error_and_its_counts() {
    let (sandbox, folder) = (sandbox().await, tempfile::tempdir().unwrap());
    sandbox.add_rule(Rule::on(Host::Tiles).skip(4).fault(Fault::Redirect));
    let (exit, stderr) = run(&sandbox, folder.path(), "sequences --bbox=33.33,35.15,33.39,35.19").await;
    assert_eq!(exit, 1, "{stderr}");
    let report = check("block", &sandbox, &folder.path().join("outputs"), 1);
    assert_eq!(report["outcome"], "failed");
    assert_eq!(report["error"]["kind"], "blocked");
    assert!(report["error"]["chain"].as_array().unwrap().len() > 1, "{report:#}");
    assert!(report["error"]["hint"].as_str().unwrap().contains("about a day"));
    assert!(number(&report["requests"]["tile"]["blocked"]) > 0);
    assert!(stderr.contains(" tiles: ") && stderr.contains(" not reached"), "{stderr}");
    assert!(stderr.find("not reached") < stderr.find("error:"), "the error is the last line: {stderr}");
}
