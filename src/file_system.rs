//! Calls that some file systems do not support.
//!
//! Network and FUSE mounts, containers and old systems may lack calls of local disks: syncing a folder, locks, setting
//! the modification time, reporting free space. An unsupported call is not a failed call: the run continues, and the user
//! is warned once. All other errors stay errors, above all those of a full or broken disk.
//!
//! All such calls are in this module, so that the error codes of unsupported calls ([`is_unsupported`]) are in one place.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::SystemTime;

use crate::error::{Error, ErrorKind};
use crate::observe::{Event, Observer};
use crate::sync;

/// A call that a file system may not support.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    /// Syncing a file.
    SyncFile,
    /// Syncing a folder, including opening it.
    SyncFolder,
    /// Syncing a whole file system.
    #[cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "only Linux has it"))]
    SyncAll,
    /// Locking a file.
    Lock,
    /// Setting the modification time of a file.
    SetTime,
}

impl Call {
    #[cfg(all(test, unix))]
    const ALL: [Self; 5] = [Self::SyncFile, Self::SyncFolder, Self::SyncAll, Self::Lock, Self::SetTime];

    /// The call, completing "failed to …".
    fn doing(self) -> &'static str {
        match self {
            Self::SyncFile => "sync the file",
            Self::SyncFolder => "sync the folder",
            Self::SyncAll => "sync the file system of",
            Self::Lock => "lock the file",
            Self::SetTime => "set the time of the file",
        }
    }

    /// What follows from the missing support.
    fn consequence(self) -> &'static str {
        match self {
            Self::SyncFile | Self::SyncFolder | Self::SyncAll => {
                "this file system does not support it, and the run continues; after a power cut the newest files may be missing there"
            }
            Self::Lock => {
                "this file system has no locks, and the run continues; do not start two runs at once in one directory, which streetflow cannot detect there, and remove the `.partial` files of killed runs yourself"
            }
            Self::SetTime => {
                "this file system does not support it, so files there have their download time; `--file-time download` avoids this warning"
            }
        }
    }
}

/// Whether an error means that the file system does not support a call, in contrast to a failed call.
pub fn is_unsupported(call: Call, error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::Unsupported
        || error.raw_os_error().is_some_and(|code| unsupported_codes(call).contains(&code))
}

/// The error codes of an unsupported call.
#[cfg(unix)]
fn unsupported_codes(call: Call) -> Vec<i32> {
    use rustix::io::Errno;

    let anywhere = [Errno::NOSYS, Errno::NOTSUP, Errno::OPNOTSUPP, Errno::INVAL];
    let besides: &[Errno] = match call {
        // The file is open, so the file system returns EBADF.
        Call::SyncFile => &[Errno::BADF, Errno::NOTTY],
        // A folder without read permission can't be opened for syncing.
        Call::SyncFolder => &[Errno::BADF, Errno::NOTTY, Errno::PERM, Errno::ACCESS, Errno::ISDIR],
        Call::SyncAll => &[Errno::BADF, Errno::NOTTY, Errno::PERM],
        // ENOLCK: NFS without lockd. EBADF: NFS with a file opened for reading only.
        Call::Lock => &[Errno::NOLCK, Errno::BADF, Errno::PERM],
        Call::SetTime => &[Errno::PERM, Errno::ACCESS, Errno::ROFS],
    };
    anywhere.iter().chain(besides).map(|errno| errno.raw_os_error()).collect()
}

/// `ERROR_INVALID_FUNCTION`, `ERROR_NOT_SUPPORTED`, `ERROR_CALL_NOT_IMPLEMENTED`, and `ERROR_ACCESS_DENIED` for the
/// modification time.
#[cfg(not(unix))]
fn unsupported_codes(call: Call) -> Vec<i32> {
    let anywhere = [1, 50, 120];
    let besides: &[i32] = if call == Call::SetTime { &[5] } else { &[] };
    anywhere.iter().chain(besides).copied().collect()
}

/// Unsupported calls so far. Each is reported once.
#[derive(Default)]
struct UnsupportedCalls(Mutex<Vec<UnsupportedCall>>);

struct UnsupportedCall {
    call: Call,
    path: PathBuf,
    why: String,
    reported: bool,
}

impl UnsupportedCall {
    fn error(&self) -> Error {
        Error::new(ErrorKind::Io, self.call.doing())
            .with_subject(self.path.display().to_string())
            .with_source(self.why.clone())
            .with_hint(self.call.consequence())
    }
}

/// Global, because many places that write files have no observer, and one warning per process is enough.
static UNSUPPORTED: UnsupportedCalls = UnsupportedCalls(Mutex::new(Vec::new()));

impl UnsupportedCalls {
    /// Records an unsupported call and returns success instead.
    fn allow(&self, call: Call, path: &Path, done: io::Result<()>) -> io::Result<()> {
        match done {
            Err(error) if is_unsupported(call, &error) => {
                self.record(call, path, &error);
                Ok(())
            }
            done => done,
        }
    }

    fn record(&self, call: Call, path: &Path, error: &io::Error) {
        let mut calls = sync::lock(&self.0);
        if calls.iter().all(|known| known.call != call) {
            calls.push(UnsupportedCall {
                call,
                path: path.to_owned(),
                why: error.to_string(),
                reported: false,
            });
        }
    }

    fn report(&self, observer: &dyn Observer) {
        let mut calls = sync::lock(&self.0);
        let new: Vec<_> = calls.iter().filter(|call| !call.reported).map(UnsupportedCall::error).collect();
        calls.iter_mut().for_each(|call| call.reported = true);
        // The observer may write files itself.
        drop(calls);
        for error in &new {
            observer.on_event(&Event::Warning { error });
        }
    }
}

