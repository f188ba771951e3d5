//! Polygons as the value of a column.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, SeqAccess, Visitor};
use serde::ser::SerializeSeq;
use serde::{Deserialize, Serialize, Serializer};

use super::ends::Ends;

/// Polygons with holes: the shape of a detection.
///
/// As JSON and in Parquet it is a list of polygons, each a list of rings, each a list of vertices `[x, y]`. The first
/// ring of a polygon is its outline, the others are holes. Rings are not closed: the first vertex is not repeated. The
/// winding has no meaning. In memory, all vertices are in one list.
///
/// ```
/// use streetflow::record::Polygons;
///
/// let square = vec![[0.0, 0.0], [0.5, 0.0], [0.5, 0.5], [0.0, 0.5]];
/// let hole = vec![[0.1, 0.1], [0.1, 0.2], [0.2, 0.2], [0.2, 0.1]];
/// let shape = Polygons::from(vec![vec![square.clone(), hole]]);
/// assert_eq!((shape.len(), shape.holes(), shape.vertices().len()), (1, 1, 8));
/// assert!((shape.area() - 0.24).abs() < 1e-12);
/// for polygon in shape.iter() {
///     assert_eq!(polygon.outline(), square);
/// }
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Polygons {
    vertices: Vec<[f64; 2]>,
    /// The number of vertices up to the end of each ring.
    ring_ends: Ends,
    /// The number of rings up to the end of each polygon.
    polygon_ends: Ends,
}

/// A polygon of [`Polygons`].
#[derive(Debug, Clone, Copy)]
pub struct Polygon<'a> {
    vertices: &'a [[f64; 2]],
    /// Number of vertices before the first ring.
    begin: u32,
    ring_ends: &'a [u32],
}

impl Polygons {
    /// Number of polygons.
    pub fn len(&self) -> usize {
        self.polygon_ends.len()
    }

    /// Whether there are no polygons.
    pub fn is_empty(&self) -> bool {
        self.polygon_ends.is_empty()
    }

    /// Number of holes of all polygons.
    pub fn holes(&self) -> usize {
        self.iter().map(|polygon| polygon.holes().count()).sum()
    }

    /// All vertices, ring after ring.
    pub fn vertices(&self) -> &[[f64; 2]] {
        &self.vertices
    }

    /// The number of vertices up to the end of each ring, and the number of rings up to the end of each polygon.
    #[cfg(feature = "arrow")]
    pub(crate) fn ends(&self) -> (&[u32], &[u32]) {
        (&self.ring_ends, &self.polygon_ends)
    }

