//! Records from GeoJSON: feature collections and features a line.

mod split;

use std::collections::{HashMap, HashSet, VecDeque};
use std::io::{BufReader, Read};
use std::path::Path;

use ::geojson::feature::Id;
use ::geojson::{Geometry, GeometryValue, JsonObject, JsonValue};
use serde::Deserialize;
use serde_json::value::RawValue;

use self::split::{Broken, Split};
use super::messages::{self, Row, TableInfo};
use super::reader_channel::{self, BatchSender};
use super::{RecordStream, Source};
use crate::error::{Error, Result};
use crate::geo::LonLat;
use crate::record::{Column, Kind, Placing, Record, Value};

/// A feature without what we have no use for: the library's own type keeps foreign members too, at half the speed.
#[derive(Deserialize)]
struct Feature {
    r#type: FeatureType,
    id: Option<Id>,
    geometry: Option<Geometry>,
    properties: Option<JsonObject>,
}

/// A feature of more values than this would take hundreds of times its length in memory.
const MOST_VALUES: usize = 1_000_000;

impl Feature {
    fn read(text: &[u8]) -> std::result::Result<Self, String> {
        if text.len() > MOST_VALUES && memchr::memchr_iter(b',', text).count() > MOST_VALUES {
            return Err("it has more than a million values".to_owned());
        }
        serde_json::from_slice(text).map_err(|fault| fault.to_string())
    }
}

#[derive(Deserialize)]
enum FeatureType {
    Feature,
}

/// The features that tell which properties there are.
const FIRST_FEATURES: usize = 1000;

/// No more of them than this many bytes.
const FIRST_BYTES: usize = 4 << 20;

/// Records from the features of a GeoJSON file, one at a time.
///
/// Properties become columns by their names; others are left alone. The
/// geometry, a point, fills `lon` and `lat` unless the properties have them, or
/// it is a copy of the computed place. A feature without its id among the properties has it from `id`. A feature that
/// can't be read is an error of kind [`ErrorKind::Malformed`](crate::ErrorKind)
/// and the next one follows; if it is the first one, or the file ends in the
/// middle, the error is one of usage.
///
/// ```
/// use futures::TryStreamExt;
/// use streetflow::{GeoJsonSource, Metadata, Source};
///
/// # #[tokio::main] async fn main() -> streetflow::Result<()> {
/// let text = r#"{"type":"Feature","id":"728019821979741","geometry":{"type":"Point","coordinates":[33.5,35.0]},"properties":{"width":2560}}"#;
/// let images: Vec<Metadata> = GeoJsonSource::lines("a text", text.as_bytes())?.stream().try_collect().await?;
/// assert_eq!((images[0].img_id.as_str(), images[0].width), ("728019821979741", Some(2560)));
/// # Ok(()) }
/// ```
pub struct GeoJsonSource<T: 'static> {
    table: TableInfo,
    split: Split<BufReader<Box<dyn Read + Send>>>,
    /// What was read to know the header.
    first: VecDeque<Vec<u8>>,
    columns: HashMap<&'static str, &'static Column<T>>,
    /// The key that a feature's `id` is.
    id: Option<&'static Column<T>>,
    position: Option<Placing<T>>,
    /// Whether one of the first features has a geometry, or the id of an image.
    seen: Seen,
}

#[derive(Default)]
struct Seen {
    geometry: bool,
    image: bool,
}

