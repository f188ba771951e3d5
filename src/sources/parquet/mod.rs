//! Records from Parquet files: ours, and anybody's with the right columns.

mod cells;
mod geo;

use std::fs::File;
use std::path::Path;

use ::parquet::arrow::ProjectionMask;
use ::parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use arrow_array::{Array, RecordBatch};

use self::cells::Cell;
use super::table::{self, Lane, Row, Table};
use super::{RecordStream, Source};
use crate::error::Result;
use crate::record::{Column, Kind, RAW, Record, Value, position_column};

/// Rows that are decoded at once.
const BATCH: usize = 1024;

/// Records from a Parquet file, a page at a time.
///
/// Columns are found by name, in any order; others are not even read. Text may
/// be of any kind, dictionaries too; ids may be whole numbers; times may be
/// timestamps of any unit or milliseconds as numbers. A GeoParquet geometry (points as WKB or
/// as pairs of doubles, in degrees) fills `lon` and `lat` unless the table has such columns. A
/// row that can't be a record is an error of kind
/// [`ErrorKind::Malformed`](crate::ErrorKind) and the next row follows; if it is
/// the first one, or the file is damaged, the error is one of usage.
///
/// ```no_run
/// use futures::TryStreamExt;
/// use streetflow::{Metadata, ParquetSource, Source};
///
/// # #[tokio::main] async fn main() -> streetflow::Result<()> {
/// let mut images = ParquetSource::<Metadata>::open("outputs/img_meta_dataset.parquet")?.stream();
/// while let Some(image) = images.try_next().await? {
///     println!("{}: {:?}", image.img_id, image.geometry);
/// }
/// # Ok(()) }
/// ```
pub struct ParquetSource<T: 'static> {
    table: Table,
    rows: ParquetRecordBatchReaderBuilder<File>,
    columns: Vec<(String, &'static Column<T>)>,
    /// The column of points, and the columns of the record that it fills.
    position: Option<(String, [&'static Column<T>; 2])>,
}

impl<T: Record> ParquetSource<T> {
    /// Opens a file and reads its schema; a column that is lacking is a usage error.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let file = table::open(path)?;
        let mut table = Table { name: path.display().to_string(), row: "row", header: Vec::new() };
        let rows = builder(file).map_err(|why| {
            table.refuse(&format!(
                "it is not a Parquet file, or not a whole one: {}",
                table::printable(&why, 200)
            ))
        })?;
        table.header = rows.schema().fields().iter().map(|field| field.name().clone()).collect();
        Self::of(table, rows)
    }

    fn of(table: Table, rows: ParquetRecordBatchReaderBuilder<File>) -> Result<Self> {
        table.check::<T>()?;
        // Times that are no timestamps stand in a column beside, after theirs.
        let column = |name: &str| {
            let time = name.strip_suffix(RAW);
            let is_raw = |column: &Column<T>| column.kind == Kind::Time && Some(column.name) == time;
            T::COLUMNS.iter().find(|column| column.name == name || is_raw(column))
        };
        let columns = table.header.iter().filter_map(|name| Some((name.clone(), column(name)?))).collect();
        let has = |name: &str| table.header.iter().any(|known| known == name);
        let position = match position_column::<T>() {
            Some(halves) if !halves.iter().any(|half| has(half.name)) => {
                geo::column(&rows).map_err(|why| table.refuse(&why))?.map(|name| (name, halves))
            }
            _ => None,
        };
        Ok(Self { table, rows, columns, position })
    }

    #[cfg(feature = "cli")]
    pub(super) fn retype<U: Record>(self) -> Result<ParquetSource<U>> {
        ParquetSource::of(self.table, self.rows)
    }

    /// The names of the columns, as they stand in the file.
    pub fn header(&self) -> &[String] {
        &self.table.header
    }

    /// What the file says of itself under `streetflow:<name>`.
    pub fn notes(&self) -> Vec<(String, String)> {
        let notes = self.rows.metadata().file_metadata().key_value_metadata().into_iter().flatten();
        let ours =
            notes.filter_map(|note| Some((note.key.strip_prefix("streetflow:")?, note.value.as_ref()?)));
        ours.map(|(name, text)| (name.to_owned(), text.clone())).collect()
    }

    pub(super) fn table(&self) -> &Table {
        &self.table
    }

    /// Reads rows until the end.
    fn pump(self, lane: &mut Lane<T>) {
        let Self { table, rows, columns, position } = self;
        let wanted = |name: &str| {
            columns.iter().any(|(wanted, _)| wanted == name)
                || position.as_ref().is_some_and(|(wanted, _)| wanted == name)
        };
        let roots = rows.schema().fields().iter().enumerate();
        let roots: Vec<_> = roots.filter(|(_, field)| wanted(field.name())).map(|(index, _)| index).collect();
        let projection = ProjectionMask::roots(rows.parquet_schema(), roots);
        let damaged = |row: u64, why: &str| {
            table.refuse(&format!("after {row} rows: the file is damaged: {}", table::printable(why, 200)))
        };
        let batches = match rows.with_batch_size(BATCH).with_projection(projection).build() {
            Ok(batches) => batches,
            Err(why) => {
                lane.push(Err(damaged(0, &why.to_string())));
                return;
            }
        };
        let mut number = 0;
        for batch in batches {
            let batch = match batch {
                Ok(batch) => batch,
                Err(why) => {
                    lane.push(Err(damaged(number, &why.to_string())));
                    return;
                }
            };
            let batch = Filled::new(&table, &batch, &columns, position.as_ref());
            for index in 0..batch.rows {
                number += 1;
                if !lane.push(batch.record(index, &Row { number, first: number == 1 })) {
                    return;
                }
            }
        }
    }
}

/// A batch with its arrays beside the columns that they fill.
struct Filled<'a, T: 'static> {
    table: &'a Table,
    rows: usize,
    cells: Vec<(&'a dyn Array, &'static Column<T>)>,
    points: Option<(&'a dyn Array, [&'static Column<T>; 2])>,
}

