//! Protects pictures against power cuts without an fsync for each.
//!
//! A picture is renamed when it is complete, but its bytes may reach the disk after its name: after a power cut it may
//! be empty under its final name. So a run has a marker file in the folder with the time since which pictures may not be
//! on disk. The run syncs every 15 seconds and moves that time forward. At its end it removes the marker.
//!
//! A run that finds the marker of a dead run checks whether the system was restarted since. If so, it checks the
//! pictures since the marker's time. Incomplete pictures are removed. Complete pictures with blocks of zeros are renamed
//! (see `check`). Without a restart there is nothing to check: all writes are in the system's cache.
//!
//! The marker is `.unsynced.<random>`, locked while its run lives. An unreadable marker means that any picture may be
//! damaged.
//!
//! The end of a run waits for renames in flight and rejects later ones, so that none follows the last sync.

mod check;
mod disk;
mod holes;
mod marker;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio_util::task::AbortOnDropHandle;

use self::check::check_since;
use self::disk::Disk;
use self::marker::{Marker, TOLERANCE_MS, orphaned};
pub(super) use self::marker::{now_ms, shows_write_time};
use crate::atomic_file::output_error;
use crate::error::{Error, Result};
use crate::sync::lock;

/// Interval of syncs. After a power cut, the pictures of one interval and of [`SLACK_MS`] are checked.
const SYNC_EVERY: Duration = Duration::from_secs(15);

/// Pictures that are older than the marker by this much are checked too, because clocks are coarse and may be set.
const SLACK_MS: u64 = 30_000;

/// A folder of pictures that are synced to disk.
pub(super) struct DurableFolder {
    folder: PathBuf,
    /// Start of the run.
    opened: u64,
    markers: Mutex<Markers>,
    /// The time in the marker. Read for every picture.
    since: AtomicU64,
    dirty: AtomicBool,
    disk: Disk,
    /// Held during a sync, so that the end of the run waits for it.
    syncing: Mutex<()>,
    names: Mutex<Names>,
    /// Notified after each rename.
    named: Condvar,
    /// Whether files here do not show when they were written.
    hides_write_times: bool,
    /// Results for the pictures of dead runs.
    pub(super) warnings: Vec<Error>,
}

/// Renames in flight.
#[derive(Default)]
struct Names {
    in_flight: usize,
    /// The run has ended: no more renames.
    closed: bool,
}

/// A rename in flight. The end of the run waits for it.
pub(super) struct RenameGuard<'a>(&'a DurableFolder);

impl RenameGuard<'_> {
    /// Call it after the rename.
    pub(super) fn finish(self, picture: &Path) {
        self.0.disk.add(picture);
        self.0.dirty.store(true, Ordering::Release);
    }
}

impl Drop for RenameGuard<'_> {
    fn drop(&mut self) {
        self.0.names().in_flight -= 1;
        self.0.named.notify_all();
    }
}

#[derive(Default)]
struct Markers {
    own: Option<Marker>,
    /// Markers of dead runs.
    found: Vec<Marker>,
    /// The first sync error. The system reports it only once.
    failed: Option<(io::ErrorKind, String)>,
}

/// Value of `since` without a marker, earlier than any time.
const NO_MARKER: u64 = 0;

impl DurableFolder {
    /// Opens a folder, and checks the pictures that a power cut may have damaged.
    pub(super) fn open(folder: &Path) -> Result<Self> {
        let opened = now_ms();
        let failed = |error| output_error("look into the pictures of", folder, error);
        let mut found = orphaned(folder).map_err(failed)?;
        let since = found.iter_mut().filter_map(Marker::since).min();
        let checked = since.map(|since| check_since(folder, since.saturating_sub(SLACK_MS)));
        Ok(Self {
            folder: folder.to_owned(),
            // Complete pictures of a dead run may still not be on disk.
            dirty: AtomicBool::new(!found.is_empty()),
            opened,
            markers: Mutex::new(Markers { found, ..Markers::default() }),
            since: AtomicU64::new(NO_MARKER),
            disk: Disk::open(folder).map_err(failed)?,
            syncing: Mutex::default(),
            names: Mutex::default(),
            named: Condvar::new(),
            hides_write_times: false,
            warnings: checked.map(|checked| checked.warnings()).unwrap_or_default(),
        })
    }

    /// Makes all pictures be checked after a power cut, because they do not show when they were written.
    pub(super) fn without_write_times(mut self) -> Self {
        self.hides_write_times = true;
        self
    }

