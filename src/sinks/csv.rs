//! CSV with LF line ends, otherwise as the Python toolset writes it.

use std::io::{self, Write};

use super::table::table_sink;
use super::{Encoder, Layout};
#[cfg(feature = "arrow")]
use crate::record::arrow::ColumnBlock;
use crate::record::{Column, Record, Value, formula, select, text};

table_sink! {
    /// Writes a table as a CSV file: a header, then one row per record. Missing values are empty cells.
    ///
    /// A text that a spreadsheet would run as a formula, such as a user name that begins with `=`, is written with a
    /// leading apostrophe. [`CsvSource`](crate::CsvSource) removes it. Ids are never changed.
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
    CsvSink, CsvEncoder::new
}

/// Bytes per write. Larger chunks do not fit into the cache with the records.
const CHUNK_SIZE: usize = 1 << 16;

/// Encodes records as CSV.
pub struct CsvEncoder<T: 'static, W: Write> {
    columns: Vec<&'static Column<T>>,
    /// Rows that were not written yet.
    rows: Vec<u8>,
    out: W,
}

impl<T: Record, W: Write> CsvEncoder<T, W> {
    /// Creates an encoder and writes the header.
    pub fn new(out: W, layout: &Layout) -> io::Result<Self> {
        let columns = select::<T>(&layout.columns::<T>());
        let mut rows = Vec::with_capacity(CHUNK_SIZE + CHUNK_SIZE / 8);
        row(&mut rows, &columns, |rows, column| {
            quoted(rows, column.name.as_bytes());
            Ok(())
        })?;
        Ok(Self { columns, rows, out })
    }

    fn flush_chunk(&mut self) -> io::Result<()> {
        self.out.write_all(&self.rows)?;
        self.rows.clear();
        Ok(())
    }
}

impl<T: Record, W: Write + Send> Encoder<T> for CsvEncoder<T, W> {
    fn encode(&mut self, batch: &[T]) -> io::Result<()> {
        for record in batch {
            row(&mut self.rows, &self.columns, |rows, column| cell(rows, &(column.get)(record)))?;
            if self.rows.len() >= CHUNK_SIZE {
                self.flush_chunk()?;
            }
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> io::Result<()> {
        self.flush_chunk()?;
        self.out.flush()
    }
}

#[cfg(feature = "arrow")]
impl<T: Record, W: Write + Send> Encoder<ColumnBlock<T>> for CsvEncoder<T, W> {
    fn encode(&mut self, blocks: &[ColumnBlock<T>]) -> io::Result<()> {
        for block in blocks {
            let columns: Vec<_> =
                self.columns.iter().map(|column| block.values(column.name)).collect::<io::Result<_>>()?;
            for index in 0..block.len() {
                row(&mut self.rows, &columns, |rows, values| cell(rows, &values.get(index)))?;
                if self.rows.len() >= CHUNK_SIZE {
                    self.flush_chunk()?;
                }
            }
        }
        Ok(())
    }

    fn finish(self: Box<Self>) -> io::Result<()> {
        Encoder::<T>::finish(self)
    }

    fn records(&self, blocks: &[ColumnBlock<T>]) -> u64 {
        blocks.iter().map(|block| block.len() as u64).sum()
    }
}

/// Appends a row: a cell for each column, and the line end.
fn row<C>(
    out: &mut Vec<u8>,
    columns: &[C],
    mut cell: impl FnMut(&mut Vec<u8>, &C) -> io::Result<()>,
) -> io::Result<()> {
    let begin = out.len();
    for (index, column) in columns.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        cell(out, column)?;
    }
    // An empty line is not a row.
    if out.len() == begin {
        out.extend_from_slice(b"\"\"");
    }
    out.push(b'\n');
    Ok(())
}

fn cell(out: &mut Vec<u8>, value: &Value<'_>) -> io::Result<()> {
    match value {
        Value::Text(text) => quoted(out, formula::escape(text).as_bytes()),
        // JSON contains commas and quotes.
        Value::Floats(_) | Value::Texts(_) => quoted(out, value.to_string().as_bytes()),
        Value::Polygons(polygons) => {
            // JSON of numbers has commas and no quotes.
            out.push(b'"');
            text::append_polygons(out, polygons)?;
            out.push(b'"');
        }
        value => text::append(out, value)?,
    }
    Ok(())
}

/// Appends a cell, in quotes if necessary.
fn quoted(out: &mut Vec<u8>, cell: &[u8]) {
    if !needs_quotes(cell) {
        out.extend_from_slice(cell);
        return;
    }
    out.push(b'"');
    let mut begin = 0;
    for quote in memchr::memchr_iter(b'"', cell) {
        out.extend_from_slice(&cell[begin..=quote]);
        begin = quote;
    }
    out.extend_from_slice(&cell[begin..]);
    out.push(b'"');
}

fn needs_quotes(cell: &[u8]) -> bool {
    // XOR gives 0 for each of the four special characters.
    text::has_zero(cell, |byte| (byte ^ b',').min(byte ^ b'"').min(byte ^ b'\n').min(byte ^ b'\r'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]

        #[test]
        fn rows_are_quoted_like_the_csv_library_does(
            cells in prop::collection::vec(prop_oneof![".*", "[a-c,\"\r\n ]{0,40}"], 1..4),
        ) {
            let mut theirs = csv::Writer::from_writer(Vec::new());
            theirs.write_record(&cells).expect("memory takes everything");
            let mut ours = Vec::new();
            row(&mut ours, &cells, |out, cell| {
                quoted(out, cell.as_bytes());
                Ok(())
            })
            .expect("memory takes everything");
            prop_assert_eq!(ours, theirs.into_inner().expect("memory takes everything"));
        }
    }
}
