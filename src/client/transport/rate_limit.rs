//! How fast requests of a class may follow one another.

use std::sync::Mutex as StdMutex;
use std::sync::{MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

/// How fast requests may follow one another: an average, and a burst that may go ahead of it.
///
/// ```
/// use streetflow::RateLimit;
///
/// let gentle = RateLimit::per_minute(40.0).burst(20).jittered();
/// # let _ = gentle;
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RateLimit {
    per_minute: f64,
    burst: u32,
    jittered: bool,
}

impl RateLimit {
    /// The pace for `tiles.mapillary.com`: that host blocks addresses for a day, and no rate is known to be safe.
    pub const TILES: Self = Self { per_minute: 40.0, burst: 20, jittered: true };

    /// The pace for entities of `graph.mapillary.com`: below the older documented limit of 50,000 a minute.
    pub const ENTITIES: Self = Self { per_minute: 48_000.0, burst: 1_000, jittered: false };

    /// The pace for searches of `graph.mapillary.com`: below the documented 10,000 a minute.
    pub const SEARCHES: Self = Self { per_minute: 9_000.0, burst: 500, jittered: false };

    /// So many requests a minute on average, evenly spaced; it must be more than zero.
    pub fn per_minute(rate: f64) -> Self {
        Self { per_minute: rate.max(f64::MIN_POSITIVE), burst: 1, jittered: false }
    }

    /// How many requests a minute it allows on average.
    pub fn requests_per_minute(self) -> f64 {
        self.per_minute
    }

    /// How many requests may go at once after a pause.
    pub fn burst(mut self, requests: u32) -> Self {
        self.burst = requests.max(1);
        self
    }

    /// Spaces requests at random instead of evenly; the average stays.
    pub fn jittered(mut self) -> Self {
        self.jittered = true;
        self
    }
}

/// The rate limit of one class: its pace, pauses that the API asks for, and a distance between requests while the
/// API's allowance is nearly used up.
pub(crate) struct Quota {
    pace: Option<RateLimit>,
    // Held while waiting, so that requests go in the order they came.
    bucket: Mutex<Bucket>,
    held: StdMutex<Held>,
}

struct Bucket {
    tokens: f64,
    at: Instant,
}

/// Why requests are held back, apart from the pace.
#[derive(Default)]
struct Held {
    paused_until: Option<Instant>,
    /// How far apart requests are, and since when that is known.
    gap: Option<(Duration, Instant)>,
    /// When the latest request went.
    went: Option<Instant>,
}

/// The percentage of the API's allowance from which on a class slows down.
const FULL: f64 = 85.0;

/// What the API said of its allowance loses half its weight in this time, unless it is said again.
const USAGE_HALF_LIFE: Duration = Duration::from_secs(10);

/// A shorter distance between requests than this is none.
const SHORTEST_GAP: Duration = Duration::from_millis(5);

/// How far apart requests are at so many percent: a tenth of a second at first, a minute at a hundred.
fn gap_at(percent: f64) -> Duration {
    if percent <= FULL {
        return Duration::ZERO;
    }
    Duration::from_millis(100).mul_f64(600_f64.powf(((percent - FULL) / (100.0 - FULL)).min(1.0)))
}

impl Held {
    /// The distance between requests by now.
    fn gap(&mut self, now: Instant) -> Duration {
        let Some((gap, since)) = self.gap else { return Duration::ZERO };
        let half_lives = now.duration_since(since).as_secs_f64() / USAGE_HALF_LIFE.as_secs_f64();
        let gap = gap.mul_f64(0.5_f64.powf(half_lives));
        if gap < SHORTEST_GAP {
            self.gap = None;
            return Duration::ZERO;
        }
        gap
    }

    /// How long until the next request may go.
    fn wait(&mut self, now: Instant) -> Duration {
        let pause = self.paused_until.map_or(Duration::ZERO, |until| until.saturating_duration_since(now));
        let since = self.went.map_or(Duration::MAX, |went| now.duration_since(went));
        let wait = pause.max(self.gap(now).saturating_sub(since));
        if wait.is_zero() {
            self.paused_until = None;
        }
        wait
    }
}

impl Quota {
    pub(crate) fn new(pace: Option<RateLimit>) -> Self {
        let tokens = pace.map_or(0.0, |pace| f64::from(pace.burst));
        Self { pace, bucket: Mutex::new(Bucket { tokens, at: Instant::now() }), held: StdMutex::default() }
    }

    pub(crate) fn pace(&self) -> Option<RateLimit> {
        self.pace
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until a request may go; `told` is called with each wait before it begins.
    pub(crate) async fn turn(&self, told: impl Fn(Duration)) {
        if self.pace.is_none() && self.go(Instant::now()) {
            return;
        }
        // Waits are waited out under the lock, or all that wait would go at once when they end.
        let mut bucket = self.bucket.lock().await;
        let mut has_token = self.pace.is_none();
        loop {
            let now = Instant::now();
            let held = self.held().wait(now);
            let wait = match self.pace {
                _ if !held.is_zero() => held,
                Some(pace) if !has_token => {
                    has_token = true;
                    bucket.take(pace, now, fastrand::f64()).unwrap_or_default()
                }
                _ => Duration::ZERO,
            };
            if wait.is_zero() && has_token && self.go(now) {
                return;
            }
            if !wait.is_zero() {
                told(wait);
                tokio::time::sleep(wait).await;
                if has_token {
                    bucket.at = Instant::now();
                }
            }
        }
    }

    /// Lets a request go, unless requests are held back.
    fn go(&self, now: Instant) -> bool {
        let mut held = self.held();
        let goes = held.wait(now).is_zero();
        if goes {
            held.went = Some(now);
        }
        goes
    }

    /// Takes note of how much of the API's allowance is used; true if requests are held back for it.
    pub(crate) fn used(&self, percent: f64) -> bool {
        let gap = gap_at(percent);
        self.held().gap = (!gap.is_zero()).then(|| (gap, Instant::now()));
        !gap.is_zero()
    }

    /// Lets no request of the class go before so long.
    pub(crate) fn pause_for(&self, wait: Duration) {
        let until = Instant::now() + wait;
        let mut held = self.held();
        held.paused_until = Some(held.paused_until.map_or(until, |already| already.max(until)));
    }
}

impl Bucket {
    /// Takes a token, or says how long until there is one and takes that. `chance` is uniform in 0..1.
    fn take(&mut self, pace: RateLimit, now: Instant, chance: f64) -> Option<Duration> {
        let per_second = pace.per_minute / 60.0;
        let refilled = self.tokens + now.duration_since(self.at).as_secs_f64() * per_second;
        self.tokens = refilled.min(f64::from(pace.burst));
        self.at = now;
        if self.tokens >= 1.0 {
            self.tokens -= 1.0;
            return None;
        }
        let mean = (1.0 - self.tokens) / per_second;
        self.tokens = 0.0;
        // Exponential gaps have the given mean and no rhythm.
        let gap = if pace.jittered { -(1.0 - chance).ln() } else { 1.0 };
        Some(Duration::try_from_secs_f64(mean * gap).unwrap_or(Duration::from_mins(1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn times(pace: RateLimit, requests: usize) -> Vec<f64> {
        let quota = Quota::new(Some(pace));
        let started = Instant::now();
        let mut times = Vec::new();
        for _ in 0..requests {
            quota.turn(|_| ()).await;
            times.push(started.elapsed().as_secs_f64());
        }
        times
    }

    #[tokio::test(start_paused = true)]
    async fn the_tile_pace_is_forty_a_minute_after_a_burst_of_twenty() {
        let times = times(RateLimit::TILES, 2020).await;
        assert!(times[19] < 0.001, "the burst goes at once");
        assert!(times[20] > 0.0, "and ends after twenty");
        let minutes = times[2019] / 60.0;
        assert!((45.0..56.0).contains(&minutes), "2,000 requests took {minutes} minutes");
        let gaps: Vec<f64> = times[20..].windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(gaps.iter().any(|gap| *gap < 0.5) && gaps.iter().any(|gap| *gap > 3.0), "no rhythm");
    }

    #[tokio::test(start_paused = true)]
    async fn no_minute_of_searches_exceeds_the_documented_quota() {
        let times = times(RateLimit::SEARCHES, 30_000).await;
        let most = (0..times.len())
            .map(|from| times[from..].iter().take_while(|time| **time < times[from] + 60.0).count())
            .step_by(50)
            .max();
        assert!(most.is_some_and(|most| most <= 10_000), "{most:?} in one minute");
        assert!(times[29_999] < 250.0, "and the pace is used: {} s", times[29_999]);
    }

    #[tokio::test(start_paused = true)]
    async fn after_a_pause_the_pace_goes_on_without_a_spike() {
        let quota = std::sync::Arc::new(Quota::new(Some(RateLimit::per_minute(60.0).burst(2))));
        quota.pause_for(Duration::from_mins(1));
        let started = Instant::now();
        let waiting = (0..10).map(|_| {
            let quota = std::sync::Arc::clone(&quota);
            tokio::spawn(async move {
                quota.turn(|_| ()).await;
                started.elapsed().as_secs_f64()
            })
        });
        let times: Vec<f64> =
            futures::future::join_all(waiting).await.into_iter().map(Result::unwrap).collect();
        assert!(times.iter().all(|time| *time >= 60.0), "{times:?}");
        assert_eq!(times.iter().filter(|time| **time < 60.5).count(), 2, "{times:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_holds_everyone_back() {
        let quota = Quota::new(None);
        quota.pause_for(Duration::from_mins(1));
        quota.pause_for(Duration::from_secs(1));
        let started = Instant::now();
        quota.turn(|_| ()).await;
        assert!(started.elapsed() >= Duration::from_mins(1));
    }

    /// How long so many requests take after the API said once how much of its allowance is used.
    async fn after_one_word_on_usage(percent: f64, requests: usize) -> (Duration, Duration) {
        let quota = Quota::new(None);
        assert!(quota.used(percent));
        quota.turn(|_| ()).await;
        let started = Instant::now();
        quota.turn(|_| ()).await;
        let second = started.elapsed();
        for _ in 2..requests {
            quota.turn(|_| ()).await;
        }
        (second, started.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn one_word_on_the_allowance_slows_a_class_for_a_while_and_not_for_the_rest_of_the_run() {
        for (percent, least, most) in
            [(86.0, 0.12, 60), (95.0, 3.0, 120), (100.0, 15.0, 150), (400.0, 15.0, 150)]
        {
            let (second, all) = after_one_word_on_usage(percent, 10_000).await;
            assert!(second.as_secs_f64() >= least, "{percent} %: the next one waits {second:?}");
            assert!(all <= Duration::from_secs(most), "{percent} %: ten thousand took {all:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn as_long_as_the_api_says_so_requests_keep_their_distance() {
        let quota = Quota::new(None);
        let started = Instant::now();
        for _ in 0..100 {
            quota.used(90.0);
            quota.turn(|_| ()).await;
        }
        assert!(started.elapsed() >= Duration::from_mins(1), "{:?}", started.elapsed());
        quota.used(10.0);
        let started = Instant::now();
        quota.turn(|_| ()).await;
        assert!(started.elapsed().is_zero(), "and a better word counts at once");
    }
}
