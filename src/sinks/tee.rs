//! One flow into two sinks.

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
/// An error of the stream or of either sink ends both. The slower one sets the
/// pace. Tees nest: `Tee(a, Tee(b, c))`.
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
        let (fed, first, second) = futures::join!(
            feed(records, first_end, second_end),
            Box::new(first).drain(receive(first_records)),
            Box::new(second).drain(receive(second_records)),
        );
        // The stream's own error is the story; where a sink failed, the other one only heard of the end.
        fed?;
        match (first, second) {
            (Ok(first), Ok(second)) => Ok(first.and(second)),
            (Err(error), Ok(_)) | (Ok(_), Err(error)) => Err(error),
            (Err(first), Err(second)) => {
                Err(if first.kind() == ErrorKind::Interrupted { second } else { first })
            }
        }
    }
}

type Lane<T> = mpsc::Sender<Option<T>>;

/// Sends each record down both lanes, and `None` at a good end: a lane that merely closes was cut.
async fn feed<T: Clone>(mut records: RecordStream<T>, first: Lane<T>, second: Lane<T>) -> Result<()> {
    while let Some(record) = records.next().await {
        let record = record?;
        if first.send(Some(record.clone())).await.is_err() || second.send(Some(record)).await.is_err() {
            return Ok(());
        }
    }
    // A sink that needs no more has closed its lane; that is its own business.
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
                    .because("the other sink or the flow failed")),
                None,
            )),
        }
    })
    .boxed()
}
