//! Good tables are not lost to a mistyped query.

use std::fs;
use std::path::Path;

use streetflow_sandbox::{Fault, Host, Rule, Sandbox};

use crate::support::accounting::run;
use crate::support::{command_on, eventually, names, read};

const HERE: &str = "--bbox=33.33,35.15,33.39,35.19";
const THERE: &str = "--bbox=32.40,35.02,32.44,35.05";
const SEA: &str = "--bbox=-30.2,-20.1,-30.1,-20";
const TABLES: [&str; 3] = ["seq_dataset.csv", "img_dataset.csv", "img_meta_dataset.csv"];

fn crawl(area: &str) -> String {
    format!("crawl {area} --no-download --fields=captured_at")
}

fn tables(folder: &Path) -> [String; 3] {
    TABLES.map(|name| read(&folder.join("outputs"), name))
}

#[tokio::test(flavor = "multi_thread")]
async fn another_query_replaces_tables_only_where_that_is_agreed_to() {
    let sandbox = Sandbox::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let go = async |words: &str| run(&sandbox, folder.path(), words).await;
    let (exit, said) = go(&crawl(HERE)).await;
    assert_eq!(exit, 0, "{said}");
    let (before, there) = (tables(folder.path()), names(&folder.path().join("outputs")));
    let words = [
        crawl(SEA),
        crawl(THERE),
        crawl(&format!("{HERE} --org-id=803468386961584")),
        crawl(&format!("{HERE} --from=2020-01-01")),
        crawl(&format!("{HERE} --clip")),
        crawl("--sequences=abc"),
        format!("sequences {SEA}"),
        "images -i copy.csv".to_owned(),
    ];
    fs::copy(folder.path().join("outputs/seq_dataset.csv"), folder.path().join("copy.csv")).unwrap();
    for words in words {
        sandbox.clear_requests();
        let (exit, said) = go(&words).await;
        assert_eq!(exit, 2, "{words}: {said}");
        assert!(
            said.contains("another query") && said.contains("33.33,35.15,33.39,35.19"),
            "{words}: {said}"
        );
        assert!(said.contains("`--yes`") && said.contains("`--output`"), "{words}: {said}");
        assert!(sandbox.requests().is_empty(), "{words}");
        assert!(tables(folder.path()) == before && names(&folder.path().join("outputs")) == there, "{words}");
    }
    // Without a filter that was there, nothing is lost.
    let (exit, said) = go(&format!("{} --limit=5 -o few", crawl(HERE))).await;
    assert_eq!(exit, 0, "{said}");
    let (exit, said) = go(&format!("{} -o few", crawl(HERE))).await;
    assert_eq!(exit, 0, "{said}");
    // The same area again, whatever is asked of it and in which format, and the steps one by one, need no word.
    for words in [
        crawl(HERE),
        format!("crawl {HERE} --no-download --fields=captured_at,width"),
        format!("sequences {HERE}"),
        "images".to_owned(),
        "images -i outputs/seq_dataset.csv".to_owned(),
        "metadata --fields=captured_at".to_owned(),
        crawl(HERE),
    ] {
        let (exit, said) = go(&words).await;
        assert_eq!(exit, 0, "{words}: {said}");
    }
    assert!(tables(folder.path()) == before);
    let (exit, said) = go(&format!("{} -o elsewhere", crawl(THERE))).await;
    assert_eq!(exit, 0, "{said}");
    let (exit, said) = go(&format!("{} --yes", crawl(THERE))).await;
    assert!(exit == 0 && said.contains("are replaced"), "{said}");
    assert!(tables(folder.path()) != before);
    // And what is there now is the new one.
    let (exit, said) = go(&crawl(HERE)).await;
    assert!(exit == 2 && said.contains("32.4"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_finds_nothing_leaves_tables_with_rows() {
    let sandbox = Sandbox::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let go = async |words: &str| run(&sandbox, folder.path(), words).await;
    let (exit, said) = go(&crawl(HERE)).await;
    assert_eq!(exit, 0, "{said}");
    let before = tables(folder.path());
    let filtered = format!("{} --yes --from=2030-01-01", crawl(HERE));
    for words in
        [format!("{} --yes", crawl(SEA)), format!("{} --yes --format=csv,geojson", crawl(SEA)), filtered]
    {
        let (exit, said) = go(&words).await;
        assert_eq!(exit, 1, "{said}");
        assert!(said.contains("nothing was found") && said.contains("longitude comes first"), "{said}");
        assert!(tables(folder.path()) == before, "{said}");
    }
    assert!(!folder.path().join("outputs/.streetflow").exists(), "there is nothing to go on from");
    // Of tables of which nobody knows whence they are, too.
    fs::remove_file(folder.path().join("outputs/report.json")).unwrap();
    let (exit, said) = go(&crawl(SEA)).await;
    assert!(exit == 1 && said.contains("nothing was found"), "{said}");
    assert!(tables(folder.path()) == before);
    fs::write(folder.path().join("none.csv"), "seq_id\n").unwrap();
    let (exit, said) = go("images -i none.csv").await;
    assert!(exit == 1 && said.contains("nothing was found"), "{said}");
    assert!(tables(folder.path()) == before);
    // Where nothing is to be lost, nothing is a result.
    let (exit, said) = go(&format!("{} -o empty", crawl(SEA))).await;
    assert_eq!(exit, 0, "{said}");
    assert_eq!(read(&folder.path().join("empty"), "img_dataset.csv").lines().count(), 1);
    let (exit, said) = go(&format!("{} -o empty", crawl(HERE))).await;
    assert_eq!(exit, 0, "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_run_and_a_download_do_not_forget_whose_the_tables_are() {
    let sandbox = Sandbox::builder().picture_bytes(900).start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let words = format!("crawl {HERE} --no-download");
    let (exit, said) = run(&sandbox, folder.path(), &words).await;
    assert_eq!(exit, 0, "{said}");
    let (exit, said) = run(&sandbox, folder.path(), "download").await;
    assert_eq!(exit, 0, "{said}");
    let refused = async || {
        let (exit, said) = run(&sandbox, folder.path(), &crawl(SEA)).await;
        assert!(exit == 2 && said.contains("another query"), "{exit} {said}");
    };
    refused().await;
    sandbox.script(Rule::on(Host::Graph).skip(1).fault(Fault::Stall));
    sandbox.clear_requests();
    let mut command = command_on(&sandbox, folder.path());
    let mut child = command.args(words.split(' ')).arg("-q").spawn().unwrap();
    eventually("it has begun", || !sandbox.requests_to(Host::Graph).is_empty()).await;
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!folder.path().join("outputs/report.json").exists());
    refused().await;
}
