//! Records from comma-separated files: ours, the Python toolset's, anybody's with the right columns.

mod rows;

use std::borrow::Cow;
use std::io::Read;
use std::path::Path;

use self::rows::{Rows, unquoted};
use super::messages::{self, Row, TOO_LONG, TableInfo};
use super::reader_channel::{self, BatchSender};
use super::{RecordStream, Source};
use crate::error::Result;
use crate::record::{Column, Kind, LONGEST_TEXT, Record, formula};

/// Tables of other tools have some hundreds.
const MOST_COLUMNS: usize = 10_000;

/// Records from a CSV file with a header, one row at a time.
///
/// Columns are found by name, in any order; others are left alone. A byte order
/// mark, CRLF and quoted cells are fine, and rows without anything in any cell are skipped. An apostrophe before what a spreadsheet would take for a formula, as
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
    table: TableInfo,
    rows: Rows<Box<dyn Read + Send>>,
    /// For each cell of a row, the column it fills.
    columns: Vec<Option<&'static Column<T>>>,
}

impl<T: Record> CsvSource<T> {
    /// Opens a file and reads its header; a column that is lacking is a usage error.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        Self::new(path.display().to_string(), messages::open_file(path)?)
    }

    /// Reads from anything, such as standard input; `name` is how messages call it.
    pub fn new(name: impl Into<String>, from: impl Read + Send + 'static) -> Result<Self> {
        Self::new_at(name, from, 1)
    }

    /// The same from somewhere in a text: the first line of what is read has this number in messages.
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
                .with_hint("save it as UTF-8 text with commas, and see whether it is CSV at all")
        })?;
        if header.len() > MOST_COLUMNS || header.iter().any(|cell| cell.len() > LONGEST_TEXT) {
            return Err(table.error("its header is longer than any table's: is it CSV at all?"));
        }
        table.header =
            header.iter().map(|cell| cell.trim_start_matches('\u{feff}').trim().to_owned()).collect();
        Self::of(table, rows)
    }

    fn of(table: TableInfo, rows: Rows<Box<dyn Read + Send>>) -> Result<Self> {
        table.check_header::<T>()?;
        let column = |cell: &String| T::COLUMNS.iter().find(|column| column.name == cell);
        let columns = table.header.iter().map(column).collect();
        Ok(Self { table, rows, columns })
    }

    pub(super) fn retype<U: Record>(self) -> Result<CsvSource<U>> {
        CsvSource::of(self.table, self.rows)
    }

    /// The names of the columns, as they stand in the file.
    pub fn header(&self) -> &[String] {
        &self.table.header
    }

    /// Makes a column needed that may be lacking otherwise; `hint` says how to get it.
    pub fn require(self, column: &str, hint: impl Into<String>) -> Result<Self> {
        self.table.require_column(column, Some(hint.into()))?;
        Ok(self)
    }

    /// The columns that fill nothing.
    pub(super) fn unread(&self) -> Vec<String> {
        let columns = self.table.header.iter().zip(&self.columns);
        columns.filter(|(_, column)| column.is_none()).map(|(name, _)| name.clone()).collect()
    }

    /// Reads these columns only, besides those without which there is no record: what else is wrong in a row does not
    /// matter.
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

    /// Reads rows until the end.
    fn send_records(mut self, sender: &mut BatchSender<T>) {
        let mut is_first = true;
        loop {
            let more = match self.rows.next() {
                Ok(true) if self.rows.is_blank() => continue,
                // The end of the file is not the end of a cell.
                Ok(true) if self.rows.is_unclosed() => {
                    let why = format!("line {}: the row has a quote that is never closed", self.rows.line());
                    sender.push(Err(self.table.error(&why)))
                }
                Ok(true) => {
                    let row = Row { number: self.rows.line(), first: std::mem::take(&mut is_first) };
                    sender.fill(|record| self.read(record, &row))
                }
                Ok(false) => return,
                Err(error) => {
                    sender.push(Err(self.table.error(&format!("line {}: {error}", self.rows.line()))))
                }
            };
            if !more {
                return;
            }
        }
    }

    /// Fills a record from the row.
    fn read(&self, record: &mut T, row: &Row) -> Result<()> {
        let (cells, names) = (self.rows.len(), self.table.header.len());
        if cells != names {
            let (line, last) = (self.rows.line(), self.rows.last_line());
            let lines = if last > line {
                format!(", and goes on to line {last}: is a quote not closed?")
            } else {
                String::new()
            };
            let why = format!(" has {cells} cells, the header names {names}{lines}");
            let error = self.table.row_error(row, &why);
            return Err(if row.first {
                error.with_hint("correct the header or the row, so that each cell has its name")
            } else {
                error
            });
        }
        // The text is looked at as a whole, for most rows are good.
        match std::str::from_utf8(self.rows.text()) {
            Ok(text) if !self.rows.is_quoted() => {
                self.cells(record, row, self.rows.cells().map(|cell| Ok(&text[cell])))
            }
            _ => {
                let bytes = self.rows.text();
                let cells: Vec<_> = self.rows.cells().map(|cell| unquoted(&bytes[cell])).collect();
                self.cells(
                    record,
                    row,
                    cells.iter().map(|cell| std::str::from_utf8(cell).map_err(|_| &**cell)),
                )
            }
        }
    }

    /// The same from its cells; one that is no UTF-8 is an error with its bytes.
    fn cells<'a>(
        &self,
        record: &mut T,
        row: &Row,
        cells: impl Iterator<Item = std::result::Result<&'a str, &'a [u8]>> + Clone,
    ) -> Result<()> {
        // Two tables, one behind the other, are no table.
        if cells.clone().zip(&self.table.header).all(|(cell, name)| cell == Ok(name)) {
            return Err(self.table.row_error(row, " repeats the header"));
        }
        let len = |cell: std::result::Result<&str, &[u8]>| cell.map_or_else(<[u8]>::len, str::len);
        if let Some(long) = cells.clone().position(|cell| len(cell) > LONGEST_TEXT) {
            let name = messages::printable(&self.table.header[long], 60);
            return Err(self.table.row_error(row, &format!(", column `{name}`: {TOO_LONG}")));
        }
        for (cell, column) in cells.zip(&self.columns) {
            let Some(column) = column else { continue };
            let value = cell.map_err(|_| "it is not UTF-8 text").and_then(|text| {
                column.kind.parse(if column.kind == Kind::Text { formula::unguarded(text) } else { text })
            });
            let shown = || cell.map_or_else(String::from_utf8_lossy, Cow::Borrowed).into_owned();
            self.table.set_value(record, column, value, row, shown)?;
        }
        record.settle().map_err(|why| self.table.row_error(row, &format!(": {why}")))
    }
}

/// The cells of the first row; what is wrong with them is said as the `csv` library says it.
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

    /// A cell as some program writes it, and what it says.
    fn cell() -> impl Strategy<Value = (String, String)> {
        let bare = "[a-c ][a-c\" ]{0,6}".prop_map(|text: String| (text.clone(), text));
        let quoted = "[a-c][a-c\",\r\n]{0,8}"
            .prop_map(|text: String| (format!("\"{}\"", text.replace('"', "\"\"")), text));
        prop_oneof![bare, quoted]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(5_000))]

        #[test]
        fn quotes_within_cells_and_cells_of_several_lines_are_read_in_any_order(
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
