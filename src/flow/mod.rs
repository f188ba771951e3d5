//! The flow: a source with stages that has not started.

#[cfg(feature = "arrow")]
mod batches;
mod checks;
mod tap;
mod until;

use std::collections::HashSet;
use std::future::Future;
use std::hash::Hash;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures::FutureExt;
use futures::future::BoxFuture;
use futures::stream::{Stream, StreamExt};

use self::checks::Checked;
use self::tap::{Taps, tapped};
use crate::error::{Error, ErrorKind, Result};
use crate::observe::{Counts, Event, Observer, Step, report_failure};
use crate::sinks::{Sink, Written};
use crate::sources::{RecordStream, Source};
use crate::stages::Stage;

/// A source with the stages behind it.
///
/// Nothing runs until [`Flow::into_sink`] is called or the flow is polled as a stream. Dropping a flow stops it and
/// discards unfinished files.
///
/// ```
/// use streetflow::{CsvSink, Flow, Image, ImageId, Result, SequenceId};
///
/// # #[tokio::main] async fn main() -> Result<()> {
/// # let folder = tempfile::tempdir().unwrap();
/// # let path = folder.path().join("images.csv");
/// let images = ["1", "2", "2", "3"].map(|id| {
///     Ok(Image { seq_id: SequenceId::new("abc")?, img_id: ImageId::new(id)? })
/// });
/// let report = Flow::from(futures::stream::iter(images))
///     .dedup_by(|image: &Image| image.img_id.clone())
///     .into_sink(CsvSink::create(&path))
///     .await?;
/// assert_eq!(report.records, 3);
/// # Ok(()) }
/// ```
pub struct Flow<T> {
    records: Checked<T>,
    run: Arc<Shared>,
    ending: Option<BoxFuture<'static, Result<()>>>,
    /// A fatal error has passed, so the taps must not commit.
    failed: bool,
}

/// State that the parts of a flow share.
#[derive(Default)]
struct Shared {
    counts: Counts,
    taps: Taps,
}

/// What to do with a record that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnError {
    /// Stop the flow with the error.
    #[default]
    Stop,
    /// Drop and count the record. Fatal errors still stop the flow.
    Skip,
}

/// The result of a run.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Report {
    /// Records that reached the sink.
    pub records: u64,
    /// Sequences and images that were deleted on Mapillary.
    pub gone: u64,
    /// Records that failed and were dropped.
    pub failed: u64,
    /// Records that a filter dropped, duplicates included.
    pub filtered: u64,
    /// Whether [`Flow::until`] or [`Client::stop`](crate::Client::stop) ended the run early.
    pub stopped: bool,
    /// What the sink wrote.
    pub written: Written,
    /// What the taps wrote, in the order of the flow.
    pub taps: Vec<Written>,
    /// Duration of the run.
    pub elapsed: Duration,
}

