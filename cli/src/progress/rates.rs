//! How fast a run goes: counts of the last minute, a second apart.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Rates are those of so long.
const RECENT: Duration = Duration::from_secs(10);

/// Nothing older is kept.
const KEPT: Duration = Duration::from_mins(1);

/// Counts are noted so often.
const EVERY: Duration = Duration::from_secs(1);

/// Counts that only grow, with their recent past.
pub(crate) struct Pulse {
    began: Instant,
    beats: Mutex<VecDeque<Beat>>,
}

struct Beat {
    at: Instant,
    counts: Vec<u64>,
}

impl Pulse {
    pub(crate) fn new(began: Instant) -> Self {
        Self { began, beats: Mutex::default() }
    }

    /// Notes the counts of now, unless they were noted a moment ago.
    pub(crate) fn beat(&self, at: Instant, counts: impl FnOnce() -> Vec<u64>) {
        let mut beats = self.beats.lock().unwrap_or_else(PoisonError::into_inner);
        if beats.back().is_some_and(|last| at.duration_since(last.at) < EVERY) {
            return;
        }
        beats.push_back(Beat { at, counts: counts() });
        // One that is older than the minute is kept, to tell what came in the whole of it.
        while beats.get(1).is_some_and(|second| at.duration_since(second.at) >= KEPT) {
            beats.pop_front();
        }
    }

    /// How much a count, which now is so much, grows in a second.
    #[expect(clippy::cast_precision_loss, reason = "for show")]
    pub(crate) fn rate(&self, of: usize, now: u64, at: Instant) -> f64 {
        let (since, before) = self.since(of, RECENT, at);
        now.saturating_sub(before) as f64 / at.duration_since(since).as_secs_f64().max(0.1)
    }

    /// How much a count has grown in the last minute.
    pub(crate) fn in_the_last_minute(&self, of: usize, now: u64, at: Instant) -> u64 {
        now.saturating_sub(self.since(of, KEPT, at).1)
    }

    /// When that long ago was, or the beginning if the run is younger, and the count of then.
    fn since(&self, of: usize, long: Duration, at: Instant) -> (Instant, u64) {
        let beats = self.beats.lock().unwrap_or_else(PoisonError::into_inner);
        if at.duration_since(self.began) <= long {
            return (self.began, 0);
        }
        let beat = beats.iter().rev().find(|beat| at.duration_since(beat.at) >= long).or(beats.front());
        beat.map_or((self.began, 0), |beat| (beat.at, beat.counts.get(of).copied().unwrap_or_default()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_recent_and_begin_with_the_run() {
        let began = Instant::now();
        let pulse = Pulse::new(began);
        let after = |seconds: u64| began + Duration::from_secs(seconds);
        assert!((pulse.rate(0, 8, after(4)) - 2.0).abs() < 0.01, "of all there is");
        // Five a second for 100 seconds, then nothing.
        for second in 0..=200 {
            let count = 5 * second.min(100);
            pulse.beat(after(second), || vec![0, count]);
            if second == 50 {
                assert!((pulse.rate(1, count, after(second)) - 5.0).abs() < 0.01);
            }
        }
        assert_eq!(pulse.in_the_last_minute(1, 500, after(200)), 0);
        assert!(pulse.rate(1, 500, after(200)).abs() < 0.01);
        assert_eq!(pulse.in_the_last_minute(1, 530, after(200)), 30);
        assert!(pulse.beats.lock().expect("a list").len() < 70, "a minute and little more is kept");
    }
}
