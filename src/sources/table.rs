//! A table in any format, and what the readers of all formats have in common.

use std::collections::HashSet;
use std::fs::File;
use std::io;
use std::path::Path;

#[cfg(feature = "parquet")]
use super::ParquetSource;
use super::rounded_ids::{IMPORT_AS_TEXT, IdCheck};
use super::{CsvSource, GeoJsonSource, RecordStream, Source};
use crate::client::redact;
use crate::error::{Error, ErrorKind, Result};
use crate::format::Format;
use crate::model::FLOAT_ID;
use crate::record::{Column, LONGEST_TEXT, LOST_DIGITS, Record, Value};

/// Records from a table of whichever format.
///
/// ```no_run
/// use futures::TryStreamExt;
/// use streetflow::{Image, Source, TableSource};
///
/// # #[tokio::main] async fn main() -> streetflow::Result<()> {
/// let images: Vec<Image> = TableSource::open("outputs/img_dataset.geojsonl")?.stream().try_collect().await?;
/// # drop(images); Ok(()) }
/// ```
pub struct TableSource<T: 'static>(Reader<T>);

enum Reader<T: 'static> {
    Csv(CsvSource<T>),
    #[cfg(feature = "parquet")]
    Parquet(ParquetSource<T>),
    GeoJson(GeoJsonSource<T>),
}

impl<T: Record> TableSource<T> {
    /// Opens a file whose name tells its format; a column that is lacking is a usage error.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        Self::open_as(path, Format::from_path(path)?)
    }

    /// Opens a file of a format.
    pub fn open_as(path: impl AsRef<Path>, format: Format) -> Result<Self> {
        Ok(Self(match format {
            Format::Csv => Reader::Csv(CsvSource::open(path)?),
            #[cfg(feature = "parquet")]
            Format::Parquet => Reader::Parquet(ParquetSource::open(path)?),
            Format::GeoJson => Reader::GeoJson(GeoJsonSource::open(path)?),
            Format::GeoJsonSeq => Reader::GeoJson(GeoJsonSource::open_lines(path)?),
        }))
    }

    /// Reads from anything, such as standard input; `name` is how messages call it.
    ///
    /// Parquet can't be read so, for its end must be read first.
    pub fn read(
        name: impl Into<String>,
        from: impl io::Read + Send + 'static,
        format: Format,
    ) -> Result<Self> {
        Ok(Self(match format {
            Format::Csv => Reader::Csv(CsvSource::new(name, from)?),
            #[cfg(feature = "parquet")]
            Format::Parquet => {
                return Err(Error::new(ErrorKind::Usage, "read Parquet from")
                    .with_subject(name)
                    .with_source("its end must be read before its beginning")
                    .with_hint("write it to a file and name that"));
            }
            Format::GeoJson => Reader::GeoJson(GeoJsonSource::new(name, from)?),
            Format::GeoJsonSeq => Reader::GeoJson(GeoJsonSource::lines(name, from)?),
        }))
    }

    /// Reads CSV of which the first line has this number in messages.
    pub fn csv_at(
        name: impl Into<String>,
        from: impl io::Read + Send + 'static,
        first_line: u64,
    ) -> Result<Self> {
        Ok(Self(Reader::Csv(CsvSource::new_at(name, from, first_line)?)))
    }

    /// Reads these columns only, besides those without which there is no record: what else is wrong in a row does not
    /// matter.
    ///
    /// ```
    /// use futures::TryStreamExt;
    /// use streetflow::{Format, Metadata, Source, TableSource};
    ///
    /// # #[tokio::main] async fn main() -> streetflow::Result<()> {
    /// let text = "img_id,width,altitude\n728019821979741,2560,high\n";
    /// let table = TableSource::<Metadata>::read("a text", text.as_bytes(), Format::Csv)?.only(&["width"]);
    /// let images: Vec<_> = table.stream().try_collect().await?;
    /// assert_eq!((images[0].width, images[0].altitude), (Some(2560), None));
    /// # Ok(()) }
    /// ```
    pub fn only(self, names: &[&str]) -> Self {
        Self(match self.0 {
            Reader::Csv(source) => Reader::Csv(source.only(names)),
            #[cfg(feature = "parquet")]
            Reader::Parquet(source) => Reader::Parquet(source.only(names)),
            Reader::GeoJson(source) => Reader::GeoJson(source.only(names)),
        })
    }

    /// What to do where a spreadsheet seems to have rounded image ids; without this a table of such ids is refused.
    pub fn on_rounded_ids(mut self, check: IdCheck) -> Self {
        let table = match &mut self.0 {
            Reader::Csv(source) => source.table_mut(),
            #[cfg(feature = "parquet")]
            Reader::Parquet(source) => source.table_mut(),
            Reader::GeoJson(source) => source.table_mut(),
        };
        table.id_check = check;
        self
    }

    /// The names of the columns, as they stand in the file; of GeoJSON the properties of its first features.
    pub fn header(&self) -> &[String] {
        match &self.0 {
            Reader::Csv(source) => source.header(),
            #[cfg(feature = "parquet")]
            Reader::Parquet(source) => source.header(),
            Reader::GeoJson(source) => source.header(),
        }
    }

    /// The same table as one of other records.
    pub fn retype<U: Record>(self) -> Result<TableSource<U>> {
        Ok(TableSource(match self.0 {
            Reader::Csv(source) => Reader::Csv(source.retype()?),
            #[cfg(feature = "parquet")]
            Reader::Parquet(source) => Reader::Parquet(source.retype()?),
            Reader::GeoJson(source) => Reader::GeoJson(source.retype()?),
        }))
    }

    /// What the file says of itself, by name: the query that it is the answer to, for one. Only Parquet can tell.
    pub fn notes(&self) -> Vec<(String, String)> {
        match &self.0 {
            #[cfg(feature = "parquet")]
            Reader::Parquet(source) => source.notes(),
            _ => Vec::new(),
        }
    }

    /// The column that is the geometry.
    pub fn geometry(&self) -> Option<&str> {
        match &self.0 {
            Reader::Csv(_) => None,
            #[cfg(feature = "parquet")]
            Reader::Parquet(source) => source.geometry(),
            Reader::GeoJson(source) => source.has_geometry().then_some("geometry"),
        }
    }

    /// Whether its rows have the id of an image besides the columns.
    pub fn has_image_id(&self) -> bool {
        matches!(&self.0, Reader::GeoJson(source) if source.has_image_id())
    }

    /// The columns that fill nothing.
    pub fn unread(&self) -> Vec<String> {
        match &self.0 {
            Reader::Csv(source) => source.unread(),
            #[cfg(feature = "parquet")]
            Reader::Parquet(source) => source.unread(),
            Reader::GeoJson(source) => source.unread(),
        }
    }

    /// Makes a column needed that may be lacking otherwise; `hint` says how to get it.
    pub fn require(self, column: &str, hint: impl Into<String>) -> Result<Self> {
        match &self.0 {
            Reader::Csv(source) => source.table().need(column, Some(hint.into()))?,
            #[cfg(feature = "parquet")]
            Reader::Parquet(source) => source.table().need(column, Some(hint.into()))?,
            Reader::GeoJson(source) => source.table().need(column, Some(hint.into()))?,
        }
        Ok(self)
    }
}

