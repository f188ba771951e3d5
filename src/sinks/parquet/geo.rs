//! GeoParquet 1.1 metadata, and statistics of native geometries.

use std::sync::Arc;

use ::parquet::geospatial::accumulator::{
    GeoStatsAccumulator, GeoStatsAccumulatorFactory, init_geo_stats_accumulator_factory,
};
use ::parquet::geospatial::bounding_box::BoundingBox;
use ::parquet::geospatial::statistics::GeospatialStatistics;
use ::parquet::schema::types::ColumnDescPtr;
use arrow_array::{ArrayRef, Float32Array, StructArray};
use arrow_buffer::NullBufferBuilder;
use arrow_schema::{ArrowError, DataType, Field, Fields};
use serde_json::json;

use crate::geo::{LonLat, wkb};

/// The metadata key of GeoParquet.
pub(super) const KEY: &str = "geo";

/// The column with the bounding box of each point.
pub(super) const BBOX: &str = "bbox";

/// The fields of [`BBOX`].
pub(super) const EDGES: [&str; 4] = ["xmin", "ymin", "xmax", "ymax"];

/// Builds the column [`BBOX`].
pub(super) struct Boxes {
    edges: [Vec<f32>; EDGES.len()],
    is_valid: NullBufferBuilder,
}

impl Boxes {
    pub(super) fn new() -> Self {
        Self { edges: Default::default(), is_valid: NullBufferBuilder::new(0) }
    }

    pub(super) fn field() -> Field {
        Field::new(BBOX, DataType::Struct(edges()), true)
    }

    /// Adds the box of a point, or null.
    pub(super) fn push(&mut self, point: Option<LonLat>) {
        let edges = point.map(outward).unwrap_or_default();
        self.edges.iter_mut().zip(edges).for_each(|(edges, edge)| edges.push(edge));
        self.is_valid.append(point.is_some());
    }

    pub(super) fn take(&mut self) -> Result<StructArray, ArrowError> {
        let rows = self.edges[0].len();
        let arrays = self.edges.each_mut().map(|edges| {
            let edges = std::mem::replace(edges, Vec::with_capacity(rows));
            Arc::new(Float32Array::from(edges)) as ArrayRef
        });
        StructArray::try_new(edges(), arrays.to_vec(), self.is_valid.finish())
    }
}

fn edges() -> Fields {
    EDGES.map(|edge| Field::new(edge, DataType::Float32, false)).to_vec().into()
}

/// The bounding box of a point in 32 bits, rounded outwards so that a search by box misses no point.
fn outward(point: LonLat) -> [f32; 4] {
    [below(point.lon), below(point.lat), above(point.lon), above(point.lat)]
}

#[expect(clippy::cast_possible_truncation, reason = "put right below")]
fn below(degrees: f64) -> f32 {
    let nearest = degrees as f32;
    if f64::from(nearest) > degrees { nearest.next_down() } else { nearest }
}

#[expect(clippy::cast_possible_truncation, reason = "put right below")]
fn above(degrees: f64) -> f32 {
    let nearest = degrees as f32;
    if f64::from(nearest) < degrees { nearest.next_up() } else { nearest }
}

/// The bounding box of all points added.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Extent(Option<[f64; 4]>);

impl Extent {
    pub(super) fn add(&mut self, LonLat { lon, lat }: LonLat) {
        let [west, south, east, north] = self.0.unwrap_or([lon, lat, lon, lat]);
        self.0 = Some([west.min(lon), south.min(lat), east.max(lon), north.max(lat)]);
    }

    /// The value of the key `geo` for the column with points. Without `crs`, coordinates are longitude and latitude on WGS84 (OGC:CRS84).
    pub(super) fn metadata(&self, geometry: &str) -> String {
        let edge = |edge| json!([BBOX, edge]);
        let [xmin, ymin, xmax, ymax] = EDGES.map(edge);
        let mut column = json!({
            "encoding": "WKB",
            "geometry_types": ["Point"],
            "covering": {"bbox": {"xmin": xmin, "ymin": ymin, "xmax": xmax, "ymax": ymax}},
        });
        if let Some(extent) = self.0 {
            column["bbox"] = json!(extent);
        }
        json!({"version": "1.1.0", "primary_column": geometry, "columns": {geometry: column}}).to_string()
    }
}

/// Registers statistics of native geometries: the bounding box of each row group.
///
/// The `parquet` crate has its own, with fifteen more dependencies. Registration is global; if the program has
/// registered another implementation, that one is used.
pub(super) fn register_box_statistics() {
    init_geo_stats_accumulator_factory(Arc::new(PointBoxes)).ok();
}

struct PointBoxes;

impl GeoStatsAccumulatorFactory for PointBoxes {
    fn new_accumulator(&self, _: &ColumnDescPtr) -> Box<dyn GeoStatsAccumulator> {
        Box::new(PointBox { extent: Extent::default(), valid: true })
    }
}

struct PointBox {
    extent: Extent,
    /// False after a value that is not a point, so that no box is known.
    valid: bool,
}

impl GeoStatsAccumulator for PointBox {
    fn is_valid(&self) -> bool {
        self.valid
    }

    fn update_wkb(&mut self, bytes: &[u8]) {
        match wkb::read(bytes) {
            Ok(Some(point)) if bytes.len() == wkb::POINT_SIZE => self.extent.add(point),
            _ => self.valid = false,
        }
    }

    fn finish(&mut self) -> Option<Box<GeospatialStatistics>> {
        let extent = std::mem::take(&mut self.extent).0;
        let valid = std::mem::replace(&mut self.valid, true);
        let [west, south, east, north] = extent.filter(|_| valid)?;
        let bbox = BoundingBox::new(west, east, south, north);
        Some(Box::new(GeospatialStatistics::new(Some(bbox), Some(vec![i32::try_from(wkb::POINT).ok()?]))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bounding_box_contains_the_point_and_is_tight() {
        for degrees in [33.1, -33.1, 0.0, -0.0, 1e-300, -1e-300, 179.999_999_999, f64::MAX, 35.0] {
            let (low, high) = (below(degrees), above(degrees));
            assert!(f64::from(low) <= degrees && degrees <= f64::from(high), "{degrees}");
            assert!(low.next_up() >= high, "{degrees}: {low} {high}");
        }
    }

    #[test]
    fn an_empty_table_has_no_box() {
        assert!(!Extent::default().metadata("geometry").contains("\"bbox\":["));
        let mut extent = Extent::default();
        extent.add(LonLat { lon: 33.5, lat: 35.0 });
        extent.add(LonLat { lon: 33.0, lat: 35.5 });
        let metadata = extent.metadata("geometry");
        assert!(metadata.contains("\"bbox\":[33.0,35.0,33.5,35.5]"), "{metadata}");
    }
}
