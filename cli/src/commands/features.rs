//! `features`: finds the objects and signs of an area on the map.

use clap::Args;

use super::estimate::run_estimate;
use super::next_command::{command_line, output, sandbox};
use crate::args::{
    AreaArgs, DisplayArgs, FeatureArgs, FeatureFilter, NetworkArgs, ONE_RUN, OutputArgs, TableArgs,
    missing_area,
};
use crate::exit_code::Exit;
use crate::job::{self, Job, JobInput, RunContext, TableOutputs};
use crate::terminal::format::{grouped, human_time};
use crate::terminal::stdout;
use streetflow::geo::{Area, MAX_ZOOM};
use streetflow::sources::FeatureTiles;
use streetflow::{
    Class, Error, ErrorKind, Event, FeatureSource, FetchFeatures, FieldList, Flow, MapFeature, RateLimit,
    Report, Result, Step,
};

pub(crate) const EXAMPLES: &str = "\
Examples:
  streetflow features --bbox 33.33,35.15,33.39,35.19 --kind sign
  streetflow features --place 'Nicosia, Cyprus' --values 'regulatory--stop--*' --details
  streetflow features --area town.geojson --seen-from 2023-01-01 --format geojson";

/// Flags of the area that apply to sequences only.
macro_rules! without_sequence_flags {
    ($args:ident) => {
        [
            ($args.user.is_some(), "--user"),
            (!$args.org_id.is_empty(), "--org-id"),
            (!$args.exclude_owner.is_empty(), "--exclude-owner"),
            ($args.min_zoom != 1, "--min-zoom"),
            ($args.max_zoom != MAX_ZOOM, "--max-zoom"),
            ($args.lines_only, "--lines-only"),
            ($args.thorough, "--thorough"),
        ]
    };
}

#[derive(Debug, Args)]
#[command(
    mut_arg("user", |arg| arg.hide(true)),
    mut_arg("org_id", |arg| arg.hide(true)),
    mut_arg("exclude_owner", |arg| arg.hide(true)),
    mut_arg("min_zoom", |arg| arg.hide(true)),
    mut_arg("max_zoom", |arg| arg.hide(true)),
    mut_arg("lines_only", |arg| arg.hide(true)),
    mut_arg("thorough", |arg| arg.hide(true))
)]
pub(crate) struct FeaturesArgs {
    #[command(flatten)]
    area: AreaArgs,
    /// Count the tiles instead of reading them
    ///
    /// Reads only the coarse tiles, which rule out others where no image was taken.
    #[arg(long, help_heading = "Area", group = ONE_RUN)]
    estimate: bool,
    #[command(flatten)]
    features: FeatureArgs,
    #[command(flatten)]
    tables: TableArgs,
    #[command(flatten)]
    pub(crate) files: OutputArgs,
    #[command(flatten)]
    network: NetworkArgs,
}

pub(crate) async fn run(args: &FeaturesArgs, display: &DisplayArgs) -> Exit {
    let plan = match job::resolve_area(&args.area, &args.files, display, || Plan::resolve(args)).await {
        Ok(plan) => plan,
        Err(exit) => return exit,
    };
    if args.estimate {
        return estimate(args, &plan, display).await;
    }
    let job = Job {
        network: &args.network,
        files: &args.files,
        steps: steps(args),
        formats: args.tables.formats(),
        input: JobInput::Area(&args.area),
        filters: query_args(args),
        detections: None,
        clip: false,
        update: false,
        // A query selects images; the report has the command line.
        query: None,
        next: next_command(args),
    };
    job.run(display, async |run| flow(run, args, plan).await).await
}

/// The flags of a run, resolved.
struct Plan<'a> {
    area: Area,
    tile_filters: Vec<FeatureFilter>,
    outputs: TableOutputs<'a>,
}

impl<'a> Plan<'a> {
    fn resolve(args: &'a FeaturesArgs) -> Result<Self> {
        let area = &args.area;
        if let Some((_, flag)) = without_sequence_flags!(area).into_iter().find(|(is_set, _)| *is_set) {
            return Err(Error::new(ErrorKind::Usage, "use the flag")
                .with_subject(flag)
                .with_source("it applies to sequences, and map features belong to no sequence"));
        }
        let default = args.network.default_bbox();
        area.check(default.is_some())?;
        let query = job::query_text(Step::FEATURES.name(), &args.network, None, None, None);
        let query = [vec![query], location_args(args), query_args(args)].concat().join(" ");
        Ok(Self {
            area: area.area(default)?.ok_or_else(missing_area)?,
            tile_filters: args.features.tile_filters()?,
            outputs: TableOutputs::new(&args.files, &args.tables, None)?.query(&query),
        })
    }

