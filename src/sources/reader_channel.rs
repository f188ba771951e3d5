//! The way from a thread that reads a table to the stream of its records.

use std::panic::{self, AssertUnwindSafe};
use std::task::{Context, Poll, ready};

use futures::StreamExt;
use tokio::sync::mpsc;

use super::RecordStream;
use super::messages::TableInfo;
use super::rounded_ids::RoundedIds;
use crate::error::{Error, Result};
use crate::record::Record;

/// The largest hand-over from a reading thread; the first are small, so that the first record comes at once.
const MAX_BATCH_LEN: usize = 512;

/// How many hand-overs may wait.
const PREFETCH: usize = if cfg!(fuzzing) { 64 } else { 4 };

/// Records that are handed over together; those that were taken leave their place empty.
type Batch<T> = Vec<Option<Result<T>>>;

/// The way from a reading thread to the stream.
pub(super) struct BatchSender<T: Record> {
    table: TableInfo,
    batches: mpsc::Sender<Batch<T>>,
    /// Batches that were emptied: so large a piece of memory is better used again than asked for again.
    empties: mpsc::Receiver<Batch<T>>,
    batch: Batch<T>,
    size: usize,
    /// Whether the last of the batch is not a whole record yet.
    filling: bool,
    /// Holds the first records back until their ids are known to be whole.
    ids: RoundedIds<T>,
    ended: bool,
}

impl<T: Record> BatchSender<T> {
    /// Hands an item over; false if nobody wants more, or it was the last by its own word.
    pub(super) fn push(&mut self, item: Result<T>) -> bool {
        self.batch.push(Some(item));
        self.pushed()
    }

    /// Hands a record over that is filled where it stands, for it is large; or the error that came of it.
    pub(super) fn fill(&mut self, fill: impl FnOnce(&mut T) -> Result<()>) -> bool {
        self.batch.push(Some(Ok(T::default())));
        let Some(Some(Ok(record))) = self.batch.last_mut() else { return false };
        self.filling = true;
        let filled = fill(record);
        self.filling = false;
        if filled.is_ok() {
            self.ids.observe(record);
        }
        if let Err(error) = filled {
            self.ids.observe_error(&error);
            self.batch.pop();
            self.batch.push(Some(Err(error)));
        }
        self.pushed()
    }

    /// Says why reading came to a halt, whatever it was at.
    fn abort(&mut self, error: Error) {
        if self.filling {
            self.batch.pop();
        }
        self.push(Err(error));
    }

    fn pushed(&mut self) -> bool {
        let is_last =
            |item: Option<&Option<Result<T>>>| matches!(item, Some(Some(Err(error))) if error.is_fatal());
        let was_last = is_last(self.batch.last());
        let was_holding = self.ids.is_holding();
        let refused = if was_last { self.ids.break_off(&self.table) } else { self.ids.judge(&self.table) };
        if let Some(refused) = refused {
            self.refuse(refused, was_holding);
        }
        let last = is_last(self.batch.last());
        if !last && (self.ids.is_holding() || self.batch.len() < self.size) {
            return true;
        }
        self.ended = last;
        self.size = (self.size * 2).min(MAX_BATCH_LEN);
        self.hand_over() && !last
    }

    /// Puts an error in place of the records that were held back, or behind those that were not.
    fn refuse(&mut self, error: Error, was_holding: bool) {
        if was_holding {
            self.batch.clear();
        }
        self.batch.push(Some(Err(error)));
    }

    /// Threads would take most of a fuzzer's time, so there reading ends where the hand-overs find no more room.
    fn hand_over(&mut self) -> bool {
        let empty = self.empties.try_recv().unwrap_or_default();
        let batch = std::mem::replace(&mut self.batch, empty);
        self.batch.reserve(self.size);
        if cfg!(fuzzing) {
            self.batches.try_send(batch).is_ok()
        } else {
            self.batches.blocking_send(batch).is_ok()
        }
    }
}

impl<T: Record> Drop for BatchSender<T> {
    fn drop(&mut self) {
        let was_holding = self.ids.is_holding();
        // Who does not listen any more is not warned either.
        if !self.ended
            && !self.batches.is_closed()
            && let Some(refused) = self.ids.finish(&self.table)
        {
            self.refuse(refused, was_holding);
        }
        if !self.batch.is_empty() {
            self.hand_over();
        }
    }
}

/// The other end of a lane.
struct BatchReceiver<T> {
    batches: mpsc::Receiver<Batch<T>>,
    empties: mpsc::Sender<Batch<T>>,
    batch: Batch<T>,
    next: usize,
}

impl<T> BatchReceiver<T> {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<T>>> {
        loop {
            if let Some(item) = self.batch.get_mut(self.next) {
                self.next += 1;
                return Poll::Ready(item.take());
            }
            let Some(batch) = ready!(self.batches.poll_recv(context)) else { return Poll::Ready(None) };
            let mut empty = std::mem::replace(&mut self.batch, batch);
            self.next = 0;
            empty.clear();
            // With room for all that are under way; if there is none, nobody reads any more.
            self.empties.try_send(empty).ok();
        }
    }
}

/// A stream that a thread fills; it begins with the first poll and ends when nobody listens any more.
pub(super) fn from_thread<T: Record>(
    table: TableInfo,
    read: impl FnOnce(&mut BatchSender<T>) + Send + 'static,
) -> RecordStream<T> {
    let begin = move || {
        let (batches, inbox) = mpsc::channel(PREFETCH);
        let (give_back, empties) = mpsc::channel(PREFETCH + 2);
        let refused = batches.clone();
        let work = move || {
            let mut sender = BatchSender {
                table: table.clone(),
                batches,
                empties,
                batch: Vec::new(),
                size: 1,
                filling: false,
                ids: RoundedIds::new(table.id_check.clone()),
                ended: false,
            };
            // A decoder that gives up on a damaged file must not look like the end of a whole one.
            let read = panic::catch_unwind(AssertUnwindSafe(|| read(&mut sender)));
            if read.is_err() {
                sender.abort(table.error("reading it came to a halt: the file is damaged"));
            }
        };
        if cfg!(fuzzing) {
            work();
        } else {
            let reading = std::thread::Builder::new().name("read".to_owned()).spawn(work);
            if let Err(error) = reading {
                refused.try_send(vec![Some(Err(Error::thread_refused(error)))]).ok();
            }
        }
        BatchReceiver { batches: inbox, empties: give_back, batch: Vec::new(), next: 0 }
    };
    let (mut begin, mut inbox) = (Some(begin), None);
    futures::stream::poll_fn(move |context| {
        if let Some(begin) = begin.take() {
            inbox = Some(begin());
        }
        inbox.as_mut().map_or(Poll::Ready(None), |inbox| inbox.poll(context))
    })
    .boxed()
}
