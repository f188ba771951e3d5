//! `streetflow.Report`: the counts of a flow, while it runs and after its end.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::client::Client;
use crate::counts::Counts;
use crate::errors::exception;
use crate::events::Events;
use streetflow::Error;

/// The counts of a stream or a download. They change while it runs.
///
/// >>> import streetflow as sf
/// >>> images = sf.images(bbox=(33.33, 35.15, 33.39, 35.19), client=sf.Sandbox())
/// >>> table = images.to_arrow()
/// >>> images.report.records, images.report.gone, images.report.failed, images.report.complete
/// (611, 1, 0, True)
#[pyclass(frozen, module = "streetflow")]
pub(crate) struct Report {
    pub(crate) counts: Arc<Counts>,
    pub(crate) events: Arc<Events>,
    /// The exception that ended the flow.
    error: Mutex<Option<Py<PyAny>>>,
    /// The error that ended it in a thread without the interpreter.
    library_error: Mutex<Option<Error>>,
}

impl Report {
    pub(crate) fn new(events: &Arc<Events>) -> Self {
        Self {
            counts: Arc::new(Counts::new(&events.tally)),
            events: Arc::clone(events),
            error: Mutex::default(),
            library_error: Mutex::default(),
        }
    }

    pub(crate) fn set_library_error(&self, error: Error) {
        self.library_error.lock().unwrap_or_else(PoisonError::into_inner).replace(error);
    }

    pub(crate) fn set_error(&self, error: Py<PyAny>) {
        self.error.lock().unwrap_or_else(PoisonError::into_inner).replace(error);
    }
}

#[pymethods]
impl Report {
    /// Without a client, no events are counted.
    #[new]
    #[pyo3(signature = (client))]
    fn create(client: Option<&Client>) -> Self {
        client.map_or_else(|| Self::new(&Arc::default()), |client| Self::new(&client.events))
    }

    /// Logs the events of the client.
    fn _log(&self, py: Python<'_>) -> PyResult<()> {
        Ok(self.events.log(py)?)
    }

    /// Rows that were passed on, or pictures that were written.
    #[getter]
    pub(crate) fn records(&self) -> u64 {
        self.counts.records.load(Ordering::Relaxed)
    }

    /// Sequences and images that were deleted on Mapillary.
    #[getter]
    fn gone(&self) -> u64 {
        self.counts.gone.load(Ordering::Relaxed)
    }

    /// Sequences, images and pictures that failed.
    #[getter]
    fn failed(&self) -> u64 {
        self.counts.failed()
    }

    /// Images and sequences that filters dropped, in all flows of the client since this one began.
    #[getter]
    fn filtered(&self) -> u64 {
        self.counts.filtered()
    }

    /// Pictures that existed already.
    #[getter]
    fn existing(&self) -> u64 {
        self.counts.existing.load(Ordering::Relaxed)
    }

    /// Whether the flow has ended.
    #[getter]
    fn ended(&self) -> bool {
        self.counts.ended.load(Ordering::Relaxed)
    }

    /// Whether the flow ran to its end. False after an error, and if it was closed early.
    #[getter]
    fn complete(&self) -> bool {
        self.counts.complete.load(Ordering::Relaxed)
    }

    /// Seconds since the start, or of the whole run.
    #[getter]
    fn elapsed(&self) -> f64 {
        let running = || self.counts.started.get().map_or(Duration::ZERO, Instant::elapsed);
        self.counts.elapsed.get().copied().unwrap_or_else(running).as_secs_f64()
    }

    /// The exception that ended the flow.
    #[getter]
    fn error(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        let library_error = self.library_error.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(error) = library_error {
            self.set_error(exception(py, &error).value(py).clone().into_any().unbind());
        }
        let error = self.error.lock().unwrap_or_else(PoisonError::into_inner);
        error.as_ref().map(|error| error.clone_ref(py))
    }

    /// The first thousand items that failed or were deleted: dictionaries with `id`, `kind` and `message`.
    #[getter]
    fn failures<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyDict>>> {
        let items = self.counts.items.lock().unwrap_or_else(PoisonError::into_inner).clone();
        items
            .into_iter()
            .map(|item| {
                let dict = PyDict::new(py);
                dict.set_item("id", item.subject)?;
                dict.set_item("kind", item.kind)?;
                dict.set_item("message", item.message)?;
                Ok(dict)
            })
            .collect()
    }

    /// Tiles read and expected, and requests sent, by all flows of the client.
    #[getter]
    fn progress(&self) -> (u64, u64, u64) {
        let (read, expected) = self.events.tiles();
        (read, expected, self.events.requests())
    }

    fn __repr__(&self) -> String {
        let state = match (self.ended(), self.complete()) {
            (false, _) => "running",
            (true, true) => "complete",
            (true, false) => "incomplete",
        };
        let existing = match self.existing() {
            0 => String::new(),
            count => format!(" and {count} that existed"),
        };
        format!(
            "<streetflow.Report {state}: {} records{existing}, {} gone, {} failed, {} filtered, {:.1} s>",
            self.records(),
            self.gone(),
            self.failed(),
            self.filtered(),
            self.elapsed()
        )
    }
}
