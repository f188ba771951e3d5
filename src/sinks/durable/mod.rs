//! Pictures that a power cut can't spoil unnoticed, without an fsync for each.
//!
//! A picture is renamed when it is whole, but its bytes may reach the disk
//! later than its name: after a power cut it may be empty under its final name.
//! So while pictures are written, a marker in their folder says since when they
//! may not be on the disk. Every now and then everything is brought there, and
//! the marker's time moves on; at the end the marker goes. Whoever finds the
//! marker of a run that is dead looks into the pictures since its time, and
//! removes those that are not whole.
//!
//! Each run has a marker of its own, `.unsynced.<random>`, locked as long as it
//! lives. One that can't be read means that any picture may be spoilt.

mod disk;
mod marker;

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio_util::task::AbortOnDropHandle;

use self::disk::Disk;
pub(super) use self::marker::set_time;
use self::marker::{Marker, TOLERANCE, left, milliseconds, written};
use super::file::output_error;
use super::folders::folders;
use super::{JpegCheck, Quality};
use crate::error::Result;

/// A kill costs a look at the pictures of so long, and of [`SLACK`].
const SYNC_EVERY: Duration = Duration::from_secs(15);

/// Pictures so much older than the marker's time are looked into as well: clocks are coarse, and are set.
const SLACK: u64 = 30_000;

/// An aligned piece of a file that is nothing but zeros was never written: pictures are not like that.
const HOLE: usize = 4096;

/// Pictures are read in pieces of so many bytes.
const PIECE: usize = 64 * HOLE;

/// Brings the pictures of a folder to the disk.
pub(super) struct Durable {
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
const NONE: u64 = 0;

impl Durable {
    /// Takes the folder, and removes what a power cut has spoilt in it.
    pub(super) fn open(folder: &Path) -> Result<Self> {
        let opened = milliseconds();
        let failed = |error| output_error("look into the pictures of", folder, error);
        let found = left(folder).map_err(failed)?;
        if let Some(since) = found.iter().map(|(_, since)| *since).min() {
            remove_spoilt(folder, since.saturating_sub(SLACK)).map_err(failed)?;
        }
        let found: Vec<_> = found.into_iter().map(|(marker, _)| marker).collect();
        Ok(Self {
            folder: folder.to_owned(),
            // Pictures of the dead run may be whole, and still not on the disk.
            dirty: AtomicBool::new(!found.is_empty()),
            opened,
            markers: Mutex::new(Markers { found, ..Markers::default() }),
            since: AtomicU64::new(NONE),
            disk: Disk::open(folder).map_err(failed)?,
            syncing: Mutex::default(),
        })
    }

    /// To be called before a picture's last bytes are written and it gets its name.
    pub(super) fn announce(&self) -> io::Result<()> {
        let (since, now) = (self.since.load(Ordering::Acquire), milliseconds());
        // The clock was set back: the marker has to know before a picture has such a time.
        if since == NONE || now.saturating_add(TOLERANCE) < since {
            self.mark(now)?;
        }
        Ok(())
    }

    /// To be called when it has its name.
    pub(super) fn note(&self, picture: &Path) {
        self.disk.note(picture);
        self.dirty.store(true, Ordering::Release);
    }

    fn markers(&self) -> std::sync::MutexGuard<'_, Markers> {
        self.markers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes this run's marker, or sets it back.
    fn mark(&self, now: u64) -> io::Result<()> {
        let mut markers = self.markers();
        let since = self.since.load(Ordering::Acquire);
        // Another picture may have done it meanwhile.
        if since != NONE && since <= now.saturating_add(TOLERANCE) {
            return Ok(());
        }
        match &mut markers.own {
            Some(own) => own.write(now)?,
            // The bytes of the first picture may have come some time ago.
            none => *none = Some(Marker::create(&self.folder, now.min(self.opened))?),
        }
        self.since.store(now.max(NONE + 1), Ordering::Release);
        Ok(())
    }

    /// Brings what is written so far to the disk, and moves the time on.
    fn sync(&self) -> io::Result<()> {
        let _alone = self.syncing.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((kind, why)) = &self.markers().failed {
            return Err(io::Error::new(*kind, why.clone()));
        }
        let (now, before) = (milliseconds(), self.since.load(Ordering::Acquire));
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
            own.write(now)?;
            self.since.store(now.max(NONE + 1), Ordering::Release);
        }
        Ok(())
    }

    /// Does so at once, if a dead run left anything, and then now and then, until the handle is dropped.
    pub(super) fn sync_now_and_then(self: &Arc<Self>) -> AbortOnDropHandle<()> {
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

    /// Brings everything to the disk, for good.
    pub(super) fn finish(&self) -> Result<()> {
        let finish = || {
            self.sync()?;
            let own = self.markers().own.take();
            own.into_iter().for_each(Marker::remove);
            Ok(())
        };
        finish().map_err(|error| output_error("bring the pictures to the disk in", &self.folder, error))
    }
}

/// Removes pictures written since a time that are not whole, here and in the folders below.
fn remove_spoilt(folder: &Path, since: u64) -> io::Result<()> {
    folders(folder).iter().try_for_each(|folder| remove_spoilt_in(folder, since))
}

fn remove_spoilt_in(folder: &Path, since: u64) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if !is_picture(&entry.file_name().to_string_lossy()) {
            continue;
        }
        let young = entry.metadata().is_ok_and(|found| found.is_file() && written(&found) >= since);
        if young && !is_whole(&entry.path())? {
            remove(&entry.path())?;
        }
    }
    Ok(())
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn is_picture(name: &str) -> bool {
    let stem = name.strip_suffix(".jpg").and_then(|stem| stem.rsplit_once('_'));
    stem.is_some_and(|(_, quality)| Quality::ALL.iter().any(|known| known.name() == quality))
}

fn is_whole(path: &Path) -> io::Result<bool> {
    let mut file = File::open(path)?;
    let mut check = JpegCheck::default();
    let mut piece = Vec::with_capacity(PIECE);
    loop {
        piece.clear();
        // Some file systems notice themselves that a piece of it is spoilt.
        if (&mut file).take(PIECE as u64).read_to_end(&mut piece).is_err() {
            return Ok(false);
        }
        if piece.is_empty() {
            return Ok(check.finish().is_ok());
        }
        if piece.chunks_exact(HOLE).any(|block| block.iter().all(|byte| *byte == 0)) {
            return Ok(false);
        }
        check.push(&piece);
    }
}

#[cfg(test)]
mod tests;
