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

/// Largest batch of a stream of records.
const MAX_BATCH_LEN: usize = 512;

/// Records of a block.
pub(crate) const BLOCK_LEN: usize = 1024;

/// Batches that may wait in the channel.
pub(super) const PREFETCH: usize = if cfg!(fuzzing) { 64 } else { 4 };

/// Records sent together, in one of two forms.
pub(super) trait Batch<T>: Default + Send + 'static {
    /// Size of the first batch and of the largest. Batches start small, so that the first record arrives at once.
    const SIZES: (usize, usize);

    /// Adds an item.
    fn push(&mut self, item: Result<T>);

    /// Adds an empty record, to be filled in place.
    fn add(&mut self) -> Option<&mut T>;

    /// Removes the record that was added last.
    fn remove_last(&mut self);

    /// Number of items.
    fn len(&self) -> usize;

    fn clear(&mut self);

    fn reserve(&mut self, size: usize);

    /// Whether the last item ends the table.
    fn is_ended(&self) -> bool;
}

/// Items of a stream. Records that were taken are `None`.
type Items<T> = Vec<Option<Result<T>>>;

impl<T: Default + Send + 'static> Batch<T> for Items<T> {
    const SIZES: (usize, usize) = (1, MAX_BATCH_LEN);

    fn push(&mut self, item: Result<T>) {
        self.push(Some(item));
    }

    fn add(&mut self) -> Option<&mut T> {
        self.push(Some(Ok(T::default())));
        self.last_mut()?.as_mut()?.as_mut().ok()
    }

    fn remove_last(&mut self) {
        self.pop();
    }

    fn len(&self) -> usize {
        self.len()
    }

    fn clear(&mut self) {
        self.clear();
    }

    fn reserve(&mut self, size: usize) {
        self.reserve(size);
    }

    fn is_ended(&self) -> bool {
        matches!(self.last(), Some(Some(Err(error))) if error.is_fatal())
    }
}

/// Records side by side, for a sink that takes whole batches. The first error ends the table.
pub(super) struct Block<T> {
    pub(super) records: Vec<T>,
    pub(super) error: Option<Error>,
}

impl<T> Default for Block<T> {
    fn default() -> Self {
        Self { records: Vec::new(), error: None }
    }
}

impl<T: Default + Send + 'static> Batch<T> for Block<T> {
    // The size of the batches of a file sink, so that both ways write the same pages.
    const SIZES: (usize, usize) = (BLOCK_LEN, BLOCK_LEN);

    fn push(&mut self, item: Result<T>) {
        match item {
            Ok(record) => self.records.push(record),
            Err(error) => self.error = self.error.take().or(Some(error)),
        }
    }

    fn add(&mut self) -> Option<&mut T> {
        self.records.push(T::default());
        self.records.last_mut()
    }

    fn remove_last(&mut self) {
        self.records.pop();
    }

    fn len(&self) -> usize {
        self.records.len() + usize::from(self.error.is_some())
    }

    fn clear(&mut self) {
        *self = Self::default();
    }

    fn reserve(&mut self, size: usize) {
        self.records.reserve(size);
    }

    fn is_ended(&self) -> bool {
        self.error.is_some()
    }
}

/// The sender in the reading thread.
pub(super) struct BatchSender<T: Record, B: Batch<T>> {
    table: TableInfo,
    batches: mpsc::Sender<B>,
    /// Emptied batches: reusing their memory is faster than allocating it.
    empties: mpsc::Receiver<B>,
    batch: B,
    size: usize,
    /// Whether the last record of the batch is incomplete.
    filling: bool,
    /// Holds back the first records until their ids are checked.
    ids: RoundedIds<T>,
    ended: bool,
}

impl<T: Record, B: Batch<T>> BatchSender<T, B> {
    /// Sends an item. Returns false if the receiver is closed or the item was a fatal error.
    pub(super) fn push(&mut self, item: Result<T>) -> bool {
        self.batch.push(item);
        self.after_push()
    }

    /// Sends a record, filled in place because it is large, or the error of `fill`.
    pub(super) fn fill(&mut self, fill: impl FnOnce(&mut T) -> Result<()>) -> bool {
        let Some(record) = self.batch.add() else { return false };
        self.filling = true;
        let filled = fill(record);
        self.filling = false;
        if filled.is_ok() {
            self.ids.observe(record);
        }
        if let Err(error) = filled {
            self.ids.observe_error(&error);
            self.batch.remove_last();
            self.batch.push(Err(error));
        }
        self.after_push()
    }

