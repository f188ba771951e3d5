//! The part of a tile inside an area.

use super::near::Near;
use super::segment::meets_box;
use crate::geo::bbox::{Bbox, Window};
use crate::geo::tile::TileId;

/// An area in the integer coordinates of one tile, prepared for many tests.
#[derive(Debug, Clone)]
pub(crate) struct Clip {
    windows: Vec<Window>,
    polygons: Option<Near>,
    whole: bool,
}

impl Bbox {
    /// The part of a tile of `extent` units per side inside the box, for tests on its coordinates.
    pub(crate) fn clip(&self, tile: TileId, extent: u32) -> Clip {
        let extent = f64::from(extent);
        let windows: Vec<Window> = self
            .windows(tile, 0.0)
            .into_iter()
            .map(|w| Window { x0: w.x0 * extent, y0: w.y0 * extent, x1: w.x1 * extent, y1: w.y1 * extent })
            .collect();
        Clip::new(windows, extent)
    }
}

impl Clip {
    /// The part of a tile of `extent` units per side that is inside one of the rectangles.
    fn new(windows: Vec<Window>, extent: f64) -> Self {
        let whole = windows.iter().any(|w| w.x0 <= 0.0 && w.y0 <= 0.0 && w.x1 >= extent && w.y1 >= extent);
        Self { windows, polygons: None, whole }
    }

    /// An empty clip.
    pub(crate) fn nowhere() -> Self {
        Self { windows: Vec::new(), polygons: None, whole: false }
    }

    /// A clip of the whole tile.
    pub(in crate::geo) fn whole() -> Self {
        Self { whole: true, ..Self::nowhere() }
    }

    /// The part of a tile inside polygons.
    pub(super) fn in_polygons(polygons: Near) -> Self {
        Self { polygons: Some(polygons), ..Self::nowhere() }
    }

    /// Whether the whole tile is inside the area, so that no test is needed.
    pub(crate) fn is_whole(&self) -> bool {
        self.whole
    }

    /// Whether a point of the tile is inside the area.
    pub(crate) fn has_point(&self, x: i32, y: i32) -> bool {
        if let Some(polygons) = &self.polygons {
            return polygons.has_point((x, y));
        }
        let (x, y) = (f64::from(x), f64::from(y));
        self.whole || self.windows.iter().any(|w| (w.x0..=w.x1).contains(&x) && (w.y0..=w.y1).contains(&y))
    }

    /// Whether a line segment touches the area.
    pub(crate) fn has_segment(&self, from: (i32, i32), to: (i32, i32)) -> bool {
        if let Some(polygons) = &self.polygons {
            return polygons.has_segment(from, to);
        }
        self.whole || self.windows.iter().any(|w| w.meets(from, to))
    }
}

impl Window {
    fn meets(&self, from: (i32, i32), to: (i32, i32)) -> bool {
        let real = |(x, y): (i32, i32)| (f64::from(x), f64::from(y));
        meets_box((self.x0, self.y0), (self.x1, self.y1), real(from), real(to))
    }
}