/// Reports the unsupported calls of this process to an observer, each once.
pub fn report_unsupported(observer: &dyn Observer) {
    UNSUPPORTED.report(observer);
}

/// Syncs a file to disk.
pub fn sync_file(file: &File, path: &Path) -> io::Result<()> {
    UNSUPPORTED.allow(Call::SyncFile, path, sync_with_fallback(file.sync_all(), file))
}

/// Syncs the contents of a file to disk, and of its metadata only the length.
pub fn sync_data(file: &File, path: &Path) -> io::Result<()> {
    UNSUPPORTED.allow(Call::SyncFile, path, sync_with_fallback(file.sync_data(), file))
}

/// On Apple systems the standard library flushes the disk cache, which network mounts do not support. There, a plain
/// `fsync` works.
#[cfg(target_vendor = "apple")]
fn sync_with_fallback(synced: io::Result<()>, file: &File) -> io::Result<()> {
    match synced {
        Err(error) if is_unsupported(Call::SyncFile, &error) => Ok(rustix::fs::fsync(file)?),
        synced => synced,
    }
}

#[cfg(not(target_vendor = "apple"))]
fn sync_with_fallback(synced: io::Result<()>, _: &File) -> io::Result<()> {
    synced
}

/// Syncs the entries of a folder to disk.
#[cfg(unix)]
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    let folder = or_here(folder);
    let synced = File::open(folder).and_then(|file| sync_with_fallback(file.sync_all(), &file));
    UNSUPPORTED.allow(Call::SyncFolder, folder, synced)
}

/// On other systems a folder can't be opened as a file; the rename itself is all that can be done.
#[cfg(not(unix))]
pub fn sync_folder(_: &Path) -> io::Result<()> {
    Ok(())
}

/// Syncs a whole file system to disk, by a handle that was opened on it before.
#[cfg(target_os = "linux")]
pub fn sync_all(handle: &File) -> io::Result<()> {
    match rustix::fs::syncfs(handle).map_err(io::Error::from) {
        // Some containers forbid it. `sync` waits for all disks, but reports no errors.
        Err(error) if is_unsupported(Call::SyncAll, &error) => {
            rustix::fs::sync();
            Ok(())
        }
        synced => synced,
    }
}

/// State of a file lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lock {
    /// This process has the lock now.
    Ours,
    /// Another process has it, or another handle of this one.
    Busy,
    /// The file system has no locks.
    Unknown,
}

/// Locks a file. Open it for writing, because NFS needs that for exclusive locks.
pub fn lock(file: &File, path: &Path) -> io::Result<()> {
    UNSUPPORTED.allow(Call::Lock, path, file.lock())
}

/// Locks a file unless it is locked. Open it for writing, because NFS needs that for exclusive locks.
pub fn try_lock(file: &File, path: &Path) -> io::Result<Lock> {
    let tried = lock_state(file.try_lock());
    match tried {
        Err(error) if is_unsupported(Call::Lock, &error) => {
            UNSUPPORTED.record(Call::Lock, path, &error);
            Ok(Lock::Unknown)
        }
        tried => tried,
    }
}

fn lock_state(tried: Result<(), TryLockError>) -> io::Result<Lock> {
    match tried {
        Ok(()) => Ok(Lock::Ours),
        Err(TryLockError::WouldBlock) => Ok(Lock::Busy),
        // Emulated locks, as on SMB, report a lock that is held this way.
        Err(TryLockError::Error(error)) if is_access(&error) => Ok(Lock::Busy),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

#[cfg(unix)]
fn is_access(error: &io::Error) -> bool {
    error.raw_os_error() == Some(rustix::io::Errno::ACCESS.raw_os_error())
}

#[cfg(not(unix))]
fn is_access(_: &io::Error) -> bool {
    false
}

/// Sets the modification time of a file. An error is only reported as a warning.
pub fn set_time(file: &File, path: &Path, modified: SystemTime) {
    let times = fs::FileTimes::new().set_modified(modified);
    // On Windows only the creation time then shows when the file was written.
    #[cfg(windows)]
    let times = std::os::windows::fs::FileTimesExt::set_created(times, SystemTime::now());
    if let Err(error) = file.set_times(times) {
        UNSUPPORTED.record(Call::SetTime, path, &error);
    }
}

/// Free bytes on the disk of a folder, which need not exist; `None` if the file system does not report it.
#[cfg(unix)]
pub fn free_space(folder: &Path) -> Option<u64> {
    use rustix::io::Errno;

    // A parent may be on another disk, so it is used only if the folder does not exist.
    folder.ancestors().map(or_here).chain([Path::new(".")]).find_map(|path| {
        match rustix::fs::statvfs(path) {
            Ok(found) => Some(free_bytes(found.f_blocks, found.f_bavail, [found.f_frsize, found.f_bsize])),
            Err(Errno::NOENT | Errno::NOTDIR) => None,
            Err(_) => Some(None),
        }
    })?
}

/// Not supported on other systems.
#[cfg(not(unix))]
pub fn free_space(_: &Path) -> Option<u64> {
    None
}

/// Some network and FUSE mounts report no blocks at all, which means unknown, not full.
#[cfg(unix)]
fn free_bytes(blocks: u64, available: u64, block_sizes: [u64; 2]) -> Option<u64> {
    let size = block_sizes.into_iter().find(|size| *size > 0)?;
    (blocks > 0).then(|| available.saturating_mul(size))
}

/// The folder of a path; the current one for a bare name.
pub fn parent(path: &Path) -> &Path {
    or_here(path.parent().unwrap_or(path))
}

/// The folder, with `.` instead of an empty path.
pub fn or_here(folder: &Path) -> &Path {
    if folder.as_os_str().is_empty() { Path::new(".") } else { folder }
}

#[cfg(test)]
mod tests;
