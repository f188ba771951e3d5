//! A mistyped query does not replace good tables.

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
async fn another_query_replaces_tables_only_after_confirmation() {
    let sandbox = Sandbox::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let go = async |args: &str| run(&sandbox, folder.path(), args).await;
    let (exit, stderr) = go(&crawl(HERE)).await;
    assert_eq!(exit, 0, "{stderr}");
    let (before, existing) = (tables(folder.path()), names(&folder.path().join("outputs")));
    let args = [
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
    for args in args {
        sandbox.clear_requests();
        let (exit, stderr) = go(&args).await;
        assert_eq!(exit, 2, "{args}: {stderr}");
        assert!(
            stderr.contains("another query") && stderr.contains("33.33,35.15,33.39,35.19"),
            "{args}: {stderr}"
        );
        assert!(stderr.contains("`--yes`") && stderr.contains("`--output`"), "{args}: {stderr}");
        assert!(sandbox.requests().is_empty(), "{args}");
        assert!(
            tables(folder.path()) == before && names(&folder.path().join("outputs")) == existing,
            "{args}"
        );
    }
    // Removing a filter loses nothing.
    let (exit, stderr) = go(&format!("{} --limit=5 -o few", crawl(HERE))).await;
    assert_eq!(exit, 0, "{stderr}");
    let (exit, stderr) = go(&format!("{} -o few", crawl(HERE))).await;
    assert_eq!(exit, 0, "{stderr}");
    // The same area with other fields or formats, or in single steps, needs no confirmation.
    for args in [
        crawl(HERE),
        format!("crawl {HERE} --no-download --fields=captured_at,width"),
        format!("sequences {HERE}"),
        "images".to_owned(),
        "images -i outputs/seq_dataset.csv".to_owned(),
        "metadata --fields=captured_at".to_owned(),
        crawl(HERE),
    ] {
        let (exit, stderr) = go(&args).await;
        assert_eq!(exit, 0, "{args}: {stderr}");
    }
    assert!(tables(folder.path()) == before);
    let (exit, stderr) = go(&format!("{} -o elsewhere", crawl(THERE))).await;
    assert_eq!(exit, 0, "{stderr}");
    let (exit, stderr) = go(&format!("{} --yes", crawl(THERE))).await;
    assert!(exit == 0 && stderr.contains("are replaced"), "{stderr}");
    assert!(tables(folder.path()) != before);
    // The tables are those of the new query.
    let (exit, stderr) = go(&crawl(HERE)).await;
    assert!(exit == 2 && stderr.contains("32.4"), "{stderr}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_without_results_keeps_tables_with_rows() {
    let sandbox = Sandbox::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let go = async |args: &str| run(&sandbox, folder.path(), args).await;
    let (exit, stderr) = go(&crawl(HERE)).await;
    assert_eq!(exit, 0, "{stderr}");
    let before = tables(folder.path());
    let filtered = format!("{} --yes --from=2030-01-01", crawl(HERE));
    for args in
        [format!("{} --yes", crawl(SEA)), format!("{} --yes --format=csv,geojson", crawl(SEA)), filtered]
    {
        let (exit, stderr) = go(&args).await;
        assert_eq!(exit, 1, "{stderr}");
        assert!(
            stderr.contains("no records were found") && stderr.contains("longitude comes first"),
            "{stderr}"
        );
        assert!(tables(folder.path()) == before, "{stderr}");
    }
    assert!(!folder.path().join("outputs/.streetflow").exists(), "there is no state to resume from");
    // Also with tables of unknown origin.
    fs::remove_file(folder.path().join("outputs/report.json")).unwrap();
    let (exit, stderr) = go(&crawl(SEA)).await;
    assert!(exit == 1 && stderr.contains("no records were found"), "{stderr}");
    assert!(tables(folder.path()) == before);
    fs::write(folder.path().join("none.csv"), "seq_id\n").unwrap();
    let (exit, stderr) = go("images -i none.csv").await;
    assert!(exit == 1 && stderr.contains("no records were found"), "{stderr}");
    assert!(tables(folder.path()) == before);
    // Without existing rows, an empty result is written.
    let (exit, stderr) = go(&format!("{} -o empty", crawl(SEA))).await;
    assert_eq!(exit, 0, "{stderr}");
    assert_eq!(read(&folder.path().join("empty"), "img_dataset.csv").lines().count(), 1);
    let (exit, stderr) = go(&format!("{} -o empty", crawl(HERE))).await;
    assert_eq!(exit, 0, "{stderr}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_run_and_a_download_keep_the_query_of_the_tables() {
    let sandbox = Sandbox::builder().picture_bytes(900).start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let args = format!("crawl {HERE} --no-download");
    let (exit, stderr) = run(&sandbox, folder.path(), &args).await;
    assert_eq!(exit, 0, "{stderr}");
    let (exit, stderr) = run(&sandbox, folder.path(), "download").await;
    assert_eq!(exit, 0, "{stderr}");
    let refused = async || {
        let (exit, stderr) = run(&sandbox, folder.path(), &crawl(SEA)).await;
        assert!(exit == 2 && stderr.contains("another query"), "{exit} {stderr}");
    };
    refused().await;
    sandbox.add_rule(Rule::on(Host::Graph).skip(1).fault(Fault::Stall));
    sandbox.clear_requests();
    let mut command = command_on(&sandbox, folder.path());
    let mut child = command.args(args.split(' ')).arg("-q").spawn().unwrap();
    eventually("the run has started", || !sandbox.requests_to(Host::Graph).is_empty()).await;
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!folder.path().join("outputs/report.json").exists());
    refused().await;
}
