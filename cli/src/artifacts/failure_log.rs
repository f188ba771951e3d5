//! What a run could not have, by name: `failures.csv` and `gone.csv`.
//!
//! | File | Columns | Names |
//! |---|---|---|
//! | `failures.csv` | `step,id,reason,attempts,last_status` | what failed; the same command tries it again |
//! | `gone.csv` | `step,id,reason` | what exists no longer at Mapillary; nobody asks for it again while answers are kept |
//!
//! A step that came to its end has tried everything, so its lines are those of
//! that run. A run that ended early adds its lines to those that are there.
//! Lines of other steps stay. A file without lines is removed.
//!
//! Lines are written to disk as they come, in that order, and files are merged row by row, so
//! an outage of a million images does not fill the memory.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::io::{self, Seek};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use csv::ByteRecord;
use tempfile::NamedTempFile;

use crate::artifacts::report::{MOVE_IT, NOT_OURS};
use streetflow::atomic_file::{commit, is_file, temporary_beside};
use streetflow::{Error, ErrorKind, Result};

const FAILURES: &[&str] = &["step", "id", "reason", "attempts", "last_status"];
const GONE: &[&str] = &["step", "id", "reason"];

/// So many names are in memory at once while two runs are merged.
const NAMES_AT_ONCE: usize = 1 << 16;

/// The files that name what a run could not have.
pub(crate) struct Ledger {
    pub(crate) failures: List,
    pub(crate) gone: List,
    steps: Vec<&'static str>,
}

impl Ledger {
    pub(crate) fn new(output: &Path, steps: &[&'static str]) -> Self {
        let list = |name: &str, header| List::new(output.join(name), header);
        Self { failures: list("failures.csv", FAILURES), gone: list("gone.csv", GONE), steps: steps.to_vec() }
    }

    /// Whether both files can be written: better to learn it now than after a day of crawling.
    pub(crate) fn check(&self) -> Result<()> {
        [&self.failures, &self.gone].into_iter().try_for_each(List::check)
    }

    /// Notes what failed in a step, or is gone.
    pub(crate) fn add(&self, step: &str, error: &Error) -> Result<()> {
        let (id, reason) = (error.id(), error.chain());
        if error.kind() == ErrorKind::Gone {
            // Its sequence is told in the reason.
            let id = id.split_once(" of sequence ").map_or(&*id, |(id, _)| id);
            return self.gone.add(&[step, id, &reason]);
        }
        let status = error.status().map(|status| status.to_string()).unwrap_or_default();
        self.failures.add(&[step, &id, &reason, &error.attempts().to_string(), &status])
    }

    /// Puts the files in place: what this run names, and what earlier runs named of which it says nothing.
    pub(crate) fn finish(&self, came_to_its_end: bool) -> Result<()> {
        let failures = self.failures.finish(&self.steps, came_to_its_end);
        failures.and(self.gone.finish(&self.steps, came_to_its_end))
    }
}

/// A file of lines that begin with a step and an id.
pub(crate) struct List {
    path: PathBuf,
    header: &'static [&'static str],
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The file that this run's lines go to meanwhile.
    new: Option<Lines>,
    /// A line could not be written, so the file must not look whole.
    broken: bool,
    lengths: Lengths,
}

/// How many lines a file has at the end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Lengths {
    /// Of this run.
    pub(crate) new: u64,
    /// Of earlier runs, and of other steps.
    pub(crate) earlier: u64,
}

/// A file that is being written.
struct Lines {
    file: NamedTempFile,
    rows: csv::Writer<File>,
    count: u64,
}

