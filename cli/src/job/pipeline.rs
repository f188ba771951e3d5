//! From arguments to flows: what each command does.

use std::path::Path;
use std::sync::Arc;

use futures::StreamExt;

use crate::args::area::no_box;
use crate::args::{
    AreaArgs, AskArgs, CrawlArgs, DownloadArgs, FilterArgs, ImagesArgs, MetadataArgs, NameArgs, OutputArgs,
    PictureArgs, SequencesArgs,
};
use crate::artifacts::attribution::Attribution;
use crate::commands::columns::{lacking, needed, read_columns};
use crate::commands::next_command;
use crate::job::context::Run;
use crate::job::download_guard::{Gate, Known};
use crate::job::id_input::{self, Start};
use crate::job::keep_full_tables::refuse_nothing;
use crate::job::outputs::{Input, Tables, check_flags, stamp};
use crate::job::prefetch::read_ahead;
use crate::job::selection::Want;
use streetflow::{
    Error, ErrorKind, FetchMetadata, Fields, Flow, ImageSink, ListImages, Metadata, OnError, Quality, Record,
    RecordStream, Report, Result, Sequence, Sink, TableSource, TileSource, UserSource,
};

pub(crate) const SEQUENCES: &str = "sequences";
pub(crate) const IMAGES: &str = "images";
pub(crate) const METADATA: &str = "metadata";
pub(crate) const DOWNLOAD: &str = "download";

/// The steps of `crawl`, in order.
pub(crate) const ALL: [&str; 4] = [SEQUENCES, IMAGES, METADATA, DOWNLOAD];

/// So many sequences may be read before their images are asked for: some megabytes, and all of a country.
const AHEAD: usize = 50_000;

/// The steps of a crawl: what it starts from is not made.
pub(crate) fn of(args: &CrawlArgs) -> &'static [&'static str] {
    let first = match Start::of(args) {
        None => 0,
        Some(Start::Sequences(_)) => 1,
        Some(Start::Images(_)) => 2,
    };
    &ALL[first..ALL.len() - usize::from(args.no_download)]
}

impl NameArgs {
    /// The table that a step writes, if it writes one.
    pub(crate) fn table(&self, step: &str) -> Option<&str> {
        match step {
            SEQUENCES => Some(&self.seq_out_file),
            IMAGES => Some(&self.img_out_file),
            METADATA => Some(&self.img_meta_out_file),
            _ => None,
        }
    }

    /// Two files can't have one name.
    pub(crate) fn check(&self) -> Result<()> {
        let mut names: Vec<_> = ALL.iter().filter_map(|step| self.table(step)).collect();
        names.push(&self.image_downloads_folder);
        names.sort_unstable();
        match names.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => Err(Error::new(ErrorKind::Usage, "use the name")
                .with_subject(pair[0])
                .with_source("two files can't both have it")),
            None => Ok(()),
        }
    }
}

/// Whether one thing that enters a step gives many records: a tile, a sequence.
pub(crate) fn gives_many(step: &str) -> bool {
    matches!(step, SEQUENCES | IMAGES)
}

/// What enters a step, one and many.
pub(crate) fn unit(step: &str) -> (&'static str, &'static str) {
    match step {
        SEQUENCES => ("tile", "tiles"),
        IMAGES => ("sequence", "sequences"),
        _ => ("image", "images"),
    }
}

pub(crate) async fn sequences(run: &Run, args: &SequencesArgs) -> Result<Report> {
    let query = query(run, SEQUENCES, Some(&args.area), None, None);
    let tables = Tables::new(&args.files.output, &args.tables, None, &query)?;
    let flow = sequences_of(run, &args.area, None).await?.observe(SEQUENCES, run.observer());
    let (flow, sink) = tables.end(flow, &args.files.names.seq_out_file, &Fields::default());
    finish(run, flow, sink).await
}

pub(crate) async fn images(run: &Run, args: &ImagesArgs) -> Result<Report> {
    check_flags(&args.tables, None)?;
    let input = Input::find(&args.input, &args.files.output, &args.files.names.seq_out_file)?;
    let source = input.open::<Sequence>(&run.stop).await?.only(&["seq_id"]);
    let query = after(&source, &query(run, IMAGES, None, None, None));
    let tables = Tables::new(&args.files.output, &args.tables, None, &query)?;
    let flow = Flow::from(source)
        .observe_input(IMAGES, run.observer())
        .then(ListImages::new(&run.client))
        .observe(IMAGES, run.observer());
    let (flow, sink) = tables.end(flow, &args.files.names.img_out_file, &Fields::default());
    finish(run, flow, sink).await
}

