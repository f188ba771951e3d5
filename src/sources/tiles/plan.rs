//! The levels that a walk reads, and what it certainly finds.

use super::source::{ALL_LINES, FIRST_LINES, TileSource};
use crate::geo::{MAX_ZOOM, TileId};

/// The last level is read directly if it covers the area with at most this many tiles. A thorough walk begins at the
/// deepest level with such a cover.
const FIRST_COVER: usize = 32;

/// The deepest of levels 10 to 13 that covers the area with at most this many tiles is read for its lines, because
/// deeper levels have finer lines.
const FINE_COVER: usize = 8;

/// An area with at most this many tiles of the last level is read without a look at its lines.
const FEW_TILES: u64 = 4;

/// If level 10 covers the area with at most this many tiles, an hour at 40 per minute, coarser levels prune nothing.
const WIDE_COVER: usize = 2048;

/// Number of tiles of level 10 that are worth one scout, and the number of scouts that are always worth it.
const TILES_PER_SCOUT: usize = 24;
const FEW_SCOUTS: usize = 4;

/// A line that spans this many units, 1/4096 of a tile's side, east–west or north–south, has a line in that tile or in a
/// neighbour of it.
///
/// A part of a line that spans one unit does not collapse into a point by rounding. Where four tiles meet, they cut a
/// line into three parts, and the longest spans at least a third of the whole: more than one of four units.
const SURE_UNITS: f64 = 4.0;

/// The Earth's circumference in web mercator, in metres.
const EQUATOR: f64 = 40_075_016.685_578_5;

/// The beginning of a walk.
#[derive(Debug, PartialEq)]
pub(super) struct Plan {
    /// Coarse tiles that only show where to begin; empty if that is not worth a request.
    pub(super) scouts: Vec<TileId>,
    /// The first level that must be read completely.
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
        let most = (cover.len() / TILES_PER_SCOUT).max(FEW_SCOUTS);
        let levels = self.min_zoom.max(FIRST_LINES)..ALL_LINES;
        plan(levels.rev().find_map(|zoom| self.cover(zoom, most)).unwrap_or_default())
    }

    fn first_zoom(&self) -> u8 {
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

    /// The level at which a walk looks for lines before it reads tiles of other tilesets below them. `None` if the area
    /// has so few tiles of the last level that looking would cost as much as it can save.
    pub(in crate::sources) fn coverage_zoom(&self) -> Option<u8> {
        let all = self.count(self.max_zoom);
        if all <= FEW_TILES {
            return None;
        }
        let most = usize::try_from(all / FEW_TILES).map_or(FINE_COVER, |most| most.clamp(1, FINE_COVER));
        let fine = self.deepest(most, self.max_zoom - 1);
        let zoom =
            if fine < ALL_LINES && self.cover(ALL_LINES, WIDE_COVER).is_some() { ALL_LINES } else { fine };
        Some(zoom.max(FIRST_LINES))
    }

    /// The deepest level, up to `last`, that covers the area with at most `most` tiles.
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

    /// The tiles of a level that touch the area, if there are at most `most`.
    pub(in crate::sources) fn cover(&self, zoom: u8, most: usize) -> Option<Vec<TileId>> {
        let mut cover = vec![TileId::WORLD];
        for _ in 0..zoom {
            cover = self.below(cover);
            if cover.len() > most {
                return None;
            }
        }
        Some(cover)
    }

    /// Number of tiles of a level that touch the area; an upper bound for large areas that are not boxes.
    pub(in crate::sources) fn count(&self, zoom: u8) -> u64 {
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

    /// Returns the length in metres from which every line in the area is found, or 0 if all sequences are found.
    ///
    /// It counts how far a line extends east–west or north–south. It is four units of 1/4096 of a tile's side at the
    /// level where the walk begins: 38 m at level 10 at the equator, and less towards the poles. Small areas begin at a
    /// deeper level. Areas with more than 2,048 tiles of level 10 begin at a coarser one, unless
    /// [`TileSource::zooms`] says otherwise.
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
