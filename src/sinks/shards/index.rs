//! The index of shards: where each picture is.

use std::io;

use super::Position;
use crate::atomic_file::output_error;
use crate::error::Result;
use crate::model::ImageId;
use crate::sinks::Quality;
use crate::storage::{Destination, PendingFile, Target};

/// The key of the quality of the pictures in the metadata of the index.
#[cfg(feature = "parquet")]
pub(super) const QUALITY_KEY: &str = "streetflow:quality";

/// A picture in a shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct IndexRow {
    pub(crate) id: ImageId,
    pub(crate) shard: String,
    pub(crate) position: Position,
}

/// Writes the index: `shards.parquet` with the columns `img_id`, `shard`, `offset` and `length`; without the feature
/// `parquet`, `shards.csv`.
pub(crate) struct ShardIndex {
    target: Target,
    writer: Writer,
}

impl ShardIndex {
    #[cfg(feature = "parquet")]
    pub(crate) const NAME: &'static str = "shards.parquet";
    #[cfg(not(feature = "parquet"))]
    pub(crate) const NAME: &'static str = "shards.csv";

    pub(crate) fn create(target: Target, quality: Quality) -> Result<Self> {
        let writer = target.create().and_then(|file| Writer::new(file, quality));
        let writer = writer.map_err(|error| output_error("create the index", target.path(), error))?;
        Ok(Self { target, writer })
    }

    /// Adds the pictures of a shard.
    pub(crate) fn add(&mut self, rows: &[IndexRow]) -> Result<()> {
        let added = self.writer.add(rows);
        added.map_err(|error| output_error("write the index", self.target.path(), error))
    }

    /// Writes the end of the index and makes it visible.
    pub(crate) fn commit(self) -> Result<()> {
        let Self { target, writer } = self;
        let committed = writer.finish().and_then(PendingFile::commit);
        committed.map_err(|error| output_error("write the index", target.path(), error))
    }
}

#[cfg(feature = "parquet")]
struct Writer(parquet::arrow::ArrowWriter<Box<dyn PendingFile>>, std::sync::Arc<arrow_schema::Schema>);

#[cfg(feature = "parquet")]
impl Writer {
    fn new(file: Box<dyn PendingFile>, quality: Quality) -> io::Result<Self> {
        use arrow_schema::{DataType, Field, Schema};
        use parquet::basic::{Compression, ZstdLevel};
        use parquet::file::metadata::KeyValue;
        use parquet::file::properties::WriterProperties;

        let column = |name: &str, kind| Field::new(name, kind, false);
        let schema = std::sync::Arc::new(Schema::new(vec![
            column("img_id", DataType::Utf8),
            column("shard", DataType::Utf8),
            column("offset", DataType::Int64),
            column("length", DataType::Int64),
        ]));
        let compression = Compression::ZSTD(ZstdLevel::default());
        let quality = KeyValue::new(QUALITY_KEY.to_owned(), quality.name().to_owned());
        let properties = WriterProperties::builder()
            .set_compression(compression)
            .set_key_value_metadata(Some(vec![quality]))
            .build();
        let writer =
            parquet::arrow::ArrowWriter::try_new(file, std::sync::Arc::clone(&schema), Some(properties));
        Ok(Self(writer.map_err(io::Error::other)?, schema))
    }

    fn add(&mut self, rows: &[IndexRow]) -> io::Result<()> {
        use std::sync::Arc;

        use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray};

        let number = |of: fn(&Position) -> u64| -> ArrayRef {
            let numbers = rows.iter().map(|row| i64::try_from(of(&row.position)).unwrap_or(i64::MAX));
            Arc::new(Int64Array::from_iter_values(numbers))
        };
        let columns: Vec<ArrayRef> = vec![
            Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.id.as_str()))),
            Arc::new(StringArray::from_iter_values(rows.iter().map(|row| &row.shard))),
            number(|position| position.offset),
            number(|position| position.len),
        ];
        let batch = RecordBatch::try_new(Arc::clone(&self.1), columns).map_err(io::Error::other)?;
        self.0.write(&batch).map_err(io::Error::other)
    }

    fn finish(self) -> io::Result<Box<dyn PendingFile>> {
        self.0.into_inner().map_err(io::Error::other)
    }
}

#[cfg(not(feature = "parquet"))]
struct Writer(Box<dyn PendingFile>);

#[cfg(not(feature = "parquet"))]
impl Writer {
    fn new(mut file: Box<dyn PendingFile>, _: Quality) -> io::Result<Self> {
        file.write_all(b"img_id,shard,offset,length\n")?;
        Ok(Self(file))
    }

    fn add(&mut self, rows: &[IndexRow]) -> io::Result<()> {
        rows.iter().try_for_each(|IndexRow { id, shard, position }| {
            writeln!(self.0, "{id},{shard},{},{}", position.offset, position.len)
        })
    }

    #[expect(clippy::unnecessary_wraps, reason = "the writer of Parquet can fail here")]
    fn finish(self) -> io::Result<Box<dyn PendingFile>> {
        Ok(self.0)
    }
}
