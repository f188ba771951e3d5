//! Records a second into and out of each format, and what a record takes on disk.
//!
//! One thread encodes, into memory; one thread decodes, from a file in the page cache. Read the ratios.
#![allow(clippy::print_stdout, clippy::cast_precision_loss, clippy::unwrap_used, reason = "a bench")]

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use futures::{StreamExt, TryStreamExt, stream};
use streetflow::sandbox::{Sandbox, World};
use streetflow::sinks::{Compression, Layout, encoder_for};
use streetflow::{
    Client, FetchMetadata, Fields, Format, Image, ImageId, Metadata, SequenceId, Source, Stage, TableSource,
    Token,
};

const FIELDS: &str =
    "captured_at,compass_angle,geometry,width,height,make,model,camera_type,is_pano,thumb_1024_url,creator";

/// Rounds of which the best counts.
const ROUNDS: usize = 3;

/// The metadata of so many images of a made-up world.
async fn metadata(count: usize) -> Vec<Metadata> {
    let world = World::of_size(count as u64 + count as u64 / 10, 1);
    let sandbox = Sandbox::builder().world(world).record(false).start().await.unwrap();
    let client = Client::builder().graph_url(sandbox.graph_url()).tiles_url(sandbox.tiles_url());
    let client = client.token(Token::new(Sandbox::TOKEN).unwrap()).build().unwrap();
    let world = sandbox.world();
    let shots = world.sequences().iter().flat_map(|drive| {
        let seq_id = SequenceId::new(drive.id()).unwrap();
        world
            .images_of(drive)
            .map(move |shot| Image { seq_id: seq_id.clone(), img_id: ImageId::new(&shot.id()).unwrap() })
    });
    let images: Vec<_> = shots.take(count).map(Ok).collect();
    let fetch = FetchMetadata::new(&client).fields(&fields());
    fetch.apply(stream::iter(images).boxed()).try_collect().await.unwrap()
}

fn fields() -> Fields {
    FIELDS.parse().unwrap()
}

/// Counts what is written, and forgets it.
struct Count(Arc<AtomicU64>);

impl Write for Count {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Millions of records a second, and bytes a record.
fn encode(records: &[Metadata], format: Format, layout: &Layout) -> (f64, f64) {
    let mut best = f64::MAX;
    let mut bytes = 0;
    for _ in 0..ROUNDS {
        let count = Arc::new(AtomicU64::new(0));
        let started = Instant::now();
        let mut encoder = encoder_for(Box::new(Count(Arc::clone(&count))), format, layout).unwrap();
        for batch in records.chunks(1024) {
            encoder.encode(batch).unwrap();
        }
        encoder.finish().unwrap();
        best = best.min(started.elapsed().as_secs_f64());
        bytes = count.load(Ordering::Relaxed);
    }
    (records.len() as f64 / best / 1e6, bytes as f64 / records.len() as f64)
}

async fn decode(records: &[Metadata], format: Format, layout: &Layout) -> f64 {
    let file = tempfile::NamedTempFile::new().unwrap();
    let mut encoder = encoder_for(Box::new(file.reopen().unwrap()), format, layout).unwrap();
    encoder.encode(records).unwrap();
    encoder.finish().unwrap();
    let mut best = f64::MAX;
    for _ in 0..ROUNDS {
        let started = Instant::now();
        let source = TableSource::<Metadata>::open_as(file.path(), format).unwrap();
        let count = source.stream().try_fold(0, |count, _| async move { Ok(count + 1) }).await.unwrap();
        assert_eq!(count, records.len());
        best = best.min(started.elapsed().as_secs_f64());
    }
    records.len() as f64 / best / 1e6
}

#[tokio::main]
async fn main() {
    // `cargo test --benches` only wants to know that it runs.
    let quick = std::env::args().any(|arg| arg == "--test");
    let records = metadata(if quick { 500 } else { 200_000 }).await;
    println!("{} records, fields {FIELDS}", records.len());
    println!("{:<18} {:>14} {:>14} {:>14}", "format", "encode, M/s", "bytes/record", "decode, M/s");
    let layout = Layout::default().fields(&fields());
    for format in Format::ALL {
        let (speed, bytes) = encode(&records, *format, &layout);
        let back = decode(&records, *format, &layout).await;
        println!("{:<18} {speed:>14.2} {bytes:>14.1} {back:>14.2}", format.name());
    }
    if let Ok(parquet) = "parquet".parse::<Format>() {
        let levels = [1, 2, 3, 6, 15].map(Compression::Zstd);
        for compression in [Compression::None, Compression::Snappy].into_iter().chain(levels) {
            let layout = layout.clone().compression(compression);
            let (speed, bytes) = encode(&records, parquet, &layout);
            println!("{:<18} {speed:>14.2} {bytes:>14.1}", format!("parquet {compression}"));
        }
    }
}
