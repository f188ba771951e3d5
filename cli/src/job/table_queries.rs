//! The tables that a run writes, and their query. A run must not replace the tables of another query without
//! confirmation. Tables without a known query are replaced without confirmation.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::empty_result::EmptyResultGuard;
use super::input::Input;
use super::known_queries::{TableQueries, TableQuery, file_name};
use super::monitor::Monitor;
use super::spec::JobInput;
use crate::args::FetchDetectionArgs;
use crate::terminal::format::path_text;
use crate::terminal::question::read_yes_or_no;
use streetflow::{Error, ErrorKind, Format, Report, Result};

/// The prefix of a source that is a table named on the command line.
const NAMED_PREFIX: &str = "--input ";

/// Where the rows of a run come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum RowSource {
    /// An area, a user, or a list of ids.
    Query(String),
    /// A table that is named on the command line.
    Named(String),
    /// A table of the same directory, such as that of the previous step. The new table has the same query.
    SameDirectory(PathBuf),
    /// Standard input.
    Unknown,
}

impl RowSource {
    pub(super) fn resolve(input: JobInput<'_>, output: &Path) -> Result<Self> {
        Ok(match input {
            JobInput::Ids(ids) => Self::Query(ids.to_cli_args()),
            JobInput::Area(area) => Self::Query(area.key()?.trim().to_owned()),
            JobInput::Table { args, previous } => match &args.input {
                Some(path) if path == Path::new("-") => Self::Unknown,
                Some(path) if is_in(path, output) => Self::SameDirectory(path.clone()),
                Some(path) => Self::Named(path.display().to_string()),
                None => match Input::find(args, output, previous) {
                    Ok(Input::File(path, _)) => Self::SameDirectory(path),
                    _ => Self::Unknown,
                },
            },
        })
    }
}

/// Whether a file is directly in the output directory.
fn is_in(path: &Path, output: &Path) -> bool {
    let parent = path.parent().and_then(|parent| fs::canonicalize(parent).ok());
    parent.is_some() && parent == fs::canonicalize(output).ok()
}

/// The tables of a run after its begin.
pub(super) struct PreparedTables {
    pub(super) plan: TablePlan,
    /// The queries before the run.
    pub(super) known: TableQueries,
    pub(super) guard: Arc<EmptyResultGuard>,
}

/// The tables that a run writes, and their query.
pub(super) struct TablePlan {
    pub(super) source: RowSource,
    pub(super) filters: Vec<String>,
    /// Filters of the table of detections besides those of all tables.
    pub(super) detection_filters: Vec<String>,
    /// The name of the table of detections.
    pub(super) detection_table: String,
    pub(super) sandbox: bool,
    /// The tables with their formats, whether they exist or not.
    pub(super) tables: Vec<(PathBuf, Format)>,
    /// Replaces tables without confirmation.
    pub(super) yes: bool,
}

impl TablePlan {
    /// Whether the rows come from an area, a user or a list of ids, and not from a table.
    pub(super) fn is_query(&self) -> bool {
        matches!(self.source, RowSource::Query(_))
    }

    /// The existing tables with rows. Those that `is_remote` finds in a bucket are not read, and count as such.
    pub(super) fn tables_with_rows(&self, is_remote: impl Fn(&Path) -> bool) -> Vec<PathBuf> {
        let with_rows = self.tables.iter().filter(|(path, format)| {
            is_remote(path) || streetflow::sources::has_rows(path, *format).unwrap_or(false)
        });
        with_rows.map(|(path, _)| path.clone()).collect()
    }

    /// Asks for confirmation if the run would replace tables of another query. A denial is a usage error.
    pub(super) async fn confirm(
        &self,
        known: &TableQueries,
        with_rows: &[PathBuf],
        monitor: &Monitor,
    ) -> Result<()> {
        let conflict = with_rows.iter().find_map(|path| Some((path, self.conflict(known, path)?)));
        let Some((table, theirs)) = conflict else { return Ok(()) };
        let theirs = theirs.to_cli_args();
        if self.yes {
            monitor.printer.note(&format!("replacing the tables of another query: `{theirs}`"));
            return Ok(());
        }
        let ours = self
            .query(known, table)
            .map_or_else(|| "another one".to_owned(), |ours| format!("`{}`", ours.to_cli_args()));
        let why = format!("it has rows of another query, `{theirs}`; the query of this run is {ours}");
        let deny = |why: String| {
            Error::new(ErrorKind::Usage, "replace the table")
                .with_subject(table.display().to_string())
                .with_source(why)
                .with_hint(
                    "check the area (longitude comes first), the owner and the filters; set another directory with \
                     `--output`, or pass `--yes` to replace the tables",
                )
        };
        if !monitor.printer.can_confirm() {
            return Err(deny(why));
        }
        monitor.printer.print(&format!("{}: {why}\nreplace the tables? [y/N] ", path_text(table)));
        let answer = read_yes_or_no()
            .map_err(|_| deny(format!("{why}; the system refused a thread for the question")))?;
        if answer.await.unwrap_or_default() {
            return Ok(());
        }
        Err(deny(format!("{why}; the answer was no")))
    }

