//! Areas: boxes, polygons and circles.

pub(super) mod clip;
mod geojson;
mod near;
mod polygon;
mod segment;

#[cfg(test)]
pub(super) use self::segment::meets_box;

use std::fmt;
use std::sync::Arc;

use self::clip::Clip;
use self::near::Near;
use self::polygon::{Polygon, Rect};
use super::bbox::{Bbox, MIN_OVERLAP};
use super::lonlat::{EARTH_RADIUS, LonLat, MAX_LATITUDE};
use super::tile::TileId;
use crate::error::{Error, ErrorKind, Result};

/// Corners of the polygon for a circle. It differs from a circle by less than 0.01 %.
const CIRCLE_CORNERS: u32 = 240;

/// Maximum radius in metres.
const MAX_RADIUS: f64 = 1_000_000.0;

/// A region: a box, polygons with holes, or a circle. Cheap to clone.
///
/// ```
/// use streetflow::geo::Area;
/// use streetflow::{Bbox, LonLat};
///
/// let cyprus: Bbox = "32.19,34.52,34.18,35.49".parse()?;
/// let nicosia = LonLat { lon: 33.3623, lat: 35.1712 };
/// assert!(Area::from(cyprus).contains(nicosia));
/// let around = Area::around(nicosia, 500.0)?;
/// assert!(around.contains(LonLat { lon: 33.3623, lat: 35.1750 }));
/// assert!(!around.contains(LonLat { lon: 33.3623, lat: 35.1760 }));
/// # Ok::<(), streetflow::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Area(Shape);

#[derive(Debug, Clone)]
enum Shape {
    Box(Bbox),
    Polygons(Arc<[Polygon]>),
}

impl From<Bbox> for Area {
    fn from(bbox: Bbox) -> Self {
        Self(Shape::Box(bbox))
    }
}

impl Area {
    /// A circle around a point, with a radius in metres of at most 1,000 km.
    pub fn around(center: LonLat, metres: f64) -> Result<Self> {
        let invalid = |why: &str| {
            let subject = format!("{} m around {},{}", metres, center.lon, center.lat);
            let hint = "a point is `longitude,latitude` in degrees, such as `33.3623,35.1712`";
            Err(Error::new(ErrorKind::Usage, "use the circle")
                .with_subject(subject)
                .with_source(why.to_owned())
                .with_hint(hint))
        };
        if !center.is_valid() {
            return invalid("longitude must be from -180 to 180, latitude from -90 to 90");
        }
        if !(metres > 0.0 && metres <= MAX_RADIUS) {
            return invalid("the radius must be above 0 m and at most 1,000,000 m");
        }
        let wide = metres / EARTH_RADIUS;
        if center.lat.abs() + wide.to_degrees() > MAX_LATITUDE {
            return invalid("it extends beyond ±85.0511 degrees, where the tiles end");
        }
        let lat = center.lat.to_radians();
        let corner = |number: u32| {
            let bearing = f64::from(number) / f64::from(CIRCLE_CORNERS) * std::f64::consts::TAU;
            let sine = lat.sin() * wide.cos() + lat.cos() * wide.sin() * bearing.cos();
            let east = (bearing.sin() * wide.sin() * lat.cos()).atan2(wide.cos() - lat.sin() * sine);
            LonLat { lon: center.lon + east.to_degrees(), lat: sine.asin().to_degrees() }
        };
        let ring = (0..CIRCLE_CORNERS).map(corner).collect();
        Ok(Self(Shape::Polygons(Arc::new([Polygon::new(&[ring])]))))
    }

    fn from_polygons(polygons: Vec<Polygon>) -> Result<Self> {
        if polygons
            .iter()
            .all(|polygon| polygon.bounds.south >= MAX_LATITUDE || polygon.bounds.north <= -MAX_LATITUDE)
        {
            return Err(Error::new(ErrorKind::Usage, "read the area")
                .with_source("it is beyond ±85.0511 degrees, where the tiles end")
                .with_hint("are longitude and latitude swapped?"));
        }
        Ok(Self(Shape::Polygons(polygons.into())))
    }