impl<T: Record> GeoJsonSource<T> {
    /// Opens a feature collection and reads its first features.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        Self::new(path.display().to_string(), messages::open_file(path)?)
    }

    /// Opens a file with a feature a line, or with RFC 8142's separators.
    pub fn open_lines(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        Self::lines(path.display().to_string(), messages::open_file(path)?)
    }

    /// Reads a feature collection from anything; `name` is how messages call it.
    pub fn new(name: impl Into<String>, from: impl Read + Send + 'static) -> Result<Self> {
        Self::of(name.into(), Split::collection(buffered(from)), VecDeque::new())
    }

    /// Reads a feature a line from anything; `name` is how messages call it.
    pub fn lines(name: impl Into<String>, from: impl Read + Send + 'static) -> Result<Self> {
        Self::of(name.into(), Split::sequence(buffered(from)), VecDeque::new())
    }

    pub(super) fn retype<U: Record>(self) -> Result<GeoJsonSource<U>> {
        GeoJsonSource::of(self.table.name, self.split, self.first)
    }

    fn of(
        name: String,
        split: Split<BufReader<Box<dyn Read + Send>>>,
        first: VecDeque<Vec<u8>>,
    ) -> Result<Self> {
        let columns = T::COLUMNS.iter().map(|column| (column.name, column)).collect();
        let id = T::COLUMNS.iter().rfind(|column| column.field.is_none());
        let table = TableInfo::new(name, "feature");
        let mut source =
            Self { table, split, first, columns, id, position: Placing::new(), seen: Seen::default() };
        source.read_ahead()?;
        source.read_header()?;
        source.table.check_header::<T>()?;
        Ok(source)
    }

    /// Features need not have the same properties, so the first thousand are asked.
    fn read_ahead(&mut self) -> Result<()> {
        let mut size: usize = self.first.iter().map(Vec::len).sum();
        while self.first.len() < FIRST_FEATURES && size < FIRST_BYTES {
            let next = self.split.next().map_err(|why| self.broken(self.first.len(), why))?;
            let Some(text) = next else { break };
            size += text.len();
            self.first.push_back(text);
        }
        Ok(())
    }

    fn read_header(&mut self) -> Result<()> {
        let mut known = HashSet::new();
        let mut first_fault = None;
        for text in &self.first {
            let feature = match Feature::read(text) {
                Ok(feature) => feature,
                Err(fault) => {
                    first_fault.get_or_insert(fault);
                    continue;
                }
            };
            self.seen.geometry |= feature.geometry.is_some();
            let id = feature.id.as_ref().map(|id| match id {
                Id::String(text) => text.clone(),
                Id::Number(number) => number.to_string(),
            });
            let sequence = feature.properties.as_ref().and_then(|properties| properties.get("seq_id"));
            self.seen.image |= id.is_some() && id.as_deref() != sequence.and_then(JsonValue::as_str);
            let names = feature.properties.iter().flat_map(|properties| properties.keys());
            let geometry = feature.geometry.is_some().then_some("geometry");
            let id = feature.id.as_ref().and(self.id).map(|column| column.name);
            for name in names.map(String::as_str).chain(geometry).chain(id) {
                if !known.contains(name) {
                    known.insert(name.to_owned());
                    self.table.header.push(name.to_owned());
                }
            }
        }
        // Without a single feature there is nothing to name, and nothing to miss.
        if self.first.is_empty() {
            self.table.header.extend(T::COLUMNS.iter().map(|column| column.name.to_owned()));
        }
        match first_fault {
            Some(fault) if known.is_empty() => Err(self.no_feature(&Row { number: 1, first: true }, &fault)),
            _ => Ok(()),
        }
    }

    fn no_feature(&self, row: &Row, fault: &str) -> Error {
        let why = format!(" is not one: {}", messages::printable(fault, 200));
        let error = self.table.row_error(row, &why);
        if row.first {
            error.with_hint(
                "`--input-format geojsonseq` wants one feature a line, `geojson` one feature collection",
            )
        } else {
            error
        }
    }

    /// Whether one of the first features has a geometry.
    pub(super) fn has_geometry(&self) -> bool {
        self.seen.geometry
    }

    /// Whether one of the first features has an id that is not its sequence's.
    pub(super) fn has_image_id(&self) -> bool {
        self.seen.image
    }

    /// The properties that fill nothing.
    pub(super) fn unread(&self) -> Vec<String> {
        let fills = |name: &String| self.columns.contains_key(name.as_str()) || name == "geometry";
        self.table.header.iter().filter(|name| !fills(name)).cloned().collect()
    }

    /// The names of the properties of the first thousand features, and `geometry` if one of them has any.
    pub fn header(&self) -> &[String] {
        &self.table.header
    }

    /// Reads these properties only, besides those without which there is no record: what else is wrong in a feature
    /// does not matter. The geometry of an image is in `lon` and `lat`.
    pub fn only(mut self, names: &[&str]) -> Self {
        self.columns.retain(|_, column| column.required || names.contains(&column.name));
        self.position = self.position.filter(|position| names.iter().any(|name| position.is_half(name)));
        self
    }

    pub(super) fn table(&self) -> &TableInfo {
        &self.table
    }

    pub(super) fn table_mut(&mut self) -> &mut TableInfo {
        &mut self.table
    }

    fn broken(&self, features: usize, why: Broken) -> Error {
        let why = match why {
            Broken::Io(error) => error.to_string(),
            Broken::Text(why) => messages::printable(&why, 300),
        };
        self.table.error(&format!("after {features} features: {why}"))
    }

    /// Reads features until the end.
    fn send_records(mut self, sender: &mut BatchSender<T>) {
        for number in 1.. {
            let text = match self.first.pop_front() {
                Some(text) => Ok(Some(text)),
                None => self.split.next(),
            };
            let more = match text {
                Ok(Some(text)) => {
                    let row = Row { number, first: number == 1 };
                    sender.fill(|record| self.read(record, &text, &row))
                }
                Ok(None) => return,
                Err(why) => {
                    sender.push(Err(self.broken(usize::try_from(number - 1).unwrap_or(usize::MAX), why)))
                }
            };
            if !more {
                return;
            }
        }
    }

    fn read(&self, record: &mut T, text: &[u8], row: &Row) -> Result<()> {
        let feature = Feature::read(text).map_err(|fault| self.no_feature(row, &fault))?;
        let FeatureType::Feature = feature.r#type;
        let properties = feature.properties.unwrap_or_default();
        let mut has_id = None;
        if let (Some(column), Some(id)) = (self.id, feature.id)
            && !properties.contains_key(column.name)
        {
            let id = match id {
                Id::String(text) => JsonValue::String(text),
                Id::Number(number) => JsonValue::Number(number),
            };
            self.set(record, column, &id, row)?;
            has_id = Some(column.name);
        }
        let lacks = |column: &&Column<T>| {
            column.required && has_id != Some(column.name) && !properties.contains_key(column.name)
        };
        if let Some(lacking) = T::COLUMNS.iter().find(lacks) {
            return Err(self.table.row_error(row, &format!(": it has no property `{}`", lacking.name)));
        }
        for (name, value) in &properties {
            let Some(column) = self.columns.get(name.as_str()) else { continue };
            // The double that was made of a number does not tell how many digits stood there.
            let exact = (value.is_f64() && matches!(column.kind, Kind::Integer | Kind::Time))
                .then(|| as_written(text, name))
                .flatten();
            self.set(record, column, exact.as_ref().unwrap_or(value), row)?;
        }
        if let (Some(position), Some(geometry)) = (&self.position, feature.geometry) {
            let GeometryValue::Point { coordinates } = &geometry.value else {
                let why =
                    format!(": its geometry is a {}, and an image's is a Point", geometry.value.type_name());
                return Err(self.table.row_error(row, &why));
            };
            if let [lon, lat, ..] = *coordinates.as_slice() {
                let has_columns = properties.keys().any(|name| position.is_half(name));
                position
                    .fill(record, LonLat { lon, lat }, has_columns)
                    .map_err(|why| self.refuse(row, why))?;
            }
        }
        record.settle().map_err(|why| self.refuse(row, why))
    }

    fn refuse(&self, row: &Row, why: &str) -> Error {
        self.table.row_error(row, &format!(": {why}"))
    }

    fn set(&self, record: &mut T, column: &Column<T>, value: &JsonValue, row: &Row) -> Result<()> {
        let shown = || value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        self.table.set_value(record, column, value_of(column.kind, value), row, shown)
    }
}

