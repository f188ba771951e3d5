//! Where the images of a function come from: a query, a table, or Arrow data of another library.

use arrow_array::RecordBatchReader;
use arrow_array::ffi_stream::{ArrowArrayStreamReader, FFI_ArrowArrayStream};
use pyo3::prelude::*;
use pyo3::types::PyCapsule;

use crate::errors::{Attempt, usage};
use crate::place::TableFile;
use streetflow::arrow::ArrowSource;
use streetflow::{Error, Metadata, Query, TableSource};

/// Images, not yet requested or read.
pub(crate) enum Input {
    Query(Box<Query>),
    Table(TableSource<Metadata>),
    Arrow(ArrowSource<Metadata>),
}

impl Input {
    /// Takes the one that is given: a query as JSON, a table, or the capsule of a stream.
    pub(crate) fn new(
        doing: &'static str,
        query: Option<&str>,
        table: Option<&TableFile>,
        stream: Option<&Bound<'_, PyCapsule>>,
    ) -> Attempt<Self> {
        match (query, table, stream) {
            (Some(text), ..) => Ok(Self::Query(Box::new(Query::from_json(text)?))),
            (_, Some(table), _) => Ok(Self::Table(TableSource::open(&table.path)?)),
            (.., Some(stream)) => Ok(Self::Arrow(arrow_source(stream)?)),
            _ => Err(usage(doing, "there is no input").into()),
        }
    }
}

/// Takes the stream of another library out of its capsule.
fn arrow_source(capsule: &Bound<'_, PyCapsule>) -> Attempt<ArrowSource<Metadata>> {
    use pyo3::types::PyCapsuleMethods;

    let pointer = capsule.pointer_checked(Some(c"arrow_array_stream"))?;
    let failed =
        |error: arrow_schema::ArrowError| -> Error { usage("read the Arrow stream", error.to_string()) };
    // SAFETY: `pointer_checked` compared the name of the capsule. By the Arrow PyCapsule interface, a capsule of this name
    // holds a valid, aligned `ArrowArrayStream` until its destructor runs, which `capsule` prevents during this call.
    // `from_raw` moves the stream out and leaves a released one behind, so the destructor frees nothing twice, and a
    // second use of the capsule is the error of `try_new`. The interpreter is held, so no thread does the same at once.
    #[allow(
        unsafe_code,
        reason = "the C interface of Arrow passes a pointer, and no safe function takes one"
    )]
    let stream = unsafe { FFI_ArrowArrayStream::from_raw(pointer.as_ptr().cast()) };
    let reader = ArrowArrayStreamReader::try_new(stream).map_err(failed)?;
    let schema = reader.schema();
    Ok(ArrowSource::new("Arrow stream", &schema, reader)?)
}
