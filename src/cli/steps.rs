//! From arguments to flows: what each command does.

use std::path::Path;
use std::sync::Arc;

use futures::StreamExt;

use super::args::{
    AreaArgs, AskArgs, CrawlArgs, DownloadArgs, ImagesArgs, MetadataArgs, PictureArgs, SequencesArgs,
};
use super::attribution::Attribution;
use super::run::Run;
use super::screen::Screen;
use super::tables::{Input, Tables, check_flags, stamp};
use crate::sinks::Exif;
use crate::{
    Error, ErrorKind, FetchMetadata, Fields, Flow, ImageSink, ListImages, Metadata, OnError, Quality, Record,
    RecordStream, Report, Result, Sink, TableSource, TileSource,
};

pub(super) const SEQUENCES: &str = "sequences";
pub(super) const IMAGES: &str = "images";
pub(super) const METADATA: &str = "metadata";
pub(super) const DOWNLOAD: &str = "download";

/// The steps of `crawl`, in order.
pub(super) const ALL: [&str; 4] = [SEQUENCES, IMAGES, METADATA, DOWNLOAD];

const SEQUENCE_TABLE: &str = "seq_dataset";
const IMAGE_TABLE: &str = "img_dataset";
const METADATA_TABLE: &str = "img_meta_dataset";
const PICTURES: &str = "downloaded_images";

/// The table that a step writes, if it writes one.
pub(super) fn table(step: &str) -> Option<&'static str> {
    match step {
        SEQUENCES => Some(SEQUENCE_TABLE),
        IMAGES => Some(IMAGE_TABLE),
        METADATA => Some(METADATA_TABLE),
        _ => None,
    }
}

/// Whether one thing that enters a step gives many records: a tile, a sequence.
pub(super) fn gives_many(step: &str) -> bool {
    matches!(step, SEQUENCES | IMAGES)
}

/// What enters a step, one and many.
pub(super) fn unit(step: &str) -> (&'static str, &'static str) {
    match step {
        SEQUENCES => ("tile", "tiles"),
        IMAGES => ("sequence", "sequences"),
        _ => ("image", "images"),
    }
}

pub(super) async fn sequences(run: &Run, args: &SequencesArgs) -> Result<Report> {
    let query = query(run, SEQUENCES, Some(&args.area), None);
    let tables = Tables::new(&args.files.output, &args.tables, None, &query)?;
    let flow = Flow::from(tiles(run, &args.area)?).observe(SEQUENCES, run.observer());
    let (flow, sink) = tables.end(flow, SEQUENCE_TABLE, &Fields::default());
    finish(run, flow, sink).await
}

pub(super) async fn images(run: &Run, args: &ImagesArgs) -> Result<Report> {
    check_flags(&args.tables, None)?;
    let input = Input::find(&args.input, &args.files.output, SEQUENCE_TABLE)?;
    let source = input.open(&run.stop).await?;
    let query = after(&source, &query(run, IMAGES, None, None));
    let tables = Tables::new(&args.files.output, &args.tables, None, &query)?;
    let flow = Flow::from(source)
        .entering(IMAGES, run.observer())
        .then(ListImages::new(&run.client))
        .observe(IMAGES, run.observer());
    let (flow, sink) = tables.end(flow, IMAGE_TABLE, &Fields::default());
    finish(run, flow, sink).await
}

pub(super) async fn metadata(run: &Run, args: &MetadataArgs) -> Result<Report> {
    check_flags(&args.tables, Some(&args.geometry))?;
    let input = Input::find(&args.input, &args.files.output, IMAGE_TABLE)?;
    let source = input.open(&run.stop).await?;
    let query = after(&source, &query(run, METADATA, None, Some(&args.ask.fields)));
    let tables = Tables::new(&args.files.output, &args.tables, Some(&args.geometry), &query)?;
    run.expect(METADATA, &input);
    let asked = tables.asked(&args.ask.fields)?;
    let flow = Flow::from(source)
        .entering(METADATA, run.observer())
        .then(fetch(run, &args.ask, &asked))
        .observe(METADATA, run.observer());
    let (flow, sink) = tables.end(flow, METADATA_TABLE, &args.ask.fields);
    finish(run, flow, sink).await
}

