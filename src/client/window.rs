//! How many requests a host has at once: fewer when it pushes back, more when it does not.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::{Semaphore, SemaphorePermit};

/// A verdict needs so many answers at least.
const ROUND: u32 = 8;

/// A host is in trouble when more than one of so many attempts fails for reasons of its own. Below that it is a
/// matter of single pictures.
const TROUBLE: u32 = 3;

/// The room for requests to one host, up to what the client allows in all.
pub(super) struct Window {
    most: usize,
    permits: Semaphore,
    state: Mutex<State>,
}

struct State {
    /// How many may be under way.
    limit: f64,
    /// How many permits there are, free and taken; those that are taken go when they come back.
    granted: usize,
    /// Grows with each shrinking: what was sent before says nothing about the smaller window.
    era: u64,
    good: u32,
    bad: u32,
}

/// How an attempt ended, as far as the host is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// It answered; what it says is another matter.
    Answered,
    /// A failure of the server or on the way.
    Failed,
    /// Too many requests.
    Throttled,
}

/// A place in the window, held while a request is under way.
pub(super) struct Slot<'a> {
    window: &'a Window,
    permit: Option<SemaphorePermit<'a>>,
    era: u64,
}

impl Window {
    pub(super) fn new(most: usize) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "small")]
        let state = State { limit: most as f64, granted: most, era: 0, good: 0, bad: 0 };
        Self { most, permits: Semaphore::new(most), state: Mutex::new(state) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a place.
    pub(super) async fn enter(&self) -> Slot<'_> {
        let permit = self.permits.acquire().await.ok();
        Slot { window: self, permit, era: self.state().era }
    }

    /// Takes note of an attempt; the new limit, if it changed.
    pub(super) fn note(&self, slot: &Slot<'_>, ending: Ending) -> Option<usize> {
        let mut state = self.state();
        if slot.era < state.era {
            return None;
        }
        let before = state.limit();
        match ending {
            Ending::Answered => state.good += 1,
            Ending::Failed => state.bad += 1,
            Ending::Throttled => state.shrink(0.5),
        }
        let seen = state.good + state.bad;
        if seen >= ROUND && seen as usize >= state.limit() {
            if state.bad * TROUBLE > seen {
                state.shrink(0.7);
            } else {
                #[expect(clippy::cast_precision_loss, reason = "small")]
                let most = self.most as f64;
                state.limit = (state.limit * 1.25).max(state.limit + 1.0).min(most);
                (state.good, state.bad) = (0, 0);
            }
        }
        let limit = state.limit();
        if limit > state.granted {
            self.permits.add_permits(limit - state.granted);
            state.granted = limit;
        }
        (limit != before).then_some(limit)
    }
}

impl State {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between one and a few thousand"
    )]
    fn limit(&self) -> usize {
        self.limit as usize
    }

    fn shrink(&mut self, to: f64) {
        self.limit = (self.limit * to).max(1.0);
        self.era += 1;
        (self.good, self.bad) = (0, 0);
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        let mut state = self.window.state();
        if state.granted > state.limit()
            && let Some(permit) = self.permit.take()
        {
            permit.forget();
            state.granted -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends as many as fit, ends all in one way, and gives how many they were.
    fn round(window: &Window, ending: impl Fn(usize) -> Ending) -> usize {
        let mut slots = Vec::new();
        while window.permits.available_permits() > 0 {
            slots.push(futures::executor::block_on(window.enter()));
        }
        for (at, slot) in slots.iter().enumerate() {
            window.note(slot, ending(at));
        }
        slots.len()
    }

    #[test]
    fn a_host_in_trouble_gets_fewer_and_a_well_one_all_again() {
        let window = Window::new(64);
        let mut seen = Vec::new();
        for _ in 0..60 {
            seen.push(round(&window, |_| Ending::Failed));
        }
        assert_eq!(seen[..3], [64, 44, 31], "one step a round, however many fail in it");
        assert_eq!(seen.last(), Some(&1));
        for _ in 0..60 {
            seen.push(round(&window, |_| Ending::Answered));
        }
        assert_eq!(seen.last(), Some(&64));
        assert!(seen.iter().all(|in_flight| (1..=64).contains(in_flight)), "{seen:?}");
    }

    #[test]
    fn single_failures_are_no_trouble_and_one_throttled_answer_is() {
        let window = Window::new(64);
        let failed = |at: usize| if at.is_multiple_of(4) { Ending::Failed } else { Ending::Answered };
        for _ in 0..10 {
            assert_eq!(round(&window, failed), 64);
        }
        let throttled = |at: usize| if at > 10 { Ending::Throttled } else { Ending::Answered };
        round(&window, throttled);
        assert_eq!(round(&window, |_| Ending::Answered), 32, "53 of them count as one word");
    }
}
