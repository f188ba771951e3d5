//! `--estimate`: counts what a run has to do, and estimates its requests, time and disk space.

mod text;

use std::sync::Arc;

use futures::TryStreamExt;

use self::text::{Counted, Estimate, Tiles};
use super::crawl::CrawlArgs;
use crate::args::{AreaArgs, DisplayArgs, InputArgs, NetworkArgs, OutputArgs};
use crate::exit_code::Exit;
use crate::job::{self, FeatureTable, Monitor, RunContext, SequenceSource, configure_client, supervise};
use crate::terminal::stdout;
use streetflow::file_system::free_space;
use streetflow::{Class, Error, ErrorKind, Flow, OnError, Query, Result, Step};

/// Images per sequence, if the tiles show none.
const IMAGES_PER_SEQUENCE: u64 = 150;

/// Estimates a crawl.
pub(crate) async fn run(args: &CrawlArgs, display: &DisplayArgs) -> Exit {
    if let Some(table) = &args.feature_table {
        return from_features(args, table, display).await;
    }
    let resolved = job::resolve_area(&args.area, &args.files, display, || resolve(args)).await;
    let source = match resolved {
        Ok(source) => source,
        Err(exit) => return exit,
    };
    run_estimate(display, &[Step::SEQUENCES], &args.network, Some(&args.area), async |run| {
        let counted = count_sequences(run, &source).await?;
        let estimate = of_crawl(args, source.query(), counted);
        let tiles_rate_limited = run.client.rate_limit(Class::Tile).is_some();
        print(run, &Estimate { tiles_rate_limited, ..estimate })
    })
    .await
}

/// Estimates a crawl of the images that saw map features.
async fn from_features(args: &CrawlArgs, table: &InputArgs, display: &DisplayArgs) -> Exit {
    let query = match query_of(args) {
        Ok(query) => query,
        Err(error) => return job::reject(display, &error),
    };
    run_estimate(display, &[Step::IMAGES], &args.network, None, async |run| {
        let counted = count_images_of_features(run, table).await?;
        print(run, &of_crawl(args, &query, counted))
    })
    .await
}

/// Estimates the requests for the detections of images; `count` counts the images.
pub(super) async fn of_detections(
    display: &DisplayArgs,
    network: &NetworkArgs,
    files: &OutputArgs,
    batch_size: u16,
    count: impl AsyncFnOnce(&RunContext) -> Result<u64>,
) -> Exit {
    run_estimate(display, &[Step::DETECTIONS], network, None, async |run| {
        let estimate = Estimate {
            counted: Counted { images: count(run).await?, ..Counted::default() },
            limit: None,
            metadata: None,
            detections: Some(batch_size),
            quality: None,
            clip: false,
            needs_metadata: false,
            tiles_rate_limited: false,
            free: free(files),
        };
        print(run, &estimate)
    })
    .await
}

/// Runs the work of an estimate, with progress and signals. It writes no files: failures are only counted, and their log
/// goes to a temporary directory.
pub(super) async fn run_estimate(
    display: &DisplayArgs,
    steps: &[Step],
    network: &NetworkArgs,
    area: Option<&AreaArgs>,
    work: impl AsyncFnOnce(&RunContext) -> Result<()>,
) -> Exit {
    let log = match tempfile::tempdir() {
        Ok(log) => log,
        Err(error) => {
            return job::reject(display, &Error::new(ErrorKind::Io, "estimate").with_source(error));
        }
    };
    let monitor = Monitor::new(display, steps, log.path());
    let exit = match in_context(network, area, &monitor, work).await {
        Ok(()) if monitor.stats.failed() > 0 => Exit::SomeFailed,
        Ok(()) => Exit::Done,
        Err(error) => {
            monitor.progress.finish();
            monitor.printer.error(&error);
            Exit::from(&error)
        }
    };
    monitor.printer.end(exit as u8, None, None);
    exit
}

