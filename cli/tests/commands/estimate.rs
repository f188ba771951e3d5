//! `crawl --estimate`: its counts match the crawl, and it requests only tiles.

use std::path::Path;

use streetflow_sandbox::{Fault, Host, Rule, Sandbox};

use crate::support::{command, command_on, names, read, run, with};

const NICOSIA: &str = "--bbox=33.33,35.15,33.39,35.19";

/// Returns exit code, stdout and stderr.
async fn run_estimate<'a>(
    sandbox: &Sandbox,
    folder: &Path,
    args: impl IntoIterator<Item = &'a str>,
) -> (i32, String, String) {
    let mut command = with(command_on(sandbox, folder), ["crawl", "--estimate"].into_iter().chain(args));
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let [out, err] = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    (output.status.code().unwrap_or(-1), out, err)
}

/// Returns the number after a name.
fn number(text: &str, name: &str) -> u64 {
    let line = text
        .lines()
        .find(|line| line.contains(&format!("{name}  ")))
        .unwrap_or_else(|| panic!("{name}: {text}"));
    let value = line.split(name).nth(1).unwrap().split_whitespace().next().unwrap();
    value.replace(',', "").parse().unwrap_or_else(|_| panic!("{name}: {line}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_estimate_matches_the_crawl_and_leaves_no_files() {
    let sandbox = Sandbox::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    for area in ["--bbox=32.19,34.52,34.18,35.49", NICOSIA] {
        let (exit, text, stderr) = run_estimate(&sandbox, folder.path(), [area]).await;
        assert_eq!((exit, names(folder.path())), (0, Vec::new()), "{stderr}");
        assert!(sandbox.requests().iter().all(|request| request.host == Host::Tiles), "only tiles");
        assert_eq!(number(&text, "tiles"), sandbox.requests().len() as u64, "{text}");
        let crawled = tempfile::tempdir().unwrap();
        let (exit, stderr) = run(&sandbox, crawled.path(), ["crawl", area, "--no-download"]).await;
        assert_eq!(exit, 0, "{stderr}");
        let rows = |table: &str| read(&crawled.path().join("outputs"), table).lines().count() as u64 - 1;
        let (sequences, images) = (rows("seq_dataset.csv"), rows("img_dataset.csv"));
        assert_eq!(number(&text, "sequences"), sequences, "{text}");
        let run_estimate = number(&text, "images");
        // Tiles contain a deleted sequence, and a sequence that leaves the small box continues in tiles that are not read.
        let least = if area == NICOSIA { images / 3 } else { images };
        assert!((least..=images + 20).contains(&run_estimate), "{run_estimate} of {images}: {text}");
        for words in ["50,000 per day", "10,000 per minute", "60,000 images per minute", "a guess", "free"] {
            assert!(text.contains(words), "{words}: {text}");
        }
        sandbox.clear_requests();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_estimate_can_be_json() {
    let sandbox = Sandbox::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (exit, text, stderr) = run_estimate(&sandbox, folder.path(), [NICOSIA, "--progress=json"]).await;
    assert_eq!((exit, &*text), (0, ""), "{stderr}");
    let objects: Vec<serde_json::Value> =
        stderr.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let [.., estimate, end] = &objects[..] else { panic!("an estimate and the end: {stderr}") };
    assert_eq!(
        (&estimate["event"], &end["event"], &end["exit_code"]),
        (&"estimate".into(), &"end".into(), &0.into())
    );
    let (_, text, _) = run_estimate(&sandbox, folder.path(), [NICOSIA]).await;
    for name in ["sequences", "images"] {
        assert_eq!(estimate[name], number(&text, name), "{text}");
    }
    assert_eq!(estimate["requests"]["bytes"], estimate["images"]);
    assert_eq!(estimate["images_are_estimated"], false);
    assert!(estimate["table_bytes"].is_u64() && estimate["picture_bytes"]["256"].is_array(), "{estimate}");
    assert_eq!(estimate["needs_confirmation"], false);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_estimate_states_what_it_cannot_know() {
    let sandbox = Sandbox::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let of = async |args: &[&'static str]| {
        let (exit, text, stderr) = run_estimate(&sandbox, folder.path(), args.iter().copied()).await;
        assert_eq!(exit, 0, "{args:?}: {stderr}");
        text
    };
    let limited = of(&[NICOSIA, "--limit=10"]).await;
    assert_eq!((number(&limited, "images"), number(&limited, "metadata")), (10, 1), "{limited}");
    let tables = of(&[NICOSIA, "--no-download"]).await;
    assert!(!tables.contains("pictures"), "{tables}");
    assert!(of(&[NICOSIA, "--every=50"]).await.contains("there will be fewer pictures"));
    assert!(of(&[NICOSIA, "--clip"]).await.contains("outside the area"));
    assert!(of(&[NICOSIA, "--max-zoom=13"]).await.contains("a guess: tiles below level 14"));
    let nothing = of(&["--bbox=-30.2,-20.1,-30.1,-20"]).await;
    assert_eq!(number(&nothing, "images"), 0, "{nothing}");
}

#[tokio::test(flavor = "multi_thread")]
async fn unsupported_flags_of_an_estimate_are_rejected() {
    let sandbox = Sandbox::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    for (args, words) in [
        (&["--user=maria"][..], "add an area"),
        (&["--images=1,2", NICOSIA], "cannot be used with"),
        (&["--from=2025-01-02", "--to=2025-01-01", NICOSIA], "`--from` must not be after"),
    ] {
        let (exit, text, stderr) = run_estimate(&sandbox, folder.path(), args.iter().copied()).await;
        assert_eq!((exit, &*text), (2, ""), "{args:?}: {stderr}");
        assert!(stderr.contains(words), "{stderr}");
    }
    sandbox.add_rule(Rule::when(|request| request.path.contains("/14/")).fault(Fault::status(500, "")));
    let (exit, text, stderr) = run_estimate(&sandbox, folder.path(), [NICOSIA, "--attempts=1"]).await;
    assert_eq!(exit, 3, "{stderr}");
    assert!(text.contains("tiles failed, so the crawl is larger"), "{text}");
    sandbox.clear_rules();
    sandbox.add_rule(Rule::on(Host::Tiles).fault(Fault::Redirect));
    let (exit, text, stderr) = run_estimate(&sandbox, folder.path(), [NICOSIA]).await;
    assert_eq!((exit, &*text), (1, ""), "{stderr}");
    assert!(stderr.contains("block"), "{stderr}");
    assert!(names(folder.path()).is_empty());
    let without = with(command(folder.path()), ["crawl", "--estimate", NICOSIA]).output().unwrap();
    assert_eq!(without.status.code(), Some(2));
}
