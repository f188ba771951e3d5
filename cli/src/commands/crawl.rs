//! `crawl`: all steps in one flow.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use futures::StreamExt;

use super::map::{PAGE_NAME, TABLE, check_output};
use super::next_command;
use crate::args::{
    AreaArgs, DisplayArgs, FetchArgs, FetchDetectionArgs, FilterArgs, GeometryArgs, NameArgs, NetworkArgs,
    ONE_RUN, OutputArgs, Partition, PictureArgs, QUERY_FLAGS, TableArgs, partition, read_query,
};
use crate::exit_code::Exit;
use crate::job::{
    self, CountEstimate, CrawlPlanFile, DetectionBranch, IdList, Job, JobInput, PLAN_NAME, PicturePlan,
    PlanPart, RunContext, SequenceSource, TableOutputs, Update, prefetch, table_path,
};
use crate::terminal::shell::quoted;
use streetflow::map::{MapOptions, MapSink};
use streetflow::query::Selection;
use streetflow::{
    Error, ErrorKind, FetchMetadata, Fields, Flow, Image, Quality, Query, RecordStream, Report, Result,
    Sequence, Step, query,
};

pub(crate) const EXAMPLES: &str = "\
Examples:
  streetflow crawl --sandbox
  streetflow crawl --place 'Nicosia, Cyprus' --clip
  streetflow crawl --area town.geojson --clip --pano --quality 2048
  streetflow crawl --user maria_streets --from 2024-06-01 --limit 1000
  streetflow crawl --sequences ids.txt --no-download --format parquet

Run the same command again to resume a killed or stopped crawl.";

/// Sequences that are read ahead of their images: a few megabytes, enough for all of a country.
const PREFETCH: usize = 50_000;

/// The steps of a crawl with `--detections`.
const WITH_DETECTIONS: [Step; 5] =
    [Step::SEQUENCES, Step::IMAGES, Step::METADATA, Step::DETECTIONS, Step::DOWNLOAD];

#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag")]
pub(crate) struct CrawlArgs {
    #[command(flatten)]
    pub(super) area: AreaArgs,
    /// Only images inside the area
    ///
    /// Without it, sequences that intersect the area are complete.
    #[arg(long, help_heading = "Area")]
    pub(super) clip: bool,
    /// Start from these sequences instead of an area
    ///
    /// A file with one id per line, a table, ids separated by commas, or - for standard input.
    #[arg(long, value_name = "FILE|ID,…", help_heading = "Area", group = ONE_RUN, allow_hyphen_values = true, conflicts_with_all = ["location", "org_id", "user", "images", "clip", "exhaustive", "thorough", "lines_only"])]
    sequences: Option<String>,
    /// Start from these images, given in the same ways
    #[arg(long, value_name = "FILE|ID,…", help_heading = "Area", group = ONE_RUN, hide_short_help = true, conflicts_with_all = ["location", "org_id", "user", "clip", "exhaustive", "thorough", "lines_only"])]
    images: Option<String>,
    /// Estimate the crawl instead of running it
    ///
    /// Reads only the tiles of the area, which the crawl then finds in the cache. Counts sequences, images and
    /// requests; time and disk space are guesses and marked as such.
    #[arg(long, help_heading = "Area", group = ONE_RUN, conflicts_with_all = ["sequences", "images"])]
    pub(crate) estimate: bool,
    /// Take the query from a file: a report.json, a plan.json, or a query
    ///
    /// The query contains the area or ids, the owners, the filters, the limit and the fields, and replaces their flags.
    #[arg(long, value_name = "FILE", help_heading = "Area", group = ONE_RUN, hide_short_help = true, conflicts_with_all = QUERY_FLAGS)]
    query: Option<PathBuf>,
    /// Crawl a partition of a plan: the directory that `streetflow plan` wrote
    ///
    /// Writes to DIR/part-<I>-of-<N>/. Flags of the plan need not be repeated. A partition that is done is not run again.
    #[arg(long, value_name = "DIR", help_heading = "Files", group = ONE_RUN, hide_short_help = true, requires = "partition", conflicts_with_all = QUERY_FLAGS, conflicts_with_all = ["query", "estimate", "update", "output"])]
    pub(crate) plan: Option<PathBuf>,
    /// The partition: I of N, from 0
    #[arg(long, value_name = "I/N", help_heading = "Files", group = ONE_RUN, hide_short_help = true, requires = "plan", value_parser = partition)]
    partition: Option<Partition>,
    #[arg(skip)]
    part: Option<PlanPart>,
    /// Update the tables of an earlier crawl
    ///
    /// Lists sequences and images anew, but fetches metadata only of images, and fields, that the table lacks. Writes
    /// what is new and what is gone to changes.csv. The query must be that of the earlier crawl.
    #[arg(long, help_heading = "Area", group = ONE_RUN, conflicts_with_all = ["estimate", "limit"])]
    update: bool,
    #[command(flatten)]
    pub(super) filters: FilterArgs,
    #[command(flatten)]
    pub(super) fetch: FetchArgs,
    #[command(flatten)]
    pub(super) pictures: PictureArgs,
    /// Also fetch the detections of the images
    #[arg(long, help_heading = "Detections", conflicts_with = "update")]
    detections: bool,
    #[command(flatten)]
    fetch_detections: FetchDetectionArgs,
    /// Stop after the metadata: no pictures
    #[arg(long, help_heading = "Pictures")]
    pub(super) no_download: bool,
    /// Also write map.html, a map page
    ///
    /// The fields that the page shows are added: geometry, creator and is_pano.
    #[arg(long, help_heading = "Tables")]
    map: bool,
    #[command(flatten)]
    pub(super) tables: TableArgs,
    #[command(flatten)]
    geometry: GeometryArgs,
    #[command(flatten)]
    pub(super) files: OutputArgs,
    #[command(flatten)]
    pub(super) network: NetworkArgs,
}

