//! Records and Arrow record batches: one rule about values for Parquet files and for streams of batches.

mod build;
mod cells;
pub(crate) mod geo;
mod polygons;
mod rows;

#[cfg(feature = "parquet")]
pub(crate) use self::build::geometry_in_file;
pub(crate) use self::build::{Batches, geometry_in_stream};
pub(crate) use self::rows::{Columns, Refusal};
