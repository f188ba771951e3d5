//! `crawl --update`: metadata comes from the earlier table.

use std::collections::{BTreeSet, HashSet};
use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use streetflow_sandbox::{Fault, Host, Rule, Sandbox};

use crate::support::accounting::run;
use crate::support::{command_on, eventually, names, read};

const HERE: &str = "crawl --bbox=33.33,35.15,33.39,35.19 --fields=captured_at,geometry";
pub(crate) const FEW: &str =
    "crawl --bbox=33.33,35.15,33.39,35.19 --fields=captured_at,geometry --no-download";

/// Returns the image ids of all metadata requests, except of the image of the mock data that is gone.
fn requested(sandbox: &Sandbox) -> HashSet<String> {
    let requests = sandbox.requests_to(Host::Graph);
    let entities = requests.iter().filter(|request| !request.path.contains("image_ids"));
    let ids = entities.flat_map(|request| {
        let single = request.path.trim_start_matches('/').to_owned();
        if single.is_empty() { request.ids() } else { vec![single] }
    });
    ids.filter(|id| sandbox.image_json(id, "id").is_some()).collect()
}

pub(crate) fn outputs(folder: &Path) -> std::path::PathBuf {
    folder.join("outputs")
}

/// The names and the bytes of all tables.
pub(crate) fn tables(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let names = names(&outputs(folder)).into_iter().filter(|name| name.contains("_dataset."));
    names.map(|name| (name.clone(), fs::read(outputs(folder).join(name)).unwrap())).collect()
}

fn table(folder: &Path) -> String {
    read(&outputs(folder), "img_meta_dataset.csv")
}

pub(crate) fn report(folder: &Path) -> Value {
    serde_json::from_str(&read(&outputs(folder), "report.json")).unwrap()
}

fn img_ids<'a>(rows: impl IntoIterator<Item = &'a str>) -> BTreeSet<String> {
    rows.into_iter().map(|row| row.split(',').nth(1).unwrap().to_owned()).collect()
}

/// Removes every `nth` row of the table, and adds images that are gone. Returns the ids of the removed rows.
pub(crate) fn change_table(folder: &Path, nth: usize, gone: &[&str]) -> BTreeSet<String> {
    let text = table(folder);
    let (header, rows) = text.split_once('\n').unwrap();
    let (mut kept, mut removed) = (vec![header.to_owned()], Vec::new());
    for (at, row) in rows.lines().enumerate() {
        if at % nth == 0 { removed.push(row) } else { kept.push(row.to_owned()) }
    }
    let commas = ",".repeat(header.matches(',').count() - 1);
    kept.extend(gone.iter().map(|id| format!("abc,{id}{commas}")));
    fs::write(outputs(folder).join("img_meta_dataset.csv"), kept.join("\n") + "\n").unwrap();
    img_ids(removed)
}

