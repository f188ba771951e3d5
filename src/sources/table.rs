//! Tables in any format.

use std::io;
use std::path::Path;

#[cfg(feature = "arrow")]
use super::ArrowSource;
#[cfg(feature = "parquet")]
use super::ParquetSource;
use super::id_check::IdCheck;
use super::{CsvSource, GeoJsonSource, RecordStream, Source};
use crate::error::Result;
#[cfg(feature = "parquet")]
use crate::error::{Error, ErrorKind};
use crate::format::Format;
#[cfg(feature = "arrow")]
use crate::record::arrow::ColumnBlock;
use crate::record::{Column, Record};

/// Reads records from a table in any format.
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
    #[cfg(feature = "arrow")]
    Arrow(ArrowSource<T>),
    GeoJson(GeoJsonSource<T>),
}

/// Evaluates an expression with the source of the table's format.
macro_rules! with_reader {
    ($reader:expr, $source:ident => $result:expr) => {
        match $reader {
            Reader::Csv($source) => $result,
            #[cfg(feature = "parquet")]
            Reader::Parquet($source) => $result,
            #[cfg(feature = "arrow")]
            Reader::Arrow($source) => $result,
            Reader::GeoJson($source) => $result,
        }
    };
}

/// Replaces the source by another one of the same format.
macro_rules! map_reader {
    ($reader:expr, $source:ident => $result:expr) => {
        match $reader {
            Reader::Csv($source) => Reader::Csv($result),
            #[cfg(feature = "parquet")]
            Reader::Parquet($source) => Reader::Parquet($result),
            #[cfg(feature = "arrow")]
            Reader::Arrow($source) => Reader::Arrow($result),
            Reader::GeoJson($source) => Reader::GeoJson($result),
        }
    };
}

