//! Records from comma-separated files: ours, the Python toolset's, anybody's with the right columns.

use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use csv::ByteRecord;

use super::table::{self, Lane, Row, TOO_LONG, Table};
use super::{LONGEST_ROW, RecordStream, Source};
use crate::error::Result;
use crate::record::{Column, Kind, LONGEST_TEXT, Record, formula};

/// Tables of other tools have some hundreds.
const MOST_COLUMNS: usize = 10_000;

/// Records from a CSV file with a header, one row at a time.
///
/// Columns are found by name, in any order; others are left alone. A byte order
/// mark, CRLF and quoted cells are fine. An apostrophe before what a spreadsheet would take for a formula, as
/// [`CsvSink`](crate::CsvSink) writes it, is taken off. A row that can't be read is an error
/// of kind [`ErrorKind::Malformed`](crate::ErrorKind) and the next row follows; if it is the first
/// one, the table is of no use and the error is one of usage.
///
/// ```
/// use futures::TryStreamExt;
/// use streetflow::{CsvSource, Image, Source};
///
/// # #[tokio::main] async fn main() -> streetflow::Result<()> {
/// let rows = "img_id,seq_id\n728019821979741,OtUBS2gd0HrkNqTDa8Ezxh\n";
/// let images: Vec<Image> = CsvSource::new("a text", rows.as_bytes())?.stream().try_collect().await?;
/// assert_eq!(images[0].img_id.as_str(), "728019821979741");
/// # Ok(()) }
/// ```
pub struct CsvSource<T: 'static> {
    table: Table,
    rows: csv::Reader<Box<dyn Read + Send>>,
    read: Arc<Count>,
    /// For each cell of a row, the column it fills.
    columns: Vec<Option<&'static Column<T>>>,
}