impl CrawlArgs {
    /// The first flag that has no meaning for a plan.
    pub(super) fn flag_that_excludes_a_plan(&self) -> Option<&'static str> {
        let flags = [
            ("--sequences", self.sequences.is_some()),
            ("--images", self.images.is_some()),
            ("--estimate", self.estimate),
            ("--update", self.update),
            ("--plan", self.plan.is_some()),
        ];
        flags.into_iter().find_map(|(flag, is_given)| is_given.then_some(flag))
    }

    /// Sets the fields of a query besides its start, its owners and its filters.
    pub(super) fn fill_query(&self, query: &mut Query) -> Result<()> {
        self.fetch.fill(query);
        query.geometry = self.geometry.geometry;
        query.clip = self.clip;
        if query.clip && query.selected_area()?.is_none() {
            return Err(Error::new(ErrorKind::Usage, "use the flag")
                .with_subject("--clip")
                .with_source("it applies only to an area, and none was given")
                .with_hint("add an area with `--bbox`, `--area` or `--around`"));
        }
        Ok(())
    }

    /// Takes the query of `--query`, if it is given, into the flags.
    pub(crate) fn load_query(&mut self) -> Result<()> {
        let (query, path) = match (&self.query, &self.plan, self.partition) {
            (_, Some(directory), Some(partition)) => {
                let plan = CrawlPlanFile::read(directory)?;
                self.part = Some(PlanPart::new(&plan, directory, partition)?);
                self.files.output = partition.directory(directory);
                // Whether nearly all is gone is decided over all partitions, by `merge`.
                self.network.trust_gone = true;
                (plan.query, directory.join(PLAN_NAME))
            }
            (Some(path), ..) => (read_query(path)?, path.clone()),
            _ => return Ok(()),
        };
        self.area.apply(&query, &path);
        self.filters.apply(&query)?;
        self.fetch.apply(&query);
        self.clip = query.clip;
        self.sequences.clone_from(&query.sequences);
        self.images.clone_from(&query.images);
        let has_geometry = self.tables.format.iter().any(|format| format.has_geometry());
        self.geometry.geometry = self.geometry.geometry.or(query.geometry.filter(|_| has_geometry));
        Ok(())
    }
}

