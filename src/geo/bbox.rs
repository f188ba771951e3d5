//! Boxes in degrees.

use std::fmt;
use std::str::FromStr;

use super::lonlat::{LonLat, MAX_LATITUDE};
use super::tile::{MAX_ZOOM, TileId};
use crate::error::{Error, ErrorKind, Result};

/// Minimum overlap of a box and a tile in degrees, about a micrometre. Otherwise boxes computed from tile edges would
/// touch a ring of neighbouring tiles.
pub(super) const MIN_OVERLAP: f64 = 1e-11;

/// A box in degrees: west, south, east, north.
///
/// A box with west greater than east crosses the antimeridian. Latitudes are clamped to ±[`MAX_LATITUDE`], where the
/// tiles end.
///
/// ```
/// use streetflow::Bbox;
///
/// let cyprus: Bbox = "32.19,34.52,34.18,35.49".parse()?;
/// assert_eq!(cyprus.to_string(), "32.19,34.52,34.18,35.49");
/// assert!("34.18,35.49,32.19,34.52".parse::<Bbox>().is_err());
/// # Ok::<(), streetflow::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bbox {
    west: f64,
    south: f64,
    east: f64,
    north: f64,
}

impl Bbox {
    /// Creates a box from its edges in degrees. An empty, swapped or impossible one is an error of kind `Usage`.
    pub fn new(west: f64, south: f64, east: f64, north: f64) -> Result<Self> {
        let given = Self { west, south, east, north };
        let invalid = |why: &str| {
            Err(Error::new(ErrorKind::Usage, "use the box").with_subject(given.to_string()).with_source(why.to_owned()).with_hint(
                "a box is `west,south,east,north` in degrees, longitude before latitude, such as `32.19,34.52,34.18,35.49`",
            ))
        };
        if [west, south, east, north].iter().any(|edge| !edge.is_finite()) {
            return invalid("an edge is not a number");
        }
        if west.abs() > 180.0 || east.abs() > 180.0 {
            return invalid("west and east must be between -180 and 180");
        }
        if south.abs() > 90.0 || north.abs() > 90.0 {
            return invalid("south and north must be between -90 and 90");
        }
        if south > north {
            return invalid("south is north of north: are the edges swapped?");
        }
        let (south, north) = (south.max(-MAX_LATITUDE), north.min(MAX_LATITUDE));
        let width = if west <= east { east - west } else { east + 360.0 - west };
        if width <= 0.0 || given.south >= given.north {
            return invalid("it is empty: two edges are equal");
        }
        if south >= north {
            return invalid("it is beyond ±85.0511 degrees, where the tiles end");
        }
        if west > east && east + 360.0 - west > 180.0 {
            return invalid(
                "west is east of east: a box over the antimeridian, but wider than half the globe; are the edges swapped?",
            );
        }
        Ok(Self { west, south, east, north })
    }

    /// Western edge in degrees.
    pub fn west(&self) -> f64 {
        self.west
    }

    /// Southern edge in degrees.
    pub fn south(&self) -> f64 {
        self.south
    }

    /// Eastern edge in degrees; less than the western one for a box over the antimeridian.
    pub fn east(&self) -> f64 {
        self.east
    }

    /// Northern edge in degrees.
    pub fn north(&self) -> f64 {
        self.north
    }

    /// The edge as closed rings: one, or two for a box over the antimeridian.
    pub(super) fn rings(&self) -> Vec<Vec<[f64; 2]>> {
        let ring = |west: f64, east: f64| {
            vec![
                [west, self.south],
                [east, self.south],
                [east, self.north],
                [west, self.north],
                [west, self.south],
            ]
        };
        if self.west <= self.east {
            return vec![ring(self.west, self.east)];
        }
        let halves = [(self.west, 180.0), (-180.0, self.east)];
        halves.into_iter().filter(|(west, east)| west < east).map(|(west, east)| ring(west, east)).collect()
    }

    /// Whether a point is in the box, edges included.
    pub fn contains(&self, point: LonLat) -> bool {
        let lon = if self.west <= self.east {
            (self.west..=self.east).contains(&point.lon)
        } else {
            point.lon >= self.west || point.lon <= self.east
        };
        lon && (self.south..=self.north).contains(&point.lat)
    }

