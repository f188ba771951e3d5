//! What a file system may refuse, and what to do then.
//!
//! Network and FUSE mounts, containers and old systems lack calls that local disks have: syncing a folder, locks,
//! setting the time of a file, telling how much room is left. A call that the file system does not have is not a call
//! that failed: the run goes on, and a person is told once what is missing. Everything else stays an error, above all
//! a disk that is full or broken.
//!
//! All calls of that kind go through this module, so the list of refusals ([`is_unsupported`]) stands in one place.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use crate::error::{Error, ErrorKind};
use crate::observe::{Event, Observer};

/// A call that a file system may refuse.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    /// Syncing a file.
    SyncFile,
    /// Syncing a folder, and opening it for that.
    SyncFolder,
    /// Syncing a whole file system.
    #[cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "only Linux has it"))]
    SyncAll,
    /// Locking a file.
    Lock,
    /// Setting the time of a file.
    SetTime,
}

impl Call {
    #[cfg(all(test, unix))]
    const ALL: [Self; 5] = [Self::SyncFile, Self::SyncFolder, Self::SyncAll, Self::Lock, Self::SetTime];

    /// What was refused, completing "failed to …".
    fn doing(self) -> &'static str {
        match self {
            Self::SyncFile => "sync the file",
            Self::SyncFolder => "sync the folder",
            Self::SyncAll => "sync the file system of",
            Self::Lock => "lock the file",
            Self::SetTime => "set the time of the file",
        }
    }

    /// What follows from it.
    fn consequence(self) -> &'static str {
        match self {
            Self::SyncFile | Self::SyncFolder | Self::SyncAll => {
                "this file system does not support it, so the run goes on; after a power cut the newest files may be missing there"
            }
            Self::Lock => {
                "this file system has no locks, so the run goes on; do not start two runs at once on one folder, as they are not kept apart, and remove the `.partial` files of killed runs yourself"
            }
            Self::SetTime => {
                "this file system does not support it, so files there have the time of their download; `--file-time download` is the same without this warning"
            }
        }
    }
}

/// Whether an error says that the file system does not have a call, as opposed to a call that failed.
pub fn is_unsupported(call: Call, error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::Unsupported
        || error.raw_os_error().is_some_and(|code| refusals(call).contains(&code))
}

/// The error codes that mean "not here", by call.
#[cfg(unix)]
fn refusals(call: Call) -> Vec<i32> {
    use rustix::io::Errno;

    let anywhere = [Errno::NOSYS, Errno::NOTSUP, Errno::OPNOTSUPP, Errno::INVAL];
    let besides: &[Errno] = match call {
        // The file is open, so EBADF is the file system's answer and not a mistake of ours.
        Call::SyncFile => &[Errno::BADF, Errno::NOTTY],
        // A folder that may be written to and not read can't be opened for it.
        Call::SyncFolder => &[Errno::BADF, Errno::NOTTY, Errno::PERM, Errno::ACCESS, Errno::ISDIR],
        Call::SyncAll => &[Errno::BADF, Errno::NOTTY, Errno::PERM],
        // ENOLCK is NFS without lockd; EBADF is NFS where the file is open for reading only.
        Call::Lock => &[Errno::NOLCK, Errno::BADF, Errno::PERM],
        Call::SetTime => &[Errno::PERM, Errno::ACCESS, Errno::ROFS],
    };
    anywhere.iter().chain(besides).map(|errno| errno.raw_os_error()).collect()
}

/// `ERROR_INVALID_FUNCTION`, `ERROR_NOT_SUPPORTED`, `ERROR_CALL_NOT_IMPLEMENTED`, and for the time of a file
/// `ERROR_ACCESS_DENIED`.
#[cfg(not(unix))]
fn refusals(call: Call) -> Vec<i32> {
    let anywhere = [1, 50, 120];
    let besides: &[i32] = if call == Call::SetTime { &[5] } else { &[] };
    anywhere.iter().chain(besides).copied().collect()
}

/// The refusals met so far; each call is told of once.
#[derive(Default)]
struct Refusals(Mutex<Vec<Refusal>>);

struct Refusal {
    call: Call,
    path: PathBuf,
    why: String,
    told: bool,
}

impl Refusal {
    fn error(&self) -> Error {
        Error::new(ErrorKind::Io, self.call.doing())
            .with_subject(self.path.display().to_string())
            .with_source(self.why.clone())
            .with_hint(self.call.consequence())
    }
}

/// Files are written in many places that have no observer, and one warning per process is enough.
static REFUSALS: Refusals = Refusals(Mutex::new(Vec::new()));

impl Refusals {
    /// Turns a refusal into success, and notes it.
    fn allow(&self, call: Call, path: &Path, done: io::Result<()>) -> io::Result<()> {
        match done {
            Err(error) if is_unsupported(call, &error) => {
                self.note(call, path, &error);
                Ok(())
            }
            done => done,
        }
    }

    fn note(&self, call: Call, path: &Path, error: &io::Error) {
        let mut met = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if met.iter().all(|refusal| refusal.call != call) {
            met.push(Refusal { call, path: path.to_owned(), why: error.to_string(), told: false });
        }
    }

    fn tell(&self, observer: &dyn Observer) {
        let mut met = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let new: Vec<_> = met.iter().filter(|refusal| !refusal.told).map(Refusal::error).collect();
        met.iter_mut().for_each(|refusal| refusal.told = true);
        // The observer may write files itself.
        drop(met);
        for error in &new {
            observer.on_event(&Event::Warning { error });
        }
    }
}

