//! Whether a tile that can't be had is a fault of that tile, or of the whole host.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Mutex;
use tokio::time::Instant;

use super::tiles::TileSource;
use crate::geo::TileId;

/// What one walk over tiles knows of their host.
#[derive(Default)]
pub(super) struct Health {
    /// How many tiles were read.
    successes: AtomicU64,
    /// When the samples below a failed tile were asked last, and whether one of them was read.
    sampled: Mutex<Option<(Instant, bool)>>,
}

/// The state when a tile was asked for.
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

    /// Whether the host gives other tiles than the one that failed.
    ///
    /// Either one was read meanwhile, or one is read below it. Tiles that failed at the same time share one look, so
    /// that a host that is down is not asked for every tile of the area.
    pub(super) async fn is_well(&self, source: &TileSource, tile: TileId, began: Began) -> bool {
        if self.successes.load(Ordering::Relaxed) > began.successes {
            return true;
        }
        let mut sampled = self.sampled.lock().await;
        if let Some((at, well)) = *sampled
            && at >= began.at
        {
            return well;
        }
        let at = Instant::now();
        let samples = source.samples_below(tile);
        let looks = futures::future::join_all(samples.into_iter().map(|sample| source.look(sample))).await;
        let well = looks.iter().any(Result::is_ok);
        *sampled = Some((at, well));
        well
    }
}
