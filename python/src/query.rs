//! Queries, and the flows of their records.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use futures::{StreamExt, TryStreamExt};
use pyo3::prelude::*;
use pyo3::types::PyCapsule;

use crate::batch::{Collected, schema_capsule};
use crate::client::Client;
use crate::errors::{Attempt, Failure, usage};
use crate::report::{Counts, Report};
use crate::stream::{Batches, Reader};
use crate::task::run_to_end;
use streetflow::arrow::{BATCH_ROWS, schema as arrow_schema_of};
use streetflow::sinks::{Layout, sink_for};
use streetflow::{Error, ErrorKind, Flow, Format, Metadata, OnError, Query, Record, Result, Sequence};

/// What a stream consists of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Images,
    Sequences,
}

impl Kind {
    fn parse(name: &str) -> Result<Self> {
        match name {
            "images" => Ok(Self::Images),
            "sequences" => Ok(Self::Sequences),
            other => Err(usage("use the kind of records", format!("there is no kind `{other}`"))),
        }
    }
}

/// Returns the options of the query that concern tables.
pub(crate) fn layout(query: &Query) -> Layout {
    Layout::default().fields(&query.fields).geometry(query.geometry.unwrap_or_default())
}

/// The columns of a stream: those of the tables of the command, without a geometry that was not asked for.
#[derive(Clone)]
struct Columns {
    schema: SchemaRef,
    /// Their places among the columns of the library.
    places: Vec<usize>,
}

impl Columns {
    fn new(query: &Query, kind: Kind) -> Self {
        let all = match kind {
            Kind::Images => arrow_schema_of::<Metadata>(&layout(query)),
            Kind::Sequences => arrow_schema_of::<Sequence>(&layout(query)),
        };
        let has_point = query.geometry.is_some()
            || query.fields.names().iter().any(|name| ["geometry", "computed_geometry"].contains(name));
        let is_kept = |name: &str| kind != Kind::Images || has_point || name != "geometry";
        let fields = all.fields().iter().enumerate();
        let places: Vec<_> = fields.filter(|(_, field)| is_kept(field.name())).map(|(at, _)| at).collect();
        // The places are those of the schema itself.
        let schema = all.project(&places).map_or_else(|_| Arc::clone(&all), Arc::new);
        Self { schema, places }
    }

    fn project(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        batch
            .project(&self.places)
            .map_err(|error| Error::new(ErrorKind::Io, "build the record batch").with_source(error))
    }
}

fn schema_of(query: &Query, kind: Kind) -> SchemaRef {
    Columns::new(query, kind).schema
}

/// Returns the images of a query. A place is looked up first.
pub(crate) async fn images(mut query: Query, client: streetflow::Client) -> Result<Flow<Metadata>> {
    query.find_place().await?;
    query.metadata(&client).await
}

/// Returns the sequences of a query. A place is looked up first.
pub(crate) async fn sequences(mut query: Query, client: streetflow::Client) -> Result<Flow<Sequence>> {
    query.find_place().await?;
    query.sequences(&client).await
}

/// Applies the policy for failed records, and counts them.
pub(crate) fn counted<T: Send + 'static>(flow: Flow<T>, counts: &Arc<Counts>, skip: bool) -> Flow<T> {
    flow.then(counts.watch()).on_error(if skip { OnError::Skip } else { OnError::Stop })
}

/// Returns the batches of a flow that is made when the first one is requested.
fn batches<T: Record>(
    open: impl Future<Output = Result<Flow<T>>> + Send + 'static,
    layout: Layout,
    columns: Columns,
    counts: Arc<Counts>,
    skip: bool,
) -> Batches {
    let start = async move {
        let flow = counted(open.await?, &counts, skip);
        Ok::<_, Error>(flow.into_batches(&layout, BATCH_ROWS))
    };
    let batches = futures::stream::once(start).try_flatten();
    batches.map(move |batch| columns.project(&batch?)).boxed()
}

/// Checks a query and returns its normal form.
#[pyfunction]
pub(crate) fn normalize_query(text: &str) -> PyResult<String> {
    let query = Query::from_json(text).map_err(Failure::from)?;
    Ok(query.to_json().to_string())
}

