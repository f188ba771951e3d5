//! Detects when requests get no response: to a person, that looks like a hang.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use streetflow::Event;

/// Start of the current stall in milliseconds since the run began, plus one; 0 means not stalled.
#[derive(Default)]
pub(crate) struct StallDetector(AtomicU64);

impl StallDetector {
    pub(crate) fn observe(&self, event: &Event<'_>, started: Instant) {
        match event {
            Event::Request { .. } => {
                let now = millis(started.elapsed()) + 1;
                self.0.compare_exchange(0, now, Ordering::Relaxed, Ordering::Relaxed).ok();
            }
            Event::Response { .. } | Event::Retry { .. } | Event::Failed { .. } | Event::Gone { .. } => {
                self.0.store(0, Ordering::Relaxed);
            }
            _ => {}
        }
    }

    /// How long the stall has lasted at `now`, a time since the run began; zero if not stalled.
    pub(crate) fn elapsed(&self, now: Duration) -> Duration {
        match self.0.load(Ordering::Relaxed) {
            0 => Duration::ZERO,
            since => Duration::from_millis(millis(now).saturating_sub(since - 1)),
        }
    }
}

pub(crate) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use streetflow::Class;

    #[test]
    fn a_stall_starts_with_a_request_and_ends_with_a_response() {
        let (stall, started) = (StallDetector::default(), Instant::now());
        let later = Duration::from_secs(100);
        assert_eq!(stall.elapsed(later), Duration::ZERO);
        stall.observe(&Event::Request { class: Class::Tile }, started);
        stall.observe(&Event::RateLimitWait { class: Class::Tile, wait: later }, started);
        assert!(stall.elapsed(later) > Duration::ZERO);
        stall.observe(&Event::Response { class: Class::Tile, bytes: 1 }, started);
        assert_eq!(stall.elapsed(later), Duration::ZERO);
    }
}
