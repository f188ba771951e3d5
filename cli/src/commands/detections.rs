//! `detections`: fetches the detections of images.

use clap::Args;

use super::estimate;
use crate::args::{DisplayArgs, FetchDetectionArgs, InputArgs, NetworkArgs, ONE_RUN, OutputArgs, TableArgs};
use crate::exit_code::Exit;
use crate::job::{self, IdList, Input, Job, JobInput, RunContext, TableOutputs, table_path};
use streetflow::{Error, ErrorKind, Flow, Format, Metadata, Report, Result, Step, TableSource};

pub(crate) const EXAMPLES: &str = "\
Examples:
  streetflow detections
  streetflow detections --values 'object--vehicle--*,regulatory--stop--*' --format parquet
  streetflow detections --images 135511895288847,148137757289079 --min-area 0.001";

#[derive(Debug, Args)]
#[command(
    mut_arg("image_detections_fields", |arg| arg.visible_alias("fields").hide_short_help(false)),
    mut_arg("detections_to_keep", |arg| arg.visible_alias("values").hide_short_help(false)),
    mut_arg("min_detection_area", |arg| arg.visible_alias("min-area").hide_short_help(false)),
    mut_arg("img_detections_batch_size", |arg| arg.visible_alias("batch-size")),
    mut_arg("toolset_columns", |arg| arg.hide_short_help(false))
)]
pub(crate) struct DetectionsArgs {
    #[command(flatten)]
    pub(crate) input: InputArgs,
    /// Images to use instead of a table
    ///
    /// A file with one id per line, a table, ids separated by commas, or - for standard input.
    #[arg(long, value_name = "FILE|ID,…", help_heading = "Files", group = ONE_RUN, conflicts_with = "input")]
    images: Option<String>,
    /// Count the images and the requests instead of sending them
    ///
    /// Time and disk space are guesses and marked as such.
    #[arg(long, help_heading = "Files", group = ONE_RUN, conflicts_with = "update")]
    estimate: bool,
    /// Update the table of an earlier run
    ///
    /// Requests only the images that were not requested before, failed, or were not processed. The filters must be those
    /// of the earlier run.
    #[arg(long, help_heading = "Files", group = ONE_RUN)]
    update: bool,
    #[command(flatten)]
    detections: FetchDetectionArgs,
    #[command(flatten)]
    tables: TableArgs,
    #[command(flatten)]
    pub(crate) files: OutputArgs,
    #[command(flatten)]
    network: NetworkArgs,
}

pub(crate) async fn run(args: &DetectionsArgs, display: &DisplayArgs) -> Exit {
    let outputs = match resolve(args) {
        Ok(outputs) => outputs,
        Err(error) => return job::reject(display, &error),
    };
    if args.estimate {
        let batch_size = args.detections.img_detections_batch_size;
        let count = async |run: &RunContext| estimate::count(Flow::from(open(run, args).await?)).await;
        return estimate::of_detections(display, &args.network, &args.files, batch_size, count).await;
    }
    let job = Job {
        network: &args.network,
        files: &args.files,
        steps: &[Step::DETECTIONS],
        formats: args.tables.formats(),
        input: match &args.images {
            Some(images) => JobInput::Ids(IdList::Images(images)),
            None => JobInput::Table { args: &args.input, previous: previous(args) },
        },
        filters: Vec::new(),
        query: None,
        detections: Some(&args.detections),
        clip: false,
        update: args.update,
        next: None,
    };
    job.run(display, async |run| flow(run, args, outputs).await).await
}

fn resolve(args: &DetectionsArgs) -> Result<TableOutputs<'_>> {
    args.detections.check(&args.tables.formats())?;
    TableOutputs::new(&args.files, &args.tables, None)
}

/// The table to read: that of the metadata, which filters may have shortened, else that of the images.
fn previous(args: &DetectionsArgs) -> &str {
    let names = &args.files.names;
    let exists = |format: &Format| table_path(&args.files.output, &names.img_meta_out_file, *format).exists();
    if Format::ALL.iter().any(exists) { &names.img_meta_out_file } else { &names.img_out_file }
}

/// Opens the images of the list or of the table.
async fn open(run: &RunContext, args: &DetectionsArgs) -> Result<TableSource<Metadata>> {
    if let Some(images) = &args.images {
        return job::open_images(images, &run.stop).await;
    }
    let names = &args.files.names;
    let input = Input::find(&args.input, &args.files.output, previous(args)).map_err(|error| {
        if args.input.input.is_some() || error.kind() != ErrorKind::Usage {
            return error;
        }
        let hint = format!(
            "run `streetflow images` or `metadata` first, which write {} and {}, set a table with `--input`, or name images with `--images`",
            names.img_out_file, names.img_meta_out_file
        );
        Error::with_hint(error, hint)
    })?;
    run.expect_rows(Step::DETECTIONS, &input, None);
    input.open(&run.stop).await
}

async fn flow(run: &RunContext, args: &DetectionsArgs, outputs: TableOutputs<'_>) -> Result<Report> {
    let source = open(run, args).await?.only(&["seq_id"]).on_rounded_ids(run.id_check());
    let query = job::query_text(Step::DETECTIONS.name(), &args.network, None, None, None);
    let flags = args.detections.to_cli_args().into_iter();
    let ids = args.images.iter().map(|images| IdList::Images(images).to_cli_args());
    let query = [query].into_iter().chain(ids).chain(flags).collect::<Vec<_>>().join(" ");
    let outputs = outputs.query(&job::append_query(&source, &query));
    let images = Flow::from(source).then(job::map_records(streetflow::query::to_image));
    let stage = job::detection_stage(run, &args.detections);
    let flow = job::fetch_detections(images, stage, &run.observer(), &run.stop);
    let sinks = outputs.detection_sinks(&args.files.names.detections_out_file, &args.detections);
    let (flow, sink) = job::tap_all_but_last(flow, sinks);
    match sink {
        Some(sink) => job::finish_stoppable(run, flow, sink).await,
        None => Err(Error::new(ErrorKind::Usage, "choose the format").with_source("there is none")),
    }
}
