//! The index of an earlier run, read in the order of its shards. Memory holds the rows of one shard.

use std::iter::Peekable;
use std::path::Path;

use super::index::IndexRow;
use super::{shard_number, tar};
use crate::sinks::Quality;

/// The most rows of a shard.
const MAX_ROWS: usize = 1_000_000;

/// The index of an earlier run.
pub(crate) struct EarlierIndex {
    quality: Option<Quality>,
    rows: Peekable<Box<dyn Iterator<Item = IndexRow> + Send>>,
}

impl EarlierIndex {
    /// Opens an index. `None` if it is not one of this version: the shards are read then.
    #[cfg(feature = "parquet")]
    pub(crate) fn open(path: &Path) -> Option<Self> {
        use std::panic::{AssertUnwindSafe, catch_unwind};

        use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

        let file = std::fs::File::open(path).ok()?;
        let builder = ParquetRecordBatchReaderBuilder::try_new(file).ok()?;
        let notes = builder.metadata().file_metadata().key_value_metadata()?;
        let quality = notes.iter().find(|note| note.key == super::index::QUALITY_KEY)?.value.as_deref()?;
        let quality = quality.parse().ok();
        let mut batches = builder.build().ok()?;
        // A decoder that panics on a damaged file ends the index.
        let next = move || catch_unwind(AssertUnwindSafe(|| batches.next())).ok().flatten();
        let rows = std::iter::from_fn(next).map_while(|batch| rows(&batch.ok()?)).flatten();
        Some(Self { quality, rows: (Box::new(rows) as Box<dyn Iterator<Item = _> + Send>).peekable() })
    }

    /// Without Parquet, the index does not name the quality of the pictures.
    #[cfg(not(feature = "parquet"))]
    pub(crate) fn open(_: &Path) -> Option<Self> {
        None
    }

    /// The quality of the pictures.
    pub(crate) fn quality(&self) -> Option<Quality> {
        self.quality
    }

    /// The rows of a shard; `None` if it has none. Shards before it can't be read after that.
    pub(crate) fn take(&mut self, shard: u64) -> Option<Vec<IndexRow>> {
        let number = |row: &IndexRow| shard_number(&row.shard);
        while self.rows.next_if(|row| number(row).is_some_and(|number| number < shard)).is_some() {}
        let mut rows = Vec::new();
        while rows.len() < MAX_ROWS
            && let Some(row) = self.rows.next_if(|row| number(row) == Some(shard))
        {
            rows.push(row);
        }
        (!rows.is_empty()).then_some(rows)
    }
}

/// The rows of a batch; `None` for another schema.
#[cfg(feature = "parquet")]
fn rows(batch: &arrow_array::RecordBatch) -> Option<Vec<IndexRow>> {
    use arrow_array::{Array, Int64Array, StringArray};

    let text = |name: &str| batch.column_by_name(name)?.as_any().downcast_ref::<StringArray>();
    let number = |name: &str| batch.column_by_name(name)?.as_any().downcast_ref::<Int64Array>();
    let (ids, shards) = (text("img_id")?, text("shard")?);
    let (offsets, lengths) = (number("offset")?, number("length")?);
    if ids.null_count() + shards.null_count() + offsets.null_count() + lengths.null_count() > 0 {
        return None;
    }
    let row = |at: usize| {
        Some(IndexRow {
            id: crate::model::ImageId::new(ids.value(at)).ok()?,
            shard: shards.value(at).to_owned(),
            position: super::Position {
                offset: u64::try_from(offsets.value(at)).ok()?,
                len: u64::try_from(lengths.value(at)).ok()?,
            },
        })
    };
    (0..batch.num_rows()).map(row).collect()
}

/// The length of the archive with these pictures, the last of which is its last file. `None` for none.
pub(crate) fn archive_len(rows: &[IndexRow]) -> Option<u64> {
    let last = rows.last()?.position;
    if last.len > tar::MAX_FILE_LEN {
        return None;
    }
    let end = last.offset.checked_add(last.len)?.checked_add(tar::padding(last.len))?;
    end.checked_add(tar::END.len() as u64)
}
