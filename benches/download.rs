//! Pictures per second by concurrency, with response times of 0, 20 and 100 ms.
//!
//! Client and mock server share the machine, so only the ratios are meaningful. See README.md in this folder.
#![allow(clippy::print_stdout, clippy::cast_precision_loss, clippy::unwrap_used, reason = "a bench")]

mod support;

use std::time::{Duration, Instant};

use futures::{StreamExt, stream};
use streetflow::{ImageSink, Metadata, Sink};
use streetflow_sandbox::{Host, MockData, Sandbox};
use support::plot::{Line, svg};
use support::{Args, net};

const LATENCIES: [u64; 3] = [0, 20, 100];
const PICTURE: usize = 40_000;

/// Maximum number of pictures of one point of the curve.
const MAX_PICTURES: usize = 6000;

struct Round {
    rate: f64,
    max_in_flight: usize,
}

async fn round(sandbox: &Sandbox, images: &[Metadata], concurrency: usize) -> Round {
    let folder = tempfile::tempdir().unwrap();
    let client = net::client(sandbox, concurrency).build().unwrap();
    let records: Vec<_> = images.iter().cloned().map(Ok).collect();
    sandbox.clear_requests();
    let started = Instant::now();
    let sink = Box::new(ImageSink::new(&client, folder.path()));
    let written = sink.drain(stream::iter(records).boxed()).await.unwrap();
    assert_eq!(written.records, images.len() as u64);
    Round {
        rate: written.records as f64 / started.elapsed().as_secs_f64(),
        max_in_flight: sandbox.max_in_flight(Host::Images),
    }
}

#[tokio::main]
async fn main() {
    let args = Args::read();
    let data = || MockData::with_image_count(if args.quick { 200 } else { 2 * MAX_PICTURES as u64 }, 1);
    println!("pictures of {} kB", PICTURE / 1000);
    println!(
        "| Response time | Concurrency | Pictures per second | Speed-up | Max in flight ||\n|--:|--:|--:|--:|--:|"
    );
    let mut lines = Vec::new();
    for latency in LATENCIES {
        let sandbox = Sandbox::builder().mock_data(data()).latency(Duration::from_millis(latency));
        let sandbox = sandbox.picture_bytes(PICTURE).record_requests(false).start().await.unwrap();
        let images = net::metadata(&sandbox, args.size(MAX_PICTURES)).await;
        let mut points = Vec::new();
        for concurrency in (0..=8).map(|power| 1_usize << power) {
            // Pictures for two seconds.
            let count = 2000_usize.checked_div(usize::try_from(latency).unwrap());
            let count = count.map_or(MAX_PICTURES, |each| each * concurrency).min(images.len());
            let Round { rate, max_in_flight } = round(&sandbox, &images[..count], concurrency).await;
            points.push((concurrency as f64, rate));
            let speed_up = rate / points[0].1;
            println!("| {latency} ms | {concurrency} | {rate:.0} | {speed_up:.1} | {max_in_flight} |");
        }
        lines.push(Line { name: format!("{latency} ms"), points });
    }
    if let Some(folder) = &args.folder {
        let plot = svg("Pictures of 40 kB per second, by response time", "concurrency", "pictures/s", &lines);
        std::fs::write(folder.join("download.svg"), plot).unwrap();
    }
}
