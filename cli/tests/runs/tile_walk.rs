//! The flags of the walk over tiles, what the summary says of it, and its progress.

use serde_json::Value;
use streetflow_sandbox::{Host, MockData, Sandbox};

use crate::support::accounting::{check, column, run};
use crate::support::{command_on, output, with};

const BOX: &str = "sequences --bbox=32.19,34.52,34.18,35.49 --tile-rate=1000000";

/// What was said, how many sequences were found, and how many tiles were requested.
async fn walked(sandbox: &Sandbox, flags: &str) -> (String, usize, usize) {
    let folder = tempfile::tempdir().unwrap();
    sandbox.clear_requests();
    let (exit, said) = run(sandbox, folder.path(), format!("{BOX} {flags}").trim()).await;
    assert_eq!(exit, 0, "{flags}: {said}");
    let outputs = folder.path().join("outputs");
    check(flags, sandbox, &outputs, exit);
    let found = column(&outputs, "seq_dataset.csv", "seq_id").len();
    (said, found, sandbox.requests_to(Host::Tiles).len())
}

#[tokio::test(flavor = "multi_thread")]
async fn each_way_to_read_tiles_says_what_it_may_miss() {
    let sandbox = Sandbox::start().await.unwrap();
    let (said, found, tiles) = walked(&sandbox, "").await;
    // Four units of level 10 at 34.52 degrees.
    let stated = "all sequences with a line longer than 32 m in the area were found";
    assert!(said.contains(stated) && said.contains("`--thorough` finds more"), "{said}");
    assert!(said.contains("`--exhaustive`") && (found, tiles) == (89, 89), "{found} with {tiles}: {said}");
    let (said, found, tiles) = walked(&sandbox, "--thorough").await;
    assert!(said.contains("`--exhaustive`") && !said.contains("`--thorough`"), "{said}");
    assert_eq!((found, tiles), (89, 292));
    let (said, found, tiles) = walked(&sandbox, "--lines-only").await;
    assert!(said.contains("lines only: ") && said.contains(stated), "{said}");
    assert!(found == 85 && tiles <= 40, "{found} with {tiles}");
    let small = "sequences --bbox=33.355,35.165,33.375,35.180";
    for flags in [small.to_owned(), format!("{small} --exhaustive")] {
        let folder = tempfile::tempdir().unwrap();
        let (_, said) = run(&sandbox, folder.path(), &flags).await;
        assert!(!said.contains("were found;"), "nothing is missing: {said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ways_exclude_each_other() {
    let sandbox = Sandbox::start().await.unwrap();
    for flags in ["--lines-only --thorough", "--thorough --exhaustive", "--lines-only --exhaustive"] {
        let folder = tempfile::tempdir().unwrap();
        let (exit, said) = run(&sandbox, folder.path(), &format!("{BOX} {flags}")).await;
        assert!(exit == 2 && said.contains("cannot be used with"), "{flags}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn progress_has_an_end() {
    let sandbox = Sandbox::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    // 20 at once, then 15 a second: some 5 seconds in all.
    let words = [
        "crawl",
        "--bbox=32.19,34.52,34.18,35.49",
        "--org-id",
        MockData::ORGANIZATION,
        "--no-download",
        "--tile-rate=900",
        "--progress=json",
    ];
    let (exit, said) = output(with(command_on(&sandbox, folder.path()), words)).await;
    assert_eq!(exit, 0, "{said}");
    let objects: Vec<Value> = said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let plan =
        objects.iter().find_map(|object| object["text"].as_str().filter(|text| text.contains("tiles")));
    let plan = plan.unwrap();
    assert!(plan.starts_with("about 37 to ") && plan.ends_with(" at 900 per minute"), "{plan}");
    let progress: Vec<_> = objects.iter().filter(|object| object["event"] == "progress").collect();
    assert!(progress.len() >= 3, "{said}");
    let end = progress.last().unwrap()["seconds"].as_f64().unwrap();
    let mut share = 0.0;
    for object in progress {
        let walk = &object["walk"];
        let Some(now) = walk["share"].as_f64() else { continue };
        assert!(now >= share, "it never moves backwards: {said}");
        share = now;
        let (seconds, left) = (object["seconds"].as_f64().unwrap(), walk["seconds_left"].as_f64().unwrap());
        assert_eq!(walk["seconds_left"], object["steps"]["sequences"]["seconds_left"]);
        // The run may go on for a second after the last object.
        let real = end - seconds;
        let is_close = left <= real * 2.0 + 1.5 && real <= left * 2.0 + 1.5;
        assert!(share < 0.34 || is_close, "{left} s left at {seconds} of {end} s: {said}");
        assert!(share < 0.34 || object["seconds_left"].is_f64(), "{object}");
    }
    assert!(share > 0.6, "{share}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_estimate_from_lines_alone_has_a_range_of_images() {
    let sandbox = Sandbox::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let words = ["crawl", "--estimate", "--lines-only", "--bbox=32.19,34.52,34.18,35.49"];
    let mut command = with(command_on(&sandbox, folder.path()), words);
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}");
    assert!(text.contains("4,250 to 34,000"), "50 to 400 images for each of 85 sequences: {text}");
    assert!(sandbox.requests_to(Host::Tiles).len() <= 40);
}