impl<T: Record> Source for TableSource<T> {
    type Item = T;

    fn stream(self) -> RecordStream<T> {
        match self.0 {
            Reader::Csv(source) => source.stream(),
            #[cfg(feature = "parquet")]
            Reader::Parquet(source) => source.stream(),
            Reader::GeoJson(source) => source.stream(),
        }
    }
}

/// A record of which only the header is wanted.
#[derive(Debug, Clone, Default)]
pub struct HeaderOnly;

impl Record for HeaderOnly {
    const NAME: &'static str = "record";
    const COLUMNS: &'static [Column<Self>] = &[];
}

/// What to do about a number that is shown in exponent form.
const SHOW_ALL_DIGITS: &str =
    "give the column a number format without exponent, or import it as text, before saving";

/// What is said of a value beyond [`LONGEST_TEXT`].
pub(super) const TOO_LONG: &str = "it is longer than 1 MiB";

/// What messages say of a table: its name, what its rows are called, its columns.
#[derive(Debug, Clone)]
pub(super) struct Table {
    pub(super) name: String,
    /// `line`, `row` or `feature`.
    pub(super) row: &'static str,
    pub(super) header: Vec<String>,
    pub(super) id_check: IdCheck,
}

impl Table {
    /// A table of which no header is known yet; `row` is what its rows are called.
    pub(super) fn new(name: impl Into<String>, row: &'static str) -> Self {
        Self { name: name.into(), row, header: Vec::new(), id_check: IdCheck::default() }
    }

    /// Checks the header: what a record can't do without is there, and nothing is there twice.
    pub(super) fn check<T: Record>(&self) -> Result<()> {
        for column in T::COLUMNS.iter().filter(|column| column.required) {
            self.need(column.name, Some(self.hint(column.name)))?;
        }
        let mut seen = HashSet::new();
        for name in self.header.iter().filter(|name| T::COLUMNS.iter().any(|column| column.name == **name)) {
            if !seen.insert(name) {
                return Err(self.refuse(&format!("it has the column `{name}` twice")));
            }
        }
        Ok(())
    }

