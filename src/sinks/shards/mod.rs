//! Shards: tar archives of samples, as `WebDataset` reads them.

#[cfg(feature = "object-store")]
mod earlier_index;
mod index;
mod pictures;
mod reader;
mod table;
mod tar;
mod writer;

#[cfg(feature = "object-store")]
pub(super) use self::earlier_index::{EarlierIndex, archive_len};
pub(super) use self::index::{IndexRow, ShardIndex};
pub use self::pictures::ShardPictures;
pub use self::reader::Shard;
pub use self::table::ShardTable;
pub use self::writer::{Position, ShardWriter};

/// The name of a shard of pictures.
pub(crate) fn shard_name(shard: u64) -> String {
    format!("pictures-{shard:06}.tar")
}

/// The number in the name of a shard of pictures; `None` for other files.
pub(crate) fn shard_number(name: &str) -> Option<u64> {
    let digits = name.strip_prefix("pictures-")?.strip_suffix(".tar")?;
    let number = digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())??;
    (shard_name(number) == name).then_some(number)
}
