//! The bridge from a flow to a consumer: a task on the runtime fills a short channel, the consumer's thread waits on it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, ThreadId};
use std::time::Instant;

use arrow_array::{RecordBatch, RecordBatchReader};
use arrow_schema::{ArrowError, SchemaRef};
use futures::StreamExt;
use futures::stream::BoxStream;
use pyo3::exceptions::PyKeyboardInterrupt;
use pyo3::prelude::*;
use pyo3::types::PyCapsule;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::batch::{Batch, Collected, schema_capsule, stream_capsule};
use crate::counts::Counts;
use crate::errors::{self, Attempt, Failure};
use crate::interrupts;
use crate::report::Report;
use crate::runtime::{Owned, TICK, runtime, wait};
use crate::task::panicked;
use streetflow::Error;

/// Batches that wait for the consumer. With the one that is being filled, the memory of a stream is bounded. One is enough:
/// it is made while the consumer works on the batch before.
const MAX_WAITING: usize = 1;

/// A stream of batches of the library.
pub(crate) type Batches = BoxStream<'static, Result<RecordBatch, Error>>;

/// How the task of a stream ended.
#[derive(Default)]
struct Outcome {
    /// The flow was read to its end.
    finished: AtomicBool,
    /// The reader was closed.
    closed: AtomicBool,
}

impl Outcome {
    /// The result at the end of the channel. A task that ended in neither way has panicked.
    fn result(&self) -> Result<(), Error> {
        if self.finished.load(Ordering::Acquire) || self.closed.load(Ordering::Acquire) {
            return Ok(());
        }
        Err(panicked())
    }
}

/// What comes next in a stream.
enum Next {
    Batch(RecordBatch),
    Failed(Error),
    End,
    Interrupted,
}

/// The running end of a stream.
struct Feed {
    receiver: mpsc::Receiver<Result<RecordBatch, Error>>,
    task: JoinHandle<()>,
    outcome: Arc<Outcome>,
    report: Py<Report>,
    counts: Arc<Counts>,
    /// Called with the report at every tick: `streetflow._run.Run`, which logs, shows progress and warns.
    run: Py<PyAny>,
    last_tick: Instant,
    /// The error that ends the stream, if it was received already.
    error: Option<Error>,
    ended: bool,
    shows_progress: bool,
    /// The thread that started the stream, if Python made it.
    home: Option<ThreadId>,
    /// The number of interruptions before the start.
    interrupts: u64,
}

impl Feed {
    /// Whether this thread may wait for the interpreter: in the others, the main thread may hold it and wait for them.
    fn is_at_home(&self) -> bool {
        self.home == Some(thread::current().id()) || interrupts::is_main_thread()
    }

    /// Returns the next batch, or `None` at the end. Blocks, while other Python threads run.
    fn next(&mut self) -> Option<Attempt<RecordBatch>> {
        if self.ended {
            return None;
        }
        // A batch that is there is passed on without Python, so that consumers with threads of their own do not wait for
        // the interpreter.
        if self.last_tick.elapsed() < TICK {
            match self.receiver.try_recv() {
                Ok(Ok(batch)) => {
                    self.counts.add_records(batch.num_rows() as u64);
                    return Some(Ok(batch));
                }
                Ok(Err(error)) => self.error = Some(error),
                Err(_) => {}
            }
        }
        let received = Python::try_attach(|py| self.receive(py));
        received.unwrap_or_else(|| {
            self.close(false);
            None
        })
    }

