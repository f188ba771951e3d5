//! `failures.csv` and `gone.csv`: the items that a run could not get.
//!
//! | File | Columns | Items |
//! |---|---|---|
//! | `failures.csv` | `step,id,reason,attempts,last_status` | failed; the same command retries them |
//! | `gone.csv` | `step,id,reason` | deleted at Mapillary; not requested again while the response store exists |
//!
//! A run that ends has tried all items of its steps, so its rows replace the earlier rows of these steps. A run that
//! ends early adds its rows to the earlier ones. Rows of other steps stay. A file without rows is removed.
//!
//! Rows are written to disk as they come and files are merged row by row. In memory is only a hash of 16 bytes per
//! row, to find repeated items.

use std::collections::HashSet;
use std::fs::File;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Seek};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};

use csv::ByteRecord;
use tempfile::NamedTempFile;

use crate::artifacts::owned_file::{Existing, Mark, OwnedFile, not_ours};
use crate::sync::lock;
use streetflow::atomic_file::{commit, temporary_beside};
use streetflow::{Error, ErrorKind, Result, Step};

const FAILURE_COLUMNS: &[&str] = &["step", "id", "reason", "attempts", "last_status"];
const GONE_COLUMNS: &[&str] = &["step", "id", "reason"];

/// The files that name what a run could not get.
pub(crate) struct FailureLog {
    pub(crate) failures: CsvLog,
    pub(crate) gone: CsvLog,
    /// The steps of the run.
    steps: Vec<&'static str>,
}

impl FailureLog {
    /// `output` is the output directory, `steps` are the steps of the run.
    pub(crate) fn new(output: &Path, steps: &[Step]) -> Self {
        let log = |name: &str, columns| CsvLog::new(output.join(name), columns);
        Self {
            failures: log("failures.csv", FAILURE_COLUMNS),
            gone: log("gone.csv", GONE_COLUMNS),
            steps: steps.iter().map(|step| step.name()).collect(),
        }
    }

    /// Fails if one of the files could not be written at the end of the run.
    pub(crate) fn check(&self) -> Result<()> {
        self.failures.file.check()?;
        self.gone.file.check()
    }

    /// Adds an item that failed in a step or is deleted at Mapillary.
    pub(crate) fn add(&self, step: Step, error: &Error) -> Result<()> {
        let (step, id, reason) = (step.name(), error.id(), error.chain());
        if error.kind() == ErrorKind::Gone {
            return self.gone.add(&[step, &id_of_gone(error), &reason]);
        }
        let status = error.status().map(|status| status.to_string()).unwrap_or_default();
        self.failures.add(&[step, &id, &reason, &error.attempts().to_string(), &status])
    }

    /// Writes both files. `is_complete` means that the run tried all items of its steps.
    pub(crate) fn finish(&self, is_complete: bool) -> Result<()> {
        let failures = self.failures.finish(&self.steps, is_complete);
        failures.and(self.gone.finish(&self.steps, is_complete))
    }
}

/// The id of an item that is gone. The reason names its sequence, too.
pub(crate) fn id_of_gone(error: &Error) -> String {
    let id = error.id();
    id.split_once(" of sequence ").map_or(&*id, |(id, _)| id).to_owned()
}

/// A CSV file of rows that start with a step and an id.
pub(crate) struct CsvLog {
    file: OwnedFile,
    columns: &'static [&'static str],
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The rows of this run.
    writer: Option<LogWriter>,
    /// A row could not be written, so the file would be incomplete.
    is_broken: bool,
    items: Items,
    counts: LineCounts,
}

/// How many rows a file has after the run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct LineCounts {
    pub(crate) this_run: u64,
    /// Rows of earlier runs and of other steps.
    pub(crate) earlier: u64,
}

impl LineCounts {
    pub(crate) fn total(self) -> u64 {
        self.this_run + self.earlier
    }
}