pub(crate) async fn run(args: &CrawlArgs, display: &DisplayArgs) -> Exit {
    if let Some(part) = args.part.as_ref().filter(|_| !args.files.restart)
        && job::is_done(&args.files.output, part)
    {
        let done = format!("partition {} is done; `--restart` runs it again", part.partition);
        display.printer().note(&done);
        display.printer().end(Exit::Done as u8, None, None);
        return Exit::Done;
    }
    if let Err(error) = job::find_place(&args.area, &args.files, &display.printer()).await {
        return job::reject(display, &error);
    }
    let (plan, selection) = match CrawlPlan::resolve(args) {
        Ok(resolved) => resolved,
        Err(error) => return job::reject(display, &error),
    };
    let detection_filters = plan.detections.map(FetchDetectionArgs::to_cli_args).unwrap_or_default();
    let job = Job {
        network: &args.network,
        files: &args.files,
        steps: plan.steps(),
        formats: args.tables.formats(),
        query: Some(&plan.query),
        input: match plan.source {
            CrawlSource::Area { .. } => JobInput::Area(&args.area),
            CrawlSource::Ids(ids) => JobInput::Ids(ids),
        },
        filters: [args.filters.to_cli_args(), detection_filters].concat(),
        clip: args.clip,
        update: args.update,
        next: next_command(args),
    };
    job.run(display, async |run| flow(run, &plan, selection).await).await
}

/// The flags of a crawl, resolved. The flow reads nothing else.
struct CrawlPlan<'a> {
    source: CrawlSource<'a>,
    query: Query,
    /// The columns of the table of metadata.
    columns: Fields,
    /// The fields to request: the columns, and those that filters, formats and pictures need.
    request_fields: Fields,
    outputs: TableOutputs<'a>,
    names: &'a NameArgs,
    /// How detections are fetched, if they are.
    detections: Option<&'a FetchDetectionArgs>,
    /// `None` stops after the metadata.
    pictures: Option<PicturePlan<'a>>,
    /// The map page to write.
    map: Option<MapSink>,
}

/// Where a crawl starts.
enum CrawlSource<'a> {
    Area {
        sequences: Box<SequenceSource>,
        /// Reads sequences ahead, to know the number of pictures early.
        prefetch: bool,
    },
    Ids(IdList<'a>),
}

impl<'a> CrawlPlan<'a> {
    /// Resolves the flags. Flags that contradict each other are usage errors.
    fn resolve(args: &'a CrawlArgs) -> Result<(Self, Selection)> {
        let source = CrawlSource::resolve(args)?;
        let query = source.query(args)?;
        let detections = args.detections.then_some(&args.fetch_detections);
        detections.map_or(Ok(()), |detections| detections.check(&args.tables.formats()))?;
        let outputs = TableOutputs::new(&args.files, &args.tables, Some(&args.geometry))?;
        let columns = columns(args)?;
        let selection = query.selection()?;
        let mut request_fields = selection.request_fields(outputs.request_fields(&columns)?)?;
        if !args.no_download {
            request_fields =
                args.pictures.required_fields().into_iter().try_fold(request_fields, Fields::with)?;
        }
        let count = match source {
            CrawlSource::Area { .. } => count_estimate(&query),
            CrawlSource::Ids(_) => CountEstimate::Unknown,
        };
        let plan = Self {
            outputs: outputs.query(&source.query_text(args, &columns)),
            source,
            query,
            columns,
            request_fields,
            names: &args.files.names,
            detections,
            map: map_sink(args)?,
            pictures: (!args.no_download).then_some(PicturePlan {
                args: &args.pictures,
                files: &args.files,
                count,
            }),
        };
        Ok((plan, selection))
    }

    /// The steps, in order. A crawl from ids starts at the step that reads them.
    fn steps(&self) -> &'static [Step] {
        let first = match self.source {
            CrawlSource::Area { .. } => 0,
            CrawlSource::Ids(IdList::Sequences(_) | IdList::Part(_)) => 1,
            CrawlSource::Ids(IdList::Images(_)) => 2,
        };
        let steps: &[Step] = if self.detections.is_some() { &WITH_DETECTIONS } else { &Step::ALL };
        &steps[first..steps.len() - usize::from(self.pictures.is_none())]
    }
}

/// The columns of the table of metadata. They include the picture URL for a download now, or with `--quality` later.
fn columns(args: &CrawlArgs) -> Result<Fields> {
    let fields = args.fetch.fields.clone();
    let shown: &[&str] = if args.map { &["geometry", "creator", "is_pano"] } else { &[] };
    let fields = shown.iter().try_fold(fields, |fields, name| fields.with(name))?;
    let needs_url = !args.no_download || args.pictures.quality != Quality::default();
    if needs_url { fields.with(args.pictures.quality.field()) } else { Ok(fields) }
}

