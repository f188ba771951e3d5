//! The queues and limits of one host.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use super::adaptive_limit::AdaptiveLimit;
use super::outcome::{Outcome, Priority};
use super::retry_budget::RetryBudget;

/// While first attempts wait, one admission in this many is for a retry.
const RETRY_SHARE: u32 = 32;

/// What is known of a host, and the requests that wait for it. `W` wakes a waiting request.
pub(super) struct HostState<W> {
    pub(super) limit: AdaptiveLimit,
    budget: RetryBudget,
    in_flight: usize,
    /// The number of responses so far.
    pub(super) responses: u64,
    /// Whether a task waits for the next token of the budget.
    has_timer: bool,
    /// First attempts in the order of arrival, each with its ticket: the position over all hosts.
    first: VecDeque<(u64, W)>,
    /// Retries, in the same way.
    retries: VecDeque<(u64, W)>,
    /// The number of first attempts that were admitted since the last retry.
    first_since_retry: u32,
    /// Why the host is blocked, and the hint.
    pub(super) block: Option<(String, Option<String>)>,
}

impl<W> HostState<W> {
    pub(super) fn new(concurrency: usize) -> Self {
        Self {
            limit: AdaptiveLimit::new(concurrency),
            budget: RetryBudget::new(),
            in_flight: 0,
            responses: 0,
            has_timer: false,
            first: VecDeque::new(),
            retries: VecDeque::new(),
            first_since_retry: 0,
            block: None,
        }
    }

    /// Queues a request.
    pub(super) fn push(&mut self, priority: Priority, ticket: u64, waiter: W) {
        self.queue(priority).push_back((ticket, waiter));
    }

    /// Returns the ticket of the next request, if one may go now.
    pub(super) fn next_ticket(&mut self, now: Instant) -> Option<u64> {
        if self.in_flight >= self.limit.get() {
            return None;
        }
        let priority = self.next_priority();
        let ticket = self.queue(priority).front()?.0;
        self.may_send(now).then_some(ticket)
    }

    /// Removes the next request from its queue.
    pub(super) fn pop(&mut self) -> Option<W> {
        let priority = self.next_priority();
        let (_, waiter) = self.queue(priority).pop_front()?;
        self.first_since_retry = match priority {
            Priority::Retry => 0,
            Priority::First => self.first_since_retry.saturating_add(1),
        };
        Some(waiter)
    }

    /// Counts a request as in flight and returns the generation of the limit.
    pub(super) fn enter(&mut self) -> u64 {
        if !self.limit.is_healthy() {
            self.budget.withdraw();
        }
        self.in_flight += 1;
        self.limit.generation()
    }

    pub(super) fn leave(&mut self) {
        self.in_flight -= 1;
    }

    /// Counts the outcome of an attempt.
    pub(super) fn record(&mut self, outcome: Outcome, is_first: bool, generation: u64) {
        if outcome == Outcome::Responded {
            self.responses += 1;
            self.budget.deposit();
        }
        self.limit.record(outcome, is_first, generation);
    }

    /// Returns how long a new request would wait for the budget.
    pub(super) fn expected_wait(&mut self) -> Duration {
        if self.limit.is_healthy() {
            return Duration::ZERO;
        }
        let queued = self.first.len() + self.retries.len();
        self.budget.expected_wait(Instant::now(), queued)
    }

    /// Returns the time until the next token if requests wait for it and no timer runs. Then the caller starts one.
    pub(super) fn start_timer(&mut self, now: Instant) -> Option<Duration> {
        let has_waiters = !self.first.is_empty() || !self.retries.is_empty();
        if !has_waiters || self.has_timer || self.may_send(now) {
            return None;
        }
        self.has_timer = true;
        Some(self.budget.next_token())
    }

    pub(super) fn end_timer(&mut self) {
        self.has_timer = false;
    }

    /// Whether the budget allows a request. A healthy host needs no token.
    fn may_send(&mut self, now: Instant) -> bool {
        let has_token = self.budget.has_token(now);
        self.limit.is_healthy() || has_token
    }

    fn next_priority(&self) -> Priority {
        let is_retry_due = self.first.is_empty() || self.first_since_retry + 1 >= RETRY_SHARE;
        if is_retry_due && !self.retries.is_empty() { Priority::Retry } else { Priority::First }
    }

    fn queue(&mut self, priority: Priority) -> &mut VecDeque<(u64, W)> {
        match priority {
            Priority::First => &mut self.first,
            Priority::Retry => &mut self.retries,
        }
    }
}
