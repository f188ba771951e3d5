//! How many requests may be sent again in all, so that an outage does not become a storm.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// What a good answer earns: so many in ten requests may be sent again for ever.
const SHARE: f64 = 0.3;

/// What there is at the start, and the most that can be saved up.
const RESERVE: f64 = 100.0;

/// What a second earns, so that a server that comes back is found out.
const PER_SECOND: f64 = 1.0;

/// What one host may be asked again.
pub(super) struct Budget(Mutex<Purse>);

struct Purse {
    /// Below zero when retries wait for what is earned later.
    retries: f64,
    at: Instant,
}

impl Budget {
    pub(super) fn new() -> Self {
        Self(Mutex::new(Purse { retries: RESERVE, at: Instant::now() }))
    }

    /// A request was answered.
    pub(super) fn earn(&self) {
        let mut purse = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        purse.retries = (purse.retries + SHARE).min(RESERVE);
    }

    /// Takes one retry, and says how long until it may be sent.
    pub(super) fn spend(&self) -> Duration {
        let mut purse = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let earned = now.duration_since(purse.at).as_secs_f64() * PER_SECOND;
        purse.at = now;
        purse.retries = (purse.retries + earned).min(RESERVE) - 1.0;
        Duration::from_secs_f64((-purse.retries / PER_SECOND).max(0.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn in_an_outage_retries_follow_one_a_second_and_successes_pay_for_more() {
        let budget = Budget::new();
        for _ in 0..100 {
            assert_eq!(budget.spend(), Duration::ZERO);
        }
        for number in 1..=5 {
            assert_eq!(budget.spend(), Duration::from_secs(number), "they stand in a queue");
        }
        tokio::time::advance(Duration::from_secs(5)).await;
        for _ in 0..20 {
            budget.earn();
        }
        let free = (0..10).filter(|_| budget.spend() == Duration::ZERO).count();
        assert!((5..=6).contains(&free), "{free}");
        tokio::time::advance(Duration::from_hours(1)).await;
        let free = (0..200).filter(|_| budget.spend() == Duration::ZERO).count();
        assert_eq!(free, 100, "no more than the reserve is saved up");
    }
}
