//! Rate limits of request classes.

use std::sync::Mutex as StdMutex;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::sync::lock;

/// The documented quota of tiles per day. The tile host blocks IP addresses at much lower rates.
///
/// Source: Mapillary API v4, rate limits.
pub const TILES_PER_DAY: u64 = 50_000;

/// The documented quota of entities per minute: images that are requested by id.
///
/// Source: Mapillary API v4, rate limits.
pub const ENTITIES_PER_MINUTE: u64 = 60_000;

/// The documented quota of searches per minute. To list the images of a sequence is one search.
///
/// Source: Mapillary API v4, rate limits.
pub const SEARCHES_PER_MINUTE: u64 = 10_000;

/// A rate limit: an average rate in requests per minute, and a burst.
///
/// ```
/// use streetflow::RateLimit;
///
/// let slow = RateLimit::per_minute(40.0).burst(20).jittered();
/// assert_eq!(slow.requests_per_minute(), 40.0);
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RateLimit {
    per_minute: f64,
    burst: u32,
    jittered: bool,
}

impl RateLimit {
    /// The default for `tiles.mapillary.com`: 40 per minute at random intervals, after a burst of 20.
    ///
    /// The host blocks IP addresses for about a day. No rate is known to be safe.
    pub const TILES: Self = Self { per_minute: 40.0, burst: 20, jittered: true };

    /// The default for entities of `graph.mapillary.com`: 48,000 per minute.
    ///
    /// The documented quota is 60,000 per minute; older versions of the documentation say 50,000.
    pub const ENTITIES: Self = Self { per_minute: 48_000.0, burst: 1_000, jittered: false };

    /// The default for searches of `graph.mapillary.com`: 9,000 per minute. The documented quota is 10,000.
    pub const SEARCHES: Self = Self { per_minute: 9_000.0, burst: 500, jittered: false };

    /// Creates a limit with an average rate, evenly spaced, without a burst. The rate must be above zero.
    pub fn per_minute(rate: f64) -> Self {
        Self { per_minute: rate.max(f64::MIN_POSITIVE), burst: 1, jittered: false }
    }

    /// Returns the average rate, in requests per minute.
    pub fn requests_per_minute(self) -> f64 {
        self.per_minute
    }

    /// Sets how many requests may go out at once after a pause; at least 1.
    pub fn burst(mut self, requests: u32) -> Self {
        self.burst = requests.max(1);
        self
    }

    /// The part of the limit for one of `count` processes that share it: rate and burst divided by `count`, at least 1.
    ///
    /// ```
    /// use streetflow::RateLimit;
    ///
    /// assert_eq!(RateLimit::SEARCHES.share(4).requests_per_minute(), 2250.0);
    /// ```
    pub fn share(mut self, count: u32) -> Self {
        let count = count.max(1);
        self.per_minute /= f64::from(count);
        self.burst = (self.burst / count).max(1);
        self
    }

    /// Spaces requests randomly instead of evenly. The average rate is the same.
    pub fn jittered(mut self) -> Self {
        self.jittered = true;
        self
    }
}

/// The rate limiter of one class.
///
/// It applies the rate limit, pauses that the API asks for, and a gap between requests while the API's allowance is
/// nearly used up.
pub(crate) struct RateLimiter {
    limit: Option<RateLimit>,
    // Locked during waits, so that requests go in the order of arrival.
    bucket: Mutex<TokenBucket>,
    throttle: StdMutex<Throttle>,
}

struct TokenBucket {
    tokens: f64,
    updated_at: Instant,
}

/// What holds requests back besides the rate limit.
#[derive(Default)]
struct Throttle {
    paused_until: Option<Instant>,
    /// The gap between requests, and when it was set.
    gap: Option<(Duration, Instant)>,
    last_request: Option<Instant>,
}

/// The usage of the API's allowance from which a class slows down, in percent.
const MAX_USAGE: f64 = 85.0;

/// The time in which a gap halves, unless the API reports its usage again.
const GAP_HALF_LIFE: Duration = Duration::from_secs(10);

/// A shorter gap is dropped.
const MIN_GAP: Duration = Duration::from_millis(5);

/// Returns the gap between requests at a usage in percent: 0.1 s above [`MAX_USAGE`], a minute at 100 %.
fn gap_at(percent: f64) -> Duration {
    if percent <= MAX_USAGE {
        return Duration::ZERO;
    }
    Duration::from_millis(100).mul_f64(600_f64.powf(((percent - MAX_USAGE) / (100.0 - MAX_USAGE)).min(1.0)))
}

