//! The command `streetflow`, which the package contains.

use std::ffi::OsString;

use pyo3::prelude::*;

/// Runs the command line `args`, the name of the program first, and returns the exit code.
///
/// The command handles signals itself, so the process must end after it.
#[pyfunction]
pub(crate) fn run_command(py: Python<'_>, args: Vec<OsString>) -> u8 {
    py.detach(|| streetflow_cli::run(args))
}
