//! Marker files: a run has one in its folder while pictures may not be on disk.

use std::fs::{self, File, Metadata};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::file_system::{Lock, lock, sync_file, sync_folder, try_lock};

const MARKER: &str = ".unsynced.";

/// Start of the marker's only line, before the time in milliseconds since 1970 and the system's boot id. The line has
/// the same length during a run.
pub(super) const PREFIX: &str = "pictures since then may not be on the disk: ";

/// Backward steps of the clock within the slack.
pub(super) const TOLERANCE_MS: u64 = 5_000;

/// Boot id on systems without one.
const NO_BOOT: &str = "unknown";

/// A marker file, locked while its run lives.
pub(super) struct Marker {
    path: PathBuf,
    file: File,
    /// Lag of the file system's clock in milliseconds.
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
            lock(&file, &path)?;
            let mut marker = Self { path, file, behind: 0 };
            marker.write(since)?;
            let clock = marker.file.metadata().map_or(0, |found| modified(&found));
            let behind = now_ms().saturating_sub(clock);
            if behind > TOLERANCE_MS {
                marker.behind = behind;
                marker.write(since)?;
            }
            // Another run may have removed it as orphaned before it was locked.
            if marker.path.exists() {
                sync_folder(folder)?;
                return Ok(marker);
            }
        }
    }

    pub(super) fn write(&mut self, since: u64) -> io::Result<()> {
        let since = since.saturating_sub(self.behind);
        let boot = boot_id();
        let boot = boot.as_deref().unwrap_or(NO_BOOT);
        self.file.seek(SeekFrom::Start(0))?;
        self.file.write_all(format!("{PREFIX}{since:020} {boot}\n").as_bytes())?;
        sync_file(&self.file, &self.path)
    }

    /// The time since which pictures may not be on disk; `None` if the system was not restarted, because then all
    /// writes are on disk or still in the system's cache.
    ///
    /// An unreadable marker counts as time 0. A marker without a boot id counts as a restart.
    pub(super) fn since(&mut self) -> Option<u64> {
        let mut text = String::new();
        let read = (&mut self.file).take(1024).read_to_string(&mut text);
        let line = read.ok().and_then(|_| text.strip_prefix(PREFIX)?.strip_suffix('\n')).unwrap_or_default();
        let (time, boot) = line.split_once(' ').unwrap_or((line, NO_BOOT));
        let since = Some(time).filter(|time| time.len() == 20).and_then(|time| time.parse().ok());
        match since {
            Some(_) if boot != NO_BOOT && boot_id().is_some_and(|ours| ours == boot) => None,
            since => Some(since.unwrap_or(0)),
        }
    }

    /// Removes the marker. If a power cut undoes that, pictures are checked once more.
    pub(super) fn remove(self) {
        fs::remove_file(self.path).ok();
    }
}

/// An id that differs after each start of the system.
#[cfg(target_os = "linux")]
pub(super) fn boot_id() -> Option<String> {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let id = id.trim();
    (id.len() == 36 && id.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-')).then(|| id.to_owned())
}

/// There is none on other systems, so each killed run counts as ended by a power cut.
#[cfg(not(target_os = "linux"))]
pub(super) fn boot_id() -> Option<String> {
    None
}

/// Whether a file name is that of a marker.
fn is_marker(name: &str) -> bool {
    let random = name.strip_prefix(MARKER).unwrap_or_default();
    random.len() == 8 && random.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Finds and locks the markers of dead runs.
pub(super) fn orphaned(folder: &Path) -> io::Result<Vec<Marker>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let is_file = || entry.file_type().is_ok_and(|kind| kind.is_file());
        if !entry.file_name().to_str().is_some_and(is_marker) || !is_file() {
            continue;
        }
        let path = entry.path();
        // Its run has ended meanwhile, or it belongs to another user.
        let Ok(file) = File::options().read(true).write(true).open(&path) else { continue };
        // Without locks, a live run may lose its marker here.
        if try_lock(&file, &path)? != Lock::Busy && path.exists() {
            found.push(Marker { path, file, behind: 0 });
        }
    }
    Ok(found)
}

/// The current time in milliseconds since 1970.
pub(in crate::sinks) fn now_ms() -> u64 {
    since_1970(SystemTime::now())
}

fn since_1970(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Modification time; the maximum if it is unknown.
fn modified(found: &Metadata) -> u64 {
    found.modified().map_or(u64::MAX, since_1970)
}

/// When a picture was written, even if its modification time is the capture time: the latest time in its metadata. A
/// time that is too late only costs a check. On Unix, nobody can set the change time. FAT and exFAT on Linux lack it and
/// have the creation time. On other systems this crate sets the creation time.
pub(super) fn write_time(found: &Metadata) -> u64 {
    modified(found).max(changed(found)).max(created(found).unwrap_or(0))
}

fn created(found: &Metadata) -> Option<u64> {
    found.created().ok().map(since_1970)
}

#[cfg(unix)]
fn changed(found: &Metadata) -> u64 {
    use std::os::unix::fs::MetadataExt;

    u64::try_from(found.ctime().saturating_mul(1000).saturating_add(found.ctime_nsec() / 1_000_000))
        .unwrap_or(0)
}

#[cfg(not(unix))]
fn changed(found: &Metadata) -> u64 {
    created(found).unwrap_or(u64::MAX)
}

/// Whether a file that was written just now, with an old modification time, shows when it was written.
pub(in crate::sinks) fn shows_write_time(found: &Metadata) -> bool {
    const HOUR: u64 = 3_600_000;
    write_time(found).saturating_add(HOUR) >= now_ms()
}
