//! Files that appear completely or not at all: a temporary file in the target's folder is renamed at the end.
//!
//! A temporary file is named `.NAME.RANDOM.partial` and locked while it is written, so that the next run can distinguish
//! leftovers of killed processes from files of running ones.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use tempfile::{NamedTempFile, PersistError};

use crate::error::{Error, ErrorKind};
use crate::file_system::{Lock, lock, or_here, parent, sync_file, sync_folder, try_lock};

const PARTIAL: &str = ".partial";

/// Number of random characters in the name of a temporary file.
const RANDOM_LEN: usize = 6;

/// Creates a temporary file in the target's folder, which is created if necessary.
///
/// The file is locked, so that [`sweep`] skips it, and is deleted on drop unless it is committed.
pub fn temporary_beside(path: &Path) -> io::Result<NamedTempFile> {
    let folder = parent(path);
    let name = path.file_name().ok_or_else(|| io::Error::other("the path names no file"))?.to_string_lossy();
    fs::create_dir_all(folder)?;
    sweep(folder, |found| found == name).ok(); // An unreadable folder may still be writable.
    temporary(folder, &name)
}

/// Creates and locks a temporary file in a folder for the target `name`.
pub fn temporary(folder: &Path, name: &str) -> io::Result<NamedTempFile> {
    // Default permissions, as other programs give to new files.
    let open = |path: &Path| File::options().write(true).read(true).create_new(true).open(path);
    loop {
        let file = tempfile::Builder::new()
            .prefix(&format!(".{name}."))
            .suffix(PARTIAL)
            .rand_bytes(RANDOM_LEN)
            .make_in(folder, open)?;
        let (file, path) = file.into_parts();
        lock(&file, &path)?;
        // Another process may have removed it before it was locked.
        if path.exists() {
            return Ok(NamedTempFile::from_parts(file, path));
        }
    }
}

/// The target of a temporary file's name; `None` for names not made by [`temporary`].
pub fn target_of(temporary: &str) -> Option<&str> {
    let (target, random) = temporary.strip_prefix('.')?.strip_suffix(PARTIAL)?.rsplit_once('.')?;
    let is_random = random.len() == RANDOM_LEN && random.bytes().all(|byte| byte.is_ascii_alphanumeric());
    (is_random && !target.is_empty()).then_some(target)
}

/// Removes temporary files of killed processes. Their lock is free.
///
/// `is_ours` selects targets by name. Links, folders and other files stay.
pub fn sweep(folder: &Path, is_ours: impl Fn(&str) -> bool) -> io::Result<()> {
    for entry in fs::read_dir(or_here(folder))? {
        let entry = entry?;
        let name = entry.file_name();
        let ours = name.to_str().and_then(target_of).is_some_and(&is_ours);
        if ours
            && entry.file_type().is_ok_and(|kind| kind.is_file())
            // On NFS a lock needs write access.
            && let Ok(file) = File::options().write(true).open(entry.path())
            // The lock is held until the file is removed, so a process that has just created it waits and notices.
            && matches!(try_lock(&file, &entry.path()), Ok(Lock::Ours))
            && fs::remove_file(entry.path()).is_err()
        {
            return Ok(()); // If the folder is read-only, writing to it will fail with an error.
        }
    }
    Ok(())
}

/// Syncs the file, renames it to its final name, and syncs the folder.
pub fn commit(file: NamedTempFile, path: &Path) -> io::Result<()> {
    sync_file(file.as_file(), path)?;
    file.persist(path).map_err(|PersistError { error, .. }| error)?;
    sync_folder(parent(path))
}

/// Whether a file exists. A folder, a device or a pipe with that name is an error.
pub fn is_file(path: &Path) -> io::Result<bool> {
    file_len(path).map(|len| len.is_some())
}

/// The length of a file, if it exists. A folder, a device or a pipe with that name is an error.
pub fn file_len(path: &Path) -> io::Result<Option<u64>> {
    match fs::metadata(path) {
        Ok(found) if found.is_file() => Ok(Some(found.len())),
        Ok(found) if found.is_dir() => Err(io::Error::other("a folder has that name")),
        Ok(_) => Err(io::Error::other("something that is not a file has that name")),
        Err(_) => Ok(None),
    }
}

/// Whether an error means that this process or the system can't open more files.
fn is_file_limit(error: &io::Error) -> bool {
    #[cfg(unix)]
    {
        use rustix::io::Errno;
        let code = error.raw_os_error();
        [Errno::MFILE, Errno::NFILE].iter().any(|errno| code == Some(errno.raw_os_error()))
    }
    #[cfg(not(unix))]
    {
        // ERROR_TOO_MANY_OPEN_FILES.
        error.raw_os_error() == Some(4)
    }
}

/// Creates the error for an output file, with a hint for a full disk, missing permissions or the limit of open files.
///
/// An error of this crate inside of `error` is returned as it is: it names its subject and has a hint of its own.
pub fn output_error(doing: &'static str, path: &Path, error: io::Error) -> Error {
    let error = match Error::from_io(error) {
        Ok(own) => return own,
        Err(error) => error,
    };
    let hint = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            Some("free some space and run the same command again")
        }
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            Some("choose a folder with write permission")
        }
        _ if is_file_limit(&error) => {
            Some("raise the limit of open files with `ulimit -n 4096`, or use a lower `--concurrency`")
        }
        _ => None,
    };
    let error = Error::new(ErrorKind::Io, doing).with_subject(path.display().to_string()).with_source(error);
    match hint {
        Some(hint) => error.with_hint(hint),
        None => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn temporary_names_are_recognized_and_others_are_not() {
        let folder = tempfile::tempdir().expect("a folder");
        for name in ["report.json", "7_256.jpg", "a.b.partial", "Ünï"] {
            let file = temporary(folder.path(), name).expect("a file");
            let found = file.path().file_name().and_then(|name| name.to_str()).expect("text").to_owned();
            assert_eq!(target_of(&found), Some(name), "{found}");
        }
        let others = [
            ".thesis.partial",
            "thesis.abcdef.partial",
            ".thesis.abcde.partial",
            ".thesis.abc-ef.partial",
            ".thesis.abcdefg.partial",
            "..abcdef.partial",
            ".abcdef.partial",
            ".thesis.abcdef.part",
        ];
        for name in others {
            assert_eq!(target_of(name), None, "{name}");
        }
    }

    #[test]
    fn a_sweep_removes_only_leftovers_with_the_given_names() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        let held = temporary(folder.path(), "7_256.jpg").expect("a file");
        for name in [".7_256.jpg.a1B2c3.partial", ".mine.a1B2c3.partial", ".7_256.jpg.partial"] {
            fs::write(path(name), "half").expect("written");
        }
        fs::create_dir(path(".7_256.jpg.d1d1d1.partial")).expect("made");
        #[cfg(unix)]
        std::os::unix::fs::symlink(path(".mine.a1B2c3.partial"), path(".7_256.jpg.e1e1e1.partial"))
            .expect("linked");
        sweep(folder.path(), |name| name == "7_256.jpg").expect("swept");
        assert!(held.path().exists(), "it is locked");
        assert!(!path(".7_256.jpg.a1B2c3.partial").exists());
        for name in [".mine.a1B2c3.partial", ".7_256.jpg.partial", ".7_256.jpg.d1d1d1.partial"] {
            assert!(path(name).exists(), "{name}");
        }
        #[cfg(unix)]
        assert!(path(".7_256.jpg.e1e1e1.partial").is_symlink());
        sweep(&path("not there"), |_| true).expect_err("no such folder");
    }
}