    fn receive(&mut self, py: Python<'_>) -> Option<Attempt<RecordBatch>> {
        // In a thread of polars, the wait itself sees no signals.
        let watches = self.home.is_none() && !interrupts::is_main_thread();
        let before = self.interrupts;
        let (receiver, run, error) = (&mut self.receiver, &self.run, self.error.take());
        let next = async { if error.is_some() { error.map(Err) } else { receiver.recv().await } };
        let next = wait(py, next, |py| {
            if watches && interrupts::count() != before {
                return Err(PyKeyboardInterrupt::new_err(()).into());
            }
            Ok(run.call_method0(py, "tick").map(drop)?)
        });
        self.last_tick = Instant::now();
        let ended = match next {
            Ok(Some(Ok(batch))) => {
                self.counts.add_records(batch.num_rows() as u64);
                return Some(Ok(batch));
            }
            Ok(None) => self.outcome.result().map_err(Failure::from),
            Ok(Some(Err(error))) => Err(Failure::from(error)),
            Err(failure) => Err(failure),
        };
        self.close(ended.is_ok() && self.outcome.finished.load(Ordering::Acquire));
        let ended = ended.map_err(PyErr::from);
        if let Err(error) = &ended {
            self.report.get().set_error(error.value(py).clone().into_any().unbind());
        }
        // A warning may be an error, by the filters of the module `warnings`.
        let ended = ended.and_then(|()| self.run.call_method0(py, "finish").map(drop));
        if ended.is_err() {
            self.run.call_method0(py, "close").ok();
        }
        ended.err().map(|error| Err(Failure::Python(error)))
    }

    /// As [`Feed::next`], in a thread of the consumer. It never waits for the interpreter, which the main thread may hold
    /// while it waits for this thread: DuckDB does when it ends a query early. Returns the text of an error.
    fn next_elsewhere(&mut self) -> Option<Result<RecordBatch, String>> {
        if self.ended {
            return None;
        }
        let next = match self.error.take() {
            Some(error) => Next::Failed(error),
            None => self.wait_for_signals_too(),
        };
        let error = match next {
            Next::Batch(batch) => {
                self.counts.add_records(batch.num_rows() as u64);
                return Some(Ok(batch));
            }
            Next::Interrupted => {
                self.close(false);
                return Some(Err("KeyboardInterrupt".to_owned()));
            }
            Next::Failed(error) => Some(error),
            Next::End => self.outcome.result().err(),
        };
        self.close(error.is_none() && self.outcome.finished.load(Ordering::Acquire));
        if let Some(error) = error {
            let text = errors::text_of(&error);
            self.report.get().set_library_error(error);
            return Some(Err(text));
        }
        if !self.has_something_to_tell() {
            return None;
        }
        let finished = Python::try_attach(|py| {
            let finished = self.run.call_method0(py, "finish");
            finished.err().map(|error| errors::text(py, &error))
        });
        finished.flatten().map(Err)
    }

    /// Waits for the next batch, or for Ctrl-C.
    fn wait_for_signals_too(&mut self) -> Next {
        let Ok(runtime) = runtime() else { return Next::Interrupted };
        loop {
            match runtime.block_on(async { timeout(TICK, self.receiver.recv()).await }) {
                Ok(Some(Ok(batch))) => return Next::Batch(batch),
                Ok(Some(Err(error))) => return Next::Failed(error),
                Ok(None) => return Next::End,
                Err(_) if interrupts::count() != self.interrupts => return Next::Interrupted,
                Err(_) => {}
            }
        }
    }

    /// Whether the end has to be told: failures by a warning, progress by the end of its bar.
    fn has_something_to_tell(&self) -> bool {
        self.shows_progress || self.counts.failed() > 0
    }

    fn close(&mut self, complete: bool) {
        self.ended = true;
        self.task.abort();
        self.receiver.close();
        self.counts.end(complete);
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        if !self.ended {
            self.close(false);
            if self.is_at_home() {
                Python::try_attach(|py| self.run.call_method0(py, "close").ok());
            }
        }
    }
}

/// A stream for the C interface of Arrow, which carries errors as texts.
struct StreamReader {
    schema: SchemaRef,
    feed: Owned<Feed>,
}

impl Iterator for StreamReader {
    type Item = Result<RecordBatch, ArrowError>;