pub(crate) async fn metadata(run: &Run, args: &MetadataArgs) -> Result<Report> {
    check_flags(&args.tables, Some(&args.geometry))?;
    let input = Input::find(&args.input, &args.files.output, &args.files.names.img_out_file)?;
    let source = input.open(&run.stop).await?.on_rounded_ids(run.id_check());
    let query = after(&source, &query(run, METADATA, None, Some(&args.filters), Some(&args.ask.fields)));
    let tables = Tables::new(&args.files.output, &args.tables, Some(&args.geometry), &query)?;
    let want = Want::new(&args.filters)?;
    run.expect(METADATA, &input, want.most());
    let asked = want.asked(tables.asked(&args.ask.fields)?)?;
    let flow = want
        .before_metadata(Flow::from(source), run)
        .observe_input(METADATA, run.observer())
        .then(fetch(run, &args.ask, &asked));
    let flow = want.after_metadata(flow, run).observe(METADATA, run.observer());
    let (flow, sink) = tables.end(flow, &args.files.names.img_meta_out_file, &args.ask.fields);
    finish(run, flow, sink).await
}

pub(crate) async fn download(run: &Run, args: &DownloadArgs) -> Result<Report> {
    let input = Input::find(&args.input, &args.files.output, &args.files.names.img_meta_out_file)?;
    let source = input.open::<Metadata>(&run.stop).await?;
    run.expect(DOWNLOAD, &input, None);
    let hint = format!("run `{}` first", next_command::refetch(args, source.header()));
    let mut source = source.require(args.pictures.quality.field(), hint)?;
    if let Some(column) = args.pictures.layout.needs() {
        let why = format!("`--layout {}` goes by it; choose another, or fetch it", args.pictures.layout);
        source = source.require(column, why)?;
    }
    if let Some(hint) = lacking(&args.pictures, &source) {
        run.screen.say(&hint);
    }
    let source = source.only(&read_columns(&args.pictures)).on_rounded_ids(run.id_check());
    // The sink itself tells what becomes of each picture.
    let known = input.rows().map_or(Known::Nothing, Known::Rows);
    let flow = agreed(run, Flow::from(source), known, &args.pictures, &args.files);
    let flow = flow.observe_input(DOWNLOAD, run.observer());
    finish_with_pictures(run, flow, &args.pictures, &args.files).await
}

pub(crate) async fn crawl(run: &Run, args: &CrawlArgs) -> Result<Report> {
    let (output, download) = (&args.files.output, !args.no_download);
    let fields = args.ask.fields.clone();
    // Whoever names a size and no download means to download later.
    let named = download || args.pictures.quality != Quality::default();
    let fields = if named { fields.with(args.pictures.quality.field())? } else { fields };
    let start = Start::of(args);
    let area = Some(&args.area).filter(|_| start.is_none());
    let query = query(run, "crawl", area, Some(&args.filters), Some(&fields));
    let query = start.map_or(query.clone(), |start| format!("{query} {}", start.words()));
    let tables = Tables::new(output, &args.tables, Some(&args.geometry), &query)?;
    let asks_tiles = start.is_none() && !args.area.is_user_alone();
    let want = Want::new(&args.filters)?.without(args.area.not_in_tiles(asks_tiles));
    if args.clip && args.area.is_user_alone() {
        return Err(Error::new(ErrorKind::Usage, "use the flag")
            .with_subject("--clip")
            .with_source("it is about an area, and there is none")
            .with_hint("say an area too, with `--bbox`, `--area` or `--around`"));
    }
    let clip = args.clip.then(|| args.area.place(run.default_bbox)).transpose()?.flatten();
    let want = want.clipped(clip);
    let asked = want.asked(tables.asked(&fields)?)?;
    let mut asked =
        if download { needed(&args.pictures).into_iter().try_fold(asked, Fields::with)? } else { asked };
    let names_images = matches!(start, Some(Start::Images(_)));
    let images = if let Some(Start::Images(text)) = start {
        let source = id_input::images(text, &run.stop).await?;
        if !source.header().iter().any(|name| name == "seq_id") {
            asked = asked.with("sequence")?;
        }
        let source = source.only(&["seq_id"]).on_rounded_ids(run.id_check());
        want.before_metadata(Flow::from(source).then(each(id_input::image_of)), run)
    } else {
        let sequences = if let Some(Start::Sequences(text)) = start {
            Flow::from(id_input::sequences(text, &run.stop).await?.only(&["seq_id"]))
        } else {
            let flow = sequences_of(run, &args.area, Some(&args.filters)).await?;
            let flow = if asks_tiles && download && args.filters.limit.is_none() {
                flow.then(|sequences| read_ahead(sequences, AHEAD))
            } else {
                flow
            };
            tables.tap(flow.observe(SEQUENCES, run.observer()), &args.files.names.seq_out_file, &fields)
        };
        let images = sequences.observe_input(IMAGES, run.observer()).then(list(run, &want));
        let images = want.before_metadata(images, run).observe(IMAGES, run.observer());
        tables.tap(images, &args.files.names.img_out_file, &fields)
    };
    let flow = images.observe_input(METADATA, run.observer()).then(fetch(run, &args.ask, &asked));
    let flow = if names_images { flow.then(each(id_input::with_sequence)) } else { flow };
    let flow = want.after_metadata(flow, run).observe(METADATA, run.observer());
    if download {
        let flow = tables.tap(flow, &args.files.names.img_meta_out_file, &fields);
        let known = if asks_tiles { Known::of_tiles(args) } else { Known::Nothing };
        let flow =
            agreed(run, flow, known, &args.pictures, &args.files).observe_input(DOWNLOAD, run.observer());
        finish_with_pictures(run, flow, &args.pictures, &args.files).await
    } else {
        let (flow, sink) = tables.end(flow, &args.files.names.img_meta_out_file, &fields);
        finish(run, flow, sink).await
    }
}

