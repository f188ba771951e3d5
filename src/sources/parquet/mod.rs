//! Records from Parquet files.

mod footer;
mod geo;

use std::fs::File;
use std::path::Path;

use ::parquet::arrow::ProjectionMask;
use ::parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use ::parquet::basic::Compression;
use ::parquet::file::metadata::RowGroupMetaData;

use super::messages::{self, TableInfo};
use super::reader_channel::{self, Batch, BatchSender};
use super::{RecordStream, Source};
use crate::error::Result;
use crate::record::arrow::Columns;
use crate::record::arrow::geo::is_box;
use crate::record::{GeometryReader, Record};

/// Rows decoded at once.
const BATCH_ROWS: usize = 1024;

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
    table: TableInfo,
    rows: ParquetRecordBatchReaderBuilder<File>,
    columns: Columns<T>,
    /// The geometry column, or why it can't be used.
    geometry: std::result::Result<Option<String>, String>,
}

impl<T: Record> ParquetSource<T> {
    /// Opens a file and reads its schema. A missing required column is an error of kind `Usage`.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let file = messages::open_file(path)?;
        let mut table = TableInfo::new(path.display().to_string(), "row");
        let rows = builder(file).map_err(|why| {
            table.error(&format!("it is not a complete Parquet file: {}", messages::printable(&why, 200)))
        })?;
        check_chunks(&rows).map_err(|why| table.error(&why))?;
        table.header = rows.schema().fields().iter().map(|field| field.name().clone()).collect();
        Self::from_builder(table, rows)
    }

    fn from_builder(table: TableInfo, rows: ParquetRecordBatchReaderBuilder<File>) -> Result<Self> {
        table.check_header::<T>()?;
        let geometry = geo::column(&rows);
        let name = if GeometryReader::<T>::new().is_some() {
            geometry.clone().map_err(|why| table.error(&why))?
        } else {
            None
        };
        let columns = Columns::new(&table.header, name);
        Ok(Self { table, rows, columns, geometry })
    }

    /// The name of the geometry column.
    pub(super) fn geometry(&self) -> Option<&str> {
        self.geometry.as_ref().ok()?.as_deref()
    }

    /// The columns that fill no column of the record, without bounding boxes.
    pub(super) fn unread(&self) -> Vec<String> {
        let fields = self.rows.schema().fields().iter();
        let unread = fields.filter(|field| !self.columns.reads(field.name()) && !is_box(field));
        unread.map(|field| field.name().clone()).collect()
    }

    pub(super) fn retype<U: Record>(self) -> Result<ParquetSource<U>> {
        ParquetSource::from_builder(self.table, self.rows)
    }

    /// The column names in the file.
    pub fn header(&self) -> &[String] {
        &self.table.header
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
        self.columns.only(names);
        self
    }

    pub(super) fn table(&self) -> &TableInfo {
        &self.table
    }

    pub(super) fn table_mut(&mut self) -> &mut TableInfo {
        &mut self.table
    }

    /// The records in blocks, each changed or rejected by `check`. The first error is the last item.
    pub(super) fn blocks(
        self,
        check: impl FnMut(&mut T) -> Result<()> + Send + 'static,
    ) -> RecordStream<Vec<T>> {
        reader_channel::blocks_from_thread(self.table.clone(), move |sender| self.send_records(sender), check)
    }

    /// Sends all rows.
    fn send_records<B: Batch<T>>(self, sender: &mut BatchSender<T, B>) {
        let Self { table, rows, columns, .. } = self;
        let roots = rows.schema().fields().iter().enumerate();
        let roots: Vec<_> =
            roots.filter(|(_, field)| columns.reads(field.name())).map(|(index, _)| index).collect();
        let projection = ProjectionMask::roots(rows.parquet_schema(), roots);
        let damaged = |row: u64, why: &str| {
            table.error(&format!("after {row} rows: the file is damaged: {}", messages::printable(why, 200)))
        };
        let batches = match rows.with_batch_size(BATCH_ROWS).with_projection(projection).build() {
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
            if !columns.send(&batch, &table, &mut number, sender) {
                return;
            }
        }
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
        reader_channel::from_thread(self.table.clone(), move |sender| self.send_records(sender))
    }
}
