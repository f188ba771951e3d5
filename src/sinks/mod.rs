//! Sinks: where records go.

mod csv;
mod durable;
mod exif;
pub(crate) mod file;
mod file_time;
mod folders;
mod geojson;
mod images;
mod jpeg;
mod layout;
#[cfg(feature = "parquet")]
mod parquet;
mod quality;
mod shards;
mod table;
mod toolset;
mod warnings;

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use futures::{StreamExt, TryStreamExt, stream};

pub use self::csv::{CsvEncoder, CsvSink};
pub use self::exif::Exif;
pub use self::file::{FileSink, StreamSink};
pub use self::file_time::FileTime;
pub use self::folders::pictures_in;
#[cfg(feature = "map")]
pub(crate) use self::folders::{PictureFile, picture_files};
pub use self::folders::{PictureLayout, PictureStorage};
pub(crate) use self::folders::{list_pictures, picture_folders};
pub use self::geojson::{GeoJsonEncoder, GeoJsonForm, GeoJsonSeqSink, GeoJsonSink};
pub use self::images::ImageSink;
pub use self::jpeg::JpegCheck;
pub use self::layout::{Compression, Layout};
#[cfg(feature = "parquet")]
pub use self::parquet::{ParquetEncoder, ParquetSink};
pub use self::quality::Quality;
pub use self::shards::{Position, Shard, ShardPictures, ShardTable, ShardWriter};
pub use self::toolset::ToolsetEncoder;
use crate::error::Result;
use crate::format::Format;
use crate::record::Record;
#[cfg(feature = "arrow")]
use crate::record::arrow::ColumnBlock;
use crate::sources::RecordStream;
use crate::storage::Target;

/// Consumes a stream of records.
///
/// - The first `Err` ends the sink: it aborts, leaves nothing under the final name, and returns the error.
/// - `Ok(Written)` means that the output is on disk under its final name, pictures included.
/// - Dropping the future of `drain` discards the output. A drop never commits.
/// - An empty stream gives a valid, empty file. The columns of the record type determine the schema, not the first
///   record.
///
/// ```
/// use futures::TryStreamExt;
/// use streetflow::{Flow, Image, ImageId, RecordStream, Result, SequenceId, Sink, Written, async_trait};
///
/// struct Printed;
///
/// #[async_trait]
/// impl Sink<Image> for Printed {
///     async fn drain(self: Box<Self>, mut images: RecordStream<Image>) -> Result<Written> {
///         let mut written = Written::default();
///         while let Some(image) = images.try_next().await? {
///             println!("{}", image.img_id);
///             written.records += 1;
///         }
///         Ok(written)
///     }
/// }
///
/// # #[tokio::main] async fn main() -> Result<()> {
/// let image = Image { seq_id: SequenceId::new("abc")?, img_id: ImageId::new("1")? };
/// let report = Flow::from(futures::stream::iter([Ok(image)])).into_sink(Printed).await?;
/// assert_eq!(report.written.records, 1);
/// # Ok(()) }
/// ```
#[async_trait]
pub trait Sink<T>: Send {
    /// Writes all records; returns what was written.
    async fn drain(self: Box<Self>, records: RecordStream<T>) -> Result<Written>;

    /// Writes all records of a stream of blocks, such as that of [`TableSource::blocks`](crate::TableSource::blocks).
    /// Sinks that write tables encode each block as it is.
    async fn drain_blocks(self: Box<Self>, blocks: RecordStream<Vec<T>>) -> Result<Written>
    where
        T: Send + 'static,
    {
        let records = blocks.map_ok(|block| stream::iter(block.into_iter().map(Ok))).try_flatten();
        self.drain(records.boxed()).await
    }
}

#[async_trait]
impl<T: Send + 'static> Sink<T> for Box<dyn Sink<T>> {
    async fn drain(self: Box<Self>, records: RecordStream<T>) -> Result<Written> {
        (*self).drain(records).await
    }

    async fn drain_blocks(self: Box<Self>, blocks: RecordStream<Vec<T>>) -> Result<Written> {
        (*self).drain_blocks(blocks).await
    }
}

/// Encodes batches of records into the bytes of a format.
///
/// An encoder is synchronous: it wraps an [`io::Write`], receives the records in order, and ends with `finish`.
/// [`FileSink`] handles files, threads and commits.
pub trait Encoder<T>: Send {
    /// Encodes a batch.
    fn encode(&mut self, batch: &[T]) -> io::Result<()>;

    /// Writes the end of the file and flushes.
    fn finish(self: Box<Self>) -> io::Result<()>;