    /// Whether the box and a tile share more than an edge.
    pub fn touches(&self, tile: TileId) -> bool {
        self.windows(tile, MIN_OVERLAP).iter().any(|w| w.x1 > 0.0 && w.y1 > 0.0 && w.x0 < 1.0 && w.y0 < 1.0)
    }

    /// Number of tiles of a zoom level that touch the box. Levels above [`MAX_ZOOM`] are clamped.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "brought into the range of tiles"
    )]
    pub fn cover_len(&self, zoom: u8) -> u64 {
        let zoom = zoom.min(MAX_ZOOM);
        let scale = f64::from(1_u32 << zoom);
        let span = |low: f64, high: f64| {
            let last = (1_u64 << zoom) - 1;
            let index = |at: f64| (at.max(0.0) as u64).min(last);
            (index(low * scale), index(high * scale))
        };
        let columns: Vec<_> = self.unit_squares(MIN_OVERLAP).iter().map(|w| span(w.x0, w.x1)).collect();
        let rows = self.unit_squares(MIN_OVERLAP).first().map_or((0, 0), |w| span(w.y0, w.y1));
        let across = match columns[..] {
            [a, b] if a.0 <= b.1 => 1_u64 << zoom,
            [a, b] => a.1 - a.0 + b.1 - b.0 + 2,
            [a, ..] => a.1 - a.0 + 1,
            [] => 0,
        };
        across * (rows.1 - rows.0 + 1)
    }

    /// The box in the coordinates of a tile with sides from 0 to 1: one window, or two over the antimeridian. `inset`
    /// shrinks it, in degrees.
    pub(super) fn windows(&self, tile: TileId, inset: f64) -> Vec<Window> {
        let scale = f64::from(tile.z).exp2();
        let (tx, ty) = (f64::from(tile.x), f64::from(tile.y));
        let local = |w: Window| Window {
            x0: w.x0 * scale - tx,
            y0: w.y0 * scale - ty,
            x1: w.x1 * scale - tx,
            y1: w.y1 * scale - ty,
        };
        self.unit_squares(inset).into_iter().map(local).collect()
    }

    /// Whether a rectangle in the coordinates of a tile of `extent` units per side is entirely inside the box.
    pub(crate) fn holds(&self, tile: TileId, extent: u32, least: (f64, f64), greatest: (f64, f64)) -> bool {
        let extent = f64::from(extent);
        self.windows(tile, 0.0).iter().any(|w| {
            w.x0 * extent <= least.0
                && w.y0 * extent <= least.1
                && greatest.0 <= w.x1 * extent
                && greatest.1 <= w.y1 * extent
        })
    }

    fn unit_squares(&self, inset: f64) -> Vec<Window> {
        let ranges = if self.west <= self.east {
            vec![(self.west, self.east)]
        } else {
            vec![(self.west, 180.0), (-180.0, self.east)]
        };
        let square = |(west, east): (f64, f64)| {
            let (x0, y0) = LonLat { lon: west + inset, lat: self.north - inset }.mercator();
            let (x1, y1) = LonLat { lon: east - inset, lat: self.south + inset }.mercator();
            Window { x0, y0, x1: x1.max(x0), y1: y1.max(y0) }
        };
        ranges.into_iter().map(square).collect()
    }
}

/// A rectangle in Mercator units; y points south.
#[derive(Debug, Clone, Copy)]
pub(super) struct Window {
    pub(super) x0: f64,
    pub(super) y0: f64,
    pub(super) x1: f64,
    pub(super) y1: f64,
}

impl FromStr for Bbox {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let invalid = |why: String| {
            Error::new(ErrorKind::Usage, "read the box").with_subject(text.to_owned()).with_source(why).with_hint(
                "a box is `west,south,east,north` in degrees, longitude before latitude, such as `32.19,34.52,34.18,35.49`",
            )
        };
        let edges: Vec<f64> = text
            .split(',')
            .map(|part| {
                let part = part.trim();
                part.parse().map_err(|_| invalid(format!("`{part}` is not a number")))
            })
            .collect::<Result<_>>()?;
        match edges[..] {
            [west, south, east, north] => Self::new(west, south, east, north),
            _ => Err(invalid(format!("it has {} numbers, expected four", edges.len()))),
        }
    }
}

