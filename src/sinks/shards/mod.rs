//! Shards: tar archives of samples, as `WebDataset` reads them.

mod reader;
mod tar;
mod writer;

pub use self::reader::Shard;
pub use self::writer::{Position, ShardWriter};
