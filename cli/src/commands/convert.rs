//! `convert`: converts a table to another format. The output is complete or absent.

mod new_columns;

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use clap::{Args, Parser};
use tokio_util::sync::CancellationToken;

use self::new_columns::NewColumns;
use crate::args::{
    Bucket, DisplayArgs, EncodingArgs, FetchedTable, GeometryArgs, StorageArgs, parsed, split_url,
};
use crate::exit_code::Exit;
use crate::job::{Input, Signals, TableContent, layout};
use crate::sync::lock;
use crate::terminal::format::{grouped, path_text, plural};
use crate::terminal::printer::{Printer, Severity};
use streetflow::file_system::report_unsupported;
use streetflow::model::DERIVED_FROM;
use streetflow::record::select;
use streetflow::sinks::{Encoder, FileSink, Layout, StreamSink, encoder_for};
use streetflow::sources::{HeaderOnly, IdCheck, RecordStream};
use streetflow::storage::Target;
use streetflow::text::printable;
use streetflow::{
    Detection, Error, ErrorKind, Event, FieldList, Fields, Format, GeometryChoice, Image, MapFeature,
    Metadata, Record, Result, Sequence, Sink, TableSource, Written,
};

pub(crate) const EXAMPLES: &str = "\
Examples:
  streetflow convert outputs/img_meta_dataset.csv images.parquet
  streetflow convert images.parquet places.csv --fields geometry
  streetflow convert images.parquet - --format geojsonseq | head";

/// Maximum number of dropped columns that the message lists.
const MAX_LISTED_COLUMNS: usize = 40;

/// Maximum length of a column name in that message.
const MAX_COLUMN_NAME_LEN: usize = 60;

#[derive(Debug, Args)]
pub(crate) struct ConvertArgs {
    /// Table to read; `-` is standard input
    ///
    /// May be a directory of shards of pictures, or one shard (.tar): their rows are converted. May be in a bucket.
    #[arg(value_name = "IN")]
    input: PathBuf,
    /// Table to write; `-` is standard output
    #[arg(value_name = "OUT")]
    output: PathBuf,
    /// Format of IN, if its file name does not tell [default for `-`: csv]
    #[arg(long, value_name = "FORMAT", value_parser = parsed::<Format>)]
    input_format: Option<Format>,
    /// Format of OUT, if its file name does not tell [default for `-`: csv]
    #[arg(long, value_name = "FORMAT", value_parser = parsed::<Format>)]
    format: Option<Format>,
    /// Fields to keep, in column order [default: all fields of IN]
    #[arg(long, value_name = "FIELD,…", value_parser = field_names)]
    fields: Option<String>,
    #[command(flatten)]
    encoding: EncodingArgs,
    #[command(flatten)]
    geometry: GeometryArgs,
    #[command(flatten)]
    storage: StorageArgs,
}

/// Checks a list of fields. The columns of the table decide later which record they belong to.
fn field_names(text: &str) -> std::result::Result<String, String> {
    let is_known =
        text.parse::<FieldList<MapFeature>>().is_ok() || text.parse::<FieldList<Detection>>().is_ok();
    if !is_known {
        parsed::<Fields>(text)?;
    }
    Ok(text.to_owned())
}

/// Converts a table and prints the result.
pub(crate) async fn run(args: &ConvertArgs, display: &DisplayArgs) -> Exit {
    let mut signals = Signals::listen();
    let ended = tokio::select! {
        ended = convert(args) => ended,
        _ = signals.next() => {
            Err(Error::new(ErrorKind::Interrupted, "finish").with_source("the run was abandoned; no file was written"))
        }
    };
    let printer = display.printer();
    report_unsupported(&|event: &Event<'_>| {
        if let Event::Warning { error } = event {
            let hint = error.hint().unwrap_or_default();
            printer.warn(&format!("{}; {hint}", error.chain()));
        }
    });
    let exit = print_result(&printer, ended);
    printer.end(exit as u8, None, None);
    exit
}

