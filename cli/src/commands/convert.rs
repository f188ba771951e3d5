//! `convert`: a table from one format into another, whole or not at all.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use futures::{StreamExt, TryStreamExt};
use tokio_util::sync::CancellationToken;

use crate::Exit;
use crate::args::{ConvertArgs, ScreenArgs};
use crate::exit_of;
use crate::job::outputs::{Input, layout};
use crate::job::signals::Signals;
use crate::terminal::format::{grouped, path_text, plural};
use crate::terminal::printer::{Tone, Voice};
use streetflow::file_system::tell_refusals;
use streetflow::model::DERIVED_FROM;
use streetflow::record::select;
use streetflow::sinks::{Layout, StreamSink, encoder_for, sink_for};
use streetflow::sources::{HeaderOnly, IdCheck, RecordStream};
use streetflow::text::printable;
use streetflow::{
    Column, Error, ErrorKind, Event, Fields, Flow, Format, GeometryChoice, Image, Kind, Metadata, Record,
    Report, Result, Sequence, TableSource, Value,
};

/// So many columns that are left out are named.
const NAMED_COLUMNS: usize = 40;

/// Converts, and says what came of it.
pub(crate) async fn run(args: &ConvertArgs, screen: &ScreenArgs) -> Exit {
    let mut signals = Signals::listen();
    let ended = tokio::select! {
        ended = convert(args) => ended,
        _ = signals.next() => {
            Err(Error::new(ErrorKind::Interrupted, "finish").with_source("the run was abandoned; no file was written"))
        }
    };
    let voice = Voice::new(screen);
    tell_refusals(&|event: &Event<'_>| {
        if let Event::Warning { error } = event {
            let hint = error.hint().unwrap_or_default();
            voice.say(Tone::Warning, &format!("{}; {hint}", error.chain()));
        }
    });
    let exit = told(&voice, ended);
    voice.end(exit, None, None);
    exit
}

fn told(voice: &Voice, ended: Result<Vec<(Tone, String)>>) -> Exit {
    match ended {
        Ok(lines) => {
            for (tone, line) in &lines {
                voice.say(*tone, line);
            }
            Exit::Done
        }
        // Whoever read the pipe has enough.
        Err(error) if is_broken_pipe(&error) => Exit::Done,
        Err(error) => {
            voice.error(&error);
            match error.kind() {
                // The table is at fault, whichever row it is.
                ErrorKind::Malformed => Exit::Usage,
                _ => exit_of(&error),
            }
        }
    }
}

/// Converts, and gives the lines that there are to say.
async fn convert(args: &ConvertArgs) -> Result<Vec<(Tone, String)>> {
    let format = output_format(&args.output, args.format)?;
    let layout = layout(&[format], &args.encoding, Some(&args.geometry))?;
    let input = Input::named(&args.input, args.input_format)?;
    // Which records these are is told by the columns, so they come first.
    let table = input.open::<HeaderOnly>(&CancellationToken::new()).await?;
    // Where the records come from stays true; the rest is said anew.
    let query = table.notes().into_iter().find(|(name, _)| name == "query");
    let layout = query.iter().fold(layout, |layout, (name, text)| layout.note(name, text));
    let found = Found::new(&table, &args.input);
    let asks = args.fields.is_some() || args.geometry.geometry.is_some();
    match found.kind {
        Sequence::NAME if !asks => {
            Conversion::new(args, format, layout, &found).run(table, |_: &mut Sequence| ()).await
        }
        Image::NAME if !asks => {
            Conversion::new(args, format, layout, &found).run(table, |_: &mut Image| ()).await
        }
        Sequence::NAME => Err(Error::new(ErrorKind::Usage, "choose the fields")
            .with_source("a table of sequences has none, and no geometry")),
        _ => {
            found.check_place(args)?;
            let fill = found.to_fill(args)?;
            let fill = move |image: &mut Metadata| fill.iter().for_each(|fields| image.fill(fields));
            Conversion::new(args, format, layout, &found).run(table, fill).await
        }
    }
}

