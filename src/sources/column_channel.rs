//! The channel from a thread that reads a table by columns to the stream of its blocks.

use std::panic::{self, AssertUnwindSafe};
use std::task::{Poll, ready};

use futures::StreamExt;
use tokio::sync::mpsc;

use super::RecordStream;
use super::messages::TableInfo;
use super::reader_channel::PREFETCH;
use super::rounded_ids::RoundedIds;
use crate::error::{Error, Result};
use crate::record::Record;
use crate::record::arrow::ColumnBlock;

/// A block in the form that encoders take.
type Item<T> = Result<Vec<ColumnBlock<T>>>;

/// The sender in the reading thread.
pub(super) struct ColumnSender<T: Record> {
    table: TableInfo,
    items: mpsc::Sender<Item<T>>,
    /// Blocks held back until the ids of their rows are checked.
    held: Vec<ColumnBlock<T>>,
    ids: RoundedIds<T>,
    ended: bool,
}

impl<T: Record> ColumnSender<T> {
    /// The name of the column with ids of images.
    pub(super) fn id_column(&self) -> Option<&'static str> {
        self.ids.column()
    }

    /// Checks the id of a row; returns false if the table is rejected.
    pub(super) fn observe_id(&mut self, id: &str) -> bool {
        self.ids.observe_id(id);
        self.check_ids()
    }

    /// Checks the id of a record; returns false if the table is rejected.
    #[cfg(feature = "parquet")]
    pub(super) fn observe(&mut self, record: &T) -> bool {
        self.ids.observe(record);
        self.check_ids()
    }

    fn check_ids(&mut self) -> bool {
        let rejected = self.ids.check_ids(&self.table);
        rejected.is_none_or(|error| self.end(error))
    }

    /// Sends a block. Returns false if the receiver is closed.
    pub(super) fn send(&mut self, block: ColumnBlock<T>) -> bool {
        self.held.push(block);
        self.ids.is_holding() || self.send_held()
    }

    /// Ends the table with an error, and returns false. The rows since the last block are lost, because nothing of them
    /// is written.
    pub(super) fn fail(&mut self, error: Error) -> bool {
        self.ids.observe_error(&error);
        let rejected = self.ids.stop(&self.table);
        self.end(rejected.unwrap_or(error))
    }

    fn end(&mut self, error: Error) -> bool {
        self.ended = true;
        self.held.clear();
        self.items.blocking_send(Err(error)).ok();
        false
    }

    fn send_held(&mut self) -> bool {
        self.held.drain(..).all(|block| self.items.blocking_send(Ok(vec![block])).is_ok())
    }

    /// Decides about the ids at the end of the table.
    fn finish(&mut self) {
        // No warnings if the receiver is closed.
        if self.ended || self.items.is_closed() {
            return;
        }
        match self.ids.finish(&self.table) {
            Some(rejected) => self.end(rejected),
            None => self.send_held(),
        };
    }
}

/// Blocks filled by a thread. It starts with the first poll and ends when the stream is dropped. The first error is the
/// last item.
pub(super) fn columns_from_thread<T: Record>(
    table: TableInfo,
    read: impl FnOnce(&mut ColumnSender<T>) + Send + 'static,
) -> RecordStream<Vec<ColumnBlock<T>>> {
    let begin = move || start(table, read);
    let (mut begin, mut items) = (Some(begin), None);
    futures::stream::poll_fn(move |context| {
        if let Some(begin) = begin.take() {
            items = Some(begin());
        }
        let Some(open) = &mut items else { return Poll::Ready(None) };
        let item: Option<Item<T>> = ready!(open.poll_recv(context));
        if item.as_ref().is_none_or(Result::is_err) {
            items = None;
        }
        Poll::Ready(item)
    })
    .boxed()
}

fn start<T: Record>(
    table: TableInfo,
    read: impl FnOnce(&mut ColumnSender<T>) + Send + 'static,
) -> mpsc::Receiver<Item<T>> {
    let (items, receiver) = mpsc::channel(PREFETCH);
    let refused = items.clone();
    let work = move || {
        let ids = RoundedIds::new(table.id_check.clone());
        let mut sender = ColumnSender { table: table.clone(), items, held: Vec::new(), ids, ended: false };
        // A panic of a decoder must not look like the end of the file.
        match panic::catch_unwind(AssertUnwindSafe(|| read(&mut sender))) {
            Ok(()) => sender.finish(),
            Err(_) => {
                sender.end(table.error("the reader stopped: the file is damaged"));
            }
        }
    };
    if let Err(error) = std::thread::Builder::new().name("read".to_owned()).spawn(work) {
        refused.try_send(Err(Error::thread_refused(error))).ok();
    }
    receiver
}