    /// Iterates over the polygons.
    pub fn iter(&self) -> impl Iterator<Item = Polygon<'_>> {
        let mut first_ring = 0;
        self.polygon_ends.iter().map(move |end| {
            let begin = if first_ring == 0 { 0 } else { self.ring_ends[first_ring - 1] };
            let rings = &self.ring_ends[first_ring..*end as usize];
            first_ring = *end as usize;
            Polygon { vertices: &self.vertices, begin, ring_ends: rings }
        })
    }

    /// The area: outlines minus holes, in the square of the unit of the vertices.
    pub fn area(&self) -> f64 {
        let area = |polygon: Polygon<'_>| {
            let holes: f64 = polygon.holes().map(|hole| ring_area(hole).abs()).sum();
            (ring_area(polygon.outline()).abs() - holes).max(0.0)
        };
        self.iter().map(area).sum()
    }

    /// The smallest and largest x and y of all vertices: `[min x, min y, max x, max y]`; `None` without a vertex.
    pub fn bounds(&self) -> Option<[f64; 4]> {
        let [x, y] = *self.vertices.first()?;
        Some(self.vertices.iter().fold([x, y, x, y], |[west, north, east, south], [x, y]| {
            [west.min(*x), north.min(*y), east.max(*x), south.max(*y)]
        }))
    }

    /// No polygons, with memory for a number of vertices.
    pub(super) fn with_capacity(vertices: usize) -> Self {
        Self { vertices: Vec::with_capacity(vertices), ..Self::default() }
    }

    /// Copies the polygons without spare memory.
    pub(crate) fn compact(&self) -> Self {
        let ends = |ends: &Ends| Ends::from(&**ends);
        let Self { vertices, ring_ends, polygon_ends } = self;
        Self { vertices: vertices.clone(), ring_ends: ends(ring_ends), polygon_ends: ends(polygon_ends) }
    }

    /// Removes all polygons and keeps the memory.
    pub(crate) fn clear(&mut self) {
        self.vertices.clear();
        self.ring_ends.clear();
        self.polygon_ends.clear();
    }

    /// Adds a vertex to the last ring.
    pub(crate) fn push_vertex(&mut self, vertex: [f64; 2]) {
        self.vertices.push(vertex);
    }

    /// Makes polygons of all vertices and the ends of [`Polygons::ends`].
    #[cfg(feature = "arrow")]
    pub(crate) fn from_ends(vertices: Vec<[f64; 2]>, ring_ends: Ends, polygon_ends: Ends) -> Self {
        Self { vertices, ring_ends, polygon_ends }
    }

    /// Adds vertices to the last ring.
    #[cfg(feature = "arrow")]
    pub(crate) fn extend_ring(&mut self, vertices: &[[f64; 2]]) {
        self.vertices.extend_from_slice(vertices);
    }

    /// Ends the ring.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "decoders and readers allow far fewer than 2^32 vertices"
    )]
    pub(crate) fn end_ring(&mut self) {
        self.ring_ends.push(self.vertices.len() as u32);
    }

    /// Ends the polygon.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "decoders and readers allow far fewer than 2^32 rings"
    )]
    pub(crate) fn end_polygon(&mut self) {
        self.polygon_ends.push(self.ring_ends.len() as u32);
    }

    /// Whether all coordinates are finite numbers.
    pub(crate) fn is_finite(&self) -> bool {
        self.vertices.iter().flatten().all(|number| number.is_finite())
    }
}

impl<'a> Polygon<'a> {
    /// The rings: the outline, then the holes.
    pub fn rings(self) -> impl Iterator<Item = &'a [[f64; 2]]> {
        let mut begin = self.begin as usize;
        self.ring_ends.iter().map(move |end| {
            let ring = &self.vertices[begin..*end as usize];
            begin = *end as usize;
            ring
        })
    }

    /// The outer ring.
    pub fn outline(self) -> &'a [[f64; 2]] {
        self.rings().next().unwrap_or_default()
    }

    /// The holes.
    pub fn holes(self) -> impl Iterator<Item = &'a [[f64; 2]]> {
        self.rings().skip(1)
    }
}

/// The area of a ring, positive if it runs clockwise with y down.
pub(crate) fn ring_area(ring: &[[f64; 2]]) -> f64 {
    let Some(last) = ring.last() else { return 0.0 };
    let mut before = last;
    let mut double = 0.0;
    for vertex in ring {
        double += before[0] * vertex[1] - vertex[0] * before[1];
        before = vertex;
    }
    double / 2.0
}

/// Polygons, rings, vertices.
impl From<Vec<Vec<Vec<[f64; 2]>>>> for Polygons {
    fn from(nested: Vec<Vec<Vec<[f64; 2]>>>) -> Self {
        let mut polygons = Self::default();
        for rings in nested {
            for ring in rings {
                polygons.vertices.extend(ring);
                polygons.end_ring();
            }
            polygons.end_polygon();
        }
        polygons
    }
}

impl Serialize for Polygons {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        struct Rings<'a>(Polygon<'a>);
        impl Serialize for Rings<'_> {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let mut list = serializer.serialize_seq(Some(self.0.ring_ends.len()))?;
                self.0.rings().try_for_each(|ring| list.serialize_element(ring))?;
                list.end()
            }
        }
        let mut list = serializer.serialize_seq(Some(self.len()))?;
        self.iter().try_for_each(|polygon| list.serialize_element(&Rings(polygon)))?;
        list.end()
    }
}

