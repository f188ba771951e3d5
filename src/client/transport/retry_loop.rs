//! The attempts of one request: rate limit, permit, attempt, report, backoff.

use std::future::Future;
use std::sync::Arc;

use tokio::time::Instant;

use super::body::ResponseBody;
use super::concurrency::outcome::{Outcome, Priority};
use super::core::Transport;
use super::item_slot::ItemSlot;
use super::request::{ApiRequest, host_of};
use super::retry::RetryOverride;
use crate::error::{Error, ErrorKind, Result};
use crate::observe::{Class, Event};

impl Transport {
    /// Repeats attempts until one succeeds or a retry is useless.
    pub(crate) async fn retry_loop<T, R, F>(
        self: &Arc<Self>,
        request: ApiRequest,
        retry: RetryOverride,
        item: Option<Arc<ItemSlot>>,
        mut read: R,
    ) -> Result<T>
    where
        R: FnMut(ResponseBody) -> F,
        F: Future<Output = Result<T>>,
    {
        let (class, started) = (request.class, Instant::now());
        let (concurrency, host) = (&self.concurrency, host_of(class));
        // Waiting for a rate limit must not use up the attempts for a failing server.
        let (mut rate_limited, mut failed) = (0, 0);
        for attempt in 1.. {
            if let Some(error) = self.blocked_error(&request) {
                return Err(error);
            }
            // No permit is held during this wait, so a slow class does not starve the others.
            if attempt > 1 || !retry.has_turn {
                self.acquire_rate(class).await;
            }
            let is_first = attempt == 1 && item.as_ref().is_none_or(|item| !item.is_released());
            // Rows are in order, so a failed one holds up all rows after it. Pictures have no order.
            let is_retry = class == Class::Picture && !is_first;
            let priority = if is_retry { Priority::Retry } else { Priority::First };
            let permit = concurrency.acquire(host, priority).await;
            // The host may have blocked the client during the wait.
            let result = match self.blocked_error(&request) {
                Some(error) => return Err(error),
                None => self.attempt(&request, &mut read).await,
            };
            if let Some(limit) = permit.report(outcome(class, &result), is_first) {
                self.emit(&Event::Concurrency { class, limit });
            }
            drop(permit);
            let error = match result {
                Ok(value) => return Ok(value),
                Err(error) => error.with_attempts(attempt, started.elapsed()),
            };
            if let Some(item) = &item {
                item.release();
            }
            if matches!(error.kind(), ErrorKind::RateLimited | ErrorKind::Blocked) {
                self.emit(&Event::RateLimited { class, error: &error });
            }
            if error.kind() == ErrorKind::Blocked {
                let why = std::error::Error::source(&error).map_or_else(String::new, ToString::to_string);
                concurrency.block(host, why, error.hint().map(str::to_owned));
            }
            let is_rate_limit = error.kind() == ErrorKind::RateLimited;
            let failures = if is_rate_limit { &mut rate_limited } else { &mut failed };
            *failures += 1;
            let policy = retry.apply(self.retry, concurrency.is_healthy(host), concurrency.responses(host));
            let Some(wait) = policy.wait(&error, *failures, fastrand::f64()) else {
                return Err(error);
            };
            if is_rate_limit {
                self.rates.pause(class, wait);
            }
            let expected = wait.max(concurrency.expected_wait(host));
            self.emit(&Event::Retry { class, error: &error, attempt, wait: expected });
            tokio::time::sleep(wait).await;
        }
        Err(request.error(ErrorKind::Unavailable))
    }

    /// Returns the error of a blocked host. Each further request would extend the block, so none is sent.
    fn blocked_error(&self, request: &ApiRequest) -> Option<Error> {
        let (why, hint) = self.concurrency.block_reason(host_of(request.class))?;
        let error = request.error(ErrorKind::Blocked).with_source(why);
        Some(match hint {
            Some(hint) => error.with_hint(hint),
            None => error,
        })
    }
}

/// Returns what the result of an attempt says about its host.
fn outcome<T>(class: Class, result: &Result<T>) -> Outcome {
    match result.as_ref().map_err(|error| (error.kind(), error.status())) {
        Err((ErrorKind::RateLimited, _)) => Outcome::RateLimited,
        // Only tiles fail with this status, and it concerns only the tile.
        Err((ErrorKind::Unavailable, Some(404))) => Outcome::Responded,
        // The body is complete, but it is not a picture.
        Err((ErrorKind::Malformed, _)) if class == Class::Picture => Outcome::InvalidBody,
        Err((ErrorKind::Unavailable | ErrorKind::Malformed, _)) => Outcome::Failed,
        _ => Outcome::Responded,
    }
}
