//! `map`: the files that it reads and writes, and its errors. `map/tests/` tests the page in a browser.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use streetflow_sandbox::Sandbox;

use crate::support::{command, command_on, with};

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

#[test]
fn a_crawl_writes_the_page_with_its_pictures() {
    let folder = tempfile::tempdir().unwrap();
    let args = ["crawl", "--sandbox", "--map", "--bbox", "32.40,35.02,32.44,35.05", "--limit", "5"];
    let output = with(command(folder.path()), args).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && stderr.contains("map.html"), "{stderr}");
    let header = fs::read_to_string(folder.path().join("outputs/img_meta_dataset.csv")).unwrap();
    let header = header.lines().next().unwrap();
    assert!(["lon", "creator_username", "is_pano"].iter().all(|name| header.contains(name)), "{header}");
    let page = fs::read_to_string(folder.path().join("outputs/map.html")).unwrap();
    assert!(page.contains("id=\"block-picture\""), "the page knows the pictures");
    let (code, stderr) = map(folder.path(), &[]);
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stderr.contains("with 5 images"), "{stderr}");
}

#[test]
fn tiles_need_a_credit_and_a_background_needs_encryption() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "images.csv", HEADER);
    let tiles = "https://tiles.example.org/{z}/{x}/{y}.png";
    let (code, stderr) = map(folder.path(), &["images.csv", "--basemap", tiles]);
    assert_eq!(code, Some(2));
    assert!(stderr.contains("--basemap-credit"), "{stderr}");
    assert_eq!(map(folder.path(), &["images.csv", "--basemap", "http://example.org/style.json"]).0, Some(2));
    let (code, _) = map(folder.path(), &["images.csv", "--basemap", tiles, "--basemap-credit", "© me"]);
    assert_eq!(code, Some(0));
    let page = fs::read_to_string(folder.path().join("map.html")).unwrap();
    assert!(page.contains("connect-src blob:  https://tiles.example.org;"), "the policy names the host");
}

/// A server that is killed at the end of the test.
struct Server {
    process: Child,
    host: String,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

impl Server {
    fn start(command: Command, table: &str) -> Self {
        let mut command = with(command, ["map", "--serve", table]);
        let mut process = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let host = line.trim().trim_start_matches("http://").trim_end_matches('/').to_owned();
        Self { process, host }
    }

    /// Sends a request; returns the status and the rest of the response.
    fn get(&self, path: &str, host: &str) -> (u16, Vec<u8>) {
        let mut stream = TcpStream::connect(&self.host).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n").unwrap();
        let mut response = Vec::new();
        stream.read_to_end(&mut response).unwrap();
        let status = String::from_utf8_lossy(&response[9..12]).parse().unwrap();
        (status, response)
    }
}

#[test]
fn the_server_sends_the_page_its_columns_and_pictures_of_the_table_only() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "images.csv", &format!("{HEADER}a,1,33.3,35.1,1719594028000\n"));
    fs::create_dir(folder.path().join("downloaded_images")).unwrap();
    for id in ["1", "2"] {
        write(folder.path(), &format!("downloaded_images/{id}_256.jpg"), "picture");
    }
    let server = Server::start(command(folder.path()), "images.csv");
    assert!(server.host.starts_with("127.0.0.1:"), "{}", server.host);
    let get = |path: &str| server.get(path, &server.host);
    let (status, page) = get("/");
    let page = String::from_utf8(page).unwrap();
    assert!(status == 200 && page.contains("connect-src blob: 'self'") && !page.contains("id=\"block-"));
    assert_eq!(get("/columns/head").0, 200);
    assert_eq!(get("/columns/library").0, 200);
    assert!(get("/picture/1").1.ends_with(b"picture"));
    for path in [
        "/picture/2",
        "/picture/1_256.jpg",
        "/picture/../images.csv",
        "/images.csv",
        "/columns/",
        "/columns/none",
        "/downloaded_images/1_256.jpg",
        "//",
        "/picture/%2e%2e/images.csv",
    ] {
        assert_eq!(get(path).0, 404, "{path}");
    }
    for host in ["evil.example", "127.0.0.1", "evil.example:80", ""] {
        assert_eq!(server.get("/", host).0, 421, "{host}");
    }
    assert!(!folder.path().join("map.html").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_fetches_a_picture_that_is_not_on_the_disk_once() {
    let sandbox = Sandbox::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let args = ["crawl", "--no-download", "--map", "--bbox", "32.40,35.02,32.44,35.05", "--limit", "3"];
    assert!(with(command_on(&sandbox, folder.path()), args).output().unwrap().status.success());
    let table = fs::read_to_string(folder.path().join("outputs/img_meta_dataset.csv")).unwrap();
    let id = table.lines().nth(1).unwrap().split(',').nth(1).unwrap().to_owned();
    let server = Server::start(command_on(&sandbox, folder.path()), "outputs");
    let before = sandbox.requests().len();
    for _ in 0..2 {
        let (status, response) = server.get(&format!("/picture/{id}"), &server.host);
        assert_eq!(status, 200);
        assert!(response.windows(3).any(|bytes| bytes == [0xff, 0xd8, 0xff]), "a JPEG");
    }
    assert_eq!(sandbox.requests().len() - before, 2, "one for the URL, one for the picture");
    let (_, page) = server.get("/", &server.host);
    let page = String::from_utf8(page).unwrap();
    assert!(page.contains("data-pictures=\"all\"") && !page.contains(Sandbox::TOKEN));
    assert_eq!(server.get("/picture/42", &server.host).0, 404);
    assert_eq!(sandbox.requests().len() - before, 2, "an id that is not in the table is not requested");
}
