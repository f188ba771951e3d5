//! The polygons near a tile.

use std::sync::Arc;

use super::polygon::Polygon;
use crate::geo::lonlat::LonLat;
use crate::geo::tile::TileId;

/// The polygons near a tile, for tests in its coordinates.
#[derive(Debug, Clone)]
pub(super) struct Near {
    pub(super) polygons: Arc<[Polygon]>,
    /// Indices of the polygons, each with the longitude shift of the tile.
    pub(super) indices: Vec<(usize, f64)>,
    pub(super) tile: TileId,
    pub(super) extent: f64,
}

impl Near {
    fn to_lonlat(&self, (x, y): (i32, i32)) -> LonLat {
        self.tile.lonlat(f64::from(x), f64::from(y), self.extent)
    }

    pub(super) fn has_point(&self, point: (i32, i32)) -> bool {
        let at = self.to_lonlat(point);
        self.indices.iter().any(|(index, shift)| self.polygons[*index].contains(shifted_point(at, *shift)))
    }

    pub(super) fn has_segment(&self, from: (i32, i32), to: (i32, i32)) -> bool {
        let (a, b) = (self.to_lonlat(from), self.to_lonlat(to));
        let crosses = |index: usize, shift| {
            self.polygons[index].crosses(shifted_point(a, shift), shifted_point(b, shift))
        };
        self.indices.iter().any(|(index, shift)| crosses(*index, *shift)) || self.has_point(from)
    }
}

fn shifted_point(at: LonLat, shift: f64) -> LonLat {
    LonLat { lon: at.lon + shift, ..at }
}
