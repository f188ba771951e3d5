//! Files that appear whole or not at all: a temporary file beside the target gets the final name at the end.
//!
//! A temporary file is named `.NAME.RANDOM.partial` and locked while it is written, so that the next run can tell a
//! leftover of a killed process from a file of a running one.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use tempfile::{NamedTempFile, PersistError};

use crate::error::{Error, ErrorKind};
use crate::file_system::{Lock, lock, or_here, parent, sync_file, sync_folder, try_lock};

const PARTIAL: &str = ".partial";

/// How many random letters and digits the name of a temporary file has.
const RANDOM_LEN: usize = 6;

/// Opens a temporary file in the target's folder, which is made if need be. It vanishes unless it is committed,
/// and is locked so that [`sweep`] can tell it from one that a killed process left behind.
pub fn temporary_beside(path: &Path) -> io::Result<NamedTempFile> {
    let folder = parent(path);
    let name = path.file_name().ok_or_else(|| io::Error::other("the path names no file"))?.to_string_lossy();
    fs::create_dir_all(folder)?;
    sweep(folder, |found| found == name).ok(); // A folder that can't be read may still be written to.
    temporary(folder, &name)
}

/// Opens a temporary file in a folder for the target `name`, locked.
pub fn temporary(folder: &Path, name: &str) -> io::Result<NamedTempFile> {
    // Plain permissions: what a person's other programs would give a new file.
    let open = |path: &Path| File::options().write(true).read(true).create_new(true).open(path);
    loop {
        let file = tempfile::Builder::new()
            .prefix(&format!(".{name}."))
            .suffix(PARTIAL)
            .rand_bytes(RANDOM_LEN)
            .make_in(folder, open)?;
        let (file, path) = file.into_parts();
        lock(&file, &path)?;
        // Between the two calls, another process may have swept it away as nobody's.
        if path.exists() {
            return Ok(NamedTempFile::from_parts(file, path));
        }
    }
}

/// The name of the file for which a temporary file stands, if the name is one that [`temporary`] gives.
pub fn target_of(temporary: &str) -> Option<&str> {
    let (target, random) = temporary.strip_prefix('.')?.strip_suffix(PARTIAL)?.rsplit_once('.')?;
    let is_random = random.len() == RANDOM_LEN && random.bytes().all(|byte| byte.is_ascii_alphanumeric());
    (is_random && !target.is_empty()).then_some(target)
}

/// Removes what killed processes left of files with such names: nobody holds their lock any more.
///
/// Links, folders, and files with any other name are not ours and stay.
pub fn sweep(folder: &Path, is_ours: impl Fn(&str) -> bool) -> io::Result<()> {
    for entry in fs::read_dir(or_here(folder))? {
        let entry = entry?;
        let name = entry.file_name();
        let ours = name.to_str().and_then(target_of).is_some_and(&is_ours);
        if ours
            && entry.file_type().is_ok_and(|kind| kind.is_file())
            // On NFS a lock needs a handle that may write.
            && let Ok(file) = File::options().write(true).open(entry.path())
            // Held until it is removed: whoever made it a moment ago waits, and finds it gone.
            && matches!(try_lock(&file, &entry.path()), Ok(Lock::Ours))
            && fs::remove_file(entry.path()).is_err()
        {
            return Ok(()); // A folder that can't be changed will be told of by whoever writes to it.
        }
    }
    Ok(())
}

/// Bytes to the disk, then the final name, then the name to the disk.
pub fn commit(file: NamedTempFile, path: &Path) -> io::Result<()> {
    sync_file(file.as_file(), path)?;
    file.persist(path).map_err(|PersistError { error, .. }| error)?;
    sync_folder(parent(path))
}

/// Whether a file is there; an error where a folder, a device or a pipe has its name.
pub fn is_file(path: &Path) -> io::Result<bool> {
    file_len(path).map(|len| len.is_some())
}

/// How long a file is, if it is there; an error where a folder, a device or a pipe has its name.
pub fn file_len(path: &Path) -> io::Result<Option<u64>> {
    match fs::metadata(path) {
        Ok(found) if found.is_file() => Ok(Some(found.len())),
        Ok(found) if found.is_dir() => Err(io::Error::other("a folder has that name")),
        Ok(_) => Err(io::Error::other("there is something of that name that is no file")),
        Err(_) => Ok(None),
    }
}

/// Whether this process, or the whole system, may open no further file.
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

/// The error of an output file: names the path, and gives a hint where the cause is a full disk, a permission or a limit.
pub fn output_error(doing: &'static str, path: &Path, error: io::Error) -> Error {
    let hint = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            Some("make room and run the same command again")
        }
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            Some("choose a folder that you may write to")
        }
        _ if is_file_limit(&error) => {
            Some("raise the limit of open files with `ulimit -n 4096`, or say a lower `--concurrency`")
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
    fn a_temporary_name_is_known_by_its_form_and_others_are_not_ours() {
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
    fn a_sweep_takes_leftovers_of_the_names_it_is_given_and_nothing_else() {
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
