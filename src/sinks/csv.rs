//! Comma-separated values, as the Python toolset writes them but with bare line feeds.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::path::PathBuf;

use async_trait::async_trait;

use super::{Encoder, FileSink, Layout, Sink, Written};
use crate::error::Result;
use crate::record::{Column, Fields, Record, Value, formula, select};
use crate::sources::RecordStream;

/// Writes a table as a CSV file: a header, then a row a record, absent values as empty cells.
///
/// A text that a spreadsheet would take for a formula, such as a user's name that begins with `=`, gets an
/// apostrophe before it, which [`CsvSource`](crate::CsvSource) takes off again. Ids stay as they are.
///
/// ```
/// use streetflow::{CsvSink, Flow, Image, Result};
///
/// # #[tokio::main] async fn main() -> Result<()> {
/// # let folder = tempfile::tempdir().unwrap();
/// # let path = folder.path().join("img_dataset.csv");
/// let report = Flow::from(futures::stream::empty::<Result<Image>>()).into_sink(CsvSink::create(&path)).await?;
/// assert_eq!(report.records, 0);
/// assert_eq!(std::fs::read_to_string(&path).unwrap(), "seq_id,img_id\n");
/// # Ok(()) }
/// ```
pub struct CsvSink {
    path: PathBuf,
    fields: Fields,
}

impl CsvSink {
    /// A CSV file at `path`; nothing is touched before records come.
    pub fn create(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), fields: Fields::default() }
    }

    /// The same as a layout says.
    pub fn layout(self, layout: &Layout) -> Self {
        self.fields(&layout.fields)
    }

    /// The fields of metadata that become columns, in order; other records have fixed columns.
    pub fn fields(mut self, fields: &Fields) -> Self {
        self.fields = fields.clone();
        self
    }
}

#[async_trait]
impl<T: Record> Sink<T> for CsvSink {
    async fn drain(self: Box<Self>, records: RecordStream<T>) -> Result<Written> {
        let fields = self.fields;
        let encoder =
            move |out| -> io::Result<Box<dyn Encoder<T>>> { Ok(Box::new(CsvEncoder::new(out, &fields)?)) };
        Box::new(FileSink::create(self.path, encoder)).drain(records).await
    }
}

/// Records to CSV bytes.
pub struct CsvEncoder<T: 'static, W: Write> {
    columns: Vec<&'static Column<T>>,
    out: csv::Writer<W>,
    cell: String,
}

impl<T: Record, W: Write> CsvEncoder<T, W> {
    /// An encoder that has written its header; `fields` matter to metadata only.
    pub fn new(out: W, fields: &Fields) -> io::Result<Self> {
        let columns = select::<T>(Some(fields));
        let mut out = csv::WriterBuilder::new().buffer_capacity(1 << 16).from_writer(out);
        out.write_record(columns.iter().map(|column| column.name)).map_err(plain)?;
        Ok(Self { columns, out, cell: String::new() })
    }
}

impl<T: Record, W: Write + Send> Encoder<T> for CsvEncoder<T, W> {
    fn encode(&mut self, batch: &[T]) -> io::Result<()> {
        for record in batch {
            for column in &self.columns {
                match (column.get)(record) {
                    Value::Text(text) => {
                        self.out.write_field(formula::guarded(&text).as_bytes()).map_err(plain)?;
                    }
                    value => {
                        self.cell.clear();
                        write!(self.cell, "{value}").map_err(io::Error::other)?;
                        self.out.write_field(&self.cell).map_err(plain)?;
                    }
                }
            }
            self.out.write_record(None::<&[u8]>).map_err(plain)?;
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> io::Result<()> {
        self.out.flush()
    }
}

/// What the disk said, without the wrapping that would hide it: a full disk gets other advice than a missing right.
fn plain(error: csv::Error) -> io::Error {
    match error.into_kind() {
        csv::ErrorKind::Io(error) => error,
        other => io::Error::other(format!("{other:?}")),
    }
}
