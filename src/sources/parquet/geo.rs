//! The geometry column of a Parquet file.

use std::fs::File;

use ::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use ::parquet::basic::LogicalType;
use serde_json::Value as Json;

use crate::record::MAX_TEXT_LEN;
use crate::record::arrow::geo::{DEGREES, GEOMETRY, foreign, is_wgs84, may_be_points};

/// Finds the geometry column: the primary column of GeoParquet, else a column named `geometry`.
///
/// Coordinates in another system than degrees are an error, because they would be read as degrees.
pub(super) fn column(rows: &ParquetRecordBatchReaderBuilder<File>) -> Result<Option<String>, String> {
    let notes = rows.metadata().file_metadata().key_value_metadata();
    let geo =
        notes.into_iter().flatten().find(|note| note.key == "geo").and_then(|note| note.value.as_deref());
    if geo.is_some_and(|text| text.len() > MAX_TEXT_LEN) {
        return Err("its metadata `geo` is longer than 1 MiB".to_owned());
    }
    let geo: Json = geo.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    let name = geo["primary_column"].as_str().unwrap_or(GEOMETRY);
    match rows.schema().field_with_name(name) {
        Ok(field) if may_be_points(field) => {}
        _ => return Ok(None),
    }
    // A missing `crs` means WGS 84, and so does `null`, the unknown system.
    let crs = &geo["columns"][name]["crs"];
    let other = if !crs.is_null() && !is_wgs84(crs) {
        Some(crs["name"].as_str().unwrap_or("another system").to_owned())
    } else {
        native_crs(rows, name).filter(|crs| !DEGREES.contains(&crs.as_str()))
    };
    other.map_or_else(|| Ok(Some(name.to_owned())), |crs| Err(foreign(&crs)))
}

/// The coordinate system of Parquet's logical type.
fn native_crs(rows: &ParquetRecordBatchReaderBuilder<File>, name: &str) -> Option<String> {
    let leaf = rows.parquet_schema().columns().iter().find(|leaf| leaf.path().parts() == [name])?;
    match leaf.logical_type_ref()? {
        LogicalType::Geometry(geometry) => geometry.crs.clone(),
        LogicalType::Geography(geography) => geography.crs.clone(),
        _ => None,
    }
}
