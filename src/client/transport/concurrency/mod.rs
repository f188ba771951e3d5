//! Admission of requests: the one place that decides when a request may go to its host.
//!
//! - **One limit for the client, one per host.** A request holds a [`Permit`] while it is under way. All hosts share
//!   the client's concurrency. A host's own limit is that number too, until most items fail there.
//! - **Items are judged, not attempts.** Only the first attempt of an item counts as a failure of its host, and every
//!   good answer counts for it. So items that fail for ever are no sign of a host in trouble, however often they are
//!   tried. A complete picture file that is no picture is the picture's fault, unless no picture at all is good.
//! - **Trouble**: more than half of the latest items failed. The limit is halved step by step, and each request takes a
//!   token; there are [`RESERVE`] of them, one more comes with each second and with each good answer.
//! - **Good items first.** Further attempts for a picture go when no first attempt is waiting; of [`LATE_SHARE`]
//!   admissions one is for them all the same, so that they are never stuck.
//! - **A login page** blocks the host for the rest of the run.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

/// The health of a host is an average over about so many items.
const SPAN: f64 = 32.0;

/// Below this share of items that succeed, a host is in trouble.
const TROUBLE: f64 = 0.5;

/// The limit changes after so many judged items at least.
const ROUND: u32 = 8;

/// Requests that may go to a host in trouble before they have to keep a distance.
const RESERVE: f64 = 100.0;

/// Requests a second that may go to a host in trouble once the reserve is used up.
const PER_SECOND: f64 = 1.0;

/// While first attempts wait, one admission in so many goes to a further attempt.
const LATE_SHARE: u32 = 32;

/// After so many unusable bodies without one good answer between them, they count against the host.
const UNUSABLE_RUN: u32 = 32;

/// How an attempt ended, as far as its host is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The host answered; what it says is another matter.
    Answered,
    /// A complete body that is not what was requested.
    Unusable,
    /// A failure of the server or on the way.
    Failed,
    /// Too many requests.
    Throttled,
}

/// Which of the waiting requests goes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Priority {
    First,
    Late,
}

/// Admits requests to the three hosts of a client.
pub(crate) struct Gate {
    state: Mutex<State>,
}

struct State {
    /// Requests that may still be under way, over all hosts.
    free: usize,
    next_ticket: u64,
    hosts: [Host; 3],
}

struct Host {
    /// The limit never exceeds the client's concurrency.
    most: f64,
    limit: f64,
    in_flight: usize,
    /// Grows with each shrinking: failures of requests sent before say nothing about the smaller limit.
    generation: u64,
    /// Items judged since the limit last changed.
    judged: u32,
    /// The share of the latest items that succeeded.
    health: f64,
    unusable: u32,
    /// Good answers in all.
    answers: u64,
    tokens: f64,
    refilled: Instant,
    /// A task is waiting for the next token.
    has_timer: bool,
    first: VecDeque<Waiter>,
    late: VecDeque<Waiter>,
    /// First attempts admitted since the last further one.
    since_late: u32,
    block: Option<(String, Option<String>)>,
}

struct Waiter {
    ticket: u64,
    admitted: oneshot::Sender<Permit>,
}

/// Held while a request is under way.
pub(crate) struct Permit {
    gate: Option<Arc<Gate>>,
    host: usize,
    generation: u64,
}

