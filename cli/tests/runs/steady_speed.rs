//! Failing items do not delay others: the requests are counted at the mock server.

#![allow(clippy::print_stdout, reason = "figures are worth seeing: `--nocapture` shows them")]

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures::{StreamExt, stream};
use streetflow::{
    Client, Error, ErrorKind, Event, FetchMetadata, Image, ImageId, ImageSink, ListImages, Metadata, Result,
    SequenceId, Sink, Stage, Written,
};
use streetflow_sandbox::{Fault, Host, MockData, RecordedRequest, Rule, Sandbox};

use crate::support::{builder, command_on, names, output, sequence_record};

const HOSTS: [Host; 3] = [Host::Tiles, Host::Graph, Host::Images];

/// Hashes a text, with the same result in every run.
fn hash(text: &str) -> u64 {
    let mix = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325, mix);
    (hash ^ hash >> 32).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20
}

fn is_bad(text: &str, percent: u64) -> bool {
    hash(text) % 100 < percent
}

/// Returns the part of the URL that identifies the picture.
fn picture(request: &RecordedRequest) -> String {
    request.param("n").unwrap_or_else(|| request.path.clone())
}

/// Returns a rule for the first request of each chosen item.
fn first_request(host: Host, chosen: impl Fn(&str) -> bool + Send + Sync + 'static) -> Rule {
    let seen = Mutex::new(HashSet::new());
    Rule::when(move |request| {
        let address = format!("{}?{}", request.path, request.query);
        request.host == host && chosen(&address) && seen.lock().unwrap().insert(address)
    })
}

/// Returns a client, and the changes of a host's concurrency limit.
fn client_with_limits(
    sandbox: &Sandbox,
    max_attempts: u32,
    initial_backoff: Duration,
) -> (Client, Arc<Mutex<Vec<usize>>>) {
    let limits = Arc::new(Mutex::new(Vec::new()));
    let observer = {
        let limits = Arc::clone(&limits);
        move |event: &Event<'_>| {
            if let Event::Concurrency { limit, .. } = event {
                limits.lock().unwrap().push(*limit);
            }
        }
    };
    let builder = builder(sandbox).max_attempts(max_attempts).initial_backoff(initial_backoff);
    (builder.observer(Arc::new(observer)).build().unwrap(), limits)
}

/// Returns many images with different picture URLs.
async fn with_urls(sandbox: &Sandbox, client: &Client, count: usize) -> Vec<Metadata> {
    let images = present(sandbox, 1);
    let record = client.images(&images, &"thumb_256_url".parse().unwrap()).await.unwrap().remove(0).unwrap();
    let url = record.thumb_256_url.clone().unwrap();
    let numbered = |number: usize| Metadata {
        img_id: ImageId::new(&(number + 1).to_string()).unwrap(),
        thumb_256_url: Some(format!("{url}&n={number}")),
        ..record.clone()
    };
    (0..count).map(numbered).collect()
}

fn present(sandbox: &Sandbox, count: usize) -> Vec<Image> {
    let data = sandbox.mock_data();
    let sequences = data.sequences().iter().filter(|sequence| !sequence.is_gone());
    let images = sequences.flat_map(|sequence| {
        let seq_id = SequenceId::new(sequence.id()).unwrap();
        let images = sequence.images().filter(|image| !image.is_gone() && image.has_picture());
        images.map(move |image| Image { seq_id: seq_id.clone(), img_id: ImageId::new(&image.id()).unwrap() })
    });
    images.take(count).collect()
}

