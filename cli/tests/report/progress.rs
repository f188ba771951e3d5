//! `--progress json`: every line of stderr is a JSON object that matches the run.

use std::time::Duration;

use serde_json::Value;
use streetflow_sandbox::{Fault, Host, Rule, Sandbox};

use crate::support::{command, output, read, run, with};

const NICOSIA: &str = "--bbox=33.33,35.15,33.39,35.19";

fn objects(stderr: &str) -> Vec<Value> {
    stderr
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("no object: {line}")))
        .collect()
}

fn events<'a>(objects: &'a [Value], event: &str) -> Vec<&'a Value> {
    objects.iter().filter(|object| object["event"] == event).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn json_lines_contain_progress_messages_and_the_end() {
    let sandbox = Sandbox::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    sandbox.add_rule(Rule::on(Host::Images).fault(Fault::Delay(Duration::from_millis(600))));
    let list = Rule::when(|request| request.param("sequence_id").is_some());
    sandbox.add_rule(list.times(1).fault(Fault::status(500, "")));
    let args = ["crawl", NICOSIA, "--attempts=1"];
    let (exit, stderr) = run(&sandbox, folder.path(), args.into_iter().chain(["--progress", "json"])).await;
    assert_eq!(exit, 3, "{stderr}");
    assert!(!stderr.contains(Sandbox::TOKEN) && !stderr.contains('\x1b'), "{stderr}");
    let objects = objects(&stderr);
    let progress = events(&objects, "progress");
    assert!(progress.len() >= 2, "at least 300 pictures, 64 at once, 0.6 s each: {stderr}");
    for object in &progress {
        let download = &object["steps"]["download"];
        for name in ["inputs", "done", "per_second", "total", "total_is_final", "seconds_left"] {
            assert!(download.get(name).is_some(), "{name}: {object}");
        }
        assert!(object["requests"]["bytes"]["sent"].is_u64() && object["waits"].is_array(), "{object}");
    }
    let done = |object: &Value| object["steps"]["download"]["done"].as_u64().unwrap();
    assert!(progress.windows(2).all(|pair| done(pair[0]) <= done(pair[1])), "{stderr}");
    let warnings = events(&objects, "warning");
    assert!(
        warnings.iter().any(|warning| warning["text"].as_str().unwrap().contains("sequence")),
        "{stderr}"
    );
    let [end] = events(&objects, "end")[..] else { panic!("one end: {stderr}") };
    assert_eq!(objects.last(), Some(end), "it is the last event");
    assert_eq!(end["exit_code"], 3);
    assert!(end["next"].as_str().unwrap().starts_with("streetflow crawl "), "{end}");
    let report: Value = serde_json::from_str(&read(&folder.path().join("outputs"), "report.json")).unwrap();
    assert_eq!(end["report"], report);
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_are_json_objects_and_quiet_keeps_errors_and_the_end() {
    let sandbox = Sandbox::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let json = ["--progress", "json"];
    let (exit, stderr) = run(&sandbox, folder.path(), ["images"].into_iter().chain(json)).await;
    assert_eq!(exit, 2, "{stderr}");
    let [error, end] = &objects(&stderr)[..] else { panic!("an error and the end: {stderr}") };
    assert!(error["event"] == "error" && error["kind"] == "usage" && error["hint"].is_string(), "{error}");
    assert!(end["exit_code"] == 2 && end["report"].is_null(), "{end}");

    let args = ["sequences", NICOSIA, "-q"].into_iter().chain(json);
    let (exit, stderr) = run(&sandbox, folder.path(), args).await;
    assert_eq!(exit, 0, "{stderr}");
    let [end] = &objects(&stderr)[..] else { panic!("the end alone: {stderr}") };
    assert_eq!(end["next"], "streetflow images");

    let convert = ["convert", "nothing.csv", "out.csv"].into_iter().chain(json);
    let (exit, stderr) = output(with(command(folder.path()), convert)).await;
    let [error, end] = &objects(&stderr)[..] else { panic!("an error and the end: {stderr}") };
    assert_eq!((exit, &error["event"], &end["exit_code"]), (2, &"error".into(), &2.into()), "{stderr}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_summary_lists_files_with_sizes_and_the_next_command() {
    let sandbox = Sandbox::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let output = "--output=my files";
    let mut last = Vec::new();
    for args in [&["sequences", NICOSIA][..], &["images"], &["metadata", "--fields=thumb_1024_url"]] {
        let (exit, stderr) = run(&sandbox, folder.path(), args.iter().copied().chain([output])).await;
        assert_eq!(exit, 0, "{stderr}");
        last.push(stderr.lines().last().unwrap().to_owned());
        assert!(stderr.contains("requests") && stderr.contains("written to `my files`:"), "{stderr}");
        let table = stderr.lines().find(|line| line.contains("dataset.csv")).unwrap();
        assert!(table.contains(" rows ") && table.ends_with('B'), "{table}");
    }
    assert_eq!(
        last,
        [
            "next: streetflow images --output 'my files'",
            "next: streetflow metadata --output 'my files'",
            "next: streetflow download --quality 1024 --output 'my files'",
        ]
    );
    // The printed command works.
    let next = ["download", "--quality", "1024", "--output", "my files"];
    let (exit, stderr) = run(&sandbox, folder.path(), next).await;
    assert_eq!(exit, 0, "{stderr}");
    assert!(
        stderr.lines().any(|line| line.contains("downloaded_images/") && line.contains("pictures")),
        "{stderr}"
    );
    assert!(!stderr.contains("next:"), "{stderr}");
}
