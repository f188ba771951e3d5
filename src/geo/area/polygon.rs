//! Polygons with holes, prepared for many tests.

use super::segment::meets_box;
use crate::geo::lonlat::LonLat;

/// A rectangle in degrees.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rect {
    pub(super) west: f64,
    pub(super) south: f64,
    pub(super) east: f64,
    pub(super) north: f64,
}

impl Rect {
    fn shrunk(self, by: f64) -> Self {
        Self { west: self.west + by, south: self.south + by, east: self.east - by, north: self.north - by }
    }

    fn meets(self, other: Self) -> bool {
        self.west <= other.east
            && other.west <= self.east
            && self.south <= other.north
            && other.south <= self.north
    }

    /// Whether a part of the edge is inside the rectangle.
    fn meets_edge(self, edge: &Edge) -> bool {
        let corner = |corner: LonLat| (corner.lon, corner.lat);
        meets_box((self.west, self.south), (self.east, self.north), corner(edge.a), corner(edge.b))
    }
}

/// A line segment between two corners in degrees. Longitudes may be beyond 180.
#[derive(Debug, Clone, Copy)]
struct Edge {
    a: LonLat,
    b: LonLat,
}

/// Average number of edges per band.
const EDGES_PER_BAND: usize = 8;

/// Maximum number of bands.
const MAX_BANDS: usize = 1 << 14;

/// A polygon with holes. Edges are sorted into bands of latitude, so that a test looks at few of them.
#[derive(Debug)]
pub(super) struct Polygon {
    edges: Vec<Edge>,
    bands: Vec<Vec<u32>>,
    pub(super) bounds: Rect,
}

impl Polygon {
    /// Creates a polygon from rings of at least three corners, the outer ring first. Rings may be open or closed.
    pub(super) fn new(rings: &[Vec<LonLat>]) -> Self {
        let mut edges = Vec::new();
        for ring in rings {
            let next = ring.iter().cycle().skip(1);
            edges.extend(
                ring.iter().zip(next).map(|(a, b)| Edge { a: *a, b: *b }).filter(|edge| edge.a != edge.b),
            );
        }
        let mut bounds = Rect { west: f64::MAX, south: f64::MAX, east: f64::MIN, north: f64::MIN };
        for LonLat { lon, lat } in edges.iter().map(|edge| edge.a) {
            bounds.west = bounds.west.min(lon);
            bounds.east = bounds.east.max(lon);
            bounds.south = bounds.south.min(lat);
            bounds.north = bounds.north.max(lat);
        }
        let mut polygon = Self { edges, bands: Vec::new(), bounds };
        polygon.sort_into_bands();
        polygon
    }