impl Throttle {
    /// Returns the gap between requests, which decays with time.
    fn gap(&mut self, now: Instant) -> Duration {
        let Some((gap, since)) = self.gap else { return Duration::ZERO };
        let half_lives = now.duration_since(since).as_secs_f64() / GAP_HALF_LIFE.as_secs_f64();
        let gap = gap.mul_f64(0.5_f64.powf(half_lives));
        if gap < MIN_GAP {
            self.gap = None;
            return Duration::ZERO;
        }
        gap
    }

    /// Returns how long the next request must wait.
    fn wait(&mut self, now: Instant) -> Duration {
        let pause = self.paused_until.map_or(Duration::ZERO, |until| until.saturating_duration_since(now));
        let since = self.last_request.map_or(Duration::MAX, |last| now.duration_since(last));
        let wait = pause.max(self.gap(now).saturating_sub(since));
        if wait.is_zero() {
            self.paused_until = None;
        }
        wait
    }
}

impl RateLimiter {
    pub(crate) fn new(limit: Option<RateLimit>) -> Self {
        let tokens = limit.map_or(0.0, |limit| f64::from(limit.burst));
        let bucket = TokenBucket { tokens, updated_at: Instant::now() };
        Self { limit, bucket: Mutex::new(bucket), throttle: StdMutex::default() }
    }

    pub(crate) fn limit(&self) -> Option<RateLimit> {
        self.limit
    }

    /// Waits until a request may go. `on_wait` gets each wait before it begins.
    pub(crate) async fn acquire(&self, on_wait: impl Fn(Duration) + Send + Sync) {
        if self.limit.is_none() && self.try_start(Instant::now()) {
            return;
        }
        // Waits happen under the lock. Otherwise all waiting requests would go at once afterwards.
        let mut bucket = self.bucket.lock().await;
        let mut has_token = self.limit.is_none();
        loop {
            let now = Instant::now();
            let throttled = lock(&self.throttle).wait(now);
            let wait = match self.limit {
                _ if !throttled.is_zero() => throttled,
                Some(limit) if !has_token => {
                    has_token = true;
                    bucket.take(limit, now, fastrand::f64()).unwrap_or_default()
                }
                _ => Duration::ZERO,
            };
            if wait.is_zero() && has_token && self.try_start(now) {
                return;
            }
            if !wait.is_zero() {
                on_wait(wait);
                tokio::time::sleep(wait).await;
                if has_token {
                    bucket.updated_at = Instant::now();
                }
            }
        }
    }

    /// Marks a request as sent, unless requests are held back.
    fn try_start(&self, now: Instant) -> bool {
        let mut throttle = lock(&self.throttle);
        let may_start = throttle.wait(now).is_zero();
        if may_start {
            throttle.last_request = Some(now);
        }
        may_start
    }

    /// Applies the usage of the API's allowance, in percent. Returns true if requests are held back.
    pub(crate) fn apply_usage(&self, percent: f64) -> bool {
        let gap = gap_at(percent);
        lock(&self.throttle).gap = (!gap.is_zero()).then(|| (gap, Instant::now()));
        !gap.is_zero()
    }

    /// Holds all requests of the class back for a time.
    pub(crate) fn pause_for(&self, wait: Duration) {
        let until = Instant::now() + wait;
        let mut throttle = lock(&self.throttle);
        throttle.paused_until = Some(throttle.paused_until.map_or(until, |already| already.max(until)));
    }
}

