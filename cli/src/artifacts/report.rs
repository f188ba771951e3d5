//! `report.json`: how a run ended, for a person on the next morning and for the script that decides whether to run
//! again.
//!
//! It is written at every end of a run that got as far as asking, whole or not
//! at all. The one that is there is removed when a run begins: where there is
//! none, the last run was killed. Keys may be added; `report` counts up when
//! one changes its meaning.
//!
//! | Key | Holds |
//! |---|---|
//! | `streetflow`, `report` | the version of the program, and of this table: 1 |
//! | `outcome` | `finished`, `failures_left`, `stopped` (Ctrl-C, or a large download that nobody agreed to; the tables hold what was done), `abandoned` (Ctrl-C twice; the tables are as they were) or `broken_off` (an error; so are they) |
//! | `exit_code` | 0, 3, 130, 130 and 1; 2 where the error is one of usage, such as that nobody agreed |
//! | `error` | null, or `kind`, `chain` (what failed, then its causes) and `hint` (a text or null) |
//! | `query` | the command, as one would say it again; without `--restart` |
//! | `hosts` | the Graph and the tile host that were asked; null with `--sandbox` |
//! | `started`, `ended`, `seconds` | in UTC |
//! | `steps` | for each step: what `entered`, in `unit`s, and the ways out, which add up to it: `done`, `already_there`, `ruled_out`, `left_out` (by a filter), `beyond_limit` (begun, and not wanted any more when `--limit` was met), `gone`, `failed`, `not_reached`; the `rows` that came out; and `left_out_by`, the rows that each filter left out |
//! | `requests` | for each class: `sent` (each attempt is one), `retries`, `bytes` received, answers `from_store` of the run before and `from_cache` (tiles only), and the limits met: answers that said `throttled`, waits for the pace (`paced`), answers that were a block (`blocked`) |
//! | `failures`, `gone` | how many lines `failures.csv` and `gone.csv` have: of `this_run`, and of `earlier` ones and other steps |
//! | `files` | what this run wrote: `path` below the output folder, `rows` (pictures, for their folder), `bytes` |
//! | `tables` | for each table of the folder, of this run or an earlier one, the query that made it: `source` (the area and the owners, the list of ids, or the table that was named), `filters`, and whether the `sandbox` was asked |
//!
//! A tile or a sequence gives many rows, so for `sequences` and `images` the
//! `unit` is not that of the rows. In a run that was not stopped and did not
//! break off, `not_reached` is 0. What a stopped run has under `rows` is in its
//! tables, if its `error` is null; of one that broke off or was abandoned,
//! only pictures are kept.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde_json::{Value, json as object};

use crate::Exit;
use crate::args::NetworkArgs;
use crate::artifacts::failure_log::{Ledger, List};
use crate::progress::json;
use crate::progress::stats::RunStats;
use crate::terminal::format::iso_time;
use crate::terminal::printer::error_json;
use crate::terminal::shell::this_command;
use streetflow::atomic_file::{commit, is_file, temporary_beside};
use streetflow::client::{redact, without_credentials};
use streetflow::{Error, ErrorKind, Report, Result, Written};

pub(crate) const NOT_OURS: &str = "it is there already, and not ours";

/// What to do where something that is not ours has the name of a file of ours.
pub(crate) const MOVE_IT: &str = "move it away, or choose another folder with `--output`";

const NAME: &str = "report.json";

/// How a file of ours begins.
const BEGINS: &str = "{\n  \"streetflow\":";

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Finished,
    FailuresLeft,
    Stopped,
    Abandoned,
    BrokenOff,
}

impl Outcome {
    fn name(self) -> &'static str {
        match self {
            Self::Finished => "finished",
            Self::FailuresLeft => "failures_left",
            Self::Stopped => "stopped",
            Self::Abandoned => "abandoned",
            Self::BrokenOff => "broken_off",
        }
    }

    /// Whether everything that entered must have left.
    pub(crate) fn came_to_its_end(self) -> bool {
        matches!(self, Self::Finished | Self::FailuresLeft)
    }
}

/// The end of a run.
pub(crate) struct End<'a> {
    pub(crate) outcome: Outcome,
    pub(crate) exit: Exit,
    pub(crate) error: Option<&'a Error>,
    pub(crate) report: Option<&'a Report>,
}

/// Where the report of a run goes.
pub(crate) struct ReportFile {
    output: PathBuf,
}

