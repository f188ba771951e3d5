//! A run of which nothing came, and the good tables that it must not replace.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;

use futures::StreamExt;
use tokio_util::sync::CancellationToken;

use crate::progress::screen::Screen;
use streetflow::{Error, ErrorKind, RecordStream};

/// The tables where those of this run go that have rows.
#[derive(Debug, Default)]
pub(crate) struct FullTables {
    pub(crate) paths: Vec<PathBuf>,
    /// What filters left out counts as found: the table that was read still has it.
    pub(crate) filters_find: bool,
    /// The run came to its end, found nothing, and left them alone.
    pub(crate) nothing_found: AtomicBool,
}

/// A run that failed altogether, found nothing, or was stopped before anything came, must not put empty tables in the
/// place of good ones; `full` are the tables there that have rows.
pub(crate) fn refuse_nothing<T: Send + 'static>(
    records: RecordStream<T>,
    screen: Arc<Screen>,
    stop: Option<CancellationToken>,
    full: Arc<FullTables>,
) -> RecordStream<T> {
    let (mut records, mut any) = (Some(records), false);
    let whole = futures::stream::poll_fn(move |cx| {
        let Some(open) = &mut records else { return Poll::Ready(None) };
        let next = open.poll_next_unpin(cx);
        if !matches!(next, Poll::Ready(None)) {
            any |= next.is_ready();
            return next;
        }
        records = None;
        if any {
            return Poll::Ready(None);
        }
        // What a filter left out did come.
        let failed = if screen.left_out() { 0 } else { screen.failed() };
        let why = why_nothing(stop.as_ref(), failed).or_else(|| {
            let is_found = full.filters_find && screen.left_out();
            let kept = full.paths.first().filter(|_| !is_found).map(|path| nothing_found(path));
            kept.inspect(|_| full.nothing_found.store(true, Ordering::Relaxed))
        });
        Poll::Ready(why.map(Err))
    });
    whole.boxed()
}

/// Nothing at all is a result too, unless the run was stopped or something failed.
fn why_nothing(stop: Option<&CancellationToken>, failed: u64) -> Option<Error> {
    if stop.is_some_and(CancellationToken::is_cancelled) {
        let error = Error::new(ErrorKind::Interrupted, "finish")
            .with_source("the run was stopped before anything came");
        return Some(
            error.with_hint("the tables are left as they were; the same command goes on from what is there"),
        );
    }
    let error = Error::new(ErrorKind::Unavailable, "get anything")
        .with_source(format!("nothing came, and {failed} failed"));
    (failed > 0).then(|| error.with_hint("the warnings above say why; the files are left as they were"))
}

/// A run that found nothing leaves tables with rows as they are.
fn nothing_found(table: &Path) -> Error {
    Error::new(ErrorKind::Io, "replace the table")
        .with_subject(table.display().to_string())
        .with_source("nothing was found, and it has rows; the tables are left as they were")
        .with_hint(
            "check the area (longitude comes first), the owner, the dates and other filters, or the table that was read; \
             if there is nothing indeed, name another folder with `--output`, or remove the tables",
        )
}
