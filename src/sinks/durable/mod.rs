//! Pictures that a power cut can't damag unnoticed, without an fsync for each.
//!
//! A picture is renamed when it is whole, but its bytes may reach the disk
//! later than its name: after a power cut it may be empty under its final name.
//! So while pictures are written, a marker in their folder says since when they
//! may not be on the disk. Every now and then everything is brought there, and
//! the marker's time moves on; at the end the marker goes. Whoever finds the
//! marker of a run that is dead, and the system was restarted since, looks into
//! the pictures since its time: those that are not whole are removed, and those
//! that are whole but have blocks of zeros are renamed (see `check`). A run that
//! was only killed leaves nothing to look for: what it wrote is with the system.
//!
//! PerFile run has a marker of its own, `.unsynced.<random>`, locked as long as it
//! lives. One that can't be read means that any picture may be damagt.
//!
//! The end of a run waits for pictures that are just getting their names, and
//! gives no more after that: otherwise one could come behind the last sync.

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

/// A kill costs a look at the pictures of so long, and of [`SLACK_MS`].
const SYNC_EVERY: Duration = Duration::from_secs(15);

/// Pictures so much older than the marker's time are looked into as well: clocks are coarse, and are set.
const SLACK_MS: u64 = 30_000;

/// Brings the pictures of a folder to the disk.
pub(super) struct DurableFolder {
    folder: PathBuf,
    /// When this run began.
    opened: u64,
    markers: Mutex<Markers>,
    /// The time in this run's marker, once it is there: read for every picture.
    since: AtomicU64,
    dirty: AtomicBool,
    disk: Disk,
    /// Held while things are brought to the disk, so that the end waits for it.
    syncing: Mutex<()>,
    names: Mutex<Names>,
    /// Told when a picture has its name.
    named: Condvar,
    /// Pictures here do not show when they were written.
    hides_write_times: bool,
    /// What became of the pictures of dead runs.
    pub(super) warnings: Vec<Error>,
}

/// Pictures that are getting their names.
#[derive(Default)]
struct Names {
    in_flight: usize,
    /// The run has ended, and no picture gets a name any more.
    closed: bool,
}

/// A picture that is getting its name: the end of the run waits for it.
pub(super) struct RenameGuard<'a>(&'a DurableFolder);

impl RenameGuard<'_> {
    /// To be called when it has its name.
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
    /// Those of dead runs.
    found: Vec<Marker>,
    /// The system tells only once of what it could not bring to the disk.
    failed: Option<(io::ErrorKind, String)>,
}

/// `since` before there is a marker: no clock is before it.
const NO_MARKER: u64 = 0;

impl DurableFolder {
    /// Takes the folder, and sees to the pictures that a power cut has damagt in it.
    pub(super) fn open(folder: &Path) -> Result<Self> {
        let opened = now_ms();
        let failed = |error| output_error("look into the pictures of", folder, error);
        let mut found = orphaned(folder).map_err(failed)?;
        let since = found.iter_mut().filter_map(Marker::since).min();
        let checked = since.map(|since| check_since(folder, since.saturating_sub(SLACK_MS)));
        Ok(Self {
            folder: folder.to_owned(),
            // Pictures of the dead run may be whole, and still not on the disk.
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

    /// Pictures will not show when they were written, so after a power cut all are to be looked into.
    pub(super) fn without_write_times(mut self) -> Self {
        self.hides_write_times = true;
        self
    }

    /// To be called before a picture's last bytes are written and it gets its name; `begun` is when its first came.
    /// An error if the run has ended meanwhile.
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
        // The clock was set back: the marker has to know before a picture has such a time. Where only the time of
        // creation shows when a picture was written, so for one that took long.
        let earliest = now.saturating_add(TOLERANCE_MS).min(begun.saturating_add(SLACK_MS - TOLERANCE_MS));
        if since == NO_MARKER || earliest < since {
            self.move_marker_back(now.min(begun))?;
        }
        Ok(rename)
    }

    fn markers(&self) -> MutexGuard<'_, Markers> {
        self.markers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn names(&self) -> MutexGuard<'_, Names> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The time for a marker.
    fn marker_time(&self, since: u64) -> u64 {
        if self.hides_write_times { 0 } else { since }
    }

    /// Makes this run's marker, or sets it back.
    fn move_marker_back(&self, now: u64) -> io::Result<()> {
        let mut markers = self.markers();
        let since = self.since.load(Ordering::Acquire);
        // Another picture may have done it meanwhile.
        if since != NO_MARKER && since <= now.saturating_add(TOLERANCE_MS) {
            return Ok(());
        }
        match &mut markers.own {
            Some(own) => own.write(self.marker_time(now))?,
            // The bytes of the first picture may have come some time ago.
            none => *none = Some(Marker::create(&self.folder, self.marker_time(now.min(self.opened)))?),
        }
        self.since.store(now.max(NO_MARKER + 1), Ordering::Release);
        Ok(())
    }

    /// Brings what is written so far to the disk, and moves the time on.
    fn sync(&self) -> io::Result<()> {
        let _alone = self.syncing.lock().unwrap_or_else(PoisonError::into_inner);
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
            // By a picture that may have come too late: the next time, then.
            self.dirty.store(true, Ordering::Release);
        } else if let Some(own) = &mut markers.own {
            own.write(self.marker_time(now))?;
            self.since.store(now.max(NO_MARKER + 1), Ordering::Release);
        }
        Ok(())
    }

    /// Does so at once, if a dead run left anything, and then now and then, until the handle is dropped.
    pub(super) fn sync_periodically(self: &Arc<Self>) -> AbortOnDropHandle<()> {
        let durable = Arc::clone(self);
        AbortOnDropHandle::new(tokio::spawn(async move {
            loop {
                let durable = Arc::clone(&durable);
                // What fails leaves the marker's time, and is told at the end.
                spawn_blocking(move || durable.sync().ok()).await.ok();
                tokio::time::sleep(SYNC_EVERY).await;
            }
        }))
    }

    /// Lets no more pictures have their names, and waits for those that are getting them.
    fn close(&self) {
        let mut names = self.names();
        names.closed = true;
        let done = self.named.wait_while(names, |names| names.in_flight > 0);
        drop(done.unwrap_or_else(PoisonError::into_inner));
    }

    /// Brings everything to the disk, for good; from then on no picture gets a name.
    pub(super) fn finish(&self) -> Result<()> {
        let finish = || {
            self.close();
            self.sync()?;
            let own = self.markers().own.take();
            own.into_iter().for_each(Marker::remove);
            Ok(())
        };
        finish().map_err(|error| output_error("bring the pictures to the disk in", &self.folder, error))
    }
}

#[cfg(test)]
mod tests;
