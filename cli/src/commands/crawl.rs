//! `crawl`: all steps in one flow.

mod args;
mod plan;

use std::ffi::OsStr;
use std::path::Path;
use std::sync::Arc;

use futures::StreamExt;

pub(crate) use self::args::CrawlArgs;
use self::plan::{CrawlPlan, CrawlSource};
use super::map::{LiveMap, TABLE, open};
use super::next_command;
use crate::args::DisplayArgs;
use crate::exit_code::Exit;
use crate::job::{
    self, DetectionBranch, FeatureTable, IdList, Job, JobInput, PlanPart, RunContext, Signals, Update,
    prefetch, table_path,
};
use crate::terminal::printer::Severity;
use crate::terminal::shell::quoted;
use streetflow::query::Selection;
use streetflow::{
    FetchMetadata, Fields, Flow, Image, Metadata, Quality, RecordStream, Report, Result, Sequence, Step,
    query,
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

pub(crate) async fn run(args: &CrawlArgs, display: &DisplayArgs) -> Exit {
    if let Some(part) = args.part.as_ref().filter(|_| !args.files.restart) {
        match job::is_done(&args.files, part).await {
            Ok(true) => return report_done(part, display),
            Ok(false) => {}
            Err(error) => return job::reject(display, &error),
        }
    }
    let resolved = job::resolve_area(&args.area, &args.files, display, || CrawlPlan::resolve(args)).await;
    let (plan, selection) = match resolved {
        Ok(resolved) => resolved,
        Err(exit) => return exit,
    };
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
        filters: args.filters.to_cli_args(),
        detections: plan.detections,
        clip: args.clip,
        update: args.update,
        next: next_command(args),
    };
    let live = match prepare_map(args, &plan, display).await {
        Ok(live) => live,
        Err(error) => return job::reject(display, &error),
    };
    let exit = job.run(display, async |run| flow(run, &plan, selection, live.as_ref()).await).await;
    if let (Some(live), Exit::Done | Exit::SomeFailed) = (live, exit) {
        live.end();
        let mut signals = Signals::listen();
        let printer = display.printer();
        // With JSON, the end of the run is the last object.
        if !printer.is_json() {
            printer.note(&format!("the map stays at {}; press Ctrl-C to stop", live.url()));
        }
        signals.next().await;
    }
    exit
}

/// Ends a run of a partition that is done.
fn report_done(part: &PlanPart, display: &DisplayArgs) -> Exit {
    let done = format!("partition {} is done; `--restart` runs it again", part.partition);
    display.printer().note(&done);
    display.printer().end(Exit::Done as u8, None, None);
    Exit::Done
}

/// Checks that the page replaces no other file. With `--serve`, starts the server.
async fn prepare_map(
    args: &CrawlArgs,
    plan: &CrawlPlan<'_>,
    display: &DisplayArgs,
) -> Result<Option<LiveMap>> {
    let Some(map) = &plan.map else { return Ok(None) };
    map.place.check().await?;
    if !args.serve {
        return Ok(None);
    }
    let is_local = args.files.remote.is_none();
    let pictures = (!args.no_download && is_local).then(|| args.files.pictures());
    let live = LiveMap::start(map.options.clone(), pictures, args.port).await?;
    let printer = display.printer();
    // Without the address, the flag would be of no use.
    printer.always(Severity::Note, &format!("watch the crawl at {}", live.url()));
    if args.open {
        open(OsStr::new(live.url()), &printer);
    }
    Ok(Some(live))
}

async fn flow(
    run: &RunContext,
    plan: &CrawlPlan<'_>,
    selection: Selection,
    live: Option<&LiveMap>,
) -> Result<Report> {
    let (images, request_fields) = images(run, plan, &selection).await?;
    let flow = metadata(run, plan, selection, images, &request_fields);
    let flow = match plan.detections {
        Some(args) => {
            flow.tap(DetectionBranch::new(run, &plan.outputs, &plan.names.detections_out_file, args))
        }
        None => flow,
    };
    let table = &plan.names.img_meta_out_file;
    let flow = match &plan.map {
        Some(map) => flow.tap(map.sink.clone()),
        None => flow,
    };
    let flow = match live {
        Some(live) => flow.tap(live.sink()),
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

/// The images whose metadata the crawl fetches, and the fields to request.
async fn images(
    run: &RunContext,
    plan: &CrawlPlan<'_>,
    selection: &Selection,
) -> Result<(Flow<Image>, Fields)> {
    let mut request_fields = plan.request_fields.clone();
    let images = match &plan.source {
        CrawlSource::Area { sequences, prefetch: reads_ahead } => {
            let flow = sequences.open(run).await?;
            let flow = if *reads_ahead { flow.then(|records| prefetch(records, PREFETCH)) } else { flow };
            let flow = flow.observe(Step::SEQUENCES, run.observer());
            let flow = plan.outputs.tap(flow, &plan.names.seq_out_file, &plan.columns);
            list_images(run, plan, selection, flow)
        }
        CrawlSource::Ids(IdList::Sequences(text)) => {
            let source = job::open_sequences(text, &run.stop).await?.only(&["seq_id"]);
            list_images(run, plan, selection, Flow::from(source))
        }
        CrawlSource::Ids(IdList::Part(part)) => {
            let rows = part.open(&run.stop).await?;
            list_images(run, plan, selection, Flow::from(rows))
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
        CrawlSource::Ids(IdList::Features(table)) => {
            request_fields = request_fields.with("sequence")?;
            let flow = FeatureTable::open(table, run).await?.images(run);
            selection.apply_before_metadata(flow, &run.observer()).observe(Step::IMAGES, run.observer())
        }
    };
    Ok((images, request_fields))
}

/// Fetches the metadata of images, and applies the filters on it.
fn metadata(
    run: &RunContext,
    plan: &CrawlPlan<'_>,
    selection: Selection,
    images: Flow<Image>,
    request_fields: &Fields,
) -> Flow<Metadata> {
    let fetch = FetchMetadata::new(&run.client).fields(request_fields).batch_size(plan.query.batch_size);
    let (images, fetch) = match &run.update {
        Some(update) => (images.then(inspect(update, Update::observe_listed)), fetch.known(&update.known)),
        None => (images, fetch),
    };
    let flow = images.observe_input(Step::METADATA, run.observer()).then(fetch);
    let flow = match plan.source {
        CrawlSource::Ids(IdList::Images(_)) => flow.then(job::map_records(query::fill_sequence)),
        CrawlSource::Ids(IdList::Features(_)) => {
            let flow = flow.then(job::map_records(query::fill_sequence));
            job::tap_images(flow, &plan.outputs, &plan.names.img_out_file)
        }
        _ => flow,
    };
    let flow = selection.apply_after_metadata(flow, &run.observer()).observe(Step::METADATA, run.observer());
    match &run.update {
        Some(update) => flow.then(inspect(update, Update::observe_metadata)),
        None => flow,
    }
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
