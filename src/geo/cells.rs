//! Tiles below a tile that lines touch.

use super::TileId;

/// A grid of the tiles of one deeper level below a tile, to mark those that a line touches.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Cells {
    tile: TileId,
    zoom: u8,
    /// Cells along a side of the tile.
    side: usize,
    /// One bit per cell, row by row.
    bits: Vec<u64>,
}

impl Cells {
    /// Creates an empty grid of level `zoom`, at most eight levels below the tile.
    pub(crate) fn new(tile: TileId, zoom: u8) -> Self {
        let side = 1_usize << zoom.saturating_sub(tile.z).min(8);
        Self { tile, zoom: zoom.min(tile.z + 8).max(tile.z), side, bits: vec![0; (side * side).div_ceil(64)] }
    }

    /// Marks the cells within `margin` of a line segment, measured east–west and north–south.
    ///
    /// The segment is in units of 1/`extent` of the tile's side. The margin is always in units of 1/4096.
    #[expect(clippy::cast_precision_loss, reason = "at most 256 cells per side")]
    pub(crate) fn mark(&mut self, from: (i32, i32), to: (i32, i32), extent: u32, margin: f64) {
        let side = self.side as f64;
        let (scale, margin) = (side / f64::from(extent.max(1)), margin * side / 4096.0);
        let cells = |(x, y): (i32, i32)| (f64::from(x) * scale, f64::from(y) * scale);
        let ((ax, ay), (bx, by)) = (cells(from), cells(to));
        let Some(rows) = self.range(ay.min(by) - margin, ay.max(by) + margin) else { return };
        for row in rows {
            // The part of the segment in this row, with the margin.
            let (north, south) = (row as f64 - margin, row as f64 + 1.0 + margin);
            let (enter, leave) = if by - ay == 0.0 {
                (0.0, 1.0)
            } else {
                let at = |y: f64| ((y - ay) / (by - ay)).clamp(0.0, 1.0);
                (at(north), at(south))
            };
            let (one, other) = (ax + (bx - ax) * enter, ax + (bx - ax) * leave);
            let Some(columns) = self.range(one.min(other) - margin, one.max(other) + margin) else {
                continue;
            };
            for column in columns {
                let bit = row * self.side + column;
                self.bits[bit / 64] |= 1 << (bit % 64);
            }
        }
    }

    /// The rows or columns between two coordinates, if any are in the grid.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "clamped to the grid"
    )]
    fn range(&self, low: f64, high: f64) -> Option<std::ops::RangeInclusive<usize>> {
        let last = self.side - 1;
        let index = |at: f64| (at.max(0.0) as usize).min(last);
        (high >= 0.0 && low <= self.side as f64).then(|| index(low)..=index(high))
    }

    /// The marked tiles, in quadkey order.
    #[expect(clippy::cast_possible_truncation, reason = "at most 256 cells a side")]
    pub(crate) fn tiles(&self) -> Vec<TileId> {
        let depth = u32::from(self.zoom - self.tile.z);
        let (x, y) = (self.tile.x << depth, self.tile.y << depth);
        let marked = (0..self.side * self.side).filter(|bit| self.bits[bit / 64] >> (bit % 64) & 1 == 1);
        let mut tiles: Vec<_> = marked
            .map(|bit| TileId {
                z: self.zoom,
                x: x + (bit % self.side) as u32,
                y: y + (bit / self.side) as u32,
            })
            .collect();
        tiles.sort_unstable_by_key(|tile| tile.z_order());
        tiles
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geo::area::meets_box;

    const TILE: TileId = TileId { z: 10, x: 606, y: 405 };

    /// The same by looking at every cell.
    fn one_by_one(from: (i32, i32), to: (i32, i32), margin: f64) -> Vec<TileId> {
        let real = |(x, y): (i32, i32)| (f64::from(x), f64::from(y));
        let mut tiles = Vec::new();
        for (row, column) in (0..16_u32).flat_map(|row| (0..16_u32).map(move |column| (row, column))) {
            let least = (f64::from(column) * 256.0 - margin, f64::from(row) * 256.0 - margin);
            let greatest = (least.0 + 256.0 + 2.0 * margin, least.1 + 256.0 + 2.0 * margin);
            if meets_box(least, greatest, real(from), real(to)) {
                tiles.push(TileId { z: 14, x: TILE.x * 16 + column, y: TILE.y * 16 + row });
            }
        }
        tiles.sort_unstable_by_key(|tile| tile.z_order());
        tiles
    }

    #[test]
    fn a_line_marks_the_cells_that_it_comes_near_to_and_no_others() {
        let mut random = fastrand::Rng::with_seed(17);
        for round in 0..3000 {
            let point = |random: &mut fastrand::Rng| (random.i32(-200..4300), random.i32(-200..4300));
            let from = point(&mut random);
            let to = match round % 3 {
                0 => point(&mut random),
                1 => (from.0 + random.i32(-60..60), from.1 + random.i32(-60..60)),
                _ => from,
            };
            let margin = f64::from(random.u8(0..20)) + 0.5;
            let mut cells = Cells::new(TILE, 14);
            cells.mark(from, to, 4096, margin);
            let (marked, near) = (cells.tiles(), one_by_one(from, to, margin));
            assert!(near.iter().all(|tile| marked.contains(tile)), "{from:?} to {to:?}");
            // Only at the corner of a cell may it be a few units too many.
            let wide = one_by_one(from, to, margin * 2.0 + 1.0);
            assert!(marked.iter().all(|tile| wide.contains(tile)), "{from:?} to {to:?}");
        }
    }

    #[test]
    fn absurd_places_stay_in_the_grid() {
        let mut cells = Cells::new(TileId { z: 6, x: 0, y: 0 }, 14);
        for extent in [0, 1, 4096, u32::MAX] {
            cells.mark((i32::MIN, i32::MAX), (i32::MAX, i32::MIN), extent, 8.0);
            cells.mark((i32::MAX, i32::MAX), (i32::MAX, i32::MAX), extent, 8.0);
        }
        assert!(cells.tiles().iter().all(|tile| tile.z == 14 && tile.x < 256 && tile.y < 256));
    }
}
