//! Estimates how many tiles a walk reads in all.

use std::collections::HashMap;

use super::plan::Plan;
use super::source::{ALL_LINES, TileSource};
use crate::geo::{MAX_ZOOM, TileId};

/// Weight of the prior of a mean, in tiles, so that the first tile alone does not determine the mean.
const PRIOR: f64 = 2.0;

/// Prior number of tiles that follow a tile that is read for its lines, and one that is pruned or split.
const NEAR: f64 = 4.0;
const CHILDREN: f64 = 2.0;
/// The same for a tile without lines according to scouts.
const NEAR_UNHINTED: f64 = 0.1;

/// The tiles read so far, and an estimate of those left.
///
/// A tile of the last level counts 1. A coarser tile counts 1 and the tiles that follow it: as many as have lines
/// according to scouts, else the mean of its level.
pub(super) struct Forecast {
    first_zoom: u8,
    last_zoom: u8,
    is_thorough: bool,
    /// Unread tiles of the first level, and known unread tiles of the levels below it.
    first_left: u64,
    open: [u64; MAX_ZOOM as usize + 1],
    followers: [Mean; MAX_ZOOM as usize + 1],
    /// For unread tiles of the first level: the number of tiles that follow according to scouts.
    hints: HashMap<TileId, u32>,
    hinted: u64,
    /// Tiles that followed per tile that scouts predicted.
    hinted_read: Mean,
    read: u64,
}

/// A mean with a prior.
#[derive(Clone, Copy)]
struct Mean {
    sum: f64,
    count: f64,
}

impl Mean {
    fn of(prior: f64) -> Self {
        Self { sum: prior * PRIOR, count: PRIOR }
    }

    fn get(self) -> f64 {
        self.sum / self.count
    }

    fn add(&mut self, sum: f64, count: f64) {
        self.sum += sum;
        self.count += count;
    }
}

impl Forecast {
    pub(super) fn new(source: &TileSource, plan: &Plan) -> Self {
        let has_scouts = !plan.scouts.is_empty();
        let mut followers = [Mean::of(CHILDREN); MAX_ZOOM as usize + 1];
        if !source.is_thorough {
            followers[usize::from(ALL_LINES)..].fill(Mean::of(NEAR));
        }
        if has_scouts {
            followers[usize::from(plan.first_zoom)] = Mean::of(NEAR_UNHINTED);
        }
        Self {
            first_zoom: plan.first_zoom,
            last_zoom: source.max_zoom,
            is_thorough: source.is_thorough,
            first_left: source.count(plan.first_zoom),
            open: [0; MAX_ZOOM as usize + 1],
            followers,
            hints: HashMap::new(),
            hinted: 0,
            hinted_read: Mean::of(1.0),
            read: 0,
        }
    }

    /// Sets the results of scouts: the number of tiles of the last level with lines, by ancestor of the first level.
    pub(super) fn hint(&mut self, hints: HashMap<TileId, u32>) {
        self.hinted = hints.values().map(|count| u64::from(*count)).sum();
        self.hints = hints;
    }

    /// Counts a scout.
    pub(super) fn scout_read(&mut self) {
        self.read += 1;
    }

    /// Counts a tile, and the tiles that follow it.
    #[expect(clippy::cast_precision_loss, reason = "an estimate")]
    pub(super) fn tile_read(&mut self, tile: TileId, following: &[TileId]) {
        self.read += 1;
        let zoom = usize::from(tile.z);
        if tile.z == self.first_zoom {
            self.first_left = self.first_left.saturating_sub(1);
        } else {
            self.open[zoom] = self.open[zoom].saturating_sub(1);
        }
        for next in following {
            self.open[usize::from(next.z)] += 1;
        }
        match self.hints.remove(&tile).filter(|_| tile.z == self.first_zoom) {
            Some(hint) => {
                self.hinted -= u64::from(hint);
                self.hinted_read.add(following.len() as f64, f64::from(hint));
            }
            None => self.followers[zoom].add(following.len() as f64, 1.0),
        }
    }

    /// Tiles read so far.
    pub(super) fn read(&self) -> u64 {
        self.read
    }

    /// Tiles read so far plus the estimate of those left.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "an estimate"
    )]
    pub(super) fn expected(&self) -> u64 {
        let mut weight = [1.0; MAX_ZOOM as usize + 1];
        for zoom in (0..self.last_zoom).rev() {
            let skips = zoom >= ALL_LINES && !self.is_thorough;
            let next = if skips { self.last_zoom } else { zoom + 1 };
            weight[usize::from(zoom)] =
                1.0 + self.followers[usize::from(zoom)].get() * weight[usize::from(next)];
        }
        let open = self.open.iter().zip(weight).map(|(open, weight)| *open as f64 * weight);
        let unhinted = self.first_left.saturating_sub(self.hints.len() as u64);
        let first = unhinted as f64 * weight[usize::from(self.first_zoom)];
        let hinted = self.hints.len() as f64 + self.hinted as f64 * self.hinted_read.get();
        let left = open.sum::<f64>() + first + hinted;
        self.read + left.round() as u64
    }
}

impl TileSource {
    /// Minimum and maximum number of tiles of the walk, before the first one is read.
    pub(super) fn bounds(&self, plan: &Plan) -> (u64, u64) {
        let least = plan.scouts.len() as u64 + self.count(plan.first_zoom);
        if plan.first_zoom == self.max_zoom {
            return (least, least);
        }
        (least, least + self.count(self.max_zoom))
    }
}
