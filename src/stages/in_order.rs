//! Runs work on items concurrently and yields the results in order.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures::FutureExt;
use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, Stream, StreamExt};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Items that may start behind a slow one, per slot.
const STARTED_PER_SLOT: usize = 32;

/// How far ahead items start.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// Items that hold a slot: they have not failed and not ended.
    pub(super) slots: usize,
    /// Items in all.
    started: usize,
    /// Total weight of results that wait for an earlier one.
    waiting: usize,
}

impl Bounds {
    /// As many slots as the client allows requests.
    pub(super) fn new(concurrency: usize, waiting: usize) -> Self {
        Self { slots: concurrency, started: concurrency.saturating_mul(STARTED_PER_SLOT), waiting }
    }

    /// Limits the number of items in all.
    pub(super) fn at_most(self, items: usize) -> Self {
        Self { slots: self.slots.min(items), started: self.started.min(items), ..self }
    }
}

/// Starts work on items concurrently, and yields the results in the order of the items.
///
/// An item holds a slot until it fails for the first time or ends. While the next result is ready, only as many items
/// start as there are slots. While it is late, more items start, within the bounds. So a slow consumer does not cause
/// reading far ahead, and a slow item does not block the items behind it.
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
        slots: Slots { all: Arc::new(Semaphore::new(bounds.slots)), next: None, waiting: None },
        in_flight: FuturesUnordered::new(),
        results: VecDeque::new(),
        yielded: 0,
        waiting: 0,
    }
}

struct InOrder<S, T, Fut, Start, Weight> {
    /// `None` after their end.
    items: Option<Pin<Box<S>>>,
    bounds: Bounds,
    start: Start,
    weight: Weight,
    slots: Slots,
    in_flight: FuturesUnordered<Numbered<Fut>>,
    /// A slot for each item that was started and not yielded.
    results: VecDeque<Option<T>>,
    /// Number of the next item to yield.
    yielded: usize,
    /// Total weight of all results.
    waiting: usize,
}

/// Work with the number of its item.
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

/// Slots for items. One may be reserved for the next item.
struct Slots {
    all: Arc<Semaphore>,
    next: Option<OwnedSemaphorePermit>,
    waiting: Option<BoxFuture<'static, Option<OwnedSemaphorePermit>>>,
}

impl Slots {
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

/// Nothing is pinned.
impl<S, T, Fut, Start, Weight> Unpin for InOrder<S, T, Fut, Start, Weight> {}

impl<S, T, Fut, Start, Weight> InOrder<S, T, Fut, Start, Weight>
where
    S: Stream,
    Fut: Future<Output = T>,
    Start: FnMut(S::Item, OwnedSemaphorePermit) -> Fut,
    Weight: Fn(&T) -> usize,
{
    fn collect_results(&mut self, cx: &mut Context<'_>) {
        while let Poll::Ready(Some((number, result))) = self.in_flight.poll_next_unpin(cx) {
            self.waiting += (self.weight)(&result);
            if let Some(slot) = self.results.get_mut(number - self.yielded) {
                *slot = Some(result);
            }
        }
    }

    fn next_is_ready(&self) -> bool {
        self.results.front().is_some_and(Option::is_some)
    }

    fn may_start(&self) -> bool {
        if self.next_is_ready() {
            return self.results.len() < self.bounds.slots;
        }
        self.results.len() < self.bounds.started && self.waiting < self.bounds.waiting
    }

    /// Starts the next item, if it is there and may start.
    fn poll_start(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.may_start() {
            return Poll::Pending;
        }
        let Some(items) = &mut self.items else { return Poll::Pending };
        ready!(self.slots.poll_next(cx));
        let Some(item) = ready!(items.poll_next_unpin(cx)) else {
            self.items = None;
            return Poll::Pending;
        };
        if let Some(permit) = self.slots.next.take() {
            let work = Box::pin((self.start)(item, permit));
            self.in_flight.push(Numbered { number: self.yielded + self.results.len(), work });
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
            if this.poll_start(cx).is_pending() {
                break;
            }
        }
        match this.results.pop_front() {
            Some(Some(result)) => {
                this.yielded += 1;
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

    const BOUNDS: Bounds = Bounds { slots: 8, started: 100, waiting: 50 };

    /// Items that take 0.1 s each. Those for which `is_late` returns true fail first and take `late` seconds more.
    fn trial(
        items: usize,
        bounds: Bounds,
        is_late: fn(usize) -> bool,
        late: u64,
    ) -> (impl Stream<Item = usize> + Send, Arc<Mutex<Vec<usize>>>) {
        let started = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&started);
        let start = move |item: usize, permit: OwnedSemaphorePermit| {
            log.lock().expect("no panic").push(item);
            async move {
                sleep(Duration::from_millis(100)).await;
                drop(permit);
                if is_late(item) {
                    sleep(Duration::from_secs(late)).await;
                }
                item
            }
        };
        (in_order(stream::iter(0..items), bounds, start, |_| 1), started)
    }

    #[tokio::test(start_paused = true)]
    async fn results_are_in_order_and_late_items_block_no_others() {
        let started = Instant::now();
        // 400 items, 8 at once, 0.1 s each: 5 s.
        let (stream, _) =
            trial(400, Bounds { started: 1000, waiting: 1000, ..BOUNDS }, |item| item % 7 == 0, 2);
        let results: Vec<usize> = stream.collect().await;
        assert!(results.into_iter().eq(0..400));
        let took = started.elapsed().as_secs_f64();
        assert!((5.0..7.3).contains(&took), "{took} s");
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_results_than_allowed_wait_for_a_late_item() {
        for (bounds, most) in [(BOUNDS, 1 + 50 + 8), (Bounds { waiting: 1000, ..BOUNDS }, 100)] {
            let (stream, started) = trial(400, bounds, |item| item == 0, 60);
            let mut stream = Box::pin(stream);
            tokio::time::timeout(Duration::from_secs(50), stream.next())
                .await
                .expect_err("the first is late");
            let started = started.lock().expect("no panic").len();
            assert!((most - 8..=most).contains(&started), "{started} of {most}");
            let rest: Vec<usize> = stream.collect().await;
            assert!(rest.into_iter().eq(0..400));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_consumer_does_not_cause_reading_far_ahead() {
        let (stream, started) = trial(400, BOUNDS, |_| false, 0);
        let mut stream = Box::pin(stream);
        for taken in 1..20 {
            stream.next().await.expect("an item");
            sleep(Duration::from_secs(1)).await;
            let started = started.lock().expect("no panic").len();
            assert!(started <= taken + 2 * BOUNDS.slots, "{started} started when {taken} were taken");
        }
    }
}
