//! Protects existing tables from a run without records.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;

use futures::StreamExt;
use tokio_util::sync::CancellationToken;

use super::monitor::Monitor;
use streetflow::{Error, ErrorKind, RecordStream};

/// The existing tables that a run without records must not replace.
#[derive(Debug, Default)]
pub(crate) struct EmptyResultGuard {
    /// Tables with rows.
    tables: Vec<PathBuf>,
    /// Filtered records count as found: the table that was read still contains them.
    counts_filtered: bool,
    /// A stopped run keeps the tables, even if it found records.
    keeps_on_stop: bool,
    found_nothing: AtomicBool,
}

impl EmptyResultGuard {
    pub(super) fn new(tables: Vec<PathBuf>, counts_filtered: bool, keeps_on_stop: bool) -> Self {
        Self { tables, counts_filtered, keeps_on_stop, found_nothing: AtomicBool::new(false) }
    }

    /// Whether the run was complete, found nothing, and left the tables unchanged.
    pub(super) fn found_nothing(&self) -> bool {
        self.found_nothing.load(Ordering::Relaxed)
    }

    /// Ends a stream without records with an error if the run failed, was stopped, or would replace tables with rows.
    pub(super) fn guard<T: Send + 'static>(
        self: Arc<Self>,
        records: RecordStream<T>,
        monitor: Arc<Monitor>,
        stop: Option<CancellationToken>,
    ) -> RecordStream<T> {
        let (mut records, mut any) = (Some(records), false);
        let guarded = futures::stream::poll_fn(move |cx| {
            let Some(open) = &mut records else { return Poll::Ready(None) };
            let next = open.poll_next_unpin(cx);
            if !matches!(next, Poll::Ready(None)) {
                any |= next.is_ready();
                return next;
            }
            records = None;
            if any && self.keeps_on_stop && stop.as_ref().is_some_and(CancellationToken::is_cancelled) {
                return Poll::Ready(Some(Err(update_stopped())));
            }
            if any {
                return Poll::Ready(None);
            }
            Poll::Ready(self.error_without_records(&monitor, stop.as_ref()).map(Err))
        });
        guarded.boxed()
    }

    fn error_without_records(&self, monitor: &Monitor, stop: Option<&CancellationToken>) -> Option<Error> {
        let has_filtered = monitor.stats.has_filtered();
        if stop.is_some_and(CancellationToken::is_cancelled) {
            return Some(stopped());
        }
        // Filtered records did arrive.
        if !has_filtered && monitor.stats.failed() > 0 {
            return Some(all_failed(monitor.stats.failed()));
        }
        if self.counts_filtered && has_filtered {
            return None;
        }
        let table = self.tables.first()?;
        self.found_nothing.store(true, Ordering::Relaxed);
        Some(nothing_found(table))
    }
}

fn stopped() -> Error {
    Error::new(ErrorKind::Interrupted, "finish")
        .with_source("the run was stopped before the first record")
        .with_hint("the tables are unchanged; run the same command again to resume")
}

fn update_stopped() -> Error {
    Error::new(ErrorKind::Interrupted, "finish the update")
        .with_source("the run was stopped")
        .with_hint("the tables are unchanged; run the same command again to resume")
}

fn all_failed(failed: u64) -> Error {
    Error::new(ErrorKind::Unavailable, "get any records")
        .with_source(format!("no records were received, {failed} failed"))
        .with_hint("see the warnings above; the files are unchanged")
}

fn nothing_found(table: &Path) -> Error {
    Error::new(ErrorKind::Io, "replace the table")
        .with_subject(table.display().to_string())
        .with_source("no records were found, and the table has rows; the tables are unchanged")
        .with_hint(
            "check the area (longitude comes first), the owner, the dates and other filters, or the table that was read; \
             if an empty result is correct, set another directory with `--output`, or remove the tables",
        )
}
