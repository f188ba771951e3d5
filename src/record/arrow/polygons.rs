//! Builds the arrays of polygons: lists of lists of lists of pairs.

use std::sync::Arc;

use arrow_array::{Array, ArrayRef, Float64Array, ListArray};
use arrow_buffer::{NullBuffer, NullBufferBuilder, OffsetBuffer};
use arrow_schema::{DataType, Field};

use crate::record::Polygons;

/// Levels of lists: polygons, rings, vertices and coordinates.
const LEVELS: usize = 4;

/// The type of a column of polygons.
pub(super) fn polygons_type() -> DataType {
    (0..LEVELS).fold(DataType::Float64, |of, _| DataType::List(Arc::new(element(of))))
}

/// The field of list elements, with the name that the Parquet specification requires; Arrow's name is `item`.
pub(super) fn element(of: DataType) -> Field {
    Field::new("element", of, true)
}

/// Builds an array of polygons. It stores offsets instead of nested builders, which is several times as fast.
pub(super) struct PolygonsBuilder {
    is_valid: NullBufferBuilder,
    /// Offsets of rows into polygons, of polygons into rings, of rings into vertices.
    polygons: Vec<i32>,
    rings: Vec<i32>,
    vertices: Vec<i32>,
    coordinates: Vec<f64>,
}

impl PolygonsBuilder {
    pub(super) fn new() -> Self {
        Self {
            is_valid: NullBufferBuilder::new(0),
            polygons: vec![0],
            rings: vec![0],
            vertices: vec![0],
            coordinates: Vec::new(),
        }
    }

    /// Adds a row. A batch of rows has far fewer than 2^31 coordinates.
    pub(super) fn append(&mut self, row: Option<&Polygons>) {
        self.is_valid.append(row.is_some());
        if let Some(row) = row {
            let (ring_ends, polygon_ends) = row.ends();
            let vertices = last(&self.vertices);
            self.vertices.extend(ring_ends.iter().map(|end| vertices + offset(*end as usize)));
            let rings = last(&self.rings);
            self.rings.extend(polygon_ends.iter().map(|end| rings + offset(*end as usize)));
            self.coordinates.extend_from_slice(row.vertices().as_flattened());
        }
        self.polygons.push(offset(self.rings.len() - 1));
    }

    /// Returns the array of the rows added, and starts a new one.
    pub(super) fn finish(&mut self) -> ArrayRef {
        let Self { mut is_valid, polygons, rings, vertices, coordinates } =
            std::mem::replace(self, Self::new());
        let pairs = (0..=coordinates.len() / 2).map(|index| offset(2 * index)).collect();
        let coordinates: ArrayRef = Arc::new(Float64Array::from(coordinates));
        let inner = [pairs, vertices, rings]
            .into_iter()
            .fold(coordinates, |values, offsets| Arc::new(list(offsets, values, None)) as ArrayRef);
        Arc::new(list(polygons, inner, is_valid.finish()))
    }
}

fn list(offsets: Vec<i32>, values: ArrayRef, nulls: Option<NullBuffer>) -> ListArray {
    let field = Arc::new(element(values.data_type().clone()));
    ListArray::new(field, OffsetBuffer::new(offsets.into()), values, nulls)
}

fn last(offsets: &[i32]) -> i32 {
    offsets.last().copied().unwrap_or_default()
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    reason = "bounded by the size of a batch"
)]
fn offset(index: usize) -> i32 {
    index as i32
}
