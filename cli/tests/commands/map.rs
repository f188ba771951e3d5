//! `map`: the files that it reads and writes, and its errors. `map/tests/` tests the page in a browser.

use std::fs;
use std::path::Path;

use crate::support::{command, with};

const HEADER: &str = "seq_id,img_id,lon,lat,captured_at\n";

/// Runs `map` with arguments. Returns exit code and standard error.
fn map(folder: &Path, args: &[&str]) -> (Option<i32>, String) {
    let output = with(command(folder), ["map"].iter().chain(args).copied()).output().unwrap();
    assert!(output.stdout.is_empty());
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

fn write(folder: &Path, name: &str, text: &str) {
    fs::write(folder.join(name), text).unwrap();
}

#[test]
fn the_page_is_written_beside_the_table_and_replaced_by_the_next_run() {
    let folder = tempfile::tempdir().unwrap();
    write(
        folder.path(),
        "images.csv",
        &format!("{HEADER}a,1,33.3,35.1,1719594028000\na,2,33.3,35.1,\na,3,,,\n"),
    );
    let (code, stderr) = map(folder.path(), &["images.csv"]);
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stderr.contains("1 image has no position") && stderr.contains("with 2 images"), "{stderr}");
    let first = fs::read_to_string(folder.path().join("map.html")).unwrap();
    assert!(first.starts_with("<!doctype html>") && first.contains("<title>images.csv"));
    assert_eq!(map(folder.path(), &["images.csv"]).0, Some(0));
}

#[test]
fn a_file_that_is_not_a_page_is_not_replaced() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "images.csv", HEADER);
    write(folder.path(), "thesis.html", "<!doctype html><p>mine");
    let (code, stderr) = map(folder.path(), &["images.csv", "--out", "thesis.html"]);
    assert_eq!(code, Some(2));
    assert!(stderr.contains("thesis.html") && stderr.contains("--out"), "{stderr}");
    assert_eq!(fs::read_to_string(folder.path().join("thesis.html")).unwrap(), "<!doctype html><p>mine");
}

#[test]
fn an_invalid_row_costs_itself_only() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "images.csv", &format!("{HEADER}a,1,33.3,35.1,\na,2,33.3,95,\na,3,33.3,35.2,\n"));
    let (code, stderr) = map(folder.path(), &["images.csv"]);
    assert_eq!(code, Some(3), "{stderr}");
    assert!(stderr.contains("with 2 images") && stderr.contains("line 3"), "{stderr}");
}

#[test]
fn a_table_that_gives_no_map_is_a_usage_error_and_leaves_no_page() {
    let folder = tempfile::tempdir().unwrap();
    for (name, text, reason) in [
        ("ids.csv", "seq_id,img_id\na,1\n", "`lon` and `lat`"),
        ("bad.csv", "img_id,lon,lat\nx,33,35\n", "only decimal digits"),
    ] {
        write(folder.path(), name, text);
        let (code, stderr) = map(folder.path(), &[name]);
        assert_eq!(code, Some(2), "{stderr}");
        assert!(stderr.contains(reason), "{stderr}");
    }
    for (args, reason) in [
        (vec!["none.csv"], "none.csv"),
        (vec![], "outputs"),
        (vec!["."], "img_meta_dataset"),
        (vec!["ids.csv", "--pictures", "none"], "--pictures"),
    ] {
        let (code, stderr) = map(folder.path(), &args);
        assert_eq!(code, Some(2), "{args:?}: {stderr}");
        assert!(stderr.contains(reason), "{args:?}: {stderr}");
    }
    assert!(!folder.path().join("map.html").exists());
}

#[test]
fn an_empty_table_gives_a_page() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "images.csv", HEADER);
    write(folder.path(), "images.geojson", r#"{"type":"FeatureCollection","features":[]}"#);
    for name in ["images.csv", "images.geojson"] {
        let (code, stderr) = map(folder.path(), &[name, "--out", &format!("{name}.html")]);
        assert_eq!(code, Some(0), "{stderr}");
        assert!(stderr.contains("with 0 images"), "{stderr}");
    }
}
