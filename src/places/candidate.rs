//! One candidate of a place search.

use std::fmt;

use serde_json::Value;

use crate::error::{Error, ErrorKind, Result};
use crate::geo::{Area, Bbox, EARTH_RADIUS, LonLat};
use crate::text::printable;

/// The most characters of a name that are kept.
const MAX_SHOWN: usize = 200;

/// OpenStreetMap's keys `place` for settlements and their districts, and administrative units.
const REGIONS: [&str; 27] = [
    "borough",
    "city",
    "city_block",
    "city_district",
    "continent",
    "country",
    "county",
    "district",
    "hamlet",
    "island",
    "isolated_dwelling",
    "locality",
    "municipality",
    "neighbourhood",
    "postcode",
    "province",
    "quarter",
    "region",
    "state",
    "state_district",
    "suburb",
    "town",
    "village",
    "subdivision",
    "allotments",
    "islet",
    "archipelago",
];

/// A candidate of a place search: a name, what it is, and its area if it has one.
#[derive(Debug, Clone)]
pub struct Place {
    name: String,
    kind: String,
    category: String,
    osm_id: String,
    geometry: String,
    bbox: Option<Bbox>,
    center: Option<LonLat>,
    area: Option<Area>,
    square_metres: f64,
}

impl Place {
    /// Reads the response of a search with `format=geojson` and `polygon_geojson=1`.
    ///
    /// A candidate that can't be read is skipped. [`ErrorKind::Malformed`] if the text is not a feature collection.
    ///
    /// ```
    /// use streetflow::places::Place;
    ///
    /// let text = r#"{"type":"FeatureCollection","features":[{"type":"Feature",
    ///     "properties":{"osm_type":"relation","osm_id":307787,"category":"boundary","type":"administrative",
    ///         "addresstype":"country","display_name":"Cyprus"},
    ///     "bbox":[32.0,34.3,34.9,35.9],
    ///     "geometry":{"type":"Polygon","coordinates":[[[32,34.3],[34.9,34.3],[34.9,35.9],[32,34.3]]]}}]}"#;
    /// let places = Place::from_geojson(text)?;
    /// assert_eq!(places[0].to_string(), "Cyprus (country)");
    /// assert!(places[0].is_region() && places[0].area().is_some());
    /// # Ok::<(), streetflow::Error>(())
    /// ```
    pub fn from_geojson(text: &str) -> Result<Vec<Self>> {
        let malformed = |why: String| {
            Error::new(ErrorKind::Malformed, "read the response of the place search")
                .with_source(why)
                .with_hint("does `--place-url` name a Nominatim server?")
        };
        let json: Value =
            serde_json::from_str(text).map_err(|error| malformed(format!("it is not JSON: {error}")))?;
        let features = json.get("features").and_then(Value::as_array);
        let features = features.ok_or_else(|| malformed("it has no `features`".into()))?;
        Ok(features.iter().filter_map(Self::read).collect())
    }

    fn read(feature: &Value) -> Option<Self> {
        let properties = feature.get("properties")?;
        let text =
            |key: &str| properties.get(key).and_then(Value::as_str).map(|text| printable(text, MAX_SHOWN));
        let osm_id = properties.get("osm_id").and_then(Value::as_i64);
        let osm_id = match (text("osm_type"), osm_id) {
            (Some(kind), Some(id)) => format!("{kind}/{id}"),
            _ => String::new(),
        };
        let numbers: Vec<f64> =
            feature.get("bbox").and_then(Value::as_array)?.iter().filter_map(Value::as_f64).collect();
        let [west, south, east, north] = numbers[..] else { return None };
        let geometry = feature.get("geometry")?;
        let geometry_type = geometry.get("type").and_then(Value::as_str)?.to_owned();
        let is_polygonal = matches!(&*geometry_type, "Polygon" | "MultiPolygon");
        let area = is_polygonal.then(|| Area::from_geojson(&geometry.to_string()).ok()).flatten();
        Some(Self {
            name: text("display_name").or_else(|| text("name"))?,
            kind: text("addresstype").or_else(|| text("type")).unwrap_or_default(),
            category: text("category").unwrap_or_default(),
            osm_id,
            geometry: printable(&geometry_type, 40),
            bbox: Bbox::new(west, south, east, north).ok(),
            center: center(west, south, east, north),
            area,
            square_metres: if is_polygonal { square_metres(geometry) } else { 0.0 },
        })
    }

