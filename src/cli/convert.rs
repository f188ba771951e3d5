//! `convert`: a table from one format into another, whole or not at all.

use std::io::{self, Write};
use std::path::Path;

use anstream::AutoStream;
use futures::StreamExt;

use super::args::{ConvertArgs, ScreenArgs};
use super::job::signal;
use super::tables::{Input, layout};
use super::words::{color_choice, error_text, grouped, plural};
use super::{Exit, exit_of};
use crate::sinks::{Layout, StreamSink, encoder_for, sink_for};
use crate::sources::{RecordStream, Unknown};
use crate::{
    Column, Error, ErrorKind, Fields, Flow, Format, Image, Metadata, Record, Result, Sequence, Sink,
    TableSource, Value,
};

/// Converts, and says what came of it.
pub(super) async fn run(args: &ConvertArgs, screen: &ScreenArgs) -> Exit {
    let ended = tokio::select! {
        ended = convert(args) => ended,
        () = signal() => {
            Err(Error::new(ErrorKind::Interrupted, "finish").because("the run was abandoned; nothing was written"))
        }
    };
    let mut err = AutoStream::new(io::stderr(), color_choice(screen.color));
    match ended {
        Ok(lines) => {
            if !screen.quiet {
                lines.iter().try_for_each(|line| writeln!(err, "{line}")).ok();
            }
            Exit::Done
        }
        // Whoever read the pipe has enough.
        Err(error) if is_broken_pipe(&error) => Exit::Done,
        Err(error) => {
            writeln!(err, "{}", error_text(&error)).ok();
            exit_of(&error)
        }
    }
}

/// Converts, and gives the lines that there are to say.
async fn convert(args: &ConvertArgs) -> Result<Vec<String>> {
    let input = Input::named(&args.input, args.input_format)?;
    let format = output_format(&args.output, args.format)?;
    let layout = layout(&[format], &args.encoding, Some(&args.geometry))?;
    // Which records these are is told by the columns, so they come first.
    let table = input.open::<Unknown>()?;
    let header = table.header().to_vec();
    let has = |name: &str| header.iter().any(|column| column == name);
    let fields = args.fields.clone().unwrap_or_else(|| Fields::of_columns(header.iter().map(String::as_str)));
    // Where the records come from stays true; the rest is said anew.
    let query = table.notes().into_iter().find(|(name, _)| name == "query");
    let layout = query.iter().fold(layout, |layout, (name, text)| layout.note(name, text));
    let job = Conversion { args, format, layout: layout.fields(&fields), fields };
    if has("img_id") && has("seq_id") && job.fields.names().is_empty() {
        job.run::<Image>(table.retype()?, &header).await
    } else if has("seq_id") && !has("img_id") {
        job.run::<Sequence>(table.retype()?, &header).await
    } else {
        job.run::<Metadata>(table.retype()?, &header).await
    }
}

fn output_format(path: &Path, format: Option<Format>) -> Result<Format> {
    let stdout = path == Path::new("-");
    let format = match format {
        Some(format) => format,
        None if stdout => Format::Csv,
        None => Format::of(path)
            .map_err(|error| error.hint("say it: `--format csv`, parquet, geojson or geojsonseq"))?,
    };
    if stdout && format.name() == "parquet" {
        return Err(Error::new(ErrorKind::Usage, "write Parquet to standard output")
            .because("it is made for files, which readers open from the end")
            .hint(
                "name a file, such as `table.parquet`, or choose `--format csv` or `--format geojsonseq`",
            ));
    }
    Ok(format)
}

struct Conversion<'a> {
    args: &'a ConvertArgs,
    format: Format,
    layout: Layout,
    fields: Fields,
}

impl Conversion<'_> {
    async fn run<T: Record>(self, table: TableSource<T>, header: &[String]) -> Result<Vec<String>> {
        let (format, layout) = (self.format, self.layout);
        let chosen = crate::record::select::<T>(Some(&self.fields));
        let left_out: Vec<_> = header
            .iter()
            .filter(|name| !is_kept::<T>(name, &chosen, format))
            .map(|name| format!("`{name}`"))
            .collect();
        let flow = Flow::from(table);
        // Columns that only later features have would be lost without a word.
        let flow = if self.args.fields.is_none() { flow.then(strays(&chosen)) } else { flow };
        let report = if self.args.output == Path::new("-") {
            let encoder = move |out| encoder_for::<T>(out, format, &layout);
            flow.into_sink(StreamSink::new(io::stdout(), encoder)).await?
        } else {
            let sink: Box<dyn Sink<T>> = sink_for(&self.args.output, format, &layout);
            flow.into_sink(sink).await?
        };
        let mut lines = Vec::new();
        if !left_out.is_empty() {
            let what = plural(left_out.len() as u64, "column", "columns");
            lines.push(format!("left out: {what} {}", left_out.join(", ")));
        }
        if self.args.output != Path::new("-") {
            let (count, what) = (grouped(report.records), plural(report.records, "record", "records"));
            lines.push(format!("converted {count} {what} into `{}`", self.args.output.display()));
        }
        Ok(lines)
    }
}

/// Whether a column of the input has a place in the output.
fn is_kept<T>(name: &str, chosen: &[&'static Column<T>], format: Format) -> bool {
    let place = ["lon", "lat"];
    let has_place = chosen.iter().any(|column| place.contains(&column.name));
    chosen.iter().any(|column| column.name == name)
        || (name == "geometry" && has_place)
        || (place.contains(&name) && format.has_geometry())
        // Made anew where it is needed: the box of each geometry, and times that are no timestamps.
        || name == "bbox"
        || name.strip_suffix("_raw").is_some_and(|name| chosen.iter().any(|column| column.name == name))
}

/// Refuses a record with a value that no column of the output takes.
fn strays<T: Record>(
    chosen: &[&'static Column<T>],
) -> impl FnOnce(RecordStream<T>) -> RecordStream<T> + use<T> {
    let rest: Vec<&Column<T>> = T::COLUMNS
        .iter()
        .filter(|column| column.field.is_some() && !chosen.iter().any(|taken| taken.name == column.name))
        // Another name of the image's id.
        .filter(|column| column.name != "id")
        .collect();
    let mut row = 0_u64;
    move |records| {
        let checked = records.map(move |record| {
            row += 1;
            let record = record?;
            match rest.iter().find(|column| (column.get)(&record) != Value::Null) {
                None => Ok(record),
                Some(stray) => Err(Error::new(ErrorKind::Usage, "convert")
                    .because(format!("record {row} has `{}`, which the first ones don't have", stray.name))
                    .hint("name all fields with `--fields`")),
            }
        });
        checked.boxed()
    }
}

fn is_broken_pipe(error: &Error) -> bool {
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        if inner.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe) {
            return true;
        }
        cause = inner.source();
    }
    false
}
