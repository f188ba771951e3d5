//! The token never appears in output, files or logs, even if a server repeats it.

use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::Config;
use serde_json::json;
use streetflow::client::ResponseStore;
use streetflow::{
    Class, Client, Error, Event, Fields, ImageSink, RateLimit, SequenceId, Sink, Tally, TileId, Token,
};
use streetflow_sandbox::{Fault, Host, Rule, Sandbox};

use crate::support::{command_on, image_record, metadata_record, output};

/// Percent-encodes all bytes, or all except letters and digits.
fn encoded(text: &str, all: bool) -> String {
    text.bytes()
        .map(
            |b| {
                if !all && b.is_ascii_alphanumeric() {
                    char::from(b).to_string()
                } else {
                    format!("%{b:02x}")
                }
            },
        )
        .collect()
}

fn decoded(bytes: &[u8]) -> Vec<u8> {
    let digit = |at: usize| char::from(*bytes.get(at)?).to_digit(16);
    let (mut plain, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        let code = if bytes[at] == b'%' { digit(at + 1).zip(digit(at + 2)) } else { None };
        plain.push(code.map_or(bytes[at], |(high, low)| u8::try_from(high * 16 + low).unwrap()));
        at += if code.is_some() { 3 } else { 1 };
    }
    plain
}

/// Returns whether a text contains the secret part of a token, in clear or encoded once or twice.
fn contains_token(bytes: &[u8], token: &str) -> bool {
    let secret = token.rsplit('|').next().filter(|last| last.len() >= 16).unwrap_or(token).as_bytes();
    let once = decoded(bytes);
    let twice = decoded(&once);
    [bytes, &once, &twice].iter().any(|text| memchr::memmem::find(text, secret).is_some())
}

/// Returns the token in all forms that servers are known to return, and some more.
fn echoes(token: &str) -> Vec<String> {
    let once = encoded(token, false);
    let pipe = token.replace('|', "%7C");
    let all = encoded(token, true);
    vec![
        token.to_owned(),
        pipe.replace('%', "%25"),
        encoded(&all, false),
        encoded(&once, false),
        pipe,
        once,
        all,
    ]
}

fn tokens() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => r"MLY\|[0-9]{16}\|[0-9a-f]{32}",
        1 => "[!-~]{20,40}",
        1 => r#"MLY\|[0-9]{4}\|["\\/&=+A-Za-z]{16,24}"#,
    ]
    .prop_filter("refused for its form", |text| Token::new(text).is_ok())
}

/// Returns malicious responses of a host: with an error status, or in a valid response.
fn faults(token: &str, echo: &str) -> Vec<Fault> {
    let header = encoded(echo, true);
    let message = json!({"error": {"message": format!("refused {echo} for access_token={echo}"), "code": 1}});
    let odd = json!({"error": [echo]});
    let mut faults = Vec::new();
    for status in [200, 302, 400, 401, 403, 404, 500] {
        for body in [
            message.to_string(),
            odd.to_string(),
            json!(echo).to_string(),
            format!("<p>{echo}"),
            echo.to_owned(),
        ] {
            let location = format!("https://www.mapillary.com/login/?next={header}");
            faults.push(
                Fault::status(status, &body).header("location", &location).header("x-fb-debug", &header),
            );
        }
    }
    let refused = json!({"error": {"message": token, "code": 190}});
    faults.push(Fault::status(400, &refused.to_string()));
    faults
}

/// Returns all texts of an error.
fn all_texts(error: &Error) -> String {
    let mut all_texts =
        format!("{error} {error:?} {error:#?} {} {:?} {:?}", error.chain(), error.hint(), error.subject());
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        write!(all_texts, " {inner} {inner:?}").unwrap();
        cause = inner.source();
    }
    all_texts
}

async fn check_errors_and_events(token: &str) {
    let sandbox = Sandbox::start().await.unwrap();
    let log = Arc::new(Mutex::new(String::new()));
    let observer = {
        let log = Arc::clone(&log);
        Arc::new(move |event: &Event<'_>| {
            let mut log = log.lock().unwrap();
            writeln!(log, "{event:?}").unwrap();
            if let Event::Retry { error, .. } | Event::Failed { error, .. } | Event::Gone { error, .. } =
                event
            {
                *log += &all_texts(error);
            }
        })
    };
    let folder = tempfile::tempdir().unwrap();
    let store = ResponseStore::open(folder.path().join("kept"), "a question").unwrap();
    let echo = echoes(token).join(" ");
    for fault in faults(token, &echo) {
        sandbox.clear_rules();
        for host in [Host::Graph, Host::Tiles, Host::Images] {
            sandbox.add_rule(Rule::on(host).fault(fault.clone()));
        }
        // A new client each time, because a block is permanent.
        let client = Client::builder()
            .token(Token::new(token).unwrap())
            .graph_url(sandbox.graph_url())
            .tiles_url(sandbox.tiles_url())
            .max_attempts(2)
            .initial_backoff(Duration::ZERO)
            .observer(observer.clone())
            .response_store(&store)
            .build()
            .unwrap();
        let mut stderr = String::new();
        let mut note = |error: Option<Error>| stderr.extend(error.map(|error| all_texts(&error)));
        note(client.tile(TileId { z: 14, x: 1, y: 1 }).await.err());
        note(client.image_ids(&SequenceId::new("abc").unwrap()).await.err());
        note(client.image(&image_record("1"), &Fields::default()).await.err());
        note(client.images(&[image_record("1"), image_record("2")], &Fields::default()).await.err());
        let mut record = metadata_record("1");
        record.thumb_256_url = Some(format!("{}/x.jpg", sandbox.images_url()));
        let sink = ImageSink::new(&client, folder.path());
        let images = futures::stream::iter([Ok(record)]);
        note(Box::new(sink).drain(Box::pin(images)).await.err());
        assert!(!stderr.is_empty());
        assert!(!contains_token(stderr.as_bytes(), token), "{token}: {stderr}");
    }
    store.close().unwrap();
    let log = log.lock().unwrap();
    assert!(log.contains("Retry") && log.contains("Failed"));
    assert!(!contains_token(log.as_bytes(), token), "{token}: {log}");
    check_files(folder.path(), token);
}

