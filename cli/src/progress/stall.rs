//! How long a host has left us without a word: what looks like a hang is to be told.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use streetflow::Event;

/// When the first request was sent of which, and since which, nothing has come: in milliseconds after the run's start,
/// and one more, for 0 is that there is none.
#[derive(Default)]
pub(crate) struct Silence(AtomicU64);

impl Silence {
    pub(crate) fn note(&self, event: &Event<'_>, started: Instant) {
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

    /// How long it has been at a time after the run's start.
    pub(crate) fn lasts(&self, now: Duration) -> Duration {
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
    fn silence_begins_with_a_request_and_ends_with_an_answer() {
        let (silence, started) = (Silence::default(), Instant::now());
        let later = Duration::from_secs(100);
        assert_eq!(silence.lasts(later), Duration::ZERO);
        silence.note(&Event::Request { class: Class::Tile }, started);
        silence.note(&Event::RateLimitWait { class: Class::Tile, wait: later }, started);
        assert!(silence.lasts(later) > Duration::ZERO);
        silence.note(&Event::Response { class: Class::Tile, bytes: 1 }, started);
        assert_eq!(silence.lasts(later), Duration::ZERO);
    }
}