    /// Sorts the edges into bands, into fewer if long edges would be in too many.
    fn sort_into_bands(&mut self) {
        let mut count = (self.edges.len() / EDGES_PER_BAND).clamp(1, MAX_BANDS);
        loop {
            self.bands = vec![Vec::new(); count];
            let mut room = self.edges.len() * EDGES_PER_BAND;
            let fits = (0..self.edges.len()).all(|index| {
                let edge = self.edges[index];
                let bands = self.bands_of(edge.a.lat.min(edge.b.lat), edge.a.lat.max(edge.b.lat));
                let Some(left) = room.checked_sub(bands.len()) else { return false };
                room = left;
                // A file has more bytes than edges.
                self.bands[bands]
                    .iter_mut()
                    .for_each(|band| band.push(u32::try_from(index).unwrap_or(u32::MAX)));
                true
            });
            if fits || count == 1 {
                return;
            }
            count = count.div_ceil(2);
        }
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "clamped"
    )]
    fn bands_of(&self, south: f64, north: f64) -> std::ops::Range<usize> {
        let count = self.bands.len();
        let height = self.bounds.north - self.bounds.south;
        let band = |lat: f64| {
            let part = (lat - self.bounds.south) / height * count as f64;
            (part.max(0.0) as usize).min(count - 1)
        };
        band(south)..band(north) + 1
    }

    fn near(&self, south: f64, north: f64) -> impl Iterator<Item = &Edge> {
        self.bands[self.bands_of(south, north)].iter().flatten().map(|index| &self.edges[*index as usize])
    }

    /// Whether a point is inside and not in a hole: a ray to the west crosses an odd number of edges.
    pub(super) fn contains(&self, point: LonLat) -> bool {
        let Rect { west, south, east, north } = self.bounds;
        if !(west..=east).contains(&point.lon) || !(south..=north).contains(&point.lat) {
            return false;
        }
        let crossed = |edge: &&Edge| {
            let Edge { a, b } = edge;
            (a.lat > point.lat) != (b.lat > point.lat)
                && a.lon + (point.lat - a.lat) / (b.lat - a.lat) * (b.lon - a.lon) < point.lon
        };
        self.near(point.lat, point.lat).filter(crossed).count() % 2 == 1
    }

    /// Whether a line segment crosses the border.
    pub(super) fn crosses(&self, from: LonLat, to: LonLat) -> bool {
        let (south, north) = (from.lat.min(to.lat), from.lat.max(to.lat));
        let along = Rect { west: from.lon.min(to.lon), south, east: from.lon.max(to.lon), north };
        along.meets(self.bounds) && self.near(south, north).any(|edge| edge.crosses(from, to))
    }

    /// Whether the polygon and a rectangle share more than a margin of `sliver` degrees.
    pub(super) fn meets(&self, rect: Rect, sliver: f64) -> bool {
        let rect = rect.shrunk(sliver);
        rect.meets(self.bounds) && (self.has_edge_in(rect) || self.contains(middle(rect)))
    }

    /// Whether a rectangle is entirely inside.
    pub(super) fn covers(&self, rect: Rect) -> bool {
        self.contains(middle(rect)) && !self.has_edge_in(rect)
    }

    fn has_edge_in(&self, rect: Rect) -> bool {
        self.near(rect.south, rect.north).any(|edge| rect.meets_edge(edge))
    }

    pub(super) fn corners(&self) -> impl Iterator<Item = LonLat> {
        self.edges.iter().map(|edge| edge.a)
    }

    /// The rings, each closed. They have the corners of [`Polygon::corners`] in the same order.
    pub(super) fn rings(&self) -> Vec<Vec<LonLat>> {
        let mut rings: Vec<Vec<LonLat>> = Vec::new();
        for edge in &self.edges {
            match rings.last_mut() {
                Some(ring) if ring.last() == Some(&edge.a) => ring.push(edge.b),
                _ => rings.push(vec![edge.a, edge.b]),
            }
        }
        rings
    }

    /// Whether all corners are on one line, so that the polygon is empty.
    pub(super) fn is_flat(&self) -> bool {
        let Some(Edge { a, b }) = self.edges.first() else { return true };
        // In square degrees; one is at most 12,000 square kilometres.
        self.corners().all(|corner| side(*a, *b, corner).abs() < 1e-17)
    }
}

impl Edge {
    /// Whether two line segments share a point; end points count.
    fn crosses(&self, from: LonLat, to: LonLat) -> bool {
        let apart = |x: f64, y: f64| x > 0.0 && y > 0.0 || x < 0.0 && y < 0.0;
        let beside = |a: f64, b: f64, from: f64, to: f64| a.max(b) < from.min(to) || from.max(to) < a.min(b);
        !apart(side(self.a, self.b, from), side(self.a, self.b, to))
            && !apart(side(from, to, self.a), side(from, to, self.b))
            && !beside(self.a.lon, self.b.lon, from.lon, to.lon)
            && !beside(self.a.lat, self.b.lat, from.lat, to.lat)
    }
}

/// The side of a line on which a point lies: positive on the left.
fn side(a: LonLat, b: LonLat, point: LonLat) -> f64 {
    (b.lon - a.lon) * (point.lat - a.lat) - (b.lat - a.lat) * (point.lon - a.lon)
}

