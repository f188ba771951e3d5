//! Requests of the client: token, hosts, retries, concurrency, and downloads.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures::{StreamExt, stream};
use streetflow::{
    Class, Client, ErrorKind, Event, Image, ImageId, ImageSink, Metadata, Quality, RateLimit, SequenceId,
    Sink, Tally, TileId,
};
use streetflow_sandbox::{Fault, Host, MockSequence, Rule, Sandbox};

use crate::support::{builder, client, metadata_record, names};

const TILE: TileId = TileId { z: 14, x: 9710, y: 6475 };

fn known_sequence(sandbox: &Sandbox) -> SequenceId {
    SequenceId::new(sandbox.mock_data().sequences().iter().find(|sequence| !sequence.is_gone()).unwrap().id())
        .unwrap()
}

/// Returns images with their picture URLs.
async fn with_urls(sandbox: &Sandbox, client: &Client, count: usize) -> Vec<Metadata> {
    let fields = "thumb_256_url,thumb_1024_url,thumb_2048_url,thumb_original_url".parse().unwrap();
    let data = sandbox.mock_data();
    let images =
        data.sequences().iter().filter(|sequence| !sequence.is_gone()).flat_map(MockSequence::images);
    let images: Vec<_> = images
        .filter(|image| image.has_picture() && !image.is_gone())
        .take(count)
        .map(|image| Image { seq_id: known_sequence(sandbox), img_id: ImageId::new(&image.id()).unwrap() })
        .collect();
    let mut records = Vec::new();
    for batch in images.chunks(50) {
        records.extend(client.images(batch, &fields).await.unwrap().into_iter().flatten());
    }
    assert_eq!(records.len(), count);
    records
}

async fn download(sink: ImageSink, images: &[Metadata]) -> streetflow::Result<streetflow::Written> {
    let images: Vec<_> = images.iter().cloned().map(Ok).collect();
    Box::new(sink).drain(stream::iter(images).boxed()).await
}

#[tokio::test]
async fn the_token_is_sent_only_in_tile_queries_and_graph_headers() {
    let sandbox = Sandbox::start().await.unwrap();
    let (client, folder) = (client(&sandbox), tempfile::tempdir().unwrap());
    client.tile(TILE).await.unwrap();
    client.image_ids(&known_sequence(&sandbox)).await.unwrap();
    let images = with_urls(&sandbox, &client, 5).await;
    download(ImageSink::new(&client, folder.path()), &images).await.unwrap();
    for request in sandbox.requests() {
        let in_query = request.param("access_token");
        match request.host {
            Host::Tiles => {
                assert_eq!((in_query.as_deref(), request.authorization), (Some(Sandbox::TOKEN), None));
            }
            Host::Graph => {
                assert_eq!(
                    (in_query, request.authorization),
                    (None, Some(format!("OAuth {}", Sandbox::TOKEN)))
                );
            }
            Host::Images => {
                assert_eq!(request.authorization, None);
                assert!(!request.query.contains("MLY") && !request.path.contains("MLY"));
            }
        }
    }
    assert_eq!(sandbox.requests_to(Host::Images).len(), 5);
}

#[tokio::test]
async fn connections_are_reused_and_concurrency_is_bounded() {
    let sandbox = Sandbox::builder().latency(Duration::from_millis(5)).start().await.unwrap();
    let (client, folder) = (builder(&sandbox).concurrency(8).build().unwrap(), tempfile::tempdir().unwrap());
    let images = with_urls(&sandbox, &client, 200).await;
    download(ImageSink::new(&client, folder.path()), &images).await.unwrap();
    assert_eq!(sandbox.requests_to(Host::Images).len(), 200);
    assert!(sandbox.max_in_flight(Host::Images) <= 8, "{}", sandbox.max_in_flight(Host::Images));
    assert!(sandbox.connections(Host::Images) <= 8, "{}", sandbox.connections(Host::Images));
    assert!(sandbox.requests().iter().all(|request| request.version == "HTTP/1.1"));
}

