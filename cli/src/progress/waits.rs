//! What a run waits for.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::progress::stall::millis;
use crate::terminal::format::human_time;
use streetflow::{Class, Event};

/// A word on the allowance counts so long.
const ALLOWANCE: Duration = Duration::from_mins(1);

/// The waits that were told of last, in milliseconds after the run's start.
#[derive(Default)]
pub(crate) struct Waits {
    /// When the wait for the turn of each class is over.
    turn: [AtomicU64; 4],
    /// When the longest wait for another attempt is over.
    retry: AtomicU64,
    /// The allowance that is used, in percent, and since when that is known.
    used: [AtomicU64; 2],
    /// How many requests a host takes at once, once it has pushed back: tiles, Graph, pictures.
    limits: [AtomicUsize; 3],
}

impl Waits {
    pub(crate) fn note(&self, event: &Event<'_>, started: Instant) {
        // Most events are of records, which are many: for those not even the clock is read.
        let now = || started.elapsed();
        match event {
            Event::RateLimitWait { class, wait } => {
                self.turn[*class as usize].fetch_max(millis(now() + *wait), Ordering::Relaxed);
            }
            Event::Retry { wait, .. } => {
                self.retry.fetch_max(millis(now() + *wait), Ordering::Relaxed);
            }
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a percentage")]
            Event::ApiUsage { percent, .. } => {
                self.used[0].store(percent.clamp(0.0, 1000.0) as u64, Ordering::Relaxed);
                self.used[1].store(millis(now()), Ordering::Relaxed);
            }
            Event::Concurrency { class, limit } => {
                self.limits[host(*class)].store(*limit, Ordering::Relaxed);
            }
            _ => {}
        }
    }

    /// How long until the next request of a class may go.
    pub(crate) fn turn_of(&self, class: Class, now: Duration) -> Option<Duration> {
        left(&self.turn[class as usize], now)
    }

    /// All of them but for the pace of tiles, in words.
    pub(crate) fn words(&self, now: Duration, concurrency: usize) -> Vec<String> {
        let mut words = Vec::new();
        let used = self.used[0].load(Ordering::Relaxed);
        let since = Duration::from_millis(self.used[1].load(Ordering::Relaxed));
        if used > 0 && now.saturating_sub(since) < ALLOWANCE {
            words.push(format!("{used} % of Mapillary's allowance used"));
        }
        for (class, what) in [(Class::Entity, "metadata"), (Class::Search, "lists")] {
            if let Some(wait) = self.turn_of(class, now) {
                words.push(format!("{what} wait {} for their turn", human_time(wait.as_secs_f64())));
            }
        }
        for (limit, what) in self.limits.iter().zip(["tiles", "Graph", "pictures"]) {
            let limit = limit.load(Ordering::Relaxed);
            if (1..concurrency).contains(&limit) {
                words.push(format!("{what}: {limit} of {concurrency} at once, the host pushes back"));
            }
        }
        if let Some(wait) = left(&self.retry, now) {
            words.push(format!("next attempt in {}", human_time(wait.as_secs_f64())));
        }
        words
    }
}

fn host(class: Class) -> usize {
    match class {
        Class::Tile => 0,
        Class::Entity | Class::Search => 1,
        // The picture host, and hosts of classes to come.
        _ => 2,
    }
}

fn left(until: &AtomicU64, now: Duration) -> Option<Duration> {
    let left = Duration::from_millis(until.load(Ordering::Relaxed)).checked_sub(now)?;
    (!left.is_zero()).then_some(left)
}

#[cfg(test)]
mod tests {
    use super::*;
    use streetflow::{Error, ErrorKind};

    #[test]
    fn waits_are_told_while_they_last() {
        let (waits, started) = (Waits::default(), Instant::now());
        assert!(waits.words(Duration::ZERO, 64).is_empty());
        let error = Error::new(ErrorKind::Unavailable, "try");
        for event in [
            Event::RateLimitWait { class: Class::Tile, wait: Duration::from_secs(5) },
            Event::RateLimitWait { class: Class::Search, wait: Duration::from_secs(3) },
            Event::Retry { class: Class::Entity, error: &error, attempt: 1, wait: Duration::from_secs(20) },
            Event::Concurrency { class: Class::Picture, limit: 16 },
            Event::ApiUsage { class: Class::Entity, percent: 92.4 },
        ] {
            waits.note(&event, started);
        }
        let words = waits.words(started.elapsed(), 64).join("; ");
        for part in ["92 % of", "lists wait", "pictures: 16 of 64 at once", "next attempt in"] {
            assert!(words.contains(part), "{words}");
        }
        assert!(waits.turn_of(Class::Tile, started.elapsed()).is_some());
        let later = started.elapsed() + Duration::from_mins(2);
        assert_eq!(waits.words(later, 64), ["pictures: 16 of 64 at once, the host pushes back"]);
        waits.note(&Event::Concurrency { class: Class::Picture, limit: 64 }, started);
        assert!(waits.words(later, 64).is_empty());
    }
}
