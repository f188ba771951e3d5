//! All integration tests in one binary: each link is dear.
#![allow(clippy::unwrap_used, clippy::missing_panics_doc, reason = "tests panic to fail")]

mod again;
mod bad_days;
mod bad_values;
mod big;
mod books;
mod by_id;
mod cli;
mod coarse_tiles;
#[cfg(feature = "parquet")]
mod convert;
mod crawl;
mod credit;
mod door;
mod doubt;
mod drills;
mod duplicates;
mod durable;
mod empty_lists;
mod estimate;
mod examples;
#[cfg(target_os = "linux")]
mod file_system;
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
#[cfg(target_os = "linux")]
mod memory;
mod other_query;
mod passwords;
mod picture_files;
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
mod slow_pictures;
mod sources;
mod spreadsheets;
mod stages;
mod start;
#[cfg(target_os = "linux")]
mod stdout;
mod steady;
mod support;
#[cfg(target_os = "linux")]
mod syscalls;
#[cfg(target_os = "linux")]
mod threads;
mod tile_cache;
mod tile_walk;
mod token;
#[cfg(unix)]
mod unreachable;
mod usage;
mod users;
