//! Records from comma-separated files: ours, the Python toolset's, anybody's with the right columns.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use csv::ByteRecord;
use futures::StreamExt;
use tokio::sync::mpsc;

use super::{RecordStream, Source};
use crate::error::{Error, ErrorKind, Result};
use crate::record::{Column, Record, Value};

/// The largest hand-over from the reading thread; the first are small, so that the first record comes at once.
const LARGEST_BATCH: usize = 512;

/// How many hand-overs may wait.
const BATCHES_AHEAD: usize = 4;

/// The longest row that is read.
const LONGEST_ROW: usize = 16 << 20;

/// Records from a CSV file with a header, one row at a time.
///
/// Columns are found by name, in any order; others are left alone. A byte order
/// mark, CRLF and quoted cells are fine. A row that can't be read is an error
/// of kind [`ErrorKind::Malformed`] and the next row follows; if it is the first
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
    name: String,
    rows: csv::Reader<Box<dyn Read + Send>>,
    /// Bytes read since the last row was whole.
    since_row: Arc<AtomicUsize>,
    header: Vec<String>,
    /// For each cell of a row, the column it fills.
    columns: Vec<Option<&'static Column<T>>>,
}

impl<T: Record> CsvSource<T> {
    /// Opens a file and reads its header; a column that is lacking is a usage error.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let file = File::open(path).map_err(|error| cant_open(path, error))?;
        // A folder opens like a file and fails at the first read.
        if file.metadata().is_ok_and(|metadata| metadata.is_dir()) {
            return Err(cant_open(path, io::Error::from(io::ErrorKind::IsADirectory)));
        }
        Self::new(path.display().to_string(), file)
    }

    /// Reads from anything, such as standard input; `name` is how messages call it.
    pub fn new(name: impl Into<String>, from: impl Read + Send + 'static) -> Result<Self> {
        let (name, since_row) = (name.into(), Arc::default());
        let from: Box<dyn Read + Send> = Box::new(Limited { inner: from, since_row: Arc::clone(&since_row) });
        let mut rows = csv::ReaderBuilder::new().flexible(true).from_reader(from);
        let header = rows.headers().map_err(|error| unreadable(&name, 1, &error))?;
        let header: Vec<String> =
            header.iter().map(|cell| cell.trim_start_matches('\u{feff}').trim().to_owned()).collect();
        let columns =
            header.iter().map(|cell| T::COLUMNS.iter().find(|column| column.name == cell)).collect();
        let source = Self { name, rows, since_row, header, columns };
        for column in T::COLUMNS.iter().filter(|column| column.required) {
            source.need(column.name, None)?;
        }
        if let Some(twice) =
            source.header.iter().enumerate().find(|(i, cell)| source.header[..*i].contains(cell))
        {
            let known = T::COLUMNS.iter().any(|column| column.name == twice.1);
            if known {
                return Err(source.refuse(&format!("it has the column `{}` twice", twice.1)));
            }
        }
        Ok(source)
    }

    /// The names of the columns, as they stand in the file.
    pub fn header(&self) -> &[String] {
        &self.header
    }

    /// Makes a column needed that may be lacking otherwise; `hint` says how to get it.
    pub fn require(self, column: &str, hint: impl Into<String>) -> Result<Self> {
        self.need(column, Some(hint.into()))?;
        Ok(self)
    }

    fn need(&self, column: &str, hint: Option<String>) -> Result<()> {
        if self.header.iter().any(|cell| cell == column) {
            return Ok(());
        }
        let has = if self.header.is_empty() || self.header == [""] {
            format!("it is empty: not even a column `{column}`")
        } else {
            format!("it has no column `{column}`, only {}", shorten(&self.header))
        };
        let error = self.refuse(&has);
        Err(error.hint(hint.unwrap_or_else(|| {
            format!("a table of {}s begins with a header that names its columns", T::NAME)
        })))
    }

    fn refuse(&self, why: &str) -> Error {
        Error::new(ErrorKind::Usage, "read the table").subject(self.name.clone()).because(why.to_owned())
    }

    /// Reads rows until the end, handing records over in batches.
    fn pump(mut self, lane: &mpsc::Sender<Vec<Result<T>>>) {
        let mut row = ByteRecord::new();
        let (mut batch, mut size) = (Vec::new(), 1);
        loop {
            self.since_row.store(0, Ordering::Relaxed);
            let last = match self.rows.read_byte_record(&mut row) {
                Ok(true) => {
                    let record = self.record(&row);
                    let last = record.as_ref().is_err_and(Error::is_fatal);
                    batch.push(record);
                    last
                }
                Ok(false) => true,
                Err(error) => {
                    let number = self.rows.position().record() + 1;
                    batch.push(Err(unreadable(&self.name, number, &error)));
                    true
                }
            };
            if last || batch.len() >= size {
                if lane.blocking_send(std::mem::take(&mut batch)).is_err() || last {
                    return;
                }
                size = (size * 2).min(LARGEST_BATCH);
            }
        }
    }

    fn record(&self, row: &ByteRecord) -> Result<T> {
        // Counted as a spreadsheet does, the header being row 1.
        let number = row.position().map_or(0, csv::Position::record) + 1;
        // A table that is wrong from its first row on is wrong in all of them.
        let first = number <= 2;
        let kind = if first { ErrorKind::Usage } else { ErrorKind::Malformed };
        let refuse = |why: String| {
            Error::new(kind, "read the table")
                .subject(self.name.clone())
                .because(format!("row {number}{why}"))
        };
        if row.len() != self.header.len() {
            let error = refuse(format!(" has {} cells, the header names {}", row.len(), self.header.len()));
            return Err(if first {
                error.hint("correct the header or the row, so that each cell has its name")
            } else {
                error
            });
        }
        let mut record = T::default();
        for (cell, column) in row.iter().zip(&self.columns) {
            let Some(column) = column else { continue };
            let set = std::str::from_utf8(cell).map_err(|_| "it is not UTF-8 text").and_then(|text| {
                let value = column.kind.parse(text)?;
                if column.required && value == Value::Null {
                    return Err("it is empty");
                }
                (column.set)(&mut record, value)
            });
            set.map_err(|why| {
                let shown = String::from_utf8_lossy(cell);
                let shown: String =
                    shown.chars().take(60).map(|c| if c.is_control() { '?' } else { c }).collect();
                refuse(format!(", column `{}`: `{shown}`: {why}", column.name))
            })?;
        }
        record.settle();
        Ok(record)
    }
}

