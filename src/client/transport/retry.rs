//! Retries: which failures get another attempt, and when.

use std::time::Duration;

use crate::error::{Error, ErrorKind};

/// How often a failed request is retried, and after which pauses.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RetryPolicy {
    /// The number of attempts, including the first one.
    pub(crate) max_attempts: u32,
    /// The pause after the first failure. It doubles with each failure.
    pub(crate) initial_backoff: Duration,
    /// Whether a response that asks to reduce the amount of data is retried.
    pub(crate) retry_too_large: bool,
}

/// Changes to the retry policy for one request.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct RetryOverride {
    /// The number of attempts while the host is healthy, for a request that can be split.
    pub(crate) max_attempts: Option<u32>,
    /// `max_attempts` applies only if the host has sent more responses than this: it serves other requests.
    pub(crate) min_responses: Option<u64>,
    /// The request can't be split, so a response that asks to reduce the amount of data is retried.
    pub(crate) is_single: bool,
    /// The first attempt has already waited for the rate limit.
    pub(crate) has_turn: bool,
}

impl RetryOverride {
    /// The override for a request that can't be split.
    pub(crate) const SINGLE: Self =
        Self { max_attempts: None, min_responses: None, is_single: true, has_turn: false };

    /// Returns the policy for the next attempt, given the health of the host and its number of responses.
    pub(crate) fn apply(self, policy: RetryPolicy, is_healthy: bool, responses: u64) -> RetryPolicy {
        let serves_others = is_healthy && self.min_responses.is_none_or(|before| responses > before);
        let max_attempts = self
            .max_attempts
            .filter(|_| serves_others)
            .map_or(policy.max_attempts, |few| few.min(policy.max_attempts));
        RetryPolicy { max_attempts, retry_too_large: self.is_single, ..policy }
    }
}

/// The longest pause, unless the server asks for a longer one.
const MAX_BACKOFF: Duration = Duration::from_mins(1);

/// The longest pause that a server may ask for. A longer one would look like a hang.
const MAX_RETRY_AFTER: Duration = Duration::from_mins(10);

/// The lowest number of attempts for rate limited requests. Waiting is enough to get below a rate limit.
const MIN_RATE_LIMITED_ATTEMPTS: u32 = 30;

/// The factor of the pauses after status 404 of a tile: some minutes in all, because such tiles appeared later.
const MISSING_TILE_FACTOR: u32 = 20;

/// The pause after a rate limit response without `Retry-After`.
pub(crate) const DEFAULT_LIMIT_WAIT: Duration = Duration::from_mins(1);

impl RetryPolicy {
    /// Returns the wait before the next attempt, or `None` to give up.
    ///
    /// `failures` counts the attempts that failed in the same way: by a rate limit, or otherwise. `chance` is uniform in
    /// 0..1.
    pub(crate) fn wait(&self, error: &Error, failures: u32, chance: f64) -> Option<Duration> {
        let max_attempts = match error.kind() {
            ErrorKind::Unavailable | ErrorKind::Malformed => self.max_attempts,
            ErrorKind::TooLarge if self.retry_too_large => self.max_attempts,
            ErrorKind::RateLimited => self.max_attempts.max(MIN_RATE_LIMITED_ATTEMPTS),
            _ => 0,
        };
        if failures >= max_attempts {
            return None;
        }
        let initial = match (error.kind(), error.status()) {
            (ErrorKind::Unavailable, Some(404)) => self.initial_backoff * MISSING_TILE_FACTOR,
            _ => self.initial_backoff,
        };
        let doubled = initial.saturating_mul(1 << (failures - 1).min(16)).min(MAX_BACKOFF);
        // Half of the pause is random, so that requests that failed together are not retried together.
        let backoff = doubled.mul_f64(0.5 + chance / 2.0);
        let retry_after = error.retry_after().unwrap_or_default().min(MAX_RETRY_AFTER);
        Some(backoff.max(retry_after))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: RetryPolicy =
        RetryPolicy { max_attempts: 5, initial_backoff: Duration::from_millis(500), retry_too_large: false };

    fn error(kind: ErrorKind) -> Error {
        Error::new(kind, "do it")
    }

    #[test]
    fn waits_double_within_their_jitter() {
        for (failures, low, high) in [(1, 0.25, 0.5), (2, 0.5, 1.0), (3, 1.0, 2.0), (4, 2.0, 4.0)] {
            for chance in [0.0, 0.5, 1.0] {
                let wait =
                    POLICY.wait(&error(ErrorKind::Unavailable), failures, chance).expect("another attempt");
                assert!((low..=high).contains(&wait.as_secs_f64()), "{failures}: {wait:?}");
            }
        }
        assert_eq!(POLICY.wait(&error(ErrorKind::Unavailable), 5, 0.5), None);
    }

    #[test]
    fn permanent_errors_are_not_retried() {
        for kind in
            [ErrorKind::Auth, ErrorKind::Blocked, ErrorKind::Gone, ErrorKind::Rejected, ErrorKind::TooLarge]
        {
            assert_eq!(POLICY.wait(&error(kind), 1, 0.5), None, "{kind:?}");
        }
    }

    #[test]
    fn a_request_that_can_be_split_fails_early_only_while_the_host_serves_others() {
        let attempts = |retry: RetryOverride, is_healthy, responses| {
            retry.apply(POLICY, is_healthy, responses).max_attempts
        };
        let batch = RetryOverride { max_attempts: Some(2), ..RetryOverride::default() };
        assert_eq!([attempts(batch, true, 0), attempts(batch, false, 9)], [2, 5]);
        let part =
            RetryOverride { max_attempts: Some(1), min_responses: Some(7), ..RetryOverride::default() };
        assert_eq!([attempts(part, true, 8), attempts(part, true, 7), attempts(part, false, 8)], [1, 5, 5]);
        let eager = RetryOverride { max_attempts: Some(9), ..RetryOverride::default() };
        assert_eq!([attempts(eager, true, 0), attempts(RetryOverride::default(), true, 9)], [5, 5]);
    }

    #[test]
    fn a_request_for_less_data_is_retried_only_if_the_request_cannot_be_split() {
        let wait = |retry: RetryOverride, failures| {
            retry.apply(POLICY, true, 0).wait(&error(ErrorKind::TooLarge), failures, 0.5)
        };
        assert_eq!(wait(RetryOverride::default(), 1), None);
        assert!(wait(RetryOverride::SINGLE, 4).is_some());
        assert_eq!(wait(RetryOverride::SINGLE, 5), None);
    }

    #[test]
    fn a_missing_tile_is_retried_for_minutes() {
        let missing = error(ErrorKind::Unavailable).with_status(404);
        let waits = (1..5).map(|failures| POLICY.wait(&missing, failures, 0.0).expect("another attempt"));
        assert!(waits.sum::<Duration>() >= Duration::from_mins(1));
    }

    #[test]
    fn the_server_may_ask_for_longer_pauses_up_to_a_limit() {
        let limited = |secs| error(ErrorKind::RateLimited).with_retry_after(Some(Duration::from_secs(secs)));
        assert_eq!(POLICY.wait(&limited(7), 1, 0.5), Some(Duration::from_secs(7)));
        assert_eq!(POLICY.wait(&limited(86_400), 1, 0.5), Some(Duration::from_mins(10)));
    }
}
