//! Files of the local file system.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use super::{Destination, PendingFile};
use crate::atomic_file::{commit, is_file, temporary_beside};

/// A file of the local file system. Its folder is created if necessary; a symbolic link to a file stays a link.
#[derive(Debug, Clone)]
pub struct LocalFile {
    path: PathBuf,
}

impl LocalFile {
    /// The file at `path`.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }
}

impl Destination for LocalFile {
    fn create(&self) -> io::Result<Box<dyn PendingFile>> {
        let target = resolve_link(&self.path)?;
        let temporary = temporary_beside(&target)?;
        Ok(Box::new(Pending { temporary, target }))
    }

    fn path(&self) -> &Path {
        &self.path
    }
}

/// The target of a symbolic link, so that the link stays. A device or a pipe is an error.
fn resolve_link(path: &Path) -> io::Result<PathBuf> {
    if is_file(path)? { fs::canonicalize(path) } else { Ok(path.to_owned()) }
}

struct Pending {
    temporary: NamedTempFile<File>,
    target: PathBuf,
}

impl Write for Pending {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.temporary.as_file_mut().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.temporary.as_file_mut().flush()
    }
}

impl PendingFile for Pending {
    fn commit(self: Box<Self>) -> io::Result<()> {
        commit(self.temporary, &self.target)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_appears_at_the_commit_and_a_dropped_one_leaves_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("below").join("file");
        let destination = LocalFile::new(&path);
        let mut file = destination.create().expect("created");
        file.write_all(b"half").expect("written");
        drop(file);
        assert_eq!(fs::read_dir(path.parent().expect("a folder")).expect("a folder").count(), 0);
        let mut file = destination.create().expect("created");
        file.write_all(b"whole").expect("written");
        assert!(!path.exists());
        file.commit().expect("committed");
        assert_eq!(fs::read(&path).expect("a file"), b"whole");
        LocalFile::new(folder.path()).create().err().expect("a folder has that name");
    }

    #[cfg(unix)]
    #[test]
    fn a_link_stays_and_its_target_is_replaced() {
        let folder = tempfile::tempdir().expect("a folder");
        let (target, link) = (folder.path().join("target"), folder.path().join("link"));
        fs::write(&target, "old").expect("written");
        std::os::unix::fs::symlink(&target, &link).expect("linked");
        let mut file = LocalFile::new(&link).create().expect("created");
        file.write_all(b"new").expect("written");
        file.commit().expect("committed");
        assert!(link.is_symlink());
        assert_eq!(fs::read(&target).expect("a file"), b"new");
    }
}
