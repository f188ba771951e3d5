//! Parquet, and GeoParquet where the records have a place.

mod build;
mod geo;
mod plan;

use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;

use ::parquet::arrow::arrow_writer::ArrowWriterOptions;
use ::parquet::arrow::{ARROW_SCHEMA_META_KEY, ArrowWriter, encode_arrow_schema};
use ::parquet::errors::ParquetError;
use ::parquet::file::metadata::KeyValue;
use arrow_schema::SchemaRef;
use async_trait::async_trait;

use self::build::Batch;
use self::geo::Extent;
use super::{Compression, Encoder, FileSink, Layout, Sink, Written};
use crate::error::Result;
use crate::record::{Fields, GeometryChoice, Record};
use crate::sources::RecordStream;

/// Writes a table as a Parquet file; as GeoParquet 1.1 if its records have a place.
///
/// Ids are text, times are timestamps of milliseconds in UTC, angles and
/// metres are doubles, sizes are 32-bit integers, lists are lists; absent values
/// are nulls. Of a place come the column `geometry` (WKB points in degrees,
/// longitude first, OGC:CRS84) and its covering `bbox`, four 32-bit floats
/// rounded outwards, by which readers skip row groups and pages. The notes of the footer, `geo` among them, stand in
/// the metadata of the embedded Arrow schema too, where pyarrow's `read_schema` looks.
///
/// Odd values that Mapillary serves are kept and fail no reader: an altitude that
/// went through 32 bits unsigned is a double like any other; a capture time
/// outside the years 1 to 9999, which many readers refuse together with the
/// whole file, is null in `captured_at` and stands in `captured_at_raw` as
/// milliseconds.
///
/// ```
/// use streetflow::{Flow, Metadata, ParquetSink, GeometryChoice, Result, sinks::Compression};
///
/// # #[tokio::main] async fn main() -> Result<()> {
/// # let folder = tempfile::tempdir().unwrap();
/// # let path = folder.path().join("img_meta_dataset.parquet");
/// let sink = ParquetSink::create(&path)
///     .fields(&"captured_at,computed_geometry".parse()?)
///     .place(GeometryChoice::Best)
///     .compression(Compression::Zstd(3));
/// Flow::from(futures::stream::empty::<Result<Metadata>>()).into_sink(sink).await?;
/// assert!(std::fs::read(&path).unwrap().ends_with(b"PAR1"));
/// # Ok(()) }
/// ```
pub struct ParquetSink {
    path: PathBuf,
    layout: Layout,
}

impl ParquetSink {
    /// A Parquet file at `path`; nothing is touched before records come.
    pub fn create(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), layout: Layout::default() }
    }

    /// The same as a layout says.
    pub fn layout(mut self, layout: &Layout) -> Self {
        self.layout = layout.clone();
        self
    }

    /// The fields of metadata that become columns, in order; other records have fixed columns.
    pub fn fields(mut self, fields: &Fields) -> Self {
        self.layout = self.layout.fields(fields);
        self
    }

    /// Which point of an image is its geometry.
    pub fn geometry(mut self, place: GeometryChoice) -> Self {
        self.layout = self.layout.geometry(place);
        self
    }

    /// How pages are compressed: Zstandard of level 1 unless told.
    pub fn compression(mut self, compression: Compression) -> Self {
        self.layout = self.layout.compression(compression);
        self
    }

    /// Types the geometry as Parquet's own GEOMETRY besides; pyarrow before 20 and polars 2.1 can't open such a file.
    pub fn native_geometry(mut self) -> Self {
        self.layout = self.layout.native_geometry();
        self
    }

    /// A word about the file in its metadata, under `streetflow:<name>`.
    pub fn note(mut self, name: &str, text: impl Into<String>) -> Self {
        self.layout = self.layout.note(name, text);
        self
    }
}

#[async_trait]
impl<T: Record> Sink<T> for ParquetSink {
    async fn drain(self: Box<Self>, records: RecordStream<T>) -> Result<Written> {
        let Self { path, layout } = *self;
        let encoder = move |out| -> io::Result<Box<dyn Encoder<T>>> {
            Ok(Box::new(ParquetEncoder::new(out, &layout)?))
        };
        Box::new(FileSink::create(path, encoder)).drain(records).await
    }
}

/// Records to Parquet bytes.
pub struct ParquetEncoder<T: 'static, W: Write + Send> {
    writer: ArrowWriter<W>,
    batch: Batch<T>,
    schema: SchemaRef,
    /// What the file says of itself, in its footer and again in the schema that is embedded there for Arrow.
    notes: Vec<(String, String)>,
    /// The box around all places; none where records have no place.
    extent: Option<Extent>,
}

impl<T: Record, W: Write + Send> ParquetEncoder<T, W> {
    /// An encoder whose schema is the record's columns.
    pub fn new(out: W, layout: &Layout) -> io::Result<Self> {
        let batch = Batch::<T>::new(layout);
        let schema = batch.schema();
        let parquet_schema = plan::parquet_schema(&schema, layout.native_geometry).map_err(plain)?;
        let notes = plan::notes(batch.has_position(), layout);
        let properties = plan::properties::<T>(&parquet_schema, layout, &notes).map_err(plain)?;
        let options = ArrowWriterOptions::new()
            .with_properties(properties)
            .with_parquet_schema(parquet_schema)
            // It is written at the end, when all that goes into it is known.
            .with_skip_arrow_metadata(true);
        let writer = ArrowWriter::try_new_with_options(out, Arc::clone(&schema), options).map_err(plain)?;
        let extent = batch.has_position().then(Extent::default);
        Ok(Self { writer, batch, schema, notes, extent })
    }
}

impl<T: Record, W: Write + Send> Encoder<T> for ParquetEncoder<T, W> {
    fn encode(&mut self, records: &[T]) -> io::Result<()> {
        if records.is_empty() {
            return Ok(());
        }
        for record in records {
            let point = self.batch.push(record);
            if let (Some(extent), Some(point)) = (&mut self.extent, point) {
                extent.add(point);
            }
        }
        let batch = self.batch.take().map_err(io::Error::other)?;
        self.writer.write(&batch).map_err(plain)
    }

    fn finish(mut self: Box<Self>) -> io::Result<()> {
        let geo = self.extent.as_ref().map(|extent| (geo::KEY.to_owned(), extent.metadata()));
        // Readers that look at the embedded schema see its metadata only, and not the footer's.
        let notes = self.notes.iter().cloned().chain(geo.clone()).collect();
        let schema = self.schema.as_ref().clone().with_metadata(notes);
        let schema = (ARROW_SCHEMA_META_KEY.to_owned(), encode_arrow_schema(&schema));
        for (key, value) in [Some(schema), geo].into_iter().flatten() {
            self.writer.append_key_value_metadata(KeyValue::new(key, value));
        }
        self.writer.finish().map_err(plain)?;
        self.writer.inner_mut().flush()
    }
}

/// What the disk said, without the wrapping that would hide it: a full disk gets other advice than a missing right.
fn plain(error: ParquetError) -> io::Error {
    match error {
        ParquetError::External(inner) => match inner.downcast::<io::Error>() {
            Ok(error) => *error,
            Err(other) => io::Error::other(other),
        },
        other => io::Error::other(other),
    }
}
