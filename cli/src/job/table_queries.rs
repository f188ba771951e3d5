//! Which query made the tables of a folder, so that a run for another one does not replace them unasked.
//!
//! `report.json` says it under `tables`. The report is removed while a run is at
//! work, so a copy lies beside the kept answers meanwhile, for the case that the
//! run is killed. Tables of which nothing is known are replaced without a
//! question.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::args::{AreaArgs, InputArgs};
use crate::job::keep_full_tables::FullTables;
use crate::job::outputs::Input;
use crate::progress::screen::Screen;
use crate::terminal::format::path_text;
use crate::terminal::question::answer;
use streetflow::atomic_file::{commit, temporary_beside};
use streetflow::client::redact;
use streetflow::{Error, ErrorKind, Format, Report, Result};

/// No report of ours is larger; one beyond it is not read.
const MAX_REPORT: u64 = 64 << 20;

/// What decides which rows a table has. Fields and formats do not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Origin {
    /// The area and the owners, the list of ids, or the table that was named.
    source: String,
    /// The filters, each flag once.
    filters: Vec<String>,
    /// Whether the embedded sandbox was asked.
    #[serde(default)]
    sandbox: bool,
}

/// Where the rows of a run come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    /// An area, a user, or a list of ids.
    Query(String),
    /// A table that is named on the command line.
    Named(String),
    /// A table of the same folder, such as that of the step before: what is made of it follows it.
    Before(PathBuf),
    /// Standard input.
    Unknown,
}

impl Source {
    /// Where the rows come from: `start` are ids in words, `input` is the table to read and the name of the one before.
    pub(crate) fn of(
        start: &str,
        area: Option<&AreaArgs>,
        input: Option<(&InputArgs, &str)>,
        output: &Path,
    ) -> Result<Self> {
        Ok(match (area, input) {
            _ if !start.is_empty() => Self::Query(start.to_owned()),
            (Some(area), _) => Self::Query(area.key()?.trim().to_owned()),
            (None, Some((args, before))) => match &args.input {
                Some(path) if path == Path::new("-") => Self::Unknown,
                Some(path) if is_in(path, output) => Self::Before(path.clone()),
                Some(path) => Self::Named(path.display().to_string()),
                None => match Input::find(args, output, before) {
                    Ok(Input::File(path, _)) => Self::Before(path),
                    _ => Self::Unknown,
                },
            },
            (None, None) => Self::Unknown,
        })
    }
}

/// Whether a table that is named lies in the output folder itself.
fn is_in(path: &Path, output: &Path) -> bool {
    let folder = path.parent().and_then(|folder| fs::canonicalize(folder).ok());
    folder.is_some() && folder == fs::canonicalize(output).ok()
}

/// How a source begins that is a table named on the command line.
const NAMED: &str = "--input ";

impl Origin {
    fn new(source: &Source, filters: &[String], sandbox: bool, tables: &Tables) -> Option<Self> {
        let source = match source {
            Source::Query(query) => query.clone(),
            Source::Named(path) => format!("{NAMED}{path}"),
            Source::Before(path) => tables.of(path)?.source.clone(),
            Source::Unknown => return None,
        };
        Some(Self { source, filters: filters.to_owned(), sandbox })
    }

    fn words(&self) -> String {
        let sandbox = if self.sandbox { "--sandbox" } else { "" };
        let filters = self.filters.iter().map(String::as_str);
        let words = [self.source.as_str()].into_iter().chain(filters).chain([sandbox]);
        words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
    }
}

/// The origins of a folder's tables, by file name.
#[derive(Debug, Default, Clone)]
pub(crate) struct Tables(BTreeMap<String, Origin>);

#[derive(Deserialize)]
struct Noted {
    #[serde(default)]
    tables: BTreeMap<String, Origin>,
}

impl Tables {
    /// Reads what the report of the last run says, else what a killed run left.
    pub(crate) fn read(report: &Path, left: &Path) -> Self {
        let read = |path: &Path| {
            let mut text = String::new();
            File::open(path).ok()?.take(MAX_REPORT).read_to_string(&mut text).ok()?;
            Some(serde_json::from_str::<Noted>(&text).ok()?.tables)
        };
        Self(read(report).or_else(|| read(left)).unwrap_or_default())
    }