impl List {
    fn new(path: PathBuf, header: &'static [&'static str]) -> Self {
        Self { path, header, state: Mutex::default() }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// How long the file is; known after the end.
    pub(crate) fn lengths(&self) -> Lengths {
        self.state().lengths
    }

    fn check(&self) -> Result<()> {
        match self.earlier() {
            Ok(Earlier::NotOurs) => Err(self.failed(io::Error::other(NOT_OURS))),
            Ok(_) => Ok(()),
            Err(error) => Err(self.failed(error)),
        }
        .map_err(|error| error.with_hint(MOVE_IT))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a line. If that fails it is said once, and again at the end.
    fn add(&self, row: &[&str]) -> Result<()> {
        let mut state = self.state();
        if state.broken {
            return Ok(());
        }
        let mut note = || {
            let new = match &mut state.new {
                Some(new) => new,
                new => new.insert(self.open()?),
            };
            new.add(&ByteRecord::from(row))
        };
        let noted = note();
        state.broken = noted.is_err();
        noted.map_err(|error| self.failed(error))
    }

    fn finish(&self, steps: &[&str], came_to_its_end: bool) -> Result<()> {
        let mut state = self.state();
        let new = state.new.take();
        if state.broken {
            return Err(self.failed(io::Error::other("some of its lines could not be written")));
        }
        state.lengths = self.merge(new, steps, came_to_its_end).map_err(|error| self.failed(error))?;
        Ok(())
    }

    fn merge(&self, new: Option<Lines>, steps: &[&str], came_to_its_end: bool) -> io::Result<Lengths> {
        let new = new.map(|mut new| new.rows.flush().and_then(|()| self.each_once(new))).transpose()?;
        let earlier = match self.earlier()? {
            Earlier::None => None,
            Earlier::NotOurs if new.is_none() => return Ok(Lengths::default()),
            Earlier::NotOurs => return Err(io::Error::other(NOT_OURS)),
            Earlier::Ours(rows) if came_to_its_end => {
                let tried = |row: &ByteRecord| steps.iter().any(|step| row.get(0) == Some(step.as_bytes()));
                Some(self.without(rows, tried)?)
            }
            Earlier::Ours(rows) => Some(self.not_named_in(new.as_ref(), rows)?),
        };
        let lengths = Lengths {
            new: new.as_ref().map_or(0, |new| new.count),
            earlier: earlier.as_ref().map_or(0, |earlier| earlier.count),
        };
        let whole = match (earlier, new) {
            (Some(mut earlier), new) if lengths.earlier > 0 => {
                if let Some(new) = new {
                    each(new.read()?, |row| earlier.add(row))?;
                }
                earlier
            }
            (_, Some(new)) => new,
            (_, None) => return remove(&self.path).map(|()| lengths),
        };
        let Lines { file, mut rows, .. } = whole;
        rows.flush()?;
        commit(file, &self.path)?;
        Ok(lengths)
    }

    /// The lines that are there; those of somebody else's file are left alone.
    fn earlier(&self) -> io::Result<Earlier> {
        is_file(&self.path)?;
        let file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Earlier::None),
            Err(error) => return Err(error),
        };
        let mut rows = reader(file);
        let header = rows.byte_headers().map_err(io::Error::other)?;
        let ours = header.is_empty() || header.iter().eq(self.header.iter().map(|name| name.as_bytes()));
        Ok(if ours { Earlier::Ours(rows) } else { Earlier::NotOurs })
    }

    /// The lines that do not name what the new ones name.
    fn not_named_in(&self, new: Option<&Lines>, rows: csv::Reader<File>) -> io::Result<Lines> {
        let mut stay = self.without(rows, |_| false)?;
        let Some(new) = new else { return Ok(stay) };
        let mut new = new.read()?.into_byte_records();
        loop {
            let names = new.by_ref().take(NAMES_AT_ONCE).map(|row| row.map(|row| name(&row)));
            let names: HashSet<_> = names.collect::<csv::Result<_>>()?;
            if names.is_empty() {
                return Ok(stay);
            }
            stay = self.without(stay.read()?, |row| names.contains(&name(row)))?;
        }
    }

    /// The lines of this run with each name once: what stands twice in a table fails twice.
    fn each_once(&self, mut lines: Lines) -> io::Result<Lines> {
        let mut done = 0;
        while done < lines.count {
            let skipped = usize::try_from(done).unwrap_or(usize::MAX);
            let rows = lines.read()?.into_byte_records().skip(skipped).take(NAMES_AT_ONCE);
            // Each with whether it has been met.
            let names = rows.map(|row| row.map(|row| (name(&row), false)));
            let mut names: HashMap<_, _> = names.collect::<csv::Result<_>>()?;
            let (mut at, mut once) = (0, self.open()?);
            each(lines.read()?, |row| {
                at += 1;
                match names.get_mut(&name(row)).filter(|_| at > done) {
                    Some(true) => Ok(()),
                    Some(met) => {
                        *met = true;
                        once.add(row)
                    }
                    None => once.add(row),
                }
            })?;
            once.rows.flush()?;
            lines = once;
            done += names.len() as u64;
        }
        Ok(lines)
    }

    /// A copy with fewer lines.
    fn without(&self, rows: csv::Reader<File>, goes: impl Fn(&ByteRecord) -> bool) -> io::Result<Lines> {
        let mut stay = self.open()?;
        each(rows, |row| if goes(row) { Ok(()) } else { stay.add(row) })?;
        stay.rows.flush()?;
        Ok(stay)
    }

    fn open(&self) -> io::Result<Lines> {
        let file = temporary_beside(&self.path)?;
        let mut rows = csv::WriterBuilder::new().flexible(true).from_writer(file.as_file().try_clone()?);
        rows.write_record(self.header)?;
        Ok(Lines { file, rows, count: 0 })
    }

    fn failed(&self, error: io::Error) -> Error {
        let subject = self.path.display().to_string();
        Error::new(ErrorKind::Io, "write what is missing to").with_subject(subject).with_source(error)
    }
}

/// What stands under the name before this run writes to it.
enum Earlier {
    None,
    Ours(csv::Reader<File>),
    NotOurs,
}

