//! Parquet, and GeoParquet for records with a geometry.

mod geo;
mod plan;

use std::io::{self, Write};
use std::sync::Arc;

use ::parquet::arrow::arrow_writer::ArrowWriterOptions;
use ::parquet::arrow::{ARROW_SCHEMA_META_KEY, ArrowWriter, encode_arrow_schema};
use ::parquet::errors::ParquetError;
use ::parquet::file::metadata::KeyValue;
use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{ArrowError, Schema, SchemaRef};

use self::geo::{Boxes, Extent};
use super::table::{geometry_option, table_sink};
use super::{Compression, Encoder, Layout};
use crate::geo::LonLat;
use crate::record::Record;
use crate::record::arrow::{Batches, ColumnBlock, geometry_in_file};

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

/// Rows passed to the library together: as many as a sink passes to an encoder.
const MAX_BATCH_ROWS: usize = 1024;

/// Encodes records as Parquet.
pub struct ParquetEncoder<T: 'static, W: Write + Send> {
    writer: ArrowWriter<W>,
    batches: Batches<T>,
    schema: SchemaRef,
    /// Key-value metadata of the file, repeated in the embedded Arrow schema.
    notes: Vec<(String, String)>,
    /// The column of bounding boxes, and the box of all points; `None` for records without a geometry.
    geometry: Option<(Boxes, Extent)>,
}

impl<T: Record, W: Write + Send> ParquetEncoder<T, W> {
    /// Creates an encoder with a schema of the record's columns.
    pub fn new(out: W, layout: &Layout) -> io::Result<Self> {
        let batches = Batches::<T>::new(&layout.columns::<T>(), layout.geometry, geometry_in_file);
        let mut fields = batches.schema().fields().to_vec();
        if batches.has_geometry() {
            fields.push(Arc::new(Boxes::field()));
        }
        let schema = Arc::new(Schema::new(fields));
        let parquet_schema = plan::parquet_schema::<T>(&schema, layout.native_geometry).map_err(plain)?;
        let notes = plan::notes(batches.has_geometry(), layout);
        let properties = plan::properties::<T>(&parquet_schema, layout, &notes).map_err(plain)?;
        let options = ArrowWriterOptions::new()
            .with_properties(properties)
            .with_parquet_schema(parquet_schema)
            // Written at the end, when all metadata is known.
            .with_skip_arrow_metadata(true);
        let writer = ArrowWriter::try_new_with_options(out, Arc::clone(&schema), options).map_err(plain)?;
        let geometry = batches.has_geometry().then(|| (Boxes::new(), Extent::default()));
        Ok(Self { writer, batches, schema, notes, geometry })
    }

    fn write_batch(&mut self) -> io::Result<()> {
        let batch = self.batches.take().and_then(|batch| self.with_boxes(batch)).map_err(io::Error::other)?;
        self.writer.write(&batch).map_err(plain)
    }

    /// Adds the bounding box of a point.
    fn add_box(&mut self, point: Option<LonLat>) {
        let Some((boxes, extent)) = &mut self.geometry else { return };
        boxes.push(point);
        if let Some(point) = point {
            extent.add(point);
        }
    }

    /// The batch with the bounding boxes added.
    fn with_boxes(&mut self, batch: RecordBatch) -> Result<RecordBatch, ArrowError> {
        let Some((boxes, _)) = &mut self.geometry else { return Ok(batch) };
        let mut arrays = batch.columns().to_vec();
        arrays.push(Arc::new(boxes.take()) as ArrayRef);
        RecordBatch::try_new(Arc::clone(&self.schema), arrays)
    }
}

impl<T: Record, W: Write + Send> Encoder<T> for ParquetEncoder<T, W> {
    /// Small batches are collected, because each has a cost for every column.
    fn encode(&mut self, records: &[T]) -> io::Result<()> {
        for record in records {
            let point = self.batches.push(record);
            self.add_box(point);
            if self.batches.len() >= MAX_BATCH_ROWS || self.batches.is_full() {
                self.write_batch()?;
            }
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> io::Result<()> {
        if self.batches.len() > 0 {
            self.write_batch()?;
        }
        let geo = |(_, extent): &(Boxes, Extent)| (geo::KEY.to_owned(), extent.metadata(T::GEOMETRY_COLUMN));
        let geo = self.geometry.as_ref().map(geo);
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

impl<T: Record, W: Write + Send> Encoder<ColumnBlock<T>> for ParquetEncoder<T, W> {
    fn encode(&mut self, blocks: &[ColumnBlock<T>]) -> io::Result<()> {
        if self.batches.len() > 0 {
            self.write_batch()?;
        }
        for block in blocks {
            let (batch, points) = self.batches.of_block(block).map_err(io::Error::other)?;
            for point in points {
                self.add_box(point);
            }
            let batch = self.with_boxes(batch).map_err(io::Error::other)?;
            self.writer.write(&batch).map_err(plain)?;
        }
        Ok(())
    }

    fn finish(self: Box<Self>) -> io::Result<()> {
        Encoder::<T>::finish(self)
    }

    fn records(&self, blocks: &[ColumnBlock<T>]) -> u64 {
        blocks.iter().map(|block| block.len() as u64).sum()
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
