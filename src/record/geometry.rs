//! The geometry of records, for formats with one geometry per record.

use super::{Column, Kind, Record, Value, select};
use crate::geo::LonLat;
use crate::names::named_variants;

/// The point of an image that becomes the geometry of a file.
///
/// With [`GeometryChoice::Original`] the geometry replaces the columns `lon` and `lat`. With the others it is a copy, and
/// both points are also in columns, so that a reader does not need to know the choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum GeometryChoice {
    /// `geometry`: the coordinates that the device recorded.
    #[default]
    Original,
    /// `computed_geometry`: the reconstructed coordinates. Images outside a reconstruction have none.
    Computed,
    /// `computed_geometry` if it exists, else `geometry`.
    Best,
}

named_variants!(
    GeometryChoice,
    "read the geometry choice",
    [Original => "original", Computed => "computed", Best => "best"]
);

impl GeometryChoice {
    /// The API fields that the choice needs.
    pub fn fields(self) -> &'static [&'static str] {
        match self {
            Self::Original => &["geometry"],
            Self::Computed | Self::Best => &["geometry", "computed_geometry"],
        }
    }
}

/// A point without known coordinates.
const NOWHERE: LonLat = LonLat { lon: f64::NAN, lat: f64::NAN };

/// Checks a number: `NaN` is missing, as in other tools.
#[expect(clippy::needless_pass_by_value, reason = "the type of `Column::check`")]
pub(crate) fn check_float(value: Value<'_>) -> std::result::Result<Value<'_>, &'static str> {
    match value {
        Value::Float(number) if number.is_infinite() => Err("it is not a finite number"),
        Value::Float(number) if !number.is_nan() => Ok(Value::Float(number)),
        _ => Ok(Value::Null),
    }
}

/// A point with both coordinates. A missing coordinate must not become zero.
pub(crate) fn whole(point: Option<LonLat>) -> Option<LonLat> {
    point.filter(|point| point.lon.is_finite() && point.lat.is_finite())
}

/// Stores one coordinate of a point. Another column stores the other one.
pub(crate) fn store_degrees(
    point: &mut Option<LonLat>,
    value: Value<'_>,
    half: fn(&mut LonLat) -> &mut f64,
) -> std::result::Result<(), &'static str> {
    if let Value::Float(degrees) = check_float(value)? {
        *half(point.get_or_insert(NOWHERE)) = degrees;
    }
    Ok(())
}

/// Checks that points have both coordinates and lie on the globe.
pub(crate) fn check_points(
    points: impl IntoIterator<Item = Option<LonLat>>,
) -> std::result::Result<(), &'static str> {
    for point in points.into_iter().flatten() {
        if whole(Some(point)).is_none() {
            return Err("it has only one coordinate: longitude without latitude, or the reverse");
        }
        if !point.is_valid() {
            return Err(
                "its coordinates are invalid: longitude must be from -180 to 180, latitude from -90 to 90",
            );
        }
    }
    Ok(())
}

/// Two columns that form a point.
struct Point<R: 'static> {
    lon: &'static Column<R>,
    lat: &'static Column<R>,
}

impl<R: Record> Point<R> {
    fn get(&self, record: &R) -> Option<LonLat> {
        match ((self.lon.get)(record), (self.lat.get)(record)) {
            (Value::Float(lon), Value::Float(lat)) => Some(LonLat { lon, lat }),
            _ => None,
        }
    }
}

/// The points of a record type, the original first.
fn points<R: Record>() -> Vec<Point<R>> {
    let of = |kind| R::COLUMNS.iter().filter(move |column| column.kind == kind);
    of(Kind::Longitude).zip(of(Kind::Latitude)).map(|(lon, lat)| Point { lon, lat }).collect()
}

/// The geometry column of a file.
pub(crate) struct GeometryColumn<R: 'static> {
    points: Vec<Point<R>>,
    choice: GeometryChoice,
}

impl<R: Record> GeometryColumn<R> {
    /// The point of a record.
    pub(crate) fn point(&self, record: &R) -> Option<LonLat> {
        self.choose(|index| self.points.get(index)?.get(record))
    }

    /// The names of the columns of each point, longitude first.
    #[cfg(feature = "parquet")]
    pub(crate) fn names(&self) -> impl Iterator<Item = (&'static str, &'static str)> + '_ {
        self.points.iter().map(|point| (point.lon.name, point.lat.name))
    }

    /// The point of a row, of which `point` returns the points in the order of the columns.
    pub(crate) fn choose(&self, point: impl Fn(usize) -> Option<LonLat>) -> Option<LonLat> {
        match self.choice {
            _ if self.points.len() == 1 => point(0),
            GeometryChoice::Original => point(0),
            GeometryChoice::Computed => point(1),
            GeometryChoice::Best => point(1).or_else(|| point(0)),
        }
    }
}

