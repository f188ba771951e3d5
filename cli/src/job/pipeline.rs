//! The parts that several flows share: the query text, the stages, and the end.

use std::sync::Arc;

use futures::StreamExt;

use super::context::RunContext;
use super::download_guard::{CountEstimate, DownloadGuard};
use super::outputs::set_same_time;
use crate::args::{AreaArgs, FilterArgs, NetworkArgs, OutputArgs, PictureArgs};
use crate::artifacts::attribution::Attribution;
use streetflow::sinks::ShardPictures;
use streetflow::{
    Fields, Flow, ImageSink, Metadata, OnError, Record, RecordStream, Report, Result, Sink, Step, TableSource,
};

/// The query that decides the records of a run, as a command line. It is written into the files.
pub(crate) fn query_text(
    command: &str,
    network: &NetworkArgs,
    area: Option<&AreaArgs>,
    filters: Option<&FilterArgs>,
    fields: Option<&Fields>,
) -> String {
    let mut args = vec![format!("streetflow {command}")];
    args.extend(network.sandbox.then(|| "--sandbox".to_owned()));
    args.extend(area.into_iter().flat_map(|area| area.to_cli_args(network.default_bbox())));
    args.extend(filters.into_iter().flat_map(FilterArgs::to_cli_args));
    args.extend(fields.map(|fields| format!("--fields {fields}")));
    args.join(" ")
}

/// Appends the query of a step to that of the table that it reads.
pub(crate) fn append_query<T: Record>(source: &TableSource<T>, query: &str) -> String {
    let previous = source.notes().into_iter().find(|(name, _)| name == "query");
    previous.map_or_else(|| query.to_owned(), |(_, previous)| format!("{previous}; {query}"))
}

/// A stage that maps each record.
pub(crate) fn map_records<A: Send + 'static, B: Send + 'static>(
    map: fn(A) -> B,
) -> impl FnOnce(RecordStream<A>) -> RecordStream<B> {
    move |records| records.map(move |record| record.map(map)).boxed()
}

/// Ends a flow: skips records that failed, and finishes the files after a stop signal.
pub(crate) async fn finish<T: Send + 'static>(
    run: &RunContext,
    flow: Flow<T>,
    sink: impl Sink<T>,
) -> Result<Report> {
    let stopped = run.stop.clone().cancelled_owned();
    finish_stoppable(run, flow.until(stopped), sink).await
}

/// As [`finish`], for a flow that ends at a stop signal by itself.
pub(crate) async fn finish_stoppable<T: Send + 'static>(
    run: &RunContext,
    flow: Flow<T>,
    sink: impl Sink<T>,
) -> Result<Report> {
    let (monitor, guard) = (Arc::clone(&run.monitor), Arc::clone(&run.guard));
    // Without tables to replace, even an empty result of a stopped run is written.
    let stop = run.replaces.then(|| run.stop.clone());
    let flow = flow.on_error(OnError::Skip);
    let report = flow.then(move |records| guard.guard(records, monitor, stop)).into_sink(sink).await?;
    set_same_time(&report);
    Ok(report)
}

/// The pictures to download.
pub(crate) struct PicturePlan<'a> {
    pub(crate) args: &'a PictureArgs,
    pub(crate) files: &'a OutputArgs,
    /// How many pictures the run is expected to download.
    pub(crate) count: CountEstimate,
    /// Shards from which pictures are taken.
    pub(crate) shards: Option<ShardPictures>,
}

/// Ends a flow with the download of its pictures, after confirmation if there are many, and writes the attribution.
pub(crate) async fn download_pictures(
    run: &RunContext,
    flow: Flow<Metadata>,
    plan: &PicturePlan<'_>,
) -> Result<Report> {
    let args = plan.args;
    let guard = DownloadGuard::new(run, plan.files, args.quality, plan.count, plan.files.yes);
    let flow = guard.guard(flow).observe_input(Step::DOWNLOAD, run.observer());
    let sink = picture_sink(run, plan)
        .quality(args.quality)
        .exif(args.exif)
        .layout(args.layout)
        .file_time(args.file_time);
    let sink = match args.shards()? {
        Some(rows) => sink.shards(rows),
        None => sink,
    };
    let sink = match &plan.shards {
        Some(pictures) => sink.take_from(pictures.clone()),
        None => sink,
    };
    let sink = if args.check_existing { sink.check_existing() } else { sink };
    let attribution = Attribution::new(&plan.files.output);
    let ended = finish(run, attribution.collect_authors(flow), sink).await;
    // The attribution applies to all pictures in the directory, so even a failed run writes it.
    if !has_pictures(plan.files).await {
        return ended;
    }
    let written = attribution.write();
    let mut report = ended?;
    report.taps.push(written?);
    Ok(report)
}

#[cfg(feature = "object-store")]
fn picture_sink(run: &RunContext, plan: &PicturePlan<'_>) -> ImageSink {
    match &plan.files.remote {
        Some(remote) => {
            let folder = remote.bucket.join(&plan.files.names.image_downloads_folder);
            ImageSink::to_bucket(&run.client, &folder)
        }
        None => ImageSink::new(&run.client, plan.files.pictures()),
    }
}

#[cfg(not(feature = "object-store"))]
fn picture_sink(run: &RunContext, plan: &PicturePlan<'_>) -> ImageSink {
    ImageSink::new(&run.client, plan.files.pictures())
}

/// Whether the directory of pictures contains anything but hidden files, which belong to the run.
async fn has_pictures(files: &OutputArgs) -> bool {
    if let Some(remote) = &files.remote {
        return remote.bucket.join(&files.names.image_downloads_folder).has_objects().await;
    }
    let entries = std::fs::read_dir(files.pictures()).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name()).any(|name| !name.to_string_lossy().starts_with('.'))
}