    /// Sends an error instead of the record that was being filled.
    fn abort(&mut self, error: Error) {
        if self.filling {
            self.batch.remove_last();
        }
        self.push(Err(error));
    }

    fn after_push(&mut self) -> bool {
        let was_last = self.batch.is_ended();
        let was_holding = self.ids.is_holding();
        let rejected = if was_last { self.ids.stop(&self.table) } else { self.ids.check_ids(&self.table) };
        if let Some(rejected) = rejected {
            self.reject(rejected, was_holding);
        }
        let last = self.batch.is_ended();
        if !last && (self.ids.is_holding() || self.batch.len() < self.size) {
            return true;
        }
        self.ended = last;
        self.size = (self.size * 2).min(B::SIZES.1);
        self.send_batch() && !last
    }

    /// Replaces the records held back by an error, or adds it behind records that were not.
    fn reject(&mut self, error: Error, was_holding: bool) {
        if was_holding {
            self.batch.clear();
        }
        self.batch.push(Err(error));
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

impl<T: Record, B: Batch<T>> Drop for BatchSender<T, B> {
    fn drop(&mut self) {
        let was_holding = self.ids.is_holding();
        // No warnings if the receiver is closed.
        if !self.ended
            && !self.batches.is_closed()
            && let Some(rejected) = self.ids.finish(&self.table)
        {
            self.reject(rejected, was_holding);
        }
        if self.batch.len() > 0 {
            self.send_batch();
        }
    }
}

/// The receiver of the batches.
struct BatchReceiver<T> {
    batches: mpsc::Receiver<Items<T>>,
    empties: mpsc::Sender<Items<T>>,
    batch: Items<T>,
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

/// Starts a thread that fills batches. Returns them, and the way back for emptied ones.
fn start<T: Record, B: Batch<T>>(
    table: TableInfo,
    read: impl FnOnce(&mut BatchSender<T, B>) + Send + 'static,
) -> (mpsc::Receiver<B>, mpsc::Sender<B>) {
    let (batches, receiver) = mpsc::channel(PREFETCH);
    let (empties_sender, empties) = mpsc::channel(PREFETCH + 2);
    let error_sender = batches.clone();
    let work = move || {
        let mut sender = BatchSender {
            table: table.clone(),
            batches,
            empties,
            batch: B::default(),
            size: B::SIZES.0,
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
            let mut batch = B::default();
            batch.push(Err(Error::thread_refused(error)));
            error_sender.try_send(batch).ok();
        }
    }
    (receiver, empties_sender)
}

/// A stream filled by a thread. The thread starts with the first poll and ends when the stream is dropped.
pub(super) fn from_thread<T: Record>(
    table: TableInfo,
    read: impl FnOnce(&mut BatchSender<T, Items<T>>) + Send + 'static,
) -> RecordStream<T> {
    let begin = move || {
        let (batches, empties) = start(table, read);
        BatchReceiver { batches, empties, batch: Vec::new(), next: 0 }
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

/// Blocks filled by a thread. It starts with the first poll and ends when the stream is dropped. `check` changes or
/// rejects each record. The first error is the last item; the records before it in its block are dropped, because
/// nothing of them is written.
pub(super) fn blocks_from_thread<T: Record>(
    table: TableInfo,
    read: impl FnOnce(&mut BatchSender<T, Block<T>>) + Send + 'static,
    mut check: impl FnMut(&mut T) -> Result<()> + Send + 'static,
) -> RecordStream<Vec<T>> {
    let begin = move || start(table, read).0;
    let (mut begin, mut blocks) = (Some(begin), None);
    futures::stream::poll_fn(move |context| {
        if let Some(begin) = begin.take() {
            blocks = Some(begin());
        }
        let Some(open) = &mut blocks else { return Poll::Ready(None) };
        let Some(Block { mut records, error }) = ready!(open.poll_recv(context)) else {
            return Poll::Ready(None);
        };
        let checked = records.iter_mut().try_for_each(&mut check);
        let block = checked.and(error.map_or(Ok(()), Err)).map(|()| records);
        if block.is_err() {
            blocks = None;
        }
        Poll::Ready(Some(block))
    })
    .boxed()
}
