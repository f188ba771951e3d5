//! The client's reaction to every known error response of the tile host, the Graph API and the image host:
//! number of attempts, backoff, and message.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::{StreamExt, stream};
use streetflow::{
    Client, ErrorKind, Event, Image, ImageId, ImageSink, Metadata, Result, SequenceId, Sink, TileId, Written,
};
use streetflow_sandbox::{Fault, Host, Rule, Sandbox};
use tokio::sync::Notify;

use crate::support::{builder, names};

const TILE: TileId = TileId { z: 14, x: 9710, y: 6475 };

/// Maximum number of attempts of the clients in this file.
const ATTEMPTS: usize = 3;

/// A longer wait ends the test of a request.
const MAX_WAIT: Duration = Duration::from_secs(5);

/// An observer that records retries, waits and messages.
#[derive(Default)]
struct Recorder {
    waits: Mutex<Vec<Duration>>,
    messages: Mutex<Vec<String>>,
    long: Notify,
}

impl Recorder {
    fn on_event(&self, event: &Event<'_>) {
        match event {
            Event::Retry { wait, .. } => {
                self.waits.lock().unwrap().push(*wait);
                if *wait > MAX_WAIT {
                    self.long.notify_one();
                }
            }
            Event::Failed { error, .. } | Event::Gone { error, .. } => {
                let advice = error.hint().unwrap_or_default();
                self.messages.lock().unwrap().push(format!("{} | {advice}", error.chain()));
            }
            _ => {}
        }
    }

    fn longest(&self) -> Duration {
        self.waits.lock().unwrap().iter().max().copied().unwrap_or_default()
    }
}

