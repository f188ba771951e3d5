//! The token is in nothing that anybody can read, whatever a server makes of it.

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

use crate::support::{command_on, image, metadata, output};

/// Percent-encoded: all that is not a letter or a digit, or all there is.
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

/// Whether a text holds the secret part of a token, in clear or encoded once or twice.
fn holds(bytes: &[u8], token: &str) -> bool {
    let secret = token.rsplit('|').next().filter(|last| last.len() >= 16).unwrap_or(token).as_bytes();
    let once = decoded(bytes);
    let twice = decoded(&once);
    [bytes, &once, &twice].iter().any(|text| memchr::memmem::find(text, secret).is_some())
}

/// The token in all forms that a server has been seen to give it, and some more.
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

/// What a server of ill will says to a request of a host: with a bad status, or in a good answer.
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

/// Everything that an error says, in every way there is.
fn words(error: &Error) -> String {
    let mut words =
        format!("{error} {error:?} {error:#?} {} {:?} {:?}", error.chain(), error.hint(), error.subject());
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        write!(words, " {inner} {inner:?}").unwrap();
        cause = inner.source();
    }
    words
}

async fn no_error_or_event_tells(token: &str) {
    let sandbox = Sandbox::start().await.unwrap();
    let heard = Arc::new(Mutex::new(String::new()));
    let observer = {
        let heard = Arc::clone(&heard);
        Arc::new(move |event: &Event<'_>| {
            let mut heard = heard.lock().unwrap();
            writeln!(heard, "{event:?}").unwrap();
            if let Event::Retry { error, .. } | Event::Failed { error, .. } | Event::Gone { error, .. } =
                event
            {
                *heard += &words(error);
            }
        })
    };
    let folder = tempfile::tempdir().unwrap();
    let store = ResponseStore::open(folder.path().join("kept"), "a question").unwrap();
    let echo = echoes(token).join(" ");
    for fault in faults(token, &echo) {
        sandbox.clear_script();
        for host in [Host::Graph, Host::Tiles, Host::Images] {
            sandbox.script(Rule::on(host).fault(fault.clone()));
        }
        // A new one each time: a block is for good.
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
        let mut said = String::new();
        let mut note = |error: Option<Error>| said.extend(error.map(|error| words(&error)));
        note(client.tile(TileId { z: 14, x: 1, y: 1 }).await.err());
        note(client.image_ids(&SequenceId::new("abc").unwrap()).await.err());
        note(client.image(&image("1"), &Fields::default()).await.err());
        note(client.images(&[image("1"), image("2")], &Fields::default()).await.err());
        let mut record = metadata("1");
        record.thumb_256_url = Some(format!("{}/x.jpg", sandbox.images_url()));
        let sink = ImageSink::new(&client, folder.path());
        let images = futures::stream::iter([Ok(record)]);
        note(Box::new(sink).drain(Box::pin(images)).await.err());
        assert!(!said.is_empty());
        assert!(!holds(said.as_bytes(), token), "{token}: {said}");
    }
    store.close().unwrap();
    let heard = heard.lock().unwrap();
    assert!(heard.contains("Retry") && heard.contains("Failed"));
    assert!(!holds(heard.as_bytes(), token), "{token}: {heard}");
    no_file_holds(folder.path(), token);
}

