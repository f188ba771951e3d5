//! Records and Arrow record batches: one rule about values for Parquet files and for streams of batches.

#[cfg_attr(
    not(feature = "parquet"),
    allow(dead_code, reason = "only tables in files are converted by columns")
)]
mod block;
mod build;
mod builder;
mod cells;
#[cfg_attr(
    not(feature = "parquet"),
    allow(dead_code, reason = "only tables in files are converted by columns")
)]
mod columns;
pub(crate) mod geo;
mod polygons;
mod rows;
mod texts;

pub(crate) use self::block::BlockBuilder;
pub use self::block::ColumnBlock;
#[cfg(feature = "parquet")]
pub(crate) use self::build::geometry_in_file;
pub(crate) use self::build::{Batches, geometry_in_stream};
pub(crate) use self::rows::{Columns, Refusal};
