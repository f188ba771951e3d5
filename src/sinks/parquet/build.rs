//! Builds record batches from records.

use std::sync::Arc;

use arrow_array::builder::{
    BinaryBuilder, BooleanBuilder, Float32Builder, Float64Builder, Int32Builder, Int64Builder, ListBuilder,
    StringBuilder, StructBuilder, TimestampMillisecondBuilder,
};
use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{ArrowError, DataType, Field, Fields, Schema, SchemaRef, TimeUnit};

use super::geo::{BBOX, EDGES, outward};
use super::polygons::{PolygonsBuilder, element, polygons_type};
use crate::geo::{LonLat, wkb};
use crate::record::{
    Column, GeometryColumn, Kind, RAW_SUFFIX, Record, TIMESTAMP_RANGE, Value, columns_with_geometry,
};
use crate::sinks::Layout;

/// Builders for the columns of a batch.
pub(super) struct Batch<T: 'static> {
    schema: SchemaRef,
    columns: Vec<(&'static Column<T>, Builder)>,
    geometry_builders: Option<(GeometryColumn<T>, BinaryBuilder, StructBuilder)>,
}

impl<T: Record> Batch<T> {
    pub(super) fn new(layout: &Layout) -> Self {
        let names = layout.columns::<T>();
        let (columns, geometry_column) = columns_with_geometry::<T>(&names, layout.geometry);
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
        let geometry_builders = geometry_column.map(|geometry_column| {
            let edges: Fields = EDGES.map(|edge| Field::new(edge, DataType::Float32, false)).to_vec().into();
            fields.push(Field::new(T::GEOMETRY_COLUMN, DataType::Binary, true));
            fields.push(Field::new(BBOX, DataType::Struct(edges.clone()), true));
            (geometry_column, BinaryBuilder::new(), StructBuilder::from_fields(edges, 0))
        });
        let columns = columns.into_iter().map(|column| (column, Builder::new(column.kind))).collect();
        Self { schema: Arc::new(Schema::new(fields)), columns, geometry_builders }
    }

    pub(super) fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    pub(super) fn has_geometry(&self) -> bool {
        self.geometry_builders.is_some()
    }

    /// Adds a record; returns its point.
    pub(super) fn push(&mut self, record: &T) -> Option<LonLat> {
        for (column, builder) in &mut self.columns {
            builder.push(&(column.get)(record));
        }
        let (geometry_column, geometry, boxes) = self.geometry_builders.as_mut()?;
        let point = geometry_column.point(record);
        geometry.append_option(point.map(wkb::write));
        let edges = point.map(outward).unwrap_or_default();
        for (index, edge) in edges.into_iter().enumerate() {
            if let Some(builder) = boxes.field_builder::<Float32Builder>(index) {
                builder.append_value(edge);
            }
        }
        boxes.append(point.is_some());
        point
    }

    /// Returns the batch of the records added, with columns in the order of the schema.
    pub(super) fn take(&mut self) -> Result<RecordBatch, ArrowError> {
        let mut arrays = Vec::with_capacity(self.schema.fields().len());
        for (_, builder) in &mut self.columns {
            builder.finish(&mut arrays);
        }
        if let Some((_, geometry, boxes)) = &mut self.geometry_builders {
            arrays.push(Arc::new(geometry.finish()));
            arrays.push(Arc::new(boxes.finish()));
        }
        RecordBatch::try_new(self.schema(), arrays)
    }
}

fn data_type(kind: Kind) -> DataType {
    let list = |of| DataType::List(Arc::new(element(of)));
    match kind {
        Kind::Text => DataType::Utf8,
        Kind::Integer => DataType::Int32,
        Kind::Float | Kind::Longitude | Kind::Latitude => DataType::Float64,
        Kind::Bool => DataType::Boolean,
        Kind::Time => DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())),
        Kind::Floats => list(DataType::Float64),
        Kind::Texts => list(DataType::Utf8),
        Kind::Polygons => polygons_type(),
    }
}

