//! All integration tests in one binary: each link is dear.
#![allow(clippy::unwrap_used, clippy::missing_panics_doc, reason = "tests panic to fail")]

mod again;
mod bad_days;
mod big;
mod books;
mod by_id;
mod cli;
#[cfg(feature = "parquet")]
mod convert;
mod crawl;
mod credit;
mod door;
mod doubt;
mod drills;
mod durable;
mod estimate;
mod examples;
mod filters;
mod flow;
mod folder;
#[cfg(feature = "parquet")]
mod foreign;
mod formats;
#[cfg(feature = "parquet")]
mod geoparquet;
#[cfg(all(unix, feature = "parquet"))]
mod guide;
mod help;
mod hostile;
mod ledger;
mod pictures;
mod progress;
mod real;
mod resume;
mod settings;
#[cfg(unix)]
mod signals;
mod sinks;
#[cfg(target_os = "linux")]
mod sizes;
mod sources;
mod stages;
mod start;
mod steady;
mod support;
#[cfg(target_os = "linux")]
mod syscalls;
mod tile_cache;
mod token;
mod usage;
