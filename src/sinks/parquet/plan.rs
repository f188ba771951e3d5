//! The layout of a file: schema, encodings, row groups and metadata.

use std::sync::Arc;

use ::parquet::arrow::ArrowSchemaConverter;
use ::parquet::basic::{Compression as Codec, Encoding, LogicalType, ZstdLevel};
use ::parquet::errors::Result;
use ::parquet::file::metadata::KeyValue;
use ::parquet::file::properties::{EnabledStatistics, WriterProperties};
use ::parquet::schema::types::{ColumnPath, SchemaDescriptor, Type};
use arrow_schema::Schema;

use super::geo;
use crate::record::{Kind, Record};
use crate::sinks::{Compression, Layout};

/// Rows per row group: the unit that a reader thread processes and a search by box skips. Engines recommend 65,536 to
/// 122,880; the smallest value needs the least memory for writing.
const GROUP_ROWS: usize = 65_536;

/// Maximum encoded bytes of a row group, which is held in memory until it is complete.
const GROUP_BYTES: usize = 256 << 20;

/// Maximum rows of a page, so that a search by box reads little of a row group.
const PAGE_ROWS: usize = 8192;

/// Maximum bytes of a page. Small pages are compressed in the cache, which saves a quarter of the time and makes the
/// file 0.2 % larger.
const PAGE_BYTES: usize = 128 << 10;

/// The Parquet schema. A native geometry is a binary column with a logical type.
pub(super) fn parquet_schema<T: Record>(schema: &Schema, native_geometry: bool) -> Result<SchemaDescriptor> {
    let plain = ArrowSchemaConverter::new().convert(schema)?;
    if !native_geometry || schema.column_with_name(T::GEOMETRY_COLUMN).is_none() {
        return Ok(plain);
    }
    geo::register_box_statistics();
    let native = |field: &Arc<Type>| {
        if field.name() != T::GEOMETRY_COLUMN {
            return Ok(Arc::clone(field));
        }
        Type::primitive_type_builder(field.name(), field.get_physical_type())
            .with_repetition(field.get_basic_info().repetition())
            // The default, set explicitly because DuckDB 2.0 detects no system otherwise.
            .with_logical_type(Some(LogicalType::geometry(Some("OGC:CRS84".to_owned()))))
            .build()
            .map(Arc::new)
    };
    let root = plain.root_schema();
    let fields = root.get_fields().iter().map(native).collect::<Result<_>>()?;
    let root = Type::group_type_builder(root.name()).with_fields(fields).build()?;
    Ok(SchemaDescriptor::new(Arc::new(root)))
}

/// Key-value metadata that is known at the start of the file.
pub(super) fn notes(has_geometry: bool, layout: &Layout) -> Vec<(String, String)> {
    let mut notes = vec![("streetflow:version".to_owned(), env!("CARGO_PKG_VERSION").to_owned())];
    if has_geometry {
        notes.push(("streetflow:geometry".to_owned(), layout.geometry.name().to_owned()));
    }
    notes.extend(layout.notes.iter().map(|(name, text)| (format!("streetflow:{name}"), text.clone())));
    notes
}

pub(super) fn properties<T: Record>(
    schema: &SchemaDescriptor,
    layout: &Layout,
    notes: &[(String, String)],
) -> Result<WriterProperties> {
    let notes = notes.iter().map(|(key, text)| KeyValue::new(key.clone(), text.clone())).collect();
    let mut properties = WriterProperties::builder()
        .set_max_row_group_row_count(Some(GROUP_ROWS))
        .set_max_row_group_bytes(Some(GROUP_BYTES))
        .set_data_page_row_count_limit(PAGE_ROWS)
        .set_data_page_size_limit(PAGE_BYTES)
        // The row limit of pages is only checked between such batches.
        .set_write_batch_size(1024)
        .set_statistics_enabled(EnabledStatistics::Page)
        .set_compression(codec(layout.compression)?)
        .set_key_value_metadata(Some(notes));
    for leaf in schema.columns() {
        let path = leaf.path();
        // `bbox.xmin` must be a path of two parts.
        let column =
            T::COLUMNS.iter().find(|column| path.parts().first().is_some_and(|part| part == column.name));
        let path = ColumnPath::new(path.parts().to_vec());
        if column.is_some_and(|column| column.kind == Kind::Polygons) {
            // No search uses the smallest coordinate of all vertices.
            properties = properties.set_column_statistics_enabled(path.clone(), EnabledStatistics::None);
        }
        let (dictionary, encoding) = encoding(column.map(|column| (column.kind, column.repeats)));
        properties = properties.set_column_dictionary_enabled(path.clone(), dictionary);
        if let Some(encoding) = encoding {
            properties = properties.set_column_encoding(path, encoding);
        }
    }
    Ok(properties.build())
}

/// Dictionary for repeated values, delta for times, else plain. All readers support these. The geometry and its
/// bounding box are no columns of the record.
fn encoding(column: Option<(Kind, bool)>) -> (bool, Option<Encoding>) {
    match column {
        Some((Kind::Time, _)) => (false, Some(Encoding::DELTA_BINARY_PACKED)),
        // The library packs booleans itself.
        Some((Kind::Bool, _)) => (false, None),
        Some((_, repeats)) => (repeats, None),
        None => (false, None),
    }
}

fn codec(compression: Compression) -> Result<Codec> {
    Ok(match compression {
        Compression::Zstd(level) => Codec::ZSTD(ZstdLevel::try_new(i32::from(level))?),
        Compression::Snappy => Codec::SNAPPY,
        Compression::None => Codec::UNCOMPRESSED,
    })
}
