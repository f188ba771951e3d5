//! The tables of partitions, one after the other, as one table each.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};

use futures::{StreamExt, stream};
use serde_json::{Value, json};

use super::partition::CrawlPlanFile;
use crate::artifacts::report::{ReportFile, size};
use streetflow::atomic_file::{commit, output_error, temporary_beside};
use streetflow::sinks::{Layout, sink_to};
use streetflow::sources::HeaderOnly;
use streetflow::{
    Error, ErrorKind, Fields, Flow, Format, Image, Metadata, Record, Result, Sink, Source, TableSource,
};

/// The longest header line, in bytes.
const MAX_HEADER_LEN: u64 = 1 << 20;

/// A table to join.
pub(crate) struct TableToJoin {
    name: String,
    format: Format,
    sources: Vec<PathBuf>,
    target: PathBuf,
    rows: u64,
}

/// Finds the tables and the logs of partitions, and checks that their joined files may be written. `reports` name the
/// files of each.
pub(crate) fn tables_to_join(
    directory: &Path,
    parts: &[PathBuf],
    reports: &[&Value],
    plan: &CrawlPlanFile,
) -> Result<Vec<TableToJoin>> {
    let files = |report: &Value| -> Vec<String> {
        let files = report["files"].as_array().into_iter().flatten();
        files.filter_map(|file| Some(file["path"].as_str()?.to_owned())).collect()
    };
    let names: BTreeSet<_> = reports.iter().flat_map(|report| files(report)).collect();
    let mut tables = Vec::new();
    for name in names {
        let is_plain = !name.contains(['/', '\\', ':']) && !name.starts_with('.');
        let Ok(format) = Format::from_path(Path::new(&name)) else { continue };
        let sources: Vec<_> =
            parts.iter().map(|part| part.join(&name)).filter(|path| path.is_file()).collect();
        if !is_plain || sources.is_empty() || name == plan.table {
            continue;
        }
        let target = directory.join(&name);
        check_target(directory, &target, &name)?;
        let rows = reports.iter().filter_map(|report| rows_of(report, &name)).sum();
        tables.push(TableToJoin { name, format, sources, target, rows });
    }
    Ok(tables)
}

impl TableToJoin {
    /// The entry for `files` of the report.
    pub(crate) fn json(&self) -> Value {
        json!({ "path": self.name, "rows": self.rows, "bytes": size(&self.target) })
    }

    /// Writes the joined table. Returns false for a table of records that can't be joined.
    pub(crate) async fn join(&self, plan: &CrawlPlanFile) -> Result<bool> {
        let joined = match self.format {
            Format::Csv => join_text(&self.target, &self.sources, true),
            Format::GeoJsonSeq => join_text(&self.target, &self.sources, false),
            _ => return join_records(&self.target, &self.sources, self.format, plan).await,
        };
        joined.map(|()| true).map_err(|error| output_error("write the table", &self.target, error))
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }
}

fn rows_of(report: &Value, name: &str) -> Option<u64> {
    report["files"].as_array()?.iter().find(|file| file["path"] == name)?["rows"].as_u64()
}

/// A file that no earlier merge wrote is not replaced.
fn check_target(directory: &Path, target: &Path, name: &str) -> Result<()> {
    if !target.exists() {
        return Ok(());
    }
    let report = std::fs::read_to_string(ReportFile::new(directory).path()).unwrap_or_default();
    let report: Value = serde_json::from_str(&report).unwrap_or_default();
    if report["parts"].is_array() && rows_of(&report, name).is_some() {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Io, "write the table")
        .with_subject(target.display().to_string())
        .with_source("the file exists and is not from an earlier merge")
        .with_hint("move it away, and merge again"))
}

/// Joins text files byte by byte. With `has_header`, the first line of all but the first is skipped.
fn join_text(target: &Path, sources: &[PathBuf], has_header: bool) -> io::Result<()> {
    let mut joined = temporary_beside(target)?;
    let mut first_header = None;
    for source in sources {
        let mut rows = BufReader::new(File::open(source)?);
        if has_header {
            let mut header = Vec::new();
            rows.by_ref().take(MAX_HEADER_LEN).read_until(b'\n', &mut header)?;
            match &first_header {
                None => {
                    joined.write_all(&header)?;
                    first_header = Some(header);
                }
                Some(first) if *first != header => {
                    let why = format!("{} has other columns than the partitions before it", source.display());
                    return Err(io::Error::other(why));
                }
                Some(_) => {}
            }
        }
        io::copy(&mut rows, &mut joined)?;
    }
    commit(joined, target)
}

/// Joins tables record by record. Returns false for a table of other records.
async fn join_records(
    target: &Path,
    sources: &[PathBuf],
    format: Format,
    plan: &CrawlPlanFile,
) -> Result<bool> {
    let [first, ..] = sources else { return Ok(false) };
    let header = TableSource::<HeaderOnly>::open(first)?.header().to_vec();
    // The other two are made from the coordinates.
    let columns = || header.iter().map(String::as_str).filter(|name| !["geometry", "bbox"].contains(name));
    let mut layout = Layout::default();
    for (name, value) in &plan.settings {
        layout = match name.as_str() {
            "compression" => layout.compression(value.parse()?),
            "native_geometry" => layout.native_geometry(),
            _ => layout,
        };
    }
    for (name, text) in TableSource::<HeaderOnly>::open(first)?.notes() {
        if name == "licence" {
            layout = layout.note("licence", &text);
        }
    }
    if let Some(choice) = plan.query.geometry {
        layout = layout.geometry(choice);
    }
    let is_column = |name: &str| Metadata::COLUMNS.iter().any(|column| column.name == name);
    if header == ["seq_id", "img_id"] {
        write::<Image>(target, sources, format, &layout).await?;
    } else if columns().any(|name| name == "img_id") && columns().all(is_column) {
        let fields = Fields::from_columns(header.iter().map(String::as_str));
        write::<Metadata>(target, sources, format, &layout.fields(&fields)).await?;
    } else {
        return Ok(false);
    }
    Ok(true)
}

async fn write<T: Record>(target: &Path, sources: &[PathBuf], format: Format, layout: &Layout) -> Result<()> {
    let tables = sources.iter().map(TableSource::<T>::open).collect::<Result<Vec<_>>>()?;
    let rows = stream::iter(tables).flat_map(Source::stream).boxed();
    let sink: Box<dyn Sink<T>> = sink_to(target, format, layout);
    Flow::from(rows).into_sink(sink).await.map(drop)
}