impl TokenBucket {
    /// Takes a token. If there is none, returns the time until the next one and takes that. `chance` is uniform in 0..1.
    fn take(&mut self, limit: RateLimit, now: Instant, chance: f64) -> Option<Duration> {
        let per_second = limit.per_minute / 60.0;
        let refilled = self.tokens + now.duration_since(self.updated_at).as_secs_f64() * per_second;
        self.tokens = refilled.min(f64::from(limit.burst));
        self.updated_at = now;
        if self.tokens >= 1.0 {
            self.tokens -= 1.0;
            return None;
        }
        let mean = (1.0 - self.tokens) / per_second;
        self.tokens = 0.0;
        // Exponential gaps have the same mean and no regular interval.
        let gap = if limit.jittered { -(1.0 - chance).ln() } else { 1.0 };
        Some(Duration::try_from_secs_f64(mean * gap).unwrap_or(Duration::from_mins(1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn request_times(limit: RateLimit, requests: usize) -> Vec<f64> {
        let limiter = RateLimiter::new(Some(limit));
        let started = Instant::now();
        let mut times = Vec::new();
        for _ in 0..requests {
            limiter.acquire(|_| ()).await;
            times.push(started.elapsed().as_secs_f64());
        }
        times
    }

    #[tokio::test(start_paused = true)]
    async fn tiles_go_at_forty_per_minute_after_a_burst_of_twenty() {
        let times = request_times(RateLimit::TILES, 2020).await;
        assert!(times[19] < 0.001, "the burst goes at once");
        assert!(times[20] > 0.0, "and ends after twenty");
        let minutes = times[2019] / 60.0;
        assert!((45.0..56.0).contains(&minutes), "2,000 requests took {minutes} minutes");
        let gaps: Vec<f64> = times[20..].windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(gaps.iter().any(|gap| *gap < 0.5) && gaps.iter().any(|gap| *gap > 3.0), "random intervals");
    }

    #[tokio::test(start_paused = true)]
    async fn no_minute_of_searches_exceeds_the_documented_quota() {
        let times = request_times(RateLimit::SEARCHES, 30_000).await;
        let max = (0..times.len())
            .map(|from| times[from..].iter().take_while(|time| **time < times[from] + 60.0).count())
            .step_by(50)
            .max();
        assert!(max.is_some_and(|max| max <= 10_000), "{max:?} in one minute");
        assert!(times[29_999] < 250.0, "and the rate is reached: {} s", times[29_999]);
    }

    #[tokio::test(start_paused = true)]
    async fn after_a_pause_requests_go_on_without_a_spike() {
        let limiter = std::sync::Arc::new(RateLimiter::new(Some(RateLimit::per_minute(60.0).burst(2))));
        limiter.pause_for(Duration::from_mins(1));
        let started = Instant::now();
        let waiting = (0..10).map(|_| {
            let limiter = std::sync::Arc::clone(&limiter);
            tokio::spawn(async move {
                limiter.acquire(|_| ()).await;
                started.elapsed().as_secs_f64()
            })
        });
        let times: Vec<f64> =
            futures::future::join_all(waiting).await.into_iter().map(Result::unwrap).collect();
        assert!(times.iter().all(|time| *time >= 60.0), "{times:?}");
        assert_eq!(times.iter().filter(|time| **time < 60.5).count(), 2, "{times:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn the_longest_pause_counts() {
        let limiter = RateLimiter::new(None);
        limiter.pause_for(Duration::from_mins(1));
        limiter.pause_for(Duration::from_secs(1));
        let started = Instant::now();
        limiter.acquire(|_| ()).await;
        assert!(started.elapsed() >= Duration::from_mins(1));
    }

    /// Returns the wait of the second request and the time of all, after one report of the usage.
    async fn after_one_usage_report(percent: f64, requests: usize) -> (Duration, Duration) {
        let limiter = RateLimiter::new(None);
        assert!(limiter.apply_usage(percent));
        limiter.acquire(|_| ()).await;
        let started = Instant::now();
        limiter.acquire(|_| ()).await;
        let second = started.elapsed();
        for _ in 2..requests {
            limiter.acquire(|_| ()).await;
        }
        (second, started.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn one_usage_report_slows_a_class_only_for_a_while() {
        for (percent, min_wait, max_seconds) in
            [(86.0, 0.12, 60), (95.0, 3.0, 120), (100.0, 15.0, 150), (400.0, 15.0, 150)]
        {
            let (second, all) = after_one_usage_report(percent, 10_000).await;
            assert!(second.as_secs_f64() >= min_wait, "{percent} %: the next one waits {second:?}");
            assert!(all <= Duration::from_secs(max_seconds), "{percent} %: ten thousand took {all:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn requests_keep_a_gap_as_long_as_the_api_reports_high_usage() {
        let limiter = RateLimiter::new(None);
        let started = Instant::now();
        for _ in 0..100 {
            limiter.apply_usage(90.0);
            limiter.acquire(|_| ()).await;
        }
        assert!(started.elapsed() >= Duration::from_mins(1), "{:?}", started.elapsed());
        limiter.apply_usage(10.0);
        let started = Instant::now();
        limiter.acquire(|_| ()).await;
        assert!(started.elapsed().is_zero(), "and a lower usage counts at once");
    }
}
