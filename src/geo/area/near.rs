//! The polygons near a tile.

use std::sync::Arc;

use super::polygon::Polygon;
use crate::geo::lonlat::LonLat;
use crate::geo::tile::TileId;

/// The polygons near a tile, for questions in its coordinates.
#[derive(Debug, Clone)]
pub(super) struct Near {
    pub(super) polygons: Arc<[Polygon]>,
    /// Which, and how far the tile must be turned to them.
    pub(super) which: Vec<(usize, f64)>,
    pub(super) tile: TileId,
    pub(super) extent: f64,
}

impl Near {
    fn at(&self, (x, y): (i32, i32)) -> LonLat {
        self.tile.lonlat(f64::from(x), f64::from(y), self.extent)
    }

    pub(super) fn has_point(&self, point: (i32, i32)) -> bool {
        let at = self.at(point);
        self.which.iter().any(|(index, turn)| self.polygons[*index].contains(shifted(at, *turn)))
    }

    pub(super) fn has_segment(&self, from: (i32, i32), to: (i32, i32)) -> bool {
        let (a, b) = (self.at(from), self.at(to));
        let crosses = |index: usize, turn| self.polygons[index].crosses(shifted(a, turn), shifted(b, turn));
        self.which.iter().any(|(index, turn)| crosses(*index, *turn)) || self.has_point(from)
    }
}

fn shifted(at: LonLat, turn: f64) -> LonLat {
    LonLat { lon: at.lon + turn, ..at }
}
