//! `crawl --map --serve`: the map of a running crawl. `map/tests/` tests it in a browser.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, ChildStderr, Stdio};
use std::time::Duration;

use streetflow_sandbox::Sandbox;

use crate::support::{command, command_on, eventually, with};

/// A process that is killed at the end of the test.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// A crawl with its map, or the map beside a crawl.
struct Crawl {
    process: Process,
    messages: BufReader<ChildStderr>,
    host: String,
}

impl Crawl {
    /// Starts a crawl and reads the address of its map.
    fn start(mut command: std::process::Command) -> Self {
        let mut process = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut messages = BufReader::new(process.stderr.take().unwrap());
        let mut line = String::new();
        while !line.contains("watch the crawl at") {
            line.clear();
            assert!(messages.read_line(&mut line).unwrap() > 0, "the crawl has ended");
        }
        let host = line.rsplit("http://").next().unwrap().trim().trim_end_matches('/').to_owned();
        Self { process: Process(process), messages, host }
    }

    /// Starts a server beside a crawl and reads its address.
    fn follow(mut command: std::process::Command) -> Self {
        let mut process = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let host = line.trim().trim_start_matches("http://").trim_end_matches('/').to_owned();
        let messages = BufReader::new(process.stderr.take().unwrap());
        Self { process: Process(process), messages, host }
    }

    fn get(&self, path: &str, host: &str) -> (u16, Vec<u8>) {
        let mut stream = TcpStream::connect(&self.host).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n").unwrap();
        let mut response = Vec::new();
        stream.read_to_end(&mut response).unwrap();
        let status = String::from_utf8_lossy(&response[9..12]).parse().unwrap();
        (status, response)
    }

    fn state(&self) -> serde_json::Value {
        let (_, response) = self.get("/state", &self.host);
        let text = String::from_utf8(response).unwrap();
        serde_json::from_str(text.split("\r\n\r\n").nth(1).unwrap()).unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_has_the_images_of_the_table_at_the_end_and_stops_at_a_signal() {
    let sandbox = Sandbox::builder().latency(Duration::from_millis(20)).start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let args = ["crawl", "--map", "--serve", "--quality", "256", "--bbox", "32.40,35.02,32.44,35.05"];
    let mut crawl = Crawl::start(with(command_on(&sandbox, folder.path()), args));
    assert!(crawl.host.starts_with("127.0.0.1:"), "{}", crawl.host);
    let (status, page) = crawl.get("/", &crawl.host);
    let page = String::from_utf8(page).unwrap();
    assert!(status == 200 && page.contains(" data-growing>") && !page.contains(Sandbox::TOKEN));
    eventually("the crawl ends", || crawl.state()["ended"] == true).await;
    let table = std::fs::read_to_string(folder.path().join("outputs/img_meta_dataset.csv")).unwrap();
    assert_eq!(crawl.state()["images"], table.lines().count() - 1);
    assert!(folder.path().join("outputs/map.html").exists());
    assert_eq!(crawl.get("/images", &crawl.host).0, 200);
    let id = table.lines().nth(1).unwrap().split(',').nth(1).unwrap();
    let (status, picture) = crawl.get(&format!("/picture/{id}"), &crawl.host);
    assert!(status == 200 && picture.windows(3).any(|bytes| bytes == [0xff, 0xd8, 0xff]), "a JPEG");
    for path in ["/picture/42", "/outputs/map.html", "/columns/none", "/state/", "/images/../state"] {
        assert_eq!(crawl.get(path, &crawl.host).0, 404, "{path}");
    }
    for path in ["/state", "/images", "/"] {
        assert_eq!(crawl.get(path, "evil.example").0, 421, "{path}");
    }
    #[cfg(unix)]
    {
        let stop = interrupt(crawl.process.0.id());
        assert!(stop, "the signal is sent");
        assert_eq!(crawl.process.0.wait().unwrap().code(), Some(0));
        let mut rest = String::new();
        crawl.messages.read_to_string(&mut rest).unwrap();
        assert!(rest.contains("the map stays at") && !rest.contains(Sandbox::TOKEN), "{rest}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_beside_a_crawl_follows_it_and_ends_with_its_table() {
    let sandbox = Sandbox::builder().latency(Duration::from_millis(100)).start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let fields = ["--fields", "geometry", "--min-quality", "0.8", "--format", "geojsonseq", "-o", "out"];
    let area = ["crawl", "--no-download", "--concurrency", "1", "--bbox", "33.33,35.15,33.39,35.19"];
    let mut crawl = with(command_on(&sandbox, folder.path()), area.into_iter().chain(fields));
    let mut crawl = Process(crawl.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    eventually("the crawl has begun", || folder.path().join("out/.streetflow/lock").exists()).await;
    let mut map = Crawl::follow(with(command(folder.path()), ["map", "out", "--serve"]));
    let mut most = 0;
    let mut state = map.state();
    while state["ended"] == false {
        most = most.max(state["images"].as_u64().unwrap());
        tokio::time::sleep(Duration::from_millis(50)).await;
        state = map.state();
    }
    assert!(crawl.0.wait().unwrap().success());
    let table = std::fs::read_to_string(folder.path().join("out/img_meta_dataset.geojsonl")).unwrap();
    let rows = table.lines().count() as u64;
    assert_eq!(state["images"], rows);
    assert!(rows > 0 && most > rows, "{most} before the filter, {rows} after it");
    map.process.0.kill().unwrap();
    let mut messages = String::new();
    map.messages.read_to_string(&mut messages).unwrap();
    assert!(messages.contains("a run is writing to") && messages.contains("the run has ended"), "{messages}");
}

/// Sends Ctrl-C.
#[cfg(unix)]
fn interrupt(process: u32) -> bool {
    std::process::Command::new("kill").args(["-INT", &process.to_string()]).status().unwrap().success()
}

#[test]
fn a_port_in_use_is_an_error_before_anything_is_requested_or_written() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let folder = tempfile::tempdir().unwrap();
    let args =
        ["crawl", "--sandbox", "--map", "--serve", "--port", &port, "--bbox", "32.40,35.02,32.44,35.05"];
    let output = with(command(folder.path()), args).output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(2) && text.contains("--port"), "{text}");
    assert!(!folder.path().join("outputs").exists());
    let output = with(command(folder.path()), ["crawl", "--sandbox", "--serve"]).output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(2) && text.contains("--map"), "{text}");
}

/// A computer without a browser, or without a display: the address is printed, and nothing waits.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_browser_that_does_not_open_stops_nothing() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("images.csv"), "img_id,lon,lat\n1,33,35\n").unwrap();
    let opener = folder.path().join("bin/xdg-open");
    std::fs::create_dir(folder.path().join("bin")).unwrap();
    let mut command = command(folder.path());
    command
        .args(["map", "images.csv", "--open"])
        .env("PATH", folder.path().join("bin"))
        .env_remove("DISPLAY");
    let output = command.output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{text}");
    assert!(text.contains("open the page yourself"), "{text}");
    // One that waits for a display.
    std::fs::write(&opener, "#!/bin/sh\necho $$ > pid\nexec /bin/sleep 60\n").unwrap();
    std::fs::set_permissions(&opener, std::fs::Permissions::from_mode(0o755)).unwrap();
    assert!(command.output().unwrap().status.success());
    let id = || std::fs::read_to_string(folder.path().join("pid")).unwrap_or_default().trim().to_owned();
    eventually("the opener has started", || !id().is_empty()).await;
    let killed = std::process::Command::new("kill").arg(id()).status().unwrap();
    assert!(killed.success(), "the command has not waited for it");
}
