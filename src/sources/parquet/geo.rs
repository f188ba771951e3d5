//! Which column of a Parquet file is the geometry, and the points in it.

use std::fs::File;

use ::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use arrow_array::Array;
use arrow_array::cast::AsArray;
use arrow_schema::DataType;
use serde_json::Value as Json;

use super::cells::Cell;
use crate::geo::{LonLat, wkb};
use crate::record::{Kind, Value};

/// The column of points: the primary one of GeoParquet, else one that is called `geometry`.
///
/// Coordinates of another system than degrees are an error: they would pass for places in the Gulf of Guinea.
pub(super) fn column(rows: &ParquetRecordBatchReaderBuilder<File>) -> Result<Option<String>, String> {
    let notes = rows.metadata().file_metadata().key_value_metadata();
    let geo =
        notes.into_iter().flatten().find(|note| note.key == "geo").and_then(|note| note.value.as_deref());
    let geo: Json = geo.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    let name = geo["primary_column"].as_str().unwrap_or("geometry");
    let Ok(field) = rows.schema().field_with_name(name) else { return Ok(None) };
    let may_be_points = matches!(
        field.data_type(),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::Struct(_)
    );
    if !may_be_points {
        return Ok(None);
    }
    let crs = &geo["columns"][name]["crs"];
    if !crs.is_null() && !is_degrees(crs) {
        let named = crs["name"].as_str().unwrap_or("another system").chars().take(60).collect::<String>();
        return Err(format!(
            "its coordinates are in `{named}`, not in degrees: convert it to OGC:CRS84 first"
        ));
    }
    Ok(Some(name.to_owned()))
}

/// GeoParquet always has longitude first, so both codes mean the same.
fn is_degrees(crs: &Json) -> bool {
    let code = &crs["id"]["code"];
    let code = code.as_str().map_or_else(|| code.to_string(), str::to_owned);
    matches!(
        (crs["id"]["authority"].as_str(), code.as_str()),
        (Some("OGC"), "CRS84") | (Some("EPSG"), "4326")
    )
}

/// The point of a row: well-known binary, or a pair of doubles.
pub(super) fn point(array: &dyn Array, row: usize) -> Result<Option<LonLat>, &'static str> {
    if let DataType::Struct(_) = array.data_type() {
        let pair = array.as_struct();
        if pair.is_null(row) {
            return Ok(None);
        }
        let half = |name| -> Result<Option<f64>, &'static str> {
            let halves = pair.column_by_name(name).ok_or("its geometry is not a point")?;
            match Cell::of(halves.as_ref(), row).value(Kind::Float)? {
                Value::Float(degrees) if !degrees.is_nan() => Ok(Some(degrees)),
                _ => Ok(None),
            }
        };
        return Ok(half("x")?.zip(half("y")?).map(|(lon, lat)| LonLat { lon, lat }));
    }
    match Cell::of(array, row) {
        Cell::Null => Ok(None),
        Cell::Bytes(bytes) => wkb::read(bytes),
        _ => Err("its geometry is not a point"),
    }
}
