//! The step that fetches detections: a flow of its own, or a branch of a crawl.

use std::sync::Arc;

use futures::stream::{self, Fuse, StreamExt};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use super::context::RunContext;
use super::outputs::TableOutputs;
use super::pipeline::map_records;
use crate::args::FetchDetectionArgs;
use streetflow::{
    Detection, Error, ErrorKind, FetchDetections, Flow, Image, Metadata, Observer, OnError, RecordStream,
    Result, Sink, Step, Written, async_trait,
};

/// The stage, with what an earlier run found out.
pub(crate) fn detection_stage(run: &RunContext, args: &FetchDetectionArgs) -> FetchDetections {
    let stage = args.stage(&run.client);
    match &run.earlier_detections {
        Some(earlier) => earlier.apply(stage),
        None => stage,
    }
}

/// Fetches the detections of images, and counts them. A stop signal ends the flow behind all detections of an image: an
/// update takes an image with rows for one with all of them.
pub(crate) fn fetch_detections(
    flow: Flow<Image>,
    stage: FetchDetections,
    observer: &Arc<dyn Observer>,
    stop: &CancellationToken,
) -> Flow<Detection> {
    flow.observe_input(Step::DETECTIONS, Arc::clone(observer))
        .then(stage)
        .until_group_end(|detection| detection.img_id.clone(), stop.clone().cancelled_owned())
        .observe(Step::DETECTIONS, Arc::clone(observer))
}

/// Writes a flow of detections to several sinks. The last one ends it.
pub(crate) fn tap_all_but_last(
    flow: Flow<Detection>,
    mut sinks: Vec<Box<dyn Sink<Detection>>>,
) -> (Flow<Detection>, Option<Box<dyn Sink<Detection>>>) {
    let last = sinks.pop();
    (sinks.into_iter().fold(flow, Flow::tap), last)
}

/// A branch of a crawl: fetches the detections of the images that reach it and writes their table.
pub(crate) struct DetectionBranch {
    stage: FetchDetections,
    sinks: Vec<Box<dyn Sink<Detection>>>,
    observer: Arc<dyn Observer>,
    stop: CancellationToken,
    is_update: bool,
}

impl DetectionBranch {
    pub(crate) fn new(
        run: &RunContext,
        outputs: &TableOutputs<'_>,
        table: &str,
        args: &FetchDetectionArgs,
    ) -> Self {
        Self {
            stage: detection_stage(run, args),
            sinks: outputs.detection_sinks(table, args),
            observer: run.observer(),
            stop: run.stop.clone(),
            is_update: run.earlier_detections.is_some(),
        }
    }
}

#[async_trait]
impl Sink<Metadata> for DetectionBranch {
    async fn drain(self: Box<Self>, images: RecordStream<Metadata>) -> Result<Written> {
        let kept_at_stop = self.is_update.then(|| self.stop.clone());
        let (images, end) = with_end(images, kept_at_stop);
        let images = Flow::from(images).then(map_records(streetflow::query::to_image));
        let flow = fetch_detections(images, self.stage, &self.observer, &self.stop);
        let (flow, last) = tap_all_but_last(flow.on_error(OnError::Skip), self.sinks);
        let Some(last) = last else { return Ok(Written::default()) };
        let flow = flow.then(|detections: RecordStream<Detection>| detections.chain(end).boxed());
        let report = flow.into_sink(last).await?;
        let mut written = report.written;
        for tap in report.taps {
            written.bytes += tap.bytes;
            written.paths.extend(tap.paths);
        }
        // The images may all be there already.
        written.interrupted = u64::from(report.stopped);
        Ok(written)
    }
}

/// Images of a crawl, and the error that ended them.
struct CrawledImages {
    records: Fuse<RecordStream<Metadata>>,
    failure: Option<Error>,
}

impl CrawledImages {
    /// The next image, or the failure of one. `None` at the end and at the error that ends the crawl.
    async fn next(&mut self) -> Option<Result<Metadata>> {
        match self.records.next().await? {
            Err(error) if error.is_fatal() => {
                self.failure = Some(error);
                None
            }
            image => Some(image),
        }
    }
}

/// Splits images into the images, and their end: the error that ended them, if there was one. With `kept_at_stop`, this
/// signal is an error too, so that an earlier table is not replaced by a shorter one.
///
/// The end comes even if the images are dropped before, at a stop signal. Only then is it known whether the crawl writes
/// its tables, and the table of detections belongs to them.
fn with_end(
    images: RecordStream<Metadata>,
    kept_at_stop: Option<CancellationToken>,
) -> (RecordStream<Metadata>, RecordStream<Detection>) {
    let shared = Arc::new(Mutex::new(CrawledImages { records: images.fuse(), failure: None }));
    let records = stream::unfold(Arc::clone(&shared), async |shared| {
        let image = shared.lock().await.next().await?;
        Some((image, shared))
    });
    let end = stream::once(async move {
        let mut images = shared.lock().await;
        while images.next().await.is_some() {}
        let is_kept = kept_at_stop.is_some_and(|stop| stop.is_cancelled());
        images.failure.take().or_else(|| is_kept.then(update_stopped)).map(Err)
    });
    (records.boxed(), end.filter_map(std::future::ready).boxed())
}

fn update_stopped() -> Error {
    Error::new(ErrorKind::Interrupted, "finish the update of the detections")
        .with_source("the run was stopped")
        .with_hint("their table is unchanged; run the same command again to resume")
}