    /// Writes a copy for the case that the run is killed.
    pub(crate) fn keep(&self, left: &Path) -> io::Result<()> {
        if self.0.is_empty() {
            return Ok(());
        }
        let mut file = temporary_beside(left)?;
        file.write_all(redact(&format!("{:#}\n", serde_json::json!({ "tables": self.0 }))).as_bytes())?;
        commit(file, left)
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::json!(self.0)
    }

    fn of(&self, table: &Path) -> Option<&Origin> {
        self.0.get(table.file_name()?.to_str()?)
    }
}

/// Which queries the tables of the folder come from.
pub(crate) struct Origins {
    pub(crate) plan: Plan,
    /// As it was before the run.
    pub(crate) known: Tables,
    pub(crate) full: Arc<FullTables>,
}

/// What a run writes, and for which query.
pub(crate) struct Plan {
    pub(crate) source: Source,
    pub(crate) filters: Vec<String>,
    pub(crate) sandbox: bool,
    /// The tables with their formats, whether they are there or not.
    pub(crate) tables: Vec<(PathBuf, Format)>,
    pub(crate) yes: bool,
}

impl Plan {
    /// The tables that are there and have rows.
    pub(crate) fn full(&self) -> Vec<PathBuf> {
        let full = self
            .tables
            .iter()
            .filter(|(path, format)| streetflow::sources::has_rows(path, *format).unwrap_or(false));
        full.map(|(path, _)| path.clone()).collect()
    }

    /// Lets the run replace tables with rows of another query only where that is agreed to.
    pub(crate) async fn agree(&self, known: &Tables, full: &[PathBuf], screen: &Screen) -> Result<()> {
        let Some((table, theirs)) = full.iter().find_map(|path| Some((path, self.differs(known, path)?)))
        else {
            return Ok(());
        };
        let ours = Origin::new(&self.source, &self.filters, self.sandbox, known);
        let ours = ours.map_or_else(|| "another".to_owned(), |ours| format!("`{}`", ours.words()));
        let why =
            format!("it has the rows of another query, `{}`, and this run is for {ours}", theirs.words());
        let refuse = |why: String| {
            Error::new(ErrorKind::Usage, "replace the table")
                .with_subject(table.display().to_string())
                .with_source(why)
                .with_hint(
                    "check the area (longitude comes first), the owner and the filters; name another folder with \
                     `--output`, or say `--yes` to replace the tables",
                )
        };
        if self.yes {
            screen.say(&format!("the tables of another query are replaced: `{}`", theirs.words()));
            return Ok(());
        }
        if !screen.voice.can_ask() {
            return Err(refuse(why));
        }
        screen.voice.print(&format!("{}: {why}\nreplace the tables? [y/N] ", path_text(table)));
        let answer = answer()
            .map_err(|_| refuse(format!("{why}; no thread could be started to wait for an answer")))?;
        if answer.await.unwrap_or_default() {
            return Ok(());
        }
        Err(refuse(format!("{why}; the answer was no")))
    }

    /// The query of a table, if it is known to be another one than that of this run.
    fn differs<'a>(&self, known: &'a Tables, table: &Path) -> Option<&'a Origin> {
        let theirs = known.of(table)?;
        // What the sandbox made is worth nothing to a run against the real thing.
        if theirs.sandbox && !self.sandbox {
            return None;
        }
        // What is made of the table of the step before follows it, and is soon made again.
        if let Source::Before(_) = self.source {
            return theirs.source.starts_with(NAMED).then_some(theirs);
        }
        let ours = Origin::new(&self.source, &self.filters, self.sandbox, known)?;
        let is_query = matches!(self.source, Source::Query(_));
        // Where filters are only taken away, no row is lost.
        let has_new = is_query && ours.filters.iter().any(|filter| !theirs.filters.contains(filter));
        let differs = ours.source != theirs.source || ours.sandbox != theirs.sandbox || has_new;
        differs.then_some(theirs)
    }

    /// The origins after the run: those of this run for what it wrote, those of before for the rest.
    pub(crate) fn after(&self, known: &Tables, report: Option<&Report>) -> Tables {
        let mut after = known.clone();
        let name = |path: &Path| path.file_name().and_then(|name| name.to_str()).map(str::to_owned);
        let written = report.into_iter().flat_map(|report| report.taps.iter().chain([&report.written]));
        let ours = Origin::new(&self.source, &self.filters, self.sandbox, known);
        for path in written.flat_map(|written| &written.paths) {
            let is_table = self.tables.iter().any(|(table, _)| table == path);
            let Some(name) = name(path).filter(|_| is_table) else { continue };
            match &ours {
                Some(ours) => after.0.insert(name, ours.clone()),
                None => after.0.remove(&name),
            };
        }
        after
    }
}

