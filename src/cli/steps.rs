//! From arguments to flows: what each command does.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures::StreamExt;

use super::args::{
    AreaArgs, AskArgs, CrawlArgs, DownloadArgs, ImagesArgs, MetadataArgs, PictureArgs, SequencesArgs,
};
use super::run::Run;
use super::screen::Screen;
use crate::{
    CsvSource, Error, ErrorKind, FetchMetadata, Fields, Flow, Format, ImageSink, ListImages, Metadata,
    OnError, Quality, Record, RecordStream, Report, Result, Sink, TileSource,
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

const FORMAT: Format = Format::Csv;

pub(super) async fn sequences(run: &Run, args: &SequencesArgs) -> Result<Report> {
    let flow = Flow::from(tiles(run, &args.area)?).observe(SEQUENCES, run.observer());
    finish(run, flow, table(&args.files.output, SEQUENCE_TABLE, None)).await
}

pub(super) async fn images(run: &Run, args: &ImagesArgs) -> Result<Report> {
    let source = input(args.input.input.as_deref(), &args.files.output, SEQUENCE_TABLE)?;
    let flow = Flow::from(source).then(ListImages::new(&run.client)).observe(IMAGES, run.observer());
    finish(run, flow, table(&args.files.output, IMAGE_TABLE, None)).await
}

pub(super) async fn metadata(run: &Run, args: &MetadataArgs) -> Result<Report> {
    let source = input(args.input.input.as_deref(), &args.files.output, IMAGE_TABLE)?;
    run.expect(METADATA, args.input.input.as_ref(), &args.files.output.join(file_name(IMAGE_TABLE)));
    let flow =
        Flow::from(source).then(fetch(run, &args.ask, &args.ask.fields)).observe(METADATA, run.observer());
    finish(run, flow, table(&args.files.output, METADATA_TABLE, Some(&args.ask.fields))).await
}

pub(super) async fn download(run: &Run, args: &DownloadArgs) -> Result<Report> {
    let source: CsvSource<Metadata> = input(args.input.input.as_deref(), &args.files.output, METADATA_TABLE)?;
    run.expect(DOWNLOAD, args.input.input.as_ref(), &args.files.output.join(file_name(METADATA_TABLE)));
    let hint = hint_for(args.pictures.quality, source.header());
    let source = source.require(args.pictures.quality.field(), hint)?;
    // The sink itself tells of each picture; here only rows that can't be read are news.
    let flow = Flow::from(source).observe(DOWNLOAD, run.failures());
    finish(run, flow, pictures(run, &args.pictures, &args.files.output)).await
}

pub(super) async fn crawl(run: &Run, args: &CrawlArgs) -> Result<Report> {
    let (output, download) = (&args.files.output, !args.no_download);
    let fields = args.ask.fields.clone();
    let fields = if download { fields.and(args.pictures.quality.field())? } else { fields };
    let flow = Flow::from(tiles(run, &args.area)?)
        .observe(SEQUENCES, run.observer())
        .tap(table(output, SEQUENCE_TABLE, None))
        .then(ListImages::new(&run.client))
        .observe(IMAGES, run.observer())
        .tap(table(output, IMAGE_TABLE, None))
        .then(fetch(run, &args.ask, &fields))
        .observe(METADATA, run.observer());
    let metadata = table(output, METADATA_TABLE, Some(&fields));
    if download {
        finish(run, flow.tap(metadata), pictures(run, &args.pictures, output)).await
    } else {
        finish(run, flow, metadata).await
    }
}

/// The same end for all: what fails is skipped and told, a signal ends it well.
async fn finish<T: Send + 'static>(run: &Run, flow: Flow<T>, sink: impl Sink<T>) -> Result<Report> {
    let screen = Arc::clone(&run.screen);
    let flow = flow.on_error(OnError::Skip).then(move |records| refuse_total_failure(records, screen));
    flow.until(run.stop.clone().cancelled_owned()).into_sink(sink).await
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
    let bbox = area.bbox.or(run.default_bbox).ok_or_else(|| {
        Error::new(ErrorKind::Usage, "choose the area")
            .because("no box was given")
            .hint("give one with `--bbox W,S,E,N`, such as `--bbox 32.19,34.52,34.18,35.49`")
    })?;
    let source = TileSource::within(&run.client, bbox).zooms(area.min_zoom, area.max_zoom);
    let source = if area.exhaustive { source.exhaustive() } else { source };
    Ok(match &area.org_id {
        Some(owner) => source.owned_by(owner.clone()),
        None => source,
    })
}

fn fetch(run: &Run, ask: &AskArgs, fields: &Fields) -> FetchMetadata {
    FetchMetadata::new(&run.client).fields(fields).batch_size(ask.batch_size.into())
}

fn pictures(run: &Run, args: &PictureArgs, output: &Path) -> ImageSink {
    let sink = ImageSink::new(&run.client, output.join(PICTURES)).quality(args.quality);
    if args.check_existing { sink.check_present() } else { sink }
}

fn file_name(table: &str) -> String {
    format!("{table}.{}", FORMAT.extension())
}

fn table<T: Record>(output: &Path, table: &str, fields: Option<&Fields>) -> Box<dyn Sink<T>> {
    crate::sinks::sink_for(&output.join(file_name(table)), FORMAT, fields)
}

fn input<T: Record>(given: Option<&Path>, output: &Path, table: &str) -> Result<CsvSource<T>> {
    match given {
        Some(path) if path == Path::new("-") => CsvSource::new("standard input", io::stdin()),
        Some(path) => CsvSource::open(path),
        None => CsvSource::open(output.join(file_name(table))),
    }
}

/// The command that would make the table whole: its own fields, and the one that is lacking.
fn hint_for(quality: Quality, header: &[String]) -> String {
    let known = Fields::known();
    let columns: Vec<_> =
        Metadata::COLUMNS.iter().filter(|column| header.iter().any(|cell| cell == column.name)).collect();
    let mut fields: Vec<&str> =
        columns.iter().filter_map(|column| column.field).filter(|f| known.contains(f)).collect();
    fields.dedup();
    fields.push(quality.field());
    format!("run `streetflow metadata --fields {}` first", fields.join(","))
}

/// How many rows a file has, for the time left; a guess where cells have line ends.
pub(super) fn count_rows(path: &Path) -> io::Result<u64> {
    // A pipe can be read but once, and not by us.
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::ErrorKind::Unsupported.into());
    }
    let mut file = File::open(path)?;
    let (mut buffer, mut lines) = (vec![0; 1 << 16], 0);
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(u64::saturating_sub(lines, 1)),
            read => lines += memchr::memchr_iter(b'\n', &buffer[..read]).count() as u64,
        }
    }
}

pub(super) fn paths(output: &Path) -> [(&'static str, PathBuf); 4] {
    [
        (SEQUENCES, output.join(file_name(SEQUENCE_TABLE))),
        (IMAGES, output.join(file_name(IMAGE_TABLE))),
        (METADATA, output.join(file_name(METADATA_TABLE))),
        (DOWNLOAD, output.join(PICTURES)),
    ]
}
