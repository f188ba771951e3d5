//! Bounded memory: gzip bombs, and responses with millions of empty values.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use streetflow_sandbox::Sandbox;

use crate::support::command;

const MIB: usize = 1 << 20;

/// Starts a server that sends the same bytes, headers included, to every request. Returns its URL.
fn serve(answer: Vec<u8>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let answer = Arc::new(answer);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, answer) = (stream.unwrap(), Arc::clone(&answer));
            std::thread::spawn(move || {
                let (mut head, mut byte) = (Vec::new(), [0]);
                while !head.ends_with(b"\r\n\r\n") {
                    if stream.read(&mut byte).unwrap_or(0) == 0 {
                        return;
                    }
                    head.push(byte[0]);
                }
                // The client closes the connection early.
                stream.write_all(&answer).ok();
            });
        }
    });
    url
}

fn answer(headers: &str, body: &[u8]) -> Vec<u8> {
    let head =
        format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n{headers}\r\n", body.len());
    [head.as_bytes(), body].concat()
}

/// Returns a gzip stream of zeros that unpacks to this many MiB. The stream has no end.
fn bomb(mib: usize) -> Vec<u8> {
    let mut gzip = flate2::Compress::new(flate2::Compression::best(), false);
    let mut pack = || {
        let mut packed = Vec::with_capacity(MIB);
        gzip.compress_vec(&vec![0; MIB], &mut packed, flate2::FlushCompress::Sync).unwrap();
        packed
    };
    let header = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    // The second chunk refers back only to zeros, so it can be repeated.
    let (first, second) = (pack(), pack());
    [&header[..], &first, &second.repeat(mib - 1)].concat()
}

/// Runs the command. Returns exit code, stderr, and peak memory in MiB.
fn run_measured(mut command: Command) -> (i32, String, usize) {
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    let mut pipe = child.stderr.take().unwrap();
    let words = std::thread::spawn(move || {
        let mut words = String::new();
        pipe.read_to_string(&mut words).unwrap();
        words
    });
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    let ended = loop {
        let text = fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.trim().split(' ').next()?.parse::<usize>().ok());
        peak = peak.max(kib.unwrap_or(0) / 1024);
        if let Some(ended) = child.try_wait().unwrap() {
            break ended;
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    assert!(peak > 0, "nothing was measured");
    (ended.code().unwrap_or(-1), words.join().unwrap(), peak)
}

/// Runs a step with a malicious server.
fn run_step(step: &str, answer: Vec<u8>) -> (i32, String, usize) {
    let folder = tempfile::tempdir().unwrap();
    let ids: Vec<_> = (1..=12).map(|id| format!("abc,{id}\n")).collect();
    fs::write(folder.path().join("images.csv"), format!("seq_id,img_id\n{}", ids.concat())).unwrap();
    fs::write(folder.path().join("sequences.csv"), "seq_id\nabc\n").unwrap();
    let url = serve(answer);
    let mut command = command(folder.path());
    command.env("MAPILLARY_TOKEN", Sandbox::TOKEN);
    command.env("MAPILLARY_GRAPH_URL", &url).env("MAPILLARY_TILES_URL", &url);
    command.arg(if step == "batch" { "metadata" } else { step });
    command.args(["--attempts=1", "--concurrency=64"]);
    match step {
        "sequences" => command.args(["--bbox=33.33,35.15,33.34,35.16", "--exhaustive"]),
        "images" => command.args(["-i", "sequences.csv"]),
        "batch" => command.args(["-i", "images.csv"]),
        // Each image in its own request, all at once.
        _ => command.args(["-i", "images.csv", "--batch-size=1"]),
    };
    run_measured(command)
}

/// Encodes a number for protobuf.
fn varint(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number >= 128 {
        bytes.push(u8::try_from(number % 128).unwrap() | 128);
        number /= 128;
    }
    bytes.push(u8::try_from(number).unwrap());
    bytes
}

#[test]
fn a_gzip_bomb_is_an_error_in_bounded_memory() {
    let bomb = bomb(400);
    for (step, headers, stderr) in [
        ("sequences", "content-encoding: gzip\r\n", "the response is larger than 64 MiB"),
        ("sequences", "", "the tile unpacks to more than 64 MiB"),
        ("images", "content-encoding: gzip\r\n", "the response is larger than 64 MiB"),
        ("metadata", "content-encoding: gzip\r\n", "the response is larger than 64 MiB"),
        ("metadata", "", "expected value at line 1 column 1"),
    ] {
        let (exit, words, peak) = run_step(step, answer(headers, &bomb));
        assert!(exit == 1 && words.contains(stderr), "{step} {headers}: {exit} {words}");
        // At most six responses of 64 MiB at once, and some margin.
        assert!(peak < 650, "{step} {headers}: {peak} MiB");
    }
}

#[test]
fn responses_with_millions_of_empty_values_need_little_memory() {
    fn list(begin: &str, one: &str, end: &str) -> Vec<u8> {
        let count = 20 * MIB / (one.len() + 1);
        [begin, &vec![one; count].join(","), end].concat().into_bytes()
    }
    let entries: Vec<_> = (0..1_500_000).map(|id| format!("\"{id}\":{{}}")).collect();
    let layer = [&b"\x0a\x08sequence"[..], &b"\x22\x00".repeat(20_000_000)].concat();
    let tile = [b"\x1a", &varint(layer.len())[..], &layer].concat();
    for (step, body, stderr) in [
        ("images", list("{\"data\":[", "{}", "]}"), "more than 1,000 invalid entries"),
        ("images", list("{\"data\":[", "{\"id\":1}", "]}"), "more than a million images"),
        ("metadata", list("{\"error\":[", "0", "]}"), "status 200"),
        ("batch", format!("{{{}}}", entries.join(",")).into_bytes(), "more images than were requested"),
        ("metadata", list("{\"id\":\"1\",\"detections\":{\"data\":[", "{}", "]}}"), "about another image"),
        ("metadata", list("{\"id\":\"1\",\"camera_parameters\":[", "0", "]}"), "about another image"),
        ("sequences", tile, "more than 16 million values"),
    ] {
        let (exit, words, peak) = run_step(step, answer("", &body));
        let begin = String::from_utf8_lossy(&body[..40]).into_owned();
        assert!([1, 3].contains(&exit) && words.contains(stderr), "{step} {begin}: {exit} {words}");
        assert!(peak < 650, "{step} {begin}: {peak} MiB");
    }
}