impl Gate {
    pub(crate) fn new(concurrency: usize) -> Arc<Self> {
        let hosts = std::array::from_fn(|_| Host::new(concurrency));
        Arc::new(Self { state: Mutex::new(State { free: concurrency, next_ticket: 0, hosts }) })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until a request may go to a host.
    pub(crate) async fn admit(self: &Arc<Self>, host: usize, priority: Priority) -> Permit {
        let (admitted, receiver) = oneshot::channel();
        {
            let mut state = self.state();
            let ticket = state.next_ticket;
            state.next_ticket += 1;
            state.hosts[host].queue(priority).push_back(Waiter { ticket, admitted });
            self.dispatch(&mut state);
        }
        match receiver.await {
            Ok(permit) => permit,
            // The gate holds the sender until it admits, and we hold the gate.
            Err(_) => std::future::pending().await,
        }
    }

    /// Admits whoever may go now, in the order of arrival.
    fn dispatch(self: &Arc<Self>, state: &mut State) {
        let now = Instant::now();
        while let Some((at, waiter)) = state.pop(now) {
            if waiter.admitted.is_closed() {
                continue;
            }
            let generation = state.enter(at);
            let permit = Permit { gate: Some(Arc::clone(self)), host: at, generation };
            if let Err(mut permit) = waiter.admitted.send(permit) {
                permit.gate = None; // Nobody waits any more, and the state is locked here.
                state.leave(at);
            }
        }
        for at in 0..state.hosts.len() {
            self.wake_for_token(state, at, now);
        }
    }

    /// Dispatches again when the next token of a host in trouble is there.
    fn wake_for_token(self: &Arc<Self>, state: &mut State, at: usize, now: Instant) {
        let host = &mut state.hosts[at];
        let waits = !host.first.is_empty() || !host.late.is_empty();
        if !waits || host.has_timer || host.has_token(now) || state.free == 0 {
            return;
        }
        // Where a runtime is being shut down, nobody waits any more.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        host.has_timer = true;
        let wait = Duration::from_secs_f64(((1.0 - host.tokens) / PER_SECOND).max(0.001));
        let gate = Arc::downgrade(self);
        runtime.spawn(async move {
            tokio::time::sleep(wait).await;
            if let Some(gate) = gate.upgrade() {
                let mut state = gate.state();
                state.hosts[at].has_timer = false;
                gate.dispatch(&mut state);
            }
        });
    }

    /// Whether most items succeed at a host.
    pub(crate) fn is_healthy(&self, host: usize) -> bool {
        self.state().hosts[host].is_healthy()
    }

    /// How many good answers a host has given so far.
    pub(crate) fn answers(&self, host: usize) -> u64 {
        self.state().hosts[host].answers
    }

    /// How long a request that comes now would wait for its token.
    pub(crate) fn expected_wait(&self, host: usize) -> Duration {
        let mut state = self.state();
        let host = &mut state.hosts[host];
        if host.is_healthy() {
            return Duration::ZERO;
        }
        host.refill(Instant::now());
        #[expect(clippy::cast_precision_loss, reason = "small")]
        let waiting = (host.first.len() + host.late.len()) as f64;
        Duration::from_secs_f64(((waiting + 1.0 - host.tokens) / PER_SECOND).max(0.0))
    }

    /// Closes a host for the rest of the run: why, and what to do.
    pub(crate) fn block(&self, host: usize, why: String, hint: Option<String>) {
        self.state().hosts[host].block.get_or_insert((why, hint));
    }

    /// Why a host is closed, and what to do.
    pub(crate) fn blocked(&self, host: usize) -> Option<(String, Option<String>)> {
        self.state().hosts[host].block.clone()
    }
}

impl State {
    /// The next waiting request that may go: the one that came first of those at the head of their queues.
    fn pop(&mut self, now: Instant) -> Option<(usize, Waiter)> {
        if self.free == 0 {
            return None;
        }
        let next = |(at, host): (usize, &mut Host)| Some((host.next_ticket(now)?, at));
        let (_, at) = self.hosts.iter_mut().enumerate().filter_map(next).min()?;
        let host = &mut self.hosts[at];
        let priority = host.next_priority();
        let waiter = host.queue(priority).pop_front()?;
        host.since_late = if priority == Priority::Late { 0 } else { host.since_late.saturating_add(1) };
        Some((at, waiter))
    }

    /// Counts a request as under way; gives the generation of its host's limit.
    fn enter(&mut self, at: usize) -> u64 {
        let host = &mut self.hosts[at];
        if !host.is_healthy() {
            host.tokens -= 1.0;
        }
        host.in_flight += 1;
        self.free -= 1;
        host.generation
    }

