//! Runs into a bucket: whole objects or none, one run at a time, no credentials in any output.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use crate::support::bucket::{Answer, Bucket, Fault, KEY_ID, SECRET};
use crate::support::{command, eventually};

pub(crate) const CRAWL: &str = "crawl --sandbox --bbox 33.355,35.165,33.37,35.18 -o s3://streets/n";

pub(crate) fn crawl(bucket: &Bucket, folder: &Path, args: &str) -> Command {
    let mut command = command(folder);
    bucket.configure(&mut command, folder);
    command.args(args.split_whitespace());
    command
}

/// Runs a command. Returns exit code and stderr. Asserts that no output has a credential.
pub(crate) fn run(bucket: &Bucket, folder: &Path, args: &str) -> (i32, String) {
    let Output { status, stdout, stderr } = crawl(bucket, folder, args).output().unwrap();
    let text = String::from_utf8(stderr).unwrap();
    let stored: Vec<u8> = bucket.objects().into_values().flatten().collect();
    for secret in [KEY_ID, SECRET, "optionsecret99"] {
        for output in [text.as_bytes(), &stdout, &stored, &files(folder)] {
            assert!(!output.windows(secret.len()).any(|part| part == secret.as_bytes()), "{secret}: {text}");
        }
    }
    (status.code().unwrap_or(-1), text)
}

/// The contents of all files below a folder.
fn files(folder: &Path) -> Vec<u8> {
    let mut all = Vec::new();
    for path in std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()) {
        if path.is_dir() {
            all.extend(files(&path));
        } else {
            all.extend(std::fs::read(&path).unwrap_or_default());
        }
    }
    all
}

/// The objects, without the report, which has times.
pub(crate) fn rows(bucket: &Bucket) -> BTreeMap<String, Vec<u8>> {
    let mut objects = bucket.objects();
    objects.retain(|key, _| !key.ends_with("report.json"));
    objects
}

#[test]
fn a_crawl_into_a_bucket_writes_what_a_local_one_writes_and_a_second_one_finds_it() {
    let (bucket, folder) = (Bucket::start(), tempfile::tempdir().unwrap());
    let (exit, text) =
        run(&bucket, folder.path(), &format!("{CRAWL} --storage-option aws_session_token=optionsecret99"));
    assert_eq!(exit, 0, "{text}");
    let objects = bucket.objects();
    let local = tempfile::tempdir().unwrap();
    let mut here = command(local.path());
    here.args(CRAWL.split_whitespace().take(4)).args(["-o", "n"]);
    assert!(here.output().unwrap().status.success());
    for (key, content) in rows(&bucket) {
        assert_eq!(std::fs::read(local.path().join(&key)).unwrap(), content, "{key}");
    }
    let names = objects.keys().filter(|key| !key.contains("downloaded_images")).count();
    let here = std::fs::read_dir(local.path().join("n")).unwrap().count() - 1;
    assert_eq!(names, here, "{:?}", objects.keys());
    let puts = |bucket: &Bucket| {
        bucket
            .take_requests()
            .iter()
            .filter(|line| line.starts_with("PUT") && line.strip_suffix(".jpg").is_some())
            .count()
    };
    assert_eq!(puts(&bucket), objects.keys().filter(|key| key.strip_suffix(".jpg").is_some()).count());
    let (exit, text) = run(&bucket, folder.path(), CRAWL);
    assert_eq!((exit, puts(&bucket)), (0, 0), "{text}");
    let (exit, text) =
        run(&bucket, folder.path(), "crawl --sandbox --bbox 33.36,35.165,33.37,35.18 -o s3://streets/n");
    assert!(exit == 2 && text.contains("another query") && text.contains("s3://streets/n"), "{text}");
}

