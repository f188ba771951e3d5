//! From arguments to flows: what each command does.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use super::args::{
    AreaArgs, AskArgs, CrawlArgs, DownloadArgs, ImagesArgs, MetadataArgs, PictureArgs, SequencesArgs,
};
use super::run::Run;
use crate::{
    CsvSource, Error, ErrorKind, FetchMetadata, Fields, Flow, Format, ImageSink, ListImages, Metadata,
    OnError, Quality, Record, Report, Result, Sink, TileSource,
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
    flow.on_error(OnError::Skip).until(run.stop.clone().cancelled_owned()).into_sink(sink).await
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
    FetchMetadata::new(&run.client).fields(fields.clone()).batch_size(ask.batch_size.into())
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
        Some(path) if path == Path::new("-") => CsvSource::read("standard input", io::stdin()),
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
    let mut file = BufReader::with_capacity(1 << 16, File::open(path)?);
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
