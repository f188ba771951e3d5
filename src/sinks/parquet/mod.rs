//! Parquet, and GeoParquet for records with a geometry.

mod build;
mod geo;
mod plan;
mod polygons;

use std::io::{self, Write};
use std::sync::Arc;

use ::parquet::arrow::arrow_writer::ArrowWriterOptions;
use ::parquet::arrow::{ARROW_SCHEMA_META_KEY, ArrowWriter, encode_arrow_schema};
use ::parquet::errors::ParquetError;
use ::parquet::file::metadata::KeyValue;
use arrow_schema::SchemaRef;

use self::build::Batch;
use self::geo::Extent;
use super::table::{geometry_option, table_sink};
use super::{Compression, Encoder, Layout};
use crate::record::Record;

table_sink! {
    /// Writes a table as a Parquet file, as GeoParquet 1.1 if the records have a geometry.
    ///
    /// | Values | Parquet type |
    /// |---|---|
    /// | ids and other texts | string |
    /// | times | timestamp in milliseconds, UTC |
    /// | angles, metres and degrees | double |
    /// | sizes | 32-bit integer |
    /// | lists | list |
    /// | polygons | list of polygons, each a list of rings, each a list of vertices, each a list of two doubles |
    /// | missing values | null |
    ///
    /// The column `geometry` has WKB points in degrees, longitude first (OGC:CRS84). The column `bbox`, four 32-bit
    /// floats rounded outwards, covers it, so that readers can skip row groups and pages. All key-value metadata,
    /// including `geo`, is also in the embedded Arrow schema, where pyarrow's `read_schema` finds it.
    ///
    /// Odd values from Mapillary are preserved. A capture time outside the years 1 to 9999, which makes many readers
    /// reject the whole file, is null in `captured_at`; `captured_at_raw` has its milliseconds.
    ///
    /// ```
    /// use streetflow::{Flow, GeometryChoice, Metadata, ParquetSink, Result, sinks::Compression};
    ///
    /// # #[tokio::main] async fn main() -> Result<()> {
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let path = folder.path().join("img_meta_dataset.parquet");
    /// let sink = ParquetSink::create(&path)
    ///     .fields(&"captured_at,computed_geometry".parse()?)
    ///     .geometry(GeometryChoice::Best)
    ///     .compression(Compression::Zstd(3));
    /// Flow::from(futures::stream::empty::<Result<Metadata>>()).into_sink(sink).await?;
    /// assert!(std::fs::read(&path).unwrap().ends_with(b"PAR1"));
    /// # Ok(()) }
    /// ```
    ParquetSink, ParquetEncoder::new
}

geometry_option!(ParquetSink);

impl ParquetSink {
    /// Sets the compression of pages. The default is Zstandard level 1.
    pub fn compression(mut self, compression: Compression) -> Self {
        self.layout = self.layout.compression(compression);
        self
    }

    /// Also gives the geometry column Parquet's logical type GEOMETRY.
    ///
    /// pyarrow before 20 and polars 2.1 can't open such a file.
    pub fn native_geometry(mut self) -> Self {
        self.layout = self.layout.native_geometry();
        self
    }

    /// Adds an entry `streetflow:<name>` to the key-value metadata of the file.
    pub fn note(mut self, name: &str, text: impl Into<String>) -> Self {
        self.layout = self.layout.note(name, text);
        self
    }
}

/// Encodes records as Parquet.
pub struct ParquetEncoder<T: 'static, W: Write + Send> {
    writer: ArrowWriter<W>,
    batch: Batch<T>,
    schema: SchemaRef,
    /// Key-value metadata of the file, repeated in the embedded Arrow schema.
    notes: Vec<(String, String)>,
    /// Bounding box of all points; `None` for records without a geometry.
    extent: Option<Extent>,
}

impl<T: Record, W: Write + Send> ParquetEncoder<T, W> {
    /// Creates an encoder with a schema of the record's columns.
    pub fn new(out: W, layout: &Layout) -> io::Result<Self> {
        let batch = Batch::<T>::new(layout);
        let schema = batch.schema();
        let parquet_schema = plan::parquet_schema::<T>(&schema, layout.native_geometry).map_err(plain)?;
        let notes = plan::notes(batch.has_geometry(), layout);
        let properties = plan::properties::<T>(&parquet_schema, layout, &notes).map_err(plain)?;
        let options = ArrowWriterOptions::new()
            .with_properties(properties)
            .with_parquet_schema(parquet_schema)
            // Written at the end, when all metadata is known.
            .with_skip_arrow_metadata(true);
        let writer = ArrowWriter::try_new_with_options(out, Arc::clone(&schema), options).map_err(plain)?;
        let extent = batch.has_geometry().then(Extent::default);
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
        let geo =
            self.extent.as_ref().map(|extent| (geo::KEY.to_owned(), extent.metadata(T::GEOMETRY_COLUMN)));
        // Readers of the embedded schema do not see the metadata of the footer.
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

/// Unwraps the I/O error, because hints depend on its kind, such as a full disk.
fn plain(error: ParquetError) -> io::Error {
    match error {
        ParquetError::External(inner) => match inner.downcast::<io::Error>() {
            Ok(error) => *error,
            Err(other) => io::Error::other(other),
        },
        other => io::Error::other(other),
    }
}
