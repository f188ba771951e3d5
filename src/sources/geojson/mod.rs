//! Records from GeoJSON: feature collections and newline-delimited features.

mod split;
mod value;

use std::collections::{HashMap, HashSet, VecDeque};
use std::io::{BufReader, Read};
use std::path::Path;

use ::geojson::feature::Id;
use ::geojson::{Geometry, GeometryValue, JsonObject, JsonValue};
use serde::Deserialize;
use serde_json::value::RawValue;

use self::split::{SplitError, Splitter};
use self::value::value_of;
use super::messages::{self, Row, TableInfo};
use super::reader_channel::{self, Batch, BatchSender};
use super::{RecordStream, Source};
use crate::error::{Error, Result};
use crate::geo::LonLat;
use crate::record::{Column, GeometryReader, Kind, Record};

/// A feature without foreign members. The type of the `geojson` crate includes them, at half the speed.
#[derive(Deserialize)]
struct Feature {
    r#type: FeatureType,
    id: Option<Id>,
    geometry: Option<Geometry>,
    properties: Option<JsonObject>,
}

/// Limit of values in a feature, because each takes hundreds of times its length in memory.
const MAX_VALUES: usize = 1_000_000;

impl Feature {
    fn read(text: &[u8]) -> std::result::Result<Self, String> {
        if text.len() > MAX_VALUES && memchr::memchr_iter(b',', text).count() > MAX_VALUES {
            return Err("it has more than 1,000,000 values".to_owned());
        }
        serde_json::from_slice(text).map_err(|fault| fault.to_string())
    }
}

#[derive(Deserialize)]
enum FeatureType {
    Feature,
}

/// Features that are read to collect the property names.
const MAX_HEADER_FEATURES: usize = 1000;

/// Limit of bytes of these features.
const MAX_HEADER_BYTES: usize = 4 << 20;