impl fmt::Display for Bbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{},{},{},{}", self.west, self.south, self.east, self.north)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CYPRUS: &str = "32.19,34.52,34.18,35.49";

    fn bbox(text: &str) -> Bbox {
        text.parse().expect("a good box")
    }

    fn cover(bbox: &Bbox, zoom: u8) -> Vec<TileId> {
        let mut tiles = vec![TileId::WORLD];
        for _ in 0..zoom {
            tiles = tiles.into_iter().flat_map(TileId::children).filter(|t| bbox.touches(*t)).collect();
        }
        tiles
    }

    #[test]
    fn descending_visits_as_many_tiles_as_counted() {
        for text in [CYPRUS, "177.0,-19.0,-179.0,-16.0", "-0.001,-0.001,0.001,0.001", "-180,-90,180,90"] {
            let bbox = bbox(text);
            for zoom in 0..=9 {
                assert_eq!(cover(&bbox, zoom).len() as u64, bbox.cover_len(zoom), "{text} at {zoom}");
            }
        }
    }

    #[test]
    fn tiles_come_in_quadkey_order() {
        let tiles = cover(&bbox(CYPRUS), 11);
        assert!(tiles.windows(2).all(|pair| pair[0].z_order() < pair[1].z_order()));
    }

    #[test]
    fn a_box_of_tile_edges_touches_only_that_tile() {
        let tile = TileId { z: 14, x: 9660, y: 6521 };
        let (nw, se) = (tile.lonlat(0.0, 0.0, 1.0), tile.lonlat(1.0, 1.0, 1.0));
        let bbox = Bbox::new(nw.lon, se.lat, se.lon, nw.lat).expect("a good box");
        assert_eq!(bbox.cover_len(14), 1);
        assert_eq!(cover(&bbox, 14), [tile]);
    }

    #[test]
    fn a_point_lies_in_its_tile() {
        let point = LonLat { lon: 33.362, lat: 35.171 };
        let tile = TileId::containing(point, 14);
        let (nw, se) = (tile.lonlat(0.0, 0.0, 4096.0), tile.lonlat(4096.0, 4096.0, 4096.0));
        assert!(nw.lon <= point.lon && point.lon < se.lon && se.lat < point.lat && point.lat <= nw.lat);
    }

    #[test]
    fn invalid_boxes_are_rejected_by_name() {
        for (text, why) in [
            ("1,2,3", "it has 3 numbers, expected four"),
            ("1,2,x,4", "`x` is not a number"),
            ("1,4,3,2", "swapped"),
            ("1,2,1,4", "empty"),
            ("180,2,-180,4", "empty"),
            ("1,86,3,88", "where the tiles end"),
            ("34.18,34.52,32.19,35.49", "wider than half the globe"),
            ("1,2,3,nan", "not a number"),
            ("1,2,333,4", "-180 and 180"),
            ("1,-91,3,4", "-90 and 90"),
        ] {
            let error = text.parse::<Bbox>().expect_err(text);
            assert_eq!(error.kind(), ErrorKind::Usage);
            assert!(error.chain().contains(why), "{text}: {}", error.chain());
        }
    }

    #[test]
    fn a_box_over_the_antimeridian_contains_both_sides() {
        let fiji = bbox("177,-19,-179,-16");
        assert!(fiji.contains(LonLat { lon: 179.9, lat: -17.0 }));
        assert!(fiji.contains(LonLat { lon: -179.9, lat: -17.0 }));
        assert!(!fiji.contains(LonLat { lon: 0.0, lat: -17.0 }));
    }

    #[test]
    fn a_line_beside_the_box_does_not_touch_it() {
        let tile = TileId::containing(LonLat { lon: 33.362, lat: 35.171 }, 14);
        let at = |x, y| tile.lonlat(x, y, 4096.0);
        let (nw, se) = (at(1000.0, 1000.0), at(2000.0, 2000.0));
        let clip = Bbox::new(nw.lon, se.lat, se.lon, nw.lat).expect("a good box").clip(tile, 4096);
        assert!(!clip.is_whole());
        assert!(clip.has_segment((0, 1500), (4096, 1500)), "through both sides");
        assert!(clip.has_segment((1500, 1500), (1600, 1600)), "inside");
        assert!(!clip.has_segment((0, 1900), (1900, 4096)), "past a corner");
        assert!(!clip.has_segment((0, 500), (4096, 500)), "beside");
        assert!(clip.has_point(1500, 1500) && !clip.has_point(999, 1500));
    }
}
