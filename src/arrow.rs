//! Records as Arrow record batches, and back.
//!
//! [`Flow::into_batches`](crate::Flow::into_batches) turns a flow into a stream of batches for DuckDB, polars, GeoPandas
//! and any other program that reads Arrow. Columns and values are those of [`ParquetSink`](crate::ParquetSink), with two
//! differences: the field `geometry` has the extension type `geoarrow.wkb` with OGC:CRS84, and there is no column `bbox`.
//!
//! [`ArrowSource`] and [`records`] read batches.
//!
//! ```
//! use streetflow::{Image, ImageId, SequenceId, arrow, sinks::Layout};
//!
//! # fn main() -> streetflow::Result<()> {
//! let images = [Image { seq_id: SequenceId::new("abc")?, img_id: ImageId::new("728019821979741")? }];
//! let batch = arrow::batch(&images, &Layout::default())?;
//! assert_eq!(batch.schema(), arrow::schema::<Image>(&Layout::default()));
//! assert_eq!(arrow::records::<Image>(&batch)?, images);
//! # Ok(()) }
//! ```

use crate::error::{Error, ErrorKind, Result};
use crate::record::Record;
use crate::record::arrow::{Batches, geometry_in_stream};
use crate::sinks::Layout;

/// The crate with [`RecordBatch`], in the version of this library.
pub use arrow_array;
pub use arrow_array::RecordBatch;
/// The crate with [`SchemaRef`], in the version of this library.
pub use arrow_schema;
pub use arrow_schema::SchemaRef;

pub use crate::record::arrow::ColumnBlock;
pub use crate::sources::{ArrowSource, records};

/// The schema of batches of a record type. The fields and the geometry of the layout matter.
///
/// ```
/// use streetflow::{Metadata, arrow, sinks::Layout};
///
/// let layout = Layout::default().fields(&"captured_at,geometry".parse()?);
/// let schema = arrow::schema::<Metadata>(&layout);
/// let names: Vec<_> = schema.fields().iter().map(|field| field.name().as_str()).collect();
/// assert_eq!(names, ["seq_id", "img_id", "captured_at", "captured_at_raw", "geometry"]);
/// assert_eq!(schema.field(4).metadata()["ARROW:extension:name"], "geoarrow.wkb");
/// # Ok::<(), streetflow::Error>(())
/// ```
pub fn schema<T: Record>(layout: &Layout) -> SchemaRef {
    builder::<T>(layout).schema()
}

/// Builds one batch of records.
///
/// Records with more than 64 MiB of texts and lists are an error of kind [`Usage`](ErrorKind::Usage):
/// [`Flow::into_batches`](crate::Flow::into_batches) makes several batches of them.
pub fn batch<T: Record>(records: &[T], layout: &Layout) -> Result<RecordBatch> {
    let mut batches = builder::<T>(layout);
    for record in records {
        if batches.is_full() {
            return Err(Error::new(ErrorKind::Usage, "build the record batch")
                .with_source("its texts and lists are larger than 64 MiB")
                .with_hint("build it from fewer records"));
        }
        batches.push(record);
    }
    finish(&mut batches)
}

/// A good number of rows for a batch: large enough for readers, and small enough to stay in the cache.
pub const BATCH_ROWS: usize = 8192;

/// Builds batches for streams.
pub(crate) fn builder<T: Record>(layout: &Layout) -> Batches<T> {
    Batches::new(&layout.columns::<T>(), layout.geometry, geometry_in_stream).for_stream()
}

/// The batch of the records added.
pub(crate) fn finish<T: Record>(batches: &mut Batches<T>) -> Result<RecordBatch> {
    batches.take().map_err(|error| Error::new(ErrorKind::Io, "build the record batch").with_source(error))
}
