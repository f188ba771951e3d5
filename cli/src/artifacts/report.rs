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

use serde_json::{Value, json};

use crate::Exit;
use crate::args::NetworkArgs;
use crate::artifacts::failure_log::List;
use crate::job::table_queries::Tables;
use crate::progress::screen::Screen;
use crate::terminal::format::iso;
use crate::terminal::printer::told;
use streetflow::atomic_file::{commit, is_file, temporary_beside};
use streetflow::client::{redact, without_credentials};
use streetflow::{Class, Error, ErrorKind, Report, Result, Written};

pub(crate) const NOT_OURS: &str = "it is there already, and not ours";

/// What to do where something that is not ours has the name of a file of ours.
pub(crate) const MOVE_IT: &str = "move it away, or choose another folder with `--output`";

const NAME: &str = "report.json";

/// The flags with a URL behind them.
const URL_FLAGS: [&str; 2] = ["--graph-url", "--tiles-url"];

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
        screen: &Screen,
        network: &NetworkArgs,
        tables: &Tables,
        end: &End<'_>,
    ) -> Value {
        let ended = SystemTime::now();
        let elapsed = screen.started.elapsed();
        let hosts = |network: &NetworkArgs| json!({ "graph": without_credentials(&network.graph_url), "tiles": without_credentials(&network.tiles_url) });
        json!({
            "streetflow": env!("CARGO_PKG_VERSION"),
            "report": 1,
            "outcome": end.outcome.name(),
            "exit_code": end.exit as u8,
            "error": end.error.map(told),
            "query": same_again(),
            "hosts": (!network.is_sandbox()).then(|| hosts(network)),
            "started": iso(ended.checked_sub(elapsed).unwrap_or(ended)),
            "ended": iso(ended),
            "seconds": (elapsed.as_secs_f64() * 1000.0).round() / 1000.0,
            "steps": steps(screen),
            "requests": requests(screen),
            "failures": lines(&screen.ledger.failures),
            "gone": lines(&screen.ledger.gone),
            "files": self.files(screen, end.report),
            "tables": tables.json(),
        })
    }

    fn files(&self, screen: &Screen, report: Option<&Report>) -> Vec<Value> {
        let written = report.into_iter().flat_map(|report| report.taps.iter().chain([&report.written]));
        let mut files: Vec<_> = written.flat_map(|written| self.file(written)).collect();
        for list in [&screen.ledger.failures, &screen.ledger.gone] {
            let (rows, path) = (list.lengths().new + list.lengths().earlier, list.path());
            if rows > 0 {
                files.push(json!({ "path": self.below(path), "rows": rows, "bytes": size(path) }));
            }
        }
        files
    }

    fn file(&self, written: &Written) -> Vec<Value> {
        let file = |path: &PathBuf| {
            // Of a folder, what came into it.
            let bytes = if path.is_dir() { Some(written.bytes) } else { size(path) };
            json!({ "path": self.below(path), "rows": written.records, "bytes": bytes })
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

pub(crate) fn steps(screen: &Screen) -> Value {
    let step = |step: &crate::progress::counts::Step| {
        let counts = step.balance();
        let counts = json!({
            "unit": step.unit().1,
            "entered": counts.entered,
            "done": counts.done,
            "already_there": counts.present,
            "ruled_out": counts.ruled_out,
            "left_out": counts.left_out,
            "beyond_limit": counts.beyond_limit,
            "gone": counts.gone,
            "failed": counts.failed,
            "not_reached": counts.not_reached,
            "rows": counts.rows,
            "left_out_by": Value::Object(
                step.left_out().into_iter().map(|(name, count)| (name.to_owned(), count.into())).collect(),
            ),
        });
        (step.name.to_owned(), counts)
    };
    Value::Object(screen.steps.iter().map(step).collect())
}

pub(crate) fn requests(screen: &Screen) -> Value {
    let tally = &screen.tally;
    let class = |class: Class| {
        let counts = json!({
            "sent": tally.requests(class),
            "retries": tally.retries_for(class),
            "bytes": tally.bytes(class),
            "from_store": tally.store_hits(class),
            "from_cache": if class == Class::Tile { tally.tile_cache_hits() } else { 0 },
            "throttled": tally.rate_limited(class),
            "paced": tally.rate_limit_waits(class),
            "blocked": tally.blocked(class),
        });
        (class.to_string(), counts)
    };
    Value::Object(Class::ALL.map(class).into_iter().collect())
}

fn lines(list: &List) -> Value {
    json!({ "this_run": list.lengths().new, "earlier": list.lengths().earlier })
}

/// The command of this run, as one would say it again.
pub(crate) fn same_again() -> String {
    query(std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned()))
}

/// The command as a shell reads it.
fn query(words: impl Iterator<Item = String>) -> String {
    let mut is_url = false;
    let words = words.filter(|word| word != "--restart").map(|word| {
        let (flag, value) = word.split_once('=').unwrap_or((&word, ""));
        let shown = match (std::mem::replace(&mut is_url, URL_FLAGS.contains(&&*word)), flag) {
            // Whatever stands there is meant to be a URL.
            (true, _) => without_credentials(&word),
            (_, flag) if URL_FLAGS.contains(&flag) && !value.is_empty() => {
                format!("{flag}={}", without_credentials(value))
            }
            _ => bare(&word),
        };
        quoted(&shown)
    });
    std::iter::once("streetflow".to_owned()).chain(words).collect::<Vec<_>>().join(" ")
}

pub(crate) fn quoted(word: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_./,:=@%+".contains(&b);
    if !word.is_empty() && word.bytes().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// A word of the command line without the name and the password that somebody may have put into a URL in it.
pub(crate) fn bare(word: &str) -> String {
    let (flag, value) = match word.split_once('=') {
        Some((flag, value)) if flag.starts_with("--") => (Some(flag), value),
        _ => (None, word),
    };
    // Only URLs are touched: an `@` may stand in any other word.
    if !value.contains("://") {
        return word.to_owned();
    }
    let value = without_credentials(value);
    flag.map_or_else(|| value.clone(), |flag| format!("{flag}={value}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_what_a_shell_reads_again_without_secrets() {
        let words =
            ["crawl", "--bbox", "33.3,35.1,33.4,35.2", "--restart", "-o", "it's mine", "--token-file=t"];
        assert_eq!(
            query(words.into_iter().map(str::to_owned)),
            r"streetflow crawl --bbox 33.3,35.1,33.4,35.2 -o 'it'\''s mine' --token-file=t"
        );
        for (word, expected) in [
            ("https://me:secret@mirror.test/x", "https://mirror.test/x"),
            ("--graph-url=http://me:secret@mirror.test/x", "--graph-url=http://mirror.test/x"),
            ("http://me:sec/ret@mirror.test", "http://mirror.test"),
            ("--user=me@home", "--user=me@home"),
            ("http://mirror.test", "http://mirror.test"),
            ("a=b", "a=b"),
        ] {
            assert_eq!(bare(word), expected);
        }
        let words = ["crawl", "--graph-url", "me:secret@mirror.test", "--tiles-url=me:secret@mirror.test"];
        assert_eq!(
            query(words.into_iter().map(str::to_owned)),
            "streetflow crawl --graph-url mirror.test --tiles-url=mirror.test"
        );
    }
}
