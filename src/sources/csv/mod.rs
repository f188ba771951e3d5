//! Records from CSV files.

#[cfg(feature = "arrow")]
mod columns;
mod rows;

use std::borrow::Cow;
use std::io::Read;
use std::ops::Range;
use std::path::Path;

use self::rows::{Rows, unquoted, unquoted_text};
use super::messages::{self, Row, TableInfo};
use super::reader_channel::{self, Batch, BatchSender};
use super::{RecordStream, Source};
use crate::error::Result;
use crate::record::{Column, Kind, MAX_TEXT_LEN, Record, TOO_LONG, Value, formula};

/// Larger headers are not CSV; tables of other tools have hundreds of columns.
const MAX_COLUMNS: usize = 10_000;

/// Reads records from a CSV file with a header, one row at a time.
///
/// - Columns are found by name, in any order. Other columns are ignored.
/// - A byte order mark, CRLF and quoted cells are accepted. Rows with only empty cells are skipped.
/// - The apostrophe that [`CsvSink`](crate::CsvSink) writes before a formula is removed.
/// - An invalid row is an error of kind [`Malformed`](crate::ErrorKind::Malformed), and the next row follows. If it is
///   the first row, the error is of kind [`Usage`](crate::ErrorKind::Usage) and ends the stream.
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
    table: TableInfo,
    rows: Rows<Box<dyn Read + Send>>,
    /// For each cell of a row, the column of the record.
    columns: Vec<Option<&'static Column<T>>>,
}

