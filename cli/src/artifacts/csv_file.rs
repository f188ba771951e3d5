//! A CSV file of the output directory that a run replaces as a whole.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use super::owned_file::{Mark, OwnedFile};
use streetflow::atomic_file::{commit, temporary_beside};
use streetflow::{Error, Result, Written};

/// A CSV file with given columns.
pub(crate) struct CsvFile {
    file: OwnedFile,
    columns: &'static [&'static str],
}

/// The rows of a run, in a temporary file.
pub(crate) struct CsvRows {
    file: NamedTempFile,
    rows: csv::Writer<File>,
    count: u64,
}

impl CsvFile {
    /// `doing` completes "failed to …".
    pub(crate) fn new(path: PathBuf, columns: &'static [&'static str], doing: &'static str) -> Self {
        Self { file: OwnedFile::new(path, Mark::Columns(columns), doing), columns }
    }

    pub(crate) fn path(&self) -> &Path {
        self.file.path()
    }

    /// Fails if the file could not be written at the end of the run.
    pub(crate) fn check(&self) -> Result<()> {
        self.file.check()
    }

    /// Opens the existing file, at its header; one that another program wrote is an error.
    pub(crate) fn open(&self) -> Result<Option<File>> {
        self.file.open_ours().map_err(|error| self.error(error))
    }

    pub(crate) fn rows(&self) -> Result<CsvRows> {
        let create = || {
            let file = temporary_beside(self.path())?;
            let mut rows = csv::Writer::from_writer(file.as_file().try_clone()?);
            rows.write_record(self.columns)?;
            Ok(CsvRows { file, rows, count: 0 })
        };
        create().map_err(|error| self.error(error))
    }

    /// Adds a row.
    pub(crate) fn add(&self, rows: &mut CsvRows, row: &[&str]) -> Result<()> {
        rows.count += 1;
        rows.rows.write_record(row).map_err(|error| self.error(io::Error::other(error)))
    }

    /// Replaces the file.
    pub(crate) fn commit(&self, rows: CsvRows) -> Result<Written> {
        let CsvRows { file, mut rows, count } = rows;
        let mut finish = || {
            self.file.open_ours()?;
            rows.flush()
        };
        let committed = finish().and_then(|()| {
            drop(rows);
            commit(file, self.path())
        });
        committed.map_err(|error| self.error(error))?;
        let mut written = Written::default();
        written.records = count;
        written.bytes = std::fs::metadata(self.path()).map_or(0, |found| found.len());
        written.paths = vec![PathBuf::from(self.path())];
        Ok(written)
    }

    /// Removes the file, if it exists and is ours.
    pub(crate) fn remove(&self) -> Result<()> {
        self.file.remove().map_err(|error| self.error(error))
    }

    /// An error about this file.
    pub(crate) fn error(&self, error: io::Error) -> Error {
        self.file.error(error)
    }
}