#[tokio::test]
async fn http2_carries_many_requests_on_one_connection() {
    let sandbox = Sandbox::builder().latency(Duration::from_millis(20)).start().await.unwrap();
    let client = builder(&sandbox).http2_prior_knowledge().build().unwrap();
    client.image_ids(&known_sequence(&sandbox)).await.unwrap();
    let unknown = SequenceId::new("unknown-sequence-00000").unwrap();
    let answers = futures::future::join_all((0..40).map(|_| client.image_ids(&unknown))).await;
    assert!(answers.iter().all(|ids| ids.as_ref().is_err_and(|error| error.kind() == ErrorKind::Gone)));
    assert!(sandbox.requests().iter().all(|request| request.version == "HTTP/2.0"));
    assert_eq!(sandbox.connections(Host::Graph), 1);
    assert!(sandbox.max_in_flight(Host::Graph) > 20);
}

#[tokio::test]
async fn temporary_failures_are_retried() {
    let faults: [fn() -> Fault; 11] = [
        || Fault::status(503, "<html>down</html>"),
        || Fault::status(502, ""),
        || Fault::status(408, ""),
        || Fault::Reset,
        || Fault::Truncate(10),
        || Fault::Empty,
        || Fault::Html,
        || Fault::graph_error(500, 2, None, "Service temporarily unavailable"),
        || Fault::graph_error(400, -2, Some(3_404_014), "Timeout"),
        || Fault::TooLarge,
        || Fault::status(200, "{\"data\":[{\"id\""),
    ];
    for fault in faults {
        let sandbox = Sandbox::start().await.unwrap();
        let tally = Arc::new(Tally::default());
        let client = builder(&sandbox).observer(tally.clone()).build().unwrap();
        sandbox.add_rule(Rule::on(Host::Graph).times(2).fault(fault()));
        let ids = client.image_ids(&known_sequence(&sandbox)).await;
        assert!(!ids.unwrap_or_else(|error| panic!("{:?}: {error:?}", fault())).is_empty());
        assert_eq!((tally.retries(), tally.requests(Class::Search)), (2, 3), "{:?}", fault());
    }
}

#[tokio::test]
async fn a_truncated_error_body_is_retried_before_it_is_classified() {
    let sandbox = Sandbox::start().await.unwrap();
    let gone = "Unsupported get request. Object with ID 'X' does not exist";
    sandbox.add_rule(Rule::on(Host::Graph).times(1).fault(Fault::status(400, "{\"error\": {\"mess")));
    sandbox.add_rule(Rule::on(Host::Graph).times(1).fault(Fault::graph_error(400, 100, Some(33), gone)));
    let image = Image { seq_id: known_sequence(&sandbox), img_id: ImageId::new("5").unwrap() };
    let error = client(&sandbox).image(&image, &"width".parse().unwrap()).await.unwrap_err();
    assert_eq!((error.kind(), sandbox.requests().len()), (ErrorKind::Gone, 2));
}

#[tokio::test]
async fn permanent_failures_are_not_retried() {
    let refusals = [
        (Fault::graph_error(500, 190, None, "Invalid OAuth 2.0 Access Token"), ErrorKind::Auth),
        (Fault::graph_error(400, 368, Some(1_348_007), "log in"), ErrorKind::Blocked),
        (Fault::graph_error(500, 100, None, "Tried accessing nonexisting field (x)"), ErrorKind::Rejected),
        (Fault::Redirect, ErrorKind::Blocked),
    ];
    for (fault, kind) in refusals {
        let sandbox = Sandbox::start().await.unwrap();
        sandbox.add_rule(Rule::on(Host::Graph).fault(fault));
        let error = client(&sandbox).image_ids(&known_sequence(&sandbox)).await.unwrap_err();
        assert_eq!((error.kind(), sandbox.requests().len()), (kind, 1), "{error:?}");
        assert!(!format!("{error:?} {}", error.chain()).contains("0123456789abcdef"), "the token is shown");
    }
}