/// Asserts that no file below a folder contains the token, including compressed content.
fn check_files(folder: &Path, token: &str) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        assert!(!contains_token(path.to_string_lossy().as_bytes(), token));
        if path.is_dir() {
            check_files(&path, token);
            continue;
        }
        let bytes = fs::read(&path).unwrap();
        assert!(!contains_token(&bytes, token), "{token} in {}", path.display());
        if path.file_name().is_some_and(|name| name == "answers") {
            let plain = zstd::stream::decode_all(&bytes[..]).unwrap();
            assert!(
                !contains_token(&plain, token),
                "{token} in {}: {}",
                path.display(),
                String::from_utf8_lossy(&plain)
            );
        }
    }
}

fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let len = u8::try_from(bytes.len()).unwrap();
    assert!(len < 128);
    [&[number << 3 | 2, len], bytes].concat()
}

/// Returns a tile with two sequences, one of them with the secret as its id. All bytes are ASCII.
fn tile(secret: &str) -> String {
    let line = |value: u8| {
        let geometry = [9, 100, 100, 10, 20, 0];
        field(2, &[field(2, &[0, value]), vec![3 << 3, 2], field(4, &geometry)].concat())
    };
    let value = |text: &str| field(4, &field(1, text.as_bytes()));
    // Two layers, because each must be short.
    let layer =
        |text: &str| field(3, &[line(0), field(3, b"id"), value(text), field(1, b"sequence")].concat());
    String::from_utf8([layer("abc"), layer(secret)].concat()).unwrap()
}

async fn check_output_of_crawl(token: &str, echo: &str) {
    let sandbox = Sandbox::start().await.unwrap();
    let secret = token.rsplit('|').next().filter(|last| last.len() >= 16).unwrap_or(token);
    let (graph, images) = (sandbox.graph_url(), sandbox.images_url());
    let answers = |rule: Rule, body: String| sandbox.add_rule(rule.fault(Fault::status(200, &body)));
    answers(Rule::on(Host::Tiles), tile(secret));
    let more = format!("{graph}/image_ids?sequence_id=abc&access_token={}&after=2", encoded(token, false));
    let ids = |ids: &[&str]| ids.iter().map(|id| json!({"id": id})).collect::<Vec<_>>();
    answers(
        Rule::on(Host::Graph).path("/image_ids").query("after", "2"),
        json!({"data": ids(&["3", "4"])}).to_string(),
    );
    let page = json!({"data": ids(&["1", "2"]), "paging": {"next": more}});
    answers(Rule::on(Host::Graph).path("/image_ids").query("sequence_id", "abc"), page.to_string());
    answers(Rule::on(Host::Graph).path("/image_ids"), json!({"data": ids(&["9"])}).to_string());
    let one = |id: &str| {
        json!({
            "id": id, "creator": {"id": "7", "username": format!("user {echo}")}, "make": echo, "sequence": secret,
            "model": format!("x{echo}y{echo}"), "thumb_256_url": format!("{images}/{id}?a={echo}"),
            "mesh": {"id": secret, "url": format!("https://x/?t={echo}")}, "geometry": {"coordinates": [1.5, 2.5]},
            "detections": {"data": [{"id": secret}]}, echo: echo,
        })
    };
    // Escaped, so that only a JSON parser finds the token.
    let hidden = |json: serde_json::Value| json.to_string().replace(secret, &hide(secret));
    answers(Rule::on(Host::Graph).path("/1"), hidden(one("1")));
    answers(Rule::on(Host::Graph).path("/2"), one("2").to_string());
    answers(Rule::on(Host::Graph).path("/4"), one("4").to_string());
    sandbox.add_rule(
        Rule::on(Host::Graph).fault(Fault::status(500, &json!({"error": {"message": echo}}).to_string())),
    );
    sandbox.add_rule(Rule::on(Host::Images).fault(Fault::status(403, echo)));
    let folder = tempfile::tempdir().unwrap();
    let mut command = command_on(&sandbox, folder.path());
    command.env("MAPILLARY_TOKEN", token).args(
        "crawl --bbox=-1,-1,7,7 --max-zoom=6 --attempts=2 --batch-size=1 -v --format=csv,geojson,geojsonseq \
         --fields=sequence,creator,make,model,thumb_256_url,mesh,geometry,detections"
            .split_whitespace(),
    );
    let (exit, stderr) = output(command).await;
    assert_eq!(exit, 3, "{stderr}");
    assert!(!contains_token(stderr.as_bytes(), token), "{token}: {stderr}");
    let outputs = folder.path().join("outputs");
    let kept = crate::support::names(&outputs.join(".streetflow"));
    assert!(
        kept.len() == 1 && outputs.join(".streetflow").join(&kept[0]).join("answers").exists(),
        "{kept:?}"
    );
    check_files(folder.path(), token);
    let read = |name: &str| fs::read_to_string(outputs.join(name)).unwrap();
    assert_eq!(read("seq_dataset.csv"), "org_id,seq_id\n,abc\n");
    assert_eq!(read("img_dataset.csv"), "seq_id,img_id\nabc,1\nabc,2\nabc,3\nabc,4\n");
    let table = read("img_meta_dataset.csv");
    assert_eq!(table.lines().count(), 4, "one failed: {table}");
    assert!(table.contains("user [token]"), "{table}");
    for request in sandbox.requests() {
        let line = format!("{}?{}", request.path, request.query);
        assert_eq!(contains_token(line.as_bytes(), token), request.host == Host::Tiles, "{line}");
        assert_eq!(request.authorization.is_some(), request.host == Host::Graph);
        assert!(!contains_token(format!("{request:?}").as_bytes(), token) || !token.starts_with("MLY"));
    }
}

