//! Cost of a flow per record, and the additional cost of each part.
//!
//! Records are in memory and are discarded. See README.md in this folder.
#![allow(clippy::print_stdout, clippy::cast_precision_loss, clippy::unwrap_used, reason = "a bench")]

mod support;

use std::hint::black_box;
use std::sync::Arc;

use futures::{StreamExt, stream};
use streetflow::observe::{Event, Step};
use streetflow::{Flow, Image, OnError, RecordStream, Result, Sink, Written, async_trait};
use support::{Args, best, net};

/// Number of copies of a part in a flow.
const DEPTH: usize = 4;

/// A sink that discards all records.
struct Discard;

#[async_trait]
impl Sink<Image> for Discard {
    async fn drain(self: Box<Self>, mut records: RecordStream<Image>) -> Result<Written> {
        let mut written = Written::default();
        while let Some(record) = records.next().await {
            black_box(record?);
            written.records += 1;
        }
        Ok(written)
    }
}

fn on_event(event: &Event<'_>) {
    black_box(event);
}

type Add = fn(Flow<Image>) -> Flow<Image>;

const PARTS: &[(&str, Add)] = &[
    ("filter", |flow| flow.filter(|image| !image.img_id.as_str().is_empty())),
    ("observe", |flow| flow.observe(Step::IMAGES, Arc::new(on_event))),
    ("on_error", |flow| flow.on_error(OnError::Skip)),
    ("dedup_by", |flow| flow.dedup_by(|image| image.img_id.clone())),
    ("custom stage", |flow| {
        flow.then(|records: RecordStream<Image>| -> RecordStream<Image> {
            records.map(|record| record).boxed()
        })
    }),
    ("tap", |flow| flow.tap(Discard)),
];

fn main() {
    let args = Args::read();
    let data = streetflow_sandbox::MockData::with_image_count(args.size(200_000) as u64, 1);
    let images = net::images(&data, args.size(200_000));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    // Every round copies the records, so the copy cancels out in differences.
    let cost = |add: &dyn Fn(Flow<Image>) -> Flow<Image>| {
        let cost = best(&args, || {
            let records: Vec<_> = images.iter().cloned().map(Ok).collect();
            let flow = add(Flow::from(stream::iter(records)));
            let report = runtime.block_on(flow.into_sink(Discard)).unwrap();
            assert_eq!(report.records, images.len() as u64);
        });
        cost.cpu.as_nanos() as f64 / images.len() as f64
    };
    let bare = cost(&|flow| flow);
    println!("| Part | CPU ns per record |\n|---|--:|\n| source and sink only | {bare:.0} |");
    for (name, add) in PARTS {
        let more = cost(&|flow| (0..DEPTH).fold(flow, |flow, _| add(flow))) - bare;
        println!("| each {name} | {:.0} |", more / DEPTH as f64);
    }
}