impl CsvLog {
    fn new(path: PathBuf, columns: &'static [&'static str]) -> Self {
        let file = OwnedFile::new(path, Mark::Columns(columns), "write the failure log");
        Self { file, columns, state: Mutex::default() }
    }

    pub(crate) fn path(&self) -> &Path {
        self.file.path()
    }

    /// How many rows the file has; known after the end of the run.
    pub(crate) fn counts(&self) -> LineCounts {
        self.state().counts
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// Adds a row, unless its item has one already. Only the first write error is returned; `finish` returns it again.
    fn add(&self, row: &[&str]) -> Result<()> {
        let mut state = self.state();
        let row = ByteRecord::from(row);
        if state.is_broken || !state.items.insert(&row) {
            return Ok(());
        }
        let mut write = || {
            let writer = match &mut state.writer {
                Some(writer) => writer,
                none => none.insert(self.writer()?),
            };
            writer.add(&row)
        };
        let written = write();
        state.is_broken = written.is_err();
        written.map_err(|error| self.file.error(error))
    }

    fn finish(&self, steps: &[&str], is_complete: bool) -> Result<()> {
        let mut state = self.state();
        if state.is_broken {
            return Err(self.file.error(io::Error::other("some rows could not be written")));
        }
        let new = state.writer.take();
        let is_replaced = |row: &ByteRecord| {
            let is_retried = || steps.iter().any(|step| row.get(0) == Some(step.as_bytes()));
            if is_complete { is_retried() } else { state.items.contains(row) }
        };
        let counts = self.merge(new, is_replaced).map_err(|error| self.file.error(error))?;
        state.counts = counts;
        Ok(())
    }

    /// Writes the earlier rows that are not replaced, then the new ones.
    fn merge(
        &self,
        new: Option<LogWriter>,
        is_replaced: impl Fn(&ByteRecord) -> bool,
    ) -> io::Result<LineCounts> {
        let earlier = match self.file.open()? {
            Existing::None => None,
            Existing::Foreign if new.is_none() => return Ok(LineCounts::default()),
            Existing::Foreign => return Err(not_ours()),
            Existing::Ours(file) => {
                let mut remaining = self.writer()?;
                for_each_row(file, |row| if is_replaced(row) { Ok(()) } else { remaining.add(row) })?;
                Some(remaining).filter(|remaining| remaining.count > 0)
            }
        };
        let count = |writer: &Option<LogWriter>| writer.as_ref().map_or(0, |writer| writer.count);
        let counts = LineCounts { this_run: count(&new), earlier: count(&earlier) };
        match (earlier, new) {
            (Some(mut earlier), Some(mut new)) => {
                for_each_row(new.read()?, |row| earlier.add(row))?;
                earlier.commit(self.path())?;
            }
            (Some(rows), None) | (None, Some(rows)) => rows.commit(self.path())?,
            (None, None) => self.file.remove()?,
        }
        Ok(counts)
    }

    fn writer(&self) -> io::Result<LogWriter> {
        let file = temporary_beside(self.path())?;
        let mut rows = csv::WriterBuilder::new().flexible(true).from_writer(file.as_file().try_clone()?);
        rows.write_record(self.columns)?;
        Ok(LogWriter { file, rows, count: 0 })
    }
}

/// Writes rows to a temporary file.
struct LogWriter {
    file: NamedTempFile,
    rows: csv::Writer<File>,
    count: u64,
}

impl LogWriter {
    fn add(&mut self, row: &ByteRecord) -> io::Result<()> {
        self.rows.write_byte_record(row)?;
        self.count += 1;
        Ok(())
    }

    /// Gives the file its final name.
    fn commit(mut self, path: &Path) -> io::Result<()> {
        self.rows.flush()?;
        drop(self.rows);
        commit(self.file, path)
    }

    /// Reads what was written. Uses the same handle: the file is locked against others.
    fn read(&mut self) -> io::Result<File> {
        self.rows.flush()?;
        let mut file = self.file.as_file().try_clone()?;
        file.rewind()?;
        Ok(file)
    }
}

/// The items that have a row, as hashes of 128 bits: far too long for two items to share one by chance.
#[derive(Default)]
struct Items {
    hashers: [RandomState; 2],
    hashes: HashSet<u128>,
}

impl Items {
    /// Returns false if the item of the row is there already.
    fn insert(&mut self, row: &ByteRecord) -> bool {
        self.hashes.insert(self.hash(row))
    }

    fn contains(&self, row: &ByteRecord) -> bool {
        self.hashes.contains(&self.hash(row))
    }

    /// Hashes step and id of a row.
    fn hash(&self, row: &ByteRecord) -> u128 {
        let item = (row.get(0), row.get(1));
        let [high, low] = self.hashers.each_ref().map(|hasher| u128::from(hasher.hash_one(item)));
        high << 64 | low
    }
}