#[test]
fn a_run_through_faults_of_the_store_ends_in_the_same_objects() {
    let (calm, bucket, folder) = (Bucket::start(), Bucket::start(), tempfile::tempdir().unwrap());
    assert_eq!(run(&calm, folder.path(), CRAWL).0, 0);
    for (method, path, times, answer) in [
        ("PUT", ".jpg", 3, Answer::Error(503, "SlowDown")),
        ("PUT", ".jpg", 2, Answer::Cut),
        ("PUT", ".jpg", 2, Answer::Error(400, "BadDigest")),
        ("PUT", "img_meta_dataset.csv", 1, Answer::Error(500, "InternalError")),
        ("GET", "/streets", 2, Answer::Error(500, "InternalError")),
    ] {
        bucket.fail(Fault { method, path, times, answer });
    }
    let other = tempfile::tempdir().unwrap();
    let (exit, text) = run(&bucket, other.path(), CRAWL);
    assert_eq!(exit, 0, "{text}");
    assert!(rows(&bucket) == rows(&calm));
}

#[test]
fn errors_name_the_object_and_what_to_do_and_the_next_run_resumes() {
    let (bucket, folder) = (Bucket::start(), tempfile::tempdir().unwrap());
    for (method, path, answer, expected) in [
        ("PUT", ".jpg", Answer::Error(400, "ExpiredToken"), "credentials have expired"),
        ("PUT", ".jpg", Answer::Error(403, "AccessDenied"), "need permission"),
        ("GET", "/streets", Answer::Error(403, "InvalidAccessKeyId"), "AWS_ACCESS_KEY_ID"),
        ("PUT", "seq_dataset.csv", Answer::Error(403, "AccessDenied"), "need permission"),
    ] {
        bucket.fail(Fault { method, path, times: usize::MAX, answer });
        let (exit, text) = run(&bucket, folder.path(), CRAWL);
        assert!(exit == 1 && text.contains(expected) && text.contains("s3://streets/n"), "{text}");
        assert!(
            !bucket.objects().keys().any(|key| key.strip_suffix(".csv").is_some() && !key.contains("gone"))
        );
        bucket.clear_faults();
    }
    let (exit, text) = run(&bucket, folder.path(), CRAWL);
    assert!(exit == 0 && text.contains("resuming"), "{text}");
    let (exit, text) = run(&bucket, folder.path(), "crawl --sandbox -o s3://nowhere/n");
    assert!(exit == 1 && text.contains("does not create buckets"), "{text}");
}

#[test]
fn a_second_run_is_refused_and_a_lock_that_is_not_ours_stays() {
    let (bucket, folder) = (Bucket::start(), tempfile::tempdir().unwrap());
    let lock = |expires: u64| {
        format!(
            r#"{{"streetflow_lock":1,"owner":{{"host":"other","process":7,"state_dir":"/far"}},"nonce":1,"expires":{expires},"unfinished":true}}"#
        )
    };
    bucket.put("n/.streetflow.lock", lock(u64::MAX / 2).as_bytes());
    let (exit, text) = run(&bucket, folder.path(), CRAWL);
    assert!(exit == 2 && text.contains("process 7 on other"), "{text}");
    assert!(bucket.objects().is_empty());
    bucket.put("n/.streetflow.lock", lock(0).as_bytes());
    let (exit, text) = run(&bucket, folder.path(), CRAWL);
    assert!(exit == 0 && text.contains("/far` on other") && text.contains("--state-dir"), "{text}");
    bucket.put("n/.streetflow.lock", b"my notes");
    let (exit, text) = run(&bucket, folder.path(), CRAWL);
    assert!(exit == 2 && text.contains("not written by streetflow"), "{text}");
}