    /// Whether a point is inside the area.
    pub fn contains(&self, point: LonLat) -> bool {
        match &self.0 {
            Shape::Box(bbox) => bbox.contains(point),
            Shape::Polygons(polygons) => shifted_lons(point.lon)
                .into_iter()
                .any(|lon| polygons.iter().any(|polygon| polygon.contains(LonLat { lon, ..point }))),
        }
    }

    /// Whether the area and a tile share more than an edge.
    pub fn touches(&self, tile: TileId) -> bool {
        match &self.0 {
            Shape::Box(bbox) => bbox.touches(tile),
            Shape::Polygons(polygons) => {
                let rect = tile_rect(tile);
                LON_SHIFTS
                    .into_iter()
                    .any(|shift| polygons.iter().any(|p| p.meets(shifted_rect(rect, shift), MIN_OVERLAP)))
            }
        }
    }

    /// The part of a tile of `extent` units per side inside the area, for tests on its coordinates.
    pub(crate) fn clip(&self, tile: TileId, extent: u32) -> Clip {
        let polygons = match &self.0 {
            Shape::Box(bbox) => return bbox.clip(tile, extent),
            Shape::Polygons(polygons) => polygons,
        };
        let rect = tile_rect(tile);
        let mut near = Vec::new();
        for shift in LON_SHIFTS {
            let rect = shifted_rect(rect, shift);
            for index in (0..polygons.len()).filter(|index| polygons[*index].meets(rect, 0.0)) {
                if polygons[index].covers(rect) {
                    return Clip::whole();
                }
                near.push((index, shift));
            }
        }
        Clip::in_polygons(Near {
            polygons: Arc::clone(polygons),
            indices: near,
            tile,
            extent: f64::from(extent),
        })
    }

    /// Whether a rectangle in the coordinates of a tile of `extent` units per side is entirely inside the area; it may
    /// extend beyond the tile. Several polygons together do not count: one of them must contain it.
    pub(crate) fn holds(&self, tile: TileId, extent: u32, least: (f64, f64), greatest: (f64, f64)) -> bool {
        let polygons = match &self.0 {
            Shape::Box(bbox) => return bbox.holds(tile, extent, least, greatest),
            Shape::Polygons(polygons) => polygons,
        };
        let at = |(x, y)| tile.lonlat(x, y, f64::from(extent));
        let (nw, se) = (at(least), at(greatest));
        let rect = Rect { west: nw.lon, south: se.lat, east: se.lon, north: nw.lat };
        LON_SHIFTS
            .into_iter()
            .any(|shift| polygons.iter().any(|polygon| polygon.covers(shifted_rect(rect, shift))))
    }

    /// The latitude of the area that is nearest to the equator, in degrees.
    pub(crate) fn nearest_latitude(&self) -> f64 {
        let nearest = |south: f64, north: f64| 0.0_f64.clamp(south, north.max(south));
        match &self.0 {
            Shape::Box(bbox) => nearest(bbox.south(), bbox.north()),
            Shape::Polygons(polygons) => {
                let nearest =
                    polygons.iter().map(|polygon| nearest(polygon.bounds.south, polygon.bounds.north));
                nearest.min_by(|a, b| a.abs().total_cmp(&b.abs())).unwrap_or_default()
            }
        }
    }

    /// The box, if the area is one.
    pub(crate) fn bbox(&self) -> Option<&Bbox> {
        match &self.0 {
            Shape::Box(bbox) => Some(bbox),
            Shape::Polygons(_) => None,
        }
    }

