//! The geometry column of a batch and its points.

use arrow_array::Array;
use arrow_schema::{DataType, Field, Schema};
use serde_json::Value as Json;

use super::cells::{Cell, Cells};
use crate::geo::{LonLat, wkb};
use crate::record::{Kind, MAX_TEXT_LEN, Value};
use crate::text::printable;

/// The column with points.
pub(crate) const GEOMETRY: &str = "geometry";

/// Names of longitude and latitude on WGS 84. In Arrow and Parquet, longitude is always first.
pub(crate) const DEGREES: [&str; 3] = ["OGC:CRS84", "EPSG:4326", "srid:4326"];

const EXTENSION_NAME: &str = "ARROW:extension:name";
const EXTENSION_METADATA: &str = "ARROW:extension:metadata";

/// Finds the geometry column of a stream: the first one with an extension type of GeoArrow, else one named `geometry`.
///
/// Coordinates in another system than degrees are an error, because they would be read as degrees.
pub(crate) fn column(schema: &Schema) -> Result<Option<String>, String> {
    let extension = |field: &Field| field.metadata().get(EXTENSION_NAME).cloned().unwrap_or_default();
    let marked =
        schema.fields().iter().find(|field| matches!(&*extension(field), "geoarrow.wkb" | "geoarrow.point"));
    let field = match marked {
        Some(field) => field,
        None => match schema.field_with_name(GEOMETRY) {
            Ok(field) if may_be_points(field) => field,
            _ => return Ok(None),
        },
    };
    let metadata = field.metadata().get(EXTENSION_METADATA).map(String::as_str).unwrap_or_default();
    if metadata.len() > MAX_TEXT_LEN {
        return Err(format!("the metadata of `{}` is longer than 1 MiB", printable(field.name(), 60)));
    }
    let metadata: Json = serde_json::from_str(metadata).unwrap_or_default();
    // A missing system is an unknown one. The names of other tools for WGS 84 are texts or PROJJSON.
    match &metadata["crs"] {
        Json::String(name) if DEGREES.contains(&name.as_str()) => {}
        Json::Null => {}
        crs if is_wgs84(crs) => {}
        crs => {
            let name = crs["name"].as_str().or(crs.as_str()).unwrap_or("another system");
            return Err(foreign(name));
        }
    }
    Ok(Some(field.name().clone()))
}

/// The error about coordinates in another system.
pub(crate) fn foreign(crs: &str) -> String {
    format!("its coordinates are in `{}`, not in WGS 84: convert it to OGC:CRS84 first", printable(crs, 60))
}

/// Whether the type of a column is one of those that points have.
pub(crate) fn may_be_points(field: &Field) -> bool {
    matches!(
        field.data_type(),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::Struct(_)
    )
}

/// Whether a PROJJSON object is WGS 84. GeoParquet always has longitude first, so both codes mean the same.
pub(crate) fn is_wgs84(crs: &Json) -> bool {
    let code = &crs["id"]["code"];
    let code = code.as_str().map_or_else(|| code.to_string(), str::to_owned);
    matches!(
        (crs["id"]["authority"].as_str(), code.as_str()),
        (Some("OGC"), "CRS84") | (Some("EPSG"), "4326")
    )
}

/// Whether a column is a bounding box column.
pub(crate) fn is_box(field: &Field) -> bool {
    let DataType::Struct(edges) = field.data_type() else { return false };
    ["xmin", "ymin", "xmax", "ymax"].iter().all(|edge| edges.find(edge).is_some())
}

/// The point of a row: WKB, or a pair of doubles.
pub(crate) fn point(cells: &Cells<'_>, row: usize) -> Result<Option<LonLat>, &'static str> {
    if let Some(pair) = cells.pairs() {
        if pair.is_null(row) {
            return Ok(None);
        }
        let half = |name| {
            let halves = pair.column_by_name(name).ok_or("its geometry is not a point")?;
            degrees(halves.as_ref(), row)
        };
        return Ok(half("x")?.zip(half("y")?).map(|(lon, lat)| LonLat { lon, lat }));
    }
    match cells.at(row) {
        Cell::Null => Ok(None),
        Cell::Bytes(bytes) => wkb::read(bytes),
        Cell::List(pair) if pair.len() >= 2 => {
            let half = |index| degrees(pair.as_ref(), index);
            Ok(half(0)?.zip(half(1)?).map(|(lon, lat)| LonLat { lon, lat }))
        }
        _ => Err("its geometry is not a point"),
    }
}

fn degrees(halves: &dyn Array, row: usize) -> Result<Option<f64>, &'static str> {
    match Cell::read(halves, row).value(Kind::Float)? {
        Value::Float(degrees) if !degrees.is_nan() => Ok(Some(degrees)),
        _ => Ok(None),
    }
}
