//! The tables of partitions, one after the other, as one table each.
//!
//! Text formats are joined byte by byte, so the result is the file of a single crawl. Parquet is read and written again.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use futures::{StreamExt, stream};
use serde_json::{Value, json};

use super::join_text::JoinedText;
use super::partition::CrawlPlanFile;
use super::plan_directory::PlanDirectory;
use super::table_content::TableContent;
use crate::artifacts::report::REPORT_NAME;
use streetflow::sinks::{Layout, sink_to};
use streetflow::sources::HeaderOnly;
use streetflow::{
    Detection, Error, ErrorKind, FieldList, Flow, Format, Image, MapFeature, Metadata, Record, RecordStream,
    Result, Sequence, Sink, Source, TableSource,
};

/// A table to join.
pub(crate) struct TableToJoin {
    name: String,
    format: Format,
    /// The names of the directories of the partitions that have the table.
    parts: Vec<String>,
    rows: u64,
}

/// Finds the tables and the logs of partitions, and checks that their joined files may be written. `parts` are the
/// names of the directories, `reports` name the files of each.
pub(crate) async fn tables_to_join(
    directory: &PlanDirectory,
    parts: &[String],
    reports: &[&Value],
    plan: &CrawlPlanFile,
) -> Result<Vec<TableToJoin>> {
    let files = |report: &Value| -> Vec<String> {
        let files = report["files"].as_array().into_iter().flatten();
        files.filter_map(|file| Some(file["path"].as_str()?.to_owned())).collect()
    };
    let existing = directory.names().await?;
    let names: BTreeSet<_> = reports.iter().flat_map(|report| files(report)).collect();
    let mut tables = Vec::new();
    for name in names {
        let is_plain = !name.contains(['/', '\\', ':']) && !name.starts_with('.');
        let Ok(format) = Format::from_path(Path::new(&name)) else { continue };
        if !is_plain || name == plan.table {
            continue;
        }
        let has_table = |report: &Value| rows_of(report, &name).is_some();
        let with_table = parts.iter().zip(reports).filter(|(_, report)| has_table(report));
        let parts: Vec<_> = with_table.map(|(part, _)| part.clone()).collect();
        if existing.contains(&name) {
            check_target(directory, &name)?;
        }
        let rows = reports.iter().filter_map(|report| rows_of(report, &name)).sum();
        tables.push(TableToJoin { name, format, parts, rows });
    }
    Ok(tables)
}

impl TableToJoin {
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The entry for `files` of the report.
    pub(crate) fn json(&self, bytes: Option<u64>) -> Value {
        json!({ "path": self.name, "rows": self.rows, "bytes": bytes })
    }

    /// Writes the joined table.
    pub(crate) async fn join(&self, directory: &PlanDirectory, plan: &CrawlPlanFile) -> Result<()> {
        if self.format.is_parquet() {
            return self.join_records(directory, plan).await;
        }
        let (target, format) = (directory.target(&self.name), self.format);
        let mut joined = blocking(move || JoinedText::create(&target, format)).await?;
        for part in &self.parts {
            let copy = directory.fetch(part, &self.name).await?;
            joined = blocking(move || joined.append(copy.path())).await?;
        }
        blocking(move || joined.commit()).await
    }

    /// Joins tables record by record.
    async fn join_records(&self, directory: &PlanDirectory, plan: &CrawlPlanFile) -> Result<()> {
        let [first, ..] = &self.parts[..] else { return Ok(()) };
        let copy = directory.fetch(first, &self.name).await?;
        let table = TableSource::<HeaderOnly>::open(copy.path())?;
        let layout = layout(&table, plan)?;
        match TableContent::new(&table, Path::new(&self.name)).kind {
            Sequence::NAME => self.write::<Sequence>(directory, &table, layout).await,
            Image::NAME => self.write::<Image>(directory, &table, layout).await,
            Detection::NAME => self.write::<Detection>(directory, &table, layout).await,
            MapFeature::NAME => self.write::<MapFeature>(directory, &table, layout).await,
            _ => self.write::<Metadata>(directory, &table, layout).await,
        }
    }

