//! Work on the runtime that a Python thread waits for.

use std::future::Future;

use pyo3::prelude::*;
use tokio::task::JoinHandle;

use crate::errors::{Attempt, Failure};
use crate::report::Report;
use crate::runtime::{runtime, wait};
use streetflow::{Error, ErrorKind, Result};

/// A task that ends when its owner does.
struct Guard<T>(JoinHandle<T>);

impl<T> Drop for Guard<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Runs work to its end, with log messages and progress. Ctrl-C, an exception and an error end it.
pub(crate) fn run_to_end<T: Send + 'static>(
    py: Python<'_>,
    work: impl Future<Output = Result<T>> + Send + 'static,
    report: &Py<Report>,
    run: &Py<PyAny>,
) -> Attempt<T> {
    let counts = &report.get().counts;
    counts.start();
    let mut task = Guard(runtime()?.spawn(work));
    let done = wait(py, &mut task.0, |py| Ok(run.call_method0(py, "tick").map(drop)?));
    let done = done.and_then(|joined| joined.unwrap_or_else(|_| Err(panicked())).map_err(Failure::from));
    counts.end(done.is_ok());
    match done {
        Ok(output) => {
            run.call_method0(py, "finish")?;
            Ok(output)
        }
        Err(failure) => {
            let error = PyErr::from(failure);
            report.get().set_error(error.value(py).clone().into_any().unbind());
            run.call_method0(py, "close")?;
            Err(error.into())
        }
    }
}

/// The error for a task that panicked.
pub(crate) fn panicked() -> Error {
    Error::new(ErrorKind::Io, "continue")
        .with_source("a thread panicked, see the message above")
        .with_hint("this is a bug in streetflow, please report it")
}
