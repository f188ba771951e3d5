//! Which failures are worth another attempt, and after how long.

use std::time::Duration;

use crate::error::{Error, ErrorKind};

/// How often a failed request is sent again, and how long between.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Retry {
    /// Attempts in all, the first included.
    pub(crate) attempts: u32,
    /// The pause after the first failure; it doubles with each.
    pub(crate) initial_backoff: Duration,
    /// Whether a demand for less data gets another attempt.
    pub(crate) retries_too_much: bool,
}

/// How much patience a request deserves besides.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Patience {
    /// Where the host is healthy, a request that can be split fails after so many attempts.
    pub(crate) attempts: Option<u32>,
    /// And only if the host has given more good answers than this: it answers others, and not this one.
    pub(crate) answers: Option<u64>,
    /// It can't be split: a demand for less data is a failure that may pass.
    pub(crate) is_single: bool,
    /// The first attempt has already waited for the rate limit.
    pub(crate) has_turn: bool,
}

impl Patience {
    /// The rule for the next attempt, given the health of the host and its good answers so far.
    pub(crate) fn apply(self, retry: Retry, is_healthy: bool, answers: u64) -> Retry {
        let answers_others = is_healthy && self.answers.is_none_or(|before| answers > before);
        let attempts =
            self.attempts.filter(|_| answers_others).map_or(retry.attempts, |few| few.min(retry.attempts));
        Retry { attempts, retries_too_much: self.is_single, ..retry }
    }
}

/// No pause of our own is longer.
const LONGEST_WAIT: Duration = Duration::from_mins(1);

/// Nor do we wait longer because a server says so: it would look like a hang.
const LONGEST_ASKED: Duration = Duration::from_mins(10);

/// Being over a limit passes with time alone, so it gets more patience than a failing server.
const THROTTLED_ATTEMPTS: u32 = 30;

/// A tile that is not there, and may be in a minute, gets longer pauses than a server that fails: minutes in all.
const ABSENT_TILE: u32 = 20;

/// The pause after "application request limit reached" without a `Retry-After`.
pub(crate) const LIMIT_WAIT: Duration = Duration::from_mins(1);

impl Retry {
    /// How long to wait before the next attempt; `None` gives up. `attempts_made` are those that failed in the same
    /// way, by a limit or otherwise; `chance` is uniform in 0..1.
    pub(crate) fn wait(&self, error: &Error, attempts_made: u32, chance: f64) -> Option<Duration> {
        let allowed = match error.kind() {
            ErrorKind::Unavailable | ErrorKind::Malformed => self.attempts,
            ErrorKind::TooLarge if self.retries_too_much => self.attempts,
            ErrorKind::RateLimited => self.attempts.max(THROTTLED_ATTEMPTS),
            _ => 0,
        };
        if attempts_made >= allowed {
            return None;
        }
        let initial_backoff = match (error.kind(), error.status()) {
            (ErrorKind::Unavailable, Some(404)) => self.initial_backoff * ABSENT_TILE,
            _ => self.initial_backoff,
        };
        let doubled = initial_backoff.saturating_mul(1 << (attempts_made - 1).min(16)).min(LONGEST_WAIT);
        // Half of it is random, so that requests that failed together do not come back together.
        let own = doubled.mul_f64(0.5 + chance / 2.0);
        let asked = error.retry_after().unwrap_or_default().min(LONGEST_ASKED);
        Some(own.max(asked))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RETRY: Retry =
        Retry { attempts: 5, initial_backoff: Duration::from_millis(500), retries_too_much: false };

    fn error(kind: ErrorKind) -> Error {
        Error::new(kind, "do it")
    }

    #[test]
    fn waits_double_and_keep_within_their_jitter() {
        for (made, low, high) in [(1, 0.25, 0.5), (2, 0.5, 1.0), (3, 1.0, 2.0), (4, 2.0, 4.0)] {
            for chance in [0.0, 0.5, 1.0] {
                let wait = RETRY.wait(&error(ErrorKind::Unavailable), made, chance).expect("another attempt");
                assert!((low..=high).contains(&wait.as_secs_f64()), "{made}: {wait:?}");
            }
        }
        assert_eq!(RETRY.wait(&error(ErrorKind::Unavailable), 5, 0.5), None);
    }

    #[test]
    fn what_would_fail_again_is_not_sent_again() {
        for kind in
            [ErrorKind::Auth, ErrorKind::Blocked, ErrorKind::Gone, ErrorKind::Rejected, ErrorKind::TooLarge]
        {
            assert_eq!(RETRY.wait(&error(kind), 1, 0.5), None, "{kind:?}");
        }
    }

    #[test]
    fn a_request_that_can_be_split_is_given_up_early_only_while_the_host_answers_others() {
        let attempts =
            |patience: Patience, is_healthy, answers| patience.apply(RETRY, is_healthy, answers).attempts;
        let batch = Patience { attempts: Some(2), ..Patience::default() };
        assert_eq!([attempts(batch, true, 0), attempts(batch, false, 9)], [2, 5]);
        let part = Patience { attempts: Some(1), answers: Some(7), ..Patience::default() };
        assert_eq!([attempts(part, true, 8), attempts(part, true, 7), attempts(part, false, 8)], [1, 5, 5]);
        let eager = Patience { attempts: Some(9), ..Patience::default() };
        assert_eq!([attempts(eager, true, 0), attempts(Patience::default(), true, 9)], [5, 5]);
    }

    #[test]
    fn a_demand_for_less_data_passes_only_where_there_is_no_less_to_ask_for() {
        let single = Patience { is_single: true, ..Patience::default() };
        let wait = |patience: Patience, made| {
            patience.apply(RETRY, true, 0).wait(&error(ErrorKind::TooLarge), made, 0.5)
        };
        assert_eq!(wait(Patience::default(), 1), None);
        assert!(wait(single, 4).is_some());
        assert_eq!(wait(single, 5), None);
    }

    #[test]
    fn a_tile_that_is_not_there_gets_minutes() {
        let absent = error(ErrorKind::Unavailable).with_status(404);
        let waits = (1..5).map(|made| RETRY.wait(&absent, made, 0.0).expect("another attempt"));
        assert!(waits.sum::<Duration>() >= Duration::from_mins(1));
    }

    #[test]
    fn the_server_may_ask_for_longer_but_not_for_ever() {
        let asked = |secs| error(ErrorKind::RateLimited).with_retry_after(Some(Duration::from_secs(secs)));
        assert_eq!(RETRY.wait(&asked(7), 1, 0.5), Some(Duration::from_secs(7)));
        assert_eq!(RETRY.wait(&asked(86_400), 1, 0.5), Some(Duration::from_mins(10)));
    }
}