impl<'a, T: Record> Filled<'a, T> {
    fn new(
        table: &'a Table,
        batch: &'a RecordBatch,
        columns: &[(String, &'static Column<T>)],
        position: Option<&(String, [&'static Column<T>; 2])>,
    ) -> Self {
        let array = |name: &str| batch.column_by_name(name).map(AsRef::as_ref);
        let cells = columns.iter().filter_map(|(name, column)| Some((array(name)?, *column))).collect();
        let points = position.and_then(|(name, halves)| Some((array(name)?, *halves)));
        Self { table, rows: batch.num_rows(), cells, points }
    }

    fn record(&self, index: usize, row: &Row) -> Result<T> {
        let mut record = T::default();
        for (array, column) in &self.cells {
            let cell = Cell::of(*array, index);
            // A record begins with nothing set, and the second column of a time must not undo the first.
            if matches!(cell, Cell::Null) && !column.required {
                continue;
            }
            let shown = || cell.to_string();
            self.table.set(&mut record, column, cell.value(column.kind), row, shown)?;
        }
        if let Some((array, halves)) = &self.points {
            let point =
                geo::point(*array, index).map_err(|why| self.table.refuse_row(row, &format!(": {why}")))?;
            if let Some(point) = point {
                for (column, degrees) in halves.iter().zip([point.lon, point.lat]) {
                    let value = Ok(Value::Float(degrees));
                    self.table.set(&mut record, column, value, row, || degrees.to_string())?;
                }
            }
        }
        record.settle();
        Ok(record)
    }
}

/// The schema that another Arrow library noted (dictionaries, large texts, views) is left alone: what Parquet itself
/// says is the same values in fewer types.
fn builder(file: File) -> std::result::Result<ParquetRecordBatchReaderBuilder<File>, String> {
    let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
    ParquetRecordBatchReaderBuilder::try_new_with_options(file, options).map_err(|error| error.to_string())
}

/// How many rows a file has.
#[cfg(feature = "cli")]
pub(crate) fn rows(path: &Path) -> Option<u64> {
    let rows = builder(File::open(path).ok()?).ok()?.metadata().file_metadata().num_rows();
    u64::try_from(rows).ok()
}

impl<T: Record> Source for ParquetSource<T> {
    type Item = T;

    fn stream(self) -> RecordStream<T> {
        table::from_thread(self.table.clone(), move |lane| self.pump(lane))
    }
}
