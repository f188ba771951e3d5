//! Plans, partitions and merges: a crawl by several processes.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

use streetflow_sandbox::{Fault, Host, Rule, Sandbox};

use crate::support::accounting::{column, number, report, run, sandbox};
use crate::support::{command_on, names, read};

const QUERY: &str = "--bbox=33.30,35.13,33.40,35.20 --fields=captured_at,geometry --flat";
const TABLES: [&str; 3] = ["seq_dataset.csv", "img_dataset.csv", "img_meta_dataset.csv"];

async fn ok(sandbox: &Sandbox, folder: &Path, args: &str) -> String {
    let (exit, stderr) = run(sandbox, folder, args).await;
    assert_eq!(exit, 0, "{args}: {stderr}");
    stderr
}

fn spawn(sandbox: &Sandbox, folder: &Path, partition: &str) -> Child {
    let mut command = command_on(sandbox, folder);
    command.args(["crawl", "--plan=plan", "--concurrency=4", "--partition", partition]);
    command.stderr(Stdio::null()).spawn().unwrap()
}

fn pictures(folder: &Path) -> BTreeSet<String> {
    names(&folder.join("downloaded_images")).into_iter().filter(|name| !name.starts_with('.')).collect()
}

/// Asserts that the joined tables of a plan are those of a single crawl.
fn check_joined(folder: &Path) {
    for table in TABLES {
        assert_eq!(read(&folder.join("plan"), table), read(&folder.join("single"), table), "{table}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn partitions_under_random_kills_give_the_tables_of_a_single_crawl() {
    const PARTITIONS: usize = 8;
    const KILLS: usize = 20;
    let sandbox =
        Sandbox::builder().picture_bytes(900).latency(Duration::from_millis(2)).start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    ok(&sandbox, path, &format!("crawl {QUERY} -o single")).await;
    ok(&sandbox, path, &format!("plan {QUERY} -o plan")).await;
    let mut random = fastrand::Rng::with_seed(20);
    let mut running: Vec<Option<Child>> = Vec::new();
    running.resize_with(PARTITIONS, || None);
    let (mut done, mut kills) = ([false; PARTITIONS], 0);
    let mut next_kill = sandbox.requests().len() + 20;
    while done.contains(&false) {
        for index in 0..PARTITIONS {
            match &mut running[index] {
                Some(child) => {
                    if let Some(status) = child.try_wait().unwrap() {
                        done[index] = status.success();
                        running[index] = None;
                    }
                }
                None if !done[index] => {
                    running[index] = Some(spawn(&sandbox, path, &format!("{index}/{PARTITIONS}")));
                }
                None => {}
            }
        }
        let alive: Vec<_> = (0..PARTITIONS).filter(|index| running[*index].is_some()).collect();
        if kills < KILLS && sandbox.requests().len() >= next_kill && !alive.is_empty() {
            let index = alive[random.usize(..alive.len())];
            if let Some(mut child) = running[index].take() {
                child.kill().unwrap();
                child.wait().unwrap();
            }
            kills += 1;
            next_kill = sandbox.requests().len() + random.usize(1..60);
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    assert!(kills >= 8, "{kills} kills");
    ok(&sandbox, path, "merge plan --join").await;
    check_joined(path);
    let parts = (0..PARTITIONS).map(|index| path.join(format!("plan/part-{index:05}-of-{PARTITIONS:05}")));
    let parts: Vec<_> = parts.collect();
    let found: BTreeSet<_> = parts.iter().flat_map(|part| pictures(part)).collect();
    assert_eq!(found, pictures(&path.join("single")));
    let (single, merged) = (report(&path.join("single")), report(&path.join("plan")));
    for step in ["sequences", "images", "metadata"] {
        assert_eq!(merged["steps"][step]["rows"], single["steps"][step]["rows"], "{step}");
    }
    assert_eq!(merged["parts"].as_array().unwrap().len(), PARTITIONS);
    assert_eq!(merged["query"], single["query"]);
    // All is done: nothing is requested again.
    sandbox.clear_requests();
    let stderr = ok(&sandbox, path, "crawl --plan plan --partition 3/8").await;
    assert!(stderr.contains("partition 3/8 is done") && sandbox.requests().is_empty(), "{stderr}");
    ok(&sandbox, path, "merge plan --join").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_twice_at_once_and_again_ends_in_the_same_files() {
    let sandbox = sandbox().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    ok(&sandbox, path, &format!("crawl {QUERY} --no-download -o single")).await;
    ok(&sandbox, path, &format!("plan {QUERY} --no-download --partitions=2 -o plan")).await;
    let twins = [spawn(&sandbox, path, "0/2"), spawn(&sandbox, path, "0/2")];
    let codes = twins.map(|mut child| tokio::task::spawn_blocking(move || child.wait().unwrap().code()));
    let mut exits = Vec::new();
    for code in codes {
        exits.push(code.await.unwrap().unwrap());
    }
    // The second one finds the directory in use, or the partition done.
    assert!(exits.contains(&0) && exits.iter().all(|exit| [0, 2].contains(exit)), "{exits:?}");
    let part = path.join("plan/part-00000-of-00002");
    let table = read(&part, "img_meta_dataset.csv");
    ok(&sandbox, path, "crawl --plan plan --partition 0/2 --restart").await;
    assert_eq!(read(&part, "img_meta_dataset.csv"), table);
    let (exit, stderr) = run(&sandbox, path, "merge plan").await;
    assert!(exit == 1 && stderr.contains("streetflow crawl --plan plan --partition 1/2"), "{stderr}");
    ok(&sandbox, path, "crawl --plan plan --partition 1/2").await;
    ok(&sandbox, path, "merge plan --join").await;
    check_joined(path);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_stops_early_if_the_token_sees_nothing() {
    let sandbox = sandbox().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    ok(&sandbox, path, &format!("crawl {QUERY} --no-download -o single")).await;
    ok(&sandbox, path, &format!("plan {QUERY} --no-download --partitions=1 -o plan")).await;
    let is_image = |request: &streetflow_sandbox::RecordedRequest| {
        request.host == Host::Graph && request.path != "/image_ids"
    };
    sandbox.clear_requests();
    let gone = "Object with ID 'X' does not exist, cannot be loaded due to missing permissions";
    sandbox.add_rule(Rule::when(is_image).fault(Fault::graph_error(400, 100, Some(33), gone)));
    let partition = "crawl --plan plan --partition 0/1 --concurrency=4";
    let (exit, stderr) = run(&sandbox, path, partition).await;
    let expected = ["none of the first 200 images exist at Mapillary", "--trust-gone"];
    assert!(exit == 1 && expected.iter().all(|part| stderr.contains(part)), "{stderr}");
    let images = sandbox.requests().iter().filter(|request| is_image(request)).count();
    // Batches that are gone are split down to single images, and four are in flight. All 611 images take 1,200 requests.
    assert!((200..700).contains(&images), "{images} requests");
    // With a flag that says so, all are gone; `merge` has the last word.
    ok(&sandbox, path, &format!("{partition} --trust-gone --restart")).await;
    let (exit, stderr) = run(&sandbox, path, "merge plan").await;
    assert!(exit == 1 && stderr.contains("only 0 of"), "{stderr}");
    sandbox.clear_rules();
    ok(&sandbox, path, &format!("{partition} --restart")).await;
    ok(&sandbox, path, "merge plan --join").await;
    check_joined(path);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_carries_the_flags_of_the_crawl_and_rejects_those_that_do_not_apply() {
    let sandbox = sandbox().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let flags = "--no-download --format=csv,geojson,geojsonseq,parquet --clip --make=GoPro --detections";
    ok(&sandbox, path, &format!("crawl {QUERY} {flags} -o single")).await;
    ok(&sandbox, path, &format!("plan {QUERY} {flags} --partitions=3 -o plan")).await;
    for index in 0..3 {
        ok(&sandbox, path, &format!("crawl --plan plan --partition {index}/3")).await;
    }
    ok(&sandbox, path, "merge plan --join").await;
    check_joined(path);
    for table in ["img_dataset", "img_meta_dataset", "img_detections_dataset"] {
        for format in ["csv", "geojson", "geojsonl"] {
            let name = format!("{table}.{format}");
            assert_eq!(read(&path.join("plan"), &name), read(&path.join("single"), &name), "{name}");
        }
        for folder in ["plan", "single"] {
            ok(&sandbox, path, &format!("convert {folder}/{table}.parquet {folder}.geojson")).await;
        }
        assert_eq!(read(path, "plan.geojson"), read(path, "single.geojson"), "{table}");
    }
    // The list of images without detections has times besides.
    let without = |folder: &str| {
        let list = read(&path.join(folder), "img_detections_dataset_none.csv");
        list.lines().map(|row| row.rsplit_once(',').unwrap().0.to_owned()).collect::<Vec<_>>()
    };
    assert!(without("single").len() > 10 && without("plan") == without("single"));
    let parts = report(&path.join("plan"))["parts"].clone();
    let images: u64 = (0..3).map(|index| number(&parts[index]["images"])).sum();
    assert_eq!(images, column(&path.join("single"), "img_meta_dataset.csv", "img_id").len() as u64);
    for (args, message) in [
        ("plan --bbox=33.3,35.1,33.4,35.2 --limit=5", "--limit"),
        ("plan --images=1,2", "--images"),
        ("crawl --plan plan --partition 3/3", "from 0"),
        ("crawl --plan plan", "--partition"),
        ("crawl --plan plan --partition 0/3 --pano", "cannot be used with"),
        ("crawl --plan none --partition 0/3", "plan.json"),
        ("merge none", "plan.json"),
    ] {
        let (exit, stderr) = run(&sandbox, path, args).await;
        assert!(exit == 2 && stderr.contains(message), "{args}: {exit} {stderr}");
    }
    let table = path.join("plan/seq_dataset.csv");
    let rows = fs::read_to_string(&table).unwrap();
    fs::write(&table, rows.lines().skip(1).collect::<Vec<_>>().join("\n")).unwrap();
    let (exit, stderr) = run(&sandbox, path, "crawl --plan plan --partition 0/3 --restart").await;
    assert!(exit == 2 && stderr.contains("it was changed after the plan"), "{stderr}");
}