impl<T: Send + 'static> Flow<T> {
    /// Creates a flow from a source.
    pub fn from(source: impl Source<Item = T>) -> Self {
        Self { records: Checked::new(source.stream()), run: Arc::default(), ending: None, failed: false }
    }

    fn with<U: Send + 'static>(
        self,
        change: impl FnOnce(RecordStream<T>, &Arc<Shared>) -> RecordStream<U>,
    ) -> Flow<U> {
        let records = Checked::new(change(self.records.into_stream(), &self.run));
        Flow { records, run: self.run, ending: None, failed: self.failed }
    }

    fn check(mut self, check: impl FnMut(&mut Result<T>) -> bool + Send + 'static) -> Self {
        self.records.push(check);
        self
    }

    /// Adds a stage.
    pub fn then<S: Stage<T>>(self, stage: S) -> Flow<S::Out> {
        self.with(|records, run| stage.apply_counted(records, &run.counts))
    }

    /// Passes only records for which `keep` returns true. Errors pass.
    pub fn filter(self, mut keep: impl FnMut(&T) -> bool + Send + 'static) -> Self {
        let counts = self.counts();
        self.check(move |item| {
            let passes = item.as_ref().map_or(true, &mut keep);
            if !passes {
                counts.add_filtered();
            }
            passes
        })
    }

    /// Ends the flow successfully after `count` records.
    pub fn take(self, count: u64) -> Self {
        self.with(|records, _| {
            let cut = futures::stream::unfold((records, count), |(mut records, left)| async move {
                if left == 0 {
                    return None;
                }
                let item = records.next().await?;
                let left = left - u64::from(item.is_ok());
                Some((item, (records, left)))
            });
            cut.boxed()
        })
    }

    /// Passes only the first record of each key. Memory grows with the number of keys.
    pub fn dedup_by<K: Hash + Eq + Send + 'static>(self, key: impl Fn(&T) -> K + Send + 'static) -> Self {
        let mut seen = HashSet::new();
        self.filter(move |record| seen.insert(key(record)))
    }

    /// Sends a copy of every record to a second sink.
    ///
    /// The second sink commits after the flow has ended successfully. It aborts if the flow fails or is dropped, so the
    /// files of one flow belong together. If the second sink fails, the flow fails with its error.
    pub fn tap(self, sink: impl Sink<T> + 'static) -> Self
    where
        T: Clone,
    {
        self.with(|records, run| tapped(records, Box::new(sink), &run.taps))
    }

    /// Sets what happens to records that failed before this point. Without it, they stop the flow.
    ///
    /// Deleted sequences and images never stop a flow; they are counted.
    pub fn on_error(self, policy: OnError) -> Self {
        let (run, skip) = (Arc::clone(&self.run), policy == OnError::Skip);
        self.check(move |item| run.lets_pass(item, skip))
    }

    /// Ends the flow early, but successfully, when `signal` is ready. Files become valid with the records so far.
    ///
    /// Call it last: the stream before it is dropped, with its requests, when the sink polls next.
    pub fn until(self, signal: impl Future<Output = ()> + Send + 'static) -> Self {
        self.end_early(signal.boxed(), None)
    }

    /// Like [`Flow::until`], but never between two adjacent records with the same key, such as two detections of an image.
    ///
    /// Call it directly behind the stage that makes the groups: the records of a group must be ready at once.
    ///
    /// ```
    /// use streetflow::{Detection, Flow, ImageId, Result};
    ///
    /// # #[tokio::main] async fn main() -> Result<()> {
    /// let rows = ["1", "1", "1", "2", "2"].map(|id| {
    ///     Ok(Detection { img_id: ImageId::new(id)?, ..Detection::default() })
    /// });
    /// let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    /// let mut stop = Some(stop);
    /// // The first row stops the flow.
    /// let rows = futures::stream::iter(rows.into_iter().inspect(move |_: &Result<Detection>| drop(stop.take())));
    /// let flow = Flow::from(rows)
    ///     .until_group_end(|row| row.img_id.clone(), async { drop(stopped.await) });
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let sink = streetflow::CsvSink::create(&folder.path().join("detections.csv"));
    /// assert_eq!(flow.into_sink(sink).await?.records, 3);
    /// # Ok(()) }
    /// ```
    pub fn until_group_end<K: PartialEq + Send + 'static>(
        self,
        key: impl Fn(&T) -> K + Send + 'static,
        signal: impl Future<Output = ()> + Send + 'static,
    ) -> Self {
        self.end_early(signal.boxed(), Some(until::same_key(key)))
    }

    fn end_early(self, signal: BoxFuture<'static, ()>, continues: Option<until::Continues<T>>) -> Self {
        self.with(|records, run| {
            let stopped = {
                let run = Arc::clone(run);
                move || run.counts.set_stopped()
            };
            until::stoppable(records, signal, continues, stopped)
        })
    }

    /// Reports each record that passes as [`Event::Record`], and each failure that was not reported before.
    ///
    /// `step` is the step that ends here.
    pub fn observe(self, step: Step, observer: Arc<dyn Observer>) -> Self {
        self.check(move |item| {
            match item {
                Ok(_) => observer.on_event(&Event::Record { step }),
                Err(error) => report_failure(&*observer, step, error),
            }
            true
        })
    }

    /// Reports each record that passes as [`Event::InputStarted`] of `step`.
    ///
    /// A failure that was not reported before counts as an input of the step that failed there, such as an unreadable row.
    /// Call it before the stage or the sink of the step, and [`Flow::observe`] behind it.
    pub fn observe_input(self, step: Step, observer: Arc<dyn Observer>) -> Self {
        self.check(move |item| {
            let enters = item.as_ref().err().is_none_or(|error| !error.is_reported() && !error.is_fatal());
            if enters {
                observer.on_event(&Event::InputStarted { step });
            }
            if let Err(error) = item {
                report_failure(&*observer, step, error);
            }
            true
        })
    }

    /// The counts of the flow, which go on while it runs.
    pub fn counts(&self) -> Counts {
        self.run.counts.clone()
    }

    /// Runs the flow into a sink until the end.
    ///
    /// The only `Err` that the sink sees is the one that ends the flow.
    pub async fn into_sink(self, sink: impl Sink<T>) -> Result<Report> {
        let started = Instant::now();
        let shared = Arc::clone(&self.run);
        let Self { records, run, .. } = self.check(move |item| shared.leaves(item));
        let written = match Box::new(sink).drain(records.into_stream()).await {
            Ok(written) => written,
            Err(error) => {
                run.taps.abort().await;
                return Err(error);
            }
        };
        run.taps.commit().await?;
        let taps = run.taps.written();
        let is_interrupted = taps.iter().chain([&written]).any(|written| written.interrupted > 0);
        Ok(Report {
            records: run.counts.records(),
            gone: run.counts.gone(),
            failed: run.counts.failed(),
            filtered: run.counts.filtered(),
            stopped: run.counts.stopped() || is_interrupted,
            written,
            taps,
            elapsed: started.elapsed(),
        })
    }
}

