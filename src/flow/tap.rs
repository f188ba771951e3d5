//! Taps: second sinks that run in a task of their own and commit with the flow.

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};

use futures::FutureExt;
use futures::future::BoxFuture;
use futures::stream::{Stream, StreamExt};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_util::sync::PollSender;

use crate::error::{Error, ErrorKind, Result};
use crate::sinks::{Sink, Written};
use crate::sources::RecordStream;
use crate::sync::lock;

/// Records sent to the task of a tap at once.
const BATCH_LEN: usize = 256;

/// Batches that may wait for the task.
const PREFETCH: usize = 4;

/// The taps of a flow, from the source on.
#[derive(Default)]
pub(super) struct Taps(Mutex<Vec<Arc<Tap>>>);

struct Tap {
    /// Sends the commit. If it is dropped unsent, the sink aborts.
    commit: Mutex<Option<oneshot::Sender<()>>>,
    task: Mutex<Option<JoinHandle<Result<Written>>>>,
    written: Mutex<Option<Written>>,
}

impl Taps {
    fn all(&self) -> Vec<Arc<Tap>> {
        lock(&self.0).clone()
    }

    /// Lets all sinks commit, from the source on. After the first failure, the others abort.
    pub(super) async fn commit(&self) -> Result<()> {
        let mut committed = Ok(());
        for tap in self.all() {
            match committed {
                Ok(()) => committed = tap.end(true).await,
                Err(_) => drop(tap.end(false).await),
            }
        }
        committed
    }

    /// Lets all sinks abort that have not committed, and waits for them.
    pub(super) async fn abort(&self) {
        for tap in self.all() {
            tap.end(false).await.ok();
        }
    }

    pub(super) fn written(&self) -> Vec<Written> {
        self.all().iter().filter_map(|tap| lock(&tap.written).clone()).collect()
    }
}

impl Tap {
    async fn end(&self, well: bool) -> Result<()> {
        let commit = lock(&self.commit).take();
        if let (Some(commit), true) = (commit, well) {
            commit.send(()).ok(); // A failed sink does not receive it; its task returns the error.
        }
        let Some(task) = lock(&self.task).take() else { return Ok(()) };
        let written = task.await.unwrap_or_else(|panic| {
            Err(Error::new(ErrorKind::Io, "write to the tap").with_source(panic.to_string()))
        })?;
        *lock(&self.written) = Some(written);
        Ok(())
    }
}

/// Records that were not sent when the stream was dropped. They are part of a commit.
type Unsent<T> = Arc<Mutex<Vec<T>>>;

/// Adds a tap to a stream. Its task starts with the first poll.
pub(super) fn tapped<T: Clone + Send + 'static>(
    records: RecordStream<T>,
    sink: Box<dyn Sink<T>>,
    taps: &Taps,
) -> RecordStream<T> {
    let (commit, committed) = oneshot::channel();
    let (sender, receiver) = mpsc::channel(PREFETCH);
    let unsent = Unsent::default();
    let tap =
        Arc::new(Tap { commit: Mutex::new(Some(commit)), task: Mutex::default(), written: Mutex::default() });
    lock(&taps.0).push(Arc::clone(&tap));
    let side = Some((sink, receive(receiver, committed, Arc::clone(&unsent))));
    let records = Some(records);
    let sender = PollSender::new(sender);
    Tapped { records, sender, batch: Vec::new(), unsent, side, tap, ending: None, ended: false }.boxed()
}

/// The records for the sink: those of the channel, then the end if the flow commits, else an error.
fn receive<T: Send + 'static>(
    receiver: mpsc::Receiver<Vec<T>>,
    committed: oneshot::Receiver<()>,
    unsent: Unsent<T>,
) -> RecordStream<T> {
    let batches = futures::stream::unfold(Some((receiver, committed, unsent)), |state| async {
        let (mut receiver, committed, unsent) = state?;
        if let Some(batch) = receiver.recv().await {
            let items: Vec<Result<T>> = batch.into_iter().map(Ok).collect();
            return Some((items, Some((receiver, committed, unsent))));
        }
        let last = match committed.await {
            Ok(()) => std::mem::take(&mut *lock(&unsent)).into_iter().map(Ok).collect(),
            Err(_) => {
                vec![Err(Error::new(ErrorKind::Interrupted, "write to the tap")
                    .with_source("the flow was abandoned"))]
            }
        };
        Some((last, None))
    });
    batches.map(futures::stream::iter).flatten().boxed()
}

struct Tapped<T> {
    /// `None` after its end.
    records: Option<RecordStream<T>>,
    sender: PollSender<Vec<T>>,
    batch: Vec<T>,
    unsent: Unsent<T>,
    side: Option<(Box<dyn Sink<T>>, RecordStream<T>)>,
    tap: Arc<Tap>,
    ending: Option<BoxFuture<'static, Result<()>>>,
    /// The sink has ended before the flow.
    ended: bool,
}

/// Records move through it; nothing is pinned.
impl<T> Unpin for Tapped<T> {}

impl<T: Clone + Send + 'static> Tapped<T> {
    /// Sends the batch, if the sink still takes records.
    fn poll_send_batch(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.batch.is_empty() && !self.sender.is_closed() && ready!(self.sender.poll_reserve(cx)).is_ok()
        {
            self.sender.send_item(std::mem::take(&mut self.batch)).ok();
        }
        self.batch.clear();
        Poll::Ready(())
    }

    /// Waits for a sink that has closed its channel: it has failed, or it has enough records.
    fn poll_closed(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let tap = &self.tap;
        let ending = self.ending.get_or_insert_with(|| {
            let tap = Arc::clone(tap);
            async move { tap.end(true).await }.boxed()
        });
        let ended = ready!(ending.poll_unpin(cx));
        self.ended = true;
        Poll::Ready(ended)
    }
}

impl<T: Clone + Send + 'static> Stream for Tapped<T> {
    type Item = Result<T>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        if let Some((sink, records)) = this.side.take() {
            *lock(&this.tap.task) = Some(tokio::spawn(sink.drain(records)));
        }
        loop {
            if this.batch.len() >= BATCH_LEN || this.records.is_none() {
                ready!(this.poll_send_batch(cx));
            }
            if !this.ended
                && this.sender.is_closed()
                && let Err(error) = ready!(this.poll_closed(cx))
            {
                this.records = None;
                return Poll::Ready(Some(Err(error)));
            }
            let Some(records) = &mut this.records else { return Poll::Ready(None) };
            match records.poll_next_unpin(cx) {
                Poll::Ready(Some(item)) => {
                    if let (Ok(record), false) = (&item, this.ended) {
                        this.batch.push(record.clone());
                    }
                    return Poll::Ready(Some(item));
                }
                Poll::Ready(None) => this.records = None,
                Poll::Pending => {
                    // Sends what has accumulated during a pause. A full channel wakes this task when it has space.
                    let _sent = this.poll_send_batch(cx);
                    return Poll::Pending;
                }
            }
        }
    }
}

impl<T> Drop for Tapped<T> {
    fn drop(&mut self) {
        // Whether the sink commits is decided later. If so, these records belong to it.
        lock(&self.unsent).append(&mut self.batch);
    }
}