impl ReportFile {
    pub(crate) fn new(output: &Path) -> Self {
        Self { output: output.to_owned() }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.output.join(NAME)
    }

    /// Removes the report of the run before, lest it be taken for that of this one.
    pub(crate) fn remove(&self) {
        if self.is_free().is_ok() {
            fs::remove_file(self.path()).ok(); // Where that fails, writing will too, and says so.
        }
    }

    /// Writes how a run ended; `report` is what `compose` made of it.
    pub(crate) fn write(&self, report: &Value) -> Result<()> {
        let write = || {
            self.is_free()?;
            let mut file = temporary_beside(&self.path())?;
            // No text in it should hold a token; this is the last look.
            file.write_all(redact(&format!("{report:#}\n")).as_bytes())?;
            commit(file, &self.path())
        };
        write().map_err(|error| self.failed(error))
    }

    /// Whether it can be written: better to learn it now than after a day of crawling.
    pub(crate) fn check(&self) -> Result<()> {
        self.is_free().map_err(|error| self.failed(error).with_hint(MOVE_IT))
    }

    fn failed(&self, error: io::Error) -> Error {
        let subject = self.path().display().to_string();
        Error::new(ErrorKind::Io, "write the report").with_subject(subject).with_source(error)
    }

    /// Whether nothing stands there that is not ours.
    fn is_free(&self) -> io::Result<()> {
        is_file(&self.path())?;
        let mut begins = Vec::new();
        match File::open(self.path()) {
            Ok(file) => file.take(BEGINS.len() as u64).read_to_end(&mut begins)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        if begins.is_empty() || begins == BEGINS.as_bytes() {
            return Ok(());
        }
        Err(io::Error::other(NOT_OURS))
    }

    /// What there is to say of a run.
    pub(crate) fn compose(
        &self,
        stats: &RunStats,
        failure_log: &Ledger,
        network: &NetworkArgs,
        tables: &Value,
        end: &End<'_>,
    ) -> Value {
        let ended = SystemTime::now();
        let elapsed = stats.elapsed();
        let hosts = |network: &NetworkArgs| object!({ "graph": without_credentials(&network.graph_url), "tiles": without_credentials(&network.tiles_url) });
        object!({
            "streetflow": env!("CARGO_PKG_VERSION"),
            "report": 1,
            "outcome": end.outcome.name(),
            "exit_code": end.exit as u8,
            "error": end.error.map(error_json),
            "query": this_command(),
            "hosts": (!network.is_sandbox()).then(|| hosts(network)),
            "started": iso_time(ended.checked_sub(elapsed).unwrap_or(ended)),
            "ended": iso_time(ended),
            "seconds": (elapsed.as_secs_f64() * 1000.0).round() / 1000.0,
            "steps": json::steps(stats),
            "requests": json::requests(stats),
            "failures": lines(&failure_log.failures),
            "gone": lines(&failure_log.gone),
            "files": self.files(failure_log, end.report),
            "tables": tables,
        })
    }

    fn files(&self, failure_log: &Ledger, report: Option<&Report>) -> Vec<Value> {
        let written = report.into_iter().flat_map(|report| report.taps.iter().chain([&report.written]));
        let mut files: Vec<_> = written.flat_map(|written| self.file(written)).collect();
        for list in [&failure_log.failures, &failure_log.gone] {
            let (rows, path) = (list.lengths().new + list.lengths().earlier, list.path());
            if rows > 0 {
                files.push(object!({ "path": self.below(path), "rows": rows, "bytes": size(path) }));
            }
        }
        files
    }

    fn file(&self, written: &Written) -> Vec<Value> {
        let file = |path: &PathBuf| {
            // Of a folder, what came into it.
            let bytes = if path.is_dir() { Some(written.bytes) } else { size(path) };
            object!({ "path": self.below(path), "rows": written.records, "bytes": bytes })
        };
        written.paths.iter().map(file).collect()
    }

    fn below(&self, path: &Path) -> String {
        path.strip_prefix(&self.output).unwrap_or(path).display().to_string()
    }
}

pub(crate) fn size(path: &Path) -> Option<u64> {
    fs::metadata(path).ok().map(|found| found.len())
}

fn lines(list: &List) -> Value {
    object!({ "this_run": list.lengths().new, "earlier": list.lengths().earlier })
}