impl<T: Record> CsvSource<T> {
    /// Opens a file and reads its header. A missing required column is an error of kind `Usage`.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        Self::new(path.display().to_string(), messages::open_file(path)?)
    }

    /// Reads a table from any reader, such as standard input. `name` is its name in error messages.
    pub fn new(name: impl Into<String>, from: impl Read + Send + 'static) -> Result<Self> {
        Self::new_at(name, from, 1)
    }

    /// Reads a part of a text, with line numbers in error messages that start at `first_line`.
    pub(super) fn new_at(
        name: impl Into<String>,
        from: impl Read + Send + 'static,
        first_line: u64,
    ) -> Result<Self> {
        let mut table = TableInfo::new(name, "line");
        let mut rows = Rows::new(Box::new(from) as Box<dyn Read + Send>, first_line);
        while rows.next().map_err(|error| table.error(&format!("line {}: {error}", rows.line())))?
            && rows.is_blank()
        {}
        let header = header(&rows).map_err(|error| {
            table
                .error(&format!("line {}: {error}", rows.line()))
                .with_hint("save it as UTF-8 text with commas; check whether it is CSV at all")
        })?;
        if header.len() > MAX_COLUMNS || header.iter().any(|cell| cell.len() > MAX_TEXT_LEN) {
            return Err(table.error("its header is longer than any table's: is it CSV at all?"));
        }
        let name = |cell: &str| our_name(cell.trim_start_matches('\u{feff}').trim()).to_owned();
        table.header = header.iter().map(name).collect();
        Self::from_rows(table, rows)
    }

    fn from_rows(table: TableInfo, rows: Rows<Box<dyn Read + Send>>) -> Result<Self> {
        table.check_header::<T>()?;
        let column = |cell: &String| T::COLUMNS.iter().find(|column| column.name == cell);
        let columns = table.header.iter().map(column).collect();
        Ok(Self { table, rows, columns })
    }

    pub(super) fn retype<U: Record>(self) -> Result<CsvSource<U>> {
        CsvSource::from_rows(self.table, self.rows)
    }

    /// The column names in the file.
    pub fn header(&self) -> &[String] {
        &self.table.header
    }

    /// Makes an optional column required. `hint` tells the user how to get it.
    pub fn require(self, column: &str, hint: impl Into<String>) -> Result<Self> {
        self.table.require_column(column, Some(hint.into()))?;
        Ok(self)
    }

    /// The columns that fill no column of the record.
    pub(super) fn unread(&self) -> Vec<String> {
        let columns = self.table.header.iter().zip(&self.columns);
        columns.filter(|(_, column)| column.is_none()).map(|(name, _)| name.clone()).collect()
    }

    /// Whether the table can give a column of the record a value.
    pub(super) fn fills(&self, column: &Column<T>) -> bool {
        self.columns.iter().flatten().any(|filled| filled.name == column.name)
    }

    /// Reads only these columns and the required ones. Invalid values in other columns are ignored.
    pub fn only(mut self, names: &[&str]) -> Self {
        let needless = |column: &&Column<T>| !column.required && !names.contains(&column.name);
        self.columns.iter_mut().for_each(|column| *column = column.filter(|column| !needless(column)));
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
    fn send_records<B: Batch<T>>(mut self, sender: &mut BatchSender<T, B>) {
        let mut is_first = true;
        loop {
            let more = match self.next_row(&mut is_first) {
                Ok(Some(row)) => sender.fill(|record| self.read(record, &row)),
                Ok(None) => return,
                Err(error) => sender.push(Err(error)),
            };
            if !more {
                return;
            }
        }
    }

    /// Advances to the next row with a value.
    fn next_row(&mut self, is_first: &mut bool) -> Result<Option<Row>> {
        let why = loop {
            match self.rows.next() {
                Ok(true) if self.rows.is_blank() => {}
                // The file ends inside a quoted cell.
                Ok(true) if self.rows.is_unclosed() => break "the row has an unclosed quote".to_owned(),
                Ok(true) => {
                    return Ok(Some(Row { number: self.rows.line(), first: std::mem::take(is_first) }));
                }
                Ok(false) => return Ok(None),
                Err(error) => break error.to_string(),
            }
        };
        Err(self.table.error(&format!("line {}: {why}", self.rows.line())))
    }

    /// Fills a record, or a row of columns, from the current row.
    fn read(&self, record: &mut impl Target<T>, row: &Row) -> Result<()> {
        let (cells, names) = (self.rows.len(), self.table.header.len());
        if cells != names {
            let (line, last) = (self.rows.line(), self.rows.last_line());
            let lines = if last > line {
                format!(", and continues to line {last}: is a quote not closed?")
            } else {
                String::new()
            };
            let why = format!(" has {cells} cells, the header names {names}{lines}");
            let error = self.table.row_error(row, &why);
            return Err(if row.first {
                error.with_hint("correct the header or the row, so that both have the same number of cells")
            } else {
                error
            });
        }
        // Validates UTF-8 for the whole row at once, because most rows are valid.
        let is_quoted = self.rows.is_quoted();
        match std::str::from_utf8(self.rows.text()) {
            Ok(text) if !is_quoted => self.cells(record, row, |cell| Ok(Cow::Borrowed(&text[cell]))),
            Ok(text) => self.cells(record, row, |cell| Ok(unquoted_text(&text[cell]))),
            Err(_) => {
                let bytes = self.rows.text();
                self.cells(record, row, |cell| text_of(unquoted(&bytes[cell])))
            }
        }
    }

    /// Fills a record from cells. `text` returns the text of a cell, or its bytes if it is not UTF-8. Only cells of the
    /// columns that are read lose their quotes.
    fn cells<'a>(
        &self,
        record: &mut impl Target<T>,
        row: &Row,
        text: impl Fn(Range<usize>) -> std::result::Result<Cow<'a, str>, Cow<'a, [u8]>>,
    ) -> Result<()> {
        let cells = self.rows.cells();
        // Detects two tables in one file.
        if cells
            .clone()
            .zip(&self.table.header)
            .all(|(cell, name)| text(cell).is_ok_and(|cell| cell == *name))
        {
            return Err(self.table.row_error(row, " repeats the header"));
        }
        let len = |cell| text(cell).map_or_else(|bytes| bytes.len(), |text| text.len());
        let is_long = |cell: Range<usize>| cell.len() > MAX_TEXT_LEN && len(cell) > MAX_TEXT_LEN;
        if let Some(long) = cells.clone().position(is_long) {
            let name = messages::printable(&self.table.header[long], 60);
            return Err(self.table.row_error(row, &format!(", column `{name}`: {TOO_LONG}")));
        }
        for (index, (cell, column)) in cells.zip(&self.columns).enumerate() {
            let Some(column) = column else { continue };
            let cell = text(cell);
            let value = cell.as_deref().map_err(|_| "it is not UTF-8 text").and_then(|text| {
                column.kind.parse(if column.kind == Kind::Text { formula::unescape(text) } else { text })
            });
            value.and_then(|value| record.set(index, column, value)).map_err(|why| {
                let shown =
                    cell.as_deref().map_or_else(|bytes| String::from_utf8_lossy(bytes), Cow::Borrowed);
                self.table.value_error(column.name, &shown, why, row)
            })?;
        }
        record.end().map_err(|why| self.table.row_error(row, &format!(": {why}")))
    }
}