#[tokio::test]
async fn the_last_error_has_the_number_of_attempts() {
    let sandbox = Sandbox::start().await.unwrap();
    sandbox.add_rule(Rule::on(Host::Graph).fault(Fault::status(503, "")));
    let client = builder(&sandbox).max_attempts(3).build().unwrap();
    let error = client.image_ids(&known_sequence(&sandbox)).await.unwrap_err();
    assert_eq!((error.kind(), error.attempts(), error.status()), (ErrorKind::Unavailable, 3, Some(503)));
    assert_eq!(sandbox.requests().len(), 3);
    assert!(error.to_string().contains("after 3 attempts"), "{error}");
}

#[tokio::test]
async fn the_first_login_page_ends_all_tile_traffic() {
    for fault in [Fault::Redirect, Fault::Html, Fault::status(200, "{\"page\":1}")] {
        let sandbox = Sandbox::start().await.unwrap();
        sandbox.add_rule(Rule::on(Host::Tiles).skip(1).fault(fault));
        let client = client(&sandbox);
        client.tile(TILE).await.unwrap();
        for _ in 0..3 {
            let error = client.tile(TILE).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Blocked);
            assert!(error.hint().unwrap().contains("about a day"), "{error:?}");
            assert!(!error.chain().contains("0123456789abcdef"));
        }
        assert_eq!(sandbox.requests().len(), 2, "none after the first rejection");
        client.image_ids(&known_sequence(&sandbox)).await.unwrap();
    }
}

#[tokio::test]
async fn retry_after_pauses_all_requests_of_the_class() {
    let sandbox = Sandbox::start().await.unwrap();
    let limit =
        Fault::graph_error(403, 4, None, "Application request limit reached").header("Retry-After", "1");
    sandbox.add_rule(Rule::on(Host::Graph).times(1).fault(limit));
    let client = client(&sandbox);
    let (id, started) = (known_sequence(&sandbox), Instant::now());
    client.image_ids(&id).await.unwrap();
    assert!(started.elapsed() >= Duration::from_secs(1));
    let requests = sandbox.requests();
    assert!(
        requests.len() == 2 && requests[1].at.checked_sub(requests[0].at).unwrap() >= Duration::from_secs(1)
    );
}

#[tokio::test]
async fn a_stalled_response_times_out_and_is_retried() {
    let sandbox = Sandbox::start().await.unwrap();
    sandbox.add_rule(Rule::on(Host::Graph).times(1).fault(Fault::Stall));
    let client = builder(&sandbox).stall_timeout(Duration::from_millis(200)).build().unwrap();
    assert!(!client.image_ids(&known_sequence(&sandbox)).await.unwrap().is_empty());
    assert_eq!(sandbox.requests().len(), 2);
}

#[tokio::test]
async fn tiles_follow_their_rate_limit_and_loopback_has_none() {
    let sandbox = Sandbox::start().await.unwrap();
    let free = client(&sandbox);
    futures::future::join_all((0..100).map(|_| free.tile(TILE))).await;
    sandbox.clear_requests();
    let paced = builder(&sandbox).tile_rate_limit(RateLimit::per_minute(600.0).burst(3)).build().unwrap();
    futures::future::join_all((0..13).map(|_| paced.tile(TILE))).await;
    let at: Vec<_> = sandbox.requests().iter().map(|request| request.at).collect();
    assert_eq!(at.len(), 13);
    assert!(at[12].checked_sub(at[0]).unwrap() >= Duration::from_millis(950), "{at:?}");
    assert!(at[2].checked_sub(at[0]).unwrap() < Duration::from_millis(190), "{at:?}");
}

