//! A table in any format, and what the readers of all formats have in common.

use std::collections::HashSet;
use std::fs::File;
use std::io;
use std::panic::{self, AssertUnwindSafe};
use std::path::Path;
use std::task::{Context, Poll, ready};

use futures::StreamExt;
use tokio::sync::mpsc;

#[cfg(feature = "parquet")]
use super::ParquetSource;
use super::{CsvSource, GeoJsonSource, RecordStream, Source};
use crate::client::redact;
use crate::error::{Error, ErrorKind, Result};
use crate::format::Format;
use crate::record::{Column, LONGEST_TEXT, Record, Value};

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
        Self::open_as(path, Format::of(path)?)
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
                    .subject(name)
                    .because("its end must be read before its beginning")
                    .hint("write it to a file and name that"));
            }
            Format::GeoJson => Reader::GeoJson(GeoJsonSource::new(name, from)?),
            Format::GeoJsonSeq => Reader::GeoJson(GeoJsonSource::lines(name, from)?),
        }))
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
    #[cfg(feature = "cli")]
    pub(crate) fn retype<U: Record>(self) -> Result<TableSource<U>> {
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
    #[cfg(feature = "cli")]
    pub(crate) fn geometry(&self) -> Option<&str> {
        match &self.0 {
            Reader::Csv(_) => None,
            #[cfg(feature = "parquet")]
            Reader::Parquet(source) => source.geometry(),
            Reader::GeoJson(source) => source.has_geometry().then_some("geometry"),
        }
    }

    /// Whether its rows have the id of an image besides the columns.
    #[cfg(feature = "cli")]
    pub(crate) fn has_image_id(&self) -> bool {
        matches!(&self.0, Reader::GeoJson(source) if source.has_image_id())
    }

    /// The columns that fill nothing.
    #[cfg(feature = "cli")]
    pub(crate) fn unread(&self) -> Vec<String> {
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
#[cfg(feature = "cli")]
#[derive(Debug, Clone, Default)]
pub(crate) struct Unknown;

#[cfg(feature = "cli")]
impl Record for Unknown {
    const NAME: &'static str = "record";
    const COLUMNS: &'static [Column<Self>] = &[];
}

/// What is said of a value beyond [`LONGEST_TEXT`].
pub(super) const TOO_LONG: &str = "it is longer than 1 MiB";

/// What messages say of a table: its name, what its rows are called, its columns.
#[derive(Debug, Clone)]
pub(super) struct Table {
    pub(super) name: String,
    /// `row` or `feature`.
    pub(super) row: &'static str,
    pub(super) header: Vec<String>,
}

impl Table {
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
            Some(hint) => error.hint(hint),
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
        Error::new(ErrorKind::Usage, "read the table").subject(self.name.clone()).because(why.to_owned())
    }

    /// A row is of no use. A table that is wrong from its first row on is wrong in all of them.
    pub(super) fn refuse_row(&self, row: &Row, why: &str) -> Error {
        let kind = if row.first { ErrorKind::Usage } else { ErrorKind::Malformed };
        Error::new(kind, "read the table")
            .subject(self.name.clone())
            .part(format!("{} {}", self.row, row.number))
            .because(format!("{} {}{why}", self.row, row.number))
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
            self.refuse_row(row, &format!(", column `{}`: `{shown}`: {why}", column.name))
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
    crate::printable::printable(&redact(&text[..end]), most)
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
    Error::new(ErrorKind::Usage, "open the table").subject(path.display().to_string()).because(error)
}

/// The largest hand-over from a reading thread; the first are small, so that the first record comes at once.
const LARGEST_BATCH: usize = 512;

/// How many hand-overs may wait.
const BATCHES_AHEAD: usize = if cfg!(fuzzing) { 64 } else { 4 };

/// Records that are handed over together; those that were taken leave their place empty.
type Batch<T> = Vec<Option<Result<T>>>;

/// The way from a reading thread to the stream.
pub(super) struct Lane<T> {
    batches: mpsc::Sender<Batch<T>>,
    /// Batches that were emptied: so large a piece of memory is better used again than asked for again.
    empties: mpsc::Receiver<Batch<T>>,
    batch: Batch<T>,
    size: usize,
    /// Whether the last of the batch is not a whole record yet.
    filling: bool,
}

impl<T> Lane<T> {
    /// Hands an item over; false if nobody wants more, or it was the last by its own word.
    pub(super) fn push(&mut self, item: Result<T>) -> bool {
        self.batch.push(Some(item));
        self.pushed()
    }

    /// Hands a record over that is filled where it stands, for it is large; or the error that came of it.
    pub(super) fn fill(&mut self, fill: impl FnOnce(&mut T) -> Result<()>) -> bool
    where
        T: Default,
    {
        self.batch.push(Some(Ok(T::default())));
        let Some(Some(Ok(record))) = self.batch.last_mut() else { return false };
        self.filling = true;
        let filled = fill(record);
        self.filling = false;
        if let Err(error) = filled {
            self.batch.pop();
            self.batch.push(Some(Err(error)));
        }
        self.pushed()
    }

    /// Says why reading came to a halt, whatever it was at.
    fn halt(&mut self, error: Error) {
        if self.filling {
            self.batch.pop();
        }
        self.push(Err(error));
    }

    fn pushed(&mut self) -> bool {
        let last = matches!(self.batch.last(), Some(Some(Err(error))) if error.is_fatal());
        if self.batch.len() < self.size && !last {
            return true;
        }
        self.size = (self.size * 2).min(LARGEST_BATCH);
        self.hand_over() && !last
    }

    /// Threads would take most of a fuzzer's time, so there reading ends where the hand-overs find no more room.
    fn hand_over(&mut self) -> bool {
        let empty = self.empties.try_recv().unwrap_or_default();
        let batch = std::mem::replace(&mut self.batch, empty);
        self.batch.reserve(self.size);
        if cfg!(fuzzing) {
            self.batches.try_send(batch).is_ok()
        } else {
            self.batches.blocking_send(batch).is_ok()
        }
    }
}

impl<T> Drop for Lane<T> {
    fn drop(&mut self) {
        if !self.batch.is_empty() {
            self.hand_over();
        }
    }
}

/// The other end of a lane.
struct Inbox<T> {
    batches: mpsc::Receiver<Batch<T>>,
    empties: mpsc::Sender<Batch<T>>,
    batch: Batch<T>,
    next: usize,
}

impl<T> Inbox<T> {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<T>>> {
        loop {
            if let Some(item) = self.batch.get_mut(self.next) {
                self.next += 1;
                return Poll::Ready(item.take());
            }
            let Some(batch) = ready!(self.batches.poll_recv(context)) else { return Poll::Ready(None) };
            let mut empty = std::mem::replace(&mut self.batch, batch);
            self.next = 0;
            empty.clear();
            // With room for all that are under way; if there is none, nobody reads any more.
            self.empties.try_send(empty).ok();
        }
    }
}

/// A stream that a thread fills; it begins with the first poll and ends when nobody listens any more.
pub(super) fn from_thread<T: Send + 'static>(
    table: Table,
    read: impl FnOnce(&mut Lane<T>) + Send + 'static,
) -> RecordStream<T> {
    let begin = move || {
        let (batches, inbox) = mpsc::channel(BATCHES_AHEAD);
        let (emptied, empties) = mpsc::channel(BATCHES_AHEAD + 2);
        let work = move || {
            let mut lane = Lane { batches, empties, batch: Vec::new(), size: 1, filling: false };
            // A decoder that gives up on a damaged file must not look like the end of a whole one.
            let read = panic::catch_unwind(AssertUnwindSafe(|| read(&mut lane)));
            if read.is_err() {
                lane.halt(table.refuse("reading it came to a halt: the file is damaged"));
            }
        };
        if cfg!(fuzzing) {
            work();
        } else {
            drop(std::thread::spawn(work));
        }
        Inbox { batches: inbox, empties: emptied, batch: Vec::new(), next: 0 }
    };
    let (mut begin, mut inbox) = (Some(begin), None);
    futures::stream::poll_fn(move |context| {
        if let Some(begin) = begin.take() {
            inbox = Some(begin());
        }
        inbox.as_mut().map_or(Poll::Ready(None), |inbox| inbox.poll(context))
    })
    .boxed()
}
