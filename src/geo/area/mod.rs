//! Areas: a box, polygons, a circle.

mod geojson;
mod polygon;

use std::fmt;
use std::sync::Arc;

use self::polygon::{Polygon, Rect};
use super::clip::Clip;
use super::{Bbox, EARTH_RADIUS, LonLat, MAX_LATITUDE, SLIVER, TileId};
use crate::error::{Error, ErrorKind, Result};

/// A circle has so many corners: it lies within a hundredth of a percent of a round one.
const CORNERS: u32 = 240;

/// The widest circle, in metres.
const WIDEST: f64 = 1_000_000.0;

/// A part of the globe: a box, polygons with holes, or what lies around a place. Cheap to clone.
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
    /// What lies within so many metres of a place, at most 1,000 km.
    pub fn around(place: LonLat, metres: f64) -> Result<Self> {
        let refuse = |why: &str| {
            let subject = format!("{} m around {},{}", metres, place.lon, place.lat);
            let hint = "a place is `longitude,latitude` in degrees, such as `33.3623,35.1712`";
            Err(Error::new(ErrorKind::Usage, "use the circle")
                .subject(subject)
                .because(why.to_owned())
                .hint(hint))
        };
        if !place.is_on_the_globe() {
            return refuse("longitudes are -180 to 180, latitudes -90 to 90");
        }
        if !(metres > 0.0 && metres <= WIDEST) {
            return refuse("the radius must be above 0 m and at most 1,000,000 m");
        }
        let wide = metres / EARTH_RADIUS;
        if place.lat.abs() + wide.to_degrees() > MAX_LATITUDE {
            return refuse("it reaches beyond ±85.0511 degrees, where the tiles end");
        }
        let lat = place.lat.to_radians();
        let corner = |number: u32| {
            let turn = f64::from(number) / f64::from(CORNERS) * std::f64::consts::TAU;
            let sine = lat.sin() * wide.cos() + lat.cos() * wide.sin() * turn.cos();
            let east = (turn.sin() * wide.sin() * lat.cos()).atan2(wide.cos() - lat.sin() * sine);
            LonLat { lon: place.lon + east.to_degrees(), lat: sine.asin().to_degrees() }
        };
        let ring = (0..CORNERS).map(corner).collect();
        Ok(Self(Shape::Polygons(Arc::new([Polygon::new(&[ring])]))))
    }

    fn of_polygons(polygons: Vec<Polygon>) -> Result<Self> {
        if polygons
            .iter()
            .all(|polygon| polygon.bounds.south >= MAX_LATITUDE || polygon.bounds.north <= -MAX_LATITUDE)
        {
            return Err(Error::new(ErrorKind::Usage, "read the area")
                .because("it lies beyond ±85.0511 degrees, where the tiles end")
                .hint("are longitude and latitude swapped?"));
        }
        Ok(Self(Shape::Polygons(polygons.into())))
    }

    /// Whether a point lies in the area.
    pub fn contains(&self, point: LonLat) -> bool {
        match &self.0 {
            Shape::Box(bbox) => bbox.contains(point),
            Shape::Polygons(polygons) => turns(point.lon)
                .into_iter()
                .any(|lon| polygons.iter().any(|polygon| polygon.contains(LonLat { lon, ..point }))),
        }
    }

    /// Whether the area and a tile share more than an edge.
    pub fn touches(&self, tile: TileId) -> bool {
        match &self.0 {
            Shape::Box(bbox) => bbox.touches(tile),
            Shape::Polygons(polygons) => {
                let rect = rect(tile);
                TURNS.into_iter().any(|turn| polygons.iter().any(|p| p.meets(turned(rect, turn), SLIVER)))
            }
        }
    }

    /// What of a tile of `extent` units a side lies in the area, for tests on its coordinates.
    pub(crate) fn clip(&self, tile: TileId, extent: u32) -> Clip {
        let polygons = match &self.0 {
            Shape::Box(bbox) => return bbox.clip(tile, extent),
            Shape::Polygons(polygons) => polygons,
        };
        let rect = rect(tile);
        let mut near = Vec::new();
        for turn in TURNS {
            let rect = turned(rect, turn);
            for index in (0..polygons.len()).filter(|index| polygons[*index].meets(rect, 0.0)) {
                if polygons[index].covers(rect) {
                    return Clip::whole();
                }
                near.push((index, turn));
            }
        }
        Clip::of_polygons(Near {
            polygons: Arc::clone(polygons),
            which: near,
            tile,
            extent: f64::from(extent),
        })
    }

    /// Whether a rectangle in the coordinates of a tile of `extent` units a side lies in the area altogether; it may
    /// reach beyond the tile. A rectangle that lies in several polygons together, and in none of them, counts as out.
    pub(crate) fn holds(&self, tile: TileId, extent: u32, least: (f64, f64), greatest: (f64, f64)) -> bool {
        let polygons = match &self.0 {
            Shape::Box(bbox) => return bbox.holds(tile, extent, least, greatest),
            Shape::Polygons(polygons) => polygons,
        };
        let at = |(x, y)| tile.lonlat(x, y, f64::from(extent));
        let (nw, se) = (at(least), at(greatest));
        let rect = Rect { west: nw.lon, south: se.lat, east: se.lon, north: nw.lat };
        TURNS.into_iter().any(|turn| polygons.iter().any(|polygon| polygon.covers(turned(rect, turn))))
    }

    /// The latitude in it that lies nearest to the equator, in degrees.
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

    /// Whether it is one box.
    pub(crate) fn is_box(&self) -> bool {
        matches!(self.0, Shape::Box(_))
    }

    /// What tells it from other areas, short.
    #[cfg(any(test, feature = "cli"))]
    pub(crate) fn key(&self) -> String {
        let polygons = match &self.0 {
            Shape::Box(bbox) => return bbox.to_string(),
            Shape::Polygons(polygons) => polygons,
        };
        let (mut first, mut second) = (crc32fast::Hasher::new(), crc32fast::Hasher::new());
        for corner in polygons.iter().flat_map(Polygon::corners) {
            let (lon, lat) = (corner.lon.to_le_bytes(), corner.lat.to_le_bytes());
            first.update(&[lon, lat].concat());
            // The same in another order: two checksums of 32 bits that err apart.
            second.update(&[lat, lon].concat());
            second.update(b"/");
        }
        format!("{self}, {:08x}{:08x}", first.finalize(), second.finalize())
    }
}

