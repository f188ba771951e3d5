//! Ending a stream early, but successfully.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures::FutureExt;
use futures::future::BoxFuture;
use futures::stream::{Stream, StreamExt};

use crate::error::{Error, ErrorKind, Result};
use crate::sources::RecordStream;

/// Whether a record belongs to the group of the one before it. Called for each record.
pub(super) type Continues<T> = Box<dyn FnMut(&T) -> bool + Send>;

/// The records until the signal is ready, and with `continues` those that complete the last group. `stopped` is called if
/// the signal is ready before the end of the stream.
pub(super) fn stoppable<T: Send + 'static>(
    records: RecordStream<T>,
    signal: BoxFuture<'static, ()>,
    continues: Option<Continues<T>>,
    stopped: impl Fn() + Send + 'static,
) -> RecordStream<T> {
    let stopped = Box::new(stopped);
    Until { records: Some(records), signal, is_ready: false, continues, stopped }.boxed()
}

/// Tells records of the same key as the one before.
pub(super) fn same_key<T, K: PartialEq + Send + 'static>(
    key: impl Fn(&T) -> K + Send + 'static,
) -> Continues<T>
where
    T: 'static,
{
    let mut last = None;
    Box::new(move |record| {
        let key = Some(key(record));
        let continues = key == last;
        last = key;
        continues
    })
}

struct Until<T> {
    /// `None` after the end.
    records: Option<RecordStream<T>>,
    signal: BoxFuture<'static, ()>,
    /// The signal must not be polled again.
    is_ready: bool,
    continues: Option<Continues<T>>,
    stopped: Box<dyn Fn() + Send>,
}

impl<T> Until<T> {
    fn is_stopping(&mut self, cx: &mut Context<'_>) -> bool {
        self.is_ready = self.is_ready || self.signal.poll_unpin(cx).is_ready();
        self.is_ready
    }

    /// Drops the stream.
    fn stop(&mut self) -> Poll<Option<Result<T>>> {
        self.records = None;
        (self.stopped)();
        Poll::Ready(None)
    }
}

impl<T> Stream for Until<T> {
    type Item = Result<T>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.records.is_none() {
            return Poll::Ready(None);
        }
        let is_stopping = self.is_stopping(cx);
        if is_stopping && self.continues.is_none() {
            return self.stop();
        }
        let Some(records) = &mut self.records else { return Poll::Ready(None) };
        let next = records.poll_next_unpin(cx);
        let is_interrupted = |error: &Error| error.kind() == ErrorKind::Interrupted;
        let ends = match &next {
            Poll::Ready(Some(Ok(record))) => {
                let continues = self.continues.as_mut().is_some_and(|continues| continues(record));
                is_stopping && !continues
            }
            // If the signal became ready while this item was made, the error is a consequence of it, not a failure.
            Poll::Ready(Some(Err(error))) if is_interrupted(error) => self.is_stopping(cx),
            Poll::Ready(Some(Err(error))) => is_stopping && !error.is_fatal(),
            Poll::Ready(None) => {
                self.records = None;
                false
            }
            // The records of a group are ready at once.
            Poll::Pending => is_stopping,
        };
        if ends { self.stop() } else { next }
    }
}
