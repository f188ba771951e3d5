//! Pages of tables in buckets, and of crawls into buckets.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Stdio;

use crate::support::bucket::{Bucket, KEY_ID, SECRET};
use crate::support::command;

const CRAWL: &str = "crawl --sandbox --bbox 33.355,35.165,33.37,35.18 --map --quality 256 -o s3://streets/n";

/// Runs a command. Returns exit code and stderr.
fn run(bucket: &Bucket, folder: &Path, args: &str) -> (i32, String) {
    let mut command = command(folder);
    bucket.configure(&mut command, folder);
    let output = command.args(args.split_whitespace()).output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(!text.contains(KEY_ID) && !text.contains(SECRET), "{text}");
    (output.status.code().unwrap_or(-1), text)
}

fn page(bucket: &Bucket, key: &str) -> String {
    let objects = bucket.objects();
    let Some(page) = objects.get(key) else { panic!("{key} in {:?}", objects.keys()) };
    String::from_utf8(page.clone()).unwrap()
}

#[test]
fn a_crawl_writes_the_page_with_its_pictures_into_its_bucket() {
    let (bucket, folder) = (Bucket::start(), tempfile::tempdir().unwrap());
    let (exit, text) = run(&bucket, folder.path(), CRAWL);
    assert_eq!(exit, 0, "{text}");
    assert!(text.contains("map.html"), "{text}");
    let written = page(&bucket, "n/map.html");
    assert!(written.starts_with("<!doctype html><!-- streetflow map -->"));
    assert!(written.contains("id=\"block-picture\""), "the page knows the pictures");
    assert!(!written.contains(KEY_ID) && !written.contains(SECRET));
    let (exit, text) = run(&bucket, folder.path(), CRAWL);
    assert_eq!(exit, 0, "the page is replaced: {text}");
}

#[test]
fn a_page_is_made_of_a_folder_or_a_table_in_a_bucket() {
    let (bucket, folder) = (Bucket::start(), tempfile::tempdir().unwrap());
    let crawl = CRAWL.replace("--map", "--fields geometry,creator --format csv,geojson");
    assert_eq!(run(&bucket, folder.path(), &crawl).0, 0);
    let (exit, text) = run(&bucket, folder.path(), "map s3://streets/n/");
    assert!(exit == 0 && text.contains("s3://streets/n/map.html"), "{text}");
    let written = page(&bucket, "n/map.html");
    assert!(written.contains("<title>n ·") && written.contains("id=\"block-picture\""));
    let table = "map s3://streets/n/img_meta_dataset.geojson --out here.html";
    let (exit, text) = run(&bucket, folder.path(), table);
    assert_eq!(exit, 0, "{text}");
    let here = std::fs::read_to_string(folder.path().join("here.html")).unwrap();
    assert!(!here.contains("id=\"block-picture\""), "a page elsewhere can't refer to the pictures");
    std::fs::write(folder.path().join("images.csv"), "img_id,lon,lat\n1,33,35\n").unwrap();
    let (exit, text) = run(&bucket, folder.path(), "map images.csv --out s3://streets/other.html");
    assert_eq!(exit, 0, "{text}");
    assert!(page(&bucket, "other.html").contains("<title>images.csv ·"));
}

#[test]
fn an_object_that_is_not_a_page_is_not_replaced_and_a_missing_table_is_named() {
    let (bucket, folder) = (Bucket::start(), tempfile::tempdir().unwrap());
    bucket.put("n/map.html", b"<p>mine");
    bucket.put("n/images.csv", b"img_id,lon,lat\n1,33,35\n");
    for args in [CRAWL, "map s3://streets/n/images.csv"] {
        let (exit, text) = run(&bucket, folder.path(), args);
        assert!(exit == 2 && text.contains("s3://streets/n/map.html"), "{text}");
    }
    assert_eq!(bucket.objects()["n/map.html"], b"<p>mine");
    for (args, name) in
        [("map s3://streets/n", "img_meta_dataset"), ("map s3://streets/n/none.csv", "none.csv")]
    {
        let (exit, text) = run(&bucket, folder.path(), args);
        assert!(exit == 2 && text.contains(name), "{text}");
    }
}

#[test]
fn a_served_page_has_the_pictures_of_its_bucket() {
    let (bucket, folder) = (Bucket::start(), tempfile::tempdir().unwrap());
    bucket.put("n/images.csv", b"img_id,lon,lat\n1,33,35\n2,33,35\n");
    bucket.put("n/downloaded_images/741/1_256.jpg", b"picture");
    let mut command = command(folder.path());
    bucket.configure(&mut command, folder.path());
    command
        .args(["map", "s3://streets/n/images.csv", "--serve"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut process = command.spawn().unwrap();
    let mut line = String::new();
    BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let host = line.trim().trim_start_matches("http://").trim_end_matches('/').to_owned();
    let get = |path: &str| {
        let mut stream = TcpStream::connect(&host).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n").unwrap();
        let mut response = Vec::new();
        stream.read_to_end(&mut response).unwrap();
        response
    };
    let (picture, none) = (get("/picture/1"), get("/picture/2"));
    process.kill().unwrap();
    process.wait().unwrap();
    assert!(picture.ends_with(b"picture"), "{}", String::from_utf8_lossy(&picture));
    assert!(none.starts_with(b"HTTP/1.1 404"));
}
