//! What happens to records on their way.

mod empty_lists;
mod filter;
mod images;
mod in_order;
mod metadata;

use std::task::Poll;

pub use self::filter::{Filter, Heading};
pub use self::images::ListImages;
pub use self::metadata::FetchMetadata;
pub(crate) use self::metadata::fetch_anew;
pub use crate::dates::Dates;
use futures::{Stream, StreamExt, stream};

use crate::client::{Class, Client};
use crate::error::{Error, Result};
use crate::sources::RecordStream;

/// Something that turns a stream of records into another.
///
/// A stage passes `Err` items on unchanged and in place, keeps the order of
/// records, and never buffers without a bound ([`ListImages`] says which
/// sequences it puts off). Closures from stream to stream
/// are stages:
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
    /// The records that come out.
    type Out: Send + 'static;

    /// Puts itself behind a stream.
    fn apply(self, records: RecordStream<In>) -> RecordStream<Self::Out>;
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

/// Ends a stream with its first fatal error, and with that what is still under way for it; or with the one that what
/// was said to be gone is not believed.
fn end_in_doubt<T: Send + 'static>(
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