/// What a table turns out to be.
struct Found {
    /// The name of its records.
    kind: &'static str,
    /// The fields that its columns come from.
    fields: Fields,
    has_computed: bool,
}

impl Found {
    fn new(table: &TableSource<HeaderOnly>, path: &Path) -> Self {
        let header = table.header();
        let has = |name: &str| header.iter().any(|column| column == name);
        let geometry = table.geometry();
        // The geometry by whatever name; a column that is merely called so is none.
        let names = header.iter().filter_map(|name| match name.as_str() {
            name if Some(name) == geometry => Some("geometry"),
            "geometry" => None,
            name => Some(name),
        });
        let fields = Fields::from_columns(names);
        let bare = fields.names().is_empty();
        let has_image = has("img_id") || table.has_image_id();
        let kind = if header.is_empty() {
            // GeoJSON without a feature names nothing; the file's name may.
            match path.file_stem().and_then(|stem| stem.to_str()) {
                Some("seq_dataset") => Sequence::NAME,
                Some("img_dataset") => Image::NAME,
                _ => Metadata::NAME,
            }
        } else if bare && has("seq_id") && !has_image && geometry.is_none() {
            Sequence::NAME
        } else if bare && has("seq_id") {
            Image::NAME
        } else {
            Metadata::NAME
        };
        let has_computed = has("computed_lon") && has("computed_lat");
        Self { kind, fields, has_computed }
    }

    /// The fields that were asked for, are made of others and no column of the table; what it has stays as it is.
    fn to_fill(&self, args: &ConvertArgs) -> Result<Option<Fields>> {
        let wants = args.fields.as_ref().map(Fields::names).unwrap_or_default();
        let lacks = |name: &&str| wants.contains(name) && !self.fields.names().contains(name);
        let names: Vec<_> = DERIVED_FROM.iter().map(|(name, _)| *name).filter(lacks).collect();
        if names.is_empty() { Ok(None) } else { names.join(",").parse().map(Some) }
    }

    /// A choice that the table can't fulfil would empty every geometry.
    fn check_place(&self, args: &ConvertArgs) -> Result<()> {
        match args.geometry.geometry {
            Some(place @ (GeometryChoice::Computed | GeometryChoice::Best)) if !self.has_computed => {
                Err(Error::new(ErrorKind::Usage, "choose the geometry")
                    .with_subject(place.name())
                    .with_source("the table has no columns `computed_lon` and `computed_lat`")
                    .with_hint("fetch them with `streetflow metadata --fields computed_geometry,…`"))
            }
            _ => Ok(()),
        }
    }
}

