//! Polygons out of GeoJSON.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use ::geojson::{Feature, GeoJson, Geometry, GeometryValue, JsonValue, Position};

use super::Area;
use super::polygon::Polygon;
use crate::error::{Error, ErrorKind, Result};
use crate::geo::LonLat;

/// A file of more bytes is no area: the borders of all countries have half of that.
const MOST_BYTES: u64 = 128 << 20;

const HINT: &str =
    "an area is GeoJSON with polygons, longitude before latitude, such as QGIS or geojson.io write it";

impl Area {
    /// Reads the polygons of a GeoJSON file.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let text = read(path).map_err(|error| refuse(error).subject(path.display().to_string()))?;
        Self::from_geojson(&text).map_err(|error| error.subject(path.display().to_string()))
    }

    /// Reads the polygons of GeoJSON: a polygon or several, a feature, or a collection of these.
    ///
    /// Together they are the area; what overlaps counts once. Points and lines have no inside and are refused.
    ///
    /// ```
    /// use streetflow::geo::Area;
    /// use streetflow::LonLat;
    ///
    /// let text = r#"{"type":"Polygon","coordinates":[[[33,35],[34,35],[33.5,36],[33,35]]]}"#;
    /// let triangle = Area::from_geojson(text)?;
    /// assert!(triangle.contains(LonLat { lon: 33.5, lat: 35.5 }));
    /// assert!(!triangle.contains(LonLat { lon: 33.1, lat: 35.9 }));
    /// # Ok::<(), streetflow::Error>(())
    /// ```
    pub fn from_geojson(text: &str) -> Result<Self> {
        // Some editors put a mark before it.
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let json: GeoJson = text.parse().map_err(|error: ::geojson::Error| match text.trim() {
            "" => refuse("it is empty"),
            _ => refuse(format!("it is no GeoJSON: {error}")),
        })?;
        let mut found = Found::default();
        match &json {
            GeoJson::Geometry(geometry) => found.geometry(geometry)?,
            GeoJson::Feature(feature) => found.feature(feature, None)?,
            GeoJson::FeatureCollection(collection) => {
                degrees(collection.foreign_members.as_ref().and_then(|members| members.get("crs")))?;
                for (number, feature) in collection.features.iter().enumerate() {
                    found.feature(feature, Some(number + 1))?;
                }
            }
        }
        if found.polygons.is_empty() {
            return Err(refuse("there is no polygon in it"));
        }
        Self::of_polygons(found.polygons)
    }
}

fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(MOST_BYTES + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MOST_BYTES {
        return Err(io::Error::other("it is larger than 128 MiB"));
    }
    Ok(text)
}

fn refuse(why: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::new(ErrorKind::Usage, "read the area").because(why).hint(HINT)
}

/// RFC 7946 knows degrees only, but older files name another system here.
fn degrees(crs: Option<&JsonValue>) -> Result<()> {
    let crs = crs.map_or_else(|| "null".to_owned(), JsonValue::to_string);
    crate::sources::degrees_in(&crs).map_err(refuse)
}

#[derive(Default)]
struct Found {
    polygons: Vec<Polygon>,
    /// Which feature is read, for messages.
    feature: Option<usize>,
}

impl Found {
    fn feature(&mut self, feature: &Feature, number: Option<usize>) -> Result<()> {
        self.feature = number;
        degrees(feature.foreign_members.as_ref().and_then(|members| members.get("crs")))?;
        // A feature without a geometry lies nowhere.
        feature.geometry.as_ref().map_or(Ok(()), |geometry| self.geometry(geometry))
    }

    fn geometry(&mut self, geometry: &Geometry) -> Result<()> {
        degrees(geometry.foreign_members.as_ref().and_then(|members| members.get("crs")))?;
        match &geometry.value {
            GeometryValue::Polygon { coordinates } => self.polygon(coordinates),
            GeometryValue::MultiPolygon { coordinates } => {
                coordinates.iter().try_for_each(|rings| self.polygon(rings))
            }
            GeometryValue::GeometryCollection { geometries } => {
                geometries.iter().try_for_each(|geometry| self.geometry(geometry))
            }
            other => Err(self.refuse(&format!("a {} has no inside", other.type_name()))),
        }
    }

    fn polygon(&mut self, rings: &[Vec<Position>]) -> Result<()> {
        if rings.is_empty() {
            return Err(self.refuse("a polygon has no ring: it is empty"));
        }
        let rings: Vec<_> = rings.iter().map(|ring| self.ring(ring)).collect::<Result<_>>()?;
        if Polygon::new(&rings[..1]).is_flat() {
            return Err(self.refuse("a polygon is empty: all its corners lie on one line"));
        }
        self.polygons.push(Polygon::new(&rings));
        Ok(())
    }

