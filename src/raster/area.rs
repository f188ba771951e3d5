//! Areas and boxes of polygons.

use super::{Polygon, Ring};

/// The box around a shape.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bounds {
    /// Left edge.
    pub x: f64,
    /// Upper edge.
    pub y: f64,
    /// Width.
    pub width: f64,
    /// Height.
    pub height: f64,
}

/// The box around all vertices; `None` without vertices.
///
/// ```
/// use streetflow::raster::{Bounds, bounds};
///
/// let triangle = vec![vec![[3.0, 1.0], [7.0, 2.0], [4.0, 6.0]]];
/// assert_eq!(bounds(&[triangle]), Some(Bounds { x: 3.0, y: 1.0, width: 4.0, height: 5.0 }));
/// ```
pub fn bounds(polygons: &[Polygon]) -> Option<Bounds> {
    let mut points = polygons.iter().flatten().flatten();
    let &[x, y] = points.next()?;
    let (mut low, mut high) = ([x, y], [x, y]);
    for &[x, y] in points {
        low = [low[0].min(x), low[1].min(y)];
        high = [high[0].max(x), high[1].max(y)];
    }
    Some(Bounds { x: low[0], y: low[1], width: high[0] - low[0], height: high[1] - low[1] })
}

/// The area of all polygons without their holes. The first ring of a polygon is its outer one.
///
/// ```
/// use streetflow::raster::area;
///
/// let outer = vec![[0.0, 0.0], [4.0, 0.0], [4.0, 2.0], [0.0, 2.0]];
/// let hole = vec![[1.0, 1.0], [2.0, 1.0], [2.0, 2.0]];
/// assert_eq!(area(&[vec![outer, hole]]), 7.5);
/// ```
pub fn area(polygons: &[Polygon]) -> f64 {
    let one = |polygon: &Polygon| {
        let holes: f64 = polygon.iter().skip(1).map(ring_area).sum();
        (polygon.first().map_or(0.0, ring_area) - holes).max(0.0)
    };
    polygons.iter().map(one).sum()
}

/// The area of a ring, whatever its winding.
pub(crate) fn ring_area(ring: &Ring) -> f64 {
    let Some(&[x0, y0]) = ring.first() else { return 0.0 };
    let twice: f64 = ring
        .windows(2)
        .map(|edge| (edge[0][0] - x0) * (edge[1][1] - y0) - (edge[1][0] - x0) * (edge[0][1] - y0))
        .sum();
    twice.abs() / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_area_ignores_the_winding() {
        let mut ring = vec![[1.0, 1.0], [5.0, 1.0], [5.0, 4.0]];
        assert!((ring_area(&ring) - 6.0).abs() < 1e-12);
        ring.reverse();
        assert!((ring_area(&ring) - 6.0).abs() < 1e-12);
        for short in [vec![], vec![[1.0, 2.0]], vec![[1.0, 2.0], [3.0, 4.0]]] {
            assert!(ring_area(&short).abs() < 1e-12);
        }
        assert_eq!(bounds(&[]), None);
    }
}
