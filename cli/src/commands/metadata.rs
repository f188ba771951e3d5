//! `metadata`: fetches the metadata of images.

use clap::Args;

use super::next_command;
use crate::args::{
    DisplayArgs, FetchArgs, FilterArgs, GeometryArgs, InputArgs, NetworkArgs, OutputArgs, TableArgs,
};
use crate::exit_code::Exit;
use crate::job::{self, Input, Job, JobInput, RunContext, TableOutputs};
use streetflow::query::Selection;
use streetflow::{FetchMetadata, Flow, Query, Report, Result, Step};

pub(crate) const EXAMPLES: &str = "\
Examples:
  streetflow metadata --fields captured_at,geometry,thumb_1024_url
  streetflow metadata --pano --every 20 --format parquet";

#[derive(Debug, Args)]
pub(crate) struct MetadataArgs {
    #[command(flatten)]
    pub(crate) input: InputArgs,
    #[command(flatten)]
    filters: FilterArgs,
    #[command(flatten)]
    fetch: FetchArgs,
    #[command(flatten)]
    tables: TableArgs,
    #[command(flatten)]
    geometry: GeometryArgs,
    #[command(flatten)]
    pub(crate) files: OutputArgs,
    #[command(flatten)]
    network: NetworkArgs,
}

pub(crate) async fn run(args: &MetadataArgs, display: &DisplayArgs) -> Exit {
    let (selection, outputs) = match resolve(args) {
        Ok(resolved) => resolved,
        Err(error) => return job::reject(display, &error),
    };
    let job = Job {
        network: &args.network,
        files: &args.files,
        steps: &[Step::METADATA],
        formats: args.tables.formats(),
        input: JobInput::Table { args: &args.input, previous: &args.files.names.img_out_file },
        filters: args.filters.to_cli_args(),
        detections: None,
        clip: false,
        update: false,
        query: None,
        next: next_command::download(&args.files, &args.network, &args.tables, &args.fetch.fields),
    };
    job.run(display, async |run| flow(run, args, selection, outputs).await).await
}

fn resolve(args: &MetadataArgs) -> Result<(Selection, TableOutputs<'_>)> {
    let mut query = Query::default();
    args.filters.dates()?;
    args.filters.fill(&mut query);
    let selection = query.selection()?;
    Ok((selection, TableOutputs::new(&args.files, &args.tables, Some(&args.geometry))?))
}

async fn flow(
    run: &RunContext,
    args: &MetadataArgs,
    selection: Selection,
    outputs: TableOutputs<'_>,
) -> Result<Report> {
    let (fields, names) = (&args.fetch.fields, &args.files.names);
    let input = Input::find(&args.input, &args.files.output, &names.img_out_file)?;
    let source = input.open(&run.stop).await?.on_rounded_ids(run.id_check());
    let query =
        job::query_text(Step::METADATA.name(), &args.network, None, Some(&args.filters), Some(fields));
    let outputs = outputs.query(&job::append_query(&source, &query));
    run.expect_rows(Step::METADATA, &input, selection.max_images());
    let request_fields = selection.request_fields(outputs.request_fields(fields)?)?;
    let fetch =
        FetchMetadata::new(&run.client).fields(&request_fields).batch_size(args.fetch.batch_size.into());
    let flow = selection
        .apply_before_metadata(Flow::from(source), &run.observer())
        .observe_input(Step::METADATA, run.observer())
        .then(fetch);
    let flow = selection.apply_after_metadata(flow, &run.observer()).observe(Step::METADATA, run.observer());
    let (flow, sink) = outputs.end(flow, &names.img_meta_out_file, fields);
    job::finish(run, flow, sink).await
}
