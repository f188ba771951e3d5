//! The mark that a run leaves in a folder while its pictures may not be on the disk.

use std::fs::{self, File, Metadata};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::sinks::file::sync_folder;

const MARKER: &str = ".unsynced.";

/// The marker's only line: these words and the time in milliseconds since 1970, always equally long.
pub(super) const WORDS: &str = "pictures since then may not be on the disk: ";

/// A clock that goes back by less is within the slack.
pub(super) const TOLERANCE: u64 = 5_000;

/// A file with a time in it, locked while its run lives.
pub(super) struct Marker {
    path: PathBuf,
    file: File,
    /// How much the clock of the file system is behind ours, in milliseconds.
    behind: u64,
}

impl Marker {
    pub(super) fn create(folder: &Path, since: u64) -> io::Result<Self> {
        loop {
            let path = folder.join(format!("{MARKER}{:08x}", fastrand::u32(..)));
            let file = match File::options().read(true).write(true).create_new(true).open(&path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                file => file?,
            };
            // Where a file system knows no locks, two runs at once on one folder are not told apart.
            file.lock().or_else(|error| match error.kind() {
                io::ErrorKind::Unsupported => Ok(()),
                _ => Err(error),
            })?;
            let mut marker = Self { path, file, behind: 0 };
            marker.write(since)?;
            let clock = marker.file.metadata().map_or(0, |found| modified(&found));
            let behind = milliseconds().saturating_sub(clock);
            if behind > TOLERANCE {
                marker.behind = behind;
                marker.write(since)?;
            }
            // Between being made and being locked, it may have been taken for a dead one's.
            if marker.path.exists() {
                sync_folder(folder)?;
                return Ok(marker);
            }
        }
    }

    pub(super) fn write(&mut self, since: u64) -> io::Result<()> {
        let since = since.saturating_sub(self.behind);
        self.file.seek(SeekFrom::Start(0))?;
        self.file.write_all(format!("{WORDS}{since:020}\n").as_bytes())?;
        self.file.sync_all()
    }

    /// The time in it; the beginning of all time if there is none.
    pub(super) fn since(&mut self) -> u64 {
        let mut text = String::new();
        let read = (&mut self.file).take(1024).read_to_string(&mut text);
        let time = text.strip_prefix(WORDS).and_then(|time| time.strip_suffix('\n'));
        read.ok().and(time).filter(|time| time.len() == 20).and_then(|time| time.parse().ok()).unwrap_or(0)
    }

    /// Should it come back after a power cut, that costs a look.
    pub(super) fn remove(self) {
        fs::remove_file(self.path).ok();
    }
}

/// The markers of dead runs, locked, and their times.
pub(super) fn left(folder: &Path) -> io::Result<Vec<(Marker, u64)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if !entry.file_name().to_string_lossy().starts_with(MARKER) || !entry.file_type()?.is_file() {
            continue;
        }
        let path = entry.path();
        let file = match File::options().read(true).write(true).open(&path) {
            // Its run has ended meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            file => file?,
        };
        if matches!(file.try_lock(), Err(fs::TryLockError::WouldBlock)) || !path.exists() {
            continue;
        }
        let mut marker = Marker { path, file, behind: 0 };
        let since = marker.since();
        found.push((marker, since));
    }
    Ok(found)
}

/// Now, in milliseconds since 1970.
pub(super) fn milliseconds() -> u64 {
    since_1970(SystemTime::now())
}

fn since_1970(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// When a file was last changed, by the clock of its file system; where nobody knows, at the end of all time.
fn modified(found: &Metadata) -> u64 {
    found.modified().map_or(u64::MAX, since_1970)
}

/// Gives a picture the time of its capture; a file system that can't is no reason to lose the picture.
pub(in crate::sinks) fn set_time(file: &File, captured: SystemTime) {
    let times = fs::FileTimes::new().set_modified(captured);
    #[cfg(windows)]
    let times = std::os::windows::fs::FileTimesExt::set_created(times, SystemTime::now());
    file.set_times(times).ok();
}

/// When a picture was written, though its file has the time of its capture: Unix notes each change of a file where
/// nobody can set it, and elsewhere we note it ourselves. The later one counts, for it costs but a look.
pub(super) fn written(found: &Metadata) -> u64 {
    modified(found).max(changed(found))
}

#[cfg(unix)]
fn changed(found: &Metadata) -> u64 {
    use std::os::unix::fs::MetadataExt;

    u64::try_from(found.ctime().saturating_mul(1000).saturating_add(found.ctime_nsec() / 1_000_000))
        .unwrap_or(0)
}

#[cfg(not(unix))]
fn changed(found: &Metadata) -> u64 {
    found.created().map_or(u64::MAX, since_1970)
}
