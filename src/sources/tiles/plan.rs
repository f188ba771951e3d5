//! Where a walk begins, and what it is sure to find.

use super::{ALL_LINES, FIRST_LINES, TileSource};
use crate::geo::{MAX_ZOOM, TileId};

/// A level that covers the area with so few tiles is read without looking at a coarser one; a thorough walk starts at
/// the deepest such level.
const FIRST_COVER: usize = 32;

/// A level from 10 to 13 that covers the area with so few tiles is read for its lines rather than a coarser one, for it
/// shows them finer.
const FINE_COVER: usize = 8;

/// Up to so many tiles of level 10 are read without ruling any of them out above, which is an hour at 40 a minute.
const WIDE_COVER: usize = 2048;

/// One scout for so many tiles of level 10, but four are always worth it.
const TILES_A_SCOUT: usize = 24;
const FEW_SCOUTS: usize = 4;

/// A line that spans so many units of 1/4096 of a tile's side, east-west or north-south, is drawn in that tile or in one
/// beside it.
///
/// A piece of a line that spans a unit never collapses into a point by rounding. Where four tiles meet they cut a line
/// into three pieces, the longest of which spans a third of the whole at least: more than one unit of four.
const SURE_UNITS: f64 = 4.0;

/// The Earth's circumference in web mercator, in metres.
const EQUATOR: f64 = 40_075_016.685_578_5;

/// How a walk begins.
#[derive(Debug, PartialEq)]
pub(super) struct Plan {
    /// Coarse tiles that only say where to look first; none if that is not worth a request.
    pub(super) scouts: Vec<TileId>,
    /// The first level that is read for its own sake.
    pub(super) first_zoom: u8,
}

impl TileSource {
    pub(super) fn plan(&self) -> Plan {
        let first_zoom = self.first_zoom();
        let plan = |scouts| Plan { scouts, first_zoom };
        if self.is_thorough || first_zoom != ALL_LINES {
            return plan(Vec::new());
        }
        let Some(cover) = self.cover(ALL_LINES, WIDE_COVER).filter(|cover| cover.len() > FINE_COVER) else {
            return plan(Vec::new());
        };
        let most = (cover.len() / TILES_A_SCOUT).max(FEW_SCOUTS);
        let levels = self.min_zoom.max(FIRST_LINES)..ALL_LINES;
        plan(levels.rev().find_map(|zoom| self.cover(zoom, most)).unwrap_or_default())
    }

    fn first_zoom(&self) -> u8 {
        // Where a level with few tiles is the last one, or none would be skipped, nothing can be saved.
        let narrow = self.deepest(FIRST_COVER, self.max_zoom);
        let first = if self.is_thorough || narrow == self.max_zoom || self.max_zoom < ALL_LINES {
            narrow
        } else {
            let fine = self.deepest(FINE_COVER, self.max_zoom - 1);
            match fine {
                ALL_LINES.. => fine,
                _ if self.cover(ALL_LINES, WIDE_COVER).is_some() => ALL_LINES,
                _ => narrow,
            }
        };
        first.max(FIRST_LINES).max(self.min_zoom).min(self.max_zoom)
    }

    /// The deepest level that covers the area with so many tiles at most, down to a last one.
    fn deepest(&self, most: usize, last: u8) -> u8 {
        let mut cover = vec![TileId::WORLD];
        for zoom in 0..last {
            cover = self.below(cover);
            if cover.len() > most {
                return zoom;
            }
        }
        last
    }

    /// The tiles of a level that touch the area, if there are no more than so many.
    pub(super) fn cover(&self, zoom: u8, most: usize) -> Option<Vec<TileId>> {
        let mut cover = vec![TileId::WORLD];
        for _ in 0..zoom {
            cover = self.below(cover);
            if cover.len() > most {
                return None;
            }
        }
        Some(cover)
    }

    /// How many tiles of a level touch the area; an estimate if they are many and the area is no box.
    pub(super) fn count(&self, zoom: u8) -> u64 {
        if let Some(bbox) = self.area.bbox() {
            return bbox.cover_len(zoom);
        }
        let mut cover = vec![TileId::WORLD];
        for level in 0..zoom {
            if cover.len() > WIDE_COVER {
                return (cover.len() as u64) << (2 * u32::from(zoom - level));
            }
            cover = self.below(cover);
        }
        cover.len() as u64
    }

    /// The length in metres from which a line in the area is surely found, or 0 if all sequences are.
    ///
    /// The length is that of a line along a parallel or a meridian; one that winds counts by how far it reaches. It is
    /// four units of 1/4096 of the side of a tile at the level where the walk begins, which is level 10 but for small
    /// areas and for such as have more than 2,048 tiles there: 38 m at the equator, less towards the poles.
    pub fn sure_length(&self) -> f64 {
        let zoom = self.first_zoom();
        if zoom == MAX_ZOOM {
            return 0.0;
        }
        let unit =
            EQUATOR * self.area.nearest_latitude().to_radians().cos() / f64::from(zoom).exp2() / 4096.0;
        SURE_UNITS * unit
    }
}
