//! Shapes in pictures as pixels: spans, areas and run-length encoding.
//!
//! A pixel belongs to a polygon if its centre is inside by the even–odd rule, so holes are left out whatever the winding
//! of their rings. A centre on a left or upper edge is inside, one on a right or lower edge is not, so adjacent polygons
//! share no pixel. Several polygons of one shape are united.

mod area;
mod rle;
mod spans;

pub use self::area::{Bounds, area, bounds};
pub use self::rle::Rle;
pub use self::spans::{Span, spans};

use crate::record::Polygons;

/// A ring of vertices `[x, y]`, y down. The first vertex is not repeated.
pub type Ring = Vec<[f64; 2]>;

/// An outer ring and its holes.
pub type Polygon = Vec<Ring>;

/// Scales a shape from fractions of a picture to its pixels, and moves vertices outside to its border.
///
/// Values that are not finite become 0.
///
/// ```
/// use streetflow::{raster::to_pixels, record::Polygons};
///
/// let whole = Polygons::from(vec![vec![vec![[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.5]]]]);
/// assert_eq!(to_pixels(&whole, 1024, 576), [[[[0.0, 0.0], [1024.0, 0.0], [1024.0, 576.0], [0.0, 576.0]]]]);
/// ```
pub fn to_pixels(shape: &Polygons, width: u32, height: u32) -> Vec<Polygon> {
    let scale = |fraction: f64, size: u32| {
        let fraction = if fraction.is_finite() { fraction.clamp(0.0, 1.0) } else { 0.0 };
        fraction * f64::from(size)
    };
    let point = |&[x, y]: &[f64; 2]| [scale(x, width), scale(y, height)];
    let ring = |ring: &[[f64; 2]]| ring.iter().map(point).collect();
    shape.iter().map(|polygon| polygon.rings().map(ring).collect()).collect()
}