fn middle(rect: Rect) -> LonLat {
    LonLat { lon: f64::midpoint(rect.west, rect.east), lat: f64::midpoint(rect.south, rect.north) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring(corners: &[(f64, f64)]) -> Vec<LonLat> {
        corners.iter().map(|(lon, lat)| LonLat { lon: *lon, lat: *lat }).collect()
    }

    fn at(lon: f64, lat: f64) -> LonLat {
        LonLat { lon, lat }
    }

    /// A square of ten degrees with a hole of two degrees in its middle.
    fn holed() -> Polygon {
        Polygon::new(&[
            ring(&[(0.0, 0.0), (10.0, 0.0), (10.0, 10.0), (0.0, 10.0)]),
            ring(&[(4.0, 4.0), (6.0, 4.0), (6.0, 6.0), (4.0, 6.0), (4.0, 4.0)]),
        ])
    }

    fn rect(west: f64, south: f64, east: f64, north: f64) -> Rect {
        Rect { west, south, east, north }
    }

    #[test]
    fn a_hole_is_outside() {
        let polygon = holed();
        assert!(polygon.contains(at(1.0, 1.0)) && polygon.contains(at(9.9, 9.9)));
        assert!(
            !polygon.contains(at(5.0, 5.0))
                && !polygon.contains(at(-1.0, 5.0))
                && !polygon.contains(at(11.0, 5.0))
        );
        assert!(polygon.covers(rect(1.0, 1.0, 3.0, 3.0)) && !polygon.covers(rect(1.0, 1.0, 9.0, 9.0)));
        assert!(!polygon.meets(rect(4.5, 4.5, 5.5, 5.5), 0.0), "inside the hole");
        assert!(
            polygon.meets(rect(3.0, 3.0, 5.0, 5.0), 0.0) && polygon.meets(rect(-5.0, -5.0, 50.0, 50.0), 0.0)
        );
        assert!(!polygon.meets(rect(10.0, 0.0, 20.0, 10.0), 1e-11), "side by side");
        assert!(polygon.crosses(at(-1.0, 5.0), at(1.0, 5.0)) && !polygon.crosses(at(1.0, 1.0), at(2.0, 2.0)));
        assert!(!polygon.is_flat() && Polygon::new(&[ring(&[(0.0, 0.0), (5.0, 5.0), (9.0, 9.0)])]).is_flat());
    }

    #[test]
    fn bands_do_not_change_results() {
        // The long teeth of a comb are in every band, the corners of a circle in few.
        let comb = (0..4000).map(|n| (f64::from(n) * 1e-3, if n % 2 == 0 { 0.0 } else { 5.0 }));
        let comb: Vec<_> = comb.chain([(4.0, -1.0), (0.0, -1.0)]).collect();
        let circle = (0..4000).map(|n| f64::from(n) / 4000.0 * std::f64::consts::TAU);
        let circle: Vec<_> = circle.map(|turn| (2.0 + 2.0 * turn.cos(), 2.0 + 2.0 * turn.sin())).collect();
        for corners in [comb, circle] {
            let banded = Polygon::new(&[ring(&corners)]);
            let mut plain = Polygon::new(&[ring(&corners)]);
            plain.bands = vec![(0..u32::try_from(plain.edges.len()).expect("few")).collect()];
            let places: usize = banded.bands.iter().map(Vec::len).sum();
            assert!(places <= banded.edges.len() * EDGES_PER_BAND);
            for n in 0..2000 {
                let point = at(f64::from(n % 45) * 0.1 - 0.2, f64::from(n / 45) * 0.15 - 1.2);
                assert_eq!(banded.contains(point), plain.contains(point), "{point:?}");
                let to = at(point.lon + 0.3, point.lat + 0.1);
                assert_eq!(banded.crosses(point, to), plain.crosses(point, to), "{point:?}");
            }
        }
    }
}
