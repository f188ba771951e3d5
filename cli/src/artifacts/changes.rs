//! `changes.csv`: the images that an update found to be new or gone.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::artifacts::owned_file::{Mark, OwnedFile};
use streetflow::atomic_file::{commit, temporary_beside};
use streetflow::{Result, Written};

const NAME: &str = "changes.csv";
const COLUMNS: &[&str] = &["img_id", "change"];

/// The file `changes.csv` of an output directory.
pub(crate) struct ChangeFile(OwnedFile);

/// The rows of a run, in a temporary file.
pub(crate) struct ChangeWriter {
    file: NamedTempFile,
    rows: csv::Writer<File>,
    count: u64,
}

impl ChangeFile {
    pub(crate) fn new(output: &Path) -> Self {
        Self(OwnedFile::new(output.join(NAME), Mark::Columns(COLUMNS), "write the changes"))
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// Fails if the file could not be written at the end of the run.
    pub(crate) fn check(&self) -> Result<()> {
        self.0.check()
    }

    pub(crate) fn writer(&self) -> Result<ChangeWriter> {
        let create = || {
            let file = temporary_beside(self.path())?;
            let mut rows = csv::Writer::from_writer(file.as_file().try_clone()?);
            rows.write_record(COLUMNS)?;
            Ok(ChangeWriter { file, rows, count: 0 })
        };
        create().map_err(|error| self.0.error(error))
    }

    /// Adds a row.
    pub(crate) fn add(&self, writer: &mut ChangeWriter, img_id: &str, change: &str) -> Result<()> {
        writer.count += 1;
        writer.rows.write_record([img_id, change]).map_err(|error| self.0.error(io::Error::other(error)))
    }

    /// Replaces the file.
    pub(crate) fn commit(&self, writer: ChangeWriter) -> Result<Written> {
        let ChangeWriter { file, mut rows, count } = writer;
        let mut finish = || {
            self.0.open_ours()?;
            rows.flush()
        };
        let committed = finish().and_then(|()| {
            drop(rows);
            commit(file, self.path())
        });
        committed.map_err(|error| self.0.error(error))?;
        let mut written = Written::default();
        written.records = count;
        written.bytes = std::fs::metadata(self.path()).map_or(0, |found| found.len());
        written.paths = vec![PathBuf::from(self.path())];
        Ok(written)
    }
}
