//! Watching a run: events for progress, logs and counts.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::client::Class;
use crate::error::{Error, ErrorKind};
use crate::geo::TileId;

/// Something that happened in a run.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A request goes out; each attempt is one.
    Request {
        /// Which kind of request.
        class: Class,
    },
    /// An answer came in whole and was good.
    Response {
        /// Which kind of request.
        class: Class,
        /// Length of the body, decompressed.
        bytes: u64,
    },
    /// An attempt failed and another will follow.
    Retry {
        /// Which kind of request.
        class: Class,
        /// Why it failed.
        error: &'a Error,
        /// Which attempt failed, from 1.
        attempt: u32,
        /// How long until the next one.
        wait: Duration,
    },
    /// A request waits for its turn under the pace of its class.
    RateLimitWait {
        /// Which kind of request.
        class: Class,
        /// How long.
        wait: Duration,
    },
    /// The API says that its allowance is nearly used up, and requests of the class are held back for it.
    ApiUsage {
        /// Which kind of request.
        class: Class,
        /// Percent of the allowance, above 85.
        percent: f64,
    },
    /// A host pushes back, or no longer: another number of requests may be under way there.
    Concurrency {
        /// A kind of request that goes to that host.
        class: Class,
        /// How many may be under way at once.
        limit: usize,
    },
    /// A record passed the place where [`Flow::observe`](crate::Flow::observe) stands.
    Record {
        /// The step that made it.
        step: &'static str,
    },
    /// A picture was already there and was not asked for.
    AlreadyExists {
        /// The step that found it.
        step: &'static str,
    },
    /// A sequence or image exists no longer at Mapillary.
    Gone {
        /// The step that found out.
        step: &'static str,
        /// Which one, as an error of kind [`ErrorKind::Gone`].
        error: &'a Error,
    },
    /// A record failed.
    Failed {
        /// The step that failed.
        step: &'static str,
        /// Which record, and why.
        error: &'a Error,
    },
    /// A tile came from the cache of earlier runs and was not asked for.
    TileCacheHit {
        /// The tile.
        tile: TileId,
    },
    /// Tiles can't be kept for later runs; told once, and the run goes on without.
    TileCacheDisabled {
        /// Why.
        error: &'a Error,
    },
    /// A tile was read in which sequences are collected.
    TileImages {
        /// The tile.
        tile: TileId,
        /// Images of wanted sequences that lie in it; only tiles of level 14 show images.
        ///
        /// A sequence may go on in tiles that are not read, and filters that look at an image come later.
        images: u64,
    },
    /// A tile was ruled out with all that lies below it.
    TilePruned {
        /// The tile.
        tile: TileId,
    },
    /// A tile above the level of collection can't be had, and is split into the tiles below it: nothing is lost.
    TileSplit {
        /// The tile.
        tile: TileId,
        /// Why it can't be had.
        error: &'a Error,
    },
    /// Something entered a step: a tile that is to be read, a sequence, an image, a row.
    ///
    /// It leaves the step as [`Event::InputDone`], [`Event::TilePruned`], [`Event::Record`], [`Event::AlreadyExists`],
    /// [`Event::Filtered`], [`Event::Gone`] or [`Event::Failed`], or not at all if the run ends early.
    InputStarted {
        /// The step.
        step: &'static str,
    },
    /// All records of a tile or of a sequence were passed on: where one thing gives many, this is its way out.
    InputDone {
        /// The step.
        step: &'static str,
    },
    /// A filter left something out: an image, or a sequence of which a tile says that it does not fit.
    Filtered {
        /// The step in which.
        step: &'static str,
        /// The filter's name: `dates`, `pano`, `every`.
        by: &'static str,
    },
    /// A picture was written, but its EXIF and XMP had no room for all that is known of it.
    ExifIncomplete {
        /// The step that wrote it.
        step: &'static str,
        /// Which one, and why.
        error: &'a Error,
    },
    /// An answer came from the store of an unfinished run instead of the network.
    StoreHit {
        /// Which kind of request it saved.
        class: Class,
    },
    /// A host can't be reached for a reason that is worth a word, such as a name that is not found; told once for each
    /// host and reason, at its first occurrence, if the request is tried again.
    HostUnreachable {
        /// Which kind of request.
        class: Class,
        /// Why, and what to do about it.
        error: &'a Error,
    },
    /// An answer said that a limit is met: too many requests, or a block of this address.
    RateLimited {
        /// Which kind of request.
        class: Class,
        /// What it said, as an error of kind [`ErrorKind::RateLimited`] or [`ErrorKind::Blocked`].
        error: &'a Error,
    },
    /// Something that a person should know and that ends nothing, such as a file system that lacks a call.
    Warning {
        /// What failed and why, and in its hint what follows from it.
        error: &'a Error,
    },
}

