//! Turns any part of Mapillary into a dataset: sequences, images, metadata and pictures.
//!
//! A [`Flow`] carries records from a source through stages into a sink. Nothing
//! runs before [`Flow::into_sink`], and nothing is asked for before the sink can
//! take it, so no step holds the records of a whole crawl.
//!
//! ```
//! # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use streetflow_sandbox::Sandbox;
//! use streetflow::{Bbox, CsvSink, FetchMetadata, Fields, Flow, ListImages, OnError, TileSource};
//!
//! // A small Mapillary on this machine; `Client::from_env()?` asks the real one, with the token of `MAPILLARY_TOKEN`.
//! let sandbox = Sandbox::start().await?;
//! let client = sandbox.client()?;
//! let nicosia: Bbox = "33.33,35.15,33.39,35.19".parse()?;
//! let fields: Fields = "captured_at,compass_angle,geometry".parse()?;
//! # let folder = tempfile::tempdir()?;
//! # let path = folder.path().join("images.csv");
//!
//! let report = Flow::from(TileSource::within(&client, nicosia))
//!     .then(ListImages::new(&client))
//!     .then(FetchMetadata::new(&client).fields(&fields))
//!     .on_error(OnError::Skip)
//!     .into_sink(CsvSink::create(path).fields(&fields))
//!     .await?;
//! assert_eq!((report.records, report.gone, report.failed), (611, 1, 0));
//! # Ok(()) }
//! ```
//!
//! # The parts
//!
//! | | |
//! |---|---|
//! | Sources | [`TileSource`] finds the sequences of a box or a [`geo::Area`], [`UserSource`] those of a user; [`TableSource`] reads tables of any [`Format`]; any stream of records is one, and so is a [`Source`] of your own |
//! | Stages | [`ListImages`] and [`FetchMetadata`] ask Mapillary; [`stages::Filter`] leaves images out; closures from stream to stream and a [`Stage`] of your own do too |
//! | Sinks | [`CsvSink`], `ParquetSink`, [`GeoJsonSink`], [`GeoJsonSeqSink`] and [`ImageSink`]; [`Flow::tap`] adds a second one; a [`Sink`] of your own has one method |
//! | Records | [`Sequence`], [`Image`], [`Metadata`]; a [`Record`] of your own brings a table of columns and has all formats |
//! | Asking | one [`Client`] paces, retries and classifies all requests; [`client::ResponseStore`] makes a killed run go on, [`client::TileCache`] spares tiles |
//! | Watching | an [`Observer`] hears every [`Event`]; a [`Tally`] counts them |
//! | Trying out | the module `sandbox`: a small Mapillary with faults on demand |
//!
//! The module `guide` has ten tasks with their programs.
//!
//! # Features
//!
//! All are on by default; a library that only crawls takes `default-features = false`.
//!
//! - `parquet`: Parquet and GeoParquet; two thirds of the time of a release build
//! - `sandbox`: the module of that name
//! - `cli`: the command `streetflow`

#![forbid(unsafe_code)]

pub mod atomic_file;
pub mod calendar;
pub mod client;
mod dates;
mod error;
pub mod file_system;
mod flow;
mod format;
pub mod geo;
pub mod model;
mod names;
pub mod observe;
pub mod record;
pub mod sinks;
pub mod sources;
pub mod stages;
mod sync;
pub mod text;

// Only in the documentation; its programs and those of README.md are run with the other examples.
#[cfg(doc)]
#[cfg_attr(feature = "parquet", doc = include_str!("../docs/guide.md"))]
#[cfg_attr(not(feature = "parquet"), doc = "Ten tasks, for which see `docs/guide.md`.")]
pub mod guide {}

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

/// For implementing [`Sink`] without naming the crate that it comes from.
pub use async_trait::async_trait;

pub use crate::client::{Class, Client, ClientBuilder, RateLimit, Token};
pub use crate::error::{Error, ErrorKind, Result};
pub use crate::flow::{Flow, OnError, Report};
pub use crate::format::Format;
pub use crate::geo::{Bbox, LonLat, TileId};
pub use crate::model::{Image, ImageId, Metadata, OwnerId, Sequence, SequenceId};
pub use crate::observe::{Event, Observer, Step, Tally};
pub use crate::record::{Column, Fields, GeometryChoice, Kind, Record, Value};
#[cfg(feature = "parquet")]
pub use crate::sinks::ParquetSink;
pub use crate::sinks::{
    CsvSink, Encoder, FileSink, GeoJsonSeqSink, GeoJsonSink, ImageSink, Quality, Sink, Written,
};
#[cfg(feature = "parquet")]
pub use crate::sources::ParquetSource;
pub use crate::sources::{
    CsvSource, GeoJsonSource, RecordStream, Source, TableSource, TileSource, UserSource,
};
pub use crate::stages::{FetchMetadata, ListImages, Stage};
