//! A concurrency limit that follows the health of its host.

use super::outcome::Outcome;

/// The number of items over which the health of a host is averaged.
const HEALTH_SPAN: f64 = 32.0;

/// The share of successful items below which a host is in trouble.
const MIN_HEALTH: f64 = 0.5;

/// The lowest number of items between two changes of the limit.
const MIN_ROUND: u32 = 8;

/// The number of invalid bodies in a row after which they count as failures of the host.
const MAX_INVALID_BODIES: u32 = 32;

/// The limit of one host. It halves while most items fail there, and grows again afterwards.
pub(super) struct AdaptiveLimit {
    /// The concurrency of the client, which the limit never exceeds.
    max: f64,
    limit: f64,
    /// Grows each time the limit shrinks. Failures of requests that were sent earlier do not shrink the new limit.
    generation: u64,
    /// The number of items since the limit last changed.
    items: u32,
    /// The share of the latest items that succeeded.
    health: f64,
    invalid_bodies: u32,
}

impl AdaptiveLimit {
    pub(super) fn new(concurrency: usize) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "at most a few thousand")]
        let max = concurrency as f64;
        Self { max, limit: max, generation: 0, items: 0, health: 1.0, invalid_bodies: 0 }
    }

    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from one to a few thousand")]
    pub(super) fn get(&self) -> usize {
        self.limit as usize
    }

    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    pub(super) fn is_healthy(&self) -> bool {
        self.health >= MIN_HEALTH
    }

    /// Counts the outcome of an attempt that was sent in a generation. `is_first` is false for retries of an item.
    pub(super) fn record(&mut self, outcome: Outcome, is_first: bool, generation: u64) {
        match outcome {
            Outcome::Responded => self.succeed(),
            Outcome::InvalidBody if is_first => {
                self.invalid_bodies += 1;
                if self.invalid_bodies > MAX_INVALID_BODIES {
                    self.fail(generation);
                }
            }
            Outcome::Failed if is_first => self.fail(generation),
            Outcome::RateLimited if generation == self.generation => self.shrink(),
            Outcome::InvalidBody | Outcome::Failed | Outcome::RateLimited => {}
        }
        let round = MIN_ROUND.max(u32::try_from(self.get()).unwrap_or(u32::MAX));
        if !self.is_healthy() && self.items >= MIN_ROUND && outcome != Outcome::Responded {
            self.shrink();
        } else if self.is_healthy() && self.items >= round {
            self.limit = (self.limit * 1.5 + 1.0).min(self.max);
            self.items = 0;
        }
    }

    fn succeed(&mut self) {
        self.invalid_bodies = 0;
        // A host that recovers becomes healthy after fewer items.
        let span = if self.is_healthy() { HEALTH_SPAN } else { HEALTH_SPAN / 2.0 };
        self.health += (1.0 - self.health) / span;
        self.items += 1;
    }

    fn fail(&mut self, generation: u64) {
        if generation == self.generation {
            self.health -= self.health / HEALTH_SPAN;
            self.items += 1;
        }
    }

    fn shrink(&mut self) {
        self.limit = (self.limit / 2.0).max(1.0);
        self.generation += 1;
        self.items = 0;
    }
}