pub(super) async fn download(run: &Run, args: &DownloadArgs) -> Result<Report> {
    let input = Input::find(&args.input, &args.files.output, METADATA_TABLE)?;
    let source = input.open::<Metadata>(&run.stop).await?;
    run.expect(DOWNLOAD, &input);
    let hint = hint_for(args.pictures.quality, source.header());
    let mut source = source.require(args.pictures.quality.field(), hint)?;
    if let Some(column) = args.pictures.layout.needs() {
        let why = format!("`--layout {}` goes by it; choose another, or fetch it", args.pictures.layout);
        source = source.require(column, why)?;
    }
    if let Some(hint) = lacking(&args.pictures, &source) {
        run.screen.say(&hint);
    }
    // The sink itself tells what becomes of each picture.
    let flow = Flow::from(source).entering(DOWNLOAD, run.observer());
    finish_with_pictures(run, flow, &args.pictures, &args.files.output).await
}

pub(super) async fn crawl(run: &Run, args: &CrawlArgs) -> Result<Report> {
    let (output, download) = (&args.files.output, !args.no_download);
    let fields = args.ask.fields.clone();
    let fields = if download { fields.and(args.pictures.quality.field())? } else { fields };
    let query = query(run, "crawl", Some(&args.area), Some(&fields));
    let tables = Tables::new(output, &args.tables, Some(&args.geometry), &query)?;
    let asked = tables.asked(&fields)?;
    let asked =
        if download { needed(&args.pictures).into_iter().try_fold(asked, Fields::and)? } else { asked };
    let flow = Flow::from(tiles(run, &args.area)?).observe(SEQUENCES, run.observer());
    let flow = tables
        .tap(flow, SEQUENCE_TABLE, &fields)
        .entering(IMAGES, run.observer())
        .then(ListImages::new(&run.client))
        .observe(IMAGES, run.observer());
    let flow = tables
        .tap(flow, IMAGE_TABLE, &fields)
        .entering(METADATA, run.observer())
        .then(fetch(run, &args.ask, &asked))
        .observe(METADATA, run.observer());
    if download {
        let flow = tables.tap(flow, METADATA_TABLE, &fields).entering(DOWNLOAD, run.observer());
        finish_with_pictures(run, flow, &args.pictures, output).await
    } else {
        let (flow, sink) = tables.end(flow, METADATA_TABLE, &fields);
        finish(run, flow, sink).await
    }
}

/// What decides which records come, as one would say it again; it goes into the files.
fn query(run: &Run, step: &str, area: Option<&AreaArgs>, fields: Option<&Fields>) -> String {
    let mut words = vec![format!("streetflow {step}")];
    if run.is_sandbox() {
        words.push("--sandbox".to_owned());
    }
    if let Some(area) = area {
        words.extend(area.bbox.or(run.default_bbox).map(|bbox| format!("--bbox {bbox}")));
        words.extend(area.org_id.iter().map(|owner| format!("--org-id {owner}")));
        words.push(format!("--min-zoom {} --max-zoom {}", area.min_zoom, area.max_zoom));
        if area.exhaustive {
            words.push("--exhaustive".to_owned());
        }
    }
    words.extend(fields.map(|fields| format!("--fields {fields}")));
    words.join(" ")
}

/// A step's query goes on from that of the table that it reads, if the table tells.
fn after<T: Record>(source: &TableSource<T>, query: &str) -> String {
    let before = source.notes().into_iter().find(|(name, _)| name == "query");
    before.map_or_else(|| query.to_owned(), |(_, before)| format!("{before}; {query}"))
}

/// The same end for all: what fails is skipped and told, a signal ends it well.
async fn finish<T: Send + 'static>(run: &Run, flow: Flow<T>, sink: impl Sink<T>) -> Result<Report> {
    let screen = Arc::clone(&run.screen);
    let flow = flow.on_error(OnError::Skip).then(move |records| refuse_total_failure(records, screen));
    let report = flow.until(run.stop.clone().cancelled_owned()).into_sink(sink).await?;
    stamp(&report);
    Ok(report)
}

/// The end of those with pictures: whatever became of them, what is there says whom to name.
async fn finish_with_pictures(
    run: &Run,
    flow: Flow<Metadata>,
    args: &PictureArgs,
    output: &Path,
) -> Result<Report> {
    let attribution = Attribution::new(output);
    let ended = finish(run, attribution.listen(flow), pictures(run, args, output)).await;
    if !has_any(&output.join(PICTURES)) {
        return ended;
    }
    let written = attribution.write();
    let mut report = ended?;
    report.taps.push(written?);
    Ok(report)
}