#[cfg(feature = "arrow")]
impl<T: crate::record::Record> Flow<T> {
    /// Reads the flow as Arrow record batches of at most `rows` records; [`BATCH_ROWS`](crate::arrow::BATCH_ROWS) is a
    /// good number.
    ///
    /// A batch also ends when its first record has waited for a second, or at 64 MiB of texts and lists. The fields and
    /// the geometry of the layout decide the columns, see [`arrow::schema`](crate::arrow::schema). Without records there
    /// is no batch.
    ///
    /// Deleted sequences and images are counted. The first other error is the last item, behind the batch of the records
    /// before it; [`Flow::on_error`] skips failed records. [`Flow::counts`] has the numbers.
    ///
    /// ```
    /// use futures::{TryStreamExt, stream};
    /// use streetflow::{Flow, Image, ImageId, SequenceId, sinks::Layout};
    ///
    /// # #[tokio::main] async fn main() -> streetflow::Result<()> {
    /// let images = ["1", "2", "3"].map(|id| {
    ///     Ok(Image { seq_id: SequenceId::new("abc")?, img_id: ImageId::new(id)? })
    /// });
    /// let batches = Flow::from(stream::iter(images)).into_batches(&Layout::default(), 2);
    /// let rows: Vec<_> = batches.map_ok(|batch| batch.num_rows()).try_collect().await?;
    /// assert_eq!(rows, [2, 1]);
    /// # Ok(()) }
    /// ```
    pub fn into_batches(
        self,
        layout: &crate::sinks::Layout,
        rows: usize,
    ) -> futures::stream::BoxStream<'static, Result<arrow_array::RecordBatch>> {
        batches::IntoBatches::new(self, layout, rows).boxed()
    }
}

impl Shared {
    /// Counts a failed item; returns false if it is dropped.
    fn lets_pass<T>(&self, item: &Result<T>, skip: bool) -> bool {
        match item.as_ref().err().map(Error::kind) {
            Some(ErrorKind::Gone) => self.counts.add_gone(),
            Some(kind) if skip && !kind.is_fatal() => self.counts.add_failed(),
            _ => return true,
        }
        false
    }

    /// Counts an item that leaves the flow; returns false if it is dropped.
    fn leaves<T>(&self, item: &Result<T>) -> bool {
        match item.as_ref().err().map(Error::kind) {
            None => self.counts.add_record(),
            Some(ErrorKind::Gone) => {
                self.counts.add_gone();
                return false;
            }
            Some(_) => self.counts.add_failed(),
        }
        true
    }
}

/// A flow is a stream, so all adapters of `futures` work. Its taps commit at the end of the stream.
impl<T: Send + 'static> Stream for Flow<T> {
    type Item = Result<T>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Some(ending) = &mut self.ending {
                return ending.as_mut().poll(cx).map(|ended| {
                    self.ending = Some(Box::pin(async { Ok(()) }));
                    ended.err().map(Err)
                });
            }
            if let Some(item) = futures::ready!(self.records.poll_next_unpin(cx)) {
                self.failed |= item.as_ref().is_err_and(Error::is_fatal);
                self.run.leaves(&item);
                return Poll::Ready(Some(item));
            }
            let (run, failed) = (Arc::clone(&self.run), self.failed);
            self.records = Checked::new(futures::stream::empty().boxed());
            self.ending = Some(Box::pin(async move {
                if failed {
                    run.taps.abort().await;
                    return Ok(());
                }
                run.taps.commit().await
            }));
        }
    }
}