#[tokio::test]
async fn pictures_are_complete_and_existing_ones_cost_no_request() {
    let sandbox = Sandbox::start().await.unwrap();
    let (client, folder) = (client(&sandbox), tempfile::tempdir().unwrap());
    let images = with_urls(&sandbox, &client, 3).await;
    for (quality, width) in
        [(Quality::Q256, Some(256)), (Quality::Q1024, Some(1024)), (Quality::Original, None)]
    {
        let written =
            download(ImageSink::new(&client, folder.path()).quality(quality), &images).await.unwrap();
        assert_eq!((written.records, written.already_exists, written.failed), (3, 0, 0));
        for image in &images {
            let path = folder.path().join(format!("{}_{quality}.jpg", image.img_id));
            let expected = sandbox.mock_data().picture(image.img_id.as_str(), width).unwrap();
            assert!(std::fs::read(path).unwrap() == expected);
        }
    }
    sandbox.clear_requests();
    let again = download(ImageSink::new(&client, folder.path()), &images).await.unwrap();
    assert_eq!((again.records, again.already_exists, sandbox.requests().len()), (0, 3, 0));
    assert_eq!(names(folder.path()).len(), 9);
}

#[tokio::test]
async fn a_damaged_existing_file_is_replaced_only_on_request() {
    let sandbox = Sandbox::start().await.unwrap();
    let (client, folder) = (client(&sandbox), tempfile::tempdir().unwrap());
    let images = with_urls(&sandbox, &client, 2).await;
    let path = folder.path().join(format!("{}_256.jpg", images[0].img_id));
    let whole = sandbox.mock_data().picture(images[0].img_id.as_str(), Some(256)).unwrap();
    std::fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    let sink = ImageSink::new(&client, folder.path());
    assert_eq!(download(sink.clone(), &images).await.unwrap().already_exists, 1);
    let written = download(sink.check_existing(), &images).await.unwrap();
    assert_eq!((written.records, written.already_exists), (1, 1));
    assert!(std::fs::read(&path).unwrap() == whole);
}

#[tokio::test]
async fn no_bad_download_becomes_a_file() {
    let faults: [fn() -> Fault; 6] = [
        || Fault::Empty,
        || Fault::Html,
        || Fault::Truncate(500),
        || Fault::TruncateSilently(500),
        || Fault::Reset,
        || Fault::status(503, "busy"),
    ];
    for fault in faults {
        let sandbox = Sandbox::start().await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let client = builder(&sandbox).max_attempts(3).build().unwrap();
        let images = with_urls(&sandbox, &client, 4).await;
        // One picture recovers, another one fails permanently.
        let paths: Vec<String> =
            images.iter().map(|image| path_of(image.thumb_256_url.as_deref().unwrap())).collect();
        sandbox.add_rule(Rule::on(Host::Images).path(&paths[0]).fault(fault()));
        sandbox.add_rule(Rule::on(Host::Images).path(&paths[1]).times(2).fault(fault()));
        let written = download(ImageSink::new(&client, folder.path()), &images).await.unwrap();
        assert_eq!((written.records, written.failed), (3, 1), "{:?}", fault());
        let expected: HashSet<_> =
            images[1..].iter().map(|image| format!("{}_256.jpg", image.img_id)).collect();
        assert_eq!(names(folder.path()).into_iter().collect::<HashSet<_>>(), expected, "{:?}", fault());
    }
}

fn path_of(url: &str) -> String {
    let rest = url.split_once("://").unwrap().1;
    format!("/{}", rest.split_once('/').unwrap().1.split_once('?').unwrap().0)
}

#[tokio::test]
async fn an_expired_url_is_requested_once_and_reported() {
    let sandbox = Sandbox::start().await.unwrap();
    sandbox.expire_urls_at(1);
    let (client, folder) = (client(&sandbox), tempfile::tempdir().unwrap());
    let images = with_urls(&sandbox, &client, 1).await;
    let written = download(ImageSink::new(&client, folder.path()), &images).await.unwrap();
    assert_eq!((written.records, written.failed), (0, 1));
    assert_eq!(sandbox.requests_to(Host::Images).len(), 1);
}

