//! Stages: what happens to records between source and sink.

mod batches;
mod detections;
mod empty_lists;
mod feature_images;
mod features;
mod filter;
mod images;
mod in_order;
mod metadata;
mod splitting;

use std::task::Poll;

pub use self::detections::FetchDetections;
pub use self::feature_images::ListFeatureImages;
pub use self::features::FetchFeatures;
pub use self::filter::{Filter, Heading};
pub use self::images::ListImages;
pub use self::metadata::FetchMetadata;
pub(crate) use self::metadata::refetch;
pub use crate::dates::Dates;
use futures::{Stream, StreamExt, stream};

use crate::client::{Class, Client};
use crate::error::{Error, Result};
use crate::observe::Counts;
use crate::sources::RecordStream;

/// Turns a stream of records into another stream.
///
/// A stage passes `Err` items unchanged and in place, keeps the order of records (except as [`ListImages`] documents),
/// and has bounded buffers. Closures from stream to stream are stages:
///
/// ```
/// use futures::StreamExt;
/// use streetflow::{Flow, Image, RecordStream, Result};
///
/// let every_tenth = |images: RecordStream<Image>| -> RecordStream<Image> { images.step_by(10) };
/// # trait Ext: Sized { fn step_by(self, n: usize) -> RecordStream<Image>; }
/// # impl Ext for RecordStream<Image> { fn step_by(self, n: usize) -> RecordStream<Image> {
/// #   self.enumerate().filter(move |(i, r)| futures::future::ready(r.is_err() || i % n == 0)).map(|(_, r)| r).boxed() } }
/// let flow = Flow::from(futures::stream::empty::<Result<Image>>()).then(every_tenth);
/// # let _ = flow;
/// ```
pub trait Stage<In> {
    /// The type of the records that come out.
    type Out: Send + 'static;

    /// Adds the stage to a stream.
    fn apply(self, records: RecordStream<In>) -> RecordStream<Self::Out>;

    /// Adds the stage to the stream of a flow with these counts. A stage that drops records counts them as filtered.
    fn apply_counted(self, records: RecordStream<In>, counts: &Counts) -> RecordStream<Self::Out>
    where
        Self: Sized,
    {
        let _ = counts;
        self.apply(records)
    }
}

impl<F, In, Out> Stage<In> for F
where
    F: FnOnce(RecordStream<In>) -> RecordStream<Out>,
    Out: Send + 'static,
{
    type Out = Out;

    fn apply(self, records: RecordStream<In>) -> RecordStream<Out> {
        self(records)
    }
}

/// Ends the stream at the first fatal error. If nearly all items were reported missing, ends with an `Auth` error.
fn stop_if_too_many_missing<T: Send + 'static>(
    records: impl Stream<Item = Result<T>> + Send + 'static,
    client: Client,
    class: Class,
) -> RecordStream<T> {
    let doubt = stream::once(async move { client.check_missing_rate(class).await.err().map(Err) });
    let records = records.chain(doubt.filter_map(std::future::ready));
    let mut records = Some(Box::pin(records));
    let ended = stream::poll_fn(move |cx| {
        let Some(open) = &mut records else { return Poll::Ready(None) };
        let next = open.poll_next_unpin(cx);
        if matches!(&next, Poll::Ready(item) if item.as_ref().is_none_or(is_fatal)) {
            records = None;
        }
        next
    });
    ended.boxed()
}

fn is_fatal<T>(item: &Result<T>) -> bool {
    item.as_ref().is_err_and(Error::is_fatal)
}
