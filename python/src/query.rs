//! Functions of queries: checks, schemas, streams and tables.

use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;

use futures::{StreamExt, TryStreamExt};
use pyo3::prelude::*;
use pyo3::types::PyCapsule;

use crate::batch::{Collected, schema_capsule};
use crate::client::Client;
use crate::counts::Counts;
use crate::errors::{Failure, usage};
use crate::place::target;
use crate::records::{Columns, Kind, Request, detections, features, images, sequences};
use crate::report::Report;
use crate::stream::{Batches, Reader};
use crate::task::run_to_end;
use streetflow::arrow::BATCH_ROWS;
use streetflow::geo::Area;
use streetflow::sinks::{Layout, sink_to};
use streetflow::storage::Target;
use streetflow::{Bbox, Detection, Error, Flow, Format, OnError, Query, Record, Result};

/// Evaluates an expression for the flow of a request, whatever its record type is.
macro_rules! with_flow {
    ($request:expr, $client:expr, |$flow:ident| $body:expr) => {
        match $request.kind {
            Kind::Images => {
                let $flow = images($request.query, $client);
                $body
            }
            Kind::Sequences => {
                let $flow = sequences($request.query, $client);
                $body
            }
            Kind::Detections => {
                let $flow = detections($request, $client);
                $body
            }
            Kind::Features => {
                let $flow = features($request, $client);
                $body
            }
        }
    };
}

/// Applies the policy for failed records, and counts them. A flow without any record of which some failed ends in an error,
/// as in the command: a result without rows would look like an area without images.
pub(crate) fn counted<T: Record>(flow: Flow<T>, counts: &Arc<Counts>, skip: bool) -> Flow<T> {
    let flow = flow.then(counts.watch()).on_error(if skip { OnError::Skip } else { OnError::Stop });
    // Most images have no detections of a certain class, so one failed image says nothing about the others.
    if T::NAME == Detection::NAME { flow } else { flow.then(counts.refuse_nothing()) }
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

/// Checks the request of a stream: what contradicts itself is an error before the first read.
#[pyfunction]
pub(crate) fn check(text: &str, kind: &str) -> PyResult<()> {
    let check = || -> Result<()> {
        let mut query = Request::parse(text, kind)?.query;
        if query.place.is_some() && query.area.is_none() {
            // The area is requested with the first read. Any other passes the checks in the same way.
            query.area = Some(Area::from("0,0,1,1".parse::<Bbox>()?));
        }
        query.check()
    };
    Ok(check().map_err(Failure::from)?)
}

/// Returns the names of the columns of a stream.
#[pyfunction]
pub(crate) fn column_names(text: &str, kind: &str) -> PyResult<Vec<String>> {
    Ok(columns(text, kind)?.schema.fields().iter().map(|field| field.name().clone()).collect())
}

/// Returns the schema of a stream.
#[pyfunction]
pub(crate) fn schema<'py>(py: Python<'py>, text: &str, kind: &str) -> PyResult<Bound<'py, PyCapsule>> {
    schema_capsule(py, &columns(text, kind)?.schema)
}

/// Returns a table with the columns of a stream and without rows.
#[pyfunction]
pub(crate) fn empty(text: &str, kind: &str) -> PyResult<Collected> {
    Ok(Collected { schema: columns(text, kind)?.schema, batches: Arc::new([]) })
}

fn columns(text: &str, kind: &str) -> PyResult<Columns> {
    let columns = Request::parse(text, kind).and_then(|request| request.columns());
    Ok(columns.map_err(Failure::from)?)
}

/// Starts a stream.
#[pyfunction]
pub(crate) fn start(
    py: Python<'_>,
    text: &str,
    kind: &str,
    client: &Client,
    skip: bool,
    report: Py<Report>,
    run: Py<PyAny>,
) -> PyResult<Reader> {
    let request = Request::parse(text, kind).map_err(Failure::from)?;
    let columns = request.columns().map_err(Failure::from)?;
    let layout = request.layout().map_err(Failure::from)?;
    let schema = Arc::clone(&columns.schema);
    let (client, counts) = (client.get()?.clone(), Arc::clone(&report.get().counts));
    let batches = with_flow!(request, client, |flow| batches(flow, layout, columns, counts, skip));
    Ok(Reader::start(py, schema, batches, report, run)?)
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
    compression: Option<&str>,
    native_geometry: bool,
    rs: bool,
) -> PyResult<()> {
    let request = Request::parse(text, kind).map_err(Failure::from)?;
    let format = match format {
        Some(name) => name.parse().map_err(Failure::from)?,
        None => Format::from_path(&path).map_err(|error| {
            Failure::from(
                error.with_hint("name the format: `format=\"csv\"`, parquet, geojson or geojsonseq"),
            )
        })?,
    };
    let layout =
        request.layout().and_then(|layout| encoding(layout, format, compression, native_geometry, rs));
    // The notes of the command, in its order.
    let layout = layout.map_err(Failure::from)?.licensed().note("query", request.query.to_json().to_string());
    let target = target(&path).map_err(Failure::from)?;
    let client = client.get()?.clone();
    let counts = Arc::clone(&report.get().counts);
    with_flow!(request, client, |flow| {
        let work = write_table(flow, target, format, layout, counts, skip);
        run_to_end(py, work, &report, &run)?;
    });
    Ok(())
}

/// Adds options to a layout. One that the format does not have is an error.
fn encoding(
    layout: Layout,
    format: Format,
    compression: Option<&str>,
    native_geometry: bool,
    rs: bool,
) -> Result<Layout> {
    let unused = |argument: &'static str, needs: &'static str| {
        let why = format!("it applies only to {needs}, and the format is {format}");
        Err(usage("write the table", why).with_subject(argument))
    };
    let mut layout = layout;
    if let Some(text) = compression {
        if !format.is_parquet() {
            return unused("compression", "parquet");
        }
        layout = layout.compression(text.parse()?);
    }
    if native_geometry {
        if !format.is_parquet() {
            return unused("native_geometry", "parquet");
        }
        layout = layout.native_geometry();
    }
    if rs {
        if format != Format::GeoJsonSeq {
            return unused("rs", "geojsonseq");
        }
        layout = layout.record_separators();
    }
    Ok(layout)
}

async fn write_table<T: Record>(
    open: impl Future<Output = Result<Flow<T>>> + Send,
    target: Target,
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
    flow.into_sink(sink_to::<T>(target, format, &layout)).await.map(drop)
}