    fn source(&self, args: &FeaturesArgs, run: &RunContext) -> FeatureSource {
        let source = FeatureSource::inside(&run.client, self.area.clone());
        let source = args.features.kind.into_iter().fold(source, FeatureSource::only);
        if args.area.exhaustive { source.exhaustive() } else { source }
    }
}

fn steps(args: &FeaturesArgs) -> &'static [Step] {
    if args.features.needs_details() { &[Step::FEATURES, Step::DETAILS] } else { &[Step::FEATURES] }
}

/// The location without the levels of the walk over sequences.
fn location_args(args: &FeaturesArgs) -> Vec<String> {
    let all = args.area.to_cli_args(args.network.default_bbox());
    all.into_iter().filter(|arg| !arg.starts_with("--min-zoom")).collect()
}

/// The flags that decide the rows and the columns.
fn query_args(args: &FeaturesArgs) -> Vec<String> {
    let mut flags = args.features.to_cli_args();
    flags.extend(args.features.details.then(|| "--details".to_owned()));
    flags
}

/// The images that saw the features, if their ids are in the table.
fn next_command(args: &FeaturesArgs) -> Option<String> {
    let format = args.tables.format.first().filter(|_| args.features.needs_details())?;
    let table = job::table_path(&args.files.shown(), &args.files.names.features_out_file, *format);
    let table = crate::terminal::shell::quoted(&table.display().to_string());
    Some(command_line(
        "images",
        [Some(format!("--features {table}")), output(&args.files), sandbox(&args.network)],
    ))
}

async fn flow(run: &RunContext, args: &FeaturesArgs, plan: Plan<'_>) -> Result<Report> {
    let source = plan.source(args, run);
    let flow = filtered(Flow::from(source), plan.tile_filters, Step::FEATURES, run);
    let flow = flow.observe(Step::FEATURES, run.observer());
    let (flow, fields) = if args.features.needs_details() {
        let flow = flow.observe_input(Step::DETAILS, run.observer()).then(FetchFeatures::new(&run.client));
        let flow = filtered(flow, args.features.detail_filters(), Step::DETAILS, run);
        let fields =
            MapFeature::DETAILS.iter().try_fold(FieldList::default(), |fields, name| fields.with(name))?;
        (flow.observe(Step::DETAILS, run.observer()), fields)
    } else {
        (flow, FieldList::default())
    };
    let (flow, sink) = plan.outputs.end_of(flow, &args.files.names.features_out_file, &fields);
    job::finish(run, flow, sink).await
}

/// Drops features that a filter does not match, and counts them by filter.
fn filtered(
    flow: Flow<MapFeature>,
    filters: Vec<FeatureFilter>,
    step: Step,
    run: &RunContext,
) -> Flow<MapFeature> {
    filters.into_iter().fold(flow, |flow, (by, test)| {
        let observer = run.observer();
        flow.filter(move |feature| {
            let passes = test(feature);
            if !passes {
                observer.on_event(&Event::Filtered { step, by });
            }
            passes
        })
    })
}

/// Reads the coarse tiles, and prints how many others are left to read.
async fn estimate(args: &FeaturesArgs, plan: &Plan<'_>, display: &DisplayArgs) -> Exit {
    run_estimate(display, &[Step::FEATURES], &args.network, Some(&args.area), async |run| {
        let tiles = plan.source(args, run).count_tiles().await?;
        let per_minute = run.client.rate_limit(Class::Tile).map(RateLimit::requests_per_minute);
        if run.monitor.printer.is_json() {
            let object = serde_json::json!({
                "coverage_tiles": tiles.coverage,
                "feature_tiles": tiles.to_read,
                "feature_tiles_in_area": tiles.in_area,
            });
            run.monitor.printer.object("estimate", object);
            return Ok(());
        }
        run.monitor.progress.finish();
        stdout::print(estimate_text(tiles, per_minute).as_bytes())
    })
    .await
}

#[expect(clippy::cast_precision_loss, reason = "a guess")]
fn estimate_text(tiles: FeatureTiles, per_minute: Option<f64>) -> String {
    let time = per_minute.map(|limit| human_time((60.0 * tiles.to_read as f64 / limit).max(1.0)));
    let time =
        time.map_or_else(|| "as fast as the server responds".to_owned(), |time| format!("about {time}"));
    format!(
        "tiles of images, read      {:>9}\ntiles of features to read  {:>9}  {time}\ntiles of features in all   {:>9}  with --exhaustive\n",
        grouped(tiles.coverage),
        grouped(tiles.to_read),
        grouped(tiles.in_area)
    )
}