impl<T: Record> TableSource<T> {
    /// Opens a file; the extension determines the format. A missing required column is an error of kind `Usage`.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        Self::open_as(path, Format::from_path(path)?)
    }

    /// Opens a file in the given format.
    pub fn open_as(path: impl AsRef<Path>, format: Format) -> Result<Self> {
        Ok(Self(match format {
            Format::Csv => Reader::Csv(CsvSource::open(path)?),
            #[cfg(feature = "parquet")]
            Format::Parquet => Reader::Parquet(ParquetSource::open(path)?),
            Format::GeoJson => Reader::GeoJson(GeoJsonSource::open(path)?),
            Format::GeoJsonSeq => Reader::GeoJson(GeoJsonSource::open_lines(path)?),
        }))
    }

    /// Reads a table from any reader, such as standard input. `name` is its name in error messages.
    ///
    /// Parquet can't be read this way, because its metadata is at the end.
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
                    .with_source("Parquet has its metadata at the end of the file")
                    .with_hint("write it to a file and read that file"));
            }
            Format::GeoJson => Reader::GeoJson(GeoJsonSource::new(name, from)?),
            Format::GeoJsonSeq => Reader::GeoJson(GeoJsonSource::lines(name, from)?),
        }))
    }

    /// Reads CSV with line numbers in error messages that start at `first_line`.
    pub fn csv_at(
        name: impl Into<String>,
        from: impl io::Read + Send + 'static,
        first_line: u64,
    ) -> Result<Self> {
        Ok(Self(Reader::Csv(CsvSource::new_at(name, from, first_line)?)))
    }

    /// Reads only these columns and the required ones. Invalid values in other columns are ignored.
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
        Self(map_reader!(self.0, source => source.only(names)))
    }

    /// Sets what to do if a spreadsheet seems to have rounded the image ids. The default is an error.
    pub fn on_rounded_ids(mut self, check: IdCheck) -> Self {
        with_reader!(&mut self.0, source => source.table_mut().id_check = check);
        self
    }

    /// The column names in the file; for GeoJSON, the property names of the first 1,000 features.
    pub fn header(&self) -> &[String] {
        with_reader!(&self.0, source => source.header())
    }

    /// Whether the header names all columns. It does not for GeoJSON, where later features may have other properties.
    pub fn has_all_columns_in_header(&self) -> bool {
        !matches!(&self.0, Reader::GeoJson(_))
    }

    /// Reads the same table as records of another type.
    pub fn retype<U: Record>(self) -> Result<TableSource<U>> {
        Ok(TableSource(map_reader!(self.0, source => source.retype()?)))
    }

    /// The notes in the file's metadata by name, such as its query. Only Parquet has notes.
    pub fn notes(&self) -> Vec<(String, String)> {
        match &self.0 {
            #[cfg(feature = "parquet")]
            Reader::Parquet(source) => source.notes(),
            _ => Vec::new(),
        }
    }

    /// The name of the geometry column.
    pub fn geometry(&self) -> Option<&str> {
        match &self.0 {
            Reader::Csv(_) => None,
            #[cfg(feature = "parquet")]
            Reader::Parquet(source) => source.head().geometry(),
            #[cfg(feature = "arrow")]
            Reader::Arrow(source) => source.head().geometry(),
            Reader::GeoJson(source) => source.has_geometry().then_some("geometry"),
        }
    }

    /// Whether features have an `id` of an image in addition to their properties.
    pub fn has_image_id(&self) -> bool {
        matches!(&self.0, Reader::GeoJson(source) if source.has_image_id())
    }

    /// The columns that fill no column of the record.
    pub fn unread(&self) -> Vec<String> {
        match &self.0 {
            Reader::Csv(source) => source.unread(),
            #[cfg(feature = "parquet")]
            Reader::Parquet(source) => source.head().unread(),
            #[cfg(feature = "arrow")]
            Reader::Arrow(source) => source.head().unread(),
            Reader::GeoJson(source) => source.unread(),
        }
    }

    /// The records in blocks of 1,024, for [`Sink::drain_blocks`](crate::Sink::drain_blocks).
    ///
    /// A record is filled and encoded in its place; a stream of records moves each several times. `check` changes or
    /// rejects each record. The first error, of any kind, is the last item.
    ///
    /// ```
    /// use futures::TryStreamExt;
    /// use streetflow::{Format, Image, TableSource};
    ///
    /// # #[tokio::main] async fn main() -> streetflow::Result<()> {
    /// let text = "img_id,seq_id\n728019821979741,OtUBS2gd0HrkNqTDa8Ezxh\n";
    /// let table = TableSource::<Image>::read("a text", text.as_bytes(), Format::Csv)?;
    /// let blocks: Vec<Vec<Image>> = table.blocks(|_| Ok(())).try_collect().await?;
    /// assert_eq!(blocks[0][0].seq_id.as_str(), "OtUBS2gd0HrkNqTDa8Ezxh");
    /// # Ok(()) }
    /// ```
    pub fn blocks(self, check: impl FnMut(&mut T) -> Result<()> + Send + 'static) -> RecordStream<Vec<T>> {
        with_reader!(self.0, source => source.blocks(check))
    }

    /// The rows as columns in blocks of 1,024, to write them without records through
    /// [`column_encoder_for`](crate::sinks::column_encoder_for).
    ///
    /// `names` are the columns of the output without its keys. All columns are checked as in [`blocks`](Self::blocks),
    /// with the same errors. The first error is the last item. `Err` returns a table that can only be read as records:
    /// another format than CSV and Parquet, or a record type with columns that depend on each other.
    ///
    /// ```
    /// use futures::TryStreamExt;
    /// use streetflow::{Format, Metadata, TableSource};
    ///
    /// # #[tokio::main] async fn main() -> streetflow::Result<()> {
    /// let text = "img_id,width\n728019821979741,4000\n";
    /// let table = TableSource::<Metadata>::read("a text", text.as_bytes(), Format::Csv)?;
    /// let Ok(columns) = table.columns(&["width"]) else { panic!("CSV has columns") };
    /// let blocks: Vec<_> = columns.try_collect().await?;
    /// assert_eq!(blocks[0][0].len(), 1);
    /// # Ok(()) }
    /// ```
    #[cfg(feature = "arrow")]
    pub fn columns(
        self,
        names: &[&str],
    ) -> std::result::Result<RecordStream<Vec<ColumnBlock<T>>>, Box<Self>> {
        match (self.0, ColumnBlock::columns(names)) {
            (Reader::Csv(source), Some(columns)) => Ok(source.column_blocks(columns)),
            #[cfg(feature = "parquet")]
            (Reader::Parquet(source), Some(columns)) => Ok(source.column_blocks(columns)),
            (other, _) => Err(Box::new(Self(other))),
        }
    }

    /// Whether the table can give a column of the record a value. A table of GeoJSON can do so for each column.
    pub fn fills(&self, column: &Column<T>) -> bool {
        match &self.0 {
            Reader::Csv(source) => source.fills(column),
            #[cfg(feature = "parquet")]
            Reader::Parquet(source) => source.head().fills(column),
            #[cfg(feature = "arrow")]
            Reader::Arrow(source) => source.head().fills(column),
            Reader::GeoJson(_) => true,
        }
    }

    /// Makes an optional column required. `hint` tells the user how to get it.
    pub fn require(self, column: &str, hint: impl Into<String>) -> Result<Self> {
        with_reader!(&self.0, source => source.table().require_column(column, Some(hint.into())))?;
        Ok(self)
    }
}

#[cfg(feature = "arrow")]
impl<T: Record> From<ArrowSource<T>> for TableSource<T> {
    fn from(source: ArrowSource<T>) -> Self {
        Self(Reader::Arrow(source))
    }
}

impl<T: Record> Source for TableSource<T> {
    type Item = T;

    fn stream(self) -> RecordStream<T> {
        with_reader!(self.0, source => source.stream())
    }
}

/// A record without columns, to read only the header of a table.
#[derive(Debug, Clone, Default)]
pub struct HeaderOnly;

impl Record for HeaderOnly {
    const NAME: &'static str = "record";
    const COLUMNS: &'static [Column<Self>] = &[];
}
