//! Records from Arrow record batches.

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_schema::{ArrowError, DataType, Field, Schema};

use super::messages::{Row, TableInfo, printable};
use super::reader_channel::{self, Batch, BatchSender};
use super::rounded_ids::RoundedIds;
use super::{RecordStream, Source};
use crate::error::Result;
use crate::record::arrow::geo::is_box;
use crate::record::arrow::{Columns, geo};
use crate::record::{GeometryReader, Record};

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
    table: TableInfo,
    schema: Schema,
    batches: Batches,
    columns: Columns<T>,
    /// The geometry column, or why it can't be used.
    geometry: std::result::Result<Option<String>, String>,
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
        let mut table = TableInfo::new(name, "row");
        table.header = schema.fields().iter().map(|field| field.name().clone()).collect();
        Self::from_batches(table, schema.clone(), Box::new(batches.into_iter()))
    }

    fn from_batches(table: TableInfo, schema: Schema, batches: Batches) -> Result<Self> {
        table.check_header::<T>()?;
        let geometry = geo::column(&schema);
        let name = if GeometryReader::<T>::new().is_some() {
            geometry.clone().map_err(|why| table.error(&why))?
        } else {
            None
        };
        let columns = Columns::new(&table.header, name);
        Ok(Self { table, schema, batches, columns, geometry })
    }

    pub(super) fn retype<U: Record>(self) -> Result<ArrowSource<U>> {
        ArrowSource::from_batches(self.table, self.schema, self.batches)
    }

    /// The column names of the schema.
    pub fn header(&self) -> &[String] {
        &self.table.header
    }

    pub(super) fn geometry(&self) -> Option<&str> {
        self.geometry.as_ref().ok()?.as_deref()
    }

    /// The columns that fill no column of the record, without bounding boxes.
    pub(super) fn unread(&self) -> Vec<String> {
        let fields = self.schema.fields().iter();
        let unread = fields.filter(|field| !self.columns.reads(field.name()) && !is_box(field));
        unread.map(|field| field.name().clone()).collect()
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
        let Self { table, columns, batches, .. } = self;
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
        reader_channel::from_thread(self.table.clone(), move |sender| self.send_records(sender))
    }
}

/// Reads the records of one batch. The first invalid row, and ids that were rounded, are an error.
///
/// [`ArrowSource`] continues after invalid rows.
pub fn records<T: Record>(batch: &RecordBatch) -> Result<Vec<T>> {
    let source = ArrowSource::<T>::new("record batch", &batch.schema(), [])?;
    let ArrowSource { table, columns, .. } = source;
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
