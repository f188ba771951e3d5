//! Values that appear after the columns of the output were decided.

use streetflow::{Column, Error, ErrorKind, Format, Kind, Record, Result, TableSource, Value};

/// Rejects a record with a value that has no column in the output: it appeared after the header was decided.
pub(super) struct NewColumns<T: 'static> {
    /// The columns that the output does not have, and that the table may have.
    rest: Vec<&'static Column<T>>,
    row: u64,
}

impl<T: Record> NewColumns<T> {
    pub(super) fn new(table: &TableSource<T>, chosen: &[&'static Column<T>], format: Format) -> Self {
        let has_column = |column: &Column<T>| {
            // `id` is another name of the image id, and a format with a geometry always contains the coordinates.
            let is_written_elsewhere = column.name == "id"
                || (format.has_geometry() && ["lon", "lat"].contains(&column.name))
                || column.field.is_none();
            is_written_elsewhere || chosen.iter().any(|chosen| chosen.name == column.name)
        };
        let rest = T::COLUMNS.iter().filter(|column| !has_column(column) && table.fills(column));
        Self { rest: rest.collect(), row: 0 }
    }

    /// Whether no record can have such a value.
    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(super) fn check(&mut self, record: &T) -> Result<()> {
        self.row += 1;
        let Some(stray) = self.rest.iter().find(|column| (column.get)(record) != Value::Null) else {
            return Ok(());
        };
        let what = if stray.kind == Kind::Longitude {
            "coordinates".to_owned()
        } else {
            format!("`{}`", stray.name)
        };
        Err(Error::new(ErrorKind::Usage, "convert")
            .with_source(format!("record {} has {what}, which earlier records do not have", self.row))
            .with_hint("list all fields with `--fields`"))
    }
}