/// A property's number as the text that stands in the file.
fn as_written(feature: &[u8], name: &str) -> Option<JsonValue> {
    #[derive(Deserialize)]
    struct Written<'a> {
        #[serde(borrow)]
        properties: HashMap<String, &'a RawValue>,
    }
    let written: Written<'_> = serde_json::from_slice(feature).ok()?;
    written.properties.get(name).map(|number| JsonValue::String(number.get().to_owned()))
}

fn buffered(from: impl Read + Send + 'static) -> BufReader<Box<dyn Read + Send>> {
    BufReader::with_capacity(1 << 16, Box::new(from))
}

/// A property as a value of a kind; text is read as a CSV cell is, for some tools write everything as text.
fn value_of(kind: Kind, value: &JsonValue) -> std::result::Result<Value<'_>, &'static str> {
    Ok(match (kind, value) {
        (_, JsonValue::Null) => Value::Null,
        (kind, JsonValue::String(text)) => return kind.parse(text),
        // An id that is a number is fine if it is whole; one with a point says so and is refused.
        (Kind::Text, JsonValue::Number(number)) => Value::Text(number.to_string().into()),
        (Kind::Integer | Kind::Time, JsonValue::Number(number)) => {
            return Ok(match kind.parse(&number.to_string())? {
                Value::Integer(number) => Value::Integer(number),
                Value::Time(number) => Value::Time(number),
                _ => Value::Null,
            });
        }
        (Kind::Float | Kind::Longitude | Kind::Latitude, JsonValue::Number(number)) => {
            Value::Float(number.as_f64().ok_or("it is not a number")?)
        }
        (Kind::Bool, JsonValue::Bool(truth)) => Value::Bool(*truth),
        (Kind::Bool, JsonValue::Number(number)) => match number.as_i64() {
            Some(0) => Value::Bool(false),
            Some(1) => Value::Bool(true),
            _ => return Err("it is neither `true` nor `false`"),
        },
        (Kind::Floats, JsonValue::Array(numbers)) => {
            let numbers: Option<Vec<f64>> = numbers.iter().map(JsonValue::as_f64).collect();
            Value::Floats(numbers.ok_or("it is not a list of numbers")?.into())
        }
        (Kind::Texts, JsonValue::Array(texts)) => {
            let text = |text: &JsonValue| match text {
                JsonValue::String(text) => Some(text.clone()),
                JsonValue::Number(number) => Some(number.to_string()),
                _ => None,
            };
            let texts: Option<Vec<String>> = texts.iter().map(text).collect();
            Value::Texts(texts.ok_or("it is not a list of texts")?.into())
        }
        _ => return Err("it is of another type"),
    })
}

impl<T: Record> Source for GeoJsonSource<T> {
    type Item = T;

    fn stream(self) -> RecordStream<T> {
        reader_channel::from_thread(self.table.clone(), move |sender| self.send_records(sender))
    }
}
