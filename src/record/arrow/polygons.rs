//! Arrays of polygons: lists of lists of lists of pairs.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Float64Type;
use arrow_array::{Array, ArrayRef, Float64Array, ListArray};
use arrow_buffer::{NullBuffer, NullBufferBuilder, OffsetBuffer};
use arrow_schema::{DataType, Field};

use crate::record::{MAX_VERTICES, Polygons};

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

/// Reads an array of the type that streetflow writes, without an array for each list of each row.
pub(super) struct PolygonsReader<'a> {
    rows: &'a ListArray,
    /// Offsets of polygons into rings, and of rings into vertices.
    polygons: &'a [i32],
    rings: &'a [i32],
    vertices: &'a [[f64; 2]],
}

impl<'a> PolygonsReader<'a> {
    /// `None` if the array has another type, a null below the rows, or a vertex without two coordinates.
    pub(super) fn new(array: &'a dyn Array) -> Option<Self> {
        let rows = array.as_list_opt::<i32>()?;
        let polygons = rows.values().as_list_opt::<i32>()?;
        let rings = polygons.values().as_list_opt::<i32>()?;
        let vertices = rings.values().as_list_opt::<i32>()?;
        let coordinates = vertices.values().as_primitive_opt::<Float64Type>()?;
        let nulls =
            [polygons.null_count(), rings.null_count(), vertices.null_count(), coordinates.null_count()];
        let pairs = vertices.value_offsets();
        if nulls != [0; 4] || !pairs.windows(2).all(|ends| ends[1] - ends[0] == 2) {
            return None;
        }
        let (begin, end) = (index(*pairs.first()?)?, index(*pairs.last()?)?);
        let (vertices, _) = coordinates.values().get(begin..end)?.as_chunks();
        Some(Self { rows, polygons: polygons.value_offsets(), rings: rings.value_offsets(), vertices })
    }

    /// The polygons of a row; `None` if it is null or has too many vertices or rings.
    pub(super) fn read(&self, row: usize) -> Option<Polygons> {
        if self.rows.is_null(row) {
            return None;
        }
        let polygon_ends = range(self.rows.value_offsets(), row, row + 1)?;
        let (first, last) = (index(polygon_ends[0])?, index(polygon_ends[1])?);
        let polygons = range(self.polygons, first, last)?;
        let (first, last) = (index(polygons[0])?, index(*polygons.last()?)?);
        let rings = range(self.rings, first, last)?;
        let vertices = self.vertices.get(index(rings[0])?..index(*rings.last()?)?)?;
        if vertices.len() > MAX_VERTICES || rings.len() > MAX_VERTICES || polygons.len() > MAX_VERTICES {
            return None;
        }
        let ends = |offsets: &[i32]| {
            offsets[1..].iter().map(|end| u32::try_from(end - offsets[0]).ok()).collect::<Option<_>>()
        };
        Some(Polygons::from_ends(vertices.to_vec(), ends(rings)?, ends(polygons)?))
    }
}

/// The offsets of lists from the first to the last one, and the end of the last one: at least one offset.
fn range(offsets: &[i32], first: usize, last: usize) -> Option<&[i32]> {
    offsets.get(first..=last)
}

fn index(offset: i32) -> Option<usize> {
    usize::try_from(offset).ok()
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
pub(super) fn offset(index: usize) -> i32 {
    index as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shapes() -> Vec<Option<Polygons>> {
        let square = |from: f64| vec![[from, from], [from + 0.5, from], [from, from + 0.5]];
        vec![
            Some(Polygons::from(vec![vec![square(0.0), square(0.125)], vec![square(0.25)]])),
            None,
            Some(Polygons::default()),
            Some(Polygons::from(vec![vec![], vec![square(0.5), vec![]]])),
        ]
    }

    #[test]
    fn rows_of_a_slice_are_read_as_they_were_built() {
        let mut builder = PolygonsBuilder::new();
        for shape in shapes() {
            builder.append(shape.as_ref());
        }
        let array = builder.finish();
        for begin in 0..shapes().len() {
            let slice = array.slice(begin, shapes().len() - begin);
            let reader = PolygonsReader::new(slice.as_ref()).expect("our own type");
            let read: Vec<_> = (0..slice.len()).map(|row| reader.read(row)).collect();
            assert_eq!(read, shapes()[begin..]);
        }
    }

    #[test]
    fn a_vertex_with_three_coordinates_and_a_null_are_left_to_the_other_reader() {
        let coordinates = |numbers: Vec<Option<f64>>| Arc::new(Float64Array::from(numbers)) as ArrayRef;
        for numbers in [vec![Some(0.0), Some(0.5), Some(1.0)], vec![Some(0.0), None]] {
            let ends = [numbers.len(), 1, 1, 1].map(|end| vec![0, offset(end)]);
            let array = ends.into_iter().fold(coordinates(numbers), |values, offsets| {
                Arc::new(list(offsets, values, None)) as ArrayRef
            });
            assert!(PolygonsReader::new(array.as_ref()).is_none());
        }
        assert!(PolygonsReader::new(coordinates(vec![Some(1.0)]).as_ref()).is_none());
    }
}