fn print_result(printer: &Printer, ended: Result<Vec<(Severity, String)>>) -> Exit {
    match ended {
        Ok(lines) => {
            for (severity, line) in &lines {
                printer.say(*severity, line);
            }
            Exit::Done
        }
        // The reader of the pipe has closed it.
        Err(error) if is_broken_pipe(&error) => Exit::Done,
        Err(error) => {
            printer.error(&error);
            match error.kind() {
                // The input is invalid, in whichever row.
                ErrorKind::Malformed => Exit::Usage,
                _ => Exit::from(&error),
            }
        }
    }
}

/// The arguments of the command alone, for callers that are no command line.
#[derive(Debug, Parser)]
#[command(no_binary_name = true, disable_help_flag = true)]
struct ArgsOnly {
    #[command(flatten)]
    args: ConvertArgs,
}

/// Parses arguments and converts the table. Returns the messages.
pub(crate) async fn from_args(args: impl Iterator<Item = OsString>) -> Result<Vec<String>> {
    let parsed = ArgsOnly::try_parse_from(args).map_err(|error| {
        Error::new(ErrorKind::Usage, "convert").with_source(error.to_string().trim_end().to_owned())
    })?;
    Ok(convert(&parsed.args).await?.into_iter().map(|(_, line)| line).collect())
}

/// Converts a table. Returns the messages to print.
async fn convert(args: &ConvertArgs) -> Result<Vec<(Severity, String)>> {
    let format = output_format(&args.output, args.format)?;
    let layout = layout(&[format], &args.encoding, Some(&args.geometry))?;
    let fetched = args.storage.fetch(&args.input, false).await?;
    let path = fetched.as_ref().map_or(&*args.input, FetchedTable::path);
    let input = Input::named(path, args.input_format)?;
    // The columns decide the record type, so the header is read first.
    let table = input.open::<HeaderOnly>(&CancellationToken::new()).await?;
    // The query of the records is copied; the other notes are new.
    let query = table.notes().into_iter().find(|(name, _)| name == "query");
    let layout = query.iter().fold(layout, |layout, (name, text)| layout.note(name, text));
    let content = TableContent::new(&table, &args.input);
    let needs_metadata = args.fields.is_some() || args.geometry.geometry.is_some();
    match content.kind {
        MapFeature::NAME => convert_with_fields::<MapFeature>(args, format, layout, table).await,
        Detection::NAME => convert_with_fields::<Detection>(args, format, layout, table).await,
        Sequence::NAME if !needs_metadata => {
            Conversion::new(args, format, layout, &content)?.run::<Sequence>(table, None).await
        }
        Image::NAME if !needs_metadata => {
            Conversion::new(args, format, layout, &content)?.run::<Image>(table, None).await
        }
        Sequence::NAME => Err(Error::new(ErrorKind::Usage, "choose the fields")
            .with_source("a table of sequences has no fields and no geometry")),
        _ => {
            check_geometry(&content, args)?;
            let fill = fields_to_derive(&content, args)?.map(|fields| -> Fill<Metadata> {
                Box::new(move |image: &mut Metadata| image.fill(&fields))
            });
            Conversion::new(args, format, layout, &content)?.run(table, fill).await
        }
    }
}

/// The columns that follow from the class and the shape of a detection.
const SHAPE_COLUMNS: [&str; 10] =
    ["kind", "x", "y", "w", "h", "area", "parts", "holes", "touches_edge", "polygons"];

