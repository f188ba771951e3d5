//! Counts of events.

use std::sync::atomic::{AtomicU64, Ordering};

use super::Observer;
use super::class::Class;
use super::event::Event;
use crate::error::ErrorKind;

/// An observer that counts events.
///
/// ```
/// use streetflow::{Event, Observer, Step, Tally};
///
/// let tally = Tally::default();
/// tally.on_event(&Event::Record { step: Step::IMAGES });
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
    /// Requests of a class that were sent. Each attempt counts.
    pub fn requests(&self, class: Class) -> u64 {
        read(&self.requests[class as usize])
    }

    /// Decompressed bytes of successful responses of a class.
    pub fn bytes(&self, class: Class) -> u64 {
        read(&self.bytes[class as usize])
    }

    /// Failed attempts that were retried, of all classes.
    pub fn retries(&self) -> u64 {
        self.retries.iter().map(read).sum()
    }

    /// Failed attempts of a class that were retried.
    pub fn retries_for(&self, class: Class) -> u64 {
        read(&self.retries[class as usize])
    }

    /// Responses of a class that came from the response store of an unfinished run.
    pub fn store_hits(&self, class: Class) -> u64 {
        read(&self.store_hits[class as usize])
    }

    /// Requests of a class that waited for the rate limit.
    pub fn rate_limit_waits(&self, class: Class) -> u64 {
        read(&self.rate_limit_waits[class as usize])
    }

    /// Responses of a class that reported too many requests.
    pub fn rate_limited(&self, class: Class) -> u64 {
        read(&self.rate_limited[class as usize])
    }

    /// Responses of a class that redirected to the login page because the IP address is blocked.
    pub fn blocked(&self, class: Class) -> u64 {
        read(&self.blocked[class as usize])
    }

    /// Records, of all steps.
    pub fn records(&self) -> u64 {
        read(&self.records)
    }

    /// Pictures that already existed.
    pub fn already_exists(&self) -> u64 {
        read(&self.already_exists)
    }

    /// Sequences and images that were deleted on Mapillary.
    pub fn gone(&self) -> u64 {
        read(&self.gone)
    }

    /// Records that failed.
    pub fn failed(&self) -> u64 {
        read(&self.failed)
    }

    /// Tiles that were skipped with all tiles below them.
    pub fn pruned_tiles(&self) -> u64 {
        read(&self.pruned_tiles)
    }

    /// Images and sequences that filters dropped.
    pub fn filtered(&self) -> u64 {
        read(&self.filtered)
    }

    /// Images of matching sequences in the tiles read so far.
    pub fn tile_images(&self) -> u64 {
        read(&self.tile_images)
    }

    /// Pictures with metadata that did not fit into EXIF and XMP.
    pub fn exif_incomplete(&self) -> u64 {
        read(&self.exif_incomplete)
    }

    /// Tiles that came from the tile cache.
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
            Event::TileCacheDisabled { .. } | Event::Warning { .. } | Event::Finding { .. } => {}
            Event::Record { .. } => add(&self.records, 1),
            Event::AlreadyExists { .. } => add(&self.already_exists, 1),
            Event::Gone { .. } => add(&self.gone, 1),
            Event::Failed { .. } => add(&self.failed, 1),
            Event::TileImages { images, .. } => add(&self.tile_images, *images),
            Event::TilePruned { .. } => add(&self.pruned_tiles, 1),
            Event::InputStarted { .. } | Event::InputDone { .. } | Event::TileSplit { .. } => {}
            Event::TilesPlanned { .. }
            | Event::TilesExpected { .. }
            | Event::LimitReached { .. }
            | Event::InputsExpected { .. } => {}
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
