//! What looks at the records one by one, all of it in one layer of the stream: each layer would move every record
//! once more, and a record of metadata has some 700 bytes.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures::stream::{Stream, StreamExt};

use crate::error::Result;
use crate::sources::RecordStream;

/// Looks at an item; false leaves it out.
pub(super) type Gate<T> = Box<dyn FnMut(&mut Result<T>) -> bool + Send>;

/// The items that every gate lets pass; a gate sees only what those before it let pass.
pub(super) fn gated<T: Send + 'static>(records: RecordStream<T>, gates: Vec<Gate<T>>) -> RecordStream<T> {
    if gates.is_empty() { records } else { Gated { records, gates }.boxed() }
}

struct Gated<T> {
    records: RecordStream<T>,
    gates: Vec<Gate<T>>,
}

impl<T> Stream for Gated<T> {
    type Item = Result<T>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<T>>> {
        let this = &mut *self;
        loop {
            let mut next = this.records.poll_next_unpin(cx);
            if let Poll::Ready(Some(item)) = &mut next
                && !this.gates.iter_mut().all(|gate| gate(item))
            {
                continue;
            }
            return next;
        }
    }
}
