//! Builds the array of a column.

use std::sync::Arc;

use arrow_array::ArrayRef;
use arrow_array::builder::{
    ArrayBuilder, BooleanBuilder, Float64Builder, Int32Builder, ListBuilder, StringBuilder,
    TimestampMillisecondBuilder,
};
use arrow_schema::{DataType, TimeUnit};

use super::polygons::{PolygonsBuilder, element, polygons_type};
use super::texts::TextsBuilder;
use crate::record::{Kind, Value};

/// The type of a column in a file or a stream.
pub(super) fn data_type(kind: Kind) -> DataType {
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

/// The type of a column in a block: as in a file, but times have no time zone.
pub(super) fn block_type(kind: Kind) -> DataType {
    match kind {
        Kind::Time => DataType::Timestamp(TimeUnit::Millisecond, None),
        kind => data_type(kind),
    }
}

/// The array builder of a column.
pub(super) enum Builder {
    Text(StringBuilder),
    /// Texts of a stream.
    StreamText(TextsBuilder),
    Integer(Int32Builder),
    Float(Float64Builder),
    Bool(BooleanBuilder),
    Time(TimestampMillisecondBuilder),
    Floats(ListBuilder<Float64Builder>),
    Texts(ListBuilder<StringBuilder>),
    Polygons(PolygonsBuilder),
}

impl Builder {
    pub(super) fn new(kind: Kind) -> Self {
        match kind {
            Kind::Text => Self::Text(StringBuilder::new()),
            Kind::Integer => Self::Integer(Int32Builder::new()),
            Kind::Float | Kind::Longitude | Kind::Latitude => Self::Float(Float64Builder::new()),
            Kind::Bool => Self::Bool(BooleanBuilder::new()),
            Kind::Time => Self::Time(TimestampMillisecondBuilder::new()),
            Kind::Floats => {
                Self::Floats(ListBuilder::new(Float64Builder::new()).with_field(element(DataType::Float64)))
            }
            Kind::Texts => {
                Self::Texts(ListBuilder::new(StringBuilder::new()).with_field(element(DataType::Utf8)))
            }
            Kind::Polygons => Self::Polygons(PolygonsBuilder::new()),
        }
    }

    /// As [`Builder::new`], for arrays whose consumers drop them.
    pub(super) fn for_stream(kind: Kind) -> Self {
        match kind {
            Kind::Text => Self::StreamText(TextsBuilder::new()),
            kind => Self::new(kind),
        }
    }

    /// Adds a value; a value of another kind becomes null.
    #[inline]
    pub(super) fn push(&mut self, value: Value<'_>) {
        match (self, value) {
            (Self::Text(builder), Value::Text(text)) => builder.append_value(text),
            (Self::Text(builder), _) => builder.append_null(),
            (Self::StreamText(builder), Value::Text(text)) => builder.append(Some(&text)),
            (Self::StreamText(builder), _) => builder.append(None),
            (Self::Integer(builder), Value::Integer(number)) => builder.append_value(number),
            (Self::Integer(builder), _) => builder.append_null(),
            (Self::Float(builder), Value::Float(number)) => builder.append_value(number),
            (Self::Float(builder), _) => builder.append_null(),
            (Self::Bool(builder), Value::Bool(truth)) => builder.append_value(truth),
            (Self::Bool(builder), _) => builder.append_null(),
            (Self::Time(builder), Value::Time(number)) => builder.append_value(number),
            (Self::Time(builder), _) => builder.append_null(),
            (Self::Floats(builder), Value::Floats(numbers)) => {
                builder.values().append_slice(&numbers);
                builder.append(true);
            }
            (Self::Floats(builder), _) => builder.append(false),
            (Self::Texts(builder), Value::Texts(texts)) => {
                texts.iter().for_each(|text| builder.values().append_value(text));
                builder.append(true);
            }
            (Self::Texts(builder), _) => builder.append(false),
            (Self::Polygons(builder), Value::Polygons(polygons)) => builder.append(Some(&polygons)),
            (Self::Polygons(builder), _) => builder.append(None),
        }
    }

    /// The array of the values added.
    pub(super) fn array(&mut self) -> ArrayRef {
        match self {
            Self::Text(builder) => {
                let (rows, bytes) = (builder.len(), builder.values_slice().len());
                let array = Arc::new(builder.finish());
                // The next array is about as large. Growing it in steps would copy it several times.
                *builder = StringBuilder::with_capacity(rows, bytes + bytes / 8);
                array
            }
            Self::Integer(builder) => Arc::new(builder.finish()),
            Self::Float(builder) => Arc::new(builder.finish()),
            Self::Bool(builder) => Arc::new(builder.finish()),
            Self::Time(builder) => Arc::new(builder.finish()),
            Self::Floats(builder) => Arc::new(builder.finish()),
            Self::Texts(builder) => Arc::new(builder.finish()),
            Self::Polygons(builder) => builder.finish(),
            Self::StreamText(builder) => builder.finish(),
        }
    }
}
