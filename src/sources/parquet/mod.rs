//! Records from Parquet files: ours, and anybody's with the right columns.

mod cells;
mod footer;
mod geo;

use std::fs::File;
use std::path::Path;

use ::parquet::arrow::ProjectionMask;
use ::parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use ::parquet::basic::Compression;
use ::parquet::file::metadata::RowGroupMetaData;
use arrow_array::RecordBatch;

use self::cells::{Cell, Cells};
use super::messages::{self, Row, TableInfo};
use super::reader_channel::{self, BatchSender};
use super::{RecordStream, Source};
use crate::error::Result;
use crate::record::{Column, Kind, Placing, RAW, Record};

/// Rows that are decoded at once.
const BATCH: usize = 1024;

/// Records from a Parquet file, a page at a time.
///
/// Columns are found by name, in any order; others are not even read. Text may
/// be of any kind, dictionaries too; ids may be whole numbers; times may be
/// timestamps of any unit or milliseconds as numbers. A GeoParquet geometry (points as WKB or
/// as pairs of doubles, in degrees) fills `lon` and `lat` unless the row has them, or it is a
/// copy of the computed place. A row that can't be a record is an error of kind
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
    table: TableInfo,
    rows: ParquetRecordBatchReaderBuilder<File>,
    columns: Vec<(String, &'static Column<T>)>,
    /// The column of points, or why there is none that could be used.
    geometry: std::result::Result<Option<String>, String>,
    /// The column of points, and its way into the record.
    position: Option<(String, Placing<T>)>,
}

impl<T: Record> ParquetSource<T> {
    /// Opens a file and reads its schema; a column that is lacking is a usage error.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let file = messages::open_file(path)?;
        let mut table = TableInfo::new(path.display().to_string(), "row");
        let rows = builder(file).map_err(|why| {
            table.error(&format!(
                "it is not a Parquet file, or not a whole one: {}",
                messages::printable(&why, 200)
            ))
        })?;
        check_chunks(&rows).map_err(|why| table.error(&why))?;
        table.header = rows.schema().fields().iter().map(|field| field.name().clone()).collect();
        Self::of(table, rows)
    }

    fn of(table: TableInfo, rows: ParquetRecordBatchReaderBuilder<File>) -> Result<Self> {
        table.check_header::<T>()?;
        // Times that are no timestamps stand in a column beside, after theirs.
        let column = |name: &str| {
            let time = name.strip_suffix(RAW);
            let is_raw = |column: &Column<T>| column.kind == Kind::Time && Some(column.name) == time;
            T::COLUMNS.iter().find(|column| column.name == name || is_raw(column))
        };
        let columns = table.header.iter().filter_map(|name| Some((name.clone(), column(name)?))).collect();
        let geometry = geo::column(&rows);
        let position = match Placing::new() {
            Some(placing) => {
                let name = geometry.clone().map_err(|why| table.error(&why))?;
                name.map(|name| (name, placing))
            }
            None => None,
        };
        Ok(Self { table, rows, columns, geometry, position })
    }

    /// The column that is the geometry.
    pub(super) fn geometry(&self) -> Option<&str> {
        self.geometry.as_ref().ok()?.as_deref()
    }

    /// The columns that fill nothing; the boxes around the points are no news.
    pub(super) fn unread(&self) -> Vec<String> {
        let fills = |name: &str| {
            self.columns.iter().any(|(read, _)| read == name)
                || self.position.as_ref().is_some_and(|(read, _)| read == name)
        };
        let fields = self.rows.schema().fields().iter();
        let unread = fields.filter(|field| !fills(field.name()) && !geo::is_box(field));
        unread.map(|field| field.name().clone()).collect()
    }

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

    /// Reads these columns only, besides those without which there is no record: what else is wrong in a row does not
    /// matter. The place of an image is in `lon` and `lat`, whatever the file calls its geometry.
    pub fn only(mut self, names: &[&str]) -> Self {
        self.columns.retain(|(_, column)| column.required || names.contains(&column.name));
        self.position = self.position.filter(|(_, placing)| names.iter().any(|name| placing.is_half(name)));
        self
    }

    pub(super) fn table(&self) -> &TableInfo {
        &self.table
    }

    pub(super) fn table_mut(&mut self) -> &mut TableInfo {
        &mut self.table
    }

    /// Reads rows until the end.
    fn send_records(self, sender: &mut BatchSender<T>) {
        let Self { table, rows, columns, position, .. } = self;
        let wanted = |name: &str| {
            columns.iter().any(|(wanted, _)| wanted == name)
                || position.as_ref().is_some_and(|(wanted, _)| wanted == name)
        };
        let roots = rows.schema().fields().iter().enumerate();
        let roots: Vec<_> = roots.filter(|(_, field)| wanted(field.name())).map(|(index, _)| index).collect();
        let projection = ProjectionMask::roots(rows.parquet_schema(), roots);
        let damaged = |row: u64, why: &str| {
            table.error(&format!("after {row} rows: the file is damaged: {}", messages::printable(why, 200)))
        };
        let batches = match rows.with_batch_size(BATCH).with_projection(projection).build() {
            Ok(batches) => batches,
            Err(why) => {
                sender.push(Err(damaged(0, &why.to_string())));
                return;
            }
        };
        let mut number = 0;
        for batch in batches {
            let batch = match batch {
                Ok(batch) => batch,
                Err(why) => {
                    sender.push(Err(damaged(number, &why.to_string())));
                    return;
                }
            };
            let batch = Filled::new(&table, &batch, &columns, position.as_ref());
            for index in 0..batch.rows {
                number += 1;
                let row = Row { number, first: number == 1 };
                if !sender.fill(|record| batch.read(record, index, &row)) {
                    return;
                }
            }
        }
    }
}

