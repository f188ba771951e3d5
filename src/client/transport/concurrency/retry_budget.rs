//! The budget of requests to a host in trouble.

use std::time::Duration;

use tokio::time::Instant;

/// How many requests the budget holds at most.
const CAPACITY: f64 = 100.0;

/// How many requests the budget gains per second.
const REFILL_PER_SECOND: f64 = 1.0;

/// The shortest wait for a request of the budget.
const MIN_WAIT: f64 = 0.001;

/// A token bucket. While a host is in trouble, each request withdraws one token.
#[derive(Debug)]
pub(super) struct RetryBudget {
    tokens: f64,
    refilled_at: Instant,
}

impl RetryBudget {
    pub(super) fn new() -> Self {
        Self { tokens: CAPACITY, refilled_at: Instant::now() }
    }

    /// Whether a request may go out now.
    pub(super) fn has_token(&mut self, now: Instant) -> bool {
        self.refill(now);
        self.tokens >= 1.0
    }

    /// Adds a token for a response of the host.
    pub(super) fn deposit(&mut self) {
        self.tokens = (self.tokens + 1.0).min(CAPACITY);
    }

    /// Takes a token for a request.
    pub(super) fn withdraw(&mut self) {
        self.tokens -= 1.0;
    }

    /// Returns the time until the next token.
    pub(super) fn next_token(&self) -> Duration {
        Duration::from_secs_f64(((1.0 - self.tokens) / REFILL_PER_SECOND).max(MIN_WAIT))
    }

    /// Returns how long a new request would wait behind others.
    pub(super) fn expected_wait(&mut self, now: Instant, queued: usize) -> Duration {
        self.refill(now);
        #[expect(clippy::cast_precision_loss, reason = "small")]
        let ahead = queued as f64;
        Duration::from_secs_f64(((ahead + 1.0 - self.tokens) / REFILL_PER_SECOND).max(0.0))
    }

    fn refill(&mut self, now: Instant) {
        let gained = now.duration_since(self.refilled_at).as_secs_f64() * REFILL_PER_SECOND;
        self.tokens = (self.tokens + gained).min(CAPACITY);
        self.refilled_at = now;
    }
}