impl<T: Record> Source for CsvSource<T> {
    type Item = T;

    fn stream(self) -> RecordStream<T> {
        let lazy = futures::stream::once(async move {
            let (lane, inbox) = mpsc::channel(BATCHES_AHEAD);
            // The thread ends by itself: with the file, or when nobody listens any more.
            std::thread::spawn(move || self.pump(&lane));
            let batches =
                futures::stream::unfold(inbox, |mut inbox| async { Some((inbox.recv().await?, inbox)) });
            batches.map(futures::stream::iter).flatten()
        });
        lazy.flatten().boxed()
    }
}

/// Guards against a quote that is never closed: the reader would take the rest of the file for one cell.
struct Limited<R> {
    inner: R,
    since_row: Arc<AtomicUsize>,
}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        if self.since_row.fetch_add(read, Ordering::Relaxed) > LONGEST_ROW {
            let why = "a row is longer than 16 MiB: is a quote never closed?";
            return Err(io::Error::new(io::ErrorKind::InvalidData, why));
        }
        Ok(read)
    }
}

fn cant_open(path: &Path, error: io::Error) -> Error {
    let missing = error.kind() == io::ErrorKind::NotFound;
    let error = Error::new(ErrorKind::Usage, "open the table")
        .subject(PathBuf::from(path).display().to_string())
        .because(error);
    if missing { error.hint("run the step before first, or name the file with `--input`") } else { error }
}

fn unreadable(name: &str, row: u64, error: &csv::Error) -> Error {
    Error::new(ErrorKind::Usage, "read the table").subject(name).because(format!("row {row}: {error}"))
}

fn shorten(header: &[String]) -> String {
    let shown: Vec<String> = header
        .iter()
        .take(12)
        .map(|cell| format!("`{}`", cell.chars().take(40).collect::<String>()))
        .collect();
    let more = header.len().saturating_sub(12);
    if more > 0 { format!("{} and {more} more", shown.join(", ")) } else { shown.join(", ") }
}
