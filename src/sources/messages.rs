//! Names of a table, its columns and its rows in error messages.

use std::collections::HashSet;
use std::fs::File;
use std::io;
use std::path::Path;

use super::id_check::{IMPORT_AS_TEXT, IdCheck};
use crate::error::{Error, ErrorKind, Result};
use crate::model::FLOAT_ID;
#[cfg(feature = "arrow")]
use crate::record::arrow::Refusal;
use crate::record::{Column, LOST_DIGITS, Record, Value};
use crate::text::redact;

/// Hint for a number in exponent form.
const SHOW_ALL_DIGITS: &str =
    "give the column a number format without exponent, or import it as text, before saving";

/// The name of a table, its header, and what its rows are called.
#[derive(Debug, Clone)]
pub(super) struct TableInfo {
    pub(super) name: String,
    /// `line`, `row` or `feature`.
    pub(super) row: &'static str,
    pub(super) header: Vec<String>,
    pub(super) id_check: IdCheck,
}

impl TableInfo {
    /// A table with an unknown header.
    pub(super) fn new(name: impl Into<String>, row: &'static str) -> Self {
        Self { name: name.into(), row, header: Vec::new(), id_check: IdCheck::default() }
    }

    /// Checks that the header has all required columns, and no column of the record twice.
    pub(super) fn check_header<T: Record>(&self) -> Result<()> {
        for column in T::COLUMNS.iter().filter(|column| column.required) {
            self.require_column(column.name, Some(self.missing_column_hint(column.name)))?;
        }
        let mut seen = HashSet::new();
        for name in self.header.iter().filter(|name| T::COLUMNS.iter().any(|column| column.name == **name)) {
            if !seen.insert(name) {
                return Err(self.error(&format!("it has the column `{name}` twice")));
            }
        }
        Ok(())
    }

    pub(super) fn require_column(&self, column: &str, hint: Option<String>) -> Result<()> {
        if self.header.iter().any(|name| name == column) {
            return Ok(());
        }
        let has = if self.header.is_empty() || self.header == [""] {
            format!("it is empty, without a column `{column}`")
        } else {
            format!("it has no column `{column}`, only {}", shortened(&self.header))
        };
        let error = self.error(&has);
        Err(match hint {
            Some(hint) => error.with_hint(hint),
            None => error,
        })
    }

    /// Hint for a missing column. A table in another format also looks as if columns are missing.
    fn missing_column_hint(&self, column: &str) -> String {
        let first = self.header.first().map_or("", String::as_str);
        if first.starts_with(['{', '\u{1e}']) {
            "it looks like GeoJSON: use `--input-format geojsonseq` or `geojson`".to_owned()
        } else if first.starts_with("PAR1") {
            "it looks like Parquet: use `--input-format parquet`".to_owned()
        } else if self.header.len() == 1 && first.contains([';', '\t']) {
            "separate the columns with commas".to_owned()
        } else {
            format!("the first row must be a header with the column `{column}`")
        }
    }

    /// An error about the whole table.
    pub(super) fn error(&self, why: &str) -> Error {
        Error::new(ErrorKind::Usage, "read the table")
            .with_subject(self.name.clone())
            .with_source(why.to_owned())
    }

    /// An error about a row. An error in the first row is about the table: all other rows are probably wrong too.
    pub(super) fn row_error(&self, row: &Row, why: &str) -> Error {
        let kind = if row.first { ErrorKind::Usage } else { ErrorKind::Malformed };
        Error::new(kind, "read the table")
            .with_subject(self.name.clone())
            .with_location(format!("{} {}", self.row, row.number))
            .with_source(format!("{} {}{why}", self.row, row.number))
    }

    /// Stores a value in a record. `shown` returns the text in the file for error messages.
    pub(super) fn set_value<T: Record>(
        &self,
        record: &mut T,
        column: &Column<T>,
        value: std::result::Result<Value<'_>, &'static str>,
        row: &Row,
        shown: impl FnOnce() -> String,
    ) -> Result<()> {
        let set = value.and_then(|value| column.store(record, value));
        set.map_err(|why| self.value_error(column.name, &shown(), why, row))
    }

    /// An error about a row of a batch.
    #[cfg(feature = "arrow")]
    pub(super) fn refusal(&self, refusal: Refusal, row: &Row) -> Error {
        match refusal {
            Refusal::Cell { column, shown, why } => self.value_error(column, &shown, why, row),
            Refusal::Row(why) => self.row_error(row, &format!(": {why}")),
        }
    }

    /// An error about the value of a column. `shown` is the text in the file.
    pub(super) fn value_error(&self, column: &str, shown: &str, why: &'static str, row: &Row) -> Error {
        let shown = printable(shown, 60);
        let error = self.row_error(row, &format!(", column `{column}`: `{shown}`: {why}"));
        match why {
            FLOAT_ID => error.with_hint(IMPORT_AS_TEXT),
            LOST_DIGITS => error.with_hint(SHOW_ALL_DIGITS),
            _ => error,
        }
    }
}

/// The position of a row.
pub(super) struct Row {
    pub(super) number: u64,
    pub(super) first: bool,
}

/// The beginning of a text from a file, safe to print and without tokens.
pub(super) fn printable(text: &str, most: usize) -> String {
    // Cuts first, so that a very long text costs little.
    let end = text.char_indices().nth(most + 1).map_or(text.len(), |(end, _)| end);
    crate::text::printable(&redact(&text[..end]), most)
}

fn shortened(header: &[String]) -> String {
    let shown: Vec<String> =
        header.iter().take(12).map(|cell| format!("`{}`", printable(cell, 40))).collect();
    let more = header.len().saturating_sub(12);
    if more > 0 { format!("{} and {more} more", shown.join(", ")) } else { shown.join(", ") }
}

/// Opens a file. A folder is an error.
pub(super) fn open_file(path: &Path) -> Result<File> {
    let file = File::open(path).map_err(|error| open_error(path, error))?;
    // A folder can be opened and fails at the first read.
    if file.metadata().is_ok_and(|metadata| metadata.is_dir()) {
        return Err(open_error(path, io::Error::from(io::ErrorKind::IsADirectory)));
    }
    Ok(file)
}

fn open_error(path: &Path, error: io::Error) -> Error {
    Error::new(ErrorKind::Usage, "open the table").with_subject(path.display().to_string()).with_source(error)
}
