//! Polygons from GeoJSON.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use ::geojson::{Feature, GeoJson, Geometry, GeometryValue, JsonObject, Position};

use super::Area;
use super::polygon::Polygon;
use crate::error::{Error, ErrorKind, Result};
use crate::geo::crs::{CONVERT, Crs, unsupported};
use crate::geo::lonlat::LonLat;
use crate::text::printable;

/// Maximum file length; the borders of all countries have half of that.
const MAX_FILE_LEN: u64 = 128 << 20;

const HINT: &str =
    "an area is GeoJSON with polygons, longitude before latitude, as QGIS or geojson.io write it";

impl Area {
    /// Reads the polygons of a GeoJSON file.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::open_with_notes(path).map(|(area, _)| area)
    }

    /// Reads the polygons of a GeoJSON file; also returns notes, see [`Area::from_geojson_with_notes`].
    pub fn open_with_notes(path: impl AsRef<Path>) -> Result<(Self, Vec<String>)> {
        let path = path.as_ref();
        let text =
            read(path).map_err(|error| invalid_area(error).with_subject(path.display().to_string()))?;
        Self::from_geojson_with_notes(&text).map_err(|error| error.with_subject(path.display().to_string()))
    }

    /// Reads the polygons of GeoJSON: a geometry, a feature or a feature collection.
    ///
    /// The area is their union. Points and lines are ignored; without a polygon the error is of kind
    /// [`Usage`](crate::ErrorKind::Usage).
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

    /// Reads the polygons of GeoJSON; also returns notes for the user: ignored geometries, and a coordinate system that
    /// is treated as WGS 84.
    pub fn from_geojson_with_notes(text: &str) -> Result<(Self, Vec<String>)> {
        // Some editors write a byte order mark.
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let json: GeoJson = text.parse().map_err(|error: ::geojson::Error| match text.trim() {
            "" => invalid_area("it is empty"),
            _ => invalid_area(format!("it is not GeoJSON: {error}")),
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
    File::open(path)?.take(MAX_FILE_LEN + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MAX_FILE_LEN {
        return Err(io::Error::other("it is larger than 128 MiB"));
    }
    Ok(text)
}

fn invalid_area(why: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::new(ErrorKind::Usage, "read the area").with_source(why).with_hint(HINT)
}

#[derive(Default)]
struct Found {
    polygons: Vec<Polygon>,
    /// Number of the current feature, for messages.
    feature: Option<usize>,
    /// Number of ignored geometries by type.
    others: BTreeMap<&'static str, usize>,
    first_point: Option<Position>,
    /// A coordinate system that is nearly WGS 84.
    near: Option<String>,
}

impl Found {
    fn feature(&mut self, feature: &Feature, number: Option<usize>) -> Result<()> {
        self.feature = number;
        self.crs(feature.foreign_members.as_ref())?;
        // A feature without a geometry is ignored.
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

    /// Checks the coordinate system. RFC 7946 has only one, but older files may name another.
    fn crs(&mut self, members: Option<&JsonObject>) -> Result<()> {
        let Some(crs) = members.and_then(|members| members.get("crs")) else { return Ok(()) };
        match Crs::from_geojson(crs) {
            Crs::Wgs84 => {}
            Crs::Near(name) => {
                self.near.get_or_insert(name);
            }
            Crs::Other(name) => {
                return Err(
                    invalid_area(unsupported(&name)).with_hint(format!("convert it first: {CONVERT}"))
                );
            }
        }
        Ok(())
    }

    /// Notes for the user.
    fn notes(&self) -> Vec<String> {
        let near = self.near.as_ref().map(|name| {
            format!(
                "its coordinates are in `{}`, treated as WGS 84: the difference is about two metres",
                printable(name, 100)
            )
        });
        let others = (!self.others.is_empty())
            .then(|| format!("ignored besides its polygons: {}", self.counted_others()));
        near.into_iter().chain(others).collect()
    }

    /// Lists the ignored geometries: `1 Point and 2 LineStrings`.
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
            return invalid_area("it contains no polygon");
        }
        let point = match self.first_point.as_ref().map(Position::as_slice) {
            Some([lon, lat, ..]) => format!("{lon},{lat}"),
            _ => "LON,LAT".to_owned(),
        };
        let around = format!("for an area around a point, use `--around {point} --radius METRES`");
        let has_lines = self.others.keys().any(|name| name.contains("Line"));
        let buffer =
            if has_lines { "; turn lines into polygons with a buffer, for example in QGIS" } else { "" };
        invalid_area(format!("it contains no polygon, only {}", self.counted_others()))
            .with_hint(format!("{around}{buffer}"))
    }

    fn polygon(&mut self, rings: &[Vec<Position>]) -> Result<()> {
        if rings.is_empty() {
            return Err(self.invalid_area("a polygon is empty: it has no ring"));
        }
        let rings: Vec<_> = rings.iter().map(|ring| self.ring(ring)).collect::<Result<_>>()?;
        if Polygon::new(&rings[..1]).is_flat() {
            return Err(self.invalid_area("a polygon is empty: all its corners are on one line"));
        }
        self.polygons.push(Polygon::new(&rings));
        Ok(())
    }

    fn ring(&self, ring: &[Position]) -> Result<Vec<LonLat>> {
        let corner = |position: &Position| match *position.as_slice() {
            [lon, lat, ..] if lon.is_finite() && lat.is_finite() => Ok(LonLat { lon, lat }),
            _ => Err(self.invalid_area("a corner is not two numbers")),
        };
        let mut ring: Vec<_> = ring.iter().map(corner).collect::<Result<_>>()?;
        if ring.len() > 1 && ring.first() == ring.last() {
            ring.pop();
        }
        if ring.len() < 3 {
            return Err(self.invalid_area("a polygon has fewer than three corners"));
        }
        for (a, b) in ring.iter().zip(ring.iter().cycle().skip(1)) {
            if a.lat.abs() > 90.0 {
                let why = format!("{} is not a latitude: are longitude and latitude swapped?", a.lat);
                return Err(self.invalid_area(&why));
            }
            if a.lon.abs() > 360.0 {
                return Err(self.invalid_area(&format!("{} is not a longitude", a.lon)));
            }
            let wide = (a.lon - b.lon).abs();
            if wide > 180.0 && wide < 360.0 {
                let why = format!(
                    "an edge goes from longitude {} to {}: a polygon over the antimeridian must be split there, or continue beyond 180",
                    a.lon, b.lon
                );
                return Err(self.invalid_area(&why));
            }
        }
        Ok(ring)
    }

    fn invalid_area(&self, why: &str) -> Error {
        match self.feature {
            Some(number) => invalid_area(format!("feature {number}: {why}")),
            None => invalid_area(why.to_owned()),
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
    fn polygons_are_found_in_all_geojson_objects() {
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
    fn invalid_areas_are_rejected_with_the_reason() {
        let feature = |geometry: &str| {
            format!(
                r#"{{"type":"FeatureCollection","features":[{{"type":"Feature","properties":null,"geometry":{geometry}}}]}}"#
            )
        };
        for (text, why) in [
            (String::new(), "it is empty"),
            ("W,S,E,N".to_owned(), "not GeoJSON"),
            (r#"{"type":"Topology"}"#.to_owned(), "not GeoJSON"),
            (r#"{"type":"FeatureCollection","features":[]}"#.to_owned(), "no polygon"),
            (feature(r#"{"type":"Point","coordinates":[33,35]}"#), "no polygon, only 1 Point"),
            (polygon("[]"), "empty"),
            (polygon("[[]]"), "fewer than three corners"),
            (polygon("[[[33,35],[34,35],[33,35]]]"), "fewer than three corners"),
            (polygon("[[[33,35],[34,35],[33.5,35],[33,35]]]"), "on one line"),
            (polygon("[[[35,133],[36,133],[36,134],[35,133]]]"), "swapped"),
            (polygon("[[[500,35],[501,35],[501,36],[500,35]]]"), "not a longitude"),
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
    fn points_and_lines_are_ignored_with_a_note() {
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
        for (text, note) in [
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
            let note = note.map(|note| format!("ignored besides its polygons: {note}"));
            assert_eq!(notes, Vec::from_iter(note), "{text}");
        }
        for (text, why, hint) in [
            (point.to_owned(), "only 1 Point", "--around 10,10 --radius"),
            (collection(&[point, point, "null"]), "only 2 Points", "--around 10,10 --radius"),
            (collection(&[line]), "only 1 LineString", "buffer"),
            (collection(&["null"]), "no polygon", "polygons"),
        ] {
            let error = Area::from_geojson(&text).expect_err(&text);
            assert_eq!(error.kind(), ErrorKind::Usage);
            assert!(error.chain().contains(why), "{}", error.chain());
            assert!(error.hint().is_some_and(|advice| advice.contains(hint)), "{:?}", error.hint());
        }
    }

    #[test]
    fn systems_near_wgs_84_are_accepted_with_a_note_and_others_are_rejected_with_a_hint() {
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
            let message = error.chain();
            assert!(message.contains(name) && message.contains("WGS 84"), "{message}");
            assert!(error.hint().is_some_and(|hint| hint.contains("ogr2ogr -t_srs EPSG:4326")));
        }
    }
}