    pub(super) fn need(&self, column: &str, hint: Option<String>) -> Result<()> {
        if self.header.iter().any(|name| name == column) {
            return Ok(());
        }
        let has = if self.header.is_empty() || self.header == [""] {
            format!("it is empty: not even a column `{column}`")
        } else {
            format!("it has no column `{column}`, only {}", shorten(&self.header))
        };
        let error = self.refuse(&has);
        Err(match hint {
            Some(hint) => error.with_hint(hint),
            None => error,
        })
    }

    /// What to do about a column that is lacking: tables of another format seem to have none.
    fn hint(&self, column: &str) -> String {
        let first = self.header.first().map_or("", String::as_str);
        if first.starts_with(['{', '\u{1e}']) {
            "it looks like GeoJSON: say `--input-format geojsonseq` or `geojson`".to_owned()
        } else if first.starts_with("PAR1") {
            "it looks like Parquet: say `--input-format parquet`".to_owned()
        } else if self.header.len() == 1 && first.contains([';', '\t']) {
            "separate the columns with commas".to_owned()
        } else {
            format!("a table names its columns in its header, and `{column}` must be among them")
        }
    }

    /// The table as a whole is of no use.
    pub(super) fn refuse(&self, why: &str) -> Error {
        Error::new(ErrorKind::Usage, "read the table")
            .with_subject(self.name.clone())
            .with_source(why.to_owned())
    }

    /// A row is of no use. A table that is wrong from its first row on is wrong in all of them.
    pub(super) fn refuse_row(&self, row: &Row, why: &str) -> Error {
        let kind = if row.first { ErrorKind::Usage } else { ErrorKind::Malformed };
        Error::new(kind, "read the table")
            .with_subject(self.name.clone())
            .with_location(format!("{} {}", self.row, row.number))
            .with_source(format!("{} {}{why}", self.row, row.number))
    }

    /// Puts a value into a record; `shown` is the value as it stands in the file.
    pub(super) fn set<T: Record>(
        &self,
        record: &mut T,
        column: &Column<T>,
        value: std::result::Result<Value<'_>, &'static str>,
        row: &Row,
        shown: impl FnOnce() -> String,
    ) -> Result<()> {
        let set = value.and_then(|value| {
            let empty =
                matches!(&value, Value::Null) || matches!(&value, Value::Text(text) if text.is_empty());
            if column.required && empty {
                return Err("it is empty");
            }
            if matches!(&value, Value::Text(text) if text.len() > LONGEST_TEXT) {
                return Err(TOO_LONG);
            }
            (column.set)(record, value)
        });
        set.map_err(|why| {
            let shown = printable(&shown(), 60);
            let error = self.refuse_row(row, &format!(", column `{}`: `{shown}`: {why}", column.name));
            match why {
                FLOAT_ID => error.with_hint(IMPORT_AS_TEXT),
                LOST_DIGITS => error.with_hint(SHOW_ALL_DIGITS),
                _ => error,
            }
        })
    }
}

/// Which row it is.
pub(super) struct Row {
    pub(super) number: u64,
    pub(super) first: bool,
}

/// The beginning of a text from a file, made fit to be shown; no token that somebody has put there either.
pub(super) fn printable(text: &str, most: usize) -> String {
    // Cut first: what is endless must not cost endless time.
    let end = text.char_indices().nth(most + 1).map_or(text.len(), |(end, _)| end);
    crate::text::printable(&redact(&text[..end]), most)
}

fn shorten(header: &[String]) -> String {
    let shown: Vec<String> =
        header.iter().take(12).map(|cell| format!("`{}`", printable(cell, 40))).collect();
    let more = header.len().saturating_sub(12);
    if more > 0 { format!("{} and {more} more", shown.join(", ")) } else { shown.join(", ") }
}

/// Opens a file for reading, and no folder.
pub(super) fn open(path: &Path) -> Result<File> {
    let file = File::open(path).map_err(|error| cant_open(path, error))?;
    // A folder opens like a file and fails at the first read.
    if file.metadata().is_ok_and(|metadata| metadata.is_dir()) {
        return Err(cant_open(path, io::Error::from(io::ErrorKind::IsADirectory)));
    }
    Ok(file)
}

fn cant_open(path: &Path, error: io::Error) -> Error {
    Error::new(ErrorKind::Usage, "open the table").with_subject(path.display().to_string()).with_source(error)
}
