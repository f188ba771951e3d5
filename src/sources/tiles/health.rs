//! Whether a failed tile is a problem of that tile or of the whole host.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

/// What a walk knows about the tile host.
#[derive(Default)]
pub(super) struct Health {
    /// Number of tiles read.
    successes: AtomicU64,
    /// The latest samples below a failed tile.
    sampled: Mutex<Option<Sampled>>,
}

#[derive(Clone, Copy)]
struct Sampled {
    at: Instant,
    /// Whether one of the samples was read.
    well: bool,
    /// Number of tiles read by then.
    successes: u64,
}

/// A failing host counts as down for this time, unless a tile is read meanwhile.
const DOWN_FOR: Duration = Duration::from_secs(30);

/// The state when a tile was requested.
#[derive(Clone, Copy)]
pub(super) struct Began {
    at: Instant,
    successes: u64,
}

impl Health {
    pub(super) fn begin(&self) -> Began {
        Began { at: Instant::now(), successes: self.successes.load(Ordering::Relaxed) }
    }

    pub(super) fn note_success(&self) {
        self.successes.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether the host serves other tiles than the one that failed.
    ///
    /// That is the case if a tile was read meanwhile, or if a sample below the failed tile can be read. Tiles that fail at
    /// the same time share the samples, so that a host that is down gets few requests.
    pub(super) async fn is_well(&self, began: Began, can_read_sample: impl Future<Output = bool>) -> bool {
        if self.successes.load(Ordering::Relaxed) > began.successes {
            return true;
        }
        let mut sampled = self.sampled.lock().await;
        let successes = self.successes.load(Ordering::Relaxed);
        if let Some(last) = *sampled {
            let is_down = !last.well && last.successes == successes && last.at.elapsed() < DOWN_FOR;
            if last.at >= began.at || is_down {
                return last.well;
            }
        }
        let at = Instant::now();
        let well = can_read_sample.await;
        *sampled = Some(Sampled { at, well, successes });
        well
    }
}
