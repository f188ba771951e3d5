//! Pictures a second against concurrency, with answers that take 20 ms.
//!
//! Client and sandbox share the machine, so read the ratios. See README.md beside this file.
#![allow(clippy::print_stdout, clippy::cast_precision_loss, clippy::unwrap_used, reason = "a bench")]

use std::time::{Duration, Instant};

use futures::{StreamExt, TryStreamExt, stream};
use streetflow::sandbox::{Host, Sandbox, World};
use streetflow::{
    Client, FetchMetadata, Image, ImageId, ImageSink, Metadata, SequenceId, Sink, Stage, Token,
};

const LATENCY: Duration = Duration::from_millis(20);
const PICTURE: usize = 40_000;

fn client(sandbox: &Sandbox, concurrency: usize) -> Client {
    let builder = Client::builder().graph_url(sandbox.graph_url()).tiles_url(sandbox.tiles_url());
    builder.token(Token::new(Sandbox::TOKEN).unwrap()).concurrency(concurrency).build().unwrap()
}

/// The metadata of so many images, asked for once and used in every round.
async fn metadata(sandbox: &Sandbox, count: usize) -> Vec<Metadata> {
    let world = sandbox.world();
    let shots = world.sequences().iter().flat_map(|drive| {
        let seq_id = SequenceId::new(drive.id()).unwrap();
        world
            .images_of(drive)
            .map(move |shot| Image { seq_id: seq_id.clone(), img_id: ImageId::new(&shot.id()).unwrap() })
    });
    let images: Vec<_> = shots.take(count + count / 10).map(Ok).collect();
    let records: Vec<Metadata> = FetchMetadata::new(&client(sandbox, 64))
        .apply(stream::iter(images).boxed())
        .try_collect()
        .await
        .unwrap();
    records.into_iter().filter(|record| record.thumb_256_url.is_some()).take(count).collect()
}

async fn round(sandbox: &Sandbox, images: &[Metadata], concurrency: usize) -> f64 {
    let folder = tempfile::tempdir().unwrap();
    let client = client(sandbox, concurrency);
    let records: Vec<_> = images.iter().cloned().map(Ok).collect();
    let started = Instant::now();
    let sink = Box::new(ImageSink::new(&client, folder.path()));
    let written = sink.drain(stream::iter(records).boxed()).await.unwrap();
    assert_eq!(written.records, images.len() as u64);
    written.records as f64 / started.elapsed().as_secs_f64()
}

#[tokio::main]
async fn main() {
    // `cargo test --benches` only wants to know that it runs.
    let quick = std::env::args().any(|arg| arg == "--test");
    let world = World::of_size(if quick { 200 } else { 20_000 }, 1);
    let sandbox = Sandbox::builder().world(world).latency(LATENCY).picture_bytes(PICTURE).record(false);
    let sandbox = sandbox.start().await.unwrap();
    println!("pictures of {} kB, {} ms an answer", PICTURE / 1000, LATENCY.as_millis());
    println!("{:>11}  {:>10}  {:>8}  {:>9}", "concurrency", "pictures/s", "speed-up", "in flight");
    let mut alone = None;
    for concurrency in (0..=8).map(|power| 1 << power) {
        let count = if quick { 20 } else { (concurrency * 80).clamp(100, 8_000) };
        let images = metadata(&sandbox, count).await;
        sandbox.clear_requests();
        let rate = round(&sandbox, &images, concurrency).await;
        let alone = *alone.get_or_insert(rate);
        let in_flight = sandbox.most_in_flight(Host::Images);
        println!("{concurrency:>11}  {rate:>10.0}  {:>7.1}x  {in_flight:>9}", rate / alone);
    }
}