/// A batch with its arrays beside the columns that they fill.
struct Filled<'a, T: 'static> {
    table: &'a TableInfo,
    rows: usize,
    cells: Vec<(Cells<'a>, &'static Column<T>)>,
    points: Option<(Cells<'a>, &'a Placing<T>)>,
    /// Whether the file has the points in columns of their own, too.
    has_columns: bool,
}

impl<'a, T: Record> Filled<'a, T> {
    fn new(
        table: &'a TableInfo,
        batch: &'a RecordBatch,
        columns: &[(String, &'static Column<T>)],
        position: Option<&'a (String, Placing<T>)>,
    ) -> Self {
        let array = |name: &str| batch.column_by_name(name).map(|array| Cells::of(array));
        let cells = columns.iter().filter_map(|(name, column)| Some((array(name)?, *column))).collect();
        let points = position.and_then(|(name, placing)| Some((array(name)?, placing)));
        let has_columns =
            position.is_some_and(|(_, placing)| table.header.iter().any(|name| placing.is_half(name)));
        Self { table, rows: batch.num_rows(), cells, points, has_columns }
    }

    fn read(&self, record: &mut T, index: usize, row: &Row) -> Result<()> {
        for (cells, column) in &self.cells {
            if let Some(value) = cells.value(index, column.kind) {
                self.table.set_value(record, column, Ok(value), row, || cells.at(index).to_string())?;
                continue;
            }
            let cell = cells.at(index);
            // A record begins with nothing set, and the second column of a time must not undo the first.
            if matches!(cell, Cell::Null) && !column.required {
                continue;
            }
            let shown = || cell.to_string();
            self.table.set_value(record, column, cell.value(column.kind), row, shown)?;
        }
        let refuse = |why: &str| self.table.row_error(row, &format!(": {why}"));
        if let Some((cells, placing)) = &self.points
            && let Some(point) = geo::point(cells, index).map_err(refuse)?
        {
            placing.fill(record, point, self.has_columns).map_err(refuse)?;
        }
        record.settle().map_err(refuse)
    }
}

/// The schema that another Arrow library noted (dictionaries, large texts, views) is left alone: what Parquet itself
/// says is the same values in fewer types.
fn builder(file: File) -> std::result::Result<ParquetRecordBatchReaderBuilder<File>, String> {
    footer::check(&file)?;
    let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
    ParquetRecordBatchReaderBuilder::try_new_with_options(file, options).map_err(|error| error.to_string())
}

/// What the decoder would stumble over: places before the beginning of the file, and codecs that it lacks.
fn check_chunks(rows: &ParquetRecordBatchReaderBuilder<File>) -> std::result::Result<(), String> {
    let chunks = rows.metadata().row_groups().iter().flat_map(RowGroupMetaData::columns);
    for chunk in chunks {
        let begin = chunk.dictionary_page_offset().unwrap_or_else(|| chunk.data_page_offset());
        if begin < 0 || chunk.data_page_offset() < 0 || chunk.compressed_size() < 0 {
            return Err("the file is damaged: a column begins before the file does".to_owned());
        }
        let codec = match chunk.compression() {
            Compression::BROTLI(_) => "Brotli",
            Compression::LZO => "LZO",
            _ => continue,
        };
        return Err(format!(
            "it is compressed with {codec}, which streetflow can't read: write it with zstd, snappy or gzip"
        ));
    }
    Ok(())
}

/// How many rows a file has.
pub(super) fn rows(path: &Path) -> Option<u64> {
    let rows = builder(File::open(path).ok()?).ok()?.metadata().file_metadata().num_rows();
    u64::try_from(rows).ok()
}

impl<T: Record> Source for ParquetSource<T> {
    type Item = T;

    fn stream(self) -> RecordStream<T> {
        reader_channel::from_thread(self.table.clone(), move |sender| self.send_records(sender))
    }
}
