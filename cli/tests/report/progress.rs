//! `--progress json`: every line of stderr is an object, and they agree with what the run did.

use std::time::Duration;

use serde_json::Value;
use streetflow_sandbox::{Fault, Host, Rule, Sandbox};

use crate::support::{command, output, read, run, with};

const NICOSIA: &str = "--bbox=33.33,35.15,33.39,35.19";

fn objects(said: &str) -> Vec<Value> {
    said.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("no object: {line}")))
        .collect()
}

fn of<'a>(objects: &'a [Value], event: &str) -> Vec<&'a Value> {
    objects.iter().filter(|object| object["event"] == event).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_sees_progress_what_is_said_and_the_end() {
    let sandbox = Sandbox::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    sandbox.script(Rule::on(Host::Images).fault(Fault::Delay(Duration::from_millis(300))));
    let list = Rule::when(|asked| asked.param("sequence_id").is_some());
    sandbox.script(list.times(1).fault(Fault::status(500, "")));
    let words = ["crawl", NICOSIA, "--attempts=1"];
    let (exit, said) = run(&sandbox, folder.path(), words.into_iter().chain(["--progress", "json"])).await;
    assert_eq!(exit, 3, "{said}");
    assert!(!said.contains(Sandbox::TOKEN) && !said.contains('\x1b'), "{said}");
    let objects = objects(&said);
    let progress = of(&objects, "progress");
    assert!(progress.len() >= 2, "600 pictures, 64 at once, 0.3 s each: {said}");
    for object in &progress {
        let download = &object["steps"]["download"];
        for name in ["inputs", "done", "per_second", "total", "total_is_final", "seconds_left"] {
            assert!(download.get(name).is_some(), "{name}: {object}");
        }
        assert!(object["requests"]["bytes"]["sent"].is_u64() && object["waits"].is_array(), "{object}");
    }
    let done = |object: &Value| object["steps"]["download"]["done"].as_u64().unwrap();
    assert!(progress.windows(2).all(|pair| done(pair[0]) <= done(pair[1])), "{said}");
    let warnings = of(&objects, "warning");
    assert!(warnings.iter().any(|warning| warning["text"].as_str().unwrap().contains("sequence")), "{said}");
    let [end] = of(&objects, "end")[..] else { panic!("one end: {said}") };
    assert_eq!(objects.last(), Some(end), "it comes last");
    assert_eq!(end["exit_code"], 3);
    assert!(end["next"].as_str().unwrap().starts_with("streetflow crawl "), "{end}");
    let report: Value = serde_json::from_str(&read(&folder.path().join("outputs"), "report.json")).unwrap();
    assert_eq!(end["report"], report);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_is_an_object_too_and_quiet_leaves_errors_and_the_end() {
    let sandbox = Sandbox::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let json = ["--progress", "json"];
    let (exit, said) = run(&sandbox, folder.path(), ["images"].into_iter().chain(json)).await;
    assert_eq!(exit, 2, "{said}");
    let [error, end] = &objects(&said)[..] else { panic!("an error and the end: {said}") };
    assert!(error["event"] == "error" && error["kind"] == "usage" && error["hint"].is_string(), "{error}");
    assert!(end["exit_code"] == 2 && end["report"].is_null(), "{end}");

    let words = ["sequences", NICOSIA, "-q"].into_iter().chain(json);
    let (exit, said) = run(&sandbox, folder.path(), words).await;
    assert_eq!(exit, 0, "{said}");
    let [end] = &objects(&said)[..] else { panic!("the end alone: {said}") };
    assert_eq!(end["next"], "streetflow images");

    let convert = ["convert", "nothing.csv", "out.csv"].into_iter().chain(json);
    let (exit, said) = output(with(command(folder.path()), convert)).await;
    let [error, end] = &objects(&said)[..] else { panic!("an error and the end: {said}") };
    assert_eq!((exit, &error["event"], &end["exit_code"]), (2, &"error".into(), &2.into()), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_lines_name_files_with_sizes_and_the_next_command() {
    let sandbox = Sandbox::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let output = "--output=my files";
    let mut last = Vec::new();
    for words in [&["sequences", NICOSIA][..], &["images"], &["metadata", "--fields=thumb_1024_url"]] {
        let (exit, said) = run(&sandbox, folder.path(), words.iter().copied().chain([output])).await;
        assert_eq!(exit, 0, "{said}");
        last.push(said.lines().last().unwrap().to_owned());
        assert!(said.contains("requests") && said.contains("written to `my files`:"), "{said}");
        let table = said.lines().find(|line| line.contains("dataset.csv")).unwrap();
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
    // What is said is what works.
    let next = ["download", "--quality", "1024", "--output", "my files"];
    let (exit, said) = run(&sandbox, folder.path(), next).await;
    assert_eq!(exit, 0, "{said}");
    assert!(
        said.lines().any(|line| line.contains("downloaded_images/") && line.contains("pictures")),
        "{said}"
    );
    assert!(!said.contains("next:"), "{said}");
}