impl<T: Record> CsvSource<T> {
    /// Opens a file and reads its header; a column that is lacking is a usage error.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        Self::new(path.display().to_string(), table::open(path)?)
    }

    /// Reads from anything, such as standard input; `name` is how messages call it.
    pub fn new(name: impl Into<String>, from: impl Read + Send + 'static) -> Result<Self> {
        let read = Arc::default();
        let from: Box<dyn Read + Send> =
            Box::new(Limited { inner: from, at_start: true, read: Arc::clone(&read) });
        let mut table = Table { name: name.into(), row: "row", header: Vec::new() };
        let mut rows = csv::ReaderBuilder::new().flexible(true).from_reader(from);
        let header = rows.headers().map_err(|error| {
            let unread = table.refuse(&format!("row 1: {error}"));
            if matches!(error.kind(), csv::ErrorKind::Utf8 { .. }) {
                unread.hint("save it as UTF-8 text with commas, and see whether it is CSV at all")
            } else {
                unread
            }
        })?;
        if header.len() > MOST_COLUMNS || header.iter().any(|cell| cell.len() > LONGEST_TEXT) {
            return Err(table.refuse("its header is longer than any table's: is it CSV at all?"));
        }
        table.header =
            header.iter().map(|cell| cell.trim_start_matches('\u{feff}').trim().to_owned()).collect();
        Self::of(table, rows, read)
    }

    fn of(table: Table, rows: csv::Reader<Box<dyn Read + Send>>, read: Arc<Count>) -> Result<Self> {
        table.check::<T>()?;
        let column = |cell: &String| T::COLUMNS.iter().find(|column| column.name == cell);
        let columns = table.header.iter().map(column).collect();
        Ok(Self { table, rows, read, columns })
    }

    #[cfg(feature = "cli")]
    pub(super) fn retype<U: Record>(self) -> Result<CsvSource<U>> {
        CsvSource::of(self.table, self.rows, self.read)
    }

    /// The names of the columns, as they stand in the file.
    pub fn header(&self) -> &[String] {
        &self.table.header
    }

    /// Makes a column needed that may be lacking otherwise; `hint` says how to get it.
    pub fn require(self, column: &str, hint: impl Into<String>) -> Result<Self> {
        self.table.need(column, Some(hint.into()))?;
        Ok(self)
    }

    /// The columns that fill nothing.
    #[cfg(feature = "cli")]
    pub(super) fn unread(&self) -> Vec<String> {
        let columns = self.table.header.iter().zip(&self.columns);
        columns.filter(|(_, column)| column.is_none()).map(|(name, _)| name.clone()).collect()
    }

    pub(super) fn table(&self) -> &Table {
        &self.table
    }

    /// Reads rows until the end.
    fn pump(mut self, lane: &mut Lane<T>) {
        let mut row = ByteRecord::new();
        let mut spans_lines = false;
        loop {
            self.read.since_row.store(0, Ordering::Relaxed);
            let item = match self.rows.read_byte_record(&mut row) {
                Ok(true) => {
                    spans_lines = row.iter().any(|cell| cell.contains(&b'\n'));
                    self.record(&row)
                }
                // The reader takes the end of the file for the end of a quote.
                Ok(false) if spans_lines && self.read.quotes.load(Ordering::Relaxed) % 2 == 1 => {
                    Err(self.table.refuse("its last row has a quote that is never closed"))
                }
                Ok(false) => return,
                Err(error) => {
                    let number = self.rows.position().record() + 1;
                    Err(self.table.refuse(&format!("row {number}: {error}")))
                }
            };
            if !lane.push(item) {
                return;
            }
        }
    }

    fn record(&self, cells: &ByteRecord) -> Result<T> {
        // Counted as a spreadsheet does, the header being row 1.
        let number = cells.position().map_or(0, csv::Position::record) + 1;
        let row = Row { number, first: number <= 2 };
        let names = self.table.header.len();
        if cells.len() != names {
            let why = format!(" has {} cells, the header names {names}", cells.len());
            let error = self.table.refuse_row(&row, &why);
            return Err(if row.first {
                error.hint("correct the header or the row, so that each cell has its name")
            } else {
                error
            });
        }
        // Two tables, one behind the other, are no table.
        if cells.iter().zip(&self.table.header).all(|(cell, name)| cell == name.as_bytes()) {
            return Err(self.table.refuse_row(&row, " repeats the header"));
        }
        if let Some(long) = cells.iter().position(|cell| cell.len() > LONGEST_TEXT) {
            let name = table::printable(&self.table.header[long], 60);
            return Err(self.table.refuse_row(&row, &format!(", column `{name}`: {TOO_LONG}")));
        }
        let mut record = T::default();
        for (cell, column) in cells.iter().zip(&self.columns) {
            let Some(column) = column else { continue };
            let value = std::str::from_utf8(cell).map_err(|_| "it is not UTF-8 text").and_then(|text| {
                column.kind.parse(if column.kind == Kind::Text { formula::unguarded(text) } else { text })
            });
            let shown = || String::from_utf8_lossy(cell).into_owned();
            self.table.set(&mut record, column, value, &row, shown)?;
        }
        record.settle().map_err(|why| self.table.refuse_row(&row, &format!(": {why}")))?;
        Ok(record)
    }
}

impl<T: Record> Source for CsvSource<T> {
    type Item = T;

    fn stream(self) -> RecordStream<T> {
        table::from_thread(self.table.clone(), move |lane| self.pump(lane))
    }
}

/// Guards against a quote that is never closed: the reader would take the rest of the file for one cell.
struct Limited<R> {
    inner: R,
    at_start: bool,
    read: Arc<Count>,
}

/// What has been read.
#[derive(Default)]
struct Count {
    /// Bytes since the last row was whole.
    since_row: AtomicUsize,
    /// Quotes in all: an even number, if each is closed.
    quotes: AtomicUsize,
}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut read = self.inner.read(buffer)?;
        // A byte order mark that comes alone would be taken for the end.
        while self.at_start && (1..4).contains(&read) {
            match self.inner.read(&mut buffer[read..])? {
                0 => break,
                more => read += more,
            }
        }
        self.at_start = false;
        self.read.quotes.fetch_add(memchr::memchr_iter(b'"', &buffer[..read]).count(), Ordering::Relaxed);
        if self.read.since_row.fetch_add(read, Ordering::Relaxed) > LONGEST_ROW {
            let why = "a row is longer than 16 MiB: is a quote never closed?";
            return Err(io::Error::new(io::ErrorKind::InvalidData, why));
        }
        Ok(read)
    }
}
