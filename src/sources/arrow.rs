//! Records from Arrow record batches.

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_schema::{ArrowError, DataType, Field, Schema};

use super::arrow_head::ArrowHead;
#[cfg(feature = "parquet")]
use super::column_channel::ColumnSender;
use super::messages::{Row, TableInfo, printable};
use super::reader_channel::{self, Batch, BatchSender};
use super::rounded_ids::RoundedIds;
use super::{RecordStream, Source};
use crate::error::Result;
use crate::record::Record;
#[cfg(feature = "parquet")]
use crate::record::arrow::BlockBuilder;
use crate::record::arrow::{Columns, geo};
#[cfg(feature = "parquet")]
use crate::record::{Column, Value};

type Batches = Box<dyn Iterator<Item = std::result::Result<RecordBatch, ArrowError>> + Send>;

/// Reads records from Arrow record batches, such as those of a table in another program.
///
/// Columns, types and errors are those of [`ParquetSource`](crate::ParquetSource), `row` counts from 1 over all batches.
/// Text may be dictionary encoded. The geometry is the first column with the extension type `geoarrow.wkb` or
/// `geoarrow.point`, else one named `geometry`.
///
/// ```
/// use std::sync::Arc;
/// use futures::TryStreamExt;
/// use streetflow::arrow::arrow_array::{ArrayRef, Int64Array, RecordBatch};
/// use streetflow::{Metadata, Source, arrow::ArrowSource};
///
/// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let ids = Arc::new(Int64Array::from(vec![728019821979741])) as ArrayRef;
/// let batch = RecordBatch::try_from_iter([("img_id", ids)])?;
/// let source = ArrowSource::<Metadata>::new("my table", &batch.schema(), [Ok(batch)])?;
/// let images: Vec<_> = source.stream().try_collect().await?;
/// assert_eq!(images[0].img_id.as_str(), "728019821979741");
/// # Ok(()) }
/// ```
pub struct ArrowSource<T: 'static> {
    head: ArrowHead<T>,
    batches: Batches,
}

impl<T: Record> ArrowSource<T> {
    /// Reads batches of a schema. `name` is the name of the table in error messages.
    ///
    /// A missing required column is an error of kind `Usage`. An error of the iterator ends the records.
    pub fn new<I>(name: impl Into<String>, schema: &Schema, batches: I) -> Result<Self>
    where
        I: IntoIterator<Item = std::result::Result<RecordBatch, ArrowError>>,
        I::IntoIter: Send + 'static,
    {
        let table = TableInfo::new(name, "row");
        let head = ArrowHead::new(table, schema.fields().clone(), geo::column(schema))?;
        Ok(Self { head, batches: Box::new(batches.into_iter()) })
    }

    pub(super) fn retype<U: Record>(self) -> Result<ArrowSource<U>> {
        Ok(ArrowSource { head: self.head.retype()?, batches: self.batches })
    }

    /// The column names of the schema.
    pub fn header(&self) -> &[String] {
        &self.head.table.header
    }

