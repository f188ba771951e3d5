//! The geometry column of a Parquet file and its points.

use std::fs::File;

use ::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use ::parquet::basic::LogicalType;
use arrow_array::Array;
use arrow_schema::DataType;
use arrow_schema::Field;
use serde_json::Value as Json;

use super::super::messages;
use super::cells::{Cell, Cells};
use crate::geo::{LonLat, wkb};
use crate::record::{Kind, MAX_TEXT_LEN, Value};

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
    let name = geo["primary_column"].as_str().unwrap_or("geometry");
    let Ok(field) = rows.schema().field_with_name(name) else { return Ok(None) };
    let may_be_points = matches!(
        field.data_type(),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::Struct(_)
    );
    if !may_be_points {
        return Ok(None);
    }
    // A missing `crs` means WGS 84, and so does `null`, the unknown system.
    let crs = &geo["columns"][name]["crs"];
    let foreign = if !crs.is_null() && !is_wgs84(crs) {
        Some(crs["name"].as_str().unwrap_or("another system").to_owned())
    } else {
        let degrees = ["OGC:CRS84", "EPSG:4326", "srid:4326"];
        native_crs(rows, name).filter(|crs| !degrees.contains(&crs.as_str()))
    };
    match foreign {
        None => Ok(Some(name.to_owned())),
        Some(crs) => Err(format!(
            "its coordinates are in `{}`, not in WGS 84: convert it to OGC:CRS84 first",
            messages::printable(&crs, 60)
        )),
    }
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

/// Whether a PROJJSON object is WGS 84. GeoParquet always has longitude first, so both codes mean the same.
fn is_wgs84(crs: &Json) -> bool {
    let code = &crs["id"]["code"];
    let code = code.as_str().map_or_else(|| code.to_string(), str::to_owned);
    matches!(
        (crs["id"]["authority"].as_str(), code.as_str()),
        (Some("OGC"), "CRS84") | (Some("EPSG"), "4326")
    )
}

/// Whether a column is a bounding box column.
pub(super) fn is_box(field: &Field) -> bool {
    let DataType::Struct(edges) = field.data_type() else { return false };
    ["xmin", "ymin", "xmax", "ymax"].iter().all(|edge| edges.find(edge).is_some())
}

/// The point of a row: WKB, or a pair of doubles.
pub(super) fn point(cells: &Cells<'_>, row: usize) -> Result<Option<LonLat>, &'static str> {
    if let Some(pair) = cells.pairs() {
        if pair.is_null(row) {
            return Ok(None);
        }
        let half = |name| -> Result<Option<f64>, &'static str> {
            let halves = pair.column_by_name(name).ok_or("its geometry is not a point")?;
            match Cell::read(halves.as_ref(), row).value(Kind::Float)? {
                Value::Float(degrees) if !degrees.is_nan() => Ok(Some(degrees)),
                _ => Ok(None),
            }
        };
        return Ok(half("x")?.zip(half("y")?).map(|(lon, lat)| LonLat { lon, lat }));
    }
    match cells.at(row) {
        Cell::Null => Ok(None),
        Cell::Bytes(bytes) => wkb::read(bytes),
        _ => Err("its geometry is not a point"),
    }
}
