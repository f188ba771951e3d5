//! All integration tests in one binary: each link is dear.
#![allow(clippy::unwrap_used, clippy::missing_panics_doc, reason = "tests panic to fail")]

mod cli;
#[cfg(feature = "parquet")]
mod convert;
mod crawl;
mod door;
mod durable;
mod examples;
mod flow;
#[cfg(feature = "parquet")]
mod foreign;
mod formats;
#[cfg(feature = "parquet")]
mod geoparquet;
mod real;
mod resume;
mod sinks;
mod sources;
mod stages;
mod support;
mod tile_cache;