/// Returns the fields of a query.
#[pyfunction]
pub(crate) fn query_fields(text: &str) -> PyResult<Vec<&'static str>> {
    let query = Query::from_json(text).map_err(Failure::from)?;
    Ok(query.fields.names().to_vec())
}

/// Returns the names of all fields of images.
///
/// >>> import streetflow as sf
/// >>> "captured_at" in sf.known_fields()
/// True
#[pyfunction]
pub(crate) fn known_fields() -> Vec<&'static str> {
    streetflow::Fields::known()
}

/// Returns the names of the columns of a stream.
#[pyfunction]
pub(crate) fn column_names(text: &str, kind: &str) -> PyResult<Vec<String>> {
    let (query, kind) = parse(text, kind)?;
    Ok(schema_of(&query, kind).fields().iter().map(|field| field.name().clone()).collect())
}

/// Returns the schema of a stream.
#[pyfunction]
pub(crate) fn schema<'py>(py: Python<'py>, text: &str, kind: &str) -> PyResult<Bound<'py, PyCapsule>> {
    let (query, kind) = parse(text, kind)?;
    schema_capsule(py, &schema_of(&query, kind))
}

/// Returns a table with the columns of a stream and without rows.
#[pyfunction]
pub(crate) fn empty(text: &str, kind: &str) -> PyResult<Collected> {
    let (query, kind) = parse(text, kind)?;
    Ok(Collected { schema: schema_of(&query, kind), batches: Arc::new([]) })
}

fn parse(text: &str, kind: &str) -> Attempt<(Query, Kind)> {
    Ok((Query::from_json(text)?, Kind::parse(kind)?))
}

/// Starts a stream.
#[pyfunction]
pub(crate) fn start(
    text: &str,
    kind: &str,
    client: &Client,
    skip: bool,
    report: Py<Report>,
    run: Py<PyAny>,
) -> PyResult<Reader> {
    let (query, kind) = parse(text, kind)?;
    let (columns, layout) = (Columns::new(&query, kind), layout(&query));
    let schema = Arc::clone(&columns.schema);
    let (client, counts) = (client.get()?.clone(), Arc::clone(&report.get().counts));
    let batches = match kind {
        Kind::Images => batches(images(query, client), layout, columns, counts, skip),
        Kind::Sequences => batches(sequences(query, client), layout, columns, counts, skip),
    };
    Ok(Reader::start(schema, batches, report, run)?)
}

/// Writes a table. The file is complete or absent.
#[pyfunction]
#[expect(clippy::too_many_arguments, reason = "only the package calls it")]
pub(crate) fn write(
    py: Python<'_>,
    text: &str,
    kind: &str,
    client: &Client,
    skip: bool,
    report: Py<Report>,
    run: Py<PyAny>,
    path: PathBuf,
    format: Option<&str>,
) -> PyResult<()> {
    let (query, kind) = parse(text, kind)?;
    let format = match format {
        Some(name) => name.parse().map_err(Failure::from)?,
        None => Format::from_path(&path).map_err(|error| {
            Failure::from(
                error.with_hint("name the format: `format=\"csv\"`, parquet, geojson or geojsonseq"),
            )
        })?,
    };
    let note = query.to_json().to_string();
    let layout = layout(&query).note("query", note);
    let client = client.get()?.clone();
    let counts = Arc::clone(&report.get().counts);
    match kind {
        Kind::Images => {
            let work = write_table(images(query, client), path, format, layout, counts, skip);
            run_to_end(py, work, &report, &run)?;
        }
        Kind::Sequences => {
            let work = write_table(sequences(query, client), path, format, layout, counts, skip);
            run_to_end(py, work, &report, &run)?;
        }
    }
    Ok(())
}

async fn write_table<T: Record>(
    open: impl Future<Output = Result<Flow<T>>> + Send,
    path: PathBuf,
    format: Format,
    layout: Layout,
    counts: Arc<Counts>,
    skip: bool,
) -> Result<()> {
    let records = Arc::clone(&counts);
    let flow = counted(open.await?, &counts, skip).filter(move |_| {
        records.add_records(1);
        true
    });
    flow.into_sink(sink_for::<T>(Path::new(&path), format, &layout)).await.map(drop)
}
