//! Checks the columns of record batches without filling records.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::TimestampMillisecondType;
use arrow_array::{Array, ArrayRef, Float64Array, RecordBatch, TimestampMillisecondArray};
use arrow_schema::{DataType, TimeUnit};

use super::block::{ColumnBlock, point};
use super::builder::{Builder, block_type};
use super::cells::Cells;
use super::geo;
use super::rows::Columns;
use crate::record::{
    Column, GeometryReader, Kind, Record, Value, check_float, check_points, is_original, whole,
};

impl<T: Record> Columns<T> {
    /// The columns `wanted` of a batch, with all coordinates. `None` if a row may be refused: reading the
    /// [rows](super::rows::BatchReader) tells which one, and why.
    pub(crate) fn block(&self, batch: &RecordBatch, wanted: &[&'static Column<T>]) -> Option<ColumnBlock<T>> {
        let rows = batch.num_rows();
        let mut block = ColumnBlock::new(wanted, Vec::new(), rows);
        let mut named: Vec<_> = self.named.iter().collect();
        while let Some((_, column)) = named.first().copied() {
            // A time may have two columns in the table.
            let (same, others): (Vec<_>, _) =
                named.into_iter().partition(|(_, other)| other.name == column.name);
            let arrays: Option<Vec<_>> = same.iter().map(|(name, _)| batch.column_by_name(name)).collect();
            block.put(column.name, checked(column, &arrays?)?);
            named = others;
        }
        let Some(reader) = GeometryReader::<T>::new() else { return Some(block) };
        let points = reader.names();
        if let Some((geometry, _)) = &self.position {
            let cells = Cells::new(batch.column_by_name(geometry)?);
            let halves = original_points(&block, &points, &cells, self.has_coordinates)?;
            for (name, half) in points[0].iter().zip(halves) {
                block.put(name, Arc::new(Float64Array::from(half)));
            }
        }
        for [lon, lat] in points {
            let (lon, lat) = (block.degrees(lon), block.degrees(lat));
            check_points((0..rows).map(|row| point(lon(row), lat(row)))).ok()?;
        }
        Some(block)
    }
}

/// Longitudes and latitudes of the original points, from their columns or from the geometry.
fn original_points<T: Record>(
    block: &ColumnBlock<T>,
    names: &[[&str; 2]],
    geometry: &Cells<'_>,
    has_columns: bool,
) -> Option<[Vec<Option<f64>>; 2]> {
    let halves: Vec<_> = names.iter().map(|[lon, lat]| (block.degrees(lon), block.degrees(lat))).collect();
    let of = |index: usize, row| halves.get(index).and_then(|(lon, lat)| point(lon(row), lat(row)));
    let mut points = [Vec::with_capacity(block.len()), Vec::with_capacity(block.len())];
    for row in 0..block.len() {
        let mut halves = [(halves[0].0)(row), (halves[0].1)(row)];
        if let Some(point) = geo::point(geometry, row).ok()?
            && is_original(point, has_columns, whole(of(0, row)), whole(of(1, row)))
        {
            for (half, degrees) in halves.iter_mut().zip([point.lon, point.lat]) {
                check_float(Value::Float(degrees)).ok()?;
                *half = Some(degrees);
            }
        }
        points.iter_mut().zip(halves).for_each(|(points, half)| points.push(half));
    }
    Some(points)
}

/// The checked values of a column. `None` if one may be refused.
fn checked<T: Record>(column: &Column<T>, arrays: &[&ArrayRef]) -> Option<ArrayRef> {
    if let [array] = arrays {
        return unchanged(column, array).or_else(|| converted(column, array));
    }
    // The times outside the range of timestamps are in a second column.
    let has_numbers =
        |array: &&ArrayRef| matches!(array.data_type(), DataType::Timestamp(..) | DataType::Int64);
    if column.kind != Kind::Time || !arrays.iter().all(has_numbers) {
        return None;
    }
    let mut arrays = arrays.iter().map(|array| checked(column, &[array]));
    let first = arrays.next()??;
    arrays.try_fold(first, |times, later| {
        let later = later?;
        if later.null_count() == later.len() {
            return Some(times);
        }
        let [times, later] = [&times, &later].map(AsArray::as_primitive::<TimestampMillisecondType>);
        let merged: TimestampMillisecondArray =
            later.iter().zip(times).map(|(later, time)| later.or(time)).collect();
        Some(Arc::new(merged))
    })
}

/// The array itself, if it has the type of a block and the check changes no value.
fn unchanged<T: Record>(column: &Column<T>, array: &ArrayRef) -> Option<ArrayRef> {
    let array: ArrayRef = match (array.data_type(), column.kind) {
        (DataType::Timestamp(TimeUnit::Millisecond, _), Kind::Time) => {
            let times = array.as_primitive::<TimestampMillisecondType>();
            Arc::new(times.clone().with_timezone_opt(None::<Arc<str>>))
        }
        (other, kind) if *other == block_type(kind) => Arc::clone(array),
        _ => return None,
    };
    let cells = Cells::new(&array);
    for row in 0..array.len() {
        if array.is_valid(row) {
            let value = cells.value(row, column.kind)?;
            if column.checked(value.clone()).ok()? != value {
                return None;
            }
        } else if column.required {
            return None;
        }
    }
    Some(array)
}

/// The values of an array of any type.
fn converted<T: Record>(column: &Column<T>, array: &ArrayRef) -> Option<ArrayRef> {
    let cells = Cells::new(array);
    let mut builder = Builder::new(column.kind);
    for row in 0..array.len() {
        let cell = cells.at(row);
        let value = cell.value(column.kind).and_then(|value| column.checked(value)).ok()?;
        builder.push(&value);
    }
    Some(builder.array())
}