/// The columns of a table with a geometry, and its geometry column; `None` for record types without a point.
pub(crate) fn columns_with_geometry<R: Record>(
    names: &[&str],
    choice: GeometryChoice,
) -> (Vec<&'static Column<R>>, Option<GeometryColumn<R>>) {
    let mut columns = select::<R>(names);
    let points = points::<R>();
    let Some(original) = points.first() else { return (columns, None) };
    if choice == GeometryChoice::Original || points.len() == 1 {
        columns.retain(|column| column.name != original.lon.name && column.name != original.lat.name);
    } else {
        for column in points.iter().flat_map(|point| [point.lon, point.lat]) {
            if !columns.iter().any(|chosen| chosen.name == column.name) {
                columns.push(column);
            }
        }
    }
    (columns, Some(GeometryColumn { points, choice }))
}

/// Reads a file's geometry into a record.
pub(crate) struct GeometryReader<R: 'static> {
    original: Point<R>,
    computed: Option<Point<R>>,
}

impl<R: Record> GeometryReader<R> {
    /// Creates a reader; `None` for record types without a point.
    pub(crate) fn new() -> Option<Self> {
        let mut points = points::<R>().into_iter();
        Some(Self { original: points.next()?, computed: points.next() })
    }

    /// Whether a column is a coordinate of the original point.
    pub(crate) fn is_coordinate(&self, name: &str) -> bool {
        [self.original.lon.name, self.original.lat.name].contains(&name)
    }

    /// Stores a geometry as the original point.
    pub(crate) fn fill(
        &self,
        record: &mut R,
        point: LonLat,
        has_columns: bool,
    ) -> std::result::Result<(), &'static str> {
        let computed = self.computed.as_ref().and_then(|computed| computed.get(record));
        if !is_original(point, has_columns, self.original.get(record), computed) {
            return Ok(());
        }
        (self.original.lon.set)(record, Value::Float(point.lon))?;
        (self.original.lat.set)(record, Value::Float(point.lat))
    }

    /// The names of the columns of the original point and of the computed one, longitude first.
    #[cfg(feature = "arrow")]
    pub(crate) fn names(&self) -> Vec<[&'static str; 2]> {
        let points = [Some(&self.original), self.computed.as_ref()];
        points.into_iter().flatten().map(|point| [point.lon.name, point.lat.name]).collect()
    }
}

/// Whether the geometry of a row is the original point of an image.
///
/// If the file also has columns for that point, the geometry is used only if they are empty and it is not a copy of the
/// computed point.
pub(crate) fn is_original(
    geometry: LonLat,
    has_columns: bool,
    original: Option<LonLat>,
    computed: Option<LonLat>,
) -> bool {
    !has_columns || (original.is_none() && computed != Some(geometry))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Fields, Image, Metadata};

    const HERE: LonLat = LonLat { lon: 33.5, lat: 35.0 };
    const THERE: LonLat = LonLat { lon: 33.6, lat: 35.1 };

    #[test]
    fn the_geometry_replaces_the_original_point_and_copies_the_others() {
        let fields: Fields = "width,geometry".parse().expect("fields");
        let names = |choice| {
            let (columns, column) = columns_with_geometry::<Metadata>(&fields.columns(), choice);
            assert!(column.is_some());
            columns.iter().map(|column| column.name).collect::<Vec<_>>()
        };
        assert_eq!(names(GeometryChoice::Original), ["seq_id", "img_id", "width"]);
        let both = ["seq_id", "img_id", "width", "lon", "lat", "computed_lon", "computed_lat"];
        assert_eq!(
            (names(GeometryChoice::Computed), names(GeometryChoice::Best)),
            (both.to_vec(), both.to_vec())
        );
        assert!(columns_with_geometry::<Image>(&fields.columns(), GeometryChoice::Best).1.is_none());
    }

    #[test]
    fn best_is_the_computed_point_if_it_exists() {
        let of = |choice, geometry, computed_geometry| {
            let record = Metadata { geometry, computed_geometry, ..Metadata::default() };
            columns_with_geometry::<Metadata>(&Fields::default().columns(), choice)
                .1
                .expect("a column")
                .point(&record)
        };
        assert_eq!(of(GeometryChoice::Original, Some(HERE), Some(THERE)), Some(HERE));
        assert_eq!(of(GeometryChoice::Computed, Some(HERE), Some(THERE)), Some(THERE));
        assert_eq!(of(GeometryChoice::Computed, Some(HERE), None), None);
        assert_eq!(of(GeometryChoice::Best, Some(HERE), Some(THERE)), Some(THERE));
        assert_eq!(of(GeometryChoice::Best, Some(HERE), None), Some(HERE));
    }
}
