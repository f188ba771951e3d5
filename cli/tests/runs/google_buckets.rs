//! Runs into a bucket of Google Cloud Storage: its keys, generations and lists differ from those of S3.

use std::collections::BTreeMap;
use std::path::Path;

use crate::support::bucket::{Answer, Bucket, Fault};
use crate::support::command;

const CRAWL: &str = "crawl --sandbox --bbox 33.355,35.165,33.37,35.18 --format csv,parquet";
const INTO_BUCKET: &str = "-o gs://streets/n --storage-option part_size=4096";

fn run(bucket: &Bucket, folder: &Path, args: &str) -> (i32, String) {
    let mut command = command(folder);
    bucket.configure_google(&mut command, folder);
    let output = command.args(args.split_whitespace()).output().unwrap();
    (output.status.code().unwrap_or(-1), String::from_utf8(output.stderr).unwrap())
}

fn objects(bucket: &Bucket) -> BTreeMap<String, Vec<u8>> {
    let mut objects = bucket.objects();
    objects.retain(|key, _| !key.ends_with("report.json"));
    objects
}

#[test]
fn tables_pictures_lists_and_the_lock_work() {
    let (bucket, folder, local) =
        (Bucket::start(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for (method, path, times, answer) in [
        ("PUT", ".jpg", 2, Answer::Error(503, "SlowDown")),
        ("PUT", "img_meta_dataset.csv?partNumber=2&", 2, Answer::Error(503, "SlowDown")),
        ("POST", "img_meta_dataset.csv?uploadId", 1, Answer::Lost),
    ] {
        bucket.fail(Fault { method, path, times, answer });
    }
    let (exit, text) = run(&bucket, folder.path(), &format!("{CRAWL} {INTO_BUCKET}"));
    assert_eq!(exit, 0, "{text}");
    let mut here = command(local.path());
    assert!(here.args(format!("{CRAWL} -o n").split_whitespace()).output().unwrap().status.success());
    for (key, content) in objects(&bucket) {
        assert!(std::fs::read(local.path().join(&key)).unwrap() == content, "{key}");
    }
    assert!(bucket.uploads().is_empty());
    // Existing pictures are found by one list.
    bucket.take_requests();
    let (exit, text) = run(&bucket, folder.path(), &format!("{CRAWL} {INTO_BUCKET}"));
    assert!(exit == 0 && text.contains("already exist"), "{text}");
    let requests = bucket.take_requests();
    assert!(
        !requests.iter().any(|line| line.starts_with("PUT") && line.strip_suffix(".jpg").is_some()),
        "{requests:?}"
    );
    // Another run has the lock.
    let lock = r#"{"streetflow_lock":1,"owner":{"host":"other","process":7,"state_dir":"/far"},"nonce":1,"expires":18446744073709551,"unfinished":true}"#;
    bucket.put("n/.streetflow.lock", lock.as_bytes());
    let (exit, text) = run(&bucket, folder.path(), &format!("{CRAWL} {INTO_BUCKET}"));
    assert!(exit == 2 && text.contains("process 7 on other"), "{text}");
}

#[test]
fn shards_and_tables_are_read_from_there_and_errors_name_the_object() {
    let (bucket, folder) = (Bucket::start(), tempfile::tempdir().unwrap());
    let shards = format!("{CRAWL} {INTO_BUCKET} --pictures tar --shard-rows 50");
    let (exit, text) = run(&bucket, folder.path(), &shards);
    assert_eq!(exit, 0, "{text}");
    let before = objects(&bucket);
    assert!(before.contains_key("n/downloaded_images/pictures-000000.tar"), "{:?}", before.keys());
    let (exit, text) = run(&bucket, folder.path(), &shards);
    assert!(exit == 0 && objects(&bucket) == before, "{text}");
    for format in ["parquet", "csv"] {
        let table = format!("gs://streets/n/img_meta_dataset.{format}");
        let args = format!("convert {table} {format}.csv --fields captured_at,width");
        let (exit, text) = run(&bucket, folder.path(), &args);
        assert_eq!(exit, 0, "{text}");
    }
    let rows = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
    assert!(rows("parquet.csv") == rows("csv.csv") && rows("csv.csv").lines().count() > 100);
    bucket.fail(Fault {
        method: "PUT",
        path: "img_dataset.csv",
        times: usize::MAX,
        answer: Answer::Error(403, "AccessDenied"),
    });
    let (exit, text) = run(&bucket, folder.path(), &format!("{CRAWL} -o gs://streets/m"));
    let expected = ["gs://streets/m/img_dataset.csv", "need permission"];
    assert!(exit == 1 && expected.iter().all(|part| text.contains(part)), "{text}");
}