#[tokio::test]
async fn an_image_without_a_url_is_gone_and_an_unknown_url_is_rejected() {
    let sandbox = Sandbox::start().await.unwrap();
    let (client, folder) = (client(&sandbox), tempfile::tempdir().unwrap());
    let strange = ["file:///etc/passwd", "no url", "ftp://x/y.jpg"].map(|url| {
        let mut image = metadata_record(&url.len().to_string());
        image.thumb_256_url = Some(url.to_owned());
        image
    });
    let images: Vec<_> = [metadata_record("1")].into_iter().chain(strange).collect();
    let written = download(ImageSink::new(&client, folder.path()), &images).await.unwrap();
    assert_eq!((written.gone, written.failed, names(folder.path()).len()), (1, 3, 0));
}

#[tokio::test]
async fn stopping_the_client_ends_requests_quickly() {
    let sandbox = Sandbox::builder().latency(Duration::from_secs(30)).start().await.unwrap();
    let client = client(&sandbox);
    let waiting = tokio::spawn({
        let client = client.clone();
        let id = known_sequence(&sandbox);
        async move { client.image_ids(&id).await }
    });
    tokio::time::sleep(Duration::from_millis(100)).await;
    let started = Instant::now();
    client.stop();
    assert_eq!(waiting.await.unwrap().unwrap_err().kind(), ErrorKind::Interrupted);
    assert!(started.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn a_next_page_on_another_host_is_not_requested() {
    let sandbox = Sandbox::start().await.unwrap();
    let ours = sandbox.graph_url();
    for next in [
        &format!("blob:{ours}/#"),
        "https://example.org/",
        "//example.org/1",
        "/\\\\example.org/1",
        "1/detections",
        &ours.replace("http", "https"),
        &ours.replace("//", "//somebody:secret@"),
        "file:///",
    ] {
        sandbox.clear_requests();
        sandbox.clear_rules();
        let page = format!(r#"{{"data":[{{"id":"1"}}],"paging":{{"next":"{next}"}}}}"#);
        sandbox.add_rule(Rule::on(Host::Graph).fault(Fault::status(200, &page)));
        let error = client(&sandbox).image_ids(&known_sequence(&sandbox)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Malformed, "{next}");
        assert!(error.chain().contains("its next page is on another host"), "{}", error.chain());
        assert_eq!(sandbox.requests().len(), 1, "{next}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_slow_down_near_the_usage_limit() {
    let sandbox = Sandbox::start().await.unwrap();
    let sequence = known_sequence(&sandbox);
    let percentages = Arc::new(Mutex::new(Vec::new()));
    let client = builder(&sandbox).observer(Arc::new({
        let percentages = Arc::clone(&percentages);
        move |event: &Event<'_>| {
            if let Event::ApiUsage { percent, .. } = event {
                percentages.lock().unwrap().push(*percent);
            }
        }
    }));
    let client = client.build().unwrap();
    let full =
        Fault::status(200, "{\"data\":[]}").header("x-app-usage", "{\"call_count\":86,\"total_time\":3}");
    sandbox.add_rule(Rule::on(Host::Graph).times(4).fault(full));
    for _ in 0..6 {
        client.image_ids(&sequence).await.ok();
    }
    let at: Vec<_> = sandbox.requests().iter().map(|request| request.at).collect();
    let gaps: Vec<_> = at.windows(2).map(|pair| pair[1].checked_sub(pair[0]).unwrap()).collect();
    assert!(gaps[1..4].iter().all(|gap| *gap >= Duration::from_millis(140)), "{gaps:?}");
    assert_eq!(*percentages.lock().unwrap(), [86.0; 4]);
}
