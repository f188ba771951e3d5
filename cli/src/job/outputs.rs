//! The tables of a run: which files are written, which are read.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::args::{EncodingArgs, GeometryArgs, InputArgs, TableArgs};
use crate::terminal::format::path_text;
use tokio_util::sync::CancellationToken;

use streetflow::sinks::{Layout, sink_for};
use streetflow::{
    Error, ErrorKind, Fields, Flow, Format, GeometryChoice, Record, Report, Result, Sink, TableSource,
};

pub(crate) const LICENCE: &str =
    "CC BY-SA 4.0 (Mapillary's default, not stated per image); name Mapillary and link to it";

/// The files that the tables of a run go to.
pub(crate) struct Tables<'a> {
    output: &'a Path,
    formats: Vec<Format>,
    /// Where the flow ends. Parquet writes most at its end, so it goes first there: if the disk is full, the others
    /// have not got their names yet.
    last: Format,
    place: GeometryChoice,
    layout: Layout,
}

impl<'a> Tables<'a> {
    /// `query` is what goes into the files about where they come from.
    pub(crate) fn new(
        output: &'a Path,
        args: &TableArgs,
        geometry: Option<&GeometryArgs>,
        query: &str,
    ) -> Result<Self> {
        let formats = formats(&args.format);
        let layout = layout(&formats, &args.encoding, geometry)?.note("query", query);
        let place = geometry.and_then(|args| args.geometry).unwrap_or_default();
        let last = formats.iter().find(|format| format.is_parquet()).or(formats.first());
        let last = last.copied().unwrap_or(Format::Csv);
        Ok(Self { output, formats, last, place, layout })
    }

    /// The fields to ask for: those that are wanted, and those that the formats can't do without.
    pub(crate) fn asked(&self, fields: &Fields) -> Result<Fields> {
        let needs = self.formats.iter().any(|format| format.has_geometry());
        let more = if needs { self.place.fields() } else { &[] };
        more.iter().try_fold(fields.clone(), |fields, field| fields.with(field))
    }

    /// A sink for each format.
    fn sink<T: Record>(&self, format: Format, table: &str, fields: &Fields) -> Box<dyn Sink<T>> {
        sink_for(&path_of(self.output, table, format), format, &self.layout.clone().fields(fields))
    }

    /// Lets the records pass and writes them on the way.
    pub(crate) fn tap<T: Record>(&self, flow: Flow<T>, table: &str, fields: &Fields) -> Flow<T> {
        self.formats.iter().fold(flow, |flow, format| flow.tap(self.sink(*format, table, fields)))
    }

    /// Where a flow ends: one of the formats, the others being written on the way.
    pub(crate) fn end<T: Record>(
        &self,
        flow: Flow<T>,
        table: &str,
        fields: &Fields,
    ) -> (Flow<T>, Box<dyn Sink<T>>) {
        let taps = self.formats.iter().filter(|format| **format != self.last);
        let flow = taps.fold(flow, |flow, format| flow.tap(self.sink(*format, table, fields)));
        (flow, self.sink(self.last, table, fields))
    }
}

/// Refuses flags that would do nothing, before anything is read.
pub(crate) fn check_flags(args: &TableArgs, geometry: Option<&GeometryArgs>) -> Result<()> {
    layout(&formats(&args.format), &args.encoding, geometry).map(drop)
}

/// The formats asked for, each once.
pub(crate) fn formats(asked: &[Format]) -> Vec<Format> {
    let mut formats = Vec::new();
    for format in asked {
        if !formats.contains(format) {
            formats.push(*format);
        }
    }
    formats
}

/// How the tables are written; a flag that none of the formats heeds is an error.
pub(crate) fn layout(
    formats: &[Format],
    encoding: &EncodingArgs,
    geometry: Option<&GeometryArgs>,
) -> Result<Layout> {
    let parquet = formats.iter().any(|format| format.is_parquet());
    let idle = |flag: &'static str, needs: &'static str| {
        Err(Error::new(ErrorKind::Usage, "use the flag")
            .with_subject(flag)
            .with_source(format!("it is about {needs}")))
    };
    let mut layout = Layout::default().note("licence", LICENCE);
    if let Some(compression) = encoding.compression {
        if !parquet {
            return idle("--compression", "`--format parquet`");
        }
        layout = layout.compression(compression);
    }
    if encoding.rs {
        if !formats.contains(&Format::GeoJsonSeq) {
            return idle("--rs", "`--format geojsonseq`");
        }
        layout = layout.record_separators();
    }
    let Some(geometry) = geometry else { return Ok(layout) };
    if let Some(place) = geometry.geometry {
        if !formats.iter().any(|format| format.has_geometry()) {
            return idle(
                "--geometry",
                "`--format` parquet, geojson and geojsonseq; csv has both places as columns",
            );
        }
        layout = layout.geometry(place);
    }
    if geometry.native_geometry {
        if !parquet {
            return idle("--native-geometry", "`--format parquet`");
        }
        layout = layout.native_geometry();
    }
    Ok(layout)
}

