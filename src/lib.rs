#![forbid(unsafe_code)]
#![doc = include_str!("../README.md")]

mod calendar;
pub mod client;
mod error;
mod flow;
mod format;
pub mod geo;
mod model;
pub mod observe;
mod printable;
pub mod record;
#[cfg(feature = "sandbox")]
pub mod sandbox;
pub mod sinks;
pub mod sources;
pub mod stages;

#[cfg(feature = "cli")]
pub mod cli;

/// For implementing [`Sink`] without naming the crate that it comes from.
pub use async_trait::async_trait;

pub use crate::client::{Class, Client, ClientBuilder, Pace, Token};
pub use crate::error::{Error, ErrorKind, Result};
pub use crate::flow::{Flow, OnError, Report};
pub use crate::format::Format;
pub use crate::geo::{Bbox, LonLat, TileId};
pub use crate::model::{Image, ImageId, Metadata, OwnerId, Sequence, SequenceId};
pub use crate::observe::{Event, Observer, Tally};
pub use crate::record::{Column, Fields, Kind, Place, Record, Value};
#[cfg(feature = "parquet")]
pub use crate::sinks::ParquetSink;
pub use crate::sinks::{
    CsvSink, Encoder, FileSink, GeoJsonSeqSink, GeoJsonSink, ImageSink, Quality, Sink, Tee, Written,
};
#[cfg(feature = "parquet")]
pub use crate::sources::ParquetSource;
pub use crate::sources::{
    CsvSource, GeoJsonSource, RecordStream, Source, TableSource, TileSource, UserSource,
};
pub use crate::stages::{FetchMetadata, ListImages, Stage};