    /// Checks that an update asks the query of the earlier table. Another query is a usage error, because most images
    /// would count as new or gone.
    pub(super) fn check_update(&self, known: &TableQueries, table: &Path) -> Result<()> {
        let reject = |why: String, hint: &'static str| {
            Err(Error::new(ErrorKind::Usage, "update the table")
                .with_subject(table.display().to_string())
                .with_source(why)
                .with_hint(hint))
        };
        match (known.get(table), self.query(known, table)) {
            (None, _) if !self.yes => reject(
                "the query of the table is unknown".to_owned(),
                "pass `--yes` if the table has the same area, owner and filters as this run",
            ),
            (Some(theirs), Some(ours)) if *theirs != ours => reject(
                format!(
                    "the table has rows of another query, `{}`; the query of this run is `{}`",
                    theirs.to_cli_args(),
                    ours.to_cli_args()
                ),
                "update with the same area, owner and filters, set another directory with `--output`, or crawl without \
                 `--update`",
            ),
            _ => Ok(()),
        }
    }

    /// Whether an existing table of detections has the filters of this run on detections, so that it has the rows of
    /// this run for each of its images. With `--yes` a table of an unknown query has them.
    pub(super) fn has_same_detection_filters(&self, known: &TableQueries, table: &Path) -> bool {
        let Some(theirs) = known.get(table) else { return self.yes };
        let filters = theirs.filters.iter().filter(|filter| FetchDetectionArgs::is_filter(filter));
        theirs.sandbox == self.sandbox && filters.eq(&self.detection_filters)
    }

    /// The query of a table of this run. `None` if the query of the table that it reads is unknown.
    fn query(&self, known: &TableQueries, table: &Path) -> Option<TableQuery> {
        let source = match &self.source {
            RowSource::Query(query) => query.clone(),
            RowSource::Named(path) => format!("{NAMED_PREFIX}{path}"),
            RowSource::SameDirectory(path) => known.get(path)?.source.clone(),
            RowSource::Unknown => return None,
        };
        let is_of_detections =
            table.file_stem().is_some_and(|name| name.to_str() == Some(self.detection_table.as_str()));
        let more = if is_of_detections { self.detection_filters.as_slice() } else { &[] };
        Some(TableQuery { source, filters: [self.filters.as_slice(), more].concat(), sandbox: self.sandbox })
    }

    /// The queries of the tables that the run writes, for [`TableQueries::save_copy`].
    pub(super) fn queries_of_run(&self, known: &TableQueries) -> BTreeMap<String, Option<TableQuery>> {
        let query = |(path, _): &(PathBuf, Format)| Some((file_name(path)?, self.query(known, path)));
        self.tables.iter().filter_map(query).collect()
    }

    /// The query of an existing table, if it is known to differ from that of this run.
    fn conflict<'a>(&self, known: &'a TableQueries, table: &Path) -> Option<&'a TableQuery> {
        let theirs = known.get(table)?;
        // Rows of the sandbox are mock data.
        if theirs.sandbox && !self.sandbox {
            return None;
        }
        // A table made from the previous step can be made again, unless it comes from elsewhere.
        if let RowSource::SameDirectory(_) = self.source {
            return theirs.source.starts_with(NAMED_PREFIX).then_some(theirs);
        }
        let ours = self.query(known, table)?;
        // Without one of the filters, no row is lost.
        let has_new_filter =
            self.is_query() && ours.filters.iter().any(|filter| !theirs.filters.contains(filter));
        let differs = ours.source != theirs.source || ours.sandbox != theirs.sandbox || has_new_filter;
        differs.then_some(theirs)
    }

    /// The queries after the run: that of this run for the tables it wrote, the known ones for the others.
    pub(super) fn queries_after(&self, known: &TableQueries, report: Option<&Report>) -> TableQueries {
        let mut after = known.clone();
        let written = report.into_iter().flat_map(|report| report.taps.iter().chain([&report.written]));
        for path in written.flat_map(|written| &written.paths) {
            let is_table = self.tables.iter().any(|(table, _)| table == path);
            let Some(name) = file_name(path).filter(|_| is_table) else { continue };
            match self.query(known, path) {
                Some(ours) => after.0.insert(name, ours),
                None => after.0.remove(&name),
            };
        }
        after
    }
}