    async fn write<T: Record>(
        &self,
        directory: &PlanDirectory,
        first: &TableSource<HeaderOnly>,
        layout: Layout,
    ) -> Result<()> {
        let names = first.header().iter().map(String::as_str);
        // The point of a file may have the name of a column, such as the shape of a detection.
        let point = first.geometry().map(|_| T::GEOMETRY_COLUMN);
        let fields = FieldList::<T>::from_columns(names.chain(point));
        let header = Arc::new(first.header().to_vec());
        let (directory, name) = (directory.clone(), self.name.clone());
        let target = directory.target(&name);
        // Each table is opened when the one before it ends: the parts of a bucket are copied one at a time.
        let tables = stream::iter(self.parts.clone()).then(move |part| {
            let (directory, name, header) = (directory.clone(), name.clone(), Arc::clone(&header));
            async move { open_part::<T>(&directory, &part, &name, &header).await }
        });
        let rows = tables.flat_map(|table| table.unwrap_or_else(|error| stream::iter([Err(error)]).boxed()));
        let sink: Box<dyn Sink<T>> = sink_to(target, self.format, &layout.fields_of(&fields));
        Flow::from(rows.boxed()).into_sink(sink).await.map(drop)
    }
}

/// Opens the table of a partition. One with other columns than the first is an error.
async fn open_part<T: Record>(
    directory: &PlanDirectory,
    part: &str,
    name: &str,
    header: &[String],
) -> Result<RecordStream<T>> {
    let copy = directory.fetch(part, name).await?;
    let table = TableSource::<T>::open(copy.path())?;
    if table.header() != header {
        return Err(Error::new(ErrorKind::Io, "join the tables")
            .with_subject(format!("{part}/{name}"))
            .with_source("it has other columns than the partitions before it")
            .with_hint("run the partition again with `--restart`"));
    }
    // The copy exists as long as it is read.
    let records = table.stream().map(move |record| {
        let _ = &copy;
        record
    });
    Ok(records.boxed())
}

/// How the partitions wrote their Parquet files.
fn layout(first: &TableSource<HeaderOnly>, plan: &CrawlPlanFile) -> Result<Layout> {
    let mut layout = Layout::default();
    for (name, value) in &plan.settings {
        layout = match name.as_str() {
            "compression" => layout.compression(value.parse()?),
            "native_geometry" => layout.native_geometry(),
            _ => layout,
        };
    }
    for (name, text) in first.notes() {
        // The query of a partition names the plan.
        let text = if name == "query" { plan.query.to_json().to_string() } else { text };
        layout = layout.note(&name, &text);
    }
    Ok(match plan.query.geometry {
        Some(choice) => layout.geometry(choice),
        None => layout,
    })
}

fn rows_of(report: &Value, name: &str) -> Option<u64> {
    report["files"].as_array()?.iter().find(|file| file["path"] == name)?["rows"].as_u64()
}

/// A file that no earlier merge wrote is not replaced.
fn check_target(directory: &PlanDirectory, name: &str) -> Result<()> {
    let report = std::fs::read_to_string(directory.local().join(REPORT_NAME)).unwrap_or_default();
    let report: Value = serde_json::from_str(&report).unwrap_or_default();
    if report["parts"].is_array() && rows_of(&report, name).is_some() {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Io, "write the table")
        .with_subject(directory.shown().join(name).display().to_string())
        .with_source("the file exists and is not from an earlier merge")
        .with_hint("move it away, and merge again"))
}

/// Runs work on files, which blocks, on a thread for that.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let panicked = |panic| Error::new(ErrorKind::Io, "join the tables").with_source(panic);
    tokio::task::spawn_blocking(work).await.map_err(panicked)?
}
