//! Shapes in a picture, in 4096ths of its width and height, from the top left corner.

/// A vertex of a ring.
pub(crate) type Vertex = (i32, i32);

/// A ring without its closing vertex. Outer rings run clockwise on the screen, holes the other way.
pub(crate) type Ring = Vec<(i32, i32)>;

/// An outer ring, then its holes.
pub(crate) type Polygon = Vec<Ring>;

/// Returns a rectangle.
pub(super) fn rectangle(x0: i32, y0: i32, x1: i32, y1: i32) -> Ring {
    vec![(x0, y0), (x1, y0), (x1, y1), (x0, y1)]
}

/// Returns a regular polygon around a centre, stretched to two radii.
pub(super) fn round(centre: Vertex, (rx, ry): (i32, i32), corners: u32) -> Ring {
    let vertex = |corner: u32| {
        let turn = (f64::from(corner) + 0.5) / f64::from(corners) * std::f64::consts::TAU;
        let at = |centre: i32, radius: i32, part: f64| centre + (f64::from(radius) * part).round() as i32;
        (at(centre.0, rx, turn.cos()), at(centre.1, ry, turn.sin()))
    };
    (0..corners).map(vertex).collect()
}

/// Returns a ring in the other direction.
pub(super) fn reversed(mut ring: Ring) -> Ring {
    ring.reverse();
    ring
}

/// Returns the smallest rectangle around a ring.
pub(super) fn bounds(ring: &Ring) -> Ring {
    let range = |pick: fn(&Vertex) -> i32| {
        let values = ring.iter().map(pick);
        (values.clone().min().unwrap_or_default(), values.max().unwrap_or_default())
    };
    let ((x0, x1), (y0, y1)) = (range(|vertex| vertex.0), range(|vertex| vertex.1));
    rectangle(x0, y0, x1, y1)
}

/// Returns where a horizontal line crosses the rings of a polygon, sorted. Inside is between an odd and an even one.
pub(crate) fn crossings(polygon: &Polygon, y: f64) -> Vec<f64> {
    let mut found = Vec::new();
    for ring in polygon {
        let mut from = ring.last().copied().unwrap_or_default();
        for &to in ring {
            let (y0, y1) = (f64::from(from.1), f64::from(to.1));
            if (y0 <= y) != (y1 <= y) {
                let part = (y - y0) / (y1 - y0);
                found.push(f64::from(from.0) + part * f64::from(to.0 - from.0));
            }
            from = to;
        }
    }
    found.sort_unstable_by(f64::total_cmp);
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns twice the area, positive if the ring runs clockwise on the screen.
    fn area(ring: &Ring) -> i32 {
        let next = ring.iter().cycle().skip(1);
        ring.iter().zip(next).map(|(a, b)| a.0 * b.1 - b.0 * a.1).sum()
    }

    #[test]
    fn outer_rings_run_clockwise_and_holes_the_other_way() {
        for ring in [rectangle(1, 2, 5, 9), round((100, 100), (40, 30), 8)] {
            assert!(area(&ring) > 0 && area(&reversed(ring.clone())) < 0);
        }
        assert_eq!(bounds(&round((100, 100), (40, 30), 64)), rectangle(60, 70, 140, 130));
    }

    #[test]
    fn a_line_crosses_a_ring_with_a_hole_four_times() {
        let polygon = vec![rectangle(0, 0, 10, 10), reversed(rectangle(4, 4, 6, 6))];
        assert_eq!(crossings(&polygon, 5.0), [0.0, 4.0, 6.0, 10.0]);
        assert_eq!(crossings(&polygon, 2.0), [0.0, 10.0]);
        assert!(crossings(&polygon, 10.0).is_empty());
    }
}
