//! The counts of one flow.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use futures::{StreamExt, future, stream};

use crate::errors::kind_name;
use streetflow::{Error, ErrorKind, RecordStream, Tally};

/// The number of failures that are kept with their reasons. Further ones are counted only.
const MAX_FAILURES: usize = 1000;

/// What happened to one sequence or image.
#[derive(Clone)]
pub(crate) struct Item {
    pub(crate) subject: String,
    pub(crate) kind: &'static str,
    pub(crate) message: String,
}

/// The counts of one flow.
#[derive(Default)]
pub(crate) struct Counts {
    pub(crate) records: AtomicU64,
    pub(crate) gone: AtomicU64,
    pub(crate) failed: AtomicU64,
    /// Pictures that existed already.
    pub(crate) existing: AtomicU64,
    pub(crate) ended: AtomicBool,
    pub(crate) complete: AtomicBool,
    pub(crate) started: OnceLock<Instant>,
    pub(crate) elapsed: OnceLock<Duration>,
    pub(crate) items: Mutex<Vec<Item>>,
    /// The counts of all flows of the client.
    tally: Arc<Tally>,
    /// What other flows of the client had filtered before this one.
    filtered_before: u64,
}

impl Counts {
    pub(crate) fn new(tally: &Arc<Tally>) -> Self {
        Self { tally: Arc::clone(tally), filtered_before: tally.filtered(), ..Self::default() }
    }

    /// Images and sequences that filters dropped, in all flows of the client since this one began.
    pub(crate) fn filtered(&self) -> u64 {
        self.tally.filtered().saturating_sub(self.filtered_before)
    }

    pub(crate) fn start(&self) {
        self.started.get_or_init(Instant::now);
    }

    /// Sets the end. `complete` is false after an error and if the stream was closed early.
    pub(crate) fn end(&self, complete: bool) {
        if !self.ended.swap(true, Ordering::Relaxed) {
            self.complete.store(complete, Ordering::Relaxed);
            self.elapsed.get_or_init(|| self.started.get().map_or(Duration::ZERO, Instant::elapsed));
        }
    }

    pub(crate) fn add_records(&self, more: u64) {
        self.records.fetch_add(more, Ordering::Relaxed);
    }

    pub(crate) fn add_existing(&self, more: u64) {
        self.existing.fetch_add(more, Ordering::Relaxed);
    }

    /// Sets the counts of pictures at the end of a download.
    pub(crate) fn set_pictures(&self, written: u64, existing: u64) {
        self.records.store(written, Ordering::Relaxed);
        self.existing.store(existing, Ordering::Relaxed);
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Relaxed)
    }

    pub(crate) fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }

    /// Counts a failed record, unless it ends the flow.
    pub(crate) fn add_failure(&self, error: &Error) {
        let counter = match error.kind() {
            ErrorKind::Gone => &self.gone,
            kind if kind.is_fatal() => return,
            _ => &self.failed,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        let mut items = self.items.lock().unwrap_or_else(PoisonError::into_inner);
        if items.len() < MAX_FAILURES {
            items.push(Item {
                subject: error.id().into_owned(),
                kind: kind_name(error.kind()),
                message: error.chain(),
            });
        }
    }

    /// Returns a stage that ends in an error if there was no record, nothing was filtered, and some failed.
    pub(crate) fn refuse_nothing<T: Send + 'static>(
        self: &Arc<Self>,
    ) -> impl FnOnce(RecordStream<T>) -> RecordStream<T> + use<T> {
        let counts = Arc::clone(self);
        move |records| {
            let is_empty = Arc::new(AtomicBool::new(true));
            let seen = Arc::clone(&is_empty);
            let end = async move {
                let failed = counts.failed();
                let is_nothing = is_empty.load(Ordering::Relaxed) && failed > 0 && counts.filtered() == 0;
                is_nothing.then(|| Err(counts.all_failed(failed)))
            };
            let records = records.inspect(move |_| seen.store(false, Ordering::Relaxed));
            records.chain(stream::once(end).filter_map(future::ready)).boxed()
        }
    }

    fn all_failed(&self, failed: u64) -> Error {
        let items = self.items.lock().unwrap_or_else(PoisonError::into_inner);
        let first = items.iter().find(|item| item.kind != kind_name(ErrorKind::Gone));
        let first = first.map(|item| format!("; the first: {}", item.message)).unwrap_or_default();
        Error::new(ErrorKind::Unavailable, "get any records")
            .with_source(format!("none were received, {failed} failed{first}"))
            .with_hint("check the network connection; `.report.failures` lists what failed")
    }

    /// Returns a stage that counts failed records.
    pub(crate) fn watch<T: Send + 'static>(
        self: &Arc<Self>,
    ) -> impl FnOnce(RecordStream<T>) -> RecordStream<T> + use<T> {
        let counts = Arc::clone(self);
        move |records| {
            records
                .inspect(move |record| {
                    if let Err(error) = record {
                        counts.add_failure(error);
                    }
                })
                .boxed()
        }
    }
}
