//! Ending a stream early, but successfully.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures::FutureExt;
use futures::future::BoxFuture;
use futures::stream::{Stream, StreamExt};

use crate::error::{ErrorKind, Result};
use crate::sources::RecordStream;

/// The records until the signal is ready. `stopped` is called if that happens before the end of the stream.
pub(super) fn stoppable<T: Send + 'static>(
    records: RecordStream<T>,
    signal: BoxFuture<'static, ()>,
    stopped: impl Fn() + Send + 'static,
) -> RecordStream<T> {
    Until { records: Some(records), signal, stopped: Box::new(stopped) }.boxed()
}

struct Until<T> {
    /// `None` after the end.
    records: Option<RecordStream<T>>,
    signal: BoxFuture<'static, ()>,
    stopped: Box<dyn Fn() + Send>,
}

impl<T> Until<T> {
    /// Whether the signal is ready. If so, drops the stream.
    fn stop(&mut self, cx: &mut Context<'_>) -> bool {
        let stop = self.signal.poll_unpin(cx).is_ready();
        if stop {
            self.records = None;
            (self.stopped)();
        }
        stop
    }
}

impl<T> Stream for Until<T> {
    type Item = Result<T>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.records.is_none() || self.stop(cx) {
            return Poll::Ready(None);
        }
        let Some(records) = &mut self.records else { return Poll::Ready(None) };
        let next = records.poll_next_unpin(cx);
        match &next {
            // The signal became ready while this item was made: the error is a consequence of it, not a failure.
            Poll::Ready(Some(Err(error))) if error.kind() == ErrorKind::Interrupted && self.stop(cx) => {
                return Poll::Ready(None);
            }
            Poll::Ready(None) => self.records = None,
            _ => {}
        }
        next
    }
}
