//! Concurrency limits: decides when a request may go to its host.
//!
//! - **One limit per client and one per host.** A request in flight holds a [`Permit`]. All hosts share the concurrency
//!   of the client. The limit of a host equals it until most items fail there.
//! - **Items are judged, not attempts.** Only the first attempt of an item counts as a failure of its host, while each
//!   response counts as a success. So items that always fail do not make a host look unhealthy, however often they are
//!   retried. A complete body that is not a picture is a fault of the picture, unless no picture is valid.
//! - **Trouble**: more than half of the latest items failed. The limit is halved step by step, and each request takes a
//!   token of the host's retry budget: 100 at first, one more per second and per response.
//! - **Good items first.** Retries of pictures go out when no first attempt waits, plus one admission in 32, so that
//!   they are never stuck.
//! - **A login page** blocks the host for the rest of the run.

mod adaptive_limit;
mod host_state;
pub(crate) mod outcome;
mod retry_budget;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use self::host_state::HostState;
use self::outcome::{Outcome, Priority};
use super::request::HOSTS;
use crate::sync::lock;

/// Hands out permits for requests to the hosts of a client.
pub(crate) struct ConcurrencyLimiter {
    state: Mutex<State>,
}

/// A request that waits for a permit.
type Waiter = oneshot::Sender<Permit>;

struct State {
    /// How many more requests may be in flight, over all hosts.
    free: usize,
    next_ticket: u64,
    hosts: [HostState<Waiter>; HOSTS],
}

/// Held while a request is in flight.
pub(crate) struct Permit {
    limiter: Option<Arc<ConcurrencyLimiter>>,
    host: usize,
    generation: u64,
}

impl ConcurrencyLimiter {
    pub(crate) fn new(concurrency: usize) -> Arc<Self> {
        let hosts = std::array::from_fn(|_| HostState::new(concurrency));
        Arc::new(Self { state: Mutex::new(State { free: concurrency, next_ticket: 0, hosts }) })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// Waits until a request may go to a host.
    pub(crate) async fn acquire(self: &Arc<Self>, host: usize, priority: Priority) -> Permit {
        let (admitted, receiver) = oneshot::channel();
        {
            let mut state = self.state();
            let ticket = state.next_ticket;
            state.next_ticket += 1;
            state.hosts[host].push(priority, ticket, admitted);
            self.dispatch(&mut state);
        }
        match receiver.await {
            Ok(permit) => permit,
            // Impossible: the limiter keeps the sender until it sends, and `self` keeps the limiter.
            Err(_) => std::future::pending().await,
        }
    }

    /// Admits all requests that may go now, in the order of arrival.
    fn dispatch(self: &Arc<Self>, state: &mut State) {
        let now = Instant::now();
        while let Some((host, waiter)) = state.pop(now) {
            if waiter.is_closed() {
                continue;
            }
            let generation = state.enter(host);
            let permit = Permit { limiter: Some(Arc::clone(self)), host, generation };
            if let Err(mut permit) = waiter.send(permit) {
                // The waiter was dropped. To drop the permit here would lock the state again.
                permit.limiter = None;
                state.leave(host);
            }
        }
        for host in 0..state.hosts.len() {
            self.schedule_dispatch(state, host, now);
        }
    }

    /// Dispatches again when a host in trouble gains a token.
    fn schedule_dispatch(self: &Arc<Self>, state: &mut State, host: usize, now: Instant) {
        if state.free == 0 {
            return;
        }
        // Without a runtime no request waits any more.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let Some(wait) = state.hosts[host].start_timer(now) else { return };
        let limiter = Arc::downgrade(self);
        runtime.spawn(async move {
            tokio::time::sleep(wait).await;
            if let Some(limiter) = limiter.upgrade() {
                let mut state = limiter.state();
                state.hosts[host].end_timer();
                limiter.dispatch(&mut state);
            }
        });
    }

    /// Whether most items succeed at a host.
    pub(crate) fn is_healthy(&self, host: usize) -> bool {
        self.state().hosts[host].limit.is_healthy()
    }

    /// Returns the number of responses from a host so far.
    pub(crate) fn responses(&self, host: usize) -> u64 {
        self.state().hosts[host].responses
    }

    /// Returns how long a new request would wait for the retry budget of a host.
    pub(crate) fn expected_wait(&self, host: usize) -> Duration {
        self.state().hosts[host].expected_wait()
    }

    /// Blocks a host for the rest of the run. The first reason counts.
    pub(crate) fn block(&self, host: usize, why: String, hint: Option<String>) {
        self.state().hosts[host].block.get_or_insert((why, hint));
    }

    /// Returns why a host is blocked, and the hint.
    pub(crate) fn block_reason(&self, host: usize) -> Option<(String, Option<String>)> {
        self.state().hosts[host].block.clone()
    }
}

impl State {
    /// Removes the request that arrived first of those that may go now.
    fn pop(&mut self, now: Instant) -> Option<(usize, Waiter)> {
        if self.free == 0 {
            return None;
        }
        let next = |(at, host): (usize, &mut HostState<Waiter>)| Some((host.next_ticket(now)?, at));
        let (_, host) = self.hosts.iter_mut().enumerate().filter_map(next).min()?;
        Some((host, self.hosts[host].pop()?))
    }

    fn enter(&mut self, host: usize) -> u64 {
        self.free -= 1;
        self.hosts[host].enter()
    }

    fn leave(&mut self, host: usize) {
        self.free += 1;
        self.hosts[host].leave();
    }
}

impl Permit {
    /// Reports the outcome of the attempt. `is_first` is true unless the item has failed before.
    ///
    /// Returns the new limit of the host if it changed.
    pub(crate) fn report(&self, outcome: Outcome, is_first: bool) -> Option<usize> {
        let mut state = self.limiter.as_ref()?.state();
        let host = &mut state.hosts[self.host];
        let before = host.limit.get();
        host.record(outcome, is_first, self.generation);
        Some(host.limit.get()).filter(|limit| *limit != before)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let Some(limiter) = self.limiter.take() else { return };
        let mut state = limiter.state();
        state.leave(self.host);
        limiter.dispatch(&mut state);
    }
}
