//! `failures.csv`: what a run could not have, by name.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use tempfile::NamedTempFile;

use crate::{Error, ErrorKind, Result};

const HEADER: [&str; 5] = ["step", "id", "reason", "attempts", "last_status"];

/// Collects failures on disk, so that an outage of a million images does not fill the memory.
pub(super) struct Ledger {
    path: PathBuf,
    /// Rows of earlier runs of these steps are out of date.
    steps: Vec<&'static str>,
    rows: Mutex<Option<csv::Writer<NamedTempFile>>>,
}

impl Ledger {
    pub(super) fn new(output: &Path, steps: &[&'static str]) -> Self {
        Self { path: output.join("failures.csv"), steps: steps.to_vec(), rows: Mutex::default() }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Notes a failure of a step.
    pub(super) fn add(&self, step: &str, error: &Error) -> Result<()> {
        let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        let mut note = || -> io::Result<()> {
            if rows.is_none() {
                *rows = Some(self.open()?);
            }
            let Some(rows) = rows.as_mut() else { return Ok(()) };
            let reason = error.chain();
            let (attempts, status) =
                (error.attempts().to_string(), error.status().map(|status| status.to_string()));
            rows.write_record([
                step,
                error.about().unwrap_or_default(),
                &reason,
                &attempts,
                &status.unwrap_or_default(),
            ])?;
            Ok(())
        };
        note().map_err(|error| self.failed(error))
    }

    /// Puts the file in place: failures of this run, and of other steps before. Without any, there is no file.
    pub(super) fn finish(&self) -> Result<()> {
        let rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner).take();
        let finish = || -> io::Result<()> {
            let rows = match rows {
                Some(rows) => rows,
                None if self.earlier()?.is_empty() => return remove(&self.path),
                None => self.open()?,
            };
            let file = rows.into_inner().map_err(|error| io::Error::other(error.to_string()))?;
            file.as_file().sync_all()?;
            file.persist(&self.path).map(drop).map_err(|error| error.error)
        };
        finish().map_err(|error| self.failed(error))
    }

    fn open(&self) -> io::Result<csv::Writer<NamedTempFile>> {
        let folder = self.path.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(folder)?;
        let make = |path: &Path| fs::File::options().write(true).create_new(true).open(path);
        let file = tempfile::Builder::new().prefix(".failures.").suffix(".partial").make_in(folder, make)?;
        let file = NamedTempFile::from_parts(file.as_file().try_clone()?, file.into_temp_path());
        let mut rows = csv::Writer::from_writer(file);
        rows.write_record(HEADER)?;
        for row in self.earlier()? {
            rows.write_record(&row)?;
        }
        Ok(rows)
    }

    /// The rows of other steps than those that run now. A file that is no ledger counts as none.
    fn earlier(&self) -> io::Result<Vec<csv::StringRecord>> {
        let text = match fs::read(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let rows = csv::Reader::from_reader(&text[..]).into_records().flatten();
        let other = |row: &csv::StringRecord| row.get(0).is_some_and(|step| !self.steps.contains(&step));
        Ok(rows.filter(|row| row.len() == HEADER.len() && other(row)).collect())
    }

    fn failed(&self, error: io::Error) -> Error {
        Error::new(ErrorKind::Output, "write the failures to")
            .subject(self.path.display().to_string())
            .because(error)
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