/// Converts a table of a record type with fields of its own and one point.
async fn convert_with_fields<T: Record>(
    args: &ConvertArgs,
    format: Format,
    layout: Layout,
    table: TableSource<HeaderOnly>,
) -> Result<Vec<(Severity, String)>> {
    if args.geometry.geometry.is_some() {
        return Err(Error::new(ErrorKind::Usage, "choose the geometry")
            .with_source(format!("a {} has only one point", T::NAME)));
    }
    let fields = if let Some(text) = &args.fields {
        text.parse()?
    } else {
        let header = table.header().iter().map(String::as_str);
        // The point of a file may have the name of a column, such as the shape of a detection.
        let point = table.geometry().map(|_| T::GEOMETRY_COLUMN);
        // The table of the Python toolset has shapes only as text, from which the other columns follow.
        let is_toolset = T::NAME == Detection::NAME && header.clone().any(|name| name == "decoded_geometry");
        let derived = if is_toolset { &SHAPE_COLUMNS[..] } else { &[] };
        FieldList::<T>::from_columns(header.chain(point).chain(derived.iter().copied()))
    };
    let columns = fields.columns();
    Conversion { args, format, layout: layout.fields_of(&fields), columns }.run::<T>(table, None).await
}

/// The selected fields that are derived from others and missing in the table. Existing columns stay unchanged.
fn fields_to_derive(content: &TableContent, args: &ConvertArgs) -> Result<Option<Fields>> {
    let wants: Option<Fields> = args.fields.as_deref().map(str::parse).transpose()?;
    let wants = wants.as_ref().map(Fields::names).unwrap_or_default();
    let lacks = |name: &&str| wants.contains(name) && !content.fields.names().contains(name);
    let names: Vec<_> = DERIVED_FROM.iter().map(|(name, _)| *name).filter(lacks).collect();
    if names.is_empty() { Ok(None) } else { names.join(",").parse().map(Some) }
}

/// Rejects a geometry that the table does not contain: every row would be without one.
fn check_geometry(content: &TableContent, args: &ConvertArgs) -> Result<()> {
    match args.geometry.geometry {
        Some(choice @ (GeometryChoice::Computed | GeometryChoice::Best)) if !content.has_computed => {
            Err(Error::new(ErrorKind::Usage, "choose the geometry")
                .with_subject(choice.name())
                .with_source("the table has no columns `computed_lon` and `computed_lat`")
                .with_hint("fetch them with `streetflow metadata --fields computed_geometry,…`"))
        }
        _ => Ok(()),
    }
}

fn output_format(path: &Path, format: Option<Format>) -> Result<Format> {
    let stdout = path == Path::new("-");
    let by_name = (!stdout).then(|| Format::from_path(path));
    let format = match (format, by_name) {
        (Some(format), Some(Ok(other))) if format != other => {
            return Err(Error::new(ErrorKind::Usage, "write the table")
                .with_subject(path.display().to_string())
                .with_source(format!("the file name means {other}, `--format` is {format}")));
        }
        (Some(format), _) => format,
        (None, None) => Format::Csv,
        (None, Some(by_name)) => by_name
            .map_err(|error| error.with_hint("set it with `--format` csv, parquet, geojson or geojsonseq"))?,
    };
    if stdout && format.is_parquet() {
        return Err(Error::new(ErrorKind::Usage, "write Parquet to standard output")
            .with_source("Parquet files are read from the end, so a pipe cannot carry them")
            .with_hint(
                "set a file, such as `table.parquet`, or choose `--format csv` or `--format geojsonseq`",
            ));
    }
    Ok(format)
}

/// Fills fields of a record that are derived from others.
type Fill<T> = Box<dyn Fn(&mut T) + Send>;

struct Conversion<'a> {
    args: &'a ConvertArgs,
    format: Format,
    layout: Layout,
    /// The columns to write, without keys.
    columns: Vec<&'static str>,
}

impl<'a> Conversion<'a> {
    fn new(args: &'a ConvertArgs, format: Format, layout: Layout, content: &TableContent) -> Result<Self> {
        let fields = match &args.fields {
            Some(text) => text.parse()?,
            None => content.fields.clone(),
        };
        Ok(Self { args, format, layout: layout.fields(&fields), columns: fields.columns() })
    }

