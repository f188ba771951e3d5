//! Fills records from the rows of record batches.

use arrow_array::RecordBatch;

use super::cells::{Cell, Cells};
use super::geo;
use crate::record::{Column, GeometryReader, Kind, RAW_SUFFIX, Record, Value};

/// The columns of a table that fill columns of a record, and its geometry.
pub(crate) struct Columns<T: 'static> {
    pub(super) named: Vec<(String, &'static Column<T>)>,
    /// The geometry column and its reader.
    pub(super) position: Option<(String, GeometryReader<T>)>,
    /// Whether the table also has coordinates in columns.
    pub(super) has_coordinates: bool,
}

/// Why a row does not become a record.
pub(crate) enum Refusal {
    /// The value of a cell, as text.
    Cell {
        column: &'static str,
        shown: String,
        why: &'static str,
    },
    Row(&'static str),
}

impl<T: Record> Columns<T> {
    /// Finds the columns by name. `geometry` is the name of the geometry column.
    pub(crate) fn new(header: &[String], geometry: Option<String>) -> Self {
        // Times outside the range of timestamps are in a second column.
        let column = |name: &str| {
            let time = name.strip_suffix(RAW_SUFFIX);
            let is_raw = |column: &Column<T>| column.kind == Kind::Time && Some(column.name) == time;
            T::COLUMNS.iter().find(|column| column.name == name || is_raw(column))
        };
        let named = header.iter().filter_map(|name| Some((name.clone(), column(name)?))).collect();
        // A column of the record is not the geometry of the table, whatever its name.
        let geometry = geometry.filter(|name| !T::COLUMNS.iter().any(|column| column.name == *name));
        let position = geometry.and_then(|name| Some((name, GeometryReader::new()?)));
        let has_coordinates = position.as_ref().is_some_and(|(_, reader): &(_, GeometryReader<T>)| {
            header.iter().any(|name| reader.is_coordinate(name))
        });
        Self { named, position, has_coordinates }
    }

    /// Leaves out all columns but these and the required ones. The geometry belongs to `lon` and `lat`.
    pub(crate) fn only(&mut self, names: &[&str]) {
        self.named.retain(|(_, column)| column.required || names.contains(&column.name));
        if !self
            .position
            .as_ref()
            .is_some_and(|(_, reader)| names.iter().any(|name| reader.is_coordinate(name)))
        {
            self.position = None;
        }
    }

    /// Whether a column of the table fills something.
    pub(crate) fn reads(&self, name: &str) -> bool {
        self.named.iter().any(|(read, _)| read == name)
            || self.position.as_ref().is_some_and(|(read, _)| read == name)
    }

    /// Whether the table can give a column of the record a value.
    pub(crate) fn fills(&self, column: &Column<T>) -> bool {
        self.named.iter().any(|(_, filled)| filled.name == column.name)
            || self.position.as_ref().is_some_and(|(_, reader)| reader.is_coordinate(column.name))
    }

    /// Prepares a batch for reading its rows.
    pub(crate) fn batch<'a>(&'a self, batch: &'a RecordBatch) -> BatchReader<'a, T> {
        let array = |name: &str| batch.column_by_name(name).map(|array| Cells::new(array));
        let cells = self.named.iter().filter_map(|(name, column)| Some((array(name)?, *column))).collect();
        let points = self.position.as_ref().and_then(|(name, reader)| Some((array(name)?, reader)));
        BatchReader { cells, points, has_coordinates: self.has_coordinates }
    }
}

/// A batch: its arrays with the columns that they fill.
pub(crate) struct BatchReader<'a, T: 'static> {
    cells: Vec<(Cells<'a>, &'static Column<T>)>,
    points: Option<(Cells<'a>, &'a GeometryReader<T>)>,
    has_coordinates: bool,
}

impl<T: Record> BatchReader<'_, T> {
    /// Fills a record from a row.
    pub(crate) fn read(&self, record: &mut T, index: usize) -> Result<(), Refusal> {
        for (cells, column) in &self.cells {
            if let Some(value) = cells.value(index, column.kind) {
                store(record, column, Ok(value), || cells.at(index).to_string())?;
                continue;
            }
            let cell = cells.at(index);
            // The fields of a record start empty, and the second column of a time must not reset the first.
            if matches!(cell, Cell::Null) && !column.required {
                continue;
            }
            store(record, column, cell.value(column.kind), || cell.to_string())?;
        }
        if let Some((cells, reader)) = &self.points
            && let Some(point) = geo::point(cells, index).map_err(Refusal::Row)?
        {
            reader.fill(record, point, self.has_coordinates).map_err(Refusal::Row)?;
        }
        record.complete();
        record.validate().map_err(Refusal::Row)
    }
}

fn store<T: Record>(
    record: &mut T,
    column: &Column<T>,
    value: Result<Value<'_>, &'static str>,
    shown: impl FnOnce() -> String,
) -> Result<(), Refusal> {
    value.and_then(|value| column.store(record, value)).map_err(|why| Refusal::Cell {
        column: column.name,
        shown: shown(),
        why,
    })
}