/// What the cells of a row fill.
trait Target<T> {
    /// Stores the value of a cell, or returns why it is invalid. `cell` counts the cells of the row.
    fn set(
        &mut self,
        cell: usize,
        column: &'static Column<T>,
        value: Value<'_>,
    ) -> std::result::Result<(), &'static str>;

    /// Checks the row when all cells are stored.
    fn end(&mut self) -> std::result::Result<(), &'static str>;
}

impl<T: Record> Target<T> for T {
    fn set(
        &mut self,
        _: usize,
        column: &'static Column<T>,
        value: Value<'_>,
    ) -> std::result::Result<(), &'static str> {
        column.store(self, value)
    }

    fn end(&mut self) -> std::result::Result<(), &'static str> {
        self.complete();
        self.validate()
    }
}

/// The text of a cell, or its bytes if it is not UTF-8.
fn text_of(cell: Cow<'_, [u8]>) -> std::result::Result<Cow<'_, str>, Cow<'_, [u8]>> {
    match cell {
        Cow::Borrowed(bytes) => std::str::from_utf8(bytes).map(Cow::Borrowed).map_err(|_| cell),
        Cow::Owned(bytes) => {
            String::from_utf8(bytes).map(Cow::Owned).map_err(|error| error.into_bytes().into())
        }
    }
}

/// Our name of a column of the Python toolset's table of detections.
fn our_name(column: &str) -> &str {
    match column {
        "detections.id" => "detection_id",
        "detections.value" => "value",
        "detections.geometry" => "geometry",
        "detections.created_at" => "created_at",
        other => other,
    }
}

/// Parses the header with the `csv` library, for its error messages.
fn header<R: Read>(rows: &Rows<R>) -> std::result::Result<csv::StringRecord, csv::Error> {
    csv::ReaderBuilder::new().from_reader(rows.text()).headers().cloned()
}

impl<T: Record> Source for CsvSource<T> {
    type Item = T;

    fn stream(self) -> RecordStream<T> {
        reader_channel::from_thread(self.table.clone(), move |sender| self.send_records(sender))
    }
}

#[cfg(test)]
mod tests {
    use futures::StreamExt;
    use futures::executor::block_on;
    use proptest::prelude::*;

    use super::*;
    use crate::model::Metadata;

    /// A cell as a program may write it, and its value.
    fn cell() -> impl Strategy<Value = (String, String)> {
        let bare = "[a-c ][a-c\" ]{0,6}".prop_map(|text: String| (text.clone(), text));
        let quoted = "[a-c][a-c\",\r\n]{0,8}"
            .prop_map(|text: String| (format!("\"{}\"", text.replace('"', "\"\"")), text));
        prop_oneof![bare, quoted]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(5_000))]

        #[test]
        fn quoted_cells_and_cells_of_several_lines_are_read_in_any_order(
            cells in prop::collection::vec((cell(), cell()), 1..12),
            end in prop_oneof!["\n", "\r\n", "\n,,\n"],
        ) {
            let rows: Vec<_> = cells.iter().map(|((make, _), (model, _))| format!("1,{make},{model}{end}")).collect();
            let text = format!("img_id,make,model\n{}", rows.concat());
            let source = CsvSource::<Metadata>::new("a text", std::io::Cursor::new(text)).expect("a table");
            let read: Vec<_> = block_on(source.stream().collect());
            prop_assert_eq!(read.len(), cells.len());
            for (record, ((_, make), (_, model))) in read.into_iter().zip(cells) {
                let record = record.expect("a record");
                prop_assert_eq!((record.make, record.model), (Some(make), Some(model)));
            }
        }
    }
}
