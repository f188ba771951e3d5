//! The concurrency limiter under paused time.

use super::*;

/// The host group of pictures.
const PICTURES: usize = 2;

/// A host that responds after 0.1 s, and a log of the requests to it.
#[derive(Clone)]
struct MockHost {
    limiter: Arc<ConcurrencyLimiter>,
    log: Arc<Mutex<Log>>,
}

#[derive(Default)]
struct Log {
    /// When each request was sent, in seconds, and whether it was a first attempt.
    sent: Vec<(f64, bool)>,
    in_flight: usize,
    max_in_flight: usize,
    /// When each success came, in seconds.
    successes: Vec<f64>,
    smallest_limit: Option<usize>,
}

impl MockHost {
    fn new(concurrency: usize) -> Self {
        Self { limiter: ConcurrencyLimiter::new(concurrency), log: Arc::default() }
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().expect("no panic")
    }

    /// Sends an item until it succeeds, at most six times, with pauses that double.
    async fn send_item(self, started: Instant, outcome: impl Fn(f64, u32) -> Outcome) {
        for attempt in 0..6 {
            let priority = if attempt == 0 { Priority::First } else { Priority::Retry };
            let permit = self.limiter.acquire(PICTURES, priority).await;
            let at = started.elapsed().as_secs_f64();
            {
                let mut log = self.log();
                log.sent.push((at, attempt == 0));
                log.in_flight += 1;
                log.max_in_flight = log.max_in_flight.max(log.in_flight);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
            let outcome = outcome(at, attempt);
            let limit = permit.report(outcome, attempt == 0);
            {
                let mut log = self.log();
                log.in_flight -= 1;
                log.smallest_limit = log.smallest_limit.into_iter().chain(limit).min();
                if outcome == Outcome::Responded {
                    log.successes.push(started.elapsed().as_secs_f64());
                }
            }
            drop(permit);
            if outcome == Outcome::Responded {
                return;
            }
            tokio::time::sleep(Duration::from_millis(500 << attempt)).await;
        }
    }

    /// Sends items all at once and returns how long they took, in seconds.
    async fn run(
        &self,
        items: usize,
        outcome: impl Fn(usize, f64, u32) -> Outcome + Clone + Send + 'static,
    ) -> f64 {
        let started = Instant::now();
        let mut tasks = tokio::task::JoinSet::new();
        for item in 0..items {
            let outcome = outcome.clone();
            tasks.spawn(self.clone().send_item(started, move |at, attempt| outcome(item, at, attempt)));
        }
        while tasks.join_next().await.is_some() {}
        started.elapsed().as_secs_f64()
    }
}

/// Whether an item is bad: random, but the same in each run.
fn is_bad(item: usize, percent: u64) -> bool {
    (item as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32 & 0xffff < percent * 0xffff / 100
}

/// Returns when 90 % of the successes had come. The last 10 % depend on chance.
fn time_of_most_successes(host: &MockHost) -> f64 {
    let successes = &host.log().successes;
    successes[successes.len() * 9 / 10]
}

#[tokio::test(start_paused = true)]
async fn items_that_always_fail_neither_lower_the_limit_nor_delay_good_items() {
    let undisturbed = MockHost::new(64);
    undisturbed.run(6400, |_, _, _| Outcome::Responded).await;
    let expected = time_of_most_successes(&undisturbed);
    for (percent, outcome) in
        [(10, Outcome::Failed), (20, Outcome::Failed), (20, Outcome::InvalidBody), (45, Outcome::InvalidBody)]
    {
        let host = MockHost::new(64);
        host.run(6400, move |item, _, _| if is_bad(item, percent) { outcome } else { Outcome::Responded })
            .await;
        let log = host.log();
        assert_eq!(log.smallest_limit, None, "{percent} %: the limit never changed");
        assert_eq!(log.max_in_flight, 64);
        let took = log.successes[log.successes.len() * 9 / 10];
        // Per good item; each bad item delays them by its first attempt only.
        assert!(took <= expected * 1.06, "{percent} %: {took} s, {expected} s without bad items");
    }
}

#[tokio::test(start_paused = true)]
async fn items_that_fail_once_take_one_more_request_and_delay_no_others() {
    let host = MockHost::new(64);
    let took = host
        .run(
            6400,
            |item, _, attempt| {
                if attempt == 0 && is_bad(item, 14) { Outcome::Failed } else { Outcome::Responded }
            },
        )
        .await;
    let log = host.log();
    assert_eq!((log.successes.len(), log.smallest_limit), (6400, None));
    #[expect(clippy::cast_precision_loss, reason = "small")]
    let ideal = log.sent.len() as f64 / 640.0;
    assert!(took <= ideal + 1.0, "{took} s, {ideal} s at full speed");
}

#[tokio::test(start_paused = true)]
async fn few_requests_go_out_during_an_outage_and_full_speed_returns_after_it() {
    let host = MockHost::new(64);
    let outage = 60.0..660.0;
    let down = outage.clone();
    // More items than could fail during the outage.
    host.run(50_000, move |_, at, _| if down.contains(&at) { Outcome::Failed } else { Outcome::Responded })
        .await;
    let log = host.log();
    let sent = |from: f64, to: f64| log.sent.iter().filter(|(at, _)| (from..to).contains(at)).count();
    let in_outage = sent(outage.start, outage.end);
    assert!((600..=900).contains(&in_outage), "{in_outage} requests in ten minutes");
    let seconds = (120..660).map(|second| sent(f64::from(second), f64::from(second + 1))).max();
    assert!(seconds <= Some(2), "{seconds:?} in one second");
    let back = log.successes.iter().filter(|at| (outage.end..outage.end + 10.0).contains(*at)).count();
    assert!(back > 2000, "{back} successes in the ten seconds after the outage");
    assert_eq!(log.successes.len(), 50_000, "no item used all its attempts");
}

#[tokio::test(start_paused = true)]
async fn if_every_body_is_invalid_the_host_counts_as_failing() {
    let host = MockHost::new(64);
    let run = host.run(5000, |_, _, _| Outcome::InvalidBody);
    tokio::time::timeout(Duration::from_mins(1), run).await.expect_err("the requests are held back");
    let sent = host.log().sent.len();
    assert!(sent < 400, "{sent} requests in a minute");
}

#[tokio::test(start_paused = true)]
async fn simultaneous_rate_limit_responses_halve_the_limit_once() {
    let limiter = ConcurrencyLimiter::new(64);
    let mut permits = Vec::new();
    for _ in 0..64 {
        permits.push(limiter.acquire(1, Priority::First).await);
    }
    let limits: Vec<_> =
        permits.iter().filter_map(|permit| permit.report(Outcome::RateLimited, true)).collect();
    assert_eq!(limits, [32], "64 responses count as one");
    drop(permits);
    let permit = limiter.acquire(1, Priority::First).await;
    let grown: Vec<_> = (0..40).filter_map(|_| permit.report(Outcome::Responded, true)).collect();
    assert_eq!(grown, [49]);
}

#[tokio::test(start_paused = true)]
async fn retries_get_a_share_however_many_first_attempts_wait() {
    let limiter = ConcurrencyLimiter::new(1);
    let permit = limiter.acquire(PICTURES, Priority::First).await;
    let order = Arc::new(Mutex::new(Vec::new()));
    let mut tasks = tokio::task::JoinSet::new();
    let priorities = std::iter::repeat_n(Priority::Retry, 4).chain(std::iter::repeat_n(Priority::First, 96));
    for priority in priorities {
        let (limiter, order) = (Arc::clone(&limiter), Arc::clone(&order));
        tasks.spawn(async move {
            let _permit = limiter.acquire(PICTURES, priority).await;
            order.lock().expect("no panic").push(priority);
        });
        tokio::task::yield_now().await;
    }
    drop(permit);
    while tasks.join_next().await.is_some() {}
    let order = order.lock().expect("no panic");
    let retries: Vec<_> = (0..order.len()).filter(|at| order[*at] == Priority::Retry).collect();
    assert_eq!(retries, [30, 62, 94, 99]);
}

#[tokio::test(start_paused = true)]
async fn all_hosts_share_the_concurrency_in_the_order_of_arrival() {
    let limiter = ConcurrencyLimiter::new(2);
    let held = (limiter.acquire(0, Priority::First).await, limiter.acquire(1, Priority::First).await);
    let order = Arc::new(Mutex::new(Vec::new()));
    let mut tasks = tokio::task::JoinSet::new();
    for (at, host) in [2, 1, 2, 0].into_iter().enumerate() {
        let (limiter, order) = (Arc::clone(&limiter), Arc::clone(&order));
        tasks.spawn(async move {
            let _permit = limiter.acquire(host, Priority::First).await;
            order.lock().expect("no panic").push(at);
        });
        tokio::task::yield_now().await;
    }
    // A request that is dropped uses no permit.
    let given_up = Box::pin(limiter.acquire(0, Priority::First));
    assert!(futures::FutureExt::now_or_never(given_up).is_none());
    assert!(order.lock().expect("no panic").is_empty());
    drop(held);
    while tasks.join_next().await.is_some() {}
    assert_eq!(*order.lock().expect("no panic"), [0, 1, 2, 3]);
    assert_eq!(limiter.state().free, 2);
}
