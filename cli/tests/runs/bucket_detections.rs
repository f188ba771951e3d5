//! Detections in buckets: tables, updates, classes and training sets.

use std::collections::BTreeMap;
use std::process::Output;

use serde_json::Value;

use super::buckets::{CRAWL, crawl, rows, run};
use crate::support::bucket::{Bucket, KEY_ID, SECRET};

/// The objects, and the rows of the list of images without detections, whose times differ.
fn without_times(bucket: &Bucket) -> (BTreeMap<String, Vec<u8>>, Vec<String>) {
    let mut objects = rows(bucket);
    let list = objects.remove("u/img_detections_dataset_none.csv").unwrap();
    let list = String::from_utf8(list).unwrap();
    let rows = list.lines().skip(1).map(|row| row.rsplit_once(',').unwrap().0.to_owned());
    (objects, rows.collect())
}

#[test]
fn tables_of_features_and_detections_are_written_to_a_bucket_and_read_from_it() {
    let (bucket, folder) = (Bucket::start(), tempfile::tempdir().unwrap());
    let here = "-o s3://streets/n";
    let features = "features --sandbox --bbox 33.33,35.15,33.39,35.19 --values regulatory--stop--* --details";
    for args in [
        format!("{features} {here}"),
        format!("images --sandbox --features s3://streets/n/map_features.csv {here} --yes"),
        format!("detections --sandbox {here}"),
        "detections --sandbox --input s3://streets/n/img_dataset.csv -o local".to_owned(),
        "crawl --sandbox --features s3://streets/n/map_features.csv --detections -o crawled".to_owned(),
        "overlay --input s3://streets/n/img_detections_dataset.csv -o crawled".to_owned(),
    ] {
        let (exit, text) = run(&bucket, folder.path(), &args);
        assert_eq!(exit, 0, "{args}: {text}");
    }
    let objects = bucket.objects();
    for (key, path) in [
        ("n/img_dataset.csv", "crawled/img_dataset.csv"),
        ("n/img_detections_dataset.csv", "local/img_detections_dataset.csv"),
        ("n/img_detections_dataset.csv", "crawled/img_detections_dataset.csv"),
    ] {
        assert!(objects[key] == std::fs::read(folder.path().join(path)).unwrap(), "{key} {path}");
    }
    let (exit, text) = run(&bucket, folder.path(), &format!("overlay {here}"));
    assert!(exit == 2 && text.contains("local directories only"), "{text}");
    // An update of what is in the bucket.
    let crawl = format!("{CRAWL} --detections --no-download").replace("streets/n", "streets/u");
    let (exit, text) = run(&bucket, folder.path(), &crawl);
    assert_eq!(exit, 0, "{text}");
    let (before, images_without) = without_times(&bucket);
    assert!(images_without.iter().any(|row| row.ends_with(",not_processed")), "{images_without:?}");
    let (exit, text) = run(&bucket, folder.path(), &format!("{crawl} --update"));
    assert!(exit == 0 && text.contains("images from the earlier run"), "{text}");
    let (mut after, still_without) = without_times(&bucket);
    assert!(after.remove("u/changes.csv").is_some());
    assert!(after == before && still_without == images_without);
    // The images of the table in the bucket that are known are all but those that were not processed.
    let report: Value = serde_json::from_slice(&bucket.objects()["u/report.json"]).unwrap();
    let findings = &report["steps"]["detections"]["findings"];
    let number = |name: &str| findings[name].as_u64().unwrap();
    assert_eq!(number("known") + number("not_processed"), report["steps"]["detections"]["inputs"]);
    let (exit, text) = run(&bucket, folder.path(), "detections --sandbox --update -o s3://streets/u");
    assert!(exit == 0 && text.contains("images from the earlier run"), "{text}");
    assert!(without_times(&bucket).1 == images_without);
}

#[test]
fn classes_are_counted_and_sets_are_built_from_files_in_a_bucket() {
    let (bucket, folder) = (Bucket::start(), tempfile::tempdir().unwrap());
    let go = |args: &str| {
        let Output { status, stdout, stderr } = crawl(&bucket, folder.path(), args).output().unwrap();
        let text = String::from_utf8(stderr).unwrap();
        assert!(!text.contains(KEY_ID) && !text.contains(SECRET), "{text}");
        (status.code().unwrap_or(-1), String::from_utf8(stdout).unwrap(), text)
    };
    let local = CRAWL.replace("s3://streets/n", "here");
    for crawl in [CRAWL, &local] {
        let (exit, _, text) = go(&format!("{crawl} --detections --quality 256 --format csv,parquet"));
        assert_eq!(exit, 0, "{text}");
    }
    for name in ["img_detections_dataset.csv", "img_detections_dataset.parquet"] {
        let (exit, counts, text) = go(&format!("classes s3://streets/n/{name}"));
        assert!(exit == 0 && counts.lines().count() > 5, "{text}");
        assert_eq!(counts, go(&format!("classes here/{name}")).1);
        assert!(counts.starts_with("value,kind,count,images\n"));
    }
    let (exit, counts, text) = go("classes s3://streets/n/none.csv");
    assert!(exit == 2 && counts.is_empty() && text.contains("s3://streets/n/none.csv"), "{text}");
    bucket.put("classes.txt", b"thing=object--*\n");
    let set = "dataset --to coco --split 60,40 -o here --copy";
    let files = "--images s3://streets/n/img_meta_dataset.parquet --classes s3://streets/classes.txt";
    let (exit, _, text) =
        go(&format!("{set} {files} --input s3://streets/n/img_detections_dataset.csv remote"));
    assert_eq!(exit, 0, "{text}");
    let (exit, _, text) = go(&format!("{set} --classes thing=object--* same"));
    assert_eq!(exit, 0, "{text}");
    for split in ["train", "val"] {
        let name = format!("annotations/instances_{split}.json");
        let [remote, same] =
            ["remote", "same"].map(|set| std::fs::read(folder.path().join(set).join(&name)).unwrap());
        assert!(remote == same && remote.len() > 1000, "{name}");
    }
    for (flag, name) in [("--images", "s3://streets/n/gone.parquet"), ("--classes", "s3://streets/gone")] {
        let (exit, _, text) = go(&format!("{set} {flag} {name} other"));
        assert!(exit == 2 && text.contains(name), "{text}");
    }
    let (exit, _, text) = go(&format!("{set} --pictures s3://streets/n/downloaded_images other"));
    assert!(exit == 2 && text.contains("local directories only"), "{text}");
    assert!(!folder.path().join("other").exists());
}
