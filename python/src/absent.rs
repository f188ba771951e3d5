//! What stands for the parts that a build was made without: classes and functions that say so.

use pyo3::prelude::*;

use crate::errors::{Failure, usage};
use streetflow::Error;

/// Returns the error for a part that this build does not have.
pub(crate) fn error(doing: &'static str, why: &'static str) -> Error {
    usage(doing, why).with_hint(
        "the standard wheel of streetflow has all parts; `pip install ./python` in a checkout builds and installs it",
    )
}

/// As an exception.
#[allow(dead_code, reason = "buckets have an error of the library")]
fn absent(doing: &'static str, why: &'static str) -> PyErr {
    Failure::from(error(doing, why)).into()
}

#[cfg(not(feature = "sandbox"))]
pub(crate) mod sandbox {
    use std::convert::Infallible;

    use pyo3::prelude::*;
    use pyo3::types::{PyDict, PyTuple};

    use crate::absent::absent;

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

#[cfg(not(feature = "map"))]
pub(crate) mod map {
    use std::convert::Infallible;

    use pyo3::prelude::*;
    use pyo3::types::{PyDict, PyTuple};

    use crate::absent::absent;

    /// Stands for the map page in a build without it.
    #[pyclass(frozen, module = "streetflow")]
    pub(crate) struct MapPage(Infallible);

    /// Stands for the map page in a build without it.
    #[pyfunction]
    #[pyo3(signature = (*_args, **_options))]
    pub(crate) fn map_page(
        _args: &Bound<'_, PyTuple>,
        _options: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<MapPage> {
        Err(absent("make the map", "this build of streetflow has no map page"))
    }
}

#[cfg(not(feature = "command"))]
pub(crate) mod command {
    use std::ffi::OsString;

    use pyo3::prelude::*;
    use pyo3::types::PyAny;

    use crate::absent::absent;
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