impl Lines {
    fn add(&mut self, row: &ByteRecord) -> io::Result<()> {
        self.rows.write_byte_record(row)?;
        self.count += 1;
        Ok(())
    }

    /// Reads what was written, through the same handle, for the file is locked against others.
    fn read(&self) -> io::Result<csv::Reader<File>> {
        let mut file = self.file.as_file().try_clone()?;
        file.rewind()?;
        Ok(reader(file))
    }
}

/// A line that somebody has edited counts as it is.
fn reader(file: File) -> csv::Reader<File> {
    csv::ReaderBuilder::new().flexible(true).from_reader(file)
}

fn each(mut rows: csv::Reader<File>, mut take: impl FnMut(&ByteRecord) -> io::Result<()>) -> io::Result<()> {
    let mut row = ByteRecord::new();
    while rows.read_byte_record(&mut row)? {
        take(&row)?;
    }
    Ok(())
}

/// Step and id of a line.
fn name(row: &ByteRecord) -> Vec<u8> {
    row.iter().take(2).collect::<Vec<_>>().join(&0)
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ledger(folder: &Path) -> Ledger {
        Ledger::new(folder, &["images", "download"])
    }

    fn failure(id: &str) -> Error {
        Error::new(ErrorKind::Unavailable, "try").with_subject(id).with_source("it is down").with_status(503)
    }

    fn lines(folder: &Path, name: &str) -> Vec<String> {
        fs::read_to_string(folder.join(name)).unwrap_or_default().lines().skip(1).map(str::to_owned).collect()
    }

    #[test]
    fn a_run_that_ended_early_adds_its_lines_and_one_that_did_not_replaces_them() {
        let folder = tempfile::tempdir().expect("a folder");
        let folder = folder.path();
        fs::write(
            folder.join("failures.csv"),
            "step,id,reason,attempts,last_status\nmetadata,1,why,1,\nimages,a,why,1,\nimages,b,why,1,\nodd\n",
        )
        .expect("a file");
        let early = ledger(folder);
        early.add("images", &failure("b")).expect("a line");
        early.add("images", &failure("c")).expect("a line");
        early.finish(false).expect("a ledger");
        assert_eq!(early.failures.lengths(), Lengths { new: 2, earlier: 3 });
        let row = |id: &str| format!("images,{id},failed to try `{id}`: it is down,0,503");
        assert_eq!(
            lines(folder, "failures.csv"),
            ["metadata,1,why,1,", "images,a,why,1,", "odd", &row("b"), &row("c")]
        );
        let whole = ledger(folder);
        whole.add("download", &failure("9")).expect("a line");
        whole.finish(true).expect("a ledger");
        assert_eq!(
            lines(folder, "failures.csv"),
            ["metadata,1,why,1,", "odd", "download,9,failed to try `9`: it is down,0,503"]
        );
        assert_eq!(whole.failures.lengths(), Lengths { new: 1, earlier: 2 });
        assert_eq!(fs::read_dir(folder).expect("a folder").count(), 1, "no temporary file is left");
    }

    #[test]
    fn a_file_without_lines_is_removed_and_one_of_somebody_else_is_left() {
        let folder = tempfile::tempdir().expect("a folder");
        let folder = folder.path();
        let first = ledger(folder);
        first.add("images", &failure("a")).expect("a line");
        let gone = Error::new(ErrorKind::Gone, "fetch")
            .with_subject("7 of sequence x")
            .with_source("no such object");
        first.add("images", &gone).expect("a line");
        first.finish(true).expect("a ledger");
        assert_eq!(lines(folder, "gone.csv"), ["images,7,failed to fetch `7 of sequence x`: no such object"]);
        ledger(folder).finish(true).expect("a ledger");
        assert_eq!(fs::read_dir(folder).expect("a folder").count(), 0);
        fs::write(folder.join("failures.csv"), "mine\n").expect("a file");
        ledger(folder).finish(true).expect("nothing to tell");
        let told = ledger(folder);
        told.add("images", &failure("a")).expect("a line");
        assert!(told.finish(true).expect_err("it is not ours").chain().contains("not ours"));
        assert_eq!(fs::read_to_string(folder.join("failures.csv")).expect("a file"), "mine\n");
    }

    #[test]
    fn more_names_than_are_in_memory_at_once_are_told_apart() {
        let folder = tempfile::tempdir().expect("a folder");
        let many = 2 * NAMES_AT_ONCE + 5;
        let [first, second] = [0, 3].map(|from| {
            let ledger = ledger(folder.path());
            for number in from..many + from {
                ledger.add("images", &failure(&number.to_string())).expect("a line");
            }
            ledger.finish(false).expect("a ledger");
            ledger.failures.lengths()
        });
        assert_eq!(first, Lengths { new: many as u64, earlier: 0 });
        assert_eq!(second, Lengths { new: many as u64, earlier: 3 });
        assert_eq!(lines(folder.path(), "failures.csv").len(), many + 3);
    }
}
