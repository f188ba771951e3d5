//! Current rates, from samples of growing counts.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::sync::lock;

/// A rate is the mean over this period.
const RATE_PERIOD: Duration = Duration::from_secs(10);

/// Older samples are dropped.
const MAX_SAMPLE_AGE: Duration = Duration::from_mins(1);

/// Minimum time between two samples.
const SAMPLE_INTERVAL: Duration = Duration::from_secs(1);

/// Samples of counts during the last minute.
pub(crate) struct RateMeter {
    started: Instant,
    samples: Mutex<VecDeque<Sample>>,
}

struct Sample {
    at: Instant,
    counts: Vec<u64>,
}

impl RateMeter {
    pub(crate) fn new(started: Instant) -> Self {
        Self { started, samples: Mutex::default() }
    }

    /// Stores the counts of now, unless the last sample is less than a second old.
    pub(crate) fn sample(&self, at: Instant, counts: impl FnOnce() -> Vec<u64>) {
        let mut samples = lock(&self.samples);
        if samples.back().is_some_and(|last| at.duration_since(last.at) < SAMPLE_INTERVAL) {
            return;
        }
        samples.push_back(Sample { at, counts: counts() });
        // One sample older than a minute stays, so that the last minute is covered completely.
        while samples.get(1).is_some_and(|second| at.duration_since(second.at) >= MAX_SAMPLE_AGE) {
            samples.pop_front();
        }
    }

    /// Growth per second of the count at `index`; `now` is its current value.
    #[expect(clippy::cast_precision_loss, reason = "for display")]
    pub(crate) fn per_second(&self, index: usize, now: u64, at: Instant) -> f64 {
        let (since, before) = self.before(index, RATE_PERIOD, at);
        now.saturating_sub(before) as f64 / at.duration_since(since).as_secs_f64().max(0.1)
    }

    /// Growth per second of the count at `index` during the last minute, for counts that grow slowly.
    #[expect(clippy::cast_precision_loss, reason = "for display")]
    pub(crate) fn per_second_lately(&self, index: usize, now: u64, at: Instant) -> f64 {
        let (since, before) = self.before(index, MAX_SAMPLE_AGE, at);
        now.saturating_sub(before) as f64 / at.duration_since(since).as_secs_f64().max(0.1)
    }

    /// Growth during the last minute of the count at `index`; `now` is its current value.
    pub(crate) fn in_last_minute(&self, index: usize, now: u64, at: Instant) -> u64 {
        now.saturating_sub(self.before(index, MAX_SAMPLE_AGE, at).1)
    }

    /// The count at `index` one `period` ago and the time of that sample; 0 at the start if the run is younger.
    fn before(&self, index: usize, period: Duration, at: Instant) -> (Instant, u64) {
        let samples = lock(&self.samples);
        if at.duration_since(self.started) <= period {
            return (self.started, 0);
        }
        let sample = samples.iter().rev().find(|sample| at.duration_since(sample.at) >= period);
        sample.or(samples.front()).map_or((self.started, 0), |sample| {
            (sample.at, sample.counts.get(index).copied().unwrap_or_default())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_recent_and_start_with_the_run() {
        let started = Instant::now();
        let rates = RateMeter::new(started);
        let after = |seconds: u64| started + Duration::from_secs(seconds);
        assert!((rates.per_second(0, 8, after(4)) - 2.0).abs() < 0.01, "mean since the start");
        // Five a second for 100 seconds, then nothing.
        for second in 0..=200 {
            let count = 5 * second.min(100);
            rates.sample(after(second), || vec![0, count]);
            if second == 50 {
                assert!((rates.per_second(1, count, after(second)) - 5.0).abs() < 0.01);
            }
        }
        assert_eq!(rates.in_last_minute(1, 500, after(200)), 0);
        assert!(rates.per_second(1, 500, after(200)).abs() < 0.01);
        assert_eq!(rates.in_last_minute(1, 530, after(200)), 30);
        assert!(rates.samples.lock().expect("a list").len() < 70, "little more than a minute of samples");
    }
}