/// The sink of the map page, if it replaces no other file. It ends after the pictures, so the page shows them.
fn map_sink(args: &CrawlArgs) -> Result<Option<MapSink>> {
    if !args.map {
        return Ok(None);
    }
    let files = &args.files;
    if files.remote.is_some() {
        return Err(Error::new(ErrorKind::Usage, "use `--map`")
            .with_source("the page is written to a directory of this computer")
            .with_hint("use another `--output`, or run `streetflow map` on the downloaded table"));
    }
    let page = files.output.join(PAGE_NAME);
    check_output(&page)?;
    let title = files.output.file_name().map(|name| name.to_string_lossy().into_owned());
    let options = MapOptions {
        title: title.unwrap_or_default(),
        geometry: args.geometry.geometry.unwrap_or_default(),
        ..MapOptions::default()
    };
    Ok(Some(MapSink::create(page).options(options).pictures(files.pictures())))
}

impl<'a> CrawlSource<'a> {
    fn resolve(args: &'a CrawlArgs) -> Result<Self> {
        if let Some(part) = &args.part {
            return Ok(Self::Ids(IdList::Part(part)));
        }
        if let Some(text) = &args.sequences {
            return Ok(Self::Ids(IdList::Sequences(text)));
        }
        if let Some(text) = &args.images {
            return Ok(Self::Ids(IdList::Images(text)));
        }
        let sequences = SequenceSource::resolve(&args.area, Some(&args.filters), &args.network)?;
        let prefetch = sequences.reads_tiles() && !args.no_download && args.filters.limit.is_none();
        Ok(Self::Area { sequences: Box::new(sequences), prefetch })
    }

    fn query(&self, args: &CrawlArgs) -> Result<Query> {
        let mut query = match self {
            Self::Area { sequences, .. } => sequences.query().clone(),
            Self::Ids(IdList::Part(_)) => {
                let mut query = Query::default();
                args.area.fill(&mut query, None);
                args.filters.fill(&mut query);
                query
            }
            Self::Ids(ids) => {
                let mut query = Query::default();
                query.exclude_owner.clone_from(&args.area.exclude_owner);
                args.filters.dates()?;
                args.filters.fill(&mut query);
                match ids {
                    IdList::Sequences(list) => query.sequences = Some((*list).to_owned()),
                    IdList::Images(list) => query.images = Some((*list).to_owned()),
                    IdList::Part(_) => {}
                }
                query
            }
        };
        args.fill_query(&mut query)?;
        Ok(query)
    }

    fn query_text(&self, args: &CrawlArgs, columns: &Fields) -> String {
        let query = |area| job::query_text("crawl", &args.network, area, Some(&args.filters), Some(columns));
        match self {
            Self::Area { .. } => query(Some(&args.area)),
            Self::Ids(ids) => format!("{} {}", query(None), ids.to_cli_args()),
        }
    }
}

/// What the tiles tell about the number of pictures.
fn count_estimate(query: &Query) -> CountEstimate {
    let is_exact = !query.clip && !query.needs_metadata() && query.reads_tile_images();
    if query.reads_tiles() && is_exact {
        CountEstimate::Tiles { max: query.limit.unwrap_or(u64::MAX) }
    } else {
        CountEstimate::Unknown
    }
}