    fn ring(&self, ring: &[Position]) -> Result<Vec<LonLat>> {
        let corner = |position: &Position| match *position.as_slice() {
            [lon, lat, ..] if lon.is_finite() && lat.is_finite() => Ok(LonLat { lon, lat }),
            _ => Err(self.refuse("a corner is not two numbers")),
        };
        let mut ring: Vec<_> = ring.iter().map(corner).collect::<Result<_>>()?;
        if ring.len() > 1 && ring.first() == ring.last() {
            ring.pop();
        }
        if ring.len() < 3 {
            return Err(self.refuse("a polygon has fewer than three corners"));
        }
        for (a, b) in ring.iter().zip(ring.iter().cycle().skip(1)) {
            if a.lat.abs() > 90.0 {
                let why = format!("{} is no latitude: are longitude and latitude swapped?", a.lat);
                return Err(self.refuse(&why));
            }
            if a.lon.abs() > 360.0 {
                return Err(self.refuse(&format!("{} is no longitude", a.lon)));
            }
            let wide = (a.lon - b.lon).abs();
            if wide > 180.0 && wide < 360.0 {
                let why = format!(
                    "an edge goes from longitude {} to {}: a polygon over the antimeridian must be cut there, or count on beyond 180",
                    a.lon, b.lon
                );
                return Err(self.refuse(&why));
            }
        }
        Ok(ring)
    }

    fn refuse(&self, why: &str) -> Error {
        match self.feature {
            Some(number) => refuse(format!("feature {number}: {why}")),
            None => refuse(why.to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn polygon(coordinates: &str) -> String {
        format!(r#"{{"type":"Polygon","coordinates":{coordinates}}}"#)
    }

    #[test]
    fn polygons_are_found_in_everything_that_can_hold_them() {
        let one = polygon("[[[33,35],[34,35],[34,36],[33,36],[33,35]]]");
        let two = r#"{"type":"MultiPolygon","coordinates":[[[[33,35],[34,35],[34,36]]],[[[10,10],[11,10],[11,11]]]]}"#;
        let feature = format!(r#"{{"type":"Feature","properties":null,"geometry":{one}}}"#);
        let nowhere = r#"{"type":"Feature","properties":{},"geometry":null}"#;
        let collection = format!(r#"{{"type":"FeatureCollection","features":[{nowhere},{feature}]}}"#);
        let geometries = format!(r#"{{"type":"GeometryCollection","geometries":[{one},{two}]}}"#);
        for text in [one.as_str(), two, &feature, &collection, &geometries, &format!("\u{feff}{one}")] {
            let area = Area::from_geojson(text).expect(text);
            assert!(area.contains(LonLat { lon: 33.9, lat: 35.1 }), "{text}");
            assert!(!area.contains(LonLat { lon: 20.0, lat: 20.0 }), "{text}");
        }
    }

    #[test]
    fn what_is_no_area_is_refused_with_the_reason() {
        let feature = |geometry: &str| {
            format!(
                r#"{{"type":"FeatureCollection","features":[{{"type":"Feature","properties":null,"geometry":{geometry}}}]}}"#
            )
        };
        for (text, why) in [
            (String::new(), "it is empty"),
            ("W,S,E,N".to_owned(), "no GeoJSON"),
            (r#"{"type":"Topology"}"#.to_owned(), "no GeoJSON"),
            (r#"{"type":"FeatureCollection","features":[]}"#.to_owned(), "no polygon"),
            (feature(r#"{"type":"Point","coordinates":[33,35]}"#), "feature 1: a Point has no inside"),
            (polygon("[]"), "empty"),
            (polygon("[[]]"), "fewer than three corners"),
            (polygon("[[[33,35],[34,35],[33,35]]]"), "fewer than three corners"),
            (polygon("[[[33,35],[34,35],[33.5,35],[33,35]]]"), "on one line"),
            (polygon("[[[35,133],[36,133],[36,134],[35,133]]]"), "swapped"),
            (polygon("[[[500,35],[501,35],[501,36],[500,35]]]"), "no longitude"),
            (polygon("[[[177,-19],[-179,-19],[-179,-16],[177,-19]]]"), "antimeridian"),
            (polygon("[[[33,86],[34,86],[34,87],[33,86]]]"), "where the tiles end"),
            (polygon("[[[33],[34,35],[34,36],[33,35]]]"), ""),
            (
                polygon("[[[33,35],[34,35],[34,36],[33,35]]]").replace(
                    '{',
                    r#"{"crs":{"type":"name","properties":{"name":"urn:ogc:def:crs:EPSG::3857"}},"#,
                ),
                "not in degrees",
            ),
        ] {
            let error = Area::from_geojson(&text).expect_err(&text);
            assert_eq!(error.kind(), ErrorKind::Usage);
            assert!(error.chain().contains(why), "{text}: {}", error.chain());
            assert!(error.advice().is_some());
        }
    }
}