/// Tells an observer which calls the file systems of this process refused, each once.
pub fn report_unsupported(observer: &dyn Observer) {
    REFUSALS.tell(observer);
}

/// Brings the bytes of a file to the disk.
pub fn sync_file(file: &File, path: &Path) -> io::Result<()> {
    REFUSALS.allow(Call::SyncFile, path, plainly(file.sync_all(), file))
}

/// Brings the bytes of a file to the disk, and of what is known of it only its length.
pub fn sync_data(file: &File, path: &Path) -> io::Result<()> {
    REFUSALS.allow(Call::SyncFile, path, plainly(file.sync_data(), file))
}

/// On Apple's systems the standard library asks the disk to empty its cache, which network mounts do not have; the
/// plain call works there.
#[cfg(target_vendor = "apple")]
fn plainly(synced: io::Result<()>, file: &File) -> io::Result<()> {
    match synced {
        Err(error) if is_unsupported(Call::SyncFile, &error) => Ok(rustix::fs::fsync(file)?),
        synced => synced,
    }
}

#[cfg(not(target_vendor = "apple"))]
fn plainly(synced: io::Result<()>, _: &File) -> io::Result<()> {
    synced
}

/// Brings the names in a folder to the disk.
#[cfg(unix)]
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    let folder = or_here(folder);
    let synced = File::open(folder).and_then(|file| plainly(file.sync_all(), &file));
    REFUSALS.allow(Call::SyncFolder, folder, synced)
}

/// Elsewhere a folder can't be opened as a file; the rename itself is as durable as it gets.
#[cfg(not(unix))]
pub fn sync_folder(_: &Path) -> io::Result<()> {
    Ok(())
}

/// Brings everything on a file system to the disk, by a handle that was opened on it before.
#[cfg(target_os = "linux")]
pub fn sync_all(handle: &File) -> io::Result<()> {
    match rustix::fs::syncfs(handle).map_err(io::Error::from) {
        // Some containers forbid it. This call waits for all disks, but can't say what went wrong.
        Err(error) if is_unsupported(Call::SyncAll, &error) => {
            rustix::fs::sync();
            Ok(())
        }
        synced => synced,
    }
}

/// Whether somebody holds the lock of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lock {
    /// We do now.
    Ours,
    /// Another process does, or another handle of this one.
    Busy,
    /// The file system has no locks, so nobody can tell.
    Unknown,
}

/// Locks a file, which should be open for writing: NFS has no exclusive locks on others.
pub fn lock(file: &File, path: &Path) -> io::Result<()> {
    REFUSALS.allow(Call::Lock, path, file.lock())
}

/// Locks a file, which should be open for writing, unless somebody else has it.
pub fn try_lock(file: &File, path: &Path) -> io::Result<Lock> {
    let tried = judge_lock(file.try_lock());
    match tried {
        Err(error) if is_unsupported(Call::Lock, &error) => {
            REFUSALS.note(Call::Lock, path, &error);
            Ok(Lock::Unknown)
        }
        tried => tried,
    }
}

fn judge_lock(tried: Result<(), TryLockError>) -> io::Result<Lock> {
    match tried {
        Ok(()) => Ok(Lock::Ours),
        Err(TryLockError::WouldBlock) => Ok(Lock::Busy),
        // Where locks are made of others, as on SMB, this is how a lock that is held is told.
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

/// Gives a file a time of modification. That it can't be done is noted, and no reason to lose the file.
pub fn set_time(file: &File, path: &Path, modified: SystemTime) {
    let times = fs::FileTimes::new().set_modified(modified);
    // There is no other trace there of when the file was written.
    #[cfg(windows)]
    let times = std::os::windows::fs::FileTimesExt::set_created(times, SystemTime::now());
    if let Err(error) = file.set_times(times) {
        REFUSALS.note(Call::SetTime, path, &error);
    }
}

/// The bytes that are free where a folder is, or will be; none where the file system does not tell.
#[cfg(unix)]
pub fn free_space(folder: &Path) -> Option<u64> {
    use rustix::io::Errno;

    // A folder above may lie on another disk, so it is asked only where this one is not there.
    folder.ancestors().map(or_here).chain([Path::new(".")]).find_map(|path| {
        match rustix::fs::statvfs(path) {
            Ok(found) => Some(free_bytes(found.f_blocks, found.f_bavail, [found.f_frsize, found.f_bsize])),
            Err(Errno::NOENT | Errno::NOTDIR) => None,
            Err(_) => Some(None),
        }
    })?
}

/// Elsewhere nobody tells.
#[cfg(not(unix))]
pub fn free_space(_: &Path) -> Option<u64> {
    None
}

/// A disk without any blocks is one of which nothing is known, and not a full one: some network and FUSE mounts say so.
#[cfg(unix)]
fn free_bytes(blocks: u64, available: u64, block_sizes: [u64; 2]) -> Option<u64> {
    let size = block_sizes.into_iter().find(|size| *size > 0)?;
    (blocks > 0).then(|| available.saturating_mul(size))
}

/// The folder in which a path lies: for a bare name that is the current one.
pub fn parent(path: &Path) -> &Path {
    or_here(path.parent().unwrap_or(path))
}

/// A folder in words that the system takes: it knows no empty name for the current one.
pub fn or_here(folder: &Path) -> &Path {
    if folder.as_os_str().is_empty() { Path::new(".") } else { folder }
}

#[cfg(test)]
mod tests;