/// Reads records from the features of a GeoJSON file, one at a time.
///
/// - Properties become columns by name. Other properties are ignored.
/// - The geometry, a point, fills `lon` and `lat`, unless properties have them or it is a copy of the computed point.
/// - A feature without its id in the properties takes it from `id`.
/// - An invalid feature is an error of kind [`Malformed`](crate::ErrorKind::Malformed), and the next feature follows. If
///   it is the first feature, or the file is truncated, the error is of kind [`Usage`](crate::ErrorKind::Usage).
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
    split: Splitter<BufReader<Box<dyn Read + Send>>>,
    /// Features that were read to collect the property names.
    first: VecDeque<Vec<u8>>,
    columns: HashMap<&'static str, &'static Column<T>>,
    /// The column that `id` fills.
    id: Option<&'static Column<T>>,
    geometry_reader: Option<GeometryReader<T>>,
    /// What the first features have.
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

    /// Opens newline-delimited GeoJSON, with or without the record separators of RFC 8142.
    pub fn open_lines(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        Self::lines(path.display().to_string(), messages::open_file(path)?)
    }

    /// Reads a feature collection from any reader. `name` is its name in error messages.
    pub fn new(name: impl Into<String>, from: impl Read + Send + 'static) -> Result<Self> {
        Self::from_split(name.into(), Splitter::collection(buffered(from)), VecDeque::new())
    }

    /// Reads newline-delimited GeoJSON from any reader. `name` is its name in error messages.
    pub fn lines(name: impl Into<String>, from: impl Read + Send + 'static) -> Result<Self> {
        Self::from_split(name.into(), Splitter::sequence(buffered(from)), VecDeque::new())
    }

    pub(super) fn retype<U: Record>(self) -> Result<GeoJsonSource<U>> {
        GeoJsonSource::from_split(self.table.name, self.split, self.first)
    }

    fn from_split(
        name: String,
        split: Splitter<BufReader<Box<dyn Read + Send>>>,
        first: VecDeque<Vec<u8>>,
    ) -> Result<Self> {
        let columns = T::COLUMNS.iter().map(|column| (column.name, column)).collect();
        let id = T::COLUMNS.iter().rfind(|column| column.field.is_none());
        let table = TableInfo::new(name, "feature");
        let mut source = Self {
            table,
            split,
            first,
            columns,
            id,
            geometry_reader: GeometryReader::new(),
            seen: Seen::default(),
        };
        source.prefetch()?;
        source.read_header()?;
        source.table.check_header::<T>()?;
        Ok(source)
    }

    /// Reads the first features, because features may have different properties.
    fn prefetch(&mut self) -> Result<()> {
        let mut size: usize = self.first.iter().map(Vec::len).sum();
        while self.first.len() < MAX_HEADER_FEATURES && size < MAX_HEADER_BYTES {
            let next = self.split.next().map_err(|why| self.split_error(self.first.len(), why))?;
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
        // Without features there are no property names, and none is missing.
        if self.first.is_empty() {
            self.table.header.extend(T::COLUMNS.iter().map(|column| column.name.to_owned()));
        }
        match first_fault {
            Some(fault) if known.is_empty() => {
                Err(self.not_a_feature(&Row { number: 1, first: true }, &fault))
            }
            _ => Ok(()),
        }
    }

    fn not_a_feature(&self, row: &Row, fault: &str) -> Error {
        let why = format!(" is invalid: {}", messages::printable(fault, 200));
        let error = self.table.row_error(row, &why);
        if row.first {
            error.with_hint(
                "`--input-format geojsonseq` expects one feature per line, `geojson` one feature collection",
            )
        } else {
            error
        }
    }

    /// Whether one of the first features has a geometry.
    pub(super) fn has_geometry(&self) -> bool {
        self.seen.geometry
    }

    /// Whether one of the first features has an `id` that is not its sequence id.
    pub(super) fn has_image_id(&self) -> bool {
        self.seen.image
    }

    /// The properties that fill no column of the record.
    pub(super) fn unread(&self) -> Vec<String> {
        let fills = |name: &String| self.columns.contains_key(name.as_str()) || name == "geometry";
        self.table.header.iter().filter(|name| !fills(name)).cloned().collect()
    }

    /// The property names of the first 1,000 features, and `geometry` if one of them has one.
    pub fn header(&self) -> &[String] {
        &self.table.header
    }

    /// Reads only these properties and the required ones. Invalid values in other properties are ignored. The geometry
    /// belongs to `lon` and `lat`.
    pub fn only(mut self, names: &[&str]) -> Self {
        self.columns.retain(|_, column| column.required || names.contains(&column.name));
        self.geometry_reader = self
            .geometry_reader
            .filter(|geometry_reader| names.iter().any(|name| geometry_reader.is_coordinate(name)));
        self
    }

    pub(super) fn table(&self) -> &TableInfo {
        &self.table
    }

    pub(super) fn table_mut(&mut self) -> &mut TableInfo {
        &mut self.table
    }

    fn split_error(&self, features: usize, why: SplitError) -> Error {
        let why = match why {
            SplitError::Io(error) => error.to_string(),
            SplitError::Text(why) => messages::printable(&why, 300),
        };
        self.table.error(&format!("after {features} features: {why}"))
    }

    /// The records in blocks, each changed or rejected by `check`. The first error is the last item.
    pub(super) fn blocks(
        self,
        check: impl FnMut(&mut T) -> Result<()> + Send + 'static,
    ) -> RecordStream<Vec<T>> {
        reader_channel::blocks_from_thread(self.table.clone(), move |sender| self.send_records(sender), check)
    }

    /// Sends all features.
    fn send_records<B: Batch<T>>(mut self, sender: &mut BatchSender<T, B>) {
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
                    sender.push(Err(self.split_error(usize::try_from(number - 1).unwrap_or(usize::MAX), why)))
                }
            };
            if !more {
                return;
            }
        }
    }

    fn read(&self, record: &mut T, text: &[u8], row: &Row) -> Result<()> {
        let feature = Feature::read(text).map_err(|fault| self.not_a_feature(row, &fault))?;
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
            // A double does not show how many digits the number has in the file.
            let exact = (value.is_f64() && matches!(column.kind, Kind::Integer | Kind::Time))
                .then(|| original_text(text, name))
                .flatten();
            self.set(record, column, exact.as_ref().unwrap_or(value), row)?;
        }
        if let (Some(geometry_reader), Some(geometry)) = (&self.geometry_reader, feature.geometry) {
            let GeometryValue::Point { coordinates } = &geometry.value else {
                let why = format!(": its geometry is a {}, expected a Point", geometry.value.type_name());
                return Err(self.table.row_error(row, &why));
            };
            if let [lon, lat, ..] = *coordinates.as_slice() {
                let has_columns = properties.keys().any(|name| geometry_reader.is_coordinate(name));
                geometry_reader
                    .fill(record, LonLat { lon, lat }, has_columns)
                    .map_err(|why| self.row_error(row, why))?;
            }
        }
        record.complete();
        record.validate().map_err(|why| self.row_error(row, why))
    }

    fn row_error(&self, row: &Row, why: &str) -> Error {
        self.table.row_error(row, &format!(": {why}"))
    }

    fn set(&self, record: &mut T, column: &Column<T>, value: &JsonValue, row: &Row) -> Result<()> {
        let shown = || value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        self.table.set_value(record, column, value_of(column.kind, value), row, shown)
    }
}

/// A number of a feature's properties as it is written in the file.
fn original_text(feature: &[u8], name: &str) -> Option<JsonValue> {
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

impl<T: Record> Source for GeoJsonSource<T> {
    type Item = T;

    fn stream(self) -> RecordStream<T> {
        reader_channel::from_thread(self.table.clone(), move |sender| self.send_records(sender))
    }
}
