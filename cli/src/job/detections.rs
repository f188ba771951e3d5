//! The step that fetches detections: a flow of its own, or a branch of a crawl.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::context::RunContext;

use super::outputs::TableOutputs;
use super::pipeline::map_records;
use crate::args::FetchDetectionArgs;
use streetflow::{
    Detection, FetchDetections, Flow, Image, Metadata, Observer, OnError, RecordStream, Result, Sink, Step,
    Written, async_trait,
};

/// The stage, with what an earlier run found out.
pub(crate) fn detection_stage(run: &RunContext, args: &FetchDetectionArgs) -> FetchDetections {
    let stage = args.stage(&run.client);
    match &run.earlier_detections {
        Some(earlier) => earlier.apply(stage),
        None => stage,
    }
}

/// Fetches the detections of images, and counts them.
pub(crate) fn fetch_detections(
    flow: Flow<Image>,
    stage: FetchDetections,
    observer: &Arc<dyn Observer>,
) -> Flow<Detection> {
    flow.observe_input(Step::DETECTIONS, Arc::clone(observer))
        .then(stage)
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
}

impl DetectionBranch {
    pub(crate) fn new(
        run: &RunContext,
        outputs: &TableOutputs<'_>,
        table: &str,
        args: &FetchDetectionArgs,
    ) -> Self {
        let sinks = outputs.detection_sinks(table, args);
        Self { stage: detection_stage(run, args), sinks, observer: run.observer(), stop: run.stop.clone() }
    }
}

#[async_trait]
impl Sink<Metadata> for DetectionBranch {
    async fn drain(self: Box<Self>, images: RecordStream<Metadata>) -> Result<Written> {
        let images = Flow::from(images).then(map_records(streetflow::query::to_image));
        let flow = fetch_detections(images, self.stage, &self.observer);
        let (flow, last) = tap_all_but_last(flow, self.sinks);
        let Some(last) = last else { return Ok(Written::default()) };
        let flow = flow.on_error(OnError::Skip).until(self.stop.cancelled_owned());
        let report = flow.into_sink(last).await?;
        let mut written = report.written;
        for tap in report.taps {
            written.bytes += tap.bytes;
            written.paths.extend(tap.paths);
        }
        Ok(written)
    }
}