    async fn run<T: Record>(
        self,
        table: TableSource<HeaderOnly>,
        fill: Option<Fill<T>>,
    ) -> Result<Vec<(Severity, String)>> {
        // No requests are sent here, so rounded ids are only a warning.
        let warnings = Arc::new(Mutex::new(Vec::new()));
        let warn = Arc::clone(&warnings);
        let check = IdCheck::warn(move |text| {
            lock(&warn).push((Severity::Warning, text.to_owned()));
        });
        let table = table.retype::<T>()?.on_rounded_ids(check.keep());
        let unread: Vec<_> = table
            .unread()
            .iter()
            .take(MAX_LISTED_COLUMNS)
            .map(|name| format!("`{}`", printable(name, MAX_COLUMN_NAME_LEN)))
            .collect();
        let more = table.unread().len() - unread.len();
        let columns = select::<T>(&self.columns);
        let reject = self.args.fields.is_none().then(|| NewColumns::new(&table, &columns, self.format));
        let written = self.write_table(table, fill, reject.filter(|reject| !reject.is_empty())).await?;
        let mut lines = std::mem::take(&mut *lock(&warnings));
        if !unread.is_empty() {
            let what = plural((unread.len() + more) as u64, "column", "columns");
            let more = if more > 0 { format!(" and {} more", grouped(more as u64)) } else { String::new() };
            lines.push((Severity::Note, format!("dropped: {what} {}{more}", unread.join(", "))));
        }
        if self.args.output != Path::new("-") {
            let (count, what) = (grouped(written.records), plural(written.records, "record", "records"));
            let converted = format!("converted {count} {what} into {}", path_text(&self.args.output));
            lines.push((Severity::Note, converted));
        }
        Ok(lines)
    }

    /// Converts column by column, or through records if `fill` or `reject` must see them.
    async fn write_table<T: Record>(
        &self,
        table: TableSource<T>,
        fill: Option<Fill<T>>,
        mut reject: Option<NewColumns<T>>,
    ) -> Result<Written> {
        #[cfg(feature = "parquet")]
        let table = match streetflow::sinks::column_encoder_for::<T>(self.format, &self.layout) {
            Some(encoder) if fill.is_none() && reject.is_none() => match table.columns(&self.columns) {
                Ok(blocks) => return self.write(blocks, encoder).await,
                Err(table) => *table,
            },
            _ => table,
        };
        // Records are filled, checked and encoded where they are: a stream of records would move each one five times.
        let blocks = table.blocks(move |record| {
            if let Some(fill) = &fill {
                fill(record);
            }
            reject.as_mut().map_or(Ok(()), |reject| reject.check(record))
        });
        let (format, layout) = (self.format, self.layout.clone());
        self.write(blocks, move |out| encoder_for::<T>(out, format, &layout)).await
    }

    /// Writes the output: a file is committed at the end, a pipe or device receives the bytes at once.
    async fn write<B: Send + 'static>(
        &self,
        blocks: RecordStream<Vec<B>>,
        encoder: impl FnOnce(Box<dyn Write + Send>) -> io::Result<Box<dyn Encoder<B>>> + Send + 'static,
    ) -> Result<Written> {
        let path = &self.args.output;
        if path == Path::new("-") {
            return Box::new(StreamSink::new(io::stdout(), encoder)).drain_blocks(blocks).await;
        }
        let is_other = fs::metadata(path).is_ok_and(|file| !file.is_file() && !file.is_dir());
        if is_other {
            let out = File::options().write(true).open(path).map_err(|error| {
                Error::new(ErrorKind::Io, "write to")
                    .with_subject(path.display().to_string())
                    .with_source(error)
            })?;
            return Box::new(StreamSink::new(out, encoder)).drain_blocks(blocks).await;
        }
        let target = match path.to_str().filter(|url| Bucket::is_url(url)) {
            Some(url) => {
                let (folder, name) = split_url(url)?;
                self.args.storage.open(folder)?.target(name)
            }
            None => Target::from(path),
        };
        Box::new(FileSink::create(target, encoder)).drain_blocks(blocks).await
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