    /// The area as a GeoJSON geometry. [`Area::from_geojson`] reads the same polygons from it.
    ///
    /// ```
    /// use streetflow::geo::Area;
    ///
    /// let text = r#"{"type":"Polygon","coordinates":[[[33,35],[34,35],[33.5,36],[33,35]]]}"#;
    /// let triangle = Area::from_geojson(text)?;
    /// let written = triangle.to_geojson();
    /// assert_eq!(written["type"], "MultiPolygon");
    /// assert_eq!(Area::from_geojson(&written.to_string())?.key(), triangle.key());
    /// # Ok::<(), streetflow::Error>(())
    /// ```
    pub fn to_geojson(&self) -> serde_json::Value {
        let polygons: Vec<Vec<Vec<[f64; 2]>>> = match &self.0 {
            Shape::Box(bbox) => bbox.rings().into_iter().map(|ring| vec![ring]).collect(),
            Shape::Polygons(polygons) => polygons
                .iter()
                .map(|polygon| {
                    let ring = |ring: Vec<LonLat>| ring.iter().map(|at| [at.lon, at.lat]).collect();
                    polygon.rings().into_iter().map(ring).collect()
                })
                .collect(),
        };
        serde_json::json!({ "type": "MultiPolygon", "coordinates": polygons })
    }

    /// A short text that identifies the area.
    pub fn key(&self) -> String {
        let polygons = match &self.0 {
            Shape::Box(bbox) => return bbox.to_string(),
            Shape::Polygons(polygons) => polygons,
        };
        let (mut first, mut second) = (crc32fast::Hasher::new(), crc32fast::Hasher::new());
        for corner in polygons.iter().flat_map(Polygon::corners) {
            let (lon, lat) = (corner.lon.to_le_bytes(), corner.lat.to_le_bytes());
            first.update(&[lon, lat].concat());
            // The same bytes in another order, for a second, independent 32-bit checksum.
            second.update(&[lat, lon].concat());
            second.update(b"/");
        }
        format!("{self}, {:08x}{:08x}", first.finalize(), second.finalize())
    }
}

/// Writes the number of polygons and their bounding box instead of all coordinates.
impl fmt::Display for Area {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Shape::Box(bbox) => bbox.fmt(f),
            Shape::Polygons(polygons) => {
                let bounds = |f: fn(f64, f64) -> f64, of: fn(&Rect) -> f64| {
                    polygons.iter().map(|polygon| of(&polygon.bounds)).reduce(f).unwrap_or_default()
                };
                let (west, south) = (bounds(f64::min, |b| b.west), bounds(f64::min, |b| b.south));
                let (east, north) = (bounds(f64::max, |b| b.east), bounds(f64::max, |b| b.north));
                let count = polygons.len();
                write!(
                    f,
                    "{count} polygon{} within {west:.5},{south:.5},{east:.5},{north:.5}",
                    if count == 1 { "" } else { "s" }
                )
            }
        }
    }
}

/// Polygons over the antimeridian have longitudes beyond 180 degrees, so points are also tested one turn further.
const LON_SHIFTS: [f64; 3] = [0.0, 360.0, -360.0];

fn shifted_lons(lon: f64) -> [f64; 3] {
    LON_SHIFTS.map(|shift| lon + shift)
}

fn shifted_rect(rect: Rect, shift: f64) -> Rect {
    Rect { west: rect.west + shift, east: rect.east + shift, ..rect }
}