/// Somebody who is told what happens in a run, from any thread.
///
/// Closures are observers. What an observer does must be quick: it is called
/// on the path of every record.
///
/// ```
/// use std::sync::Arc;
/// use streetflow::{Client, Event};
///
/// let client = Client::builder()
///     .observer(Arc::new(|event: &Event<'_>| {
///         if let Event::Retry { class, error, .. } = event {
///             eprintln!("{class:?}: {error}");
///         }
///     }))
///     .build()?;
/// # drop(client);
/// # Ok::<(), streetflow::Error>(())
/// ```
pub trait Observer: Send + Sync {
    /// Takes note of an event.
    fn on_event(&self, event: &Event<'_>);
}

impl<F: Fn(&Event<'_>) + Send + Sync> Observer for F {
    fn on_event(&self, event: &Event<'_>) {
        self(event);
    }
}

/// An observer that only counts.
///
/// ```
/// use streetflow::{Event, Observer, Tally};
///
/// let tally = Tally::default();
/// tally.on_event(&Event::Record { step: "images" });
/// assert_eq!(tally.records(), 1);
/// ```
#[derive(Debug, Default)]
pub struct Tally {
    requests: [AtomicU64; 4],
    bytes: [AtomicU64; 4],
    retries: [AtomicU64; 4],
    store_hits: [AtomicU64; 4],
    rate_limit_waits: [AtomicU64; 4],
    rate_limited: [AtomicU64; 4],
    blocked: [AtomicU64; 4],
    records: AtomicU64,
    already_exists: AtomicU64,
    gone: AtomicU64,
    failed: AtomicU64,
    pruned_tiles: AtomicU64,
    filtered: AtomicU64,
    tile_cache_hits: AtomicU64,
    exif_incomplete: AtomicU64,
    tile_images: AtomicU64,
}

fn add(counter: &AtomicU64, more: u64) {
    counter.fetch_add(more, Ordering::Relaxed);
}

fn read(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

impl Tally {
    /// Requests sent of a class, every attempt counted.
    pub fn requests(&self, class: Class) -> u64 {
        read(&self.requests[class as usize])
    }

    /// Bytes received in good answers of a class, decompressed.
    pub fn bytes(&self, class: Class) -> u64 {
        read(&self.bytes[class as usize])
    }

    /// Attempts that failed and were followed by another, of all classes together.
    pub fn retries(&self) -> u64 {
        self.retries.iter().map(read).sum()
    }

    /// The same of one class.
    pub fn retries_for(&self, class: Class) -> u64 {
        read(&self.retries[class as usize])
    }

    /// Answers of a class that came from the store of an unfinished run.
    pub fn store_hits(&self, class: Class) -> u64 {
        read(&self.store_hits[class as usize])
    }

    /// Times that a request of a class waited for its turn.
    pub fn rate_limit_waits(&self, class: Class) -> u64 {
        read(&self.rate_limit_waits[class as usize])
    }

    /// Answers of a class that said "too many requests", each in its own words.
    pub fn rate_limited(&self, class: Class) -> u64 {
        read(&self.rate_limited[class as usize])
    }

    /// Answers of a class that were the login page of a block.
    pub fn blocked(&self, class: Class) -> u64 {
        read(&self.blocked[class as usize])
    }

    /// Records seen, of all steps together.
    pub fn records(&self) -> u64 {
        read(&self.records)
    }

    /// Pictures that were already there.
    pub fn already_exists(&self) -> u64 {
        read(&self.already_exists)
    }

    /// Sequences and images that exist no longer.
    pub fn gone(&self) -> u64 {
        read(&self.gone)
    }

    /// Records that failed.
    pub fn failed(&self) -> u64 {
        read(&self.failed)
    }

    /// Tiles ruled out without looking at what lies below them.
    pub fn pruned_tiles(&self) -> u64 {
        read(&self.pruned_tiles)
    }

    /// Images and sequences that a filter left out.
    pub fn filtered(&self) -> u64 {
        read(&self.filtered)
    }

    /// Images of wanted sequences that the tiles have shown so far.
    pub fn tile_images(&self) -> u64 {
        read(&self.tile_images)
    }

    /// Pictures that had no room for all that is known of them.
    pub fn exif_incomplete(&self) -> u64 {
        read(&self.exif_incomplete)
    }

    /// Tiles that came from the cache of earlier runs.
    pub fn tile_cache_hits(&self) -> u64 {
        read(&self.tile_cache_hits)
    }
}

impl Observer for Tally {
    fn on_event(&self, event: &Event<'_>) {
        match event {
            Event::Request { class } => add(&self.requests[*class as usize], 1),
            Event::Response { class, bytes } => add(&self.bytes[*class as usize], *bytes),
            Event::Retry { class, .. } => add(&self.retries[*class as usize], 1),
            Event::RateLimitWait { class, .. } => add(&self.rate_limit_waits[*class as usize], 1),
            Event::ApiUsage { .. } | Event::Concurrency { .. } | Event::HostUnreachable { .. } => {}
            Event::TileCacheDisabled { .. } | Event::Warning { .. } => {}
            Event::Record { .. } => add(&self.records, 1),
            Event::AlreadyExists { .. } => add(&self.already_exists, 1),
            Event::Gone { .. } => add(&self.gone, 1),
            Event::Failed { .. } => add(&self.failed, 1),
            Event::TileImages { images, .. } => add(&self.tile_images, *images),
            Event::TilePruned { .. } => add(&self.pruned_tiles, 1),
            Event::InputStarted { .. } | Event::InputDone { .. } | Event::TileSplit { .. } => {}
            Event::Filtered { .. } => add(&self.filtered, 1),
            Event::StoreHit { class } => add(&self.store_hits[*class as usize], 1),
            Event::RateLimited { class, error } => match error.kind() {
                ErrorKind::Blocked => add(&self.blocked[*class as usize], 1),
                _ => add(&self.rate_limited[*class as usize], 1),
            },
            Event::ExifIncomplete { .. } => add(&self.exif_incomplete, 1),
            Event::TileCacheHit { .. } => add(&self.tile_cache_hits, 1),
        }
    }
}

/// Tells of a failed record as what it is: gone, or failed; each error is told once.
pub(crate) fn tell(observer: &dyn Observer, step: &'static str, error: &mut Error) {
    if !error.mark_reported() {
        return;
    }
    let error = &*error;
    match error.kind() {
        ErrorKind::Gone => observer.on_event(&Event::Gone { step, error }),
        kind if kind.is_fatal() => {}
        _ => observer.on_event(&Event::Failed { step, error }),
    }
}
