//! `sequences`: finds the sequences of an area.

use clap::Args;

use super::next_command;
use crate::args::{AreaArgs, DisplayArgs, NetworkArgs, OutputArgs, TableArgs};
use crate::exit_code::Exit;
use crate::job::{self, Job, JobInput, RunContext, SequenceSource, TableOutputs};
use streetflow::{Fields, Report, Result, Step};

pub(crate) const EXAMPLES: &str = "\
Examples:
  streetflow sequences --bbox 33.30,35.13,33.40,35.20
  streetflow sequences --area town.geojson --org-id 227409318565107
  streetflow sequences --around 33.36,35.17 --radius 500";

#[derive(Debug, Args)]
pub(crate) struct SequencesArgs {
    #[command(flatten)]
    area: AreaArgs,
    #[command(flatten)]
    tables: TableArgs,
    #[command(flatten)]
    pub(crate) files: OutputArgs,
    #[command(flatten)]
    network: NetworkArgs,
}

pub(crate) async fn run(args: &SequencesArgs, display: &DisplayArgs) -> Exit {
    let resolved = job::resolve_area(&args.area, &args.files, display, || resolve(args)).await;
    let (source, outputs) = match resolved {
        Ok(resolved) => resolved,
        Err(exit) => return exit,
    };
    let job = Job {
        network: &args.network,
        files: &args.files,
        steps: &[Step::SEQUENCES],
        formats: args.tables.formats(),
        input: JobInput::Area(&args.area),
        filters: Vec::new(),
        detections: None,
        clip: false,
        update: false,
        query: Some(source.query()),
        next: Some(next_command::after(Step::SEQUENCES, &args.files, &args.network, &args.tables)),
    };
    job.run(display, async |run| flow(run, args, &source, &outputs).await).await
}

fn resolve(args: &SequencesArgs) -> Result<(SequenceSource, TableOutputs<'_>)> {
    let source = SequenceSource::resolve(&args.area, None, &args.network)?;
    let query = job::query_text(Step::SEQUENCES.name(), &args.network, Some(&args.area), None, None);
    Ok((source, TableOutputs::new(&args.files, &args.tables, None)?.query(&query)))
}

async fn flow(
    run: &RunContext,
    args: &SequencesArgs,
    source: &SequenceSource,
    outputs: &TableOutputs<'_>,
) -> Result<Report> {
    let flow = source.open(run).await?.observe(Step::SEQUENCES, run.observer());
    let (flow, sink) = outputs.end(flow, &args.files.names.seq_out_file, &Fields::default());
    job::finish(run, flow, sink).await
}
