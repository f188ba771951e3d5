//! Where records go.

mod csv;
mod durable;
mod exif;
pub(crate) mod file;
mod file_time;
mod folders;
mod fresh;
mod geojson;
mod images;
mod in_flight;
mod jpeg;
mod layout;
#[cfg(feature = "parquet")]
mod parquet;
mod picture_folder;
mod quality;
mod table;
mod warnings;

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use async_trait::async_trait;

pub use self::csv::{CsvEncoder, CsvSink};
pub use self::exif::Exif;
pub use self::file::{FileSink, StreamSink};
pub use self::file_time::FileTime;
pub use self::folders::PictureLayout;
pub use self::folders::pictures_in;
pub use self::geojson::{GeoJsonEncoder, GeoJsonForm, GeoJsonSeqSink, GeoJsonSink};
pub use self::images::ImageSink;
pub use self::jpeg::JpegCheck;
pub use self::layout::{Compression, Layout};
#[cfg(feature = "parquet")]
pub use self::parquet::{ParquetEncoder, ParquetSink};
pub use self::quality::Quality;
use crate::error::Result;
use crate::format::Format;
use crate::record::Record;
use crate::sources::RecordStream;

/// Something that takes a whole stream of records.
///
/// - The first `Err` it sees is the end: it aborts, leaves nothing under the
///   final name, and returns that error.
/// - `Ok(Written)` means durable and visible under the final name, pictures included.
/// - Dropping the future of `drain` abandons the output; dropping never commits.
/// - An empty stream still gives a valid, empty file: the schema is fixed by the
///   record's columns, never by the first record.
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
    /// Takes all records and says what became of them.
    async fn drain(self: Box<Self>, records: RecordStream<T>) -> Result<Written>;
}

#[async_trait]
impl<T: Send + 'static> Sink<T> for Box<dyn Sink<T>> {
    async fn drain(self: Box<Self>, records: RecordStream<T>) -> Result<Written> {
        (*self).drain(records).await
    }
}

/// Turns batches of records into the bytes of one format.
///
/// An encoder is plain and synchronous: it is made over an [`io::Write`], gets
/// the records in order, and ends with `finish`. Files, threads and commits are
/// [`FileSink`]'s matter.
pub trait Encoder<T>: Send {
    /// Writes a batch.
    fn encode(&mut self, batch: &[T]) -> io::Result<()>;

    /// Writes what belongs at the end and flushes.
    fn finish(self: Box<Self>) -> io::Result<()>;
}

/// What a sink did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Written {
    /// Records written; pictures downloaded.
    pub records: u64,
    /// Pictures that were already there.
    pub already_exists: u64,
    /// Pictures that Mapillary does not have.
    pub gone: u64,
    /// Pictures given up because the run was stopped.
    pub interrupted: u64,
    /// Records that could not be written; pictures that could not be had.
    pub failed: u64,
    /// Bytes written.
    pub bytes: u64,
    /// The files or folders written to.
    pub paths: Vec<PathBuf>,
}

/// A sink that writes a table of a format to a path.
pub fn sink_for<T: Record>(path: &Path, format: Format, layout: &Layout) -> Box<dyn Sink<T>> {
    match format {
        Format::Csv => Box::new(CsvSink::create(path).layout(layout)),
        #[cfg(feature = "parquet")]
        Format::Parquet => Box::new(ParquetSink::create(path).layout(layout)),
        Format::GeoJson => Box::new(GeoJsonSink::create(path).layout(layout)),
        Format::GeoJsonSeq => Box::new(GeoJsonSeqSink::create(path).layout(layout)),
    }
}

/// An encoder of a format over any place to write to, such as standard output.
pub fn encoder_for<T: Record>(
    out: Box<dyn Write + Send>,
    format: Format,
    layout: &Layout,
) -> io::Result<Box<dyn Encoder<T>>> {
    Ok(match format {
        Format::Csv => Box::new(CsvEncoder::new(out, &layout.fields)?),
        #[cfg(feature = "parquet")]
        Format::Parquet => Box::new(ParquetEncoder::new(out, layout)?),
        Format::GeoJson => Box::new(GeoJsonEncoder::new(out, GeoJsonForm::Collection, layout)?),
        Format::GeoJsonSeq => Box::new(GeoJsonEncoder::new(out, GeoJsonForm::sequence(layout), layout)?),
    })
}