    fn next(&mut self) -> Option<Self::Item> {
        let item = match self.feed.get_mut() {
            Ok(feed) if feed.is_at_home() => feed.next()?.map_err(text_of_failure),
            Ok(feed) => feed.next_elsewhere()?,
            Err(failure) => Err(text_of_failure(failure)),
        };
        Some(item.map_err(|text| ArrowError::ExternalError(text.into())))
    }
}

fn text_of_failure(failure: Failure) -> String {
    Python::attach(|py| errors::text(py, &PyErr::from(failure)))
}

impl RecordBatchReader for StreamReader {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }
}

/// A flow that runs, and the batches that come from it.
#[pyclass(frozen, module = "streetflow")]
pub(crate) struct Reader {
    schema: SchemaRef,
    /// `None` after the stream was handed over or closed.
    feed: Mutex<Option<Owned<Feed>>>,
    task: Owned<tokio::task::AbortHandle>,
    outcome: Arc<Outcome>,
}

impl Reader {
    /// Starts the flow.
    pub(crate) fn start(
        py: Python<'_>,
        schema: SchemaRef,
        mut batches: Batches,
        report: Py<Report>,
        run: Py<PyAny>,
    ) -> Attempt<Self> {
        let home = interrupts::listen(py)?.then(|| thread::current().id());
        let shows_progress = !run.getattr(py, "bar")?.is_none(py);
        let counts = Arc::clone(&report.get().counts);
        counts.start();
        let (sender, receiver) = mpsc::channel(MAX_WAITING);
        let outcome = Arc::<Outcome>::default();
        let done = Arc::clone(&outcome);
        let task = runtime()?.spawn(async move {
            // A place is reserved first, so that no batch is requested that nobody takes.
            while let Ok(place) = sender.reserve().await {
                let Some(batch) = batches.next().await else {
                    done.finished.store(true, Ordering::Release);
                    break;
                };
                place.send(batch);
            }
        });
        let abort = task.abort_handle();
        let feed = Feed {
            receiver,
            task,
            outcome: Arc::clone(&outcome),
            report,
            counts,
            run,
            last_tick: Instant::now(),
            error: None,
            ended: false,
            shows_progress,
            home,
            interrupts: interrupts::count(),
        };
        Ok(Self { schema, feed: Mutex::new(Some(Owned::new(feed))), task: Owned::new(abort), outcome })
    }

    fn take(&self) -> Option<Owned<Feed>> {
        self.feed.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

#[pymethods]
impl Reader {
    /// Returns the next batch, or None at the end.
    fn read(&self, py: Python<'_>) -> PyResult<Option<Batch>> {
        // The lock is not held while Python code runs: another thread may close the reader.
        let Some(mut feed) = self.take() else { return Ok(None) };
        let next = py.detach(|| feed.get_mut().map(Feed::next));
        match next? {
            Some(Ok(batch)) => {
                self.feed.lock().unwrap_or_else(PoisonError::into_inner).replace(feed);
                Ok(Some(Batch(batch)))
            }
            Some(Err(failure)) => Err(failure.into()),
            None => Ok(None),
        }
    }

    /// Reads all batches.
    fn collect(&self, py: Python<'_>) -> PyResult<Collected> {
        let mut batches = Vec::new();
        while let Some(batch) = self.read(py)? {
            batches.push(batch.0);
        }
        Ok(Collected { schema: Arc::clone(&self.schema), batches: batches.into() })
    }

    /// Hands the stream over to a consumer.
    fn capsule<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyCapsule>>> {
        let Some(feed) = self.take() else { return Ok(None) };
        stream_capsule(py, StreamReader { schema: Arc::clone(&self.schema), feed }).map(Some)
    }

    /// The schema.
    fn schema<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyCapsule>> {
        schema_capsule(py, &self.schema)
    }

    /// Ends the flow and its requests. A thread that waits for a batch ends too.
    fn close(&self) {
        if let Ok(task) = self.task.get() {
            self.outcome.closed.store(true, Ordering::Release);
            task.abort();
        }
        drop(self.take());
    }
}