/// The array builder of a column.
enum Builder {
    Text(StringBuilder),
    Integer(Int32Builder),
    Float(Float64Builder),
    Bool(BooleanBuilder),
    /// Timestamps, and in a second column the values outside their range.
    Time(TimestampMillisecondBuilder, Int64Builder),
    Floats(ListBuilder<Float64Builder>),
    Texts(ListBuilder<StringBuilder>),
    Polygons(PolygonsBuilder),
}

impl Builder {
    fn new(kind: Kind) -> Self {
        match kind {
            Kind::Text => Self::Text(StringBuilder::new()),
            Kind::Integer => Self::Integer(Int32Builder::new()),
            Kind::Float | Kind::Longitude | Kind::Latitude => Self::Float(Float64Builder::new()),
            Kind::Bool => Self::Bool(BooleanBuilder::new()),
            Kind::Time => {
                let timestamps = TimestampMillisecondBuilder::new().with_timezone("UTC");
                Self::Time(timestamps, Int64Builder::new())
            }
            Kind::Floats => {
                Self::Floats(ListBuilder::new(Float64Builder::new()).with_field(element(DataType::Float64)))
            }
            Kind::Texts => {
                Self::Texts(ListBuilder::new(StringBuilder::new()).with_field(element(DataType::Utf8)))
            }
            Kind::Polygons => Self::Polygons(PolygonsBuilder::new()),
        }
    }

    /// Adds a value; a value of another kind becomes null.
    fn push(&mut self, value: &Value<'_>) {
        match (self, value) {
            (Self::Text(builder), Value::Text(text)) => builder.append_value(text),
            (Self::Text(builder), _) => builder.append_null(),
            (Self::Integer(builder), Value::Integer(number)) => builder.append_value(*number),
            (Self::Integer(builder), _) => builder.append_null(),
            (Self::Float(builder), Value::Float(number)) => builder.append_value(*number),
            (Self::Float(builder), _) => builder.append_null(),
            (Self::Bool(builder), Value::Bool(truth)) => builder.append_value(*truth),
            (Self::Bool(builder), _) => builder.append_null(),
            (Self::Time(timestamps, raw), value) => {
                let number = if let Value::Time(number) = value { Some(*number) } else { None };
                let fits = number.is_some_and(|number| TIMESTAMP_RANGE.contains(&number));
                timestamps.append_option(number.filter(|_| fits));
                raw.append_option(number.filter(|_| !fits));
            }
            (Self::Floats(builder), Value::Floats(numbers)) => {
                builder.values().append_slice(numbers);
                builder.append(true);
            }
            (Self::Floats(builder), _) => builder.append(false),
            (Self::Texts(builder), Value::Texts(texts)) => {
                texts.iter().for_each(|text| builder.values().append_value(text));
                builder.append(true);
            }
            (Self::Texts(builder), _) => builder.append(false),
            (Self::Polygons(builder), Value::Polygons(polygons)) => builder.append(Some(polygons)),
            (Self::Polygons(builder), _) => builder.append(None),
        }
    }

    /// Appends the arrays of the values added, and starts new ones.
    fn finish(&mut self, arrays: &mut Vec<ArrayRef>) {
        let array: ArrayRef = match self {
            Self::Text(builder) => Arc::new(builder.finish()),
            Self::Integer(builder) => Arc::new(builder.finish()),
            Self::Float(builder) => Arc::new(builder.finish()),
            Self::Bool(builder) => Arc::new(builder.finish()),
            Self::Floats(builder) => Arc::new(builder.finish()),
            Self::Texts(builder) => Arc::new(builder.finish()),
            Self::Polygons(builder) => builder.finish(),
            Self::Time(timestamps, raw) => {
                arrays.push(Arc::new(timestamps.finish()));
                Arc::new(raw.finish())
            }
        };
        arrays.push(array);
    }
}
