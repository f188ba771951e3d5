//! `images`: lists the images of sequences.

use clap::Args;

use super::next_command;
use crate::args::{DisplayArgs, InputArgs, NetworkArgs, OutputArgs, TableArgs};
use crate::exit_code::Exit;
use crate::job::{self, Input, Job, JobInput, RunContext, TableOutputs};
use streetflow::{Fields, Flow, ListImages, Report, Result, Sequence, Step};

pub(crate) const EXAMPLES: &str = "\
Examples:
  streetflow images
  cut -d, -f2 mine.csv | streetflow images --input -";

#[derive(Debug, Args)]
pub(crate) struct ImagesArgs {
    #[command(flatten)]
    input: InputArgs,
    #[command(flatten)]
    tables: TableArgs,
    #[command(flatten)]
    files: OutputArgs,
    #[command(flatten)]
    network: NetworkArgs,
}

pub(crate) async fn run(args: &ImagesArgs, display: &DisplayArgs) -> Exit {
    let outputs = match TableOutputs::new(&args.files.output, &args.tables, None) {
        Ok(outputs) => outputs,
        Err(error) => return job::reject(display, &error),
    };
    let job = Job {
        network: &args.network,
        files: &args.files,
        steps: &[Step::IMAGES],
        formats: args.tables.formats(),
        input: JobInput::Table { args: &args.input, previous: &args.files.names.seq_out_file },
        filters: Vec::new(),
        clip: false,
        update: false,
        query: None,
        next: Some(next_command::after(Step::IMAGES, &args.files, &args.network, &args.tables)),
    };
    job.run(display, async |run| flow(run, args, outputs).await).await
}

async fn flow(run: &RunContext, args: &ImagesArgs, outputs: TableOutputs<'_>) -> Result<Report> {
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
