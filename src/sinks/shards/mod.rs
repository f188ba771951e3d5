//! Shards: tar archives of samples, as `WebDataset` reads them.

mod index;
mod reader;
mod tar;
mod writer;

pub(super) use self::index::{IndexRow, ShardIndex};
pub use self::reader::Shard;
pub use self::writer::{Position, ShardWriter};
