//! The part of a tile inside an area.

use super::near::Near;
use super::segment::meets_box;

/// A rectangle in Mercator units; y points south.
#[derive(Debug, Clone, Copy)]
pub(in crate::geo) struct Window {
    pub(in crate::geo) x0: f64,
    pub(in crate::geo) y0: f64,
    pub(in crate::geo) x1: f64,
    pub(in crate::geo) y1: f64,
}

/// An area in the integer coordinates of one tile, prepared for many tests.
#[derive(Debug, Clone)]
pub(crate) struct Clip {
    windows: Vec<Window>,
    polygons: Option<Near>,
    whole: bool,
}

impl Clip {
    /// The part of a tile of `extent` units per side that is inside one of the rectangles.
    pub(in crate::geo) fn new(windows: Vec<Window>, extent: f64) -> Self {
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
