//! Web Mercator tiles.

use std::f64::consts::PI;
use std::fmt;

use super::lonlat::LonLat;

/// Deepest zoom level of Mapillary's tiles.
pub const MAX_ZOOM: u8 = 14;

/// A Web Mercator tile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TileId {
    /// Zoom level, 0 to [`MAX_ZOOM`].
    pub z: u8,
    /// Column, from the west.
    pub x: u32,
    /// Row, from the north.
    pub y: u32,
}

impl TileId {
    /// The tile of zoom 0.
    pub const WORLD: Self = Self { z: 0, x: 0, y: 0 };

    /// The tile that contains a point. Zoom levels above [`MAX_ZOOM`] are clamped.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "brought into the range of tiles"
    )]
    pub fn containing(point: LonLat, zoom: u8) -> Self {
        let ((x, y), zoom) = (point.mercator(), zoom.min(MAX_ZOOM));
        let scale = f64::from(1_u32 << zoom);
        let index = |at: f64| ((at * scale).max(0.0) as u32).min((1 << zoom) - 1);
        Self { z: zoom, x: index(x), y: index(y) }
    }

    /// The four tiles of the next zoom level, in quadkey order.
    pub fn children(self) -> [Self; 4] {
        let (z, x, y) = (self.z + 1, self.x * 2, self.y * 2);
        [(0, 0), (1, 0), (0, 1), (1, 1)].map(|(dx, dy)| Self { z, x: x + dx, y: y + dy })
    }

    /// The coordinates of a point in the tile, in units of 1/`extent` of its side.
    pub fn lonlat(self, x: f64, y: f64, extent: f64) -> LonLat {
        let scale = f64::from(self.z).exp2();
        let lon = ((f64::from(self.x) + x / extent) / scale - 0.5) * 360.0;
        let lat = (PI * (1.0 - 2.0 * (f64::from(self.y) + y / extent) / scale)).sinh().atan().to_degrees();
        LonLat { lon, lat }
    }

    /// Position in quadkey order: the quadkey of the first descendant at [`MAX_ZOOM`], as a number.
    pub fn z_order(self) -> u32 {
        let spread = |v: u32| (0..u32::from(self.z)).fold(0, |acc, bit| acc | ((v >> bit) & 1) << (2 * bit));
        (spread(self.x) | spread(self.y) << 1) << (2 * u32::from(MAX_ZOOM - self.z))
    }
}

impl fmt::Display for TileId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.z, self.x, self.y)
    }
}