pub(crate) fn path_of(output: &Path, table: &str, format: Format) -> PathBuf {
    output.join(format!("{table}.{}", format.extension()))
}

/// Gives all files of a run one time, so that the next step can tell that they belong together.
pub(crate) fn stamp(report: &Report) {
    let now = SystemTime::now();
    let all = report.written.paths.iter().chain(report.taps.iter().flat_map(|written| &written.paths));
    for path in all.filter(|path| path.is_file()) {
        // Where that fails, the next step asks which file is meant.
        if let Ok(file) = File::options().append(true).open(path) {
            file.set_modified(now).ok();
        }
    }
}

/// The table that a step reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Input {
    Stdin(Format),
    File(PathBuf, Format),
}

impl Input {
    /// The one that is named, or what the step before wrote.
    pub(crate) fn find(args: &InputArgs, output: &Path, table: &str) -> Result<Self> {
        match &args.input {
            Some(path) => Self::named(path, args.input_format),
            None => Self::written(output, table, args.input_format),
        }
    }

    pub(crate) fn named(path: &Path, format: Option<Format>) -> Result<Self> {
        if path == Path::new("-") {
            return Ok(Self::Stdin(format.unwrap_or(Format::Csv)));
        }
        let format = match format {
            Some(format) => format,
            // A pipe, such as `/dev/fd/63`: what most programs write there.
            None if path.extension().is_none() => Format::Csv,
            None => Format::from_path(path).map_err(|error| {
                error.with_hint("say it: `--input-format csv`, parquet, geojson or geojsonseq")
            })?,
        };
        Ok(Self::File(path.to_owned(), format))
    }

    /// What the step before wrote, in whichever format.
    fn written(output: &Path, table: &str, format: Option<Format>) -> Result<Self> {
        let wanted = |known: &Format| format.is_none_or(|format| format == *known);
        let candidates = Format::ALL.iter().copied().filter(wanted).filter_map(|format| {
            let path = path_of(output, table, format);
            let written = fs::metadata(&path).ok()?.modified().ok()?;
            Some((path, format, written))
        });
        let candidates: Vec<_> = candidates.collect();
        let Some((path, format, written)) = candidates.first() else {
            let path = path_of(output, table, format.unwrap_or(Format::Csv));
            #[cfg(not(feature = "parquet"))]
            if path.with_extension("parquet").exists() {
                return Format::from_path(&path.with_extension("parquet")).map(|_| Self::Stdin(Format::Csv));
            }
            return Err(Error::new(ErrorKind::Usage, "open the table")
                .with_subject(path.display().to_string())
                .with_source("it is not there, nor in another format")
                .with_hint("run the step before first, or name a table with `--input`"));
        };
        // Files of one run have one time; others may hold other things.
        if candidates.iter().any(|(_, _, time)| time != written) {
            let names: Vec<_> = candidates.iter().map(|(path, _, _)| path_text(path)).collect();
            return Err(Error::new(ErrorKind::Usage, "choose the table to read")
                .with_source(format!("{} were written at different times", names.join(" and ")))
                .with_hint("name one with `--input`, or remove the one that is out of date"));
        }
        Ok(Self::File(path.clone(), *format))
    }

    /// Opens it and reads its header, for which a pipe may keep one waiting.
    pub(crate) async fn open<T: Record>(&self, stop: &CancellationToken) -> Result<TableSource<T>> {
        let input = self.clone();
        let opened = tokio::task::spawn_blocking(move || match input {
            Self::Stdin(format) => TableSource::read("standard input", io::stdin(), format),
            Self::File(path, format) => TableSource::open_as(path, format),
        });
        let opening = || Error::new(ErrorKind::Interrupted, "open the table");
        tokio::select! {
            opened = opened => opened.unwrap_or_else(|panic| Err(opening().with_source(panic))),
            () = stop.cancelled() => Err(opening().with_source("the run was stopped")),
        }
    }

    /// How many rows there are, for the time left; a guess where cells have line ends.
    pub(crate) fn rows(&self) -> Option<u64> {
        // A pipe can be read but once, and not by us.
        let Self::File(path, format) = self else { return None };
        streetflow::sources::count_rows(path, *format)
    }
}
