//! `streetflow.convert`.

use std::ffi::OsString;

use pyo3::prelude::*;

use crate::report::Report;
use crate::task::run_to_end;

/// Converts a table, with the arguments of the command. Returns its messages.
#[pyfunction]
pub(crate) fn convert(
    py: Python<'_>,
    args: Vec<OsString>,
    report: Py<Report>,
    run: Py<PyAny>,
) -> PyResult<Vec<String>> {
    Ok(run_to_end(py, streetflow_cli::convert(args), &report, &run)?)
}
