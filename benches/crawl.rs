//! A complete crawl with responses that take 100 ms, compared with a crawl without concurrency.
//!
//! Also the time from the first sequence to the first picture on disk. See README.md in this folder.
#![allow(clippy::print_stdout, clippy::cast_precision_loss, clippy::unwrap_used, reason = "a bench")]

mod support;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use streetflow::observe::{Event, Step};
use streetflow::{
    Bbox, CsvSink, FetchMetadata, Fields, Flow, ImageSink, ListImages, LonLat, OnError, Result, SequenceId,
    TileSource,
};
use streetflow_sandbox::{MockData, Sandbox};
use support::{Args, net};

const LATENCY: Duration = Duration::from_millis(100);
const PICTURE: usize = 40_000;

/// The measurements of a crawl.
struct Crawl {
    requests: u64,
    wall: Duration,
    /// From the first sequence to the first picture.
    first_picture: Duration,
}

/// Crawls mock data of `images` images and stops after `limit` of them.
async fn crawl(images: u64, limit: u64, concurrency: usize) -> Crawl {
    let sandbox = Sandbox::builder().mock_data(MockData::with_image_count(images, 1)).picture_bytes(PICTURE);
    let sandbox = sandbox.latency(LATENCY).record_requests(false).start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let requests = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&requests);
    let count = move |event: &Event<'_>| {
        if matches!(event, Event::Request { .. }) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    };
    let client = net::client(&sandbox, concurrency).observer(Arc::new(count)).build().unwrap();
    let first_sequence = Arc::new(AtomicU64::new(u64::MAX));
    let started = Instant::now();
    let recorded = Arc::clone(&first_sequence);
    let on_record = move |event: &Event<'_>| {
        if matches!(event, Event::Record { .. }) {
            recorded.fetch_min(millis(started), Ordering::Relaxed);
        }
    };
    let pictures = folder.path().join("pictures");
    let first_picture = tokio::spawn(first_file(pictures.clone(), started));
    let fields: Fields = "captured_at,compass_angle,thumb_256_url,width".parse().unwrap();
    // Without concurrency, the tiles of the whole island would take half an hour.
    let area = if concurrency == 1 {
        around_a_sequence(sandbox.mock_data())
    } else {
        Bbox::new(-180.0, -85.0, 180.0, 85.0)
    };
    let table = CsvSink::create(folder.path().join("table.csv")).fields(&fields);
    let report = Flow::from(TileSource::within(&client, area.unwrap()))
        .observe(Step::SEQUENCES, Arc::new(on_record))
        .dedup_by(|sequence| -> SequenceId { sequence.seq_id.clone() })
        .then(ListImages::new(&client))
        .then(FetchMetadata::new(&client).fields(&fields))
        .on_error(OnError::Skip)
        .take(limit)
        .tap(table)
        .into_sink(ImageSink::new(&client, &pictures))
        .await
        .unwrap();
    assert!(report.records > 0);
    Crawl {
        requests: requests.load(Ordering::Relaxed),
        wall: started.elapsed(),
        first_picture: first_picture
            .await
            .unwrap()
            .saturating_sub(Duration::from_millis(first_sequence.load(Ordering::Relaxed))),
    }
}

/// Returns a box of two kilometres around an existing sequence.
fn around_a_sequence(data: &MockData) -> Result<Bbox> {
    let sequence = data.sequences().iter().find(|sequence| !sequence.is_gone()).unwrap();
    let LonLat { lon, lat } = sequence.images().next().unwrap().coordinates();
    Bbox::new(lon - 0.01, lat - 0.01, lon + 0.01, lat + 0.01)
}

/// Returns the time until the first complete picture is in a folder.
async fn first_file(folder: impl AsRef<Path>, started: Instant) -> Duration {
    let is_picture = |name: &std::ffi::OsStr| name.to_string_lossy().ends_with("_256.jpg");
    loop {
        let files = std::fs::read_dir(folder.as_ref()).into_iter().flatten().flatten();
        if files.into_iter().any(|file| is_picture(&file.file_name())) {
            return started.elapsed();
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn millis(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap()
}

#[tokio::main]
async fn main() {
    let args = Args::read();
    println!("response time {} ms, pictures of {} kB", LATENCY.as_millis(), PICTURE / 1000);
    println!(
        "| Concurrency | Images | Requests | Wall s | Requests per second | Speed-up | First picture, after the first sequence ||"
    );
    println!("|--:|--:|--:|--:|--:|--:|--:|");
    let mut alone = None;
    for (concurrency, images) in
        [(1, 60), (16, 2000), (64, 20_000), (64, 40_000), (128, 40_000), (256, 40_000)]
    {
        if args.quick && concurrency != 64 {
            continue;
        }
        let images = if args.quick { 20 } else { images };
        let done = crawl(50_000, images, concurrency).await;
        let rate = done.requests as f64 / done.wall.as_secs_f64();
        let speed_up = rate / *alone.get_or_insert(rate);
        println!(
            "| {concurrency} | {images} | {} | {:.1} | {rate:.0} | {speed_up:.1} | {:.2} s |",
            done.requests,
            done.wall.as_secs_f64(),
            done.first_picture.as_secs_f64(),
        );
    }
}
