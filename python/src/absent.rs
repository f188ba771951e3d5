//! What stands for the mock server and the command in a build without them: classes and functions that say so.

use pyo3::prelude::*;

use crate::errors::{Failure, usage};

/// Returns the exception for a part that this build does not have.
fn absent(doing: &'static str, why: &'static str) -> PyErr {
    let hint = "the standard wheel of streetflow has both, this one was built without; `pip install ./python` in a \
                checkout builds the standard wheel";
    Failure::from(usage(doing, why).with_hint(hint)).into()
}

#[cfg(not(feature = "sandbox"))]
pub(crate) mod sandbox {
    use std::convert::Infallible;

    use pyo3::types::{PyDict, PyTuple};

    use super::{Bound, PyErr, PyResult, absent, pyclass, pymethods};

    /// Stands for the mock server in a build without it.
    #[pyclass(frozen, module = "streetflow")]
    pub(crate) struct Sandbox(Infallible);

    #[pymethods]
    impl Sandbox {
        #[new]
        #[pyo3(signature = (*_args, **_options))]
        fn new(_args: &Bound<'_, PyTuple>, _options: Option<&Bound<'_, PyDict>>) -> PyResult<Self> {
            let error: PyErr = absent("use the mock server", "this build of streetflow has no mock server");
            Err(error)
        }
    }
}

#[cfg(not(feature = "command"))]
pub(crate) mod command {
    use std::ffi::OsString;

    use pyo3::types::PyAny;

    use super::{Py, PyResult, absent, pyfunction};
    use crate::report::Report;

    /// Stands for the command in a build without it.
    #[pyfunction]
    pub(crate) fn run_command(_args: Vec<OsString>) -> PyResult<u8> {
        Err(absent("run the command", "this build of streetflow has no command"))
    }

    /// Stands for the command in a build without it.
    #[pyfunction]
    pub(crate) fn convert(
        _args: Vec<OsString>,
        _report: Py<Report>,
        _run: Py<PyAny>,
    ) -> PyResult<Vec<String>> {
        Err(absent("convert the table", "this build of streetflow has no command, which converts tables"))
    }
}
