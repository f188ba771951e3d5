//! The attempts of one request: rate limit, admission, sending, judgement, back-off.

use std::future::Future;

use tokio::time::Instant;

use crate::client::class::Class;
use crate::client::handle::{Client, host_of};
use crate::client::transport::concurrency::{Outcome, Priority};
use crate::client::transport::retry::Patience;
use crate::client::transport::send::{Answer, Ask};
use crate::error::{Error, ErrorKind, Result};
use crate::observe::Event;

impl Client {
    /// Sends a request until it succeeds or is not worth another attempt.
    pub(crate) async fn attempts<T, R, F>(&self, ask: Ask, patience: Patience, mut read: R) -> Result<T>
    where
        R: FnMut(Answer) -> F,
        F: Future<Output = Result<T>>,
    {
        let (class, started) = (ask.class, Instant::now());
        let (lane, gate, host) = (self.lane(class), &self.0.gate, host_of(class));
        // Waiting out a limit must not use up the patience with a failing server.
        let (mut throttled, mut failed) = (0, 0);
        for made in 1.. {
            if let Some(error) = self.blocked(&ask) {
                return Err(error);
            }
            // Nobody holds a permit while waiting: a slow rate of one class must not starve the others.
            if made > 1 || !patience.has_turn {
                lane.turn(|wait| self.tell(&Event::RateLimitWait { class, wait })).await;
            }
            let is_first = made == 1 && !self.has_failed_before();
            // Rows stand in order, so there an item that failed holds up those behind it; pictures are in no order.
            let is_late = class == Class::Bytes && !is_first;
            let priority = if is_late { Priority::Late } else { Priority::First };
            let permit = gate.admit(host, priority).await;
            // The block may have come while this request waited for its turn.
            let sent = match self.blocked(&ask) {
                Some(error) => return Err(error),
                None => self.once(&ask, &mut read).await,
            };
            if let Some(limit) = permit.judge(outcome(class, &sent), is_first) {
                self.tell(&Event::Concurrency { class, limit });
            }
            drop(permit);
            let error = match sent {
                Ok(value) => return Ok(value),
                Err(error) => error.with_attempts(made, started.elapsed()),
            };
            self.give_place_back();
            if matches!(error.kind(), ErrorKind::RateLimited | ErrorKind::Blocked) {
                self.tell(&Event::RateLimited { class, error: &error });
            }
            if error.kind() == ErrorKind::Blocked {
                let why = std::error::Error::source(&error).map_or_else(String::new, ToString::to_string);
                gate.block(host, why, error.hint().map(str::to_owned));
            }
            let is_limit = error.kind() == ErrorKind::RateLimited;
            let count = if is_limit { &mut throttled } else { &mut failed };
            *count += 1;
            let retry = patience.apply(self.0.retry, gate.is_healthy(host), gate.answers(host));
            let Some(wait) = retry.wait(&error, *count, fastrand::f64()) else {
                return Err(error);
            };
            if is_limit {
                lane.pause_for(wait);
            }
            let told = wait.max(gate.expected_wait(host));
            self.tell(&Event::Retry { class, error: &error, attempt: made, wait: told });
            tokio::time::sleep(wait).await;
        }
        Err(Error::new(ErrorKind::Unavailable, ask.doing).with_subject(ask.subject))
    }

    /// After the first login page nothing more goes to that host: every request would prolong the block.
    fn blocked(&self, ask: &Ask) -> Option<Error> {
        let (why, hint) = self.0.gate.blocked(host_of(ask.class))?;
        let error =
            Error::new(ErrorKind::Blocked, ask.doing).with_subject(ask.subject.clone()).with_source(why);
        Some(match hint {
            Some(hint) => error.with_hint(hint),
            None => error,
        })
    }
}

/// What an attempt says of its host.
fn outcome<T>(class: Class, sent: &Result<T>) -> Outcome {
    match sent.as_ref().map_err(|error| (error.kind(), error.status())) {
        Err((ErrorKind::RateLimited, _)) => Outcome::Throttled,
        // Only tiles fail so, and each for itself.
        Err((ErrorKind::Unavailable, Some(404))) => Outcome::Answered,
        // The body came to its end, and is no picture.
        Err((ErrorKind::Malformed, _)) if class == Class::Bytes => Outcome::Unusable,
        Err((ErrorKind::Unavailable | ErrorKind::Malformed, _)) => Outcome::Failed,
        _ => Outcome::Answered,
    }
}