/// Joins the arguments of a repeated flag into one filter: two makers together are a filter of their own.
pub(super) fn merge_repeated_flags(args: Vec<String>) -> Vec<String> {
    let mut merged: Vec<String> = Vec::new();
    let flag = |arg: &str| arg.split(' ').next().unwrap_or_default().to_owned();
    for arg in args {
        match merged.iter_mut().find(|known| flag(known) == flag(&arg)) {
            Some(known) => *known = format!("{known} {arg}"),
            None => merged.push(arg),
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(filters: &str) -> Vec<String> {
        filters.split(';').filter(|arg| !arg.is_empty()).map(str::to_owned).collect()
    }

    fn plan(source: RowSource, filters: &str) -> TablePlan {
        TablePlan {
            source,
            filters: list(filters),
            detection_filters: list("--detections-to-keep a"),
            detection_table: "detections".to_owned(),
            sandbox: false,
            tables: Vec::new(),
            yes: false,
        }
    }

    fn known(source: &str, filters: &str, sandbox: bool) -> TableQueries {
        let query = TableQuery { source: source.to_owned(), filters: list(filters), sandbox };
        TableQueries([("a.csv".to_owned(), query)].into())
    }

    #[test]
    fn another_area_or_filter_is_another_query_and_a_next_step_is_not() {
        let query = |text: &str| RowSource::Query(text.to_owned());
        let named = |text: &str| RowSource::Named(text.to_owned());
        let same_directory = || RowSource::SameDirectory("x/b.csv".into());
        for (tables, plan, differs) in [
            (known("1,2,3,4", "", false), plan(query("1,2,3,4"), ""), false),
            (known("1,2,3,4", "", false), plan(query("1,2,3,5"), ""), true),
            (known("1,2,3,4", "", false), plan(query("1,2,3,4"), "--pano"), true),
            (known("1,2,3,4", "", true), plan(query("1,2,3,5"), ""), false),
            (known("1,2,3,4", "", false), plan(same_directory(), ""), false),
            (known("1,2,3,4", "--pano", false), plan(query("1,2,3,4"), ""), false),
            (known("1,2,3,4", "--pano", false), plan(query("1,2,3,4"), "--pano;--limit 5"), true),
            (known("1,2,3,4", "--limit 6", false), plan(query("1,2,3,4"), "--limit 5"), true),
            (known("1,2,3,4", "", false), plan(same_directory(), "--every 50"), false),
            (known("--input c.csv", "", false), plan(same_directory(), ""), true),
            (known("--input c.csv", "", false), plan(named("c.csv"), ""), false),
            (known("--input c.csv", "", false), plan(named("d.csv"), ""), true),
            (known("--input c.csv", "", false), plan(RowSource::Unknown, ""), false),
            (TableQueries::default(), plan(query("1,2,3,4"), ""), false),
        ] {
            let found = plan.conflict(&tables, Path::new("x/a.csv")).is_some();
            assert_eq!(found, differs, "{tables:?} {:?} {:?}", plan.source, plan.filters);
        }
    }

    #[test]
    fn filters_of_detections_belong_to_their_table_only() {
        let plan = plan(RowSource::Query("1,2,3,4".to_owned()), "--pano");
        let path = Path::new("x/detections.csv");
        for (source, filters, sandbox, is_same) in [
            ("1,2,3,4", "--pano;--detections-to-keep a", false, true),
            ("5,6,7,8", "--detections-to-keep a", false, true),
            ("1,2,3,4", "--pano;--detections-to-keep a", true, false),
            ("1,2,3,4", "--pano;--detections-to-keep b", false, false),
            ("1,2,3,4", "--pano;--detections-to-keep a;--min-detection-area 0.1", false, false),
            ("1,2,3,4", "--pano", false, false),
        ] {
            let query = known(source, filters, sandbox).0["a.csv"].clone();
            let tables = TableQueries([("detections.csv".to_owned(), query)].into());
            assert_eq!(plan.has_same_detection_filters(&tables, path), is_same, "{source} {filters}");
        }
        let tables = known("1,2,3,4", "--pano", false);
        assert!(!plan.has_same_detection_filters(&tables, Path::new("x/unknown.csv")));
        let mut tables = tables;
        let query = tables.0["a.csv"].clone();
        tables.0.insert("detections.csv".to_owned(), query);
        assert!(plan.conflict(&tables, path).is_some());
    }

    #[test]
    fn repeated_flags_are_one_filter() {
        let args = ["--make 'a'", "--pano", "--make 'b'"].map(str::to_owned).to_vec();
        assert_eq!(merge_repeated_flags(args), ["--make 'a' --make 'b'", "--pano"]);
    }
}