/// How many polygons there are, and where: the coordinates would fill pages.
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

/// Polygons over the antimeridian count on beyond 180 degrees, so a place may have to be turned once round the globe.
const TURNS: [f64; 3] = [0.0, 360.0, -360.0];

fn turns(lon: f64) -> [f64; 3] {
    TURNS.map(|turn| lon + turn)
}

fn turned(rect: Rect, turn: f64) -> Rect {
    Rect { west: rect.west + turn, east: rect.east + turn, ..rect }
}

fn rect(tile: TileId) -> Rect {
    let (nw, se) = (tile.lonlat(0.0, 0.0, 1.0), tile.lonlat(1.0, 1.0, 1.0));
    Rect { west: nw.lon, south: se.lat, east: se.lon, north: nw.lat }
}

/// The polygons near a tile, for questions in its coordinates.
#[derive(Debug, Clone)]
pub(super) struct Near {
    polygons: Arc<[Polygon]>,
    /// Which, and how far the tile must be turned to them.
    which: Vec<(usize, f64)>,
    tile: TileId,
    extent: f64,
}

impl Near {
    fn at(&self, (x, y): (i32, i32)) -> LonLat {
        self.tile.lonlat(f64::from(x), f64::from(y), self.extent)
    }

    pub(super) fn has_point(&self, point: (i32, i32)) -> bool {
        let at = self.at(point);
        self.which.iter().any(|(index, turn)| self.polygons[*index].contains(shifted(at, *turn)))
    }

    pub(super) fn has_segment(&self, from: (i32, i32), to: (i32, i32)) -> bool {
        let (a, b) = (self.at(from), self.at(to));
        let crosses = |index: usize, turn| self.polygons[index].crosses(shifted(a, turn), shifted(b, turn));
        self.which.iter().any(|(index, turn)| crosses(*index, *turn)) || self.has_point(from)
    }
}

fn shifted(at: LonLat, turn: f64) -> LonLat {
    LonLat { lon: at.lon + turn, ..at }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NICOSIA: LonLat = LonLat { lon: 33.3623, lat: 35.1712 };

    #[test]
    fn a_circle_holds_what_is_nearer_than_its_radius() {
        for (place, metres) in [
            (NICOSIA, 1000.0),
            (LonLat { lon: 179.999, lat: -17.0 }, 5000.0),
            (LonLat { lon: -179.9, lat: 65.0 }, 300_000.0),
            (LonLat { lon: 10.0, lat: 80.0 }, 200_000.0),
        ] {
            let circle = Area::around(place, metres).expect("a circle");
            let reach = metres / 50_000.0 / place.lat.to_radians().cos();
            for n in 0..1600 {
                let part = |n: i32| f64::from(n) / 20.0 - 1.0;
                let lon = place.lon + reach * part(n % 40);
                let point = LonLat {
                    lon: if lon > 180.0 {
                        lon - 360.0
                    } else if lon < -180.0 {
                        lon + 360.0
                    } else {
                        lon
                    },
                    lat: (place.lat + metres / 70_000.0 * part(n / 40)).min(89.0),
                };
                let away = place.metres_to(point);
                // Between the corners and the round line nobody looks.
                if (away / metres - 1.0).abs() > 0.001 {
                    assert_eq!(circle.contains(point), away < metres, "{point:?}: {away} of {metres} m");
                }
            }
        }
    }

    #[test]
    fn a_circle_that_can_t_be_is_refused() {
        for (lon, lat, metres, why) in [
            (33.0, 35.0, 0.0, "above 0"),
            (33.0, 35.0, -5.0, "above 0"),
            (33.0, 35.0, f64::NAN, "above 0"),
            (33.0, 35.0, 2e6, "at most"),
            (33.0, 84.9, 50_000.0, "where the tiles end"),
            (35.0, 133.0, 10.0, "latitudes"),
        ] {
            let error = Area::around(LonLat { lon, lat }, metres).expect_err(why);
            assert!(error.chain().contains(why), "{}", error.chain());
        }
    }

    #[test]
    fn a_polygon_of_a_box_answers_as_the_box_does() {
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
            let tile = TileId::of(NICOSIA, 14);
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
    fn over_the_antimeridian_a_polygon_may_count_on_or_be_cut() {
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
                assert_eq!(fiji.touches(TileId::of(point, 12)), inside, "{lon}");
            }
        }
    }

    #[test]
    fn areas_are_told_apart_by_their_corners() {
        let key = |text: &str| Area::from_geojson(text).expect("an area").key();
        let one = key(r#"{"type":"Polygon","coordinates":[[[33,35],[34,35],[34,36],[33.5,35.4]]]}"#);
        let two = key(r#"{"type":"Polygon","coordinates":[[[33,35],[34,35],[34,36],[33.5,35.3]]]}"#);
        assert!(
            one != two && one.starts_with("1 polygon within 33.00000,35.00000,34.00000,36.00000"),
            "{one}"
        );
    }
}