    /// Number of records in a batch.
    fn records(&self, batch: &[T]) -> u64 {
        batch.len() as u64
    }
}

/// What a sink wrote.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Written {
    /// Records written, or pictures downloaded.
    pub records: u64,
    /// Pictures that already existed.
    pub already_exists: u64,
    /// Pictures that do not exist on Mapillary.
    pub gone: u64,
    /// Pictures not downloaded because the run was stopped. In other sinks, 1 if they ended early for that reason.
    pub interrupted: u64,
    /// Records that could not be written, or pictures that could not be downloaded.
    pub failed: u64,
    /// Bytes written.
    pub bytes: u64,
    /// Files or folders that were written.
    pub paths: Vec<PathBuf>,
}

/// Creates a sink that writes a table to a file.
pub fn sink_for<T: Record>(path: &Path, format: Format, layout: &Layout) -> Box<dyn Sink<T>> {
    sink_to(path, format, layout)
}

/// Creates a sink that writes a table to a path or another destination, such as an object in a bucket.
pub fn sink_to<T: Record>(target: impl Into<Target>, format: Format, layout: &Layout) -> Box<dyn Sink<T>> {
    let target = target.into();
    match format {
        Format::Csv => Box::new(CsvSink::create(target).layout(layout)),
        #[cfg(feature = "parquet")]
        Format::Parquet => Box::new(ParquetSink::create(target).layout(layout)),
        Format::GeoJson => Box::new(GeoJsonSink::create(target).layout(layout)),
        Format::GeoJsonSeq => Box::new(GeoJsonSeqSink::create(target).layout(layout)),
    }
}

/// Creates an encoder that writes a table to any writer, such as standard output.
pub fn encoder_for<T: Record>(
    out: Box<dyn Write + Send>,
    format: Format,
    layout: &Layout,
) -> io::Result<Box<dyn Encoder<T>>> {
    Ok(match format {
        Format::Csv => Box::new(CsvEncoder::new(out, layout)?),
        #[cfg(feature = "parquet")]
        Format::Parquet => Box::new(ParquetEncoder::new(out, layout)?),
        Format::GeoJson => Box::new(GeoJsonEncoder::new(out, GeoJsonForm::Collection, layout)?),
        Format::GeoJsonSeq => Box::new(GeoJsonEncoder::new(out, GeoJsonForm::sequence(layout), layout)?),
    })
}

/// Creates an encoder of the blocks of [`TableSource::columns`](crate::TableSource::columns). It writes the same bytes as
/// [`encoder_for`] does for their records. `None` for GeoJSON, which has no columns.
///
/// ```
/// use futures::StreamExt;
/// use streetflow::{Format, Image, Sink, TableSource, sinks::{FileSink, Layout, column_encoder_for}};
///
/// # #[tokio::main] async fn main() -> streetflow::Result<()> {
/// # let folder = tempfile::tempdir().unwrap();
/// # let path = folder.path().join("images.csv");
/// let text = "img_id,seq_id\n728019821979741,OtUBS2gd0HrkNqTDa8Ezxh\n";
/// let table = TableSource::<Image>::read("a text", text.as_bytes(), Format::Csv)?;
/// let Ok(columns) = table.columns(&[]) else { panic!("CSV has columns") };
/// let encoder = column_encoder_for::<Image>(Format::Csv, &Layout::default()).unwrap();
/// let written = Box::new(FileSink::create(&*path, encoder)).drain_blocks(columns).await?;
/// assert_eq!(written.records, 1);
/// assert_eq!(std::fs::read_to_string(&path).unwrap(), "seq_id,img_id\nOtUBS2gd0HrkNqTDa8Ezxh,728019821979741\n");
/// # Ok(()) }
/// ```
#[cfg(feature = "arrow")]
pub fn column_encoder_for<T: Record>(format: Format, layout: &Layout) -> Option<ColumnEncoder<T>> {
    let layout = layout.clone();
    match format {
        Format::Csv => Some(Box::new(move |out| Ok(Box::new(CsvEncoder::<T, _>::new(out, &layout)?)))),
        #[cfg(feature = "parquet")]
        Format::Parquet => {
            Some(Box::new(move |out| Ok(Box::new(ParquetEncoder::<T, _>::new(out, &layout)?))))
        }
        Format::GeoJson | Format::GeoJsonSeq => None,
    }
}

/// Creates an encoder of columns from its writer, for [`FileSink`] and [`StreamSink`].
#[cfg(feature = "arrow")]
pub type ColumnEncoder<T> =
    Box<dyn FnOnce(Box<dyn Write + Send>) -> io::Result<Box<dyn Encoder<ColumnBlock<T>>>> + Send>;
