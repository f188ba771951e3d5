//! Polygons out of GeoJSON.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use ::geojson::{Feature, GeoJson, Geometry, GeometryValue, JsonObject, Position};

use super::Area;
use super::polygon::Polygon;
use crate::error::{Error, ErrorKind, Result};
use crate::geo::crs::{CONVERT, Crs, foreign};
use crate::geo::lonlat::LonLat;
use crate::text::printable;

/// A file of more bytes is no area: the borders of all countries have half of that.
const MOST_BYTES: u64 = 128 << 20;

const HINT: &str =
    "an area is GeoJSON with polygons, longitude before latitude, such as QGIS or geojson.io write it";

impl Area {
    /// Reads the polygons of a GeoJSON file.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::open_with_notes(path).map(|(area, _)| area)
    }

    /// Reads the polygons of a GeoJSON file, and says what else there is to know about it; see
    /// [`Area::from_geojson_with_notes`].
    pub fn open_with_notes(path: impl AsRef<Path>) -> Result<(Self, Vec<String>)> {
        let path = path.as_ref();
        let text = read(path).map_err(|error| refuse(error).with_subject(path.display().to_string()))?;
        Self::from_geojson_with_notes(&text).map_err(|error| error.with_subject(path.display().to_string()))
    }

    /// Reads the polygons of GeoJSON: a polygon or several, a feature, or a collection of these.
    ///
    /// Together they are the area; what overlaps counts once. Points and lines beside them are left out; without a
    /// single polygon they are refused.
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
        Self::from_geojson_with_notes(text).map(|(area, _)| area)
    }

    /// Reads the polygons of GeoJSON, and says in sentences what was left out, and which other coordinate reference
    /// system was taken for WGS 84.
    pub fn from_geojson_with_notes(text: &str) -> Result<(Self, Vec<String>)> {
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
                found.crs(collection.foreign_members.as_ref())?;
                for (number, feature) in collection.features.iter().enumerate() {
                    found.feature(feature, Some(number + 1))?;
                }
            }
        }
        if found.polygons.is_empty() {
            return Err(found.no_polygon());
        }
        let notes = found.notes();
        Ok((Self::from_polygons(found.polygons)?, notes))
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
    Error::new(ErrorKind::Usage, "read the area").with_source(why).with_hint(HINT)
}

#[derive(Default)]
struct Found {
    polygons: Vec<Polygon>,
    /// Which feature is read, for messages.
    feature: Option<usize>,
    /// How many geometries have no inside, by their type.
    others: BTreeMap<&'static str, usize>,
    first_point: Option<Position>,
    /// A system that is nearly WGS 84.
    near: Option<String>,
}

impl Found {
    fn feature(&mut self, feature: &Feature, number: Option<usize>) -> Result<()> {
        self.feature = number;
        self.crs(feature.foreign_members.as_ref())?;
        // A feature without a geometry lies nowhere.
        feature.geometry.as_ref().map_or(Ok(()), |geometry| self.geometry(geometry))
    }

    fn geometry(&mut self, geometry: &Geometry) -> Result<()> {
        self.crs(geometry.foreign_members.as_ref())?;
        match &geometry.value {
            GeometryValue::Polygon { coordinates } => self.polygon(coordinates)?,
            GeometryValue::MultiPolygon { coordinates } => {
                coordinates.iter().try_for_each(|rings| self.polygon(rings))?;
            }
            GeometryValue::GeometryCollection { geometries } => {
                geometries.iter().try_for_each(|geometry| self.geometry(geometry))?;
            }
            other => {
                *self.others.entry(other.type_name()).or_default() += 1;
                if let GeometryValue::Point { coordinates } = other {
                    self.first_point.get_or_insert_with(|| coordinates.clone());
                }
            }
        }
        Ok(())
    }

    /// RFC 7946 knows one system only, but older files name another one here.
    fn crs(&mut self, members: Option<&JsonObject>) -> Result<()> {
        let Some(crs) = members.and_then(|members| members.get("crs")) else { return Ok(()) };
        match Crs::of_geojson(crs) {
            Crs::Wgs84 => {}
            Crs::Near(name) => {
                self.near.get_or_insert(name);
            }
            Crs::Other(name) => {
                return Err(refuse(foreign(&name)).with_hint(format!("convert it first: {CONVERT}")));
            }
        }
        Ok(())
    }

    /// What there is to know about a file that was read.
    fn notes(&self) -> Vec<String> {
        let near = self.near.as_ref().map(|name| {
            format!(
                "its coordinates are in `{}`, taken for WGS 84: the two differ by two metres or so",
                printable(name, 100)
            )
        });
        let others = (!self.others.is_empty())
            .then(|| format!("left out beside its polygons: {}", self.counted_others()));
        near.into_iter().chain(others).collect()
    }

    /// Such as `1 Point and 2 LineStrings`.
    fn counted_others(&self) -> String {
        let counted =
            |(name, count): (&&str, &usize)| format!("{count} {name}{}", if *count == 1 { "" } else { "s" });
        let counted: Vec<_> = self.others.iter().map(counted).collect();
        match counted.split_last() {
            Some((last, [])) => last.clone(),
            Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
            None => String::new(),
        }
    }

