//! The channel from a thread that reads a table to the stream of its records.

use std::panic::{self, AssertUnwindSafe};
use std::task::{Context, Poll, ready};

use futures::StreamExt;
use tokio::sync::mpsc;

use super::RecordStream;
use super::messages::TableInfo;
use super::rounded_ids::RoundedIds;
use crate::error::{Error, Result};
use crate::record::Record;

/// Largest batch. Batches start small, so that the first record arrives at once.
const MAX_BATCH_LEN: usize = 512;

/// Batches that may wait in the channel.
const PREFETCH: usize = if cfg!(fuzzing) { 64 } else { 4 };

/// Records sent together. Records that were taken are `None`.
type Batch<T> = Vec<Option<Result<T>>>;

/// The sender in the reading thread.
pub(super) struct BatchSender<T: Record> {
    table: TableInfo,
    batches: mpsc::Sender<Batch<T>>,
    /// Emptied batches: reusing their memory is faster than allocating it.
    empties: mpsc::Receiver<Batch<T>>,
    batch: Batch<T>,
    size: usize,
    /// Whether the last record of the batch is incomplete.
    filling: bool,
    /// Holds back the first records until their ids are checked.
    ids: RoundedIds<T>,
    ended: bool,
}

impl<T: Record> BatchSender<T> {
    /// Sends an item. Returns false if the receiver is closed or the item was a fatal error.
    pub(super) fn push(&mut self, item: Result<T>) -> bool {
        self.batch.push(Some(item));
        self.after_push()
    }

    /// Sends a record, filled in place because it is large, or the error of `fill`.
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
        self.after_push()
    }

    /// Sends an error instead of the record that was being filled.
    fn abort(&mut self, error: Error) {
        if self.filling {
            self.batch.pop();
        }
        self.push(Err(error));
    }

    fn after_push(&mut self) -> bool {
        let is_last =
            |item: Option<&Option<Result<T>>>| matches!(item, Some(Some(Err(error))) if error.is_fatal());
        let was_last = is_last(self.batch.last());
        let was_holding = self.ids.is_holding();
        let rejected = if was_last { self.ids.stop(&self.table) } else { self.ids.check_ids(&self.table) };
        if let Some(rejected) = rejected {
            self.reject(rejected, was_holding);
        }
        let last = is_last(self.batch.last());
        if !last && (self.ids.is_holding() || self.batch.len() < self.size) {
            return true;
        }
        self.ended = last;
        self.size = (self.size * 2).min(MAX_BATCH_LEN);
        self.send_batch() && !last
    }

    /// Replaces the records held back by an error, or adds it behind records that were not.
    fn reject(&mut self, error: Error, was_holding: bool) {
        if was_holding {
            self.batch.clear();
        }
        self.batch.push(Some(Err(error)));
    }

    /// Under a fuzzer there is no thread, so reading ends when the channel is full.
    fn send_batch(&mut self) -> bool {
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
        // No warnings if the receiver is closed.
        if !self.ended
            && !self.batches.is_closed()
            && let Some(rejected) = self.ids.finish(&self.table)
        {
            self.reject(rejected, was_holding);
        }
        if !self.batch.is_empty() {
            self.send_batch();
        }
    }
}

/// The receiver of the batches.
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
            // The channel has space for all batches in flight. If it is full, the thread has ended.
            self.empties.try_send(empty).ok();
        }
    }
}

/// A stream filled by a thread. The thread starts with the first poll and ends when the stream is dropped.
pub(super) fn from_thread<T: Record>(
    table: TableInfo,
    read: impl FnOnce(&mut BatchSender<T>) + Send + 'static,
) -> RecordStream<T> {
    let begin = move || {
        let (batches, receiver) = mpsc::channel(PREFETCH);
        let (empties_sender, empties) = mpsc::channel(PREFETCH + 2);
        let error_sender = batches.clone();
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
            // A panic of a decoder must not look like the end of the file.
            let read = panic::catch_unwind(AssertUnwindSafe(|| read(&mut sender)));
            if read.is_err() {
                sender.abort(table.error("the reader stopped: the file is damaged"));
            }
        };
        if cfg!(fuzzing) {
            work();
        } else {
            let reading = std::thread::Builder::new().name("read".to_owned()).spawn(work);
            if let Err(error) = reading {
                error_sender.try_send(vec![Some(Err(Error::thread_refused(error)))]).ok();
            }
        }
        BatchReceiver { batches: receiver, empties: empties_sender, batch: Vec::new(), next: 0 }
    };
    let (mut begin, mut receiver) = (Some(begin), None);
    futures::stream::poll_fn(move |context| {
        if let Some(begin) = begin.take() {
            receiver = Some(begin());
        }
        receiver.as_mut().map_or(Poll::Ready(None), |receiver| receiver.poll(context))
    })
    .boxed()
}