fn recorded_client(sandbox: &Sandbox) -> (Client, Arc<Recorder>) {
    let recorder = Arc::new(Recorder::default());
    let observer = {
        let recorder = Arc::clone(&recorder);
        Arc::new(move |event: &Event<'_>| recorder.on_event(event))
    };
    let client = builder(sandbox)
        .max_attempts(u32::try_from(ATTEMPTS).unwrap())
        .stall_timeout(Duration::from_millis(150))
        .observer(observer)
        .build();
    (client.unwrap(), recorder)
}

/// Returns the result of a request, or `None` if it waits too long for a test.
async fn outcome<T>(recorder: &Recorder, request: impl Future<Output = Result<T>>) -> Option<Result<T>> {
    tokio::select! {
        outcome = request => Some(outcome),
        () = recorder.long.notified() => None,
    }
}

fn header(status: u16, name: &str, value: &str) -> Fault {
    Fault::status(status, "").header(name, value)
}

/// The result of an error response.
#[derive(Debug, Clone, Copy, PartialEq)]
enum End {
    Good,
    /// An error after this many requests in total.
    Fails(ErrorKind, usize),
    /// Waits at least this many seconds before the retry.
    Waits(u64),
}
use End::{Fails, Good, Waits};
use ErrorKind::{Auth, Blocked, Gone, Malformed, Rejected, TooLarge, Unavailable};

const RETRIED: End = Fails(Unavailable, ATTEMPTS);

#[tokio::test(flavor = "multi_thread")]
async fn each_error_response_of_the_tile_host() {
    let water = "\u{1a}\u{9}\u{a}\u{5}water\u{78}\u{2}";
    let cases = [
        (Fault::Empty, Good, ""),
        (Fault::status(204, ""), Good, ""),
        (Fault::status(200, water), Good, ""),
        (Fault::status(404, "no such tile"), Fails(Unavailable, ATTEMPTS), "tile not found"),
        (Fault::status(400, ""), Fails(Auth, 1), "MAPILLARY_TOKEN"),
        (Fault::status(401, ""), Fails(Auth, 1), "MAPILLARY_TOKEN"),
        (Fault::status(403, ""), Fails(Auth, 1), "MAPILLARY_TOKEN"),
        (Fault::Redirect, Fails(Blocked, 1), "about a day"),
        (
            header(303, "location", "https://www.mapillary.com/login/"),
            Fails(Blocked, 1),
            "the same command again",
        ),
        (header(307, "location", "https://www.mapillary.com/login/"), Fails(Blocked, 1), "about a day"),
        (Fault::Html, Fails(Blocked, 1), "about a day"),
        (Fault::status(200, "<?xml version=\"1.0\"?>"), Fails(Blocked, 1), "about a day"),
        (Fault::status(200, "{\"data\":[]}"), Fails(Blocked, 1), "about a day"),
        (Fault::status(500, ""), RETRIED, "500"),
        (Fault::status(503, "<html>"), RETRIED, ""),
        (Fault::Reset, RETRIED, ""),
        (Fault::Stall, RETRIED, "no byte for"),
        (Fault::Truncate(3), RETRIED, ""),
        (Fault::TruncateSilently(300), Fails(Malformed, ATTEMPTS), "the tile is truncated"),
        (Fault::status(200, "no tile at all"), Fails(Malformed, ATTEMPTS), ""),
        (header(429, "retry-after", "30"), Waits(30), ""),
    ];
    for (fault, end, expected_text) in cases {
        let sandbox = Sandbox::start().await.unwrap();
        sandbox.add_rule(Rule::on(Host::Tiles).fault(fault.clone()));
        let (client, recorder) = recorded_client(&sandbox);
        // As in the walk: bytes that are no tile are a failed attempt.
        let source = streetflow::TileSource::within(&client, "33.360,35.160,33.361,35.161".parse().unwrap());
        let walk = async {
            match streetflow::Source::stream(source).next().await {
                Some(Err(error)) => Err(error),
                _ => Ok(()),
            }
        };
        check(&sandbox, &recorder, outcome(&recorder, walk).await, end, expected_text, &format!("{fault:?}"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_tile_gets_longer_backoff_than_a_server_error() {
    let sandbox = Sandbox::start().await.unwrap();
    let waits = async |status: u16| {
        sandbox.clear_rules();
        sandbox.add_rule(Rule::on(Host::Tiles).fault(Fault::status(status, "")));
        let (client, recorder) = recorded_client(&sandbox);
        client.tile(TILE).await.unwrap_err();
        recorder.longest()
    };
    assert!(waits(404).await > waits(500).await * 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_error_response_of_the_graph_api() {
    let error = |status, code, subcode, message: &str| Fault::graph_error(status, code, subcode, message);
    let limit = "Application request limit reached";
    let gone = "Unsupported get request. Object with ID 'X' does not exist";
    let reduce = "Please reduce the amount of data you're asking for, then retry your request";
    let cases = [
        (error(500, 190, None, "Invalid OAuth 2.0 Access Token"), Fails(Auth, 1), "MAPILLARY_TOKEN"),
        (error(401, 190, None, "Failed to decode"), Fails(Auth, 1), "MAPILLARY_TOKEN"),
        (error(401, 190, None, "Error validating application"), Fails(Auth, 1), "MAPILLARY_TOKEN"),
        (error(400, 190, None, "Error validating application"), Fails(Auth, 1), "MAPILLARY_TOKEN"),
        (error(401, 190, None, "The user has not authorized"), Fails(Auth, 1), "MAPILLARY_TOKEN"),
        (error(400, 100, Some(33), gone), Fails(Gone, 1), "does not exist"),
        (error(400, 100, None, "Tried accessing nonexisting field (x)"), Fails(Rejected, 1), "field (x)"),
        (error(500, 100, None, "Tried accessing nonexisting field (x)"), Fails(Rejected, 1), "field (x)"),
        (error(500, 1, None, reduce), Fails(TooLarge, ATTEMPTS), "reduce"),
        (error(500, 2, None, "Service temporarily unavailable"), RETRIED, "temporarily"),
        (error(400, -2, Some(3_404_014), "Timeout"), RETRIED, "Timeout"),
        (error(403, 4, None, limit), Waits(60), ""),
        (error(429, 4, None, limit), Waits(60), ""),
        (error(400, 17, None, "User request limit reached"), Waits(60), ""),
        (error(400, 32, None, "Page request limit reached"), Waits(60), ""),
        (error(400, 613, None, "Calls to this api have exceeded"), Waits(60), ""),
        (
            error(400, 368, Some(1_348_007), "log in to see this page"),
            Fails(Blocked, 1),
            "try again tomorrow",
        ),
        (Fault::status(500, "{}"), RETRIED, "500"),
        (Fault::status(502, "<html>"), RETRIED, ""),
        (Fault::status(503, ""), RETRIED, ""),
        (Fault::status(504, ""), RETRIED, ""),
        (header(429, "retry-after", "45"), Waits(45), ""),
        (Fault::Html, Fails(Malformed, ATTEMPTS), "a web page instead of JSON"),
        (Fault::status(200, "{\"data\":[{\"id\":"), Fails(Malformed, ATTEMPTS), "EOF"),
        (Fault::Reset, RETRIED, ""),
        (Fault::Stall, RETRIED, "no byte for"),
        (Fault::Truncate(20), RETRIED, ""),
        (header(302, "location", "https://www.mapillary.com/login/"), Fails(Blocked, 1), "login"),
    ];
    for (fault, end, expected_text) in cases {
        let sandbox = Sandbox::start().await.unwrap();
        let sequence = sandbox.mock_data().sequences().iter().find(|sequence| !sequence.is_gone()).unwrap();
        let (sequence, image) = (SequenceId::new(sequence.id()).unwrap(), sequence.images().next().unwrap());
        let image = Image { seq_id: sequence.clone(), img_id: ImageId::new(&image.id()).unwrap() };
        sandbox.add_rule(Rule::on(Host::Graph).fault(fault.clone()));
        let (client, recorder) = recorded_client(&sandbox);
        let listed = async { client.image_ids(&sequence).await.map(drop) };
        check(
            &sandbox,
            &recorder,
            outcome(&recorder, listed).await,
            end,
            expected_text,
            &format!("list: {fault:?}"),
        );
        sandbox.clear_requests();
        let (client, recorder) = recorded_client(&sandbox);
        let fetched = async { client.image(&image, &"width".parse()?).await.map(drop) };
        check(
            &sandbox,
            &recorder,
            outcome(&recorder, fetched).await,
            end,
            expected_text,
            &format!("image: {fault:?}"),
        );
    }
}

fn check<T>(
    sandbox: &Sandbox,
    recorder: &Recorder,
    outcome: Option<Result<T>>,
    end: End,
    expected_text: &str,
    case: &str,
) {
    let sent = sandbox.requests().len();
    match (outcome, end) {
        (Some(Ok(_)), Good) => assert_eq!(sent, 1, "{case}"),
        (Some(Err(error)), Fails(kind, times)) => {
            assert_eq!((error.kind(), sent), (kind, times), "{case}: {error:?}");
            let text = format!("{} | {}", error.chain(), error.hint().unwrap_or_default());
            assert!(text.contains(expected_text), "{case}: {text}");
            assert!(!text.contains("0123456789abcdef"), "{case}: the token shows");
        }
        (None, Waits(seconds)) => {
            assert_eq!(sent, 1, "{case}");
            assert!(recorder.longest() >= Duration::from_secs(seconds), "{case}: {:?}", recorder.longest());
        }
        (outcome, end) => panic!("{case}: {:?} is not {end:?}", outcome.map(|outcome| outcome.map(drop))),
    }
}

async fn with_urls(client: &Client, sandbox: &Sandbox, count: usize) -> Vec<Metadata> {
    let data = sandbox.mock_data();
    let sequence =
        data.sequences().iter().find(|sequence| !sequence.is_gone() && sequence.image_count() > 20).unwrap();
    let images = sequence.images().filter(|image| image.has_picture() && !image.is_gone()).take(count);
    let seq_id = SequenceId::new(sequence.id()).unwrap();
    let images: Vec<_> = images
        .map(|image| Image { seq_id: seq_id.clone(), img_id: ImageId::new(&image.id()).unwrap() })
        .collect();
    let records = client.images(&images, &"thumb_256_url".parse().unwrap()).await.unwrap();
    let records: Vec<_> = records.into_iter().flatten().collect();
    assert_eq!(records.len(), count);
    records
}

async fn download(client: &Client, folder: &std::path::Path, images: Vec<Metadata>) -> Result<Written> {
    let images = stream::iter(images.into_iter().map(Ok)).boxed();
    Box::new(ImageSink::new(client, folder)).drain(images).await
}

#[tokio::test(flavor = "multi_thread")]
async fn each_error_response_of_the_image_host() {
    // Fault, number of requests, whether a fresh URL is requested, and the message if the fault stays.
    let cases = [
        (Fault::status(403, "URL signature expired"), 2, true, "URL signature expired"),
        (Fault::status(403, "URL signature mismatch"), 2, true, "URL signature mismatch"),
        (Fault::status(404, ""), 2, true, ""),
        (Fault::status(410, ""), 2, true, ""),
        (Fault::status(500, ""), ATTEMPTS, false, "after 3 attempts"),
        (Fault::status(503, "<html>"), ATTEMPTS, false, "after 3 attempts"),
        (Fault::Empty, ATTEMPTS, false, "the response is empty"),
        (Fault::Html, ATTEMPTS, false, "it is HTML, not a JPEG"),
        (Fault::Truncate(900), ATTEMPTS, false, ""),
        (Fault::TruncateSilently(900), ATTEMPTS, false, "the picture is truncated"),
        (Fault::Reset, ATTEMPTS, false, ""),
        (Fault::Stall, ATTEMPTS, false, "no byte for"),
    ];
    for (fault, sent, fresh, expected_text) in cases {
        let sandbox = Sandbox::start().await.unwrap();
        let (client, recorder) = recorded_client(&sandbox);
        let images = with_urls(&client, &sandbox, 1).await;
        sandbox.clear_requests();
        sandbox.add_rule(Rule::on(Host::Images).fault(fault.clone()));
        let folder = tempfile::tempdir().unwrap();
        let written = download(&client, folder.path(), images.clone()).await.unwrap();
        assert_eq!((written.records, written.failed), (0, 1), "{fault:?}");
        assert_eq!(sandbox.requests_to(Host::Images).len(), sent, "{fault:?}");
        assert_eq!(sandbox.requests_to(Host::Graph).len(), usize::from(fresh), "{fault:?}");
        let text = recorder.messages.lock().unwrap().concat();
        assert!(text.contains(expected_text), "{fault:?}: {text}");
        assert!(names(folder.path()).is_empty(), "{fault:?}");
        // If the fault occurs once, the picture is still downloaded.
        sandbox.clear_rules();
        sandbox.add_rule(Rule::on(Host::Images).times(1).fault(fault.clone()));
        let written = download(&client, folder.path(), images).await.unwrap();
        assert_eq!((written.records, written.failed), (1, 0), "{fault:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_url_is_not_requested_and_fresh_urls_come_in_batches() {
    let sandbox = Sandbox::start().await.unwrap();
    sandbox.expire_urls_at(1);
    let (client, recorder) = recorded_client(&sandbox);
    let images = with_urls(&client, &sandbox, 20).await;
    let folder = tempfile::tempdir().unwrap();
    let tokenless = Client::builder().graph_url(sandbox.graph_url()).observer(Arc::new({
        let recorder = Arc::clone(&recorder);
        move |event: &Event<'_>| recorder.on_event(event)
    }));
    let written = download(&tokenless.build().unwrap(), folder.path(), images.clone()).await.unwrap();
    assert_eq!((written.failed, sandbox.requests_to(Host::Images).len()), (20, 0));
    let expected_text = recorder.messages.lock().unwrap().remove(0);
    assert!(
        expected_text.contains("its URL has expired") && expected_text.contains("MAPILLARY_TOKEN"),
        "{expected_text}"
    );

    sandbox.expire_urls_at(u32::MAX);
    sandbox.clear_requests();
    let written = download(&client, folder.path(), images.clone()).await.unwrap();
    assert_eq!((written.records, written.failed), (20, 0));
    assert_eq!(sandbox.requests_to(Host::Images).len(), 20, "expired URLs were not requested");
    let batches = sandbox.requests_to(Host::Graph);
    assert!(
        batches.len() <= 3
            && batches.iter().all(|request| request.param("fields").as_deref() == Some("thumb_256_url"))
    );

    // A fresh URL that is expired too, an image that is deleted by now, and a rejected token.
    sandbox.expire_urls_at(1);
    let other = tempfile::tempdir().unwrap();
    let written = download(&client, other.path(), images.clone()).await.unwrap();
    assert_eq!((written.records, written.failed), (0, 20));
    sandbox.expire_urls_at(u32::MAX);
    let lost = images[3].img_id.to_string();
    let gone = Fault::graph_error(400, 100, Some(33), "Unsupported get request");
    sandbox.add_rule(Rule::on(Host::Graph).path(&format!("/{lost}")).fault(gone));
    sandbox.add_rule(Rule::on(Host::Graph).fault(Fault::MissingIds(vec![lost])));
    let written = download(&client, other.path(), images.clone()).await.unwrap();
    assert_eq!((written.records, written.gone, written.failed), (19, 1, 0));
    let wrong = builder(&sandbox).token(streetflow::Token::new("MLY|1|wrong").unwrap()).build().unwrap();
    let third = tempfile::tempdir().unwrap();
    let written = download(&wrong, third.path(), images).await.unwrap();
    assert_eq!((written.records, written.failed), (0, 20), "pictures with a valid URL are downloaded");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_causes_no_retry_storm_and_does_not_fail_the_crawl() {
    let sandbox = Sandbox::start().await.unwrap();
    let (client, recorder) = recorded_client(&sandbox);
    let images = with_urls(&client, &sandbox, 20).await;
    let many: Vec<_> = (0..400)
        .map(|number: u64| Metadata {
            img_id: ImageId::new(&(number + 1).to_string()).unwrap(),
            ..images[0].clone()
        })
        .collect();
    sandbox.clear_requests();
    sandbox.add_rule(Rule::on(Host::Images).fault(Fault::status(503, "")));
    let folder = tempfile::tempdir().unwrap();
    tokio::select! {
        _ = download(&client, folder.path(), many) => panic!("an outage is waited out"),
        () = recorder.long.notified() => {}
    }
    let sent = sandbox.requests().len();
    // Twice the concurrency, plus the retry budget of a failing host.
    assert!(sent <= 64 * 2 + 110, "{sent} requests");
    let last = sandbox.requests().last().unwrap().in_flight;
    assert!(last <= 8, "{last} at once at the end");
}