fn tile_rect(tile: TileId) -> Rect {
    let (nw, se) = (tile.lonlat(0.0, 0.0, 1.0), tile.lonlat(1.0, 1.0, 1.0));
    Rect { west: nw.lon, south: se.lat, east: se.lon, north: nw.lat }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NICOSIA: LonLat = LonLat { lon: 33.3623, lat: 35.1712 };

    #[test]
    fn a_circle_contains_points_nearer_than_its_radius() {
        for (center, metres) in [
            (NICOSIA, 1000.0),
            (LonLat { lon: 179.999, lat: -17.0 }, 5000.0),
            (LonLat { lon: -179.9, lat: 65.0 }, 300_000.0),
            (LonLat { lon: 10.0, lat: 80.0 }, 200_000.0),
        ] {
            let circle = Area::around(center, metres).expect("a circle");
            let reach = metres / 50_000.0 / center.lat.to_radians().cos();
            for n in 0..1600 {
                let part = |n: i32| f64::from(n) / 20.0 - 1.0;
                let lon = center.lon + reach * part(n % 40);
                let point = LonLat {
                    lon: if lon > 180.0 {
                        lon - 360.0
                    } else if lon < -180.0 {
                        lon + 360.0
                    } else {
                        lon
                    },
                    lat: (center.lat + metres / 70_000.0 * part(n / 40)).min(89.0),
                };
                let away = center.metres_to(point);
                // Points between the polygon and the circle are not tested.
                if (away / metres - 1.0).abs() > 0.001 {
                    assert_eq!(circle.contains(point), away < metres, "{point:?}: {away} of {metres} m");
                }
            }
        }
    }

    #[test]
    fn an_invalid_circle_is_rejected() {
        for (lon, lat, metres, why) in [
            (33.0, 35.0, 0.0, "above 0"),
            (33.0, 35.0, -5.0, "above 0"),
            (33.0, 35.0, f64::NAN, "above 0"),
            (33.0, 35.0, 2e6, "at most"),
            (33.0, 84.9, 50_000.0, "where the tiles end"),
            (35.0, 133.0, 10.0, "latitude from"),
        ] {
            let error = Area::around(LonLat { lon, lat }, metres).expect_err(why);
            assert!(error.chain().contains(why), "{}", error.chain());
        }
    }

    #[test]
    fn a_rectangular_polygon_behaves_like_a_box() {
        for text in ["32.19,34.52,34.18,35.49", "33.33,35.15,33.39,35.19", "-180,-85,180,85"] {
            let bbox: Bbox = text.parse().expect("a box");
            let (west, south, east, north) = (bbox.west(), bbox.south(), bbox.east(), bbox.north());
            let json = format!(
                r#"{{"type":"Polygon","coordinates":[[[{west},{south}],[{east},{south}],[{east},{north}],[{west},{north}],[{west},{south}]]]}}"#
            );
            let polygon = Area::from_geojson(&json).expect("a polygon");
            let (mut level, area) = (vec![TileId::WORLD], Area::from(bbox));
            for _ in 0..8 {
                level = level.into_iter().flat_map(TileId::children).collect();
                for tile in &level {
                    assert_eq!(polygon.touches(*tile), area.touches(*tile), "{tile}");
                }
                level.retain(|tile| area.touches(*tile));
                level.truncate(300);
            }
            let tile = TileId::containing(NICOSIA, 14);
            let (polygon, area) = (polygon.clip(tile, 4096), area.clip(tile, 4096));
            assert_eq!(polygon.is_whole(), area.is_whole());
            for n in 0..4096 {
                let (x, y) = (n % 64 * 65 - 30, n / 64 * 65 - 30);
                assert_eq!(polygon.has_point(x, y), area.has_point(x, y), "{x},{y}");
                let to = (x + 500, y + 900);
                assert_eq!(polygon.has_segment((x, y), to), area.has_segment((x, y), to), "{x},{y}");
            }
        }
    }

    #[test]
    fn a_polygon_over_the_antimeridian_may_continue_beyond_180_or_be_split() {
        let on = "[[[177,-19],[181,-19],[181,-16],[177,-16],[177,-19]]]";
        let back = "[[[-183,-19],[-179,-19],[-179,-16],[-183,-16],[-183,-19]]]";
        for coordinates in [on, back] {
            let json = format!(r#"{{"type":"Polygon","coordinates":{coordinates}}}"#);
            let fiji = Area::from_geojson(&json).expect("a polygon");
            for (lon, inside) in
                [(179.9, true), (-179.9, true), (-178.0, false), (176.0, false), (0.0, false)]
            {
                let point = LonLat { lon, lat: -17.0 };
                assert_eq!(fiji.contains(point), inside, "{lon}");
                assert_eq!(fiji.touches(TileId::containing(point, 12)), inside, "{lon}");
            }
        }
    }

    #[test]
    fn areas_are_distinguished_by_their_corners() {
        let key = |text: &str| Area::from_geojson(text).expect("an area").key();
        let one = key(r#"{"type":"Polygon","coordinates":[[[33,35],[34,35],[34,36],[33.5,35.4]]]}"#);
        let two = key(r#"{"type":"Polygon","coordinates":[[[33,35],[34,35],[34,36],[33.5,35.3]]]}"#);
        assert!(
            one != two && one.starts_with("1 polygon within 33.00000,35.00000,34.00000,36.00000"),
            "{one}"
        );
    }
}
