//! Which of a record's points is its place, for formats that give a record one geometry.

use super::{Column, Fields, Kind, Record, Value, select};
use crate::geo::LonLat;
use crate::names::named_variants;

/// Which of an image's two points the geometry of a file is.
///
/// With [`GeometryChoice::Original`] the geometry stands in for the columns `lon` and
/// `lat`. Otherwise it is a copy, and both points stay in columns of their own,
/// so that nothing is lost and a reader need not know the choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum GeometryChoice {
    /// `geometry`: where the device says that it was.
    #[default]
    Original,
    /// `computed_geometry`: where the reconstruction puts it; none for images that are in no reconstruction.
    Computed,
    /// `computed_geometry` where there is one, else `geometry`.
    Best,
}

named_variants!(
    GeometryChoice,
    "read the geometry choice",
    [Original => "original", Computed => "computed", Best => "best"]
);

impl GeometryChoice {
    /// The fields of the API that it takes.
    pub fn fields(self) -> &'static [&'static str] {
        match self {
            Self::Original => &["geometry"],
            Self::Computed | Self::Best => &["geometry", "computed_geometry"],
        }
    }
}

/// Two columns of a record that make a point.
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

/// The points that a record has, the original first.
fn points<R: Record>() -> Vec<Point<R>> {
    let of = |kind| R::COLUMNS.iter().filter(move |column| column.kind == kind);
    of(Kind::Longitude).zip(of(Kind::Latitude)).map(|(lon, lat)| Point { lon, lat }).collect()
}

/// The way to a record's place.
pub(crate) struct Position<R: 'static> {
    points: Vec<Point<R>>,
    place: GeometryChoice,
}

impl<R: Record> Position<R> {
    /// Where the record lies, if it lies anywhere.
    pub(crate) fn of(&self, record: &R) -> Option<LonLat> {
        let point = |index: usize| self.points.get(index)?.get(record);
        match self.place {
            GeometryChoice::Original => point(0),
            GeometryChoice::Computed => point(1),
            GeometryChoice::Best => point(1).or_else(|| point(0)),
        }
    }
}

/// The columns of a table that has a geometry, and the way to it; none for records that lie nowhere.
pub(crate) fn with_position<R: Record>(
    fields: &Fields,
    place: GeometryChoice,
) -> (Vec<&'static Column<R>>, Option<Position<R>>) {
    let mut columns = select::<R>(Some(fields));
    let points = points::<R>();
    let Some(original) = points.first() else { return (columns, None) };
    if place == GeometryChoice::Original {
        columns.retain(|column| column.name != original.lon.name && column.name != original.lat.name);
    } else {
        for column in points.iter().flat_map(|point| [point.lon, point.lat]) {
            if !columns.iter().any(|chosen| chosen.name == column.name) {
                columns.push(column);
            }
        }
    }
    (columns, Some(Position { points, place }))
}

/// The way of a file's geometry into a record.
pub(crate) struct Placing<R: 'static> {
    original: Point<R>,
    computed: Option<Point<R>>,
}

impl<R: Record> Placing<R> {
    /// None for records that lie nowhere.
    pub(crate) fn new() -> Option<Self> {
        let mut points = points::<R>().into_iter();
        Some(Self { original: points.next()?, computed: points.next() })
    }

    /// Whether a column is one half of the original point.
    pub(crate) fn is_half(&self, name: &str) -> bool {
        [self.original.lon.name, self.original.lat.name].contains(&name)
    }

    /// Takes a geometry for the original point. Where the file has columns of its own for that, the geometry serves
    /// only if they are empty and it is not a copy of the computed point.
    pub(crate) fn fill(
        &self,
        record: &mut R,
        point: LonLat,
        has_columns: bool,
    ) -> std::result::Result<(), &'static str> {
        let computed = self.computed.as_ref().and_then(|computed| computed.get(record));
        if has_columns && (self.original.get(record).is_some() || computed == Some(point)) {
            return Ok(());
        }
        (self.original.lon.set)(record, Value::Float(point.lon))?;
        (self.original.lat.set)(record, Value::Float(point.lat))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Image, Metadata};

    const HERE: LonLat = LonLat { lon: 33.5, lat: 35.0 };
    const THERE: LonLat = LonLat { lon: 33.6, lat: 35.1 };

    #[test]
    fn the_geometry_replaces_the_original_point_and_copies_any_other() {
        let fields: Fields = "width,geometry".parse().expect("fields");
        let names = |place| {
            let (columns, position) = with_position::<Metadata>(&fields, place);
            assert!(position.is_some());
            columns.iter().map(|column| column.name).collect::<Vec<_>>()
        };
        assert_eq!(names(GeometryChoice::Original), ["seq_id", "img_id", "width"]);
        let both = ["seq_id", "img_id", "width", "lon", "lat", "computed_lon", "computed_lat"];
        assert_eq!(
            (names(GeometryChoice::Computed), names(GeometryChoice::Best)),
            (both.to_vec(), both.to_vec())
        );
        assert!(with_position::<Image>(&fields, GeometryChoice::Best).1.is_none());
    }

    #[test]
    fn best_is_the_computed_point_where_there_is_one() {
        let of = |place, geometry, computed_geometry| {
            let record = Metadata { geometry, computed_geometry, ..Metadata::default() };
            with_position::<Metadata>(&Fields::default(), place).1.expect("a position").of(&record)
        };
        assert_eq!(of(GeometryChoice::Original, Some(HERE), Some(THERE)), Some(HERE));
        assert_eq!(of(GeometryChoice::Computed, Some(HERE), Some(THERE)), Some(THERE));
        assert_eq!(of(GeometryChoice::Computed, Some(HERE), None), None);
        assert_eq!(of(GeometryChoice::Best, Some(HERE), Some(THERE)), Some(THERE));
        assert_eq!(of(GeometryChoice::Best, Some(HERE), None), Some(HERE));
    }
}
