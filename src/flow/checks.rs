//! Checks on single records. All checks of a flow are one layer of its stream, because each layer moves every record,
//! and a metadata record has about 700 bytes.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures::stream::{Stream, StreamExt};

use crate::error::Result;
use crate::sources::RecordStream;

/// Inspects an item; returns false to drop it.
type Check<T> = Box<dyn FnMut(&mut Result<T>) -> bool + Send>;

/// A stream of the items that pass all checks. A check sees only the items that passed the checks before it.
pub(super) struct Checked<T> {
    records: RecordStream<T>,
    checks: Vec<Check<T>>,
}

impl<T: Send + 'static> Checked<T> {
    pub(super) fn new(records: RecordStream<T>) -> Self {
        Self { records, checks: Vec::new() }
    }

    pub(super) fn push(&mut self, check: impl FnMut(&mut Result<T>) -> bool + Send + 'static) {
        self.checks.push(Box::new(check));
    }

    pub(super) fn into_stream(self) -> RecordStream<T> {
        if self.checks.is_empty() { self.records } else { self.boxed() }
    }
}

impl<T> Stream for Checked<T> {
    type Item = Result<T>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<T>>> {
        let this = &mut *self;
        loop {
            let mut next = this.records.poll_next_unpin(cx);
            if let Poll::Ready(Some(item)) = &mut next
                && !this.checks.iter_mut().all(|check| check(item))
            {
                continue;
            }
            return next;
        }
    }
}
