//! Many items at once, with their results in order, so that one that is late holds up no other.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures::FutureExt;
use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, Stream, StreamExt};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Items that may be begun behind one that is late, for each that may be under way.
const STARTED_PER_SLOT: usize = 32;

/// How far ahead items are begun.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// Items that have not failed yet and have not ended.
    pub(super) under_way: usize,
    /// Items in all.
    begun: usize,
    /// The weight of results that wait for an earlier one.
    waiting: usize,
}

impl Bounds {
    /// As many under way as the client may have requests.
    pub(super) fn of(concurrency: usize, waiting: usize) -> Self {
        Self { under_way: concurrency, begun: concurrency.saturating_mul(STARTED_PER_SLOT), waiting }
    }

    /// No more than so many items in all.
    pub(super) fn at_most(self, items: usize) -> Self {
        Self { under_way: self.under_way.min(items), begun: self.begun.min(items), ..self }
    }
}

/// Begins items, many at once, and gives their results in the order of the items.
///
/// An item holds a place until it fails for the first time or ends, and no more items hold one than may be under way.
/// While the next result is there, no more items are begun than that; only while it is late do others go ahead of it,
/// within the bounds. So a slow consumer makes nobody read far ahead, and a late item holds up nobody behind it.
pub(super) fn in_order<S, T, Fut>(
    items: S,
    bounds: Bounds,
    start: impl FnMut(S::Item, OwnedSemaphorePermit) -> Fut + Send + 'static,
    weight: impl Fn(&T) -> usize + Send + 'static,
) -> impl Stream<Item = T> + Send
where
    S: Stream + Send + 'static,
    S::Item: Send,
    Fut: Future<Output = T> + Send + 'static,
    T: Send + 'static,
{
    InOrder {
        items: Some(Box::pin(items)),
        bounds,
        start,
        weight,
        places: Places { all: Arc::new(Semaphore::new(bounds.under_way)), next: None, waiting: None },
        under_way: FuturesUnordered::new(),
        results: VecDeque::new(),
        given: 0,
        waiting: 0,
    }
}

struct InOrder<S, T, Fut, Start, Weight> {
    /// None after their end.
    items: Option<Pin<Box<S>>>,
    bounds: Bounds,
    start: Start,
    weight: Weight,
    places: Places,
    under_way: FuturesUnordered<Numbered<Fut>>,
    /// A slot for each item begun and not given yet.
    results: VecDeque<Option<T>>,
    /// The number of the item that is next.
    given: usize,
    /// The weight of all results.
    waiting: usize,
}

/// A future with the number of its item.
struct Numbered<Fut> {
    number: usize,
    work: Pin<Box<Fut>>,
}

impl<Fut: Future> Future for Numbered<Fut> {
    type Output = (usize, Fut::Output);

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let result = ready!(self.work.as_mut().poll(cx));
        Poll::Ready((self.number, result))
    }
}

/// Places for items, one of them perhaps taken for an item that is not there yet.
struct Places {
    all: Arc<Semaphore>,
    next: Option<OwnedSemaphorePermit>,
    waiting: Option<BoxFuture<'static, Option<OwnedSemaphorePermit>>>,
}

impl Places {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.next.is_some() {
            return Poll::Ready(());
        }
        let all = &self.all;
        let waiting = self.waiting.get_or_insert_with(|| {
            let all = Arc::clone(all);
            async move { all.acquire_owned().await.ok() }.boxed()
        });
        self.next = ready!(waiting.poll_unpin(cx));
        self.waiting = None;
        Poll::Ready(())
    }
}

/// Nothing in it is pinned in place.
impl<S, T, Fut, Start, Weight> Unpin for InOrder<S, T, Fut, Start, Weight> {}