    fn leave(&mut self, at: usize) {
        self.hosts[at].in_flight -= 1;
        self.free += 1;
    }
}

impl Host {
    fn new(concurrency: usize) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "at most a few thousand")]
        let most = concurrency as f64;
        Self {
            most,
            limit: most,
            in_flight: 0,
            generation: 0,
            judged: 0,
            health: 1.0,
            unusable: 0,
            answers: 0,
            tokens: RESERVE,
            refilled: Instant::now(),
            has_timer: false,
            first: VecDeque::new(),
            late: VecDeque::new(),
            since_late: 0,
            block: None,
        }
    }

    fn is_healthy(&self) -> bool {
        self.health >= TROUBLE
    }

    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from one to a few thousand")]
    fn limit(&self) -> usize {
        self.limit as usize
    }

    fn queue(&mut self, priority: Priority) -> &mut VecDeque<Waiter> {
        match priority {
            Priority::First => &mut self.first,
            Priority::Late => &mut self.late,
        }
    }

    /// Which queue is next.
    fn next_priority(&self) -> Priority {
        let late_is_due = self.first.is_empty() || self.since_late + 1 >= LATE_SHARE;
        if late_is_due && !self.late.is_empty() { Priority::Late } else { Priority::First }
    }

    /// The ticket of the next request that may go, if one may.
    fn next_ticket(&mut self, now: Instant) -> Option<u64> {
        if self.in_flight >= self.limit() {
            return None;
        }
        let priority = self.next_priority();
        let ticket = self.queue(priority).front()?.ticket;
        self.has_token(now).then_some(ticket)
    }

    fn refill(&mut self, now: Instant) {
        let earned = now.duration_since(self.refilled).as_secs_f64() * PER_SECOND;
        self.tokens = (self.tokens + earned).min(RESERVE);
        self.refilled = now;
    }

    /// A healthy host needs none.
    fn has_token(&mut self, now: Instant) -> bool {
        self.refill(now);
        self.is_healthy() || self.tokens >= 1.0
    }

    /// Takes note of how an attempt ended.
    fn judge(&mut self, outcome: Outcome, is_first: bool, generation: u64) {
        match outcome {
            Outcome::Answered => {
                self.answers += 1;
                self.unusable = 0;
                self.tokens = (self.tokens + 1.0).min(RESERVE);
                // A host that is back is trusted again after fewer items.
                let span = if self.is_healthy() { SPAN } else { SPAN / 2.0 };
                self.health += (1.0 - self.health) / span;
                self.judged += 1;
            }
            Outcome::Unusable if is_first => {
                self.unusable += 1;
                if self.unusable > UNUSABLE_RUN {
                    self.fail(generation);
                }
            }
            Outcome::Failed if is_first => self.fail(generation),
            Outcome::Throttled if generation == self.generation => self.shrink(),
            Outcome::Unusable | Outcome::Failed | Outcome::Throttled => {}
        }
        let round = ROUND.max(u32::try_from(self.limit()).unwrap_or(u32::MAX));
        if !self.is_healthy() && self.judged >= ROUND && outcome != Outcome::Answered {
            self.shrink();
        } else if self.is_healthy() && self.judged >= round {
            self.limit = (self.limit * 1.5 + 1.0).min(self.most);
            self.judged = 0;
        }
    }

    fn fail(&mut self, generation: u64) {
        if generation == self.generation {
            self.health -= self.health / SPAN;
            self.judged += 1;
        }
    }

    fn shrink(&mut self) {
        self.limit = (self.limit / 2.0).max(1.0);
        self.generation += 1;
        self.judged = 0;
    }
}

impl Permit {
    /// Takes note of how the attempt ended; `is_first` unless its item has failed before. Gives the host's new limit
    /// if it changed.
    pub(crate) fn judge(&self, outcome: Outcome, is_first: bool) -> Option<usize> {
        let mut state = self.gate.as_ref()?.state();
        let host = &mut state.hosts[self.host];
        let before = host.limit();
        host.judge(outcome, is_first, self.generation);
        Some(host.limit()).filter(|limit| *limit != before)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let Some(gate) = self.gate.take() else { return };
        let mut state = gate.state();
        state.leave(self.host);
        gate.dispatch(&mut state);
    }
}

#[cfg(test)]
mod tests;
