//! `report.json`: the outcome of a run, for a person and for scripts.
//!
//! Every run that got as far as its first input writes the file when it ends. A run removes the file when it starts,
//! so if it is missing, the last run was killed. `docs/reference.md` describes the keys. Keys may be added; `report`
//! is the version of the format and changes if a key changes its name or meaning.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde_json::{Value, json};

use crate::args::NetworkArgs;
use crate::artifacts::failure_log::{CsvLog, FailureLog};
use crate::artifacts::owned_file::{Mark, OwnedFile};
use crate::exit_code::Exit;
use crate::progress::json::{requests, steps};
use crate::progress::stats::RunStats;
use crate::terminal::format::iso_time;
use crate::terminal::printer::error_json;
use crate::terminal::shell::this_command;
use streetflow::client::{redact, without_credentials};
use streetflow::{Error, Query, Report, Result, Written};

/// The name of the file.
pub(crate) const REPORT_NAME: &str = "report.json";

/// Version of the format.
pub(crate) const VERSION: u32 = 3;

/// The start of the file.
const START: &str = "{\n  \"streetflow\":";

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Everything is done.
    Finished,
    /// Everything was tried, and some items failed.
    FinishedWithFailures,
    /// Ctrl-C, or a large download without confirmation. The tables contain what was done.
    Stopped,
    /// Ctrl-C twice. The tables are unchanged.
    Abandoned,
    /// An error. The tables are unchanged.
    Failed,
}

impl Outcome {
    fn name(self) -> &'static str {
        match self {
            Self::Finished => "finished",
            Self::FinishedWithFailures => "finished_with_failures",
            Self::Stopped => "stopped",
            Self::Abandoned => "abandoned",
            Self::Failed => "failed",
        }
    }

    /// Whether the run tried all its inputs, so that the counts of each step add up.
    pub(crate) fn is_complete(self) -> bool {
        matches!(self, Self::Finished | Self::FinishedWithFailures)
    }
}

/// The end of a run.
pub(crate) struct End<'a> {
    pub(crate) outcome: Outcome,
    pub(crate) exit: Exit,
    /// The error that ended it.
    pub(crate) error: Option<&'a Error>,
    /// What the flow wrote, unless it failed.
    pub(crate) report: Option<&'a Report>,
}

/// The report file of an output directory.
pub(crate) struct ReportFile {
    output: PathBuf,
    file: OwnedFile,
}

impl ReportFile {
    pub(crate) fn new(output: &Path) -> Self {
        let file = OwnedFile::new(output.join(REPORT_NAME), Mark::Start(START), "write the report");
        Self { output: output.to_owned(), file }
    }

    pub(crate) fn path(&self) -> &Path {
        self.file.path()
    }

    /// Fails if the file could not be written at the end of the run.
    pub(crate) fn check(&self) -> Result<()> {
        self.file.check()
    }

    /// Removes the report of the last run.
    pub(crate) fn remove(&self) {
        self.file.remove().ok(); // If this fails, writing fails too and reports it.
    }

    /// Writes a report, without any token in it.
    pub(crate) fn write(&self, report: &Value) -> Result<()> {
        self.file.write(redact(&format!("{report:#}\n")).as_bytes())
    }

    /// Builds the report of a run. `tables` are the queries that made the tables of the directory.
    pub(crate) fn compose(
        &self,
        stats: &RunStats,
        failure_log: &FailureLog,
        network: &NetworkArgs,
        query: Option<&Query>,
        tables: &Value,
        end: &End<'_>,
    ) -> Value {
        let ended = SystemTime::now();
        let elapsed = stats.elapsed();
        let hosts = || {
            let [graph, tiles] = [&network.graph_url, &network.tiles_url].map(|url| without_credentials(url));
            json!({ "graph": graph, "tiles": tiles })
        };
        json!({
            "streetflow": env!("CARGO_PKG_VERSION"),
            "report": VERSION,
            "outcome": end.outcome.name(),
            "exit_code": end.exit as u8,
            "error": end.error.map(error_json),
            "command": this_command(),
            "query": query.map(Query::to_json),
            "hosts": (!network.sandbox && !network.offline).then(hosts),
            "started": iso_time(ended.checked_sub(elapsed).unwrap_or(ended)),
            "ended": iso_time(ended),
            "seconds": (elapsed.as_secs_f64() * 1000.0).round() / 1000.0,
            "steps": steps(stats),
            "requests": requests(stats),
            "uploaded_bytes": stats.uploaded(),
            "failures": line_counts(&failure_log.failures),
            "gone": line_counts(&failure_log.gone),
            "files": self.files(failure_log, end.report),
            "tables": tables,
        })
    }

    /// The files that the run wrote.
    fn files(&self, failure_log: &FailureLog, report: Option<&Report>) -> Vec<Value> {
        let written = report.into_iter().flat_map(|report| report.taps.iter().chain([&report.written]));
        let mut files: Vec<_> = written.flat_map(|written| self.written(written)).collect();
        for log in [&failure_log.failures, &failure_log.gone] {
            let (rows, path) = (log.counts().total(), log.path());
            if rows > 0 {
                files.push(json!({ "path": self.relative(path), "rows": rows, "bytes": size(path) }));
            }
        }
        files
    }

    fn written(&self, written: &Written) -> Vec<Value> {
        let file = |path: &PathBuf| {
            // For a directory: the bytes that this run added.
            let bytes = if path.is_dir() { None } else { size(path) };
            // In a bucket, too.
            let bytes = bytes.or(Some(written.bytes));
            json!({ "path": self.relative(path), "rows": written.records, "bytes": bytes })
        };
        written.paths.iter().map(file).collect()
    }

    fn relative(&self, path: &Path) -> String {
        path.strip_prefix(&self.output).unwrap_or(path).display().to_string()
    }
}

fn line_counts(log: &CsvLog) -> Value {
    json!({ "this_run": log.counts().this_run, "earlier": log.counts().earlier })
}

/// The size of a file, if it exists.
pub(crate) fn size(path: &Path) -> Option<u64> {
    fs::metadata(path).ok().map(|found| found.len())
}