/// Calls `take` for each row. Rows may have any number of cells: a person may have edited the file.
fn for_each_row(file: File, mut take: impl FnMut(&ByteRecord) -> io::Result<()>) -> io::Result<()> {
    let mut rows = csv::ReaderBuilder::new().flexible(true).from_reader(file);
    let mut row = ByteRecord::new();
    while rows.read_byte_record(&mut row)? {
        take(&row)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn log(folder: &Path) -> FailureLog {
        FailureLog::new(folder, &[Step::IMAGES, Step::DOWNLOAD])
    }

    fn failure(id: &str) -> Error {
        Error::new(ErrorKind::Unavailable, "try").with_subject(id).with_source("it is down").with_status(503)
    }

    fn lines(folder: &Path, name: &str) -> Vec<String> {
        fs::read_to_string(folder.join(name)).unwrap_or_default().lines().skip(1).map(str::to_owned).collect()
    }

    #[test]
    fn a_run_that_ends_early_adds_its_rows_and_a_complete_one_replaces_them() {
        let folder = tempfile::tempdir().expect("a folder");
        let folder = folder.path();
        fs::write(
            folder.join("failures.csv"),
            "step,id,reason,attempts,last_status\nmetadata,1,why,1,\nimages,a,why,1,\nimages,b,why,1,\nodd\n",
        )
        .expect("a file");
        let early = log(folder);
        early.add(Step::IMAGES, &failure("b")).expect("a line");
        early.add(Step::IMAGES, &failure("c")).expect("a line");
        early.finish(false).expect("both files");
        assert_eq!(early.failures.counts(), LineCounts { this_run: 2, earlier: 3 });
        let row = |id: &str| format!("images,{id},failed to try `{id}`: it is down,0,503");
        assert_eq!(
            lines(folder, "failures.csv"),
            ["metadata,1,why,1,", "images,a,why,1,", "odd", &row("b"), &row("c")]
        );
        let whole = log(folder);
        whole.add(Step::DOWNLOAD, &failure("9")).expect("a line");
        whole.finish(true).expect("both files");
        assert_eq!(
            lines(folder, "failures.csv"),
            ["metadata,1,why,1,", "odd", "download,9,failed to try `9`: it is down,0,503"]
        );
        assert_eq!(whole.failures.counts(), LineCounts { this_run: 1, earlier: 2 });
        assert_eq!(fs::read_dir(folder).expect("a folder").count(), 1, "no temporary file is left");
    }

    #[test]
    fn a_file_without_rows_is_removed_and_a_foreign_one_stays() {
        let folder = tempfile::tempdir().expect("a folder");
        let folder = folder.path();
        let first = log(folder);
        first.add(Step::IMAGES, &failure("a")).expect("a line");
        let gone = Error::new(ErrorKind::Gone, "fetch")
            .with_subject("7 of sequence x")
            .with_source("no such object");
        first.add(Step::IMAGES, &gone).expect("a line");
        first.finish(true).expect("both files");
        assert_eq!(lines(folder, "gone.csv"), ["images,7,failed to fetch `7 of sequence x`: no such object"]);
        log(folder).finish(true).expect("both files");
        assert_eq!(fs::read_dir(folder).expect("a folder").count(), 0);
        fs::write(folder.join("failures.csv"), "mine\n").expect("a file");
        log(folder).finish(true).expect("nothing to tell");
        let mine = log(folder);
        mine.add(Step::IMAGES, &failure("a")).expect("a line");
        assert!(mine.finish(true).expect_err("foreign").chain().contains("not written by"));
        assert_eq!(fs::read_to_string(folder.join("failures.csv")).expect("a file"), "mine\n");
    }

    #[test]
    fn many_items_of_two_runs_are_merged() {
        let folder = tempfile::tempdir().expect("a folder");
        let many = 2 * 65_536 + 5;
        let [first, second] = [0, 3].map(|from| {
            let log = log(folder.path());
            for number in from..many + from {
                log.add(Step::IMAGES, &failure(&number.to_string())).expect("a line");
            }
            log.finish(false).expect("both files");
            log.failures.counts()
        });
        assert_eq!(first, LineCounts { this_run: many as u64, earlier: 0 });
        assert_eq!(second, LineCounts { this_run: many as u64, earlier: 3 });
        assert_eq!(lines(folder.path(), "failures.csv").len(), many + 3);
    }
}
