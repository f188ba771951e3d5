//! Reads sequences ahead of the downloads, so that the size of a crawl is known early.

use std::sync::{Arc, Mutex, PoisonError};

use futures::StreamExt;
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use streetflow::{Error, ErrorKind, RecordStream};

/// Reads up to `max` records ahead, in order.
///
/// A fatal error overtakes the records that wait, so that a block of this address is reported at once and not hours
/// later.
pub(crate) fn prefetch<T: Send + 'static>(mut records: RecordStream<T>, max: usize) -> RecordStream<T> {
    let (sender, receiver) = mpsc::channel(max);
    let fatal = Arc::new(Mutex::new(None::<Error>));
    let set_fatal = Arc::clone(&fatal);
    let reading = async move {
        while let Some(item) = records.next().await {
            if item.as_ref().is_err_and(Error::is_fatal) {
                *set_fatal.lock().unwrap_or_else(PoisonError::into_inner) = item.err();
                return;
            }
            if sender.send(item).await.is_err() {
                return;
            }
        }
    };
    let reading = AbortOnDropHandle::new(tokio::spawn(reading));
    let prefetched = futures::stream::unfold(Some((receiver, reading)), move |state| {
        let fatal = Arc::clone(&fatal);
        let take_fatal = move || fatal.lock().unwrap_or_else(PoisonError::into_inner).take();
        async move {
            let (mut receiver, reading) = state?;
            if let Some(error) = take_fatal() {
                return Some((Err(error), None));
            }
            if let Some(item) = receiver.recv().await {
                return Some((item, Some((receiver, reading))));
            }
            // A panic of the reader must not look like the end of the records.
            let panic = reading.await.err();
            let panic = panic.map(|why| Error::new(ErrorKind::Interrupted, "read ahead").with_source(why));
            take_fatal().or(panic).map(|error| (Err(error), None))
        }
    });
    prefetched.boxed()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures::TryStreamExt;

    use super::*;

    #[tokio::test]
    async fn records_stay_in_order_and_the_buffer_is_bounded() {
        let read = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&read);
        let source = futures::stream::iter(0..1000).map(move |number| {
            count.fetch_add(1, Ordering::Relaxed);
            Ok(number)
        });
        let mut records = prefetch(source.boxed(), 10);
        assert_eq!(records.try_next().await.expect("a record"), Some(0));
        for _ in 0..1000 {
            tokio::task::yield_now().await;
        }
        let read = read.load(Ordering::Relaxed);
        assert!((10..=13).contains(&read), "{read} were read");
        let rest: Vec<_> = records.try_collect().await.expect("records");
        assert!(rest.into_iter().eq(1..1000));
    }

    #[tokio::test]
    async fn a_fatal_error_overtakes_and_a_panic_is_an_error() {
        let blocked = Error::new(ErrorKind::Blocked, "request");
        let mild = Error::new(ErrorKind::Malformed, "read");
        let items = vec![Ok(1), Err(mild), Ok(2), Err(blocked)];
        let mut records = prefetch(futures::stream::iter(items).boxed(), 10);
        tokio::task::yield_now().await;
        let first = records.next().await.expect("an item").expect_err("the last one");
        assert_eq!(first.kind(), ErrorKind::Blocked);
        assert!(records.next().await.is_none());

        let broken = futures::stream::iter([1, 0]).map(|number| Ok(1 / number));
        let mut records = prefetch(broken.boxed(), 10);
        assert_eq!(records.next().await.expect("an item").expect("a record"), 1);
        assert!(records.next().await.expect("an item").is_err_and(|error| error.is_fatal()));
    }
}