    pub(super) fn head(&self) -> &ArrowHead<T> {
        &self.head
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

    /// Sends all rows.
    fn send_records<B: Batch<T>>(self, sender: &mut BatchSender<T, B>) {
        let Self { head: ArrowHead { table, columns, .. }, batches } = self;
        let mut number = 0;
        for batch in batches {
            let batch = match batch.and_then(|batch| plain(&batch, &columns)) {
                Ok(batch) => batch,
                Err(error) => {
                    let why = printable(&error.to_string(), 200);
                    sender
                        .push(Err(table.error(&format!("after {number} rows: the next batch fails: {why}"))));
                    return;
                }
            };
            if !columns.send(&batch, &table, &mut number, sender) {
                return;
            }
        }
    }
}

impl<T: Record> Columns<T> {
    /// Sends the rows of a batch; returns false at the end of the stream. `number` counts the rows of all batches.
    pub(super) fn send<B: Batch<T>>(
        &self,
        batch: &RecordBatch,
        table: &TableInfo,
        number: &mut u64,
        sender: &mut BatchSender<T, B>,
    ) -> bool {
        let reader = self.batch(batch);
        (0..batch.num_rows()).all(|index| {
            *number += 1;
            let row = Row { number: *number, first: *number == 1 };
            sender.fill(|record| reader.read(record, index).map_err(|why| table.refusal(why, &row)))
        })
    }
}

#[cfg(feature = "parquet")]
impl<T: Record> Columns<T> {
    /// Sends the columns of a batch; returns false at the end of the stream. `number` counts the rows of all batches.
    pub(super) fn send_columns(
        &self,
        batch: &RecordBatch,
        table: &TableInfo,
        wanted: &[&'static Column<T>],
        number: &mut u64,
        sender: &mut ColumnSender<T>,
    ) -> bool {
        let Some(block) = self.block(batch, wanted) else {
            // A row is invalid, or only records can tell.
            return self.send_through_records(batch, table, wanted, number, sender);
        };
        *number += batch.num_rows() as u64;
        let ids = sender.id_column().and_then(|name| block.values(name).ok());
        let observed = (0..block.len()).all(|row| {
            let id = ids.as_ref().map_or(Value::Null, |ids| ids.get(row));
            sender.observe_id(if let Value::Text(id) = &id { id } else { "" })
        });
        observed && sender.send(block)
    }

    fn send_through_records(
        &self,
        batch: &RecordBatch,
        table: &TableInfo,
        wanted: &[&'static Column<T>],
        number: &mut u64,
        sender: &mut ColumnSender<T>,
    ) -> bool {
        let mut block = BlockBuilder::new(wanted.to_vec(), |_| true);
        let reader = self.batch(batch);
        for index in 0..batch.num_rows() {
            *number += 1;
            let mut record = T::default();
            let row = Row { number: *number, first: *number == 1 };
            if let Err(why) = reader.read(&mut record, index) {
                return sender.fail(table.refusal(why, &row));
            }
            block.push_record(&record);
            if !sender.observe(&record) {
                return false;
            }
        }
        sender.send(block.take())
    }
}

/// Replaces dictionaries by their values, in the columns that are read.
fn plain<T: Record>(
    batch: &RecordBatch,
    columns: &Columns<T>,
) -> std::result::Result<RecordBatch, ArrowError> {
    let is_dictionary = |field: &Field| matches!(field.data_type(), DataType::Dictionary(..));
    let schema = batch.schema();
    if !schema.fields().iter().any(|field| is_dictionary(field)) {
        return Ok(batch.clone());
    }
    let mut fields = Vec::new();
    let mut arrays: Vec<ArrayRef> = Vec::new();
    for (field, array) in
        schema.fields().iter().zip(batch.columns()).filter(|(field, _)| columns.reads(field.name()))
    {
        let array = match array.as_any_dictionary_opt() {
            Some(dictionary) => arrow_select::take::take(dictionary.values(), dictionary.keys(), None)?,
            None => array.clone(),
        };
        fields.push(field.as_ref().clone().with_data_type(array.data_type().clone()).with_nullable(true));
        arrays.push(array);
    }
    RecordBatch::try_new(Schema::new(fields).into(), arrays)
}

impl<T: Record> Source for ArrowSource<T> {
    type Item = T;

    fn stream(self) -> RecordStream<T> {
        reader_channel::from_thread(self.head.table.clone(), move |sender| self.send_records(sender))
    }
}

/// Reads the records of one batch. The first invalid row, and ids that were rounded, are an error.
///
/// [`ArrowSource`] continues after invalid rows.
pub fn records<T: Record>(batch: &RecordBatch) -> Result<Vec<T>> {
    let source = ArrowSource::<T>::new("record batch", &batch.schema(), [])?;
    let ArrowHead { table, columns, .. } = source.head;
    let batch = plain(batch, &columns).map_err(|error| table.error(&error.to_string()))?;
    let (reader, mut ids) = (columns.batch(&batch), RoundedIds::new(table.id_check.clone()));
    let mut records = Vec::with_capacity(batch.num_rows());
    for index in 0..batch.num_rows() {
        let mut record = T::default();
        let row = Row { number: index as u64 + 1, first: index == 0 };
        reader.read(&mut record, index).map_err(|why| table.refusal(why, &row))?;
        ids.observe(&record);
        records.push(record);
    }
    ids.finish(&table).map_or(Ok(records), Err)
}