impl<S, T, Fut, Start, Weight> InOrder<S, T, Fut, Start, Weight>
where
    S: Stream,
    Fut: Future<Output = T>,
    Start: FnMut(S::Item, OwnedSemaphorePermit) -> Fut,
    Weight: Fn(&T) -> usize,
{
    fn collect_results(&mut self, cx: &mut Context<'_>) {
        while let Poll::Ready(Some((number, result))) = self.under_way.poll_next_unpin(cx) {
            self.waiting += (self.weight)(&result);
            if let Some(slot) = self.results.get_mut(number - self.given) {
                *slot = Some(result);
            }
        }
    }

    fn next_is_there(&self) -> bool {
        self.results.front().is_some_and(Option::is_some)
    }

    fn may_begin(&self) -> bool {
        if self.next_is_there() {
            return self.results.len() < self.bounds.under_way;
        }
        self.results.len() < self.bounds.begun && self.waiting < self.bounds.waiting
    }

    /// Begins one item, if one may begin and is there.
    fn poll_begin(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.may_begin() {
            return Poll::Pending;
        }
        let Some(items) = &mut self.items else { return Poll::Pending };
        ready!(self.places.poll_next(cx));
        let Some(item) = ready!(items.poll_next_unpin(cx)) else {
            self.items = None;
            return Poll::Pending;
        };
        if let Some(place) = self.places.next.take() {
            let work = Box::pin((self.start)(item, place));
            self.under_way.push(Numbered { number: self.given + self.results.len(), work });
            self.results.push_back(None);
        }
        Poll::Ready(())
    }
}

impl<S, T, Fut, Start, Weight> Stream for InOrder<S, T, Fut, Start, Weight>
where
    S: Stream,
    Fut: Future<Output = T>,
    Start: FnMut(S::Item, OwnedSemaphorePermit) -> Fut,
    Weight: Fn(&T) -> usize,
{
    type Item = T;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        let this = self.get_mut();
        loop {
            this.collect_results(cx);
            if this.poll_begin(cx).is_pending() {
                break;
            }
        }
        match this.results.pop_front() {
            Some(Some(result)) => {
                this.given += 1;
                this.waiting -= (this.weight)(&result);
                Poll::Ready(Some(result))
            }
            Some(late) => {
                this.results.push_front(late);
                Poll::Pending
            }
            None if this.items.is_none() => Poll::Ready(None),
            None => Poll::Pending,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::time::Duration;

    use futures::stream;
    use tokio::time::{Instant, sleep};

    use super::*;

    const BOUNDS: Bounds = Bounds { under_way: 8, begun: 100, waiting: 50 };

    /// Items that take a tenth of a second each, but for those that fail at first and take `late` seconds more.
    fn trial(
        items: usize,
        bounds: Bounds,
        is_late: fn(usize) -> bool,
        late: u64,
    ) -> (impl Stream<Item = usize> + Send, Arc<Mutex<Vec<usize>>>) {
        let begun = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&begun);
        let start = move |item: usize, place: OwnedSemaphorePermit| {
            log.lock().expect("no panic").push(item);
            async move {
                sleep(Duration::from_millis(100)).await;
                drop(place);
                if is_late(item) {
                    sleep(Duration::from_secs(late)).await;
                }
                item
            }
        };
        (in_order(stream::iter(0..items), bounds, start, |_| 1), begun)
    }

    #[tokio::test(start_paused = true)]
    async fn results_come_in_order_and_late_ones_hold_up_nobody() {
        let started = Instant::now();
        // 400 items, 8 at once, a tenth of a second each: 5 s.
        let (stream, _) =
            trial(400, Bounds { begun: 1000, waiting: 1000, ..BOUNDS }, |item| item % 7 == 0, 2);
        let results: Vec<usize> = stream.collect().await;
        assert!(results.into_iter().eq(0..400));
        let took = started.elapsed().as_secs_f64();
        assert!((5.0..7.3).contains(&took), "{took} s");
    }

    #[tokio::test(start_paused = true)]
    async fn behind_a_late_item_no_more_wait_than_may() {
        for (bounds, most) in [(BOUNDS, 1 + 50 + 8), (Bounds { waiting: 1000, ..BOUNDS }, 100)] {
            let (stream, begun) = trial(400, bounds, |item| item == 0, 60);
            let mut stream = Box::pin(stream);
            tokio::time::timeout(Duration::from_secs(50), stream.next())
                .await
                .expect_err("the first is late");
            let begun = begun.lock().expect("no panic").len();
            assert!((most - 8..=most).contains(&begun), "{begun} of {most}");
            let rest: Vec<usize> = stream.collect().await;
            assert!(rest.into_iter().eq(0..400));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_consumer_makes_nobody_read_far_ahead() {
        let (stream, begun) = trial(400, BOUNDS, |_| false, 0);
        let mut stream = Box::pin(stream);
        for taken in 1..20 {
            stream.next().await.expect("an item");
            sleep(Duration::from_secs(1)).await;
            let begun = begun.lock().expect("no panic").len();
            assert!(begun <= taken + 2 * BOUNDS.under_way, "{begun} begun when {taken} were taken");
        }
    }
}
