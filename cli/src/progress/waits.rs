//! What a run waits for.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::progress::stall::millis;
use crate::terminal::format::human_time;
use streetflow::{Class, Event};

/// How long a reported API usage is shown.
const USAGE_MAX_AGE: Duration = Duration::from_mins(1);

/// The latest waits. Times are in milliseconds since the run began.
#[derive(Default)]
pub(crate) struct Waits {
    /// When the next request of each class may be sent.
    next_request: [AtomicU64; 4],
    /// When the longest wait before a retry ends.
    next_retry: AtomicU64,
    /// Used share of the API's rate limit, in percent.
    usage_percent: AtomicU64,
    /// When the usage was reported.
    usage_at: AtomicU64,
    /// Requests in flight that each host accepts, after it slowed us down: tiles, Graph API, pictures.
    host_limits: [AtomicUsize; 3],
}

impl Waits {
    pub(crate) fn observe(&self, event: &Event<'_>, started: Instant) {
        // Reads the clock only for these events: most events are of records, which are many.
        let now = || started.elapsed();
        match event {
            Event::RateLimitWait { class, wait } => {
                self.next_request[*class as usize].fetch_max(millis(now() + *wait), Ordering::Relaxed);
            }
            Event::Retry { wait, .. } => {
                self.next_retry.fetch_max(millis(now() + *wait), Ordering::Relaxed);
            }
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a percentage")]
            Event::ApiUsage { percent, .. } => {
                self.usage_percent.store(percent.clamp(0.0, 1000.0) as u64, Ordering::Relaxed);
                self.usage_at.store(millis(now()), Ordering::Relaxed);
            }
            Event::Concurrency { class, limit } => {
                self.host_limits[host(*class)].store(*limit, Ordering::Relaxed);
            }
            _ => {}
        }
    }

    /// How long until the next request of a class may be sent, if it waits for the rate limit.
    pub(crate) fn until_next_request(&self, class: Class, now: Duration) -> Option<Duration> {
        time_until(&self.next_request[class as usize], now)
    }

    /// Describes all waits except the one for the rate limit of tiles.
    pub(crate) fn descriptions(&self, now: Duration, concurrency: usize) -> Vec<String> {
        let mut texts = Vec::new();
        let usage = self.usage_percent.load(Ordering::Relaxed);
        let reported = Duration::from_millis(self.usage_at.load(Ordering::Relaxed));
        if usage > 0 && now.saturating_sub(reported) < USAGE_MAX_AGE {
            texts.push(format!("{usage} % of Mapillary's rate limit used"));
        }
        for (class, what) in [(Class::Entity, "metadata"), (Class::Search, "image lists")] {
            if let Some(wait) = self.until_next_request(class, now) {
                let wait = human_time(wait.as_secs_f64());
                texts.push(format!("rate limit: next request for {what} in {wait}"));
            }
        }
        for (limit, host) in self.host_limits.iter().zip(["tiles", "Graph API", "pictures"]) {
            let limit = limit.load(Ordering::Relaxed);
            if (1..concurrency).contains(&limit) {
                texts.push(format!("{host}: host overloaded, {limit} of {concurrency} requests in flight"));
            }
        }
        if let Some(wait) = time_until(&self.next_retry, now) {
            texts.push(format!("next retry in {}", human_time(wait.as_secs_f64())));
        }
        texts
    }
}

/// The index of a class's host in `host_limits`.
fn host(class: Class) -> usize {
    match class {
        Class::Tile => 0,
        Class::Entity | Class::Search => 1,
        // The picture host, and hosts of future classes.
        _ => 2,
    }
}

fn time_until(at: &AtomicU64, now: Duration) -> Option<Duration> {
    let left = Duration::from_millis(at.load(Ordering::Relaxed)).checked_sub(now)?;
    (!left.is_zero()).then_some(left)
}

#[cfg(test)]
mod tests {
    use super::*;
    use streetflow::{Error, ErrorKind};

    #[test]
    fn waits_are_described_while_they_last() {
        let (waits, started) = (Waits::default(), Instant::now());
        assert!(waits.descriptions(Duration::ZERO, 64).is_empty());
        let error = Error::new(ErrorKind::Unavailable, "try");
        for event in [
            Event::RateLimitWait { class: Class::Tile, wait: Duration::from_secs(5) },
            Event::RateLimitWait { class: Class::Search, wait: Duration::from_secs(3) },
            Event::Retry { class: Class::Entity, error: &error, attempt: 1, wait: Duration::from_secs(20) },
            Event::Concurrency { class: Class::Picture, limit: 16 },
            Event::ApiUsage { class: Class::Entity, percent: 92.4 },
        ] {
            waits.observe(&event, started);
        }
        let text = waits.descriptions(started.elapsed(), 64).join("; ");
        for part in ["92 % of", "image lists in", "pictures: host overloaded, 16 of 64", "next retry in"] {
            assert!(text.contains(part), "{text}");
        }
        assert!(waits.until_next_request(Class::Tile, started.elapsed()).is_some());
        let later = started.elapsed() + Duration::from_mins(2);
        assert_eq!(waits.descriptions(later, 64), ["pictures: host overloaded, 16 of 64 requests in flight"]);
        waits.observe(&Event::Concurrency { class: Class::Picture, limit: 64 }, started);
        assert!(waits.descriptions(later, 64).is_empty());
    }
}