    /// Call it before the last bytes of a picture are written and it is renamed; `begun` is the time of its first bytes.
    /// Fails if the run has ended.
    pub(super) fn begin_rename(&self, begun: u64) -> io::Result<RenameGuard<'_>> {
        {
            let mut names = self.names();
            if names.closed {
                return Err(io::Error::other("the run has ended"));
            }
            names.in_flight += 1;
        }
        let rename = RenameGuard(self);
        let (since, now) = (self.since.load(Ordering::Acquire), now_ms());
        // If the clock was set back, the marker must be updated before a picture gets such a time. If only the creation
        // time shows when a picture was written, the same holds for a slow download.
        let earliest = now.saturating_add(TOLERANCE_MS).min(begun.saturating_add(SLACK_MS - TOLERANCE_MS));
        if since == NO_MARKER || earliest < since {
            self.move_marker_back(now.min(begun))?;
        }
        Ok(rename)
    }

    fn markers(&self) -> MutexGuard<'_, Markers> {
        lock(&self.markers)
    }

    fn names(&self) -> MutexGuard<'_, Names> {
        lock(&self.names)
    }

    /// The time to write into the marker.
    fn marker_time(&self, since: u64) -> u64 {
        if self.hides_write_times { 0 } else { since }
    }

    /// Creates the marker, or moves its time back.
    fn move_marker_back(&self, now: u64) -> io::Result<()> {
        let mut markers = self.markers();
        let since = self.since.load(Ordering::Acquire);
        // Another picture may have done so.
        if since != NO_MARKER && since <= now.saturating_add(TOLERANCE_MS) {
            return Ok(());
        }
        match &mut markers.own {
            Some(own) => own.write(self.marker_time(now))?,
            // The bytes of the first picture may be older.
            none => *none = Some(Marker::create(&self.folder, self.marker_time(now.min(self.opened)))?),
        }
        self.since.store(now.max(NO_MARKER + 1), Ordering::Release);
        Ok(())
    }

    /// Syncs all pictures written so far, and moves the marker's time forward.
    fn sync(&self) -> io::Result<()> {
        let _alone = lock(&self.syncing);
        if let Some((kind, why)) = &self.markers().failed {
            return Err(io::Error::new(*kind, why.clone()));
        }
        let (now, before) = (now_ms(), self.since.load(Ordering::Acquire));
        if !self.dirty.swap(false, Ordering::AcqRel) {
            return Ok(());
        }
        let synced = self.disk.sync(&self.folder);
        let mut markers = self.markers();
        if let Err(error) = synced {
            markers.failed = Some((error.kind(), error.to_string()));
            return Err(error);
        }
        for marker in markers.found.drain(..) {
            marker.remove();
        }
        let set_back = self.since.load(Ordering::Acquire) < before;
        if set_back {
            // By a picture that may not be part of this sync, so the next sync moves it.
            self.dirty.store(true, Ordering::Release);
        } else if let Some(own) = &mut markers.own {
            own.write(self.marker_time(now))?;
            self.since.store(now.max(NO_MARKER + 1), Ordering::Release);
        }
        Ok(())
    }

    /// Syncs at once if there are markers of dead runs, then periodically, until the handle is dropped.
    pub(super) fn sync_periodically(self: &Arc<Self>) -> AbortOnDropHandle<()> {
        let durable = Arc::clone(self);
        AbortOnDropHandle::new(tokio::spawn(async move {
            loop {
                let durable = Arc::clone(&durable);
                // A failed sync does not move the marker. The error is returned at the end.
                spawn_blocking(move || durable.sync().ok()).await.ok();
                tokio::time::sleep(SYNC_EVERY).await;
            }
        }))
    }

    /// Rejects further renames, and waits for those in flight.
    fn close(&self) {
        let mut names = self.names();
        names.closed = true;
        let done = self.named.wait_while(names, |names| names.in_flight > 0);
        drop(done.unwrap_or_else(PoisonError::into_inner));
    }

    /// Syncs everything and removes the marker. Later renames fail.
    pub(super) fn finish(&self) -> Result<()> {
        let finish = || {
            self.close();
            self.sync()?;
            let own = self.markers().own.take();
            own.into_iter().for_each(Marker::remove);
            Ok(())
        };
        finish().map_err(|error| output_error("sync the pictures in", &self.folder, error))
    }
}

#[cfg(test)]
mod tests;