    /// The full name, such as `Nicosia, Nicosia District, Cyprus`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What OpenStreetMap says it is: `city`, `country`, `park`.
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// The object in OpenStreetMap, such as `relation/2628521`; empty if the server does not tell.
    pub fn osm_id(&self) -> &str {
        &self.osm_id
    }

    /// The type of its GeoJSON geometry: `MultiPolygon`, `Point`.
    pub fn geometry_type(&self) -> &str {
        &self.geometry
    }

    /// Its bounding box.
    pub fn bbox(&self) -> Option<Bbox> {
        self.bbox
    }

    /// The middle of its bounding box.
    pub fn center(&self) -> Option<LonLat> {
        self.center
    }

    /// Its polygons; `None` for points and lines, and for polygons that are not valid.
    pub fn area(&self) -> Option<&Area> {
        self.area.as_ref()
    }

    /// The size of its polygons in square kilometres, on a sphere; 0 without polygons.
    pub fn square_kilometres(&self) -> f64 {
        self.square_metres / 1e6
    }

    /// Whether it is a settlement, a district or an administrative unit up to a country, rather than a park or a shop.
    pub fn is_region(&self) -> bool {
        self.category == "place" || self.category == "boundary" || REGIONS.contains(&&*self.kind)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.kind.is_empty() {
            write!(f, "{}", self.name)
        } else {
            write!(f, "{} ({})", self.name, self.kind)
        }
    }
}

/// The middle of a box, which may cross the antimeridian.
fn center(west: f64, south: f64, east: f64, north: f64) -> Option<LonLat> {
    let width = if east < west { east + 360.0 - west } else { east - west };
    let lon = west + width / 2.0;
    let center =
        LonLat { lon: if lon > 180.0 { lon - 360.0 } else { lon }, lat: f64::midpoint(south, north) };
    (center.lon.abs() <= 180.0 && center.lat.abs() <= 90.0).then_some(center)
}

/// The size of a polygon or of several: outer rings minus holes.
fn square_metres(geometry: &Value) -> f64 {
    let Some(coordinates) = geometry.get("coordinates").and_then(Value::as_array) else { return 0.0 };
    let polygon = |rings: &Value| {
        let rings = rings.as_array().map(Vec::as_slice).unwrap_or_default();
        let Some((outer, holes)) = rings.split_first() else { return 0.0 };
        ring_square_metres(outer) - holes.iter().map(ring_square_metres).sum::<f64>()
    };
    match geometry.get("type").and_then(Value::as_str) {
        Some("MultiPolygon") => coordinates.iter().map(polygon).sum(),
        _ => polygon(&Value::Array(coordinates.clone())),
    }
}

/// The size inside of a ring on a sphere: the strips between its edges and the equator, added up with their signs.
fn ring_square_metres(ring: &Value) -> f64 {
    let point = |at: &Value| Some((at.get(0)?.as_f64()?.to_radians(), at.get(1)?.as_f64()?.to_radians()));
    let points: Vec<_> = ring.as_array().into_iter().flatten().filter_map(point).collect();
    let strips = points.windows(2).map(|edge| {
        let [(west, south), (east, north)] = [edge[0], edge[1]];
        (east - west) * (2.0 + south.sin() + north.sin())
    });
    (strips.sum::<f64>() * EARTH_RADIUS * EARTH_RADIUS / 2.0).abs()
}
