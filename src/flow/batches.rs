//! A flow as a stream of Arrow record batches.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use arrow_array::RecordBatch;
use futures::stream::{Stream, StreamExt};
use futures::{FutureExt, future::BoxFuture};
use tokio::runtime::Handle;
use tokio::time::Instant;

use super::Flow;
use crate::arrow::{builder, finish};
use crate::error::{Error, ErrorKind, Result};
use crate::record::Record;
use crate::record::arrow::Batches;
use crate::sinks::Layout;

/// A batch is closed when its first record has waited this long for others.
const MAX_WAIT: Duration = Duration::from_secs(1);

/// Rows after which the clock is read while the flow does not wait.
const ROWS_PER_LOOK: usize = 16;

/// The batches of a flow.
pub(super) struct IntoBatches<T: 'static> {
    /// `None` after the end.
    flow: Option<Flow<T>>,
    batches: Batches<T>,
    rows: usize,
    /// When the first record of the batch arrived.
    since: Instant,
    deadline: Option<BoxFuture<'static, ()>>,
    /// The error that ended the flow, behind the records before it.
    error: Option<Error>,
}

impl<T: Record> IntoBatches<T> {
    pub(super) fn new(flow: Flow<T>, layout: &Layout, rows: usize) -> Self {
        Self {
            flow: Some(flow),
            batches: builder(layout),
            rows: rows.max(1),
            since: Instant::now(),
            deadline: None,
            error: None,
        }
    }

    fn push(&mut self, record: &T) {
        if self.batches.len() == 0 {
            self.since = Instant::now();
            self.deadline = None;
        }
        self.batches.push(record);
    }

    /// Adds records until the batch is complete, or pending if more may be added.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while let Some(flow) = &mut self.flow {
            match flow.poll_next_unpin(cx) {
                Poll::Ready(Some(Ok(record))) => {
                    self.push(&record);
                    if self.batches.len() >= self.rows || self.batches.is_full() || self.is_late() {
                        break;
                    }
                }
                Poll::Ready(Some(Err(error))) if error.kind() == ErrorKind::Gone => {}
                Poll::Ready(end) => {
                    self.error = end.and_then(Result::err);
                    self.flow = None;
                }
                Poll::Pending => {
                    ready!(self.poll_deadline(cx));
                    break;
                }
            }
        }
        Poll::Ready(())
    }

    /// Whether the batch is old enough, of a source that is always ready. Looks at the clock now and then.
    fn is_late(&self) -> bool {
        self.batches.len().is_multiple_of(ROWS_PER_LOOK) && self.since.elapsed() >= MAX_WAIT
    }

    /// Waits until the batch is old enough. Without records, or without a timer, it waits for more.
    fn poll_deadline(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.batches.len() == 0 || Handle::try_current().is_err() {
            return Poll::Pending;
        }
        let at = self.since + MAX_WAIT;
        self.deadline.get_or_insert_with(|| tokio::time::sleep_until(at).boxed()).poll_unpin(cx)
    }
}

impl<T> Unpin for IntoBatches<T> {}

impl<T: Record> Stream for IntoBatches<T> {
    type Item = Result<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        ready!(self.poll_fill(cx));
        Poll::Ready(if self.batches.len() > 0 {
            Some(finish(&mut self.batches))
        } else {
            self.error.take().map(Err)
        })
    }
}
