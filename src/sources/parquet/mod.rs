//! Records from Parquet files.

mod footer;
mod geo;

use std::fs::File;
use std::path::Path;

use ::parquet::arrow::ProjectionMask;
use ::parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use ::parquet::basic::Compression;
use ::parquet::file::metadata::RowGroupMetaData;
use arrow_array::RecordBatch;

use super::arrow_head::ArrowHead;
use super::column_channel::columns_from_thread;
use super::messages::{self, TableInfo};
use super::reader_channel::{self, BLOCK_LEN, Batch, BatchSender};
use super::{RecordStream, Source};
use crate::error::Result;
use crate::record::arrow::{ColumnBlock, Columns};
use crate::record::{Column, Record};

/// Reads records from a Parquet file, one page at a time.
///
/// - Columns are found by name, in any order. Other columns are not read.
/// - Text may be of any string type, ids may be integers, times may be timestamps of any unit or milliseconds.
/// - A GeoParquet geometry (points as WKB or pairs of doubles, in degrees) fills `lon` and `lat`, unless the row has
///   them or it is a copy of the computed point.
/// - An invalid row is an error of kind [`Malformed`](crate::ErrorKind::Malformed), and the next row follows. If it is
///   the first row, or the file is damaged, the error is of kind [`Usage`](crate::ErrorKind::Usage).
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
    head: ArrowHead<T>,
    rows: ParquetRecordBatchReaderBuilder<File>,
}

impl<T: Record> ParquetSource<T> {
    /// Opens a file and reads its schema. A missing required column is an error of kind `Usage`.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let file = messages::open_file(path)?;
        let table = TableInfo::new(path.display().to_string(), "row");
        let rows = builder(file).map_err(|why| {
            table.error(&format!("it is not a complete Parquet file: {}", messages::printable(&why, 200)))
        })?;
        check_chunks(&rows).map_err(|why| table.error(&why))?;
        let head = ArrowHead::new(table, rows.schema().fields().clone(), geo::column(&rows))?;
        Ok(Self { head, rows })
    }

    pub(super) fn retype<U: Record>(self) -> Result<ParquetSource<U>> {
        Ok(ParquetSource { head: self.head.retype()?, rows: self.rows })
    }

    pub(super) fn head(&self) -> &ArrowHead<T> {
        &self.head
    }

    /// The column names in the file.
    pub fn header(&self) -> &[String] {
        &self.head.table.header
    }

    /// The entries of the file's metadata under `streetflow:<name>`.
    pub fn notes(&self) -> Vec<(String, String)> {
        let notes = self.rows.metadata().file_metadata().key_value_metadata().into_iter().flatten();
        let ours =
            notes.filter_map(|note| Some((note.key.strip_prefix("streetflow:")?, note.value.as_ref()?)));
        ours.map(|(name, text)| (name.to_owned(), text.clone())).collect()
    }

    /// Reads only these columns and the required ones. Invalid values in other columns are ignored. The geometry belongs
    /// to `lon` and `lat`, whatever the name of its column is.
    pub fn only(mut self, names: &[&str]) -> Self {
        self.head.columns.only(names);
        self
    }

    pub(super) fn table(&self) -> &TableInfo {
        &self.head.table
    }

    pub(super) fn table_mut(&mut self) -> &mut TableInfo {
        &mut self.head.table
    }

    /// The records in blocks, each changed or rejected by `check`. The first error is the last item.
    pub(super) fn blocks(
        self,
        check: impl FnMut(&mut T) -> Result<()> + Send + 'static,
    ) -> RecordStream<Vec<T>> {
        reader_channel::blocks_from_thread(
            self.head.table.clone(),
            move |sender| self.send_records(sender),
            check,
        )
    }

    /// The columns `wanted` in blocks. All columns of the record are checked. The first error is the last item.
    pub(super) fn column_blocks(self, wanted: Vec<&'static Column<T>>) -> RecordStream<Vec<ColumnBlock<T>>> {
        columns_from_thread(self.head.table.clone(), move |sender| {
            let table = self.head.table.clone();
            let mut number = 0;
            let damaged = self.for_each_batch(|columns, batch| {
                columns.send_columns(batch, &table, &wanted, &mut number, sender)
            });
            if let Err(error) = damaged {
                sender.fail(error);
            }
        })
    }

    /// Sends all rows.
    fn send_records<B: Batch<T>>(self, sender: &mut BatchSender<T, B>) {
        let table = self.head.table.clone();
        let mut number = 0;
        let damaged = self.for_each_batch(|columns, batch| columns.send(batch, &table, &mut number, sender));
        if let Err(error) = damaged {
            sender.push(Err(error));
        }
    }

    /// Decodes the columns that are read, until `each` returns false.
    fn for_each_batch(self, mut each: impl FnMut(&Columns<T>, &RecordBatch) -> bool) -> Result<()> {
        let Self { head: ArrowHead { table, columns, .. }, rows } = self;
        let roots = rows.schema().fields().iter().enumerate();
        let roots: Vec<_> =
            roots.filter(|(_, field)| columns.reads(field.name())).map(|(index, _)| index).collect();
        let projection = ProjectionMask::roots(rows.parquet_schema(), roots);
        let damaged = |row: usize, why: &str| {
            table.error(&format!("after {row} rows: the file is damaged: {}", messages::printable(why, 200)))
        };
        let batches = rows.with_batch_size(BLOCK_LEN).with_projection(projection).build();
        let mut number = 0;
        for batch in batches.map_err(|why| damaged(0, &why.to_string()))? {
            let batch = batch.map_err(|why| damaged(number, &why.to_string()))?;
            if !each(&columns, &batch) {
                break;
            }
            number += batch.num_rows();
        }
        Ok(())
    }
}

/// Ignores the Arrow schema of other libraries (dictionaries, large strings, views): Parquet's own schema describes the
/// same values with fewer types.
fn builder(file: File) -> std::result::Result<ParquetRecordBatchReaderBuilder<File>, String> {
    footer::check(&file)?;
    let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
    ParquetRecordBatchReaderBuilder::try_new_with_options(file, options).map_err(|error| error.to_string())
}

/// Checks for offsets before the start of the file and unsupported codecs, which the decoder does not handle.
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

/// Number of rows of a file.
pub(super) fn rows(path: &Path) -> Option<u64> {
    let rows = builder(File::open(path).ok()?).ok()?.metadata().file_metadata().num_rows();
    u64::try_from(rows).ok()
}

impl<T: Record> Source for ParquetSource<T> {
    type Item = T;

    fn stream(self) -> RecordStream<T> {
        reader_channel::from_thread(self.head.table.clone(), move |sender| self.send_records(sender))
    }
}
