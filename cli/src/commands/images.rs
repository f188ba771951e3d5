//! `images`: lists the images of sequences, or those that saw map features.

use std::path::PathBuf;

use clap::Args;

use super::next_command;
use crate::args::{DisplayArgs, InputArgs, NetworkArgs, ONE_RUN, OutputArgs, TableArgs};
use crate::exit_code::Exit;
use crate::job::{self, FeatureTable, Input, Job, JobInput, RunContext, TableOutputs};
use streetflow::{FetchMetadata, Fields, Flow, ListImages, Report, Result, Sequence, Step, query};

pub(crate) const EXAMPLES: &str = "\
Examples:
  streetflow images
  cut -d, -f2 mine.csv | streetflow images --input -
  streetflow images --features outputs/map_features.csv";

/// The step that looks up the sequences of images.
const LOOKUP: Step = Step::new("lookup");

#[derive(Debug, Args)]
pub(crate) struct ImagesArgs {
    #[command(flatten)]
    pub(crate) input: InputArgs,
    /// List the images that saw the map features of this table
    ///
    /// Without the column image_ids, which `features --details` writes, the images are fetched. Their sequences are
    /// looked up.
    #[arg(long, value_name = "FILE", help_heading = "Files", group = ONE_RUN, conflicts_with = "input")]
    features: Option<PathBuf>,
    #[command(flatten)]
    tables: TableArgs,
    #[command(flatten)]
    pub(crate) files: OutputArgs,
    #[command(flatten)]
    network: NetworkArgs,
}

pub(crate) async fn run(args: &ImagesArgs, display: &DisplayArgs) -> Exit {
    let outputs = match TableOutputs::new(&args.files, &args.tables, None) {
        Ok(outputs) => outputs,
        Err(error) => return job::reject(display, &error),
    };
    let names = &args.files.names;
    let mut features = args.features.clone().map(|table| InputArgs::table(table, args.input.input_format));
    if let Some(table) = &mut features
        && let Err(error) = table.fetch(&args.files.storage).await
    {
        return job::reject(display, &error);
    }
    let job = Job {
        network: &args.network,
        files: &args.files,
        steps: if features.is_some() { &[Step::IMAGES, LOOKUP] } else { &[Step::IMAGES] },
        formats: args.tables.formats(),
        input: match &features {
            Some(table) => JobInput::Table { args: table, previous: &names.features_out_file },
            None => JobInput::Table { args: &args.input, previous: &names.seq_out_file },
        },
        filters: features.iter().map(InputArgs::features_flag).collect(),
        detections: None,
        clip: false,
        update: false,
        query: None,
        next: Some(next_command::after(Step::IMAGES, &args.files, &args.network, &args.tables)),
    };
    match &features {
        Some(table) => job.run(display, async |run| from_features(run, args, table, outputs).await).await,
        None => job.run(display, async |run| from_sequences(run, args, outputs).await).await,
    }
}

async fn from_sequences(run: &RunContext, args: &ImagesArgs, outputs: TableOutputs<'_>) -> Result<Report> {
    let names = &args.files.names;
    let input = Input::find(&args.input, &args.files.output, &names.seq_out_file)?;
    let source = input.open::<Sequence>(&run.stop).await?.only(&["seq_id"]);
    let query = job::query_text(Step::IMAGES.name(), &args.network, None, None, None);
    let outputs = outputs.query(&job::append_query(&source, &query));
    let flow = Flow::from(source)
        .observe_input(Step::IMAGES, run.observer())
        .then(ListImages::new(&run.client))
        .observe(Step::IMAGES, run.observer());
    let (flow, sink) = outputs.end(flow, &names.img_out_file, &Fields::default());
    job::finish(run, flow, sink).await
}

async fn from_features(
    run: &RunContext,
    args: &ImagesArgs,
    table: &InputArgs,
    outputs: TableOutputs<'_>,
) -> Result<Report> {
    let names = &args.files.names;
    let query = job::query_text(Step::IMAGES.name(), &args.network, None, None, None);
    let query = format!("{query} {}", table.features_flag());
    let table = FeatureTable::open(table, run).await?;
    let outputs = outputs.query(&job::append_query(&table.source, &query));
    let flow = table.images(run).observe(Step::IMAGES, run.observer());
    let lookup = FetchMetadata::new(&run.client).fields(&"sequence".parse()?);
    let flow = flow
        .observe_input(LOOKUP, run.observer())
        .then(lookup)
        .then(job::map_records(query::fill_sequence))
        .then(job::map_records(query::to_image))
        .observe(LOOKUP, run.observer());
    let (flow, sink) = outputs.end(flow, &names.img_out_file, &Fields::default());
    job::finish(run, flow, sink).await
}