fn output_format(path: &Path, format: Option<Format>) -> Result<Format> {
    let stdout = path == Path::new("-");
    let by_name = (!stdout).then(|| Format::from_path(path));
    let format = match (format, by_name) {
        (Some(format), Some(Ok(other))) if format != other => {
            return Err(Error::new(ErrorKind::Usage, "write the table")
                .with_subject(path.display().to_string())
                .with_source(format!("its name says {other}, and `--format` says {format}")));
        }
        (Some(format), _) => format,
        (None, None) => Format::Csv,
        (None, Some(by_name)) => by_name
            .map_err(|error| error.with_hint("say it: `--format csv`, parquet, geojson or geojsonseq"))?,
    };
    if stdout && format.is_parquet() {
        return Err(Error::new(ErrorKind::Usage, "write Parquet to standard output")
            .with_source("it is made for files, which readers open from the end")
            .with_hint(
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

impl<'a> Conversion<'a> {
    fn new(args: &'a ConvertArgs, format: Format, layout: Layout, found: &Found) -> Self {
        let fields = args.fields.clone().unwrap_or_else(|| found.fields.clone());
        Self { args, format, layout: layout.fields(&fields), fields }
    }

    async fn run<T: Record>(
        self,
        table: TableSource<HeaderOnly>,
        fill: impl Fn(&mut T) + Send + 'static,
    ) -> Result<Vec<(Tone, String)>> {
        // Nothing is asked for here: what the ids stand for is for whoever reads the table next to judge.
        let warnings = Arc::new(Mutex::new(Vec::new()));
        let warn = Arc::clone(&warnings);
        let check = IdCheck::warn(move |text| {
            warn.lock().unwrap_or_else(PoisonError::into_inner).push((Tone::Warning, text.to_owned()));
        });
        let table = table.retype::<T>()?.on_rounded_ids(check.keep());
        let unread: Vec<_> = table
            .unread()
            .iter()
            .take(NAMED_COLUMNS)
            .map(|name| format!("`{}`", printable(name, 60)))
            .collect();
        let more = table.unread().len() - unread.len();
        let filled = move |mut record| {
            fill(&mut record);
            record
        };
        let mut flow = Flow::from(table).then(|records: RecordStream<T>| records.map_ok(filled).boxed());
        if self.args.fields.is_none() {
            flow = flow.then(strays(&select::<T>(Some(&self.fields)), self.format));
        }
        let report = self.write(flow).await?;
        let mut lines = std::mem::take(&mut *warnings.lock().unwrap_or_else(PoisonError::into_inner));
        if !unread.is_empty() {
            let what = plural((unread.len() + more) as u64, "column", "columns");
            let more = if more > 0 { format!(" and {} more", grouped(more as u64)) } else { String::new() };
            lines.push((Tone::Note, format!("left out: {what} {}{more}", unread.join(", "))));
        }
        if self.args.output != Path::new("-") {
            let (count, what) = (grouped(report.records), plural(report.records, "record", "records"));
            let converted = format!("converted {count} {what} into {}", path_text(&self.args.output));
            lines.push((Tone::Note, converted));
        }
        Ok(lines)
    }

    /// A file gets its name at the end; a pipe or a device gets the bytes as they come.
    async fn write<T: Record>(&self, flow: Flow<T>) -> Result<Report> {
        let (path, format, layout) = (&self.args.output, self.format, self.layout.clone());
        let encoder = move |out| encoder_for::<T>(out, format, &layout);
        if path == Path::new("-") {
            return flow.into_sink(StreamSink::new(io::stdout(), encoder)).await;
        }
        let is_other = fs::metadata(path).is_ok_and(|found| !found.is_file() && !found.is_dir());
        if is_other {
            let out = File::options().write(true).open(path).map_err(|error| {
                Error::new(ErrorKind::Io, "write to")
                    .with_subject(path.display().to_string())
                    .with_source(error)
            })?;
            return flow.into_sink(StreamSink::new(out, encoder)).await;
        }
        flow.into_sink(sink_for::<T>(path, format, &self.layout)).await
    }
}

/// Refuses a record with a value that no column of the output takes: it came too late for the header.
fn strays<T: Record>(
    chosen: &[&'static Column<T>],
    format: Format,
) -> impl FnOnce(RecordStream<T>) -> RecordStream<T> + use<T> {
    let is_taken = |column: &Column<T>| {
        // Another name of the image's id; and a format with a geometry always has one.
        let by_other_means = column.name == "id"
            || (format.has_geometry() && ["lon", "lat"].contains(&column.name))
            || column.field.is_none();
        by_other_means || chosen.iter().any(|taken| taken.name == column.name)
    };
    let rest: Vec<&Column<T>> = T::COLUMNS.iter().filter(|column| !is_taken(column)).collect();
    let mut row = 0_u64;
    move |records| {
        let checked = records.map(move |record| {
            row += 1;
            let record = record?;
            match rest.iter().find(|column| (column.get)(&record) != Value::Null) {
                None => Ok(record),
                Some(stray) => Err(Error::new(ErrorKind::Usage, "convert")
                    .with_source(format!(
                        "record {row} has {}, which the first ones don't have",
                        if stray.kind == Kind::Longitude {
                            "a place".to_owned()
                        } else {
                            format!("`{}`", stray.name)
                        }
                    ))
                    .with_hint("name all fields with `--fields`")),
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
