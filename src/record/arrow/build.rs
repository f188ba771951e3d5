//! Builds record batches from records.

use std::sync::Arc;

use arrow_array::builder::BinaryBuilder;
use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{ArrowError, DataType, Field, Schema, SchemaRef};

#[cfg(feature = "parquet")]
use super::block::ColumnBlock;
use super::block::split_times;
use super::builder::{Builder, data_type};
use crate::geo::{LonLat, wkb};
use crate::record::{
    Column, GeometryChoice, GeometryColumn, Kind, RAW_SUFFIX, Record, Value, columns_with_geometry,
};

/// Texts and lists of a batch, in bytes. Offsets have 32 bits, and a batch is held in memory.
const MAX_BYTES: usize = 64 << 20;

/// Builds batches of records: a column for each column of the record, then the geometry.
pub(crate) struct Batches<T: 'static> {
    schema: SchemaRef,
    columns: Vec<(&'static Column<T>, Builder)>,
    geometry: Option<(GeometryColumn<T>, BinaryBuilder)>,
    len: usize,
    /// Bytes of texts and lists.
    bytes: usize,
}

impl<T: Record> Batches<T> {
    /// Builds the columns with these names, and the keys. `geometry` makes the field of the geometry column.
    pub(crate) fn new(names: &[&str], choice: GeometryChoice, geometry: fn(&str) -> Field) -> Self {
        let (columns, geometry_column) = columns_with_geometry::<T>(names, choice);
        let is_longitude =
            |name: &&str| T::COLUMNS.iter().any(|c| c.name == *name && c.kind == Kind::Longitude);
        let geometry_column =
            geometry_column.filter(|_| !T::GEOMETRY_IS_OPTIONAL || names.iter().any(is_longitude));
        let mut fields = Vec::new();
        for column in &columns {
            fields.push(Field::new(column.name, data_type(column.kind), true));
            if column.kind == Kind::Time {
                fields.push(Field::new(format!("{}{RAW_SUFFIX}", column.name), DataType::Int64, true));
            }
        }
        if geometry_column.is_some() {
            fields.push(geometry(T::GEOMETRY_COLUMN));
        }
        let columns = columns.into_iter().map(|column| (column, Builder::new(column.kind))).collect();
        let geometry = geometry_column.map(|column| (column, BinaryBuilder::new()));
        Self { schema: Arc::new(Schema::new(fields)), columns, geometry, len: 0, bytes: 0 }
    }

    /// Builds arrays for a stream, whose consumers drop them.
    pub(crate) fn for_stream(mut self) -> Self {
        self.columns.iter_mut().for_each(|(column, builder)| *builder = Builder::for_stream(column.kind));
        self
    }

    pub(crate) fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    #[cfg(feature = "parquet")]
    pub(crate) fn has_geometry(&self) -> bool {
        self.geometry.is_some()
    }

    /// Number of records added since the last batch.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Whether the texts and lists added are as large as a batch may be.
    pub(crate) fn is_full(&self) -> bool {
        self.bytes >= MAX_BYTES
    }

    /// Adds a record; returns its point.
    pub(crate) fn push(&mut self, record: &T) -> Option<LonLat> {
        self.len += 1;
        for (column, builder) in &mut self.columns {
            let value = (column.get)(record);
            self.bytes += size(&value);
            builder.push(value);
        }
        let (column, builder) = self.geometry.as_mut()?;
        let point = column.point(record);
        builder.append_option(point.map(wkb::write));
        point
    }

    /// Returns the batch of the records added, with columns in the order of the schema.
    pub(crate) fn take(&mut self) -> Result<RecordBatch, ArrowError> {
        let mut arrays: Vec<ArrayRef> = Vec::with_capacity(self.schema.fields().len());
        for (column, builder) in &mut self.columns {
            add(&mut arrays, column.kind, builder.array());
        }
        if let Some((_, geometry)) = &mut self.geometry {
            arrays.push(Arc::new(geometry.finish()));
        }
        (self.len, self.bytes) = (0, 0);
        RecordBatch::try_new(self.schema(), arrays)
    }

    /// The batch of a block of columns, and its points if it has a geometry.
    #[cfg(feature = "parquet")]
    pub(crate) fn of_block(
        &self,
        block: &ColumnBlock<T>,
    ) -> Result<(RecordBatch, Vec<Option<LonLat>>), ArrowError> {
        let mut arrays: Vec<ArrayRef> = Vec::with_capacity(self.schema.fields().len());
        for (column, _) in &self.columns {
            add(&mut arrays, column.kind, Arc::clone(block.array(column.name)?));
        }
        let mut points = Vec::new();
        if let Some((column, _)) = &self.geometry {
            let halves: Vec<_> =
                column.names().map(|(lon, lat)| (block.degrees(lon), block.degrees(lat))).collect();
            let point = |row: usize, index: usize| {
                let (lon, lat) = halves.get(index)?;
                Some(LonLat { lon: lon(row)?, lat: lat(row)? })
            };
            points = (0..block.len()).map(|row| column.choose(|index| point(row, index))).collect();
            let mut geometry = BinaryBuilder::with_capacity(points.len(), points.len() * wkb::POINT_SIZE);
            for point in &points {
                geometry.append_option(point.map(wkb::write));
            }
            arrays.push(Arc::new(geometry.finish()));
        }
        Ok((RecordBatch::try_new(self.schema(), arrays)?, points))
    }
}

/// Adds the array of a column, in two columns for times.
fn add(arrays: &mut Vec<ArrayRef>, kind: Kind, array: ArrayRef) {
    if kind == Kind::Time { arrays.extend(split_times(&array)) } else { arrays.push(array) }
}

/// The bytes of a text or a list; 0 for other values, which have a fixed size.
fn size(value: &Value<'_>) -> usize {
    match value {
        Value::Text(text) => text.len(),
        Value::Floats(numbers) => numbers.len() * size_of::<f64>(),
        Value::Texts(texts) => texts.iter().map(|text| text.len() + size_of::<i32>()).sum(),
        Value::Polygons(polygons) => {
            let (rings, polygon_ends) = polygons.ends();
            size_of_val(polygons.vertices()) + size_of_val(rings) + size_of_val(polygon_ends)
        }
        _ => 0,
    }
}

/// The field of the geometry in a file. Metadata of the file describe it.
pub(crate) fn geometry_in_file(name: &str) -> Field {
    Field::new(name, DataType::Binary, true)
}

/// The field of the geometry in a stream: with the extension type of GeoArrow, which readers recognise.
pub(crate) fn geometry_in_stream(name: &str) -> Field {
    let metadata = [
        ("ARROW:extension:name", "geoarrow.wkb"),
        ("ARROW:extension:metadata", r#"{"crs":"OGC:CRS84","crs_type":"authority_code"}"#),
    ];
    geometry_in_file(name).with_metadata(metadata.map(|(key, text)| (key.to_owned(), text.to_owned())).into())
}