async fn download(client: &Client, folder: &Path, images: Vec<Metadata>) -> Written {
    let images = stream::iter(images.into_iter().map(Ok)).boxed();
    Box::new(ImageSink::new(client, folder)).drain(images).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn failing_pictures_do_not_slow_down_others() {
    const PICTURES: usize = 1500;
    let faults = [
        (Fault::Empty, 20),
        (Fault::Html, 12),
        (Fault::TruncateSilently(300), 20),
        (Fault::Truncate(300), 15),
        (Fault::status(500, ""), 20),
        (Fault::status(404, ""), 20),
        (Fault::status(403, "URL signature expired"), 10),
    ];
    for (fault, percent) in faults {
        let sandbox = Sandbox::builder().latency(Duration::from_millis(20)).picture_bytes(2000).start();
        let sandbox = sandbox.await.unwrap();
        // The retry comes after the good pictures, also on a busy machine.
        let (client, limits) = client_with_limits(&sandbox, 2, Duration::from_secs(3));
        let images = with_urls(&sandbox, &client, PICTURES).await;
        sandbox.clear_requests();
        let bad =
            Rule::when(move |request| request.host == Host::Images && is_bad(&picture(request), percent));
        sandbox.add_rule(bad.fault(fault.clone()));
        let folder = tempfile::tempdir().unwrap();
        let written = download(&client, folder.path(), images).await;
        let expected = (0..PICTURES).filter(|number| is_bad(&number.to_string(), percent)).count();
        assert!(expected > PICTURES / 20);
        let good = PICTURES - expected;
        let had = (written.records, written.failed + written.gone);
        assert_eq!(had, (good as u64, expected as u64), "{fault:?}");
        assert_eq!(names(folder.path()).len(), good);

        let requests = sandbox.requests_to(Host::Images);
        let is_good = |request: &&RecordedRequest| !is_bad(&picture(request), percent);
        assert_eq!(
            requests.iter().filter(is_good).count(),
            good,
            "{fault:?}: a good picture is asked for once"
        );
        assert_eq!(*limits.lock().unwrap(), [0; 0], "{fault:?}: the limit of the host never changes");
        // A busy machine can have fewer than 64 in flight.
        let most = sandbox.max_in_flight(Host::Images);
        assert!((33..=64).contains(&most), "{fault:?}: {most} under way");
        // Before the last good request, there are first attempts and few retries.
        let last = requests.iter().rposition(|request| is_good(&request)).unwrap();
        assert!(last <= PICTURES * 106 / 100, "{fault:?}: {last} requests until the last good picture");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn images_that_fail_their_batches_cost_a_bounded_number_of_requests() {
    const IMAGES: usize = 6000;
    for (alone_too, percent_of_percent) in [(false, 50), (true, 50)] {
        let data = MockData::with_image_count(20_000, 1);
        let sandbox =
            Sandbox::builder().mock_data(data).latency(Duration::from_millis(5)).start().await.unwrap();
        let spoils = move |id: &str| hash(id) % 10_000 < percent_of_percent;
        let trouble = Fault::graph_error(500, 2, None, "Service temporarily unavailable");
        let rule = Rule::when(move |request| {
            let ids = request.ids();
            let in_batch = ids.len() > 1 && ids.iter().any(|id| spoils(id));
            in_batch || (alone_too && spoils(request.path.trim_start_matches('/')))
        });
        sandbox.add_rule(rule.fault(trouble));
        let (client, limits) = client_with_limits(&sandbox, 6, Duration::from_millis(20));
        let images = present(&sandbox, IMAGES);
        assert_eq!(images.len(), IMAGES);
        let rows: Vec<Result<Image>> = images.iter().cloned().map(Ok).collect();
        let records: Vec<Result<Metadata>> =
            FetchMetadata::new(&client).apply(stream::iter(rows).boxed()).collect().await;
        for (image, record) in images.iter().zip(&records) {
            match record {
                Ok(record) => assert_eq!(record.img_id, image.img_id),
                Err(error) => {
                    assert!(alone_too && spoils(image.img_id.as_str()), "{error:?}");
                    assert_eq!(error.subject(), Some(image.img_id.as_str()));
                }
            }
        }
        let bad_images = images.iter().filter(|image| spoils(image.img_id.as_str())).count();
        assert!((15..60).contains(&bad_images), "{bad_images}");
        let failed = records.iter().filter(|record| record.is_err()).count();
        assert_eq!((records.len(), failed), (IMAGES, if alone_too { bad_images } else { 0 }));
        let requests = sandbox.requests_to(Host::Graph);
        let most = IMAGES.div_ceil(50) + bad_images * (2 + 4 * 3 + 2);
        assert!(requests.len() <= most, "{} requests, {bad_images} images spoil their batch", requests.len());
        assert_eq!(*limits.lock().unwrap(), [0; 0], "the limit of the host never changes");
        let mut tried: HashMap<String, usize> = HashMap::new();
        for id in requests.iter().flat_map(|request| match request.ids() {
            ids if ids.is_empty() => vec![request.path.trim_start_matches('/').to_owned()],
            ids => ids,
        }) {
            *tried.entry(id).or_default() += 1;
        }
        let failing = images.iter().filter(|image| alone_too && spoils(image.img_id.as_str()));
        assert!(failing.clone().all(|image| tried[image.img_id.as_str()] >= 6), "each had six attempts");
        assert!(tried.values().all(|times| *times <= 9), "{tried:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sequence_that_always_fails_delays_no_other() {
    let data = MockData::with_image_count(60_000, 1);
    let sandbox = Sandbox::builder().mock_data(data).latency(Duration::from_millis(2)).start().await.unwrap();
    let bad = |request: &RecordedRequest| is_bad(&request.param("sequence_id").unwrap_or_default(), 10);
    let bad_rule = Rule::when(move |request| request.path == "/image_ids" && bad(request));
    sandbox.add_rule(bad_rule.fault(Fault::status(500, "")));
    let (client, limits) = client_with_limits(&sandbox, 6, Duration::from_millis(100));
    let sequences: Vec<_> =
        sandbox.mock_data().sequences().iter().map(|sequence| Ok(sequence_record(sequence))).collect();
    let count = sequences.len();
    assert!(count > 200, "{count}");
    let listed: Vec<Result<Image>> =
        ListImages::new(&client).apply(stream::iter(sequences).boxed()).collect().await;
    let failed = listed.iter().filter_map(|item| item.as_ref().err());
    let failed: Vec<&Error> = failed.filter(|error| error.kind() == ErrorKind::Unavailable).collect();
    assert!(failed.len() > count / 20 && failed.iter().all(|error| error.attempts() == 6));
    assert_eq!(*limits.lock().unwrap(), [0; 0], "the limit of the host never changes");
    // The last good request is sent while the first bad ones are retried.
    let requests = sandbox.requests_to(Host::Graph);
    let first = requests.iter().map(|request| request.at).min().unwrap();
    let last_good = requests.iter().filter(|request| !bad(request)).map(|request| request.at).max().unwrap();
    let last = requests.iter().map(|request| request.at).max().unwrap();
    let [good, all] = [last_good, last].map(|at| at.saturating_sub(first));
    assert!(good < all / 2, "{good:?} of {all:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_for_less_data_on_one_image_fails_only_that_image() {
    let sandbox = Sandbox::start().await.unwrap();
    let images = present(&sandbox, 60);
    let big = images[7].img_id.to_string();
    let path = format!("/{big}");
    sandbox.add_rule(
        Rule::when(move |request| request.path == path || request.ids().contains(&big))
            .fault(Fault::TooLarge),
    );
    let (client, _) = client_with_limits(&sandbox, 6, Duration::from_millis(2));
    let rows: Vec<Result<Image>> = images.iter().cloned().map(Ok).collect();
    let records: Vec<_> = FetchMetadata::new(&client).apply(stream::iter(rows).boxed()).collect().await;
    let failed: Vec<_> = records.iter().filter_map(|record| record.as_ref().err()).collect();
    assert_eq!((records.len(), failed.len(), failed[0].kind()), (60, 1, ErrorKind::TooLarge));
    assert_eq!(failed[0].subject(), Some(images[7].img_id.as_str()));
    assert!(sandbox.requests_to(Host::Graph).len() <= 22, "{}", sandbox.requests_to(Host::Graph).len());
    // If the error occurs once, the retry succeeds.
    sandbox.clear_rules();
    sandbox.add_rule(Rule::on(Host::Graph).times(1).fault(Fault::TooLarge));
    assert!(client.image(&images[7], &"width".parse().unwrap()).await.is_ok());
}

/// Process times of the command in `STREETFLOW_BIN` or of this build: `cargo test --locked --test cli --
/// --ignored print_timings --nocapture`.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "figures, not a test"]
async fn print_timings() {
    let chosen = std::env::var("SCENARIO").unwrap_or_default();
    let scenario = |name: &str| chosen.is_empty() || chosen.split(',').any(|one| one == name);
    let crawl = "crawl --bbox 32.19,34.52,34.18,35.49 --tile-rate 1000000 --progress none --yes";
    let mixed =
        || vec![Fault::status(500, ""), Fault::status(502, "<html>"), Fault::Reset, Fault::Truncate(300)];
    if scenario("scattered") {
        timed("undisturbed crawl", 5000, 100, crawl, Vec::new()).await;
        let rules =
            HOSTS.map(|host| first_request(host, |text| is_bad(text, 2)).fault(Fault::status(503, "")));
        timed("2 % answer 503 once", 5000, 100, crawl, rules.into()).await;
        let rules = HOSTS.into_iter().flat_map(|host| {
            let rule =
                move |(at, fault)| first_request(host, move |text| hash(text) % 1000 / 35 == at).fault(fault);
            (0..).zip(mixed()).map(rule)
        });
        timed("14 % mixed faults once", 5000, 100, crawl, rules.collect()).await;
    }
    if scenario("ordered") {
        let args = format!("{crawl} --no-download --batch-size 10");
        timed("6,000 requests in order, undisturbed", 55_000, 100, &args, Vec::new()).await;
        let rules =
            HOSTS.map(|host| first_request(host, |text| is_bad(text, 2)).fault(Fault::status(503, "")));
        timed("in order, 2 % answer 503 once", 55_000, 100, &args, rules.into()).await;
        let rules = HOSTS.into_iter().flat_map(|host| {
            let rule =
                move |(at, fault)| first_request(host, move |text| hash(text) % 1000 / 35 == at).fault(fault);
            (0..).zip(mixed()).map(rule)
        });
        timed("in order, 14 % mixed faults once", 55_000, 100, &args, rules.collect()).await;
    }
    if scenario("pictures") {
        for (name, percent, fault) in [
            ("pictures, undisturbed", 0, Fault::Empty),
            ("pictures, 10 % empty", 10, Fault::Empty),
            ("pictures, 20 % 500", 20, Fault::status(500, "")),
        ] {
            let bad =
                Rule::when(move |request| request.host == Host::Images && is_bad(&request.path, percent));
            timed(name, 10_000, 20, crawl, vec![bad.fault(fault)]).await;
        }
    }
    if scenario("metadata") {
        let metadata = format!("{crawl} --no-download");
        let spoilt = |one_in: u64| {
            let bad = move |id: &str| one_in > 0 && hash(id).is_multiple_of(one_in);
            let bad = move |request: &RecordedRequest| {
                request.ids().iter().any(|id| bad(id))
                    || (request.host == Host::Graph && bad(request.path.trim_start_matches('/')))
            };
            let trouble = Fault::graph_error(500, 2, None, "Service temporarily unavailable");
            vec![Rule::when(bad).fault(trouble)]
        };
        timed("metadata of 40,000, undisturbed", 40_000, 20, &metadata, spoilt(0)).await;
        timed("1 image in 5,000 answers 500", 40_000, 20, &metadata, spoilt(5000)).await;
        timed("1 image in 200 answers 500", 40_000, 20, &metadata, spoilt(200)).await;
    }
}

async fn timed(name: &str, images: u64, latency: u64, args: &str, rules: Vec<Rule>) {
    let sandbox = Sandbox::builder()
        .mock_data(MockData::with_image_count(images, 1))
        .latency(Duration::from_millis(latency));
    let sandbox = sandbox.picture_bytes(20_000).start().await.unwrap();
    for rule in rules {
        sandbox.add_rule(rule);
    }
    let folder = tempfile::tempdir().unwrap();
    let mut command = command_on(&sandbox, folder.path());
    if let Ok(other) = std::env::var("STREETFLOW_BIN") {
        let mut changed = std::process::Command::new(other);
        changed.current_dir(folder.path());
        changed.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command = changed;
    }
    command.args(args.split_whitespace());
    let started = Instant::now();
    let ended = tokio::time::timeout(Duration::from_secs(50), output(command)).await;
    let took = started.elapsed().as_secs_f64();
    let requests = sandbox.requests();
    let good = requests.iter().filter(|request| request.status == Some(200));
    let last = good.clone().map(|request| request.at.as_secs_f64()).fold(0.0, f64::max);
    let (good, all) = (good.count(), requests.len());
    let ended = ended.map_or("was cut off".to_owned(), |(exit, _)| format!("exit {exit}"));
    println!(
        "{name}: {took:.1} s ({ended}), {all} requests, {good} answers 200, the last asked at {last:.1} s"
    );
}
