//! A file in the output directory that streetflow replaces only if streetflow wrote it.

use std::fs::{self, File};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

use streetflow::atomic_file::{commit, is_file, output_error, temporary_beside};
use streetflow::{Error, Result};

const NOT_OURS: &str = "the file exists and was not written by streetflow";

/// What to do if a path is taken by something else.
pub(crate) const MOVE_HINT: &str = "move it away, or choose another directory with `--output`";

/// How streetflow recognizes a file of its own. An empty file counts as its own.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Mark {
    /// The text at the start.
    Start(&'static str),
    /// The columns of a CSV file.
    Columns(&'static [&'static str]),
}

/// A path with what is written there.
#[derive(Debug, Clone)]
pub(crate) struct OwnedFile {
    path: PathBuf,
    mark: Mark,
    /// Completes "failed to …".
    doing: &'static str,
}

/// What exists at the path.
pub(crate) enum Existing {
    None,
    /// A file of ours, at its start.
    Ours(File),
    /// A file that another program wrote.
    Foreign,
}

impl OwnedFile {
    pub(crate) fn new(path: PathBuf, mark: Mark, doing: &'static str) -> Self {
        Self { path, mark, doing }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Opens the existing file. A directory or a device at the path is an error.
    pub(crate) fn open(&self) -> io::Result<Existing> {
        is_file(&self.path)?;
        let mut file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Existing::None),
            Err(error) => return Err(error),
        };
        let is_ours = self.mark.matches(&file)?;
        file.rewind()?;
        Ok(if is_ours { Existing::Ours(file) } else { Existing::Foreign })
    }

    /// Opens the existing file; one that another program wrote is an error.
    pub(crate) fn open_ours(&self) -> io::Result<Option<File>> {
        match self.open()? {
            Existing::None => Ok(None),
            Existing::Ours(file) => Ok(Some(file)),
            Existing::Foreign => Err(not_ours()),
        }
    }

    /// Fails if the file could not be written at the end of the run.
    pub(crate) fn check(&self) -> Result<()> {
        self.open_ours().map(drop).map_err(|error| self.error(error).with_hint(MOVE_HINT))
    }

    /// Replaces the file as a whole.
    pub(crate) fn write(&self, content: &[u8]) -> Result<()> {
        let write = || {
            self.open_ours()?;
            let mut file = temporary_beside(&self.path)?;
            file.write_all(content)?;
            commit(file, &self.path)
        };
        write().map_err(|error| self.error(error))
    }

    /// Removes the file, if it exists and is ours.
    pub(crate) fn remove(&self) -> io::Result<()> {
        match self.open()? {
            Existing::Ours(_) => fs::remove_file(&self.path),
            Existing::None | Existing::Foreign => Ok(()),
        }
    }

    /// An error about this file.
    pub(crate) fn error(&self, error: io::Error) -> Error {
        output_error(self.doing, &self.path, error)
    }
}

impl Mark {
    fn matches(self, file: &File) -> io::Result<bool> {
        match self {
            Self::Start(start) => {
                let mut found = Vec::new();
                file.take(start.len() as u64).read_to_end(&mut found)?;
                Ok(found.is_empty() || found == start.as_bytes())
            }
            Self::Columns(columns) => {
                let mut rows = csv::ReaderBuilder::new().flexible(true).from_reader(file);
                let header = rows.byte_headers().map_err(io::Error::other)?;
                Ok(header.is_empty() || header.iter().eq(columns.iter().map(|name| name.as_bytes())))
            }
        }
    }
}

/// The error for a file that another program wrote.
pub(crate) fn not_ours() -> io::Error {
    io::Error::other(NOT_OURS)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MARKS: [Mark; 2] = [Mark::Start("a,b\n1"), Mark::Columns(&["a", "b"])];

    fn file(folder: &Path, mark: Mark) -> OwnedFile {
        OwnedFile::new(folder.join("file"), mark, "write the file")
    }

    #[test]
    fn an_own_or_an_empty_file_is_replaced_and_removed() {
        let folder = tempfile::tempdir().expect("a folder");
        for mark in MARKS {
            let file = file(folder.path(), mark);
            for content in ["", "a,b\n1,2\n"] {
                file.check().expect("nothing, or ours");
                file.write(content.as_bytes()).expect("written");
                assert_eq!(fs::read_to_string(file.path()).expect("a file"), content);
            }
            file.remove().expect("removed");
            assert!(!file.path().exists());
            file.remove().expect("nothing to remove");
        }
    }

    #[test]
    fn a_foreign_file_is_refused_and_unchanged() {
        let folder = tempfile::tempdir().expect("a folder");
        for mark in MARKS {
            let file = file(folder.path(), mark);
            fs::write(file.path(), "a,c\n").expect("written");
            let error = file.check().expect_err("foreign");
            assert!(error.chain().contains(NOT_OURS) && error.hint() == Some(MOVE_HINT), "{}", error.chain());
            file.write(b"").expect_err("foreign");
            file.remove().expect("not touched");
            assert_eq!(fs::read_to_string(file.path()).expect("a file"), "a,c\n");
        }
    }

    #[test]
    fn a_directory_at_the_path_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        for mark in MARKS {
            let file = OwnedFile::new(folder.path().to_owned(), mark, "write the file");
            file.check().expect_err("a directory");
            file.write(b"").expect_err("a directory");
        }
    }
}
