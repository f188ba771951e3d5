//! Reads tiles ahead of the pictures, so that it is known early how much a crawl will be.

use std::sync::{Arc, Mutex, PoisonError};

use futures::StreamExt;
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use streetflow::{Error, ErrorKind, RecordStream};

/// The same records in the same order, of which so many may be read before they are wanted.
///
/// A fatal error goes ahead of what waits: a block of this address is not to be told hours later.
pub(crate) fn read_ahead<T: Send + 'static>(mut records: RecordStream<T>, most: usize) -> RecordStream<T> {
    let (sender, receiver) = mpsc::channel(most);
    let fatal = Arc::new(Mutex::new(None::<Error>));
    let told = Arc::clone(&fatal);
    let reading = async move {
        while let Some(item) = records.next().await {
            if item.as_ref().is_err_and(Error::is_fatal) {
                *told.lock().unwrap_or_else(PoisonError::into_inner) = item.err();
                return;
            }
            if sender.send(item).await.is_err() {
                return;
            }
        }
    };
    let reading = AbortOnDropHandle::new(tokio::spawn(reading));
    let whole = futures::stream::unfold(Some((receiver, reading)), move |state| {
        let fatal = Arc::clone(&fatal);
        let fatal = move || fatal.lock().unwrap_or_else(PoisonError::into_inner).take();
        async move {
            let (mut receiver, reading) = state?;
            if let Some(error) = fatal() {
                return Some((Err(error), None));
            }
            if let Some(item) = receiver.recv().await {
                return Some((item, Some((receiver, reading))));
            }
            // A panic over there must not look like the end of it all.
            let ended = reading.await.err();
            let panic = |why| Error::new(ErrorKind::Interrupted, "read ahead").with_source(why);
            fatal().or(ended.map(panic)).map(|error| (Err(error), None))
        }
    });
    whole.boxed()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures::TryStreamExt;

    use super::*;

    #[tokio::test]
    async fn records_keep_their_order_and_no_more_are_read_than_may_wait() {
        let read = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&read);
        let source = futures::stream::iter(0..1000).map(move |number| {
            count.fetch_add(1, Ordering::Relaxed);
            Ok(number)
        });
        let mut ahead = read_ahead(source.boxed(), 10);
        assert_eq!(ahead.try_next().await.expect("a record"), Some(0));
        for _ in 0..1000 {
            tokio::task::yield_now().await;
        }
        let read = read.load(Ordering::Relaxed);
        assert!((10..=13).contains(&read), "{read} were read");
        let rest: Vec<_> = ahead.try_collect().await.expect("records");
        assert!(rest.into_iter().eq(1..1000));
    }

    #[tokio::test]
    async fn a_fatal_error_overtakes_and_a_panic_is_no_end() {
        let blocked = Error::new(ErrorKind::Blocked, "ask");
        let mild = Error::new(ErrorKind::Malformed, "read");
        let items = vec![Ok(1), Err(mild), Ok(2), Err(blocked)];
        let mut ahead = read_ahead(futures::stream::iter(items).boxed(), 10);
        tokio::task::yield_now().await;
        let first = ahead.next().await.expect("an item").expect_err("the last one");
        assert_eq!(first.kind(), ErrorKind::Blocked);
        assert!(ahead.next().await.is_none());

        let broken = futures::stream::iter([1, 0]).map(|number| Ok(1 / number));
        let mut ahead = read_ahead(broken.boxed(), 10);
        assert_eq!(ahead.next().await.expect("an item").expect("a record"), 1);
        assert!(ahead.next().await.expect("an item").is_err_and(|error| error.is_fatal()));
    }
}
