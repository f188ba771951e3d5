//! Comma-separated values, as the Python toolset writes them but with bare line feeds.

use std::io::{self, Write};

use super::table::table_sink;
use super::{Encoder, Layout};
use crate::record::{Column, Fields, Record, Value, formula, select, text};

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
    CsvSink, |out, layout: &Layout| CsvEncoder::new(out, &layout.fields)
}

/// As much is handed on at once; more would not stay in the cache beside the records.
const PIECE: usize = 1 << 16;

/// Records to CSV bytes.
pub struct CsvEncoder<T: 'static, W: Write> {
    columns: Vec<&'static Column<T>>,
    /// Rows that were not handed on yet.
    rows: Vec<u8>,
    out: W,
}

impl<T: Record, W: Write> CsvEncoder<T, W> {
    /// An encoder that begins with a header; `fields` matter to metadata only.
    pub fn new(out: W, fields: &Fields) -> io::Result<Self> {
        let columns = select::<T>(Some(fields));
        let mut rows = Vec::with_capacity(PIECE + PIECE / 8);
        row(&mut rows, &columns, |rows, column| {
            quoted(rows, column.name.as_bytes());
            Ok(())
        })?;
        Ok(Self { columns, rows, out })
    }

    fn hand_on(&mut self) -> io::Result<()> {
        self.out.write_all(&self.rows)?;
        self.rows.clear();
        Ok(())
    }
}

impl<T: Record, W: Write + Send> Encoder<T> for CsvEncoder<T, W> {
    fn encode(&mut self, batch: &[T]) -> io::Result<()> {
        for record in batch {
            row(&mut self.rows, &self.columns, |rows, column| cell(rows, &(column.get)(record)))?;
            if self.rows.len() >= PIECE {
                self.hand_on()?;
            }
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> io::Result<()> {
        self.hand_on()?;
        self.out.flush()
    }
}

/// Appends a cell for each column, commas between them, and the end of the line.
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
    // An empty line would be no row.
    if out.len() == begin {
        out.extend_from_slice(b"\"\"");
    }
    out.push(b'\n');
    Ok(())
}

fn cell(out: &mut Vec<u8>, value: &Value<'_>) -> io::Result<()> {
    match value {
        Value::Text(text) => quoted(out, formula::guarded(text).as_bytes()),
        // JSON has commas and quotes.
        Value::Floats(_) | Value::Texts(_) => quoted(out, value.to_string().as_bytes()),
        value => text::append(out, value)?,
    }
    Ok(())
}

/// Appends a cell, in quotes if it could be taken for more than one otherwise.
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
    // A byte that is one of the four leaves nothing of itself.
    text::has(cell, |byte| (byte ^ b',').min(byte ^ b'"').min(byte ^ b'\n').min(byte ^ b'\r'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]

        #[test]
        fn rows_are_quoted_as_the_csv_library_does_it(
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
