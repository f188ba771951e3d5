//! A plan, its partitions and their merge in a bucket.

use std::path::Path;

use streetflow_sandbox::Sandbox;

use crate::support::accounting::sandbox;
use crate::support::bucket::{Answer, Bucket, Fault};
use crate::support::{command_on, output, read};

const QUERY: &str = "--bbox=33.30,35.13,33.40,35.20 --fields=captured_at,geometry --flat";
const URL: &str = "s3://streets/plan";

async fn run(sandbox: &Sandbox, bucket: &Bucket, folder: &Path, args: &str) -> (i32, String) {
    let mut command = command_on(sandbox, folder);
    bucket.configure(&mut command, &folder.join("state"));
    command.args(args.split_whitespace());
    output(command).await
}

async fn ok(sandbox: &Sandbox, bucket: &Bucket, folder: &Path, args: &str) -> String {
    let (exit, stderr) = run(sandbox, bucket, folder, args).await;
    assert_eq!(exit, 0, "{args}: {stderr}");
    stderr
}

#[tokio::test(flavor = "multi_thread")]
async fn the_joined_tables_are_those_of_a_single_crawl() {
    let (sandbox, bucket) = (sandbox().await, Bucket::start());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let flags = "--no-download --format=csv,geojson,geojsonseq,parquet";
    ok(&sandbox, &bucket, path, &format!("crawl {QUERY} {flags} -o single")).await;
    let planned = ok(&sandbox, &bucket, path, &format!("plan {QUERY} {flags} --partitions=3 -o {URL}")).await;
    assert!(planned.contains(&format!("streetflow crawl --plan {URL} --partition I/3")), "{planned}");
    assert!(bucket.objects().contains_key("plan/plan.json"));
    let (exit, stderr) = run(&sandbox, &bucket, path, &format!("merge {URL}")).await;
    assert!(exit == 1 && stderr.contains(&format!("--plan {URL} --partition 2/3 (missing)")), "{stderr}");
    for index in 0..3 {
        // Another machine has another state directory.
        let state = format!("--state-dir machine-{index}");
        ok(&sandbox, &bucket, path, &format!("crawl --plan {URL} --partition {index}/3 {state}")).await;
    }
    ok(&sandbox, &bucket, path, &format!("merge {URL} --join --storage-option part_size=8192")).await;
    let objects = bucket.objects();
    for name in ["seq_dataset.csv", "img_dataset.csv", "img_meta_dataset.csv"] {
        assert!(objects[&format!("plan/{name}")] == read(&path.join("single"), name).as_bytes(), "{name}");
    }
    for name in ["img_meta_dataset.geojson", "img_meta_dataset.geojsonl", "img_dataset.geojson"] {
        assert!(objects[&format!("plan/{name}")] == read(&path.join("single"), name).as_bytes(), "{name}");
    }
    for (table, columns) in [("img_meta_dataset", "geometry,captured_at"), ("img_dataset", "")] {
        let fields = if columns.is_empty() { String::new() } else { format!("--fields {columns}") };
        ok(&sandbox, &bucket, path, &format!("convert {URL}/{table}.parquet joined.csv {fields}")).await;
        ok(&sandbox, &bucket, path, &format!("convert single/{table}.parquet single.csv {fields}")).await;
        assert_eq!(read(path, "joined.csv"), read(path, "single.csv"), "{table}");
    }
    let report: serde_json::Value = serde_json::from_slice(&objects["plan/report.json"]).unwrap();
    assert_eq!((&report["outcome"], report["parts"].as_array().unwrap().len()), (&"finished".into(), 3));
    assert!(bucket.uploads().is_empty());
    // All is done: no partition requests anything, and a merge can be repeated.
    sandbox.clear_requests();
    let stderr = ok(&sandbox, &bucket, path, &format!("crawl --plan {URL} --partition 1/3")).await;
    assert!(stderr.contains("partition 1/3 is done") && sandbox.requests().is_empty(), "{stderr}");
    ok(&sandbox, &bucket, path, &format!("merge {URL} --join")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_of_the_bucket_name_the_object_and_the_partition_can_be_repeated() {
    let (sandbox, bucket) = (sandbox().await, Bucket::start());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    ok(&sandbox, &bucket, path, &format!("plan {QUERY} --no-download --partitions=2 -o {URL}")).await;
    let crawl = format!("crawl --plan {URL} --partition 0/2");
    for (method, place, answer, message) in [
        ("GET", "plan.json", Answer::Error(403, "AccessDenied"), "s3://streets/plan/plan.json"),
        ("GET", "seq_dataset.csv", Answer::Error(400, "ExpiredToken"), "s3://streets/plan/seq_dataset.csv"),
        (
            "PUT",
            "img_meta_dataset.csv",
            Answer::Error(400, "ExpiredToken"),
            "part-00000-of-00002/img_meta_dataset.csv",
        ),
    ] {
        // The copy of the table is from the partition before.
        std::fs::remove_dir_all(path.join("state")).ok();
        bucket.fail(Fault { method, path: place, times: usize::MAX, answer });
        let (exit, stderr) = run(&sandbox, &bucket, path, &crawl).await;
        assert!(exit == 1 && stderr.contains(message), "{place}: {exit} {stderr}");
        bucket.clear_faults();
    }
    let stderr = ok(&sandbox, &bucket, path, &crawl).await;
    assert!(stderr.contains("resuming"), "{stderr}");
    // A plan that was made again does not fit.
    bucket.put("plan/seq_dataset.csv", b"org_id,seq_id\n");
    std::fs::remove_dir_all(path.join("state")).unwrap();
    let (exit, stderr) = run(&sandbox, &bucket, path, &format!("crawl --plan {URL} --partition 1/2")).await;
    assert!(exit == 2 && stderr.contains("it was changed after the plan"), "{stderr}");
    for args in ["crawl --plan s3://streets/none --partition 0/2", "merge s3://streets/none"] {
        let (exit, stderr) = run(&sandbox, &bucket, path, args).await;
        assert!(exit == 2 && stderr.contains("s3://streets/none/plan.json"), "{args}: {exit} {stderr}");
    }
}