    fn no_polygon(&self) -> Error {
        if self.others.is_empty() {
            return refuse("there is no polygon in it");
        }
        let place = match self.first_point.as_ref().map(Position::as_slice) {
            Some([lon, lat, ..]) => format!("{lon},{lat}"),
            _ => "LON,LAT".to_owned(),
        };
        let around = format!("for what lies around a point, use `--around {place} --radius METRES`");
        let has_lines = self.others.keys().any(|name| name.contains("Line"));
        let buffer = if has_lines { "; make polygons of lines with a buffer, such as in QGIS" } else { "" };
        refuse(format!("there is no polygon in it, only {}", self.counted_others()))
            .with_hint(format!("{around}{buffer}"))
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
            (feature(r#"{"type":"Point","coordinates":[33,35]}"#), "no polygon in it, only 1 Point"),
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
                "`urn:ogc:def:crs:EPSG::3857`, not in longitude and latitude",
            ),
        ] {
            let error = Area::from_geojson(&text).expect_err(&text);
            assert_eq!(error.kind(), ErrorKind::Usage);
            assert!(error.chain().contains(why), "{text}: {}", error.chain());
            assert!(error.hint().is_some());
        }
    }

    #[test]
    fn points_and_lines_beside_polygons_are_left_out_and_told() {
        let one = polygon("[[[33,35],[34,35],[34,36],[33,36],[33,35]]]");
        let point = r#"{"type":"Point","coordinates":[10,10]}"#;
        let line = r#"{"type":"LineString","coordinates":[[10,10],[11,11]]}"#;
        let lines = r#"{"type":"MultiLineString","coordinates":[[[10,10],[11,11]]]}"#;
        let feature =
            |geometry: &str| format!(r#"{{"type":"Feature","properties":null,"geometry":{geometry}}}"#);
        let collection = |geometries: &[&str]| {
            let features: Vec<_> = geometries.iter().map(|geometry| feature(geometry)).collect();
            format!(r#"{{"type":"FeatureCollection","features":[{}]}}"#, features.join(","))
        };
        let nested = format!(
            r#"{{"type":"GeometryCollection","geometries":[{point},{{"type":"GeometryCollection","geometries":[{one},{line}]}}]}}"#
        );
        for (text, told) in [
            (one.clone(), None),
            (collection(&["null", &one]), None),
            (collection(&[point, &one]), Some("1 Point")),
            (collection(&[point, &one, line, line, "null"]), Some("2 LineStrings and 1 Point")),
            (collection(&[point, &one, line, lines]), Some("1 LineString, 1 MultiLineString and 1 Point")),
            (nested.clone(), Some("1 LineString and 1 Point")),
            (feature(&nested), Some("1 LineString and 1 Point")),
        ] {
            let (area, notes) = Area::from_geojson_with_notes(&text).expect(&text);
            assert!(area.contains(LonLat { lon: 33.9, lat: 35.1 }), "{text}");
            assert!(!area.contains(LonLat { lon: 10.0, lat: 10.0 }), "{text}");
            let told = told.map(|told| format!("left out beside its polygons: {told}"));
            assert_eq!(notes, Vec::from_iter(told), "{text}");
        }
        for (text, why, hint) in [
            (point.to_owned(), "only 1 Point", "--around 10,10 --radius"),
            (collection(&[point, point, "null"]), "only 2 Points", "--around 10,10 --radius"),
            (collection(&[line]), "only 1 LineString", "buffer"),
            (collection(&["null"]), "no polygon in it", "polygons"),
        ] {
            let error = Area::from_geojson(&text).expect_err(&text);
            assert_eq!(error.kind(), ErrorKind::Usage);
            assert!(error.chain().contains(why), "{}", error.chain());
            assert!(error.hint().is_some_and(|advice| advice.contains(hint)), "{:?}", error.hint());
        }
    }

    #[test]
    fn systems_near_wgs_84_are_taken_for_it_and_told_and_others_are_refused_with_the_way_to_convert() {
        let one = polygon("[[[33,35],[34,35],[34,36],[33,36],[33,35]]]");
        let crs = |name: &str| format!(r#""crs":{{"type":"name","properties":{{"name":"{name}"}}}}"#);
        let of = |name: &str| {
            let feature = format!(r#"{{"type":"Feature","properties":null,"geometry":{one}}}"#);
            format!(r#"{{"type":"FeatureCollection",{},"features":[{feature}]}}"#, crs(name))
        };
        for name in ["urn:ogc:def:crs:OGC:1.3:CRS84", "EPSG:4326"] {
            assert_eq!(Area::from_geojson_with_notes(&of(name)).expect(name).1, [""; 0], "{name}");
        }
        let on_a_geometry = one.replacen('{', &format!("{{{},", crs("EPSG:4283")), 1);
        for (text, name) in [
            (of("urn:ogc:def:crs:EPSG::4269"), "`urn:ogc:def:crs:EPSG::4269`"),
            (of("EPSG:4258"), "`EPSG:4258`"),
            (on_a_geometry, "`EPSG:4283`"),
        ] {
            let (area, notes) = Area::from_geojson_with_notes(&text).expect(name);
            assert!(
                area.contains(LonLat { lon: 33.5, lat: 35.5 }),
                "longitude comes first, whatever EPSG says"
            );
            assert!(notes.len() == 1 && notes[0].contains(name), "{notes:?}");
        }
        for name in ["EPSG:3857", "urn:ogc:def:crs:EPSG::25832", "EPSG:4267"] {
            let error = Area::from_geojson(&of(name)).expect_err(name);
            let said = error.chain();
            assert!(said.contains(name) && said.contains("WGS 84"), "{said}");
            assert!(error.hint().is_some_and(|hint| hint.contains("ogr2ogr -t_srs EPSG:4326")));
        }
    }
}
