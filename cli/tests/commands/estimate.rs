//! `crawl --estimate`: what it counts is what the crawl finds, and it asks for tiles alone.

use std::path::Path;

use streetflow_sandbox::{Fault, Host, Rule, Sandbox};

use crate::support::{command, command_on, names, read, run, with};

const NICOSIA: &str = "--bbox=33.33,35.15,33.39,35.19";

/// Exit code, what is printed, and what is said.
async fn estimated<'a>(
    sandbox: &Sandbox,
    folder: &Path,
    args: impl IntoIterator<Item = &'a str>,
) -> (i32, String, String) {
    let mut command = with(command_on(sandbox, folder), ["crawl", "--estimate"].into_iter().chain(args));
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let [out, err] = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    (output.status.code().unwrap_or(-1), out, err)
}

/// The number behind a name.
fn number(text: &str, name: &str) -> u64 {
    let line = text
        .lines()
        .find(|line| line.contains(&format!("{name}  ")))
        .unwrap_or_else(|| panic!("{name}: {text}"));
    let value = line.split(name).nth(1).unwrap().split_whitespace().next().unwrap();
    value.replace(',', "").parse().unwrap_or_else(|_| panic!("{name}: {line}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_estimate_counts_what_the_crawl_finds_and_leaves_nothing() {
    let sandbox = Sandbox::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    for area in ["--bbox=32.19,34.52,34.18,35.49", NICOSIA] {
        let (exit, text, said) = estimated(&sandbox, folder.path(), [area]).await;
        assert_eq!((exit, names(folder.path())), (0, Vec::new()), "{said}");
        assert!(sandbox.requests().iter().all(|asked| asked.host == Host::Tiles), "tiles alone");
        assert_eq!(number(&text, "tiles"), sandbox.requests().len() as u64, "{text}");
        let crawled = tempfile::tempdir().unwrap();
        let (exit, said) = run(&sandbox, crawled.path(), ["crawl", area, "--no-download"]).await;
        assert_eq!(exit, 0, "{said}");
        let rows = |table: &str| read(&crawled.path().join("outputs"), table).lines().count() as u64 - 1;
        let (sequences, images) = (rows("seq_dataset.csv"), rows("img_dataset.csv"));
        assert_eq!(number(&text, "sequences"), sequences, "{text}");
        let estimated = number(&text, "images");
        // Tiles show a sequence that is gone, and one that leaves the small box goes on in tiles that nobody reads.
        let least = if area == NICOSIA { images / 3 } else { images };
        assert!((least..=images + 20).contains(&estimated), "{estimated} of {images}: {text}");
        for words in ["50,000 a day", "10,000 a minute", "60,000 images a minute", "a guess", "free"] {
            assert!(text.contains(words), "{words}: {text}");
        }
        sandbox.clear_requests();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_gets_an_estimate_as_an_object() {
    let sandbox = Sandbox::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (exit, text, said) = estimated(&sandbox, folder.path(), [NICOSIA, "--progress=json"]).await;
    assert_eq!((exit, &*text), (0, ""), "{said}");
    let objects: Vec<serde_json::Value> =
        said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let [.., estimate, end] = &objects[..] else { panic!("an estimate and the end: {said}") };
    assert_eq!(
        (&estimate["event"], &end["event"], &end["exit_code"]),
        (&"estimate".into(), &"end".into(), &0.into())
    );
    let (_, text, _) = estimated(&sandbox, folder.path(), [NICOSIA]).await;
    for name in ["sequences", "images"] {
        assert_eq!(estimate[name], number(&text, name), "{text}");
    }
    assert_eq!(estimate["requests"]["bytes"], estimate["images"]);
    assert_eq!(estimate["images_are_estimated"], false);
    assert!(estimate["table_bytes"].is_u64() && estimate["picture_bytes"]["256"].is_array(), "{estimate}");
    assert_eq!(estimate["needs_confirmation"], false);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_estimate_says_what_it_leaves_open() {
    let sandbox = Sandbox::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let of = async |args: &[&'static str]| {
        let (exit, text, said) = estimated(&sandbox, folder.path(), args.iter().copied()).await;
        assert_eq!(exit, 0, "{args:?}: {said}");
        text
    };
    let limited = of(&[NICOSIA, "--limit=10"]).await;
    assert_eq!((number(&limited, "images"), number(&limited, "metadata")), (10, 1), "{limited}");
    let tables = of(&[NICOSIA, "--no-download"]).await;
    assert!(!tables.contains("pictures"), "{tables}");
    assert!(of(&[NICOSIA, "--every=50"]).await.contains("pictures will be fewer"));
    assert!(of(&[NICOSIA, "--clip"]).await.contains("outside the area"));
    assert!(of(&[NICOSIA, "--max-zoom=13"]).await.contains("a guess: tiles below level 14"));
    let nothing = of(&["--bbox=-30.2,-20.1,-30.1,-20"]).await;
    assert_eq!(number(&nothing, "images"), 0, "{nothing}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_estimate_cannot_do_is_told() {
    let sandbox = Sandbox::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    for (args, words) in [
        (&["--user=maria"][..], "say an area too"),
        (&["--images=1,2", NICOSIA], "cannot be used with"),
        (&["--from=2025-01-02", "--to=2025-01-01", NICOSIA], "`--from` must not be after"),
    ] {
        let (exit, text, said) = estimated(&sandbox, folder.path(), args.iter().copied()).await;
        assert_eq!((exit, &*text), (2, ""), "{args:?}: {said}");
        assert!(said.contains(words), "{said}");
    }
    sandbox.script(Rule::when(|asked| asked.path.contains("/14/")).fault(Fault::status(500, "")));
    let (exit, text, said) = estimated(&sandbox, folder.path(), [NICOSIA, "--attempts=1"]).await;
    assert_eq!(exit, 3, "{said}");
    assert!(text.contains("tiles failed: it will be more than this"), "{text}");
    sandbox.clear_script();
    sandbox.script(Rule::on(Host::Tiles).fault(Fault::Redirect));
    let (exit, text, said) = estimated(&sandbox, folder.path(), [NICOSIA]).await;
    assert_eq!((exit, &*text), (1, ""), "{said}");
    assert!(said.contains("block"), "{said}");
    assert!(names(folder.path()).is_empty());
    let without = with(command(folder.path()), ["crawl", "--estimate", NICOSIA]).output().unwrap();
    assert_eq!(without.status.code(), Some(2));
}
