//! Side sinks: each runs in a task, is fed in batches, and is told in words whether to commit.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
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

/// How many records go to the side sink's task at once.
const BATCH: usize = 256;

/// How many batches may wait for it.
const PREFETCH: usize = 4;

/// The taps of one flow, from the source on.
#[derive(Default)]
pub(super) struct Taps(Mutex<Vec<Arc<Tap>>>);

struct Tap {
    /// Held until the end is known; dropped unsent, the side sink aborts.
    commit: Mutex<Option<oneshot::Sender<()>>>,
    task: Mutex<Option<JoinHandle<Result<Written>>>>,
    written: Mutex<Option<Written>>,
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Taps {
    fn all(&self) -> Vec<Arc<Tap>> {
        lock(&self.0).clone()
    }

    /// Lets every side sink commit, from the source on; after the first that fails, the rest abort.
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

    /// Makes every side sink that has not committed abort, and waits until it has.
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
        let word = lock(&self.commit).take();
        if let (Some(word), true) = (word, well) {
            word.send(()).ok(); // A sink that has failed does not listen; its task tells why.
        }
        let Some(task) = lock(&self.task).take() else { return Ok(()) };
        let written = task.await.unwrap_or_else(|panic| {
            Err(Error::new(ErrorKind::Io, "write on the side").with_source(panic.to_string()))
        })?;
        *lock(&self.written) = Some(written);
        Ok(())
    }
}

/// What a stopped stream had not handed over yet; it belongs to what a good end commits.
type Rest<T> = Arc<Mutex<Vec<T>>>;

/// Puts a side sink behind a stream; its task starts with the first poll.
pub(super) fn tapped<T: Clone + Send + 'static>(
    records: RecordStream<T>,
    sink: Box<dyn Sink<T>>,
    taps: &Taps,
) -> RecordStream<T> {
    let (word, heard) = oneshot::channel();
    let (lane, inbox) = mpsc::channel(PREFETCH);
    let rest = Rest::default();
    let tap =
        Arc::new(Tap { commit: Mutex::new(Some(word)), task: Mutex::default(), written: Mutex::default() });
    lock(&taps.0).push(Arc::clone(&tap));
    let side = Some((sink, receive(inbox, heard, Arc::clone(&rest))));
    let records = Some(records);
    let lane = PollSender::new(lane);
    Tapped { records, lane, batch: Vec::new(), rest, side, tap, ending: None, ended: false }.boxed()
}

/// The side sink's records: what comes down the lane, then a good end if the word was given, else an error.
fn receive<T: Send + 'static>(
    lane: mpsc::Receiver<Vec<T>>,
    word: oneshot::Receiver<()>,
    rest: Rest<T>,
) -> RecordStream<T> {
    let batches = futures::stream::unfold(Some((lane, word, rest)), |state| async {
        let (mut lane, word, rest) = state?;
        if let Some(batch) = lane.recv().await {
            let items: Vec<Result<T>> = batch.into_iter().map(Ok).collect();
            return Some((items, Some((lane, word, rest))));
        }
        let last = match word.await {
            Ok(()) => std::mem::take(&mut *lock(&rest)).into_iter().map(Ok).collect(),
            Err(_) => {
                vec![Err(Error::new(ErrorKind::Interrupted, "write on the side")
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
    lane: PollSender<Vec<T>>,
    batch: Vec<T>,
    rest: Rest<T>,
    side: Option<(Box<dyn Sink<T>>, RecordStream<T>)>,
    tap: Arc<Tap>,
    ending: Option<BoxFuture<'static, Result<()>>>,
    /// The side sink has finished before the flow.
    ended: bool,
}

/// Nothing in it is pinned in place: records move through it.
impl<T> Unpin for Tapped<T> {}

impl<T: Clone + Send + 'static> Tapped<T> {
    /// Hands the batch over, if the side sink still takes any.
    fn poll_hand_over(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.batch.is_empty() && !self.lane.is_closed() && ready!(self.lane.poll_reserve(cx)).is_ok() {
            self.lane.send_item(std::mem::take(&mut self.batch)).ok();
        }
        self.batch.clear();
        Poll::Ready(())
    }

    /// Why the side sink takes no more: it has failed, or it has enough and the rest flows on without it.
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
            if this.batch.len() >= BATCH || this.records.is_none() {
                ready!(this.poll_hand_over(cx));
            }
            if !this.ended
                && this.lane.is_closed()
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
                    // A lull is the time to hand over what is there; a full lane wakes this task when it has room.
                    let _handed = this.poll_hand_over(cx);
                    return Poll::Pending;
                }
            }
        }
    }
}

impl<T> Drop for Tapped<T> {
    fn drop(&mut self) {
        // Whether the side sink commits is the flow's word; if it does, these belong to it.
        lock(&self.rest).append(&mut self.batch);
    }
}