/// Reads nested lists. A vertex with another number of coordinates than two is an error.
impl<'de> Deserialize<'de> for Polygons {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut polygons = Self::default();
        Level { polygons: &mut polygons, depth: 0 }.deserialize(deserializer)?;
        Ok(polygons)
    }
}

/// The most vertices in a value that is read. A cell of a CSV file can't hold more.
pub(crate) const MAX_VERTICES: usize = 200_000;

/// Reads the list of polygons (depth 0), of rings (1) or of vertices (2).
struct Level<'a> {
    polygons: &'a mut Polygons,
    depth: u8,
}

impl<'de> DeserializeSeed<'de> for Level<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Level<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of polygons, each a list of rings, each a list of `[x, y]`")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let Self { polygons, depth } = self;
        if depth == 2 {
            while let Some(vertex) = list.next_element::<[f64; 2]>()? {
                if polygons.vertices.len() == MAX_VERTICES {
                    return Err(A::Error::custom("it has more than 200,000 vertices"));
                }
                polygons.push_vertex(vertex);
            }
            return Ok(());
        }
        let mut count = 0;
        while list.next_element_seed(Level { polygons, depth: depth + 1 })?.is_some() {
            count += 1;
            if count > MAX_VERTICES {
                return Err(A::Error::custom("it has more than 200,000 rings"));
            }
            match depth {
                0 => polygons.end_polygon(),
                _ => polygons.end_ring(),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn square(from: f64, to: f64) -> Vec<[f64; 2]> {
        vec![[from, from], [to, from], [to, to], [from, to]]
    }

    #[test]
    fn json_reads_back_to_the_same_polygons() {
        for nested in [
            vec![],
            vec![vec![]],
            vec![vec![vec![]]],
            vec![vec![square(0.0, 1.0), square(0.25, 0.5)], vec![square(0.000_244_140_625, 1.0 / 3.0)]],
        ] {
            let polygons = Polygons::from(nested.clone());
            let text = polygons.to_string();
            assert_eq!(serde_json::from_str::<Polygons>(&text).expect(&text), polygons, "{text}");
            let json = serde_json::to_string(&polygons).expect("JSON");
            assert_eq!(json, serde_json::to_string(&nested).expect("JSON"));
            assert_eq!(serde_json::from_str::<Polygons>(&json).expect(&json), polygons);
        }
        for bad in ["[[[[1]]]]", "[[[[1,2,3]]]]", "[[[1,2]]]", "{}", "[[[[1,\"2\"]]]]", "7", "[[[[1,2]]]"] {
            assert!(serde_json::from_str::<Polygons>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_hole_is_subtracted_from_the_area_whatever_its_winding() {
        let mut hole = square(0.25, 0.5);
        for _ in 0..2 {
            let polygons = Polygons::from(vec![vec![square(0.0, 1.0), hole.clone()]]);
            assert!((polygons.area() - 0.9375).abs() < 1e-12);
            assert_eq!(polygons.bounds(), Some([0.0, 0.0, 1.0, 1.0]));
            hole.reverse();
        }
        assert_eq!((Polygons::default().area(), Polygons::default().bounds()), (0.0, None));
    }

    #[test]
    fn polygons_and_rings_are_iterated_in_order() {
        let nested = vec![vec![square(0.0, 1.0), square(0.1, 0.2)], vec![square(0.3, 0.4)], vec![]];
        let polygons = Polygons::from(nested.clone());
        let read: Vec<Vec<_>> =
            polygons.iter().map(|polygon| polygon.rings().map(<[_]>::to_vec).collect()).collect();
        assert_eq!(read, nested);
        assert_eq!((polygons.len(), polygons.holes()), (3, 1));
        assert!(polygons.iter().last().expect("a polygon").outline().is_empty());
    }
}
