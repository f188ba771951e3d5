//! `download`: downloads the pictures of a table of metadata.

use clap::Args;

use super::next_command::{command_line, output, sandbox};
use crate::args::{DisplayArgs, InputArgs, NetworkArgs, OutputArgs, PictureArgs};
use crate::exit_code::Exit;
use crate::job::{self, CountEstimate, Input, Job, JobInput, PicturePlan, RunContext};
use crate::terminal::shell::quoted;
use streetflow::sinks::{Exif, ShardPictures};
use streetflow::{Fields, Flow, Metadata, Record, Report, Result, Step, TableSource};

pub(crate) const EXAMPLES: &str = "\
Examples:
  streetflow download --quality 1024
  streetflow download --quality original --layout sequence
  streetflow download --input images.parquet --exif always
  streetflow download --input outputs/shards";

#[derive(Debug, Args)]
pub(crate) struct DownloadArgs {
    #[command(flatten)]
    pub(crate) input: InputArgs,
    #[command(flatten)]
    pictures: PictureArgs,
    #[command(flatten)]
    pub(crate) files: OutputArgs,
    #[command(flatten)]
    network: NetworkArgs,
}

pub(crate) async fn run(args: &DownloadArgs, display: &DisplayArgs) -> Exit {
    let job = Job {
        network: &args.network,
        files: &args.files,
        steps: &[Step::DOWNLOAD],
        formats: Vec::new(),
        input: JobInput::Table { args: &args.input, previous: &args.files.names.img_meta_out_file },
        filters: Vec::new(),
        detections: None,
        clip: false,
        update: false,
        query: None,
        next: None,
    };
    job.run(display, async |run| flow(run, args).await).await
}

async fn flow(run: &RunContext, args: &DownloadArgs) -> Result<Report> {
    let pictures = &args.pictures;
    let input = Input::find(&args.input, &args.files.output, &args.files.names.img_meta_out_file)?;
    let source = input.open::<Metadata>(&run.stop).await?;
    run.expect_rows(Step::DOWNLOAD, &input, None);
    let hint = format!("run `{}` first", fetch_command(args, source.header()));
    let mut source = match &input {
        Input::Shards(_) => source,
        _ => source.require(pictures.quality.field(), hint)?,
    };
    if let Some(column) = pictures.layout.needs() {
        let hint = format!("`--layout {}` needs it; fetch it, or choose another layout", pictures.layout);
        source = source.require(column, hint)?;
    }
    if let Some(note) = missing_exif_fields(pictures, &source) {
        run.monitor.printer.note(&note);
    }
    // Shards contain the whole row.
    let is_whole = pictures.shards()?.is_some();
    let source = if is_whole { source } else { source.only(&columns_to_read(pictures)) };
    let source = source.on_rounded_ids(run.id_check());
    let count = input.rows().map_or(CountEstimate::Unknown, CountEstimate::Rows);
    let shards = if let Input::Shards(table) = &input {
        Some(ShardPictures::open(table, pictures.quality)?)
    } else {
        None
    };
    let plan = PicturePlan { args: pictures, files: &args.files, count, shards };
    job::download_pictures(run, Flow::from(source), &plan).await
}

/// The columns that a download reads besides the image id.
fn columns_to_read(args: &PictureArgs) -> Vec<&'static str> {
    let required = args.required_fields();
    let columns = Metadata::COLUMNS
        .iter()
        .filter(|column| column.field.is_some_and(|field| required.contains(&field)))
        // Pictures contain the name of their author, not the id.
        .filter(|column| column.name != "creator_id");
    // For the time of the file and for the attribution.
    let always = ["seq_id", "captured_at", "creator_username", "attribution", args.quality.field()];
    always.into_iter().chain(columns.map(|column| column.name)).collect()
}

/// A note about fields for EXIF that the table does not contain.
fn missing_exif_fields(args: &PictureArgs, source: &TableSource<Metadata>) -> Option<String> {
    let geometry = source.geometry().map(|_| "geometry");
    let found = Fields::from_columns(source.header().iter().map(String::as_str).chain(geometry));
    let wanted = Exif::FIELDS.iter().filter(|_| args.exif.applies_to(args.quality));
    // The size is that of the picture itself.
    let missing: Vec<_> = wanted
        .copied()
        .filter(|field| !["width", "height"].contains(field) && !found.names().contains(field))
        .collect();
    if missing.is_empty() {
        return None;
    }
    let all = missing.iter().try_fold(found, |fields, field| fields.with(field)).ok()?;
    Some(format!(
        "the table has no {}, so the pictures will not contain them; `streetflow metadata --fields {all}` fetches a table with all fields",
        missing.join(", ")
    ))
}

/// The command that fetches the table again, with its fields and the picture URL.
fn fetch_command(args: &DownloadArgs, header: &[String]) -> String {
    let fields = Fields::from_columns(header.iter().map(String::as_str));
    let fields = fields.with(args.pictures.quality.field()).unwrap_or_default();
    let input = args.input.input.as_ref();
    let input = input.map(|path| format!("--input {}", quoted(&path.display().to_string())));
    let fields = Some(format!("--fields {fields}"));
    command_line("metadata", [sandbox(&args.network), output(&args.files), input, fields])
}
