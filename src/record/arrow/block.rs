//! Rows as columns, without records.

use std::io;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, TimestampMillisecondType};
use arrow_array::{Array, ArrayRef, Int64Array, TimestampMillisecondArray, new_null_array};
use arrow_schema::DataType;

use super::builder::{Builder, block_type};
use super::cells::Cells;
use crate::geo::LonLat;
use crate::record::{Column, Kind, Record, TIMESTAMP_RANGE, Value, select};

/// Rows of a table as columns: an array for each column of a record type that was asked for, and for all coordinates.
///
/// The values were checked like those of records, and they are the ones that records return. Times are timestamps of any
/// range, without a time zone.
pub struct ColumnBlock<T: 'static> {
    columns: Vec<(&'static Column<T>, ArrayRef)>,
    len: usize,
}

impl<T: Record> ColumnBlock<T> {
    /// The columns of a block for an output with the columns `names` and the keys. `None` if some value does not follow
    /// from its own column alone.
    pub(crate) fn columns(names: &[&str]) -> Option<Vec<&'static Column<T>>> {
        let mut columns = select::<T>(names);
        let is_coordinate = |column: &&Column<T>| matches!(column.kind, Kind::Longitude | Kind::Latitude);
        for column in T::COLUMNS.iter().filter(is_coordinate) {
            if !columns.iter().any(|chosen| chosen.name == column.name) {
                columns.push(column);
            }
        }
        let is_independent =
            T::HAS_INDEPENDENT_COLUMNS && columns.iter().all(|column| column.check.is_some());
        is_independent.then_some(columns)
    }

    /// Makes a block. A column without an array has no values.
    pub(super) fn new(columns: &[&'static Column<T>], mut arrays: Vec<Option<ArrayRef>>, len: usize) -> Self {
        arrays.resize(columns.len(), None);
        let columns = columns.iter().zip(arrays).map(|(column, array)| {
            (*column, array.unwrap_or_else(|| new_null_array(&block_type(column.kind), len)))
        });
        Self { columns: columns.collect(), len }
    }

    /// Replaces the array of a column, if the block has it.
    pub(super) fn put(&mut self, name: &str, array: ArrayRef) {
        if let Some((_, place)) = self.columns.iter_mut().find(|(column, _)| column.name == name) {
            *place = array;
        }
    }

    /// Number of rows.
    #[expect(clippy::len_without_is_empty, reason = "no block is empty")]
    pub fn len(&self) -> usize {
        self.len
    }

    /// The array of a column. A column that was not asked for is an error.
    pub(crate) fn array(&self, name: &str) -> io::Result<&ArrayRef> {
        self.find(name).map(|(_, array)| array)
    }

    /// The values of a column. A column that was not asked for is an error.
    pub(crate) fn values(&self, name: &str) -> io::Result<ColumnValues<'_>> {
        self.find(name).map(|(column, array)| ColumnValues { cells: Cells::new(array), kind: column.kind })
    }

    fn find(&self, name: &str) -> io::Result<&(&'static Column<T>, ArrayRef)> {
        let found = self.columns.iter().find(|(column, _)| column.name == name);
        found.ok_or_else(|| io::Error::other(format!("the block has no column `{name}`")))
    }

    /// The numbers of a column of coordinates.
    pub(crate) fn degrees(&self, name: &str) -> impl Fn(usize) -> Option<f64> + '_ {
        let array = self.array(name).ok().and_then(|array| array.as_primitive_opt::<Float64Type>());
        move |row| array.filter(|array| array.is_valid(row)).map(|array| array.value(row))
    }
}

/// The values of a column of a block.
pub(crate) struct ColumnValues<'a> {
    cells: Cells<'a>,
    kind: Kind,
}

impl<'a> ColumnValues<'a> {
    #[inline]
    pub(crate) fn get(&self, row: usize) -> Value<'a> {
        let list = || self.cells.list(row, self.kind)?.ok();
        self.cells.value(row, self.kind).or_else(list).unwrap_or(Value::Null)
    }
}

/// The arrays of a column of times in a file: timestamps, and the numbers outside their range.
pub(super) fn split_times(times: &ArrayRef) -> [ArrayRef; 2] {
    let times = times.as_primitive::<TimestampMillisecondType>();
    let fits = |time: &i64| TIMESTAMP_RANGE.contains(time);
    if times.iter().flatten().all(|time| fits(&time)) {
        let none = new_null_array(&DataType::Int64, times.len());
        return [Arc::new(times.clone().with_timezone("UTC")), none];
    }
    let timestamps: TimestampMillisecondArray = times.iter().map(|time| time.filter(fits)).collect();
    let raw: Int64Array = times.iter().map(|time| time.filter(|time| !fits(time))).collect();
    [Arc::new(timestamps.with_timezone("UTC")), Arc::new(raw)]
}

/// Builds blocks from values that were checked.
pub(crate) struct BlockBuilder<T: 'static> {
    columns: Vec<&'static Column<T>>,
    /// The builders of the columns that the table has.
    builders: Vec<Option<Builder>>,
    len: usize,
}

impl<T: Record> BlockBuilder<T> {
    /// Builds `columns`; those that the table does not have remain without values.
    pub(crate) fn new(columns: Vec<&'static Column<T>>, has: impl Fn(&Column<T>) -> bool) -> Self {
        let builders = columns.iter().map(|column| has(column).then(|| Builder::new(column.kind)));
        Self { builders: builders.collect(), columns, len: 0 }
    }

    /// The index of a column, for [`push`](Self::push).
    pub(crate) fn index(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column.name == name)
    }

    /// Adds the value of a column to the row. Each column that the table has gets one value per row.
    #[inline]
    pub(crate) fn push(&mut self, index: usize, value: &Value<'_>) {
        if let Some(builder) = &mut self.builders[index] {
            builder.push(value);
        }
    }

    /// Adds a row of which all values were added.
    pub(crate) fn end_row(&mut self) {
        self.len += 1;
    }

    /// Adds the values of a record as a row.
    pub(crate) fn push_record(&mut self, record: &T) {
        for (column, builder) in self.columns.iter().zip(&mut self.builders) {
            if let Some(builder) = builder {
                builder.push(&(column.get)(record));
            }
        }
        self.len += 1;
    }

    /// Number of rows since the last block.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The block of the rows added.
    pub(crate) fn take(&mut self) -> ColumnBlock<T> {
        let len = std::mem::take(&mut self.len);
        let arrays = self.builders.iter_mut().map(|builder| Some(builder.as_mut()?.array()));
        ColumnBlock::new(&self.columns, arrays.collect(), len)
    }
}

/// The point of two coordinates, of which one may be missing.
pub(super) fn point(lon: Option<f64>, lat: Option<f64>) -> Option<LonLat> {
    let half = |degrees: Option<f64>| degrees.unwrap_or(f64::NAN);
    (lon.is_some() || lat.is_some()).then(|| LonLat { lon: half(lon), lat: half(lat) })
}