/// Escapes the first character for JSON, so that a text search does not find the secret.
fn hide(secret: &str) -> String {
    let first = secret.chars().next().unwrap();
    format!("\\u{:04x}{}", u32::from(first), &secret[1..])
}

fn run(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap().block_on(test);
}

proptest! {
    // A failure here is independent of the token, so shrinking is unnecessary.
    #![proptest_config(Config { cases: 4, max_shrink_iters: 0, failure_persistence: None, ..Config::default() })]

    #[test]
    fn no_error_and_no_event_contains_the_token(token in tokens()) {
        run(check_errors_and_events(&token));
    }

    #[test]
    fn no_message_file_or_request_of_a_crawl_contains_the_token(
        token in r"MLY\|[0-9]{16}\|[0-9a-f]{32}",
        form in 0..7_usize,
    ) {
        run(check_output_of_crawl(&token, &echoes(&token)[form]));
    }
}

#[tokio::test]
async fn a_url_that_contains_the_token_is_never_requested() {
    let sandbox = Sandbox::start().await.unwrap();
    let client = crate::support::client(&sandbox);
    let folder = tempfile::tempdir().unwrap();
    let mut images = Vec::new();
    for (id, echo) in echoes(Sandbox::TOKEN).iter().enumerate() {
        for url in
            [format!("{}/a?t={echo}", sandbox.images_url()), format!("{}/{echo}/a", sandbox.images_url())]
        {
            let mut image = metadata_record(&id.to_string());
            image.thumb_256_url = Some(url);
            images.push(Ok(image));
        }
    }
    let count = images.len() as u64;
    let sink = ImageSink::new(&client, folder.path());
    let written = Box::new(sink).drain(Box::pin(futures::stream::iter(images))).await.unwrap();
    assert_eq!((written.failed, sandbox.requests().len()), (count, 0));
}

#[tokio::test]
async fn debug_output_hides_the_token() {
    let sandbox = Sandbox::start().await.unwrap();
    let token = Token::new(Sandbox::TOKEN).unwrap();
    let client = crate::support::client(&sandbox);
    client.tile(TileId { z: 14, x: 1, y: 1 }).await.unwrap();
    client.image_ids(&SequenceId::new("abc").unwrap()).await.unwrap_err();
    let folder = tempfile::tempdir().unwrap();
    let store = ResponseStore::open(folder.path(), "a question").unwrap();
    let in_url = format!("{}/?access_token={}", sandbox.graph_url(), Sandbox::TOKEN);
    let refused = Client::builder().graph_url(&in_url).build().err().unwrap();
    let in_path = Client::builder().token(token.clone()).tiles_url(format!(
        "{}/{}",
        sandbox.tiles_url(),
        Sandbox::TOKEN
    ));
    let shown = format!(
        "{token:?} {token:#?} {store:?} {:?} {:?} {:?} {:?} {:?} {} {}",
        sandbox.requests(),
        Tally::default(),
        RateLimit::TILES,
        Class::Tile,
        Event::Request { class: Class::Tile },
        all_texts(&refused),
        all_texts(&in_path.build().err().unwrap()),
    );
    assert!(!contains_token(shown.as_bytes(), Sandbox::TOKEN), "{shown}");
}