/// What decides which records come, as one would say it again; it goes into the files.
fn query(
    run: &Run,
    step: &str,
    area: Option<&AreaArgs>,
    filters: Option<&FilterArgs>,
    fields: Option<&Fields>,
) -> String {
    let mut words = vec![format!("streetflow {step}")];
    if run.is_sandbox() {
        words.push("--sandbox".to_owned());
    }
    if let Some(area) = area {
        words.extend(area.words(run.default_bbox));
    }
    words.extend(filters.into_iter().flat_map(FilterArgs::words));
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
    // Where there is nothing to lose, what came of the first steps is worth having.
    let stop = run.replaces.then(|| run.stop.clone());
    let full = Arc::clone(&run.full);
    let flow = flow.on_error(OnError::Skip).until(run.stop.clone().cancelled_owned());
    let report =
        flow.then(move |records| refuse_nothing(records, screen, stop, full)).into_sink(sink).await?;
    stamp(&report);
    Ok(report)
}

/// The end of those with pictures: whatever became of them, what is there says whom to name.
async fn finish_with_pictures(
    run: &Run,
    flow: Flow<Metadata>,
    args: &PictureArgs,
    files: &OutputArgs,
) -> Result<Report> {
    let attribution = Attribution::new(&files.output);
    let ended = finish(run, attribution.listen(flow), pictures(run, args, files)).await;
    if !has_any(&files.output.join(&files.names.image_downloads_folder)) {
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

/// The sequences of an area, or of a user.
pub(crate) async fn sequences_of(
    run: &Run,
    area: &AreaArgs,
    filters: Option<&FilterArgs>,
) -> Result<Flow<Sequence>> {
    let Some(name) = &area.user else { return Ok(Flow::from(tiles(run, area, filters)?)) };
    if area.is_user_alone() {
        let source = UserSource::named(&run.client, name);
        let dates = filters.map(FilterArgs::dates).transpose()?.flatten();
        return Ok(Flow::from(dates.map_or(source.clone(), |dates| source.captured(dates))));
    }
    // No tile knows names.
    let id = run.client.user_id(name).await?;
    Ok(Flow::from(tiles(run, area, filters)?.owned_by(id)))
}

/// A stage that turns records into others.
fn each<A: Send + 'static, B: Send + 'static>(
    change: fn(A) -> B,
) -> impl FnOnce(RecordStream<A>) -> RecordStream<B> {
    move |records| records.map(move |record| record.map(change)).boxed()
}

fn tiles(run: &Run, area: &AreaArgs, filters: Option<&FilterArgs>) -> Result<TileSource> {
    let place = area.place(run.default_bbox)?.ok_or_else(no_box)?;
    let source = TileSource::inside(&run.client, place).zooms(area.min_zoom, area.max_zoom);
    let source = area.org_id.iter().fold(source, |source, owner| source.owned_by(owner.clone()));
    let source = area.exclude_owner.iter().fold(source, |source, owner| source.not_owned_by(owner.clone()));
    let source = filters.map_or(Ok(source.clone()), |filters| filters.in_tiles(source))?;
    Ok(if area.exhaustive { source.exhaustive() } else { source })
}

fn list(run: &Run, want: &Want) -> ListImages {
    let list = ListImages::new(&run.client);
    want.ahead().map_or(list.clone(), |most| list.max_in_flight(most))
}

fn fetch(run: &Run, ask: &AskArgs, fields: &Fields) -> FetchMetadata {
    FetchMetadata::new(&run.client).fields(fields).batch_size(ask.batch_size.into())
}

fn pictures(run: &Run, args: &PictureArgs, files: &OutputArgs) -> ImageSink {
    let sink = ImageSink::new(&run.client, files.output.join(&files.names.image_downloads_folder));
    let sink = sink.quality(args.quality).exif(args.exif).layout(args.layout).file_time(args.file_time);
    if args.check_existing { sink.check_existing() } else { sink }
}

/// The images on their way to their download, which may have to be agreed to.
fn agreed(
    run: &Run,
    flow: Flow<Metadata>,
    known: Known,
    pictures: &PictureArgs,
    files: &OutputArgs,
) -> Flow<Metadata> {
    let folder = files.output.join(&files.names.image_downloads_folder);
    Gate::new(run, &folder, pictures.quality, known, files.yes).before(flow)
}
