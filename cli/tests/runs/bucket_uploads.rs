//! Tables that are uploaded in parts: whole or absent under any fault, and aborted after an error.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use crate::support::bucket::{Answer, Bucket, Fault, KEY_ID, SECRET};
use crate::support::command;

const CRAWL: &str = "crawl --sandbox --bbox 33.355,35.165,33.37,35.18 --no-download --format csv,parquet";
const INTO_BUCKET: &str = "-o s3://streets/n --storage-option part_size=4096";
const TABLE: &str = "n/img_meta_dataset.csv";

fn run(bucket: &Bucket, folder: &Path, args: &str) -> (i32, String) {
    let mut command: Command = command(folder);
    bucket.configure(&mut command, folder);
    let output = command.args(args.split_whitespace()).output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(!text.contains(KEY_ID) && !text.contains(SECRET), "{text}");
    (output.status.code().unwrap_or(-1), text)
}

fn tables(bucket: &Bucket) -> BTreeMap<String, Vec<u8>> {
    let mut objects = bucket.objects();
    objects.retain(|key, _| key.contains("_dataset."));
    objects
}

/// The tables of a local run.
fn expected() -> BTreeMap<String, Vec<u8>> {
    let folder = tempfile::tempdir().unwrap();
    let mut command = command(folder.path());
    assert!(command.args(format!("{CRAWL} -o n").split_whitespace()).output().unwrap().status.success());
    let names = ["seq", "img", "img_meta"]
        .iter()
        .flat_map(|name| [format!("n/{name}_dataset.csv"), format!("n/{name}_dataset.parquet")]);
    names.map(|name| (name.clone(), std::fs::read(folder.path().join(name)).unwrap())).collect()
}

#[test]
fn parts_that_fail_are_sent_again_and_the_tables_are_those_of_a_local_run() {
    let (bucket, folder) = (Bucket::start(), tempfile::tempdir().unwrap());
    for (method, path, times, answer) in [
        ("POST", "?uploads", 2, Answer::Error(500, "InternalError")),
        ("PUT", "csv?partNumber=1&", 2, Answer::Error(503, "SlowDown")),
        ("PUT", "csv?partNumber=2&", 2, Answer::Cut),
        ("PUT", "csv?partNumber=3&", 2, Answer::Error(400, "BadDigest")),
        ("PUT", "csv?partNumber=4&", 1, Answer::Error(500, "InternalError")),
        ("PUT", "csv?partNumber=5&", 1, Answer::Lost),
        // The upload is completed, and its response is lost.
        ("POST", "img_meta_dataset.csv?uploadId", 1, Answer::Lost),
        ("POST", "img_meta_dataset.parquet?uploadId", 1, Answer::Error(503, "SlowDown")),
    ] {
        bucket.fail(Fault { method, path, times, answer });
    }
    let (exit, text) = run(&bucket, folder.path(), &format!("{CRAWL} {INTO_BUCKET}"));
    assert_eq!(exit, 0, "{text}");
    let (found, expected) = (tables(&bucket), expected());
    let parquet = |key: &String| key.ends_with("parquet");
    assert!(found.keys().eq(expected.keys()), "{:?}", found.keys());
    // The query note of Parquet names no output directory.
    assert!(found == expected, "{:?}", found.keys().filter(|key| parquet(key)).collect::<Vec<_>>());
    let parts =
        bucket.take_requests().iter().filter(|line| line.as_str() == format!("PUT /streets/{TABLE}")).count();
    assert!(parts > 8, "{parts} parts");
    assert!(bucket.uploads().is_empty(), "{:?}", bucket.uploads());
    let report: serde_json::Value = serde_json::from_slice(&bucket.objects()["n/report.json"]).unwrap();
    let written: usize = expected.values().map(Vec::len).sum();
    assert!(report["uploaded_bytes"].as_u64().unwrap() >= written as u64);
}

#[test]
fn an_upload_that_cannot_go_on_is_aborted_and_the_error_names_the_object() {
    let (bucket, folder) = (Bucket::start(), tempfile::tempdir().unwrap());
    for (method, path, answer, message) in [
        (
            "PUT",
            "img_meta_dataset.csv?partNumber=3&",
            Answer::Error(400, "ExpiredToken"),
            "credentials have expired",
        ),
        ("PUT", "img_meta_dataset.csv?partNumber=3&", Answer::Error(400, "BadDigest"), "BadDigest"),
        ("PUT", "img_meta_dataset.csv?partNumber=2&", Answer::Error(403, "AccessDenied"), "need permission"),
        ("POST", "img_meta_dataset.csv?uploads", Answer::Error(403, "AccessDenied"), "need permission"),
        ("POST", "img_meta_dataset.csv?uploadId", Answer::Error(400, "EntityTooSmall"), "EntityTooSmall"),
    ] {
        bucket.fail(Fault { method, path, times: usize::MAX, answer });
        let (exit, text) = run(&bucket, folder.path(), &format!("{CRAWL} {INTO_BUCKET}"));
        assert!(exit == 1 && text.contains(message), "{path}: {exit} {text}");
        assert!(text.contains(&format!("s3://streets/{TABLE}")), "{path}: {text}");
        assert!(!bucket.objects().contains_key(TABLE), "{path}");
        assert!(bucket.uploads().is_empty(), "{path}: {:?}", bucket.uploads());
        bucket.clear_faults();
    }
    let (exit, text) = run(&bucket, folder.path(), &format!("{CRAWL} {INTO_BUCKET}"));
    assert!(exit == 0 && text.contains("resuming"), "{text}");
    assert!(tables(&bucket) == expected());
}

#[test]
fn a_part_size_that_no_store_takes_is_a_usage_error() {
    let (bucket, folder) = (Bucket::start(), tempfile::tempdir().unwrap());
    let args = format!("{CRAWL} -o s3://streets/n --storage-option part_size=16MiB");
    let (exit, text) = run(&bucket, folder.path(), &args);
    assert!(exit == 2 && text.contains("`part_size` is a number of bytes"), "{text}");
    assert!(bucket.take_requests().is_empty());
}
