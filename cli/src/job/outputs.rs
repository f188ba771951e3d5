//! The tables that a run writes.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::args::{EncodingArgs, FetchDetectionArgs, GeometryArgs, OutputArgs, TableArgs};
use streetflow::sinks::{Layout, ToolsetEncoder, sink_to};
use streetflow::storage::Target;
use streetflow::{
    Detection, Encoder, Error, ErrorKind, FieldList, Fields, FileSink, Flow, Format, GeometryChoice, Image,
    Record, Report, Result, Sink,
};

/// The tables that a run writes: directory, formats and layout.
pub(crate) struct TableOutputs<'a> {
    files: &'a OutputArgs,
    formats: Vec<Format>,
    /// The format at the end of the flow. Parquet, because it writes most at its end: if the disk is full then, the
    /// files of the other formats are not committed yet.
    end: Format,
    geometry: GeometryChoice,
    layout: Layout,
}

impl<'a> TableOutputs<'a> {
    /// Resolves the flags. A flag that applies to none of the formats is a usage error.
    pub(crate) fn new(
        files: &'a OutputArgs,
        args: &TableArgs,
        geometry: Option<&GeometryArgs>,
    ) -> Result<Self> {
        let formats = args.formats();
        let layout = layout(&formats, &args.encoding, geometry)?;
        let geometry = geometry.and_then(|args| args.geometry).unwrap_or_default();
        let end = formats.iter().find(|format| format.is_parquet()).or(formats.first());
        let end = end.copied().unwrap_or(Format::Csv);
        Ok(Self { files, formats, end, geometry, layout })
    }

    /// Sets the query that is written into the files.
    pub(crate) fn query(mut self, query: &str) -> Self {
        self.layout = self.layout.note("query", query);
        self
    }

    /// The fields to request: the columns, and those that the formats need.
    pub(crate) fn request_fields(&self, columns: &Fields) -> Result<Fields> {
        let has_geometry = self.formats.iter().any(|format| format.has_geometry());
        let more = if has_geometry { self.geometry.fields() } else { &[] };
        more.iter().try_fold(columns.clone(), |fields, field| fields.with(field))
    }

    fn target(&self, format: Format, table: &str) -> Target {
        let path = table_path(&self.files.output, table, format);
        match (&self.files.remote, path.file_name().and_then(|name| name.to_str())) {
            (Some(remote), Some(name)) => remote.bucket.target(name),
            _ => path.into(),
        }
    }

    fn sink<T: Record>(&self, format: Format, table: &str, layout: &Layout) -> Box<dyn Sink<T>> {
        sink_to(self.target(format, table), format, layout)
    }

    /// Writes a table in all formats and passes the records on.
    pub(crate) fn tap<T: Record>(&self, flow: Flow<T>, table: &str, fields: &Fields) -> Flow<T> {
        let layout = self.layout.clone().fields(fields);
        self.formats.iter().fold(flow, |flow, format| flow.tap(self.sink(*format, table, &layout)))
    }

    /// The sinks of the table of images, in all formats.
    pub(super) fn image_sinks(&self, table: &str) -> Vec<Box<dyn Sink<Image>>> {
        self.formats.iter().map(|format| self.sink(*format, table, &self.layout)).collect()
    }

    /// Writes a table in all formats but one, and returns the sink of that one, which ends the flow.
    pub(crate) fn end<T: Record>(
        &self,
        flow: Flow<T>,
        table: &str,
        fields: &Fields,
    ) -> (Flow<T>, Box<dyn Sink<T>>) {
        self.end_with(flow, table, &self.layout.clone().fields(fields))
    }

    /// As [`TableOutputs::end`], for any record type with fields.
    pub(crate) fn end_of<T: Record>(
        &self,
        flow: Flow<T>,
        table: &str,
        fields: &FieldList<T>,
    ) -> (Flow<T>, Box<dyn Sink<T>>) {
        self.end_with(flow, table, &self.layout.clone().fields_of(fields))
    }

    /// The sinks of the table of detections, in all formats. The last one ends the flow.
    pub(crate) fn detection_sinks(
        &self,
        table: &str,
        args: &FetchDetectionArgs,
    ) -> Vec<Box<dyn Sink<Detection>>> {
        if args.toolset_columns {
            let encoder =
                |out| -> io::Result<Box<dyn Encoder<Detection>>> { Ok(Box::new(ToolsetEncoder::new(out)?)) };
            return vec![Box::new(FileSink::create(self.target(Format::Csv, table), encoder))];
        }
        let layout = self.layout.clone().fields_of(&args.fields());
        let others = self.formats.iter().filter(|format| **format != self.end);
        others.chain([&self.end]).map(|format| self.sink(*format, table, &layout)).collect()
    }

    fn end_with<T: Record>(
        &self,
        flow: Flow<T>,
        table: &str,
        layout: &Layout,
    ) -> (Flow<T>, Box<dyn Sink<T>>) {
        let taps = self.formats.iter().filter(|format| **format != self.end);
        let flow = taps.fold(flow, |flow, format| flow.tap(self.sink(*format, table, layout)));
        (flow, self.sink(self.end, table, layout))
    }
}

/// Resolves how tables are written. A flag that applies to none of the formats is a usage error.
pub(crate) fn layout(
    formats: &[Format],
    encoding: &EncodingArgs,
    geometry: Option<&GeometryArgs>,
) -> Result<Layout> {
    let has_parquet = formats.iter().any(|format| format.is_parquet());
    let unused = |flag: &'static str, needs: &'static str| {
        Err(Error::new(ErrorKind::Usage, "use the flag")
            .with_subject(flag)
            .with_source(format!("it applies only to {needs}")))
    };
    let mut layout = Layout::default().licensed();
    if let Some(compression) = encoding.compression {
        if !has_parquet {
            return unused("--compression", "`--format parquet`");
        }
        layout = layout.compression(compression);
    }
    if encoding.rs {
        if !formats.contains(&Format::GeoJsonSeq) {
            return unused("--rs", "`--format geojsonseq`");
        }
        layout = layout.record_separators();
    }
    let Some(geometry) = geometry else { return Ok(layout) };
    if let Some(choice) = geometry.geometry {
        if !formats.iter().any(|format| format.has_geometry()) {
            return unused(
                "--geometry",
                "`--format` parquet, geojson and geojsonseq; csv has both geometries as columns",
            );
        }
        layout = layout.geometry(choice);
    }
    if geometry.native_geometry {
        if !has_parquet {
            return unused("--native-geometry", "`--format parquet`");
        }
        layout = layout.native_geometry();
    }
    Ok(layout)
}

pub(crate) fn table_path(output: &Path, table: &str, format: Format) -> PathBuf {
    output.join(format!("{table}.{}", format.extension()))
}

/// Sets the same modification time on all files of a run: the next step compares it to detect files of other runs.
pub(super) fn set_same_time(report: &Report) {
    let now = SystemTime::now();
    let all = report.written.paths.iter().chain(report.taps.iter().flat_map(|written| &written.paths));
    for path in all.filter(|path| path.is_file()) {
        // If this fails, the next step asks for `--input`.
        if let Ok(file) = File::options().append(true).open(path) {
            file.set_modified(now).ok();
        }
    }
}