async fn in_context(
    network: &NetworkArgs,
    area: Option<&AreaArgs>,
    monitor: &Arc<Monitor>,
    work: impl AsyncFnOnce(&RunContext) -> Result<()>,
) -> Result<()> {
    // Without an area, there may be nothing to request.
    let builder = configure_client(network, area, area.is_some(), monitor)?;
    let run = RunContext::new(network, builder, Arc::clone(monitor), false, Arc::default()).await?;
    let until_stopped = async {
        tokio::select! {
            ended = work(&run) => ended,
            // An estimate of a part would be misleading.
            () = run.stop.cancelled() => {
                Err(Error::new(ErrorKind::Interrupted, "estimate").with_source("the run was stopped"))
            }
        }
    };
    supervise(&run, until_stopped).await.result
}

fn resolve(args: &CrawlArgs) -> Result<SequenceSource> {
    let source = SequenceSource::resolve(&args.area, Some(&args.filters), &args.network)?;
    if !source.reads_tiles() {
        return Err(Error::new(ErrorKind::Usage, "estimate")
            .with_source("`--user` without an area reads no tiles")
            .with_hint("add an area with `--bbox`, `--area`, `--place` or `--around`"));
    }
    Ok(source)
}

/// The filters of a crawl that starts from map features.
fn query_of(args: &CrawlArgs) -> Result<Query> {
    let mut query = Query::default();
    args.filters.dates()?;
    args.filters.fill(&mut query);
    args.fill_query(&mut query)?;
    Ok(query)
}

async fn count_sequences(run: &RunContext, source: &SequenceSource) -> Result<Counted> {
    let sequences = source.open(run).await?.observe(Step::SEQUENCES, run.observer());
    let sequences = count(sequences).await?;
    let (tally, query) = (&run.monitor.stats.tally, source.query());
    let is_guess = !query.reads_tile_images();
    Ok(Counted {
        sequences: Some(sequences),
        features: None,
        tiles: Some(Tiles {
            read: tally.requests(Class::Tile),
            cached: tally.tile_cache_hits(),
            failed: run.monitor.stats.failed(),
        }),
        images: if is_guess { sequences * IMAGES_PER_SEQUENCE } else { tally.tile_images() },
        images_guessed: is_guess,
    })
}

async fn count_images_of_features(run: &RunContext, table: &InputArgs) -> Result<Counted> {
    let images = FeatureTable::open(table, run).await?.images(run);
    let images = count(images.observe(Step::IMAGES, run.observer())).await?;
    let features = run.monitor.stats.step(Step::IMAGES).map(|step| step.counts().inputs);
    Ok(Counted { features, images, ..Counted::default() })
}

/// Counts records. Failures are only reported.
pub(super) async fn count<T: Send + 'static>(flow: Flow<T>) -> Result<u64> {
    flow.on_error(OnError::Skip).try_fold(0, |count, _| std::future::ready(Ok(count + 1))).await
}

fn of_crawl(args: &CrawlArgs, query: &Query, mut counted: Counted) -> Estimate {
    counted.images = counted.images.min(query.limit.unwrap_or(u64::MAX));
    Estimate {
        limit: query.limit,
        metadata: Some(args.fetch.batch_size),
        detections: args.detections.then_some(args.fetch_detections.img_detections_batch_size),
        quality: (!args.no_download).then_some(args.pictures.quality),
        clip: args.clip,
        needs_metadata: query.needs_metadata() || (counted.tiles.is_none() && has_filter(query)),
        tiles_rate_limited: false,
        free: free(&args.files),
        counted,
    }
}

/// Whether images of map features are filtered: no tile has applied the filters.
fn has_filter(query: &Query) -> bool {
    query.from.is_some() || query.to.is_some() || query.panoramas().is_some()
}

/// Free disk space in bytes, if it is known.
fn free(files: &OutputArgs) -> Option<u64> {
    files.remote.is_none().then(|| free_space(&files.output)).flatten()
}

fn print(run: &RunContext, estimate: &Estimate) -> Result<()> {
    if run.monitor.printer.is_json() {
        run.monitor.printer.object("estimate", estimate.json());
        return Ok(());
    }
    run.monitor.progress.finish();
    stdout::print(estimate.text().as_bytes())
}
