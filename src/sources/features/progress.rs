//! Counts the tiles of a walk, and estimates how many are left.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::client::Client;
use crate::observe::Event;

/// Expected number of tiles near lines below a coarse tile, before the first one is read.
const NEAR: u64 = 4;

/// The tiles read, and those known to follow.
#[derive(Debug, Default)]
pub(super) struct Progress {
    tilesets: AtomicU64,
    coverage_read: AtomicU64,
    coverage_left: AtomicU64,
    /// Tiles near lines, of one tileset.
    near: AtomicU64,
    features_read: AtomicU64,
}

impl Progress {
    /// Starts with the coarse tiles to read, and the number of all tiles of features.
    pub(super) fn plan(&self, client: &Client, coverage: u64, all: u64, tilesets: usize) {
        self.tilesets.store(tilesets as u64, Relaxed);
        self.coverage_left.store(coverage, Relaxed);
        let min = if coverage == 0 { all } else { coverage };
        client.emit(&Event::TilesPlanned { min, max: coverage + all });
        if coverage == 0 {
            self.near.store(all / (tilesets.max(1) as u64), Relaxed);
        }
    }

    /// Counts a coarse tile that was read, and those below it that are read next.
    pub(super) fn coverage_tile_read(&self, below: usize) {
        self.coverage_read.fetch_add(1, Relaxed);
        self.coverage_left.fetch_add(below as u64, Relaxed);
        self.coverage_left.fetch_sub(1, Relaxed);
    }

    /// Number of coarse tiles read.
    pub(super) fn coverage_read(&self) -> u64 {
        self.coverage_read.load(Relaxed)
    }

    /// Counts tiles near lines.
    pub(super) fn found(&self, client: &Client, tiles: usize) {
        self.near.fetch_add(tiles as u64, Relaxed);
        self.report(client);
    }

    /// Counts a tile of features that was read.
    pub(super) fn feature_tile_read(&self, client: &Client) {
        self.features_read.fetch_add(1, Relaxed);
        self.report(client);
    }

    fn report(&self, client: &Client) {
        let (coverage, left) = (self.coverage_read(), self.coverage_left.load(Relaxed));
        let (near, features) = (self.near.load(Relaxed), self.features_read.load(Relaxed));
        let mean = near.checked_div(coverage).unwrap_or(NEAR);
        let expected_near = near + left * mean;
        let read = coverage + features;
        let expected = coverage + left + expected_near * self.tilesets.load(Relaxed);
        client.emit(&Event::TilesExpected { read, expected: expected.max(read) });
    }
}