#[test]
fn killed_runs_leave_no_table_and_the_last_one_ends_as_an_undisturbed_one() {
    let (calm, bucket, folder) = (Bucket::start(), Bucket::start(), tempfile::tempdir().unwrap());
    let args = format!("{CRAWL} --concurrency 2 --pictures tar --shard-rows 50");
    assert_eq!(run(&calm, folder.path(), &args).0, 0);
    let kills = std::env::var("KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(6);
    let other = tempfile::tempdir().unwrap();
    for kill in 0..kills {
        let mut child = crawl(&bucket, other.path(), &format!("{args} -q")).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(60 + 37 * (kill % 20)));
        child.kill().unwrap();
        child.wait().unwrap();
        for (key, content) in rows(&bucket) {
            assert!(calm.objects().get(&key) == Some(&content), "{key} after kill {kill}");
        }
    }
    let (exit, text) = run(&bucket, other.path(), &args);
    assert_eq!(exit, 0, "{text}");
    assert!(rows(&bucket) == rows(&calm), "{:?}", bucket.objects().keys());
}

#[tokio::test]
async fn a_killed_run_leaves_no_object_but_pictures() {
    let (bucket, folder) = (Bucket::start(), tempfile::tempdir().unwrap());
    let mut child = crawl(&bucket, folder.path(), &format!("{CRAWL} -q --concurrency 1")).spawn().unwrap();
    eventually("pictures exist", || bucket.objects().keys().any(|key| key.strip_suffix(".jpg").is_some()))
        .await;
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(
        bucket.objects().keys().all(|key| key.strip_suffix(".jpg").is_some()),
        "{:?}",
        bucket.objects().keys()
    );
}

#[cfg(feature = "parquet")]
#[test]
fn shards_in_a_bucket_are_read_by_their_index_and_their_rows_and_pictures_can_be_read() {
    let (bucket, folder) = (Bucket::start(), tempfile::tempdir().unwrap());
    let args = format!("{CRAWL} --pictures tar --shard-rows 50");
    let (exit, text) = run(&bucket, folder.path(), &args);
    assert_eq!(exit, 0, "{text}");
    let objects = rows(&bucket);
    let shards = |line: &&String| line.strip_suffix(".tar").is_some();
    bucket.take_requests();
    // The next run knows from the index what the shards contain, but not whether gone pictures have come back.
    let (exit, text) = run(&bucket, folder.path(), &args);
    assert_eq!(exit, 0, "{text}");
    let requests = bucket.take_requests();
    assert_eq!(requests.iter().filter(shards).count(), 0, "{requests:?}");
    assert!(rows(&bucket) == objects);
    // A shard that is newer than the index is read.
    let name = "n/downloaded_images/pictures-000001.tar";
    bucket.put(name, &objects["n/downloaded_images/pictures-000000.tar"]);
    let (exit, text) = run(&bucket, folder.path(), &args);
    assert!(exit == 2 && text.contains("pictures of other rows"), "{text}");
    bucket.put(name, &objects[name]);
    // One that is missing is made again.
    bucket.remove(name);
    bucket.take_requests();
    let (exit, text) = run(&bucket, folder.path(), &args);
    assert_eq!(exit, 0, "{text}");
    let requests = bucket.take_requests();
    let of_shards: Vec<_> = requests.iter().filter(shards).collect();
    assert_eq!(of_shards, [&format!("PUT /streets/{name}")]);
    assert!(rows(&bucket) == objects);
    let shards = "s3://streets/n/downloaded_images";
    let (exit, text) = run(&bucket, folder.path(), &format!("convert {shards} rows.csv"));
    assert_eq!(exit, 0, "{text}");
    let pictures = objects.keys().filter(|key| key.contains(".tar")).count();
    let rows = std::fs::read_to_string(folder.path().join("rows.csv")).unwrap();
    assert!(rows.lines().count() > 50 * (pictures - 1), "{rows}");
    let (exit, text) = run(&bucket, folder.path(), &format!("download --input {shards} -o files"));
    assert_eq!(exit, 0, "{text}");
    let files = std::fs::read_dir(folder.path().join("files/downloaded_images")).unwrap().flatten();
    let is_picture = |entry: &std::fs::DirEntry| entry.path().extension().is_some_and(|name| name == "jpg");
    assert_eq!(files.filter(is_picture).count(), rows.lines().count() - 1);
}