async fn flow(run: &RunContext, plan: &CrawlPlan<'_>, selection: Selection) -> Result<Report> {
    let mut request_fields = plan.request_fields.clone();
    let images = match &plan.source {
        CrawlSource::Area { sequences, prefetch: reads_ahead } => {
            let flow = sequences.open(run).await?;
            let flow = if *reads_ahead { flow.then(|records| prefetch(records, PREFETCH)) } else { flow };
            let flow = flow.observe(Step::SEQUENCES, run.observer());
            list_images(
                run,
                plan,
                &selection,
                plan.outputs.tap(flow, &plan.names.seq_out_file, &plan.columns),
            )
        }
        CrawlSource::Ids(IdList::Sequences(text)) => {
            let source = job::open_sequences(text, &run.stop).await?.only(&["seq_id"]);
            list_images(run, plan, &selection, Flow::from(source))
        }
        CrawlSource::Ids(IdList::Part(part)) => {
            let rows = part.open(&run.stop).await?;
            list_images(run, plan, &selection, Flow::from(rows))
        }
        CrawlSource::Ids(IdList::Images(text)) => {
            let source = job::open_images(text, &run.stop).await?;
            if !source.header().iter().any(|name| name == "seq_id") {
                request_fields = request_fields.with("sequence")?;
            }
            let source = source.only(&["seq_id"]).on_rounded_ids(run.id_check());
            let flow = Flow::from(source).then(job::map_records(query::to_image));
            selection.apply_before_metadata(flow, &run.observer())
        }
    };
    let fetch = FetchMetadata::new(&run.client).fields(&request_fields).batch_size(plan.query.batch_size);
    let (images, fetch) = match &run.update {
        Some(update) => (images.then(inspect(update, Update::observe_listed)), fetch.known(&update.known)),
        None => (images, fetch),
    };
    let flow = images.observe_input(Step::METADATA, run.observer()).then(fetch);
    let flow = match plan.source {
        CrawlSource::Ids(IdList::Images(_)) => flow.then(job::map_records(query::fill_sequence)),
        _ => flow,
    };
    let flow = selection.apply_after_metadata(flow, &run.observer()).observe(Step::METADATA, run.observer());
    let flow = match &run.update {
        Some(update) => flow.then(inspect(update, Update::observe_metadata)),
        None => flow,
    };
    let flow = match plan.detections {
        Some(args) => {
            flow.tap(DetectionBranch::new(run, &plan.outputs, &plan.names.detections_out_file, args))
        }
        None => flow,
    };
    let table = &plan.names.img_meta_out_file;
    let flow = match plan.map.clone() {
        Some(sink) => flow.tap(sink),
        None => flow,
    };
    let mut report = if let Some(pictures) = &plan.pictures {
        let flow = plan.outputs.tap(flow, table, &plan.columns);
        job::download_pictures(run, flow, pictures).await?
    } else {
        let (flow, sink) = plan.outputs.end(flow, table, &plan.columns);
        job::finish(run, flow, sink).await?
    };
    if let Some(update) = &run.update {
        update.finish(&run.monitor, &mut report)?;
    }
    Ok(report)
}

/// A stage that shows each item to the update.
fn inspect<T: Send + 'static>(
    update: &Arc<Update>,
    observe: fn(&Update, &Result<T>),
) -> impl FnOnce(RecordStream<T>) -> RecordStream<T> {
    let update = Arc::clone(update);
    move |records| records.inspect(move |item| observe(&update, item)).boxed()
}

/// Lists the images of sequences and writes their table.
fn list_images(
    run: &RunContext,
    plan: &CrawlPlan<'_>,
    selection: &Selection,
    sequences: Flow<Sequence>,
) -> Flow<Image> {
    let list = plan.query.list_images(&run.client);
    let flow = sequences.observe_input(Step::IMAGES, run.observer()).then(list);
    let flow = selection.apply_before_metadata(flow, &run.observer()).observe(Step::IMAGES, run.observer());
    plan.outputs.tap(flow, &plan.names.img_out_file, &plan.columns)
}

/// The download if the crawl stopped before it, else the map page of a table with coordinates.
fn next_command(args: &CrawlArgs) -> Option<String> {
    if !args.no_download {
        return map_command(args);
    }
    let quality = args.pictures.quality;
    let fields = if quality == Quality::default() {
        args.fetch.fields.clone()
    } else {
        quality.field().parse().unwrap_or_default()
    };
    next_command::download(&args.files, &args.network, &args.tables, &fields).or_else(|| map_command(args))
}

/// The map page, unless it is written or the coordinates are missing.
fn map_command(args: &CrawlArgs) -> Option<String> {
    let has_coordinates = args.fetch.fields.names().contains(&"geometry");
    if args.map || !has_coordinates || args.files.remote.is_some() {
        return None;
    }
    let is_default = args.files.names.img_meta_out_file == TABLE;
    let table = match args.tables.format.first() {
        Some(format) if !is_default => {
            table_path(&args.files.output, &args.files.names.img_meta_out_file, *format)
        }
        _ => args.files.output.clone(),
    };
    Some(if table == Path::new("outputs") {
        "streetflow map".to_owned()
    } else {
        format!("streetflow map {}", quoted(&table.display().to_string()))
    })
}