/// Whether there is anything in a folder but what a run keeps there for itself.
fn has_any(folder: &Path) -> bool {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name()).any(|name| !name.to_string_lossy().starts_with('.'))
}

/// A run in which everything failed must not put an empty table in the place of a good one.
fn refuse_total_failure<T: Send + 'static>(records: RecordStream<T>, screen: Arc<Screen>) -> RecordStream<T> {
    let whole = futures::stream::unfold(Some((records, false)), move |state| {
        let screen = Arc::clone(&screen);
        async move {
            let (mut records, any) = state?;
            match records.next().await {
                Some(item) => Some((item, Some((records, true)))),
                None if !any && screen.failed() > 0 => {
                    let why = format!("nothing came, and {} failed", screen.failed());
                    let error = Error::new(ErrorKind::Unavailable, "get anything").because(why);
                    Some((
                        Err(error.hint("the warnings above say why; the files are left as they were")),
                        None,
                    ))
                }
                None => None,
            }
        }
    });
    whole.boxed()
}

fn tiles(run: &Run, area: &AreaArgs) -> Result<TileSource> {
    if area.min_zoom > area.max_zoom {
        let why = format!("`--min-zoom {}` is deeper than `--max-zoom {}`", area.min_zoom, area.max_zoom);
        return Err(Error::new(ErrorKind::Usage, "choose the tile levels").because(why));
    }
    let bbox = area.bbox.or(run.default_bbox).ok_or_else(no_box)?;
    let source = TileSource::within(&run.client, bbox).zooms(area.min_zoom, area.max_zoom);
    let source = if area.exhaustive { source.exhaustive() } else { source };
    Ok(match &area.org_id {
        Some(owner) => source.owned_by(owner.clone()),
        None => source,
    })
}

/// There is nothing to crawl.
pub(super) fn no_box() -> Error {
    Error::new(ErrorKind::Usage, "choose the area")
        .because("no box was given")
        .hint("give one with `--bbox W,S,E,N`, such as `--bbox 32.19,34.52,34.18,35.49`")
}

fn fetch(run: &Run, ask: &AskArgs, fields: &Fields) -> FetchMetadata {
    FetchMetadata::new(&run.client).fields(fields).batch_size(ask.batch_size.into())
}

fn pictures(run: &Run, args: &PictureArgs, output: &Path) -> ImageSink {
    let sink = ImageSink::new(&run.client, output.join(PICTURES));
    let sink = sink.quality(args.quality).exif(args.exif).layout(args.layout);
    if args.check_existing { sink.check_present() } else { sink }
}

/// The fields that pictures need besides their URL: those that go into them, and the one that names their folder.
fn needed(args: &PictureArgs) -> Vec<&'static str> {
    let exif = if args.exif.applies_to(args.quality) { &Exif::FIELDS[..] } else { &[] };
    let layout = args.layout.needs().filter(|column| *column != "seq_id");
    exif.iter().copied().chain(layout).collect()
}

/// What pictures can't carry because the table does not have it.
fn lacking(args: &PictureArgs, source: &TableSource<Metadata>) -> Option<String> {
    let geometry = source.geometry().map(|_| "geometry");
    let has = Fields::of_columns(source.header().iter().map(String::as_str).chain(geometry));
    let wanted = Exif::FIELDS.iter().filter(|_| args.exif.applies_to(args.quality));
    // The picture itself tells its size.
    let lacking: Vec<_> = wanted
        .copied()
        .filter(|field| !["width", "height"].contains(field) && !has.names().contains(field))
        .collect();
    if lacking.is_empty() {
        return None;
    }
    let whole = lacking.iter().try_fold(has, |fields, field| fields.and(field)).ok()?;
    Some(format!(
        "the table has no {}, so pictures go without; `streetflow metadata --fields {whole}` fetches a table that has all",
        lacking.join(", ")
    ))
}

/// The command that would make the table whole: its own fields, and the one that is lacking.
fn hint_for(quality: Quality, header: &[String]) -> String {
    let fields = Fields::of_columns(header.iter().map(String::as_str));
    let fields = fields.and(quality.field()).unwrap_or_default();
    format!("run `streetflow metadata --fields {fields}` first")
}
