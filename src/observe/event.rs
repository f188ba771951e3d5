//! What can happen in a run.

use std::time::Duration;

use super::class::Class;
use super::step::Step;
use crate::error::Error;
use crate::geo::TileId;
use crate::model::ImageId;

/// Something that happened in a run.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A request was sent. Each attempt counts as one.
    Request {
        /// Class of the request.
        class: Class,
    },
    /// A complete, successful response arrived.
    Response {
        /// Class of the request.
        class: Class,
        /// Length of the decompressed body in bytes.
        bytes: u64,
    },
    /// An attempt failed and will be retried.
    Retry {
        /// Class of the request.
        class: Class,
        /// Why the attempt failed.
        error: &'a Error,
        /// Number of the attempt that failed, from 1.
        attempt: u32,
        /// Time until the next attempt.
        wait: Duration,
    },
    /// A request waits for the rate limit of its class.
    RateLimitWait {
        /// Class of the request.
        class: Class,
        /// Length of the wait.
        wait: Duration,
    },
    /// The API reports that its quota is nearly used up; requests of the class are slowed down.
    ApiUsage {
        /// Class of the request.
        class: Class,
        /// Used part of the quota in percent, above 85.
        percent: f64,
    },
    /// The limit of concurrent requests to a host changed.
    Concurrency {
        /// A class of requests that go to the host.
        class: Class,
        /// New number of requests that may be in flight.
        limit: usize,
    },
    /// A record passed [`Flow::observe`](crate::Flow::observe), or a picture was downloaded.
    Record {
        /// The step that made the record.
        step: Step,
    },
    /// A picture already exists and was not downloaded.
    AlreadyExists {
        /// The step that found the picture.
        step: Step,
    },
    /// A sequence or an image was deleted on Mapillary.
    Gone {
        /// The step that requested it.
        step: Step,
        /// The sequence or image, as an error of kind [`ErrorKind::Gone`](crate::ErrorKind::Gone).
        error: &'a Error,
    },
    /// A record failed.
    Failed {
        /// The step that failed.
        step: Step,
        /// The record and the reason.
        error: &'a Error,
    },
    /// A tile came from the tile cache and was not requested.
    TileCacheHit {
        /// The tile.
        tile: TileId,
    },
    /// The tile cache can't be written and is not used any more. Reported once a run.
    TileCacheDisabled {
        /// Why it can't be written.
        error: &'a Error,
    },
    /// A tile of the zoom at which sequences are collected was read.
    TileImages {
        /// The tile.
        tile: TileId,
        /// Images of matching sequences in the tile; 0 in tiles above zoom 14, which contain no images.
        ///
        /// A lower bound before filters on images: a sequence may continue in tiles that are not read.
        images: u64,
    },
    /// A tile was skipped with all tiles below it.
    TilePruned {
        /// The tile.
        tile: TileId,
    },
    /// A tile above the zoom of collection could not be fetched and was replaced by the four tiles below it.
    ///
    /// No sequence is lost by this.
    TileSplit {
        /// The tile.
        tile: TileId,
        /// Why it could not be fetched.
        error: &'a Error,
    },
    /// A walk over the tiles of an area begins.
    TilesPlanned {
        /// The tiles that it reads at least.
        min: u64,
        /// The tiles that it reads at most, unless tiles fail.
        max: u64,
    },
    /// A tile was read, and the walk knows better how many it will read. The number of tiles left is an estimate.
    TilesExpected {
        /// Tiles read so far, including those from the cache or the response store.
        read: u64,
        /// Tiles read so far, and those expected to follow.
        expected: u64,
    },
    /// A step knows how many inputs it will have, before it starts with the first one.
    InputsExpected {
        /// The step.
        step: Step,
        /// The number of inputs, at least.
        count: u64,
    },
    /// A step started with an input: a tile, a sequence, an image or a row.
    ///
    /// The input ends as [`Event::InputDone`], [`Event::TilePruned`], [`Event::Record`], [`Event::AlreadyExists`],
    /// [`Event::Filtered`], [`Event::Gone`] or [`Event::Failed`]. It has no end if the run stops early.
    InputStarted {
        /// The step.
        step: Step,
    },
    /// All records of an input that can yield several, a tile or a sequence, were passed on.
    InputDone {
        /// The step.
        step: Step,
    },
    /// A filter dropped an image, or a sequence that does not match according to a tile.
    Filtered {
        /// The step in which the filter runs.
        step: Step,
        /// Name of the filter, such as `dates`, `pano` or `every`.
        by: &'static str,
    },
    /// The limit of a query is reached: the flow ends behind this step. What earlier steps prefetched is over the limit.
    LimitReached {
        /// The step behind which the limit applies.
        step: Step,
    },
    /// A fact about an input or a record that is counted, such as an image without detections. It ends no input.
    Finding {
        /// The step that found it.
        step: Step,
        /// Its name in reports, such as `no_detections` or `broken_shape`.
        name: &'static str,
        /// How often.
        count: u64,
        /// The image, if it is about one.
        image: Option<&'a ImageId>,
    },
    /// A picture was written, but not all metadata fitted into its EXIF and XMP segments.
    ExifIncomplete {
        /// The step that wrote the picture.
        step: Step,
        /// The image and the reason.
        error: &'a Error,
    },
    /// A response came from the response store of an unfinished run.
    StoreHit {
        /// Class of the request that was saved.
        class: Class,
    },
    /// A host can't be reached, for example because its name does not resolve. The request is retried.
    ///
    /// Reported once for each host and reason.
    HostUnreachable {
        /// Class of the request.
        class: Class,
        /// The reason, with a hint.
        error: &'a Error,
    },
    /// A response reported an exceeded limit: too many requests, or a blocked IP address.
    RateLimited {
        /// Class of the request.
        class: Class,
        /// An error of kind [`ErrorKind::RateLimited`](crate::ErrorKind::RateLimited) or
        /// [`ErrorKind::Blocked`](crate::ErrorKind::Blocked).
        error: &'a Error,
    },
    /// A problem that the user should know and that does not end the run, such as a missing file system feature.
    Warning {
        /// What failed and why; its hint says what follows from it.
        error: &'a Error,
    },
}
