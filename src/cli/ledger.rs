//! `failures.csv`: what a run could not have, by name.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use csv::StringRecord;
use tempfile::NamedTempFile;

use crate::sinks::file::temporary_beside;
use crate::{Error, ErrorKind, Result};

const HEADER: [&str; 5] = ["step", "id", "reason", "attempts", "last_status"];

type Rows = csv::Writer<File>;

/// Collects the failures of a run on disk, so that an outage of a million images does not fill the memory.
pub(super) struct Ledger {
    path: PathBuf,
    steps: Vec<&'static str>,
    /// The file that this run's failures go to meanwhile.
    new: Mutex<Option<(NamedTempFile, Rows)>>,
}

impl Ledger {
    pub(super) fn new(output: &Path, steps: &[&'static str]) -> Self {
        Self { path: output.join("failures.csv"), steps: steps.to_vec(), new: Mutex::default() }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Notes a failure of a step.
    pub(super) fn add(&self, step: &str, error: &Error) -> Result<()> {
        let mut new = self.new.lock().unwrap_or_else(PoisonError::into_inner);
        let status = error.status().map(|status| status.to_string()).unwrap_or_default();
        let (reason, attempts) = (error.chain(), error.attempts().to_string());
        let row = [step, error.about().unwrap_or_default(), &reason, &attempts, &status];
        let mut note = || -> io::Result<()> {
            if new.is_none() {
                *new = Some(self.open()?);
            }
            if let Some((_, rows)) = new.as_mut() {
                rows.write_record(row)?;
            }
            Ok(())
        };
        note().map_err(|error| self.failed(error))
    }

    /// Puts the file in place: the failures of this run, and those of earlier runs that it says nothing about.
    ///
    /// A run that came to its end has tried everything of its steps, so what it does not name is no failure any more.
    /// With nothing to tell there is no file.
    pub(super) fn finish(&self, came_to_its_end: bool) -> Result<()> {
        let new = self.new.lock().unwrap_or_else(PoisonError::into_inner).take();
        self.merge(new, came_to_its_end).map_err(|error| self.failed(error))
    }

    fn merge(&self, new: Option<(NamedTempFile, Rows)>, came_to_its_end: bool) -> io::Result<()> {
        let new = match new {
            Some((file, rows)) => {
                rows.into_inner().map_err(|error| io::Error::other(error.to_string()))?;
                Some(file)
            }
            None => None,
        };
        let told = new.as_ref().map_or_else(|| Ok(HashSet::new()), |file| names(file.path()))?;
        let Some(earlier) = self.earlier()? else {
            return if new.is_none() {
                Ok(())
            } else {
                Err(io::Error::other("it is there already, and not ours"))
            };
        };
        let stays = |row: &StringRecord| {
            let tried = came_to_its_end && self.steps.contains(&&row[0]);
            !tried && !told.contains(&(row[0].to_owned(), row[1].to_owned()))
        };
        let stay: Vec<_> = earlier.into_iter().filter(stays).collect();
        if stay.is_empty() && new.is_none() {
            return remove(&self.path);
        }
        let (file, mut rows) = self.open()?;
        rows.write_record(HEADER)?;
        stay.iter().try_for_each(|row| rows.write_record(row))?;
        if let Some(new) = new {
            for row in csv::ReaderBuilder::new().has_headers(false).from_path(new.path())?.records() {
                rows.write_record(&row?)?;
            }
        }
        rows.into_inner().map_err(|error| io::Error::other(error.to_string()))?.sync_all()?;
        file.persist(&self.path).map(drop).map_err(|error| error.error)
    }

    fn open(&self) -> io::Result<(NamedTempFile, Rows)> {
        let file = temporary_beside(&self.path)?;
        let rows = csv::Writer::from_writer(file.as_file().try_clone()?);
        Ok((file, rows))
    }

    /// The rows that are there; none at all if the file is somebody else's, which is left alone.
    fn earlier(&self) -> io::Result<Option<Vec<StringRecord>>> {
        let file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Some(Vec::new())),
            Err(error) => return Err(error),
        };
        let mut rows = csv::Reader::from_reader(file);
        if rows.headers().map_or(true, |header| header != HEADER.as_slice()) {
            return Ok(None);
        }
        Ok(Some(rows.records().flatten().collect()))
    }

    fn failed(&self, error: io::Error) -> Error {
        Error::new(ErrorKind::Output, "write the failures to")
            .subject(self.path.display().to_string())
            .because(error)
    }
}

/// Step and id of each row.
fn names(path: &Path) -> io::Result<HashSet<(String, String)>> {
    let rows = csv::ReaderBuilder::new().has_headers(false).from_path(path)?.into_records();
    rows.map(|row| row.map(|row| (row[0].to_owned(), row[1].to_owned())).map_err(io::Error::other)).collect()
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
