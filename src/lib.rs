//! Turns any part of Mapillary into a dataset: sequences, images, metadata and pictures.
//!
//! A [`Flow`] sends records from a source through stages to a sink. It starts with [`Flow::into_sink`]. The sink pulls:
//! a source sends a request only when the sink can take more records, so memory does not grow with the area.
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
//! # Parts
//!
//! | | |
//! |---|---|
//! | Sources | [`TileSource`] finds the sequences in a box or a [`geo::Area`], [`UserSource`] those of a user. [`FeatureSource`] finds the map features in an area. [`TableSource`] reads tables of any [`Format`]. Any stream of records is a source; so is your own [`Source`]. |
//! | Stages | [`ListImages`], [`FetchMetadata`] and [`FetchFeatures`] send requests to Mapillary. [`stages::Filter`] drops images. Closures from stream to stream are stages; so is your own [`Stage`]. |
//! | Sinks | [`CsvSink`], `ParquetSink`, [`GeoJsonSink`] and [`GeoJsonSeqSink`] write tables, [`ImageSink`] downloads pictures. [`Flow::tap`] adds a second sink. Your own [`Sink`] has one method. |
//! | Batches | With the feature `arrow`, `Flow::into_batches` gives Arrow record batches, and `arrow::ArrowSource` reads them. |
//! | Records | [`Sequence`], [`Image`] and [`Metadata`]. Your own [`Record`] defines a table of columns and works with all formats. |
//! | Query | A [`Query`] describes a crawl as data, with the names of the command's flags, and makes its flow. |
//! | Client | One [`Client`] limits the rate of all requests, retries them and classifies errors. A [`client::ResponseStore`] lets a killed run resume; a [`client::TileCache`] saves tile requests. |
//! | Training sets | [`training::TrainingSet`] builds COCO, YOLO, mask, `WebDataset` and Hugging Face sets from tables and pictures. |
//! | Events | An [`Observer`] receives every [`Event`]; a [`Tally`] counts them. |
//! | Tests | The package `streetflow-sandbox` is a mock server for Mapillary with mock data and faults on demand. |
//!
//! The module `guide` has tasks with complete programs.
//!
//! # Features
//!
//! - `arrow`: record batches of Apache Arrow, in both directions. Part of `parquet`.
//! - `parquet` (default): Parquet and GeoParquet. It takes two thirds of the time of a release build.
//! - `overlay`: pictures with detections drawn on, and crops. It adds eleven small crates, no C code.
//! - `map`: `map::MapSink` writes a map page. It adds half a megabyte to a program and no dependency.
//!
//! The command `streetflow` is the package `streetflow-cli`.

#![forbid(unsafe_code)]

#[cfg(feature = "arrow")]
pub mod arrow;
pub mod atomic_file;
pub mod calendar;
pub mod client;
mod dates;
mod error;
pub mod file_system;
mod flow;
mod format;
pub mod geo;
#[cfg(feature = "map")]
pub mod map;
pub mod model;
mod names;
pub mod observe;
#[cfg(feature = "overlay")]
pub mod overlay;
pub mod pictures;
pub mod places;
mod protobuf;
pub mod query;
pub mod raster;
pub mod record;
pub mod sinks;
pub mod sources;
pub mod stages;
pub mod storage;
mod sync;
pub mod text;
mod timestamp;
pub mod training;

// Only in the documentation. The tests run its programs and those of README.md with the other examples.
#[cfg(doc)]
#[cfg_attr(feature = "parquet", doc = include_str!("../docs/guide.md"))]
#[cfg_attr(not(feature = "parquet"), doc = "Tasks, for which see `docs/guide.md`.")]
pub mod guide {}

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

/// Implements [`Sink`] without a dependency on the crate `async-trait`.
pub use async_trait::async_trait;

pub use crate::client::{Class, Client, ClientBuilder, RateLimit, Token};
pub use crate::error::{Error, ErrorKind, Result};
pub use crate::flow::{Flow, OnError, Report};
pub use crate::format::Format;
pub use crate::geo::{Bbox, LonLat, TileId};
pub use crate::model::{
    Detection, DetectionKind, FeatureId, FeatureKind, FieldList, Fields, Image, ImageId, MapFeature,
    Metadata, OwnerId, Sequence, SequenceId,
};
pub use crate::observe::{Counts, Event, Observer, Step, Tally};
pub use crate::query::Query;
pub use crate::record::{Column, GeometryChoice, Kind, Record, Value};
#[cfg(feature = "parquet")]
pub use crate::sinks::ParquetSink;
pub use crate::sinks::{
    CsvSink, Encoder, FileSink, GeoJsonSeqSink, GeoJsonSink, ImageSink, Quality, Sink, Written,
};
#[cfg(feature = "parquet")]
pub use crate::sources::ParquetSource;
pub use crate::sources::{
    CsvSource, FeatureSource, GeoJsonSource, RecordStream, Source, TableSource, TileSource, UserSource,
};
pub use crate::stages::{FetchDetections, FetchFeatures, FetchMetadata, ListImages, Stage};
