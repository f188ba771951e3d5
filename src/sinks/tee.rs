//! One flow into two sinks.

use std::pin::pin;

use async_trait::async_trait;
use futures::StreamExt;
use tokio::sync::mpsc;

use super::{Sink, Written};
use crate::error::{Error, ErrorKind, Result};
use crate::sources::RecordStream;

/// How many records may wait for the slower of the two.
const AHEAD: usize = 256;

/// A sink that gives every record to two others.
///
/// An error of the stream or of either sink ends both; only a failure at the
/// very end, when one has committed and the other can't, leaves the one. The
/// slower sink sets the pace. Tees nest: `Tee(a, Tee(b, c))`.
///
/// ```
/// use streetflow::{CsvSink, Flow, GeoJsonSink, Image, ImageId, Result, SequenceId, Tee};
///
/// # #[tokio::main] async fn main() -> Result<()> {
/// # let folder = tempfile::tempdir().unwrap();
/// # let path = |name| folder.path().join(name);
/// let image = Image { seq_id: SequenceId::new("abc")?, img_id: ImageId::new("1")? };
/// let both = Tee(CsvSink::create(path("images.csv")), GeoJsonSink::create(path("images.geojson")));
/// let report = Flow::from(futures::stream::iter([Ok(image)])).into_sink(both).await?;
/// assert_eq!(report.written.paths.len(), 2);
/// # Ok(()) }
/// ```
pub struct Tee<A, B>(pub A, pub B);

#[async_trait]
impl<T, A, B> Sink<T> for Tee<A, B>
where
    T: Clone + Send + 'static,
    A: Sink<T> + 'static,
    B: Sink<T> + 'static,
{
    async fn drain(self: Box<Self>, records: RecordStream<T>) -> Result<Written> {
        let Self(first, second) = *self;
        let (first_end, first_records) = mpsc::channel(AHEAD);
        let (second_end, second_records) = mpsc::channel(AHEAD);
        let mut feeding = pin!(feed(records, first_end, second_end));
        let mut first = Box::new(first).drain(receive(first_records));
        let mut second = Box::new(second).drain(receive(second_records));
        let (mut fed, mut first_written, mut second_written) = (false, None, None);
        // The first failure of any of the three ends all: dropping a drain abandons its output.
        loop {
            tokio::select! {
                ended = &mut feeding, if !fed => {
                    ended?;
                    fed = true;
                }
                written = &mut first, if first_written.is_none() => first_written = Some(written?),
                written = &mut second, if second_written.is_none() => second_written = Some(written?),
                else => break,
            }
        }
        Ok(first_written.unwrap_or_default().and(second_written.unwrap_or_default()))
    }
}

type Lane<T> = mpsc::Sender<Option<T>>;

/// Sends each record down both lanes, and `None` at a good end: a lane that merely closes was cut.
///
/// A sink that has enough closes its lane, and the other goes on.
async fn feed<T: Clone>(mut records: RecordStream<T>, first: Lane<T>, second: Lane<T>) -> Result<()> {
    while let Some(record) = records.next().await {
        let record = record?;
        let first = first.send(Some(record.clone())).await;
        let second = second.send(Some(record)).await;
        if first.is_err() && second.is_err() {
            return Ok(());
        }
    }
    for lane in [first, second] {
        lane.send(None).await.ok();
    }
    Ok(())
}

fn receive<T: Send + 'static>(inbox: mpsc::Receiver<Option<T>>) -> RecordStream<T> {
    futures::stream::unfold(Some(inbox), |inbox| async {
        let mut inbox = inbox?;
        match inbox.recv().await {
            Some(Some(record)) => Some((Ok(record), Some(inbox))),
            Some(None) => None,
            None => Some((
                Err(Error::new(ErrorKind::Interrupted, "take all records")
                    .with_source("the other sink or the flow failed")),
                None,
            )),
        }
    })
    .boxed()
}