/// Words of filters with those of one flag in one: several makers are more than one.
pub(crate) fn joined(words: Vec<String>) -> Vec<String> {
    let mut joined: Vec<String> = Vec::new();
    let flag = |word: &str| word.split(' ').next().unwrap_or_default().to_owned();
    for word in words {
        match joined.iter_mut().find(|known| flag(known) == flag(&word)) {
            Some(known) => *known = format!("{known} {word}"),
            None => joined.push(word),
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(filters: &str) -> Vec<String> {
        filters.split(';').filter(|word| !word.is_empty()).map(str::to_owned).collect()
    }

    fn plan(source: Source, filters: &str) -> Plan {
        Plan { source, filters: list(filters), sandbox: false, tables: Vec::new(), yes: false }
    }

    fn known(source: &str, filters: &str, sandbox: bool) -> Tables {
        let origin = Origin { source: source.to_owned(), filters: list(filters), sandbox };
        Tables([("a.csv".to_owned(), origin)].into())
    }

    #[test]
    fn another_area_or_filter_is_another_query_and_a_following_step_is_not() {
        let query = |text: &str| Source::Query(text.to_owned());
        let named = |text: &str| Source::Named(text.to_owned());
        let before = || Source::Before("x/b.csv".into());
        for (tables, plan, differs) in [
            (known("1,2,3,4", "", false), plan(query("1,2,3,4"), ""), false),
            (known("1,2,3,4", "", false), plan(query("1,2,3,5"), ""), true),
            (known("1,2,3,4", "", false), plan(query("1,2,3,4"), "--pano"), true),
            (known("1,2,3,4", "", true), plan(query("1,2,3,5"), ""), false),
            (known("1,2,3,4", "", false), plan(before(), ""), false),
            (known("1,2,3,4", "--pano", false), plan(query("1,2,3,4"), ""), false),
            (known("1,2,3,4", "--pano", false), plan(query("1,2,3,4"), "--pano;--limit 5"), true),
            (known("1,2,3,4", "--limit 6", false), plan(query("1,2,3,4"), "--limit 5"), true),
            (known("1,2,3,4", "", false), plan(before(), "--every 50"), false),
            (known("--input c.csv", "", false), plan(before(), ""), true),
            (known("--input c.csv", "", false), plan(named("c.csv"), ""), false),
            (known("--input c.csv", "", false), plan(named("d.csv"), ""), true),
            (known("--input c.csv", "", false), plan(Source::Unknown, ""), false),
            (Tables::default(), plan(query("1,2,3,4"), ""), false),
        ] {
            let found = plan.differs(&tables, Path::new("x/a.csv")).is_some();
            assert_eq!(found, differs, "{tables:?} {:?} {:?}", plan.source, plan.filters);
        }
    }

    #[test]
    fn several_makers_are_one_filter() {
        let words = ["--make 'a'", "--pano", "--make 'b'"].map(str::to_owned).to_vec();
        assert_eq!(joined(words), ["--make 'a' --make 'b'", "--pano"]);
    }

    #[test]
    fn a_table_has_rows_where_there_is_more_than_its_header() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a");
        for (format, text, rows) in [
            (Format::Csv, "", false),
            (Format::Csv, "seq_id\n", false),
            (Format::Csv, "seq_id\n\n", false),
            (Format::Csv, "seq_id\na", true),
            (Format::GeoJsonSeq, "", false),
            (Format::GeoJsonSeq, "{}\n", true),
            (Format::GeoJson, "{\"type\":\"FeatureCollection\",\"features\":[\n]}\n", false),
            (Format::GeoJson, "{\"type\":\"FeatureCollection\",\"features\":[\n{}\n]}\n", true),
        ] {
            fs::write(&path, text).expect("written");
            assert_eq!(
                streetflow::sources::has_rows(&path, format).expect("read"),
                rows,
                "{format:?} {text:?}"
            );
        }
        assert!(streetflow::sources::has_rows(&folder.path().join("none"), Format::Csv).is_err());
        assert!(!streetflow::sources::has_rows(folder.path(), Format::Csv).expect("a folder has none"));
    }
}