pub(crate) fn changes(folder: &Path, change: &str) -> BTreeSet<String> {
    let text = read(&outputs(folder), "changes.csv");
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some("img_id,change"));
    let rows = lines.filter_map(|row| row.split_once(',').filter(|(_, found)| *found == change));
    rows.map(|(id, _)| id.to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unchanged_area_needs_no_metadata_in_any_format() {
    let sandbox = Sandbox::start().await.unwrap();
    for format in ["csv", "parquet", "geojson", "geojsonseq", "csv,parquet"] {
        let folder = tempfile::tempdir().unwrap();
        let crawl = format!("{FEW} --format={format}");
        let (exit, stderr) = run(&sandbox, folder.path(), &crawl).await;
        assert_eq!(exit, 0, "{stderr}");
        let before = tables(folder.path());
        sandbox.clear_requests();
        let update = format!("{crawl} --update");
        let (exit, stderr) = run(&sandbox, folder.path(), &update).await;
        assert_eq!(exit, 0, "{format}: {stderr}");
        assert!(requested(&sandbox).is_empty(), "{format}");
        assert!(
            stderr.contains("update: 0 new, 610 unchanged, 0 gone") || stderr.contains("unchanged, 0 gone")
        );
        assert!(tables(folder.path()) == before, "{format}");
        assert_eq!(read(&outputs(folder.path()), "changes.csv"), "img_id,change\n");
        assert_eq!(report(folder.path())["update"]["new"], 0);
        assert!(!outputs(folder.path()).join(".streetflow").exists());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_new_images_are_requested_and_gone_ones_are_listed() {
    let sandbox = Sandbox::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let go = async |args: &str| run(&sandbox, folder.path(), args).await;
    let (exit, stderr) = go(HERE).await;
    assert_eq!(exit, 0, "{stderr}");
    let (full, pictures) = (table(folder.path()), outputs(folder.path()).join("downloaded_images"));
    let new = change_table(folder.path(), 40, &["5", "77"]);
    fs::write(pictures.join("77_256.jpg"), "a picture").unwrap();
    sandbox.clear_requests();
    let (exit, stderr) = go(&format!("{HERE} --update")).await;
    assert_eq!(exit, 0, "{stderr}");
    assert!(requested(&sandbox).into_iter().collect::<BTreeSet<_>>() == new);
    assert!(table(folder.path()) == full);
    assert!(changes(folder.path(), "new") == new);
    assert_eq!(changes(folder.path(), "gone"), ["5", "77"].map(str::to_owned).into());
    let gone = read(&outputs(folder.path()), "gone.csv");
    assert!(gone.contains("metadata,5,") && gone.contains("no longer listed"), "{gone}");
    assert!(pictures.join("77_256.jpg").exists());
    let report = report(folder.path());
    let rows = full.lines().count() - 1;
    assert_eq!(report["update"]["gone"], 2);
    assert_eq!(report["update"]["new"], new.len());
    assert_eq!(report["update"]["unchanged"], rows - new.len());
    assert!(stderr.contains(&format!("update: {} new", new.len())), "{stderr}");
    assert!(stderr.contains("their pictures stay"), "{stderr}");
}

#[tokio::test(flavor = "multi_thread")]
async fn lacking_fields_are_requested_alone() {
    let sandbox = Sandbox::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let go = async |args: &str| run(&sandbox, folder.path(), args).await;
    let wide = FEW.replace("geometry", "geometry,width,altitude");
    let (exit, stderr) = go(&format!("{wide} -o full")).await;
    assert_eq!(exit, 0, "{stderr}");
    let (exit, stderr) = go(FEW).await;
    assert_eq!(exit, 0, "{stderr}");
    sandbox.clear_requests();
    let (exit, stderr) = go(&format!("{wide} --update")).await;
    assert_eq!(exit, 0, "{stderr}");
    assert!(table(folder.path()) == read(&folder.path().join("full"), "img_meta_dataset.csv"));
    let requests = sandbox.requests_to(Host::Graph);
    let narrow =
        requests.iter().filter(|request| request.param("fields").as_deref() == Some("width,altitude"));
    assert!(narrow.count() >= 12, "{requests:?}");
    assert_eq!(report(folder.path())["update"]["new"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_or_an_unknown_query_is_rejected_before_any_request() {
    let sandbox = Sandbox::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let go = async |args: &str| run(&sandbox, folder.path(), args).await;
    let (exit, stderr) = go(&format!("{FEW} --update")).await;
    assert!(exit == 0 && stderr.contains("no earlier table"), "{stderr}");
    assert!(!outputs(folder.path()).join("changes.csv").exists());
    let before = table(folder.path());
    sandbox.clear_requests();
    for args in [
        "crawl --bbox=32.40,35.02,32.44,35.05 --no-download --update --yes",
        &format!("{FEW} --update --org-id=803468386961584"),
        &format!("{FEW} --update --from=2020-01-01"),
    ] {
        let (exit, stderr) = go(args).await;
        assert!(
            exit == 2 && stderr.contains("another query") && stderr.contains("33.33"),
            "{args}: {stderr}"
        );
    }
    fs::remove_file(outputs(folder.path()).join("report.json")).unwrap();
    let (exit, stderr) = go(&format!("{FEW} --update")).await;
    assert!(exit == 2 && stderr.contains("unknown") && stderr.contains("`--yes`"), "{stderr}");
    let (exit, _) = go(&format!("{FEW} --update --limit=3")).await;
    assert_eq!(exit, 2);
    assert!(sandbox.requests().is_empty() && table(folder.path()) == before);
    let (exit, stderr) = go(&format!("{FEW} --update --yes")).await;
    assert_eq!(exit, 0, "{stderr}");
    assert!(table(folder.path()) == before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_update_gives_the_same_result_when_it_runs_again() {
    let sandbox = Sandbox::builder().latency(Duration::from_millis(5)).start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let crawl = format!("{FEW} --concurrency=4 --tile-rate=1000000");
    let (exit, stderr) = run(&sandbox, folder.path(), &crawl).await;
    assert_eq!(exit, 0, "{stderr}");
    let full = table(folder.path());
    let new = change_table(folder.path(), 3, &["5"]);
    let old = table(folder.path());
    sandbox.clear_requests();
    let update = format!("{crawl} --update");
    for kill in [12, 6] {
        sandbox.clear_requests();
        let mut child =
            command_on(&sandbox, folder.path()).args(update.split(' ')).arg("-q").spawn().unwrap();
        eventually("enough requests are sent", || sandbox.requests().len() >= kill).await;
        child.kill().ok();
        child.wait().unwrap();
        assert!(table(folder.path()) == old);
    }
    let (exit, stderr) = run(&sandbox, folder.path(), &update).await;
    assert_eq!(exit, 0, "{stderr}");
    assert!(table(folder.path()) == full);
    assert!(changes(folder.path(), "new") == new);
    assert_eq!(changes(folder.path(), "gone"), ["5".to_owned()].into());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sequence_that_fails_is_not_gone() {
    let sandbox = Sandbox::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let go = async |args: &str| run(&sandbox, folder.path(), args).await;
    let (exit, stderr) = go(FEW).await;
    assert_eq!(exit, 0, "{stderr}");
    let full = table(folder.path());
    let seq = full.lines().nth(1).unwrap().split(',').next().unwrap().to_owned();
    sandbox.add_rule(Rule::on(Host::Graph).query("sequence_id", &seq).fault(Fault::Reset));
    let (exit, stderr) = go(&format!("{FEW} --update --attempts=1")).await;
    assert!(exit == 3 && stderr.contains("`changes.csv` is not written"), "{stderr}");
    assert!(!outputs(folder.path()).join("changes.csv").exists());
    assert!(report(folder.path())["update"].is_null());
    sandbox.clear_rules();
    sandbox.clear_requests();
    let (exit, stderr) = go(&format!("{FEW} --update --attempts=1")).await;
    assert_eq!(exit, 0, "{stderr}");
    assert!(table(folder.path()) == full, "the rows are taken from the table before the failure");
    assert!(requested(&sandbox).is_empty());
    assert_eq!(read(&outputs(folder.path()), "changes.csv"), "img_id,change\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundredth_of_new_images_is_all_that_is_requested() {
    let data = streetflow_sandbox::MockData::with_image_count(100_000, 7);
    let sandbox = Sandbox::builder().mock_data(data).start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let crawl = "crawl --bbox=32,34,35,36 --no-download --fields=captured_at --tile-rate=1000000";
    let (exit, stderr) = run(&sandbox, folder.path(), crawl).await;
    assert_eq!(exit, 0, "{stderr}");
    let full = table(folder.path());
    let update = format!("{crawl} --update");
    for nth in [usize::MAX, 100] {
        let mut new = BTreeSet::new();
        if nth == 100 {
            new = change_table(folder.path(), nth, &[]);
        }
        sandbox.clear_requests();
        let (exit, stderr) = run(&sandbox, folder.path(), &update).await;
        assert_eq!(exit, 0, "{stderr}");
        assert!(requested(&sandbox).into_iter().collect::<BTreeSet<_>>() == new);
        assert!(table(folder.path()) == full && changes(folder.path(), "new") == new);
    }
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_update_keeps_the_tables() {
    let sandbox = Sandbox::builder().latency(Duration::from_millis(20)).start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let crawl = format!("{FEW} --concurrency=2 --tile-rate=1000000");
    let (exit, stderr) = run(&sandbox, folder.path(), &crawl).await;
    assert_eq!(exit, 0, "{stderr}");
    let full = table(folder.path());
    let new = change_table(folder.path(), 2, &[]);
    let old = table(folder.path());
    sandbox.clear_requests();
    let update = format!("{crawl} --update");
    let mut child = command_on(&sandbox, folder.path()).args(update.split(' ')).arg("-q").spawn().unwrap();
    eventually("metadata is requested", || !requested(&sandbox).is_empty()).await;
    let pid = child.id().to_string();
    std::process::Command::new("kill").args(["-INT", &pid]).status().unwrap();
    let status = tokio::task::spawn_blocking(move || child.wait().unwrap()).await.unwrap();
    assert_eq!(status.code(), Some(130));
    assert!(table(folder.path()) == old);
    assert!(!outputs(folder.path()).join("changes.csv").exists());
    let (exit, stderr) = run(&sandbox, folder.path(), &update).await;
    assert_eq!(exit, 0, "{stderr}");
    assert!(table(folder.path()) == full && changes(folder.path(), "new") == new);
}