/// Looks at every byte of every file below a folder, and into what is packed.
fn no_file_holds(folder: &Path, token: &str) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        assert!(!holds(path.to_string_lossy().as_bytes(), token));
        if path.is_dir() {
            no_file_holds(&path, token);
            continue;
        }
        let bytes = fs::read(&path).unwrap();
        assert!(!holds(&bytes, token), "{token} in {}", path.display());
        if path.file_name().is_some_and(|name| name == "answers") {
            let plain = zstd::stream::decode_all(&bytes[..]).unwrap();
            assert!(
                !holds(&plain, token),
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

/// A tile that shows lines of two sequences, one called as the secret is; all of its bytes are ASCII.
fn tile(secret: &str) -> String {
    let line = |value: u8| {
        let geometry = [9, 100, 100, 10, 20, 0];
        field(2, &[field(2, &[0, value]), vec![3 << 3, 2], field(4, &geometry)].concat())
    };
    let value = |text: &str| field(4, &field(1, text.as_bytes()));
    // Two layers, for each must be short.
    let layer =
        |text: &str| field(3, &[line(0), field(3, b"id"), value(text), field(1, b"sequence")].concat());
    String::from_utf8([layer("abc"), layer(secret)].concat()).unwrap()
}

async fn no_output_of_a_crawl_tells(token: &str, echo: &str) {
    let sandbox = Sandbox::start().await.unwrap();
    let secret = token.rsplit('|').next().filter(|last| last.len() >= 16).unwrap_or(token);
    let (graph, images) = (sandbox.graph_url(), sandbox.images_url());
    let answers = |rule: Rule, body: String| sandbox.script(rule.fault(Fault::status(200, &body)));
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
    // Written so that the token can't be found before the JSON is read.
    let hidden = |json: serde_json::Value| json.to_string().replace(secret, &hide(secret));
    answers(Rule::on(Host::Graph).path("/1"), hidden(one("1")));
    answers(Rule::on(Host::Graph).path("/2"), one("2").to_string());
    answers(Rule::on(Host::Graph).path("/4"), one("4").to_string());
    sandbox.script(
        Rule::on(Host::Graph).fault(Fault::status(500, &json!({"error": {"message": echo}}).to_string())),
    );
    sandbox.script(Rule::on(Host::Images).fault(Fault::status(403, echo)));
    let folder = tempfile::tempdir().unwrap();
    let mut command = command_on(&sandbox, folder.path());
    command.env("MAPILLARY_TOKEN", token).args(
        "crawl --bbox=-1,-1,7,7 --max-zoom=6 --attempts=2 --batch-size=1 -v --format=csv,geojson,geojsonseq \
         --fields=sequence,creator,make,model,thumb_256_url,mesh,geometry,detections"
            .split_whitespace(),
    );
    let (exit, said) = output(command).await;
    assert_eq!(exit, 3, "{said}");
    assert!(!holds(said.as_bytes(), token), "{token}: {said}");
    let outputs = folder.path().join("outputs");
    let kept = crate::support::names(&outputs.join(".streetflow"));
    assert!(
        kept.len() == 1 && outputs.join(".streetflow").join(&kept[0]).join("answers").exists(),
        "{kept:?}"
    );
    no_file_holds(folder.path(), token);
    let read = |name: &str| fs::read_to_string(outputs.join(name)).unwrap();
    assert_eq!(read("seq_dataset.csv"), "org_id,seq_id\n,abc\n");
    assert_eq!(read("img_dataset.csv"), "seq_id,img_id\nabc,1\nabc,2\nabc,3\nabc,4\n");
    let table = read("img_meta_dataset.csv");
    assert_eq!(table.lines().count(), 4, "one failed: {table}");
    assert!(table.contains("user [token]"), "{table}");
    for asked in sandbox.requests() {
        let line = format!("{}?{}", asked.path, asked.query);
        assert_eq!(holds(line.as_bytes(), token), asked.host == Host::Tiles, "{line}");
        assert_eq!(asked.authorization.is_some(), asked.host == Host::Graph);
        assert!(!holds(format!("{asked:?}").as_bytes(), token) || !token.starts_with("MLY"));
    }
}

/// The first character as a JSON escape, which no search for the text finds.
fn hide(secret: &str) -> String {
    let first = secret.chars().next().unwrap();
    format!("\\u{:04x}{}", u32::from(first), &secret[1..])
}

fn run(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap().block_on(test);
}

proptest! {
    // What fails here fails for nearly every token: the first will do.
    #![proptest_config(Config { cases: 4, max_shrink_iters: 0, failure_persistence: None, ..Config::default() })]

    #[test]
    fn no_error_and_no_event_holds_the_token(token in tokens()) {
        run(no_error_or_event_tells(&token));
    }

    #[test]
    fn no_word_file_or_request_of_a_crawl_holds_the_token(
        token in r"MLY\|[0-9]{16}\|[0-9a-f]{32}",
        form in 0..7_usize,
    ) {
        run(no_output_of_a_crawl_tells(&token, &echoes(&token)[form]));
    }
}

#[tokio::test]
async fn a_url_that_holds_the_token_is_never_asked() {
    let sandbox = Sandbox::start().await.unwrap();
    let client = crate::support::client(&sandbox);
    let folder = tempfile::tempdir().unwrap();
    let mut images = Vec::new();
    for (id, echo) in echoes(Sandbox::TOKEN).iter().enumerate() {
        for url in
            [format!("{}/a?t={echo}", sandbox.images_url()), format!("{}/{echo}/a", sandbox.images_url())]
        {
            let mut image = metadata(&id.to_string());
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
async fn what_can_be_shown_for_debugging_hides_the_token() {
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
        words(&refused),
        words(&in_path.build().err().unwrap()),
    );
    assert!(!holds(shown.as_bytes(), Sandbox::TOKEN), "{shown}");
}
