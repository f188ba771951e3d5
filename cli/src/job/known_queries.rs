//! The queries of the tables in an output directory, as the runs before left them.
//!
//! `report.json` contains the queries under `tables`. The report is removed while a run is in progress, so a copy is in
//! the state directory until then, in case the run is killed. The copy also has the queries of the tables that the run
//! writes: if it is killed between its tables and its report, a table that is newer than the copy has one of these.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::Path;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use streetflow::atomic_file::{commit, temporary_beside};
use streetflow::client::redact;

/// Maximum size of a report that is read, in bytes.
const MAX_REPORT: u64 = 64 << 20;

/// The query that decides the rows of a table. Fields and formats do not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct TableQuery {
    /// The area and the owners, the list of ids, or the table that was named.
    pub(super) source: String,
    /// The filters, with each flag once.
    pub(super) filters: Vec<String>,
    /// Whether the rows come from the built-in sandbox.
    #[serde(default)]
    pub(super) sandbox: bool,
}

impl TableQuery {
    pub(super) fn to_cli_args(&self) -> String {
        let sandbox = if self.sandbox { "--sandbox" } else { "" };
        let filters = self.filters.iter().map(String::as_str);
        let args = [self.source.as_str()].into_iter().chain(filters).chain([sandbox]);
        args.filter(|arg| !arg.is_empty()).collect::<Vec<_>>().join(" ")
    }
}

/// The queries of the tables of a directory, by file name.
#[derive(Debug, Default, Clone)]
pub(super) struct TableQueries(pub(super) BTreeMap<String, TableQuery>);

/// What is read of a report or of the copy.
#[derive(Deserialize)]
struct Recorded {
    #[serde(default)]
    tables: BTreeMap<String, TableQuery>,
    /// The queries of the tables that a run writes; null if one is unknown. Only the copy has them.
    #[serde(default)]
    written: BTreeMap<String, Option<TableQuery>>,
}

impl Recorded {
    fn read(path: &Path) -> Option<Self> {
        let mut text = String::new();
        File::open(path).ok()?.take(MAX_REPORT).read_to_string(&mut text).ok()?;
        serde_json::from_str(&text).ok()
    }
}

impl TableQueries {
    /// Reads the report of the last run, else the copy that a killed run left. The tables are beside the report, unless
    /// they are in a bucket.
    pub(super) fn read(report: &Path, copy: &Path, are_in_bucket: bool) -> Self {
        if let Some(report) = Recorded::read(report) {
            return Self(report.tables);
        }
        let Some(Recorded { mut tables, written }) = Recorded::read(copy) else { return Self::default() };
        let modified = |path: &Path| fs::metadata(path).and_then(|found| found.modified()).ok();
        let begin = modified(copy).filter(|_| !are_in_bucket);
        let is_of_run = |at: SystemTime| begin.is_some_and(|begin| at > begin);
        for (name, query) in written {
            if modified(&report.with_file_name(&name)).is_some_and(is_of_run) {
                match query {
                    Some(query) => drop(tables.insert(name, query)),
                    None => drop(tables.remove(&name)),
                }
            }
        }
        Self(tables)
    }

    /// Writes the copy for the case that the run is killed, with the queries of the tables that it writes.
    pub(super) fn save_copy(
        &self,
        copy: &Path,
        written: &BTreeMap<String, Option<TableQuery>>,
    ) -> io::Result<()> {
        let content = serde_json::json!({ "tables": self.0, "written": written });
        let mut file = temporary_beside(copy)?;
        file.write_all(redact(&format!("{content:#}\n")).as_bytes())?;
        commit(file, copy)
    }

    pub(super) fn json(&self) -> serde_json::Value {
        serde_json::json!(self.0)
    }

    pub(super) fn get(&self, table: &Path) -> Option<&TableQuery> {
        self.0.get(table.file_name()?.to_str()?)
    }
}

/// The name of a table as text.
pub(super) fn file_name(path: &Path) -> Option<String> {
    path.file_name()?.to_str().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_table_that_is_newer_than_the_copy_has_the_query_of_the_killed_run() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        let query =
            |source: &str| TableQuery { source: source.to_owned(), filters: Vec::new(), sandbox: false };
        let names = ["old.csv", "new.csv", "of_unknown.csv", "other.csv"];
        let known = names.map(|name| (name.to_owned(), query("before")));
        let known = TableQueries(known.into_iter().collect());
        let written =
            [("old.csv", Some(query("now"))), ("new.csv", Some(query("now"))), ("of_unknown.csv", None)];
        let written = written.map(|(name, query)| (name.to_owned(), query)).into_iter().collect();
        known.save_copy(&path("copy"), &written).expect("saved");
        let begin = fs::metadata(path("copy")).and_then(|found| found.modified()).expect("a time");
        for (name, is_new) in names.into_iter().zip([false, true, true, true]) {
            let file = File::create(path(name)).expect("created");
            let distance = Duration::from_secs(1);
            file.set_modified(if is_new { begin + distance } else { begin - distance }).expect("set");
        }
        let sources = |are_in_bucket| {
            let read = TableQueries::read(&path("report.json"), &path("copy"), are_in_bucket);
            names.map(|name| read.get(Path::new(name)).map(|query| query.source.clone()))
        };
        let [before, now] = ["before", "now"].map(|source| Some(source.to_owned()));
        assert_eq!(sources(false), [before.clone(), now, None, before.clone()]);
        assert_eq!(sources(true), [before.clone(), before.clone(), before.clone(), before]);
        fs::write(path("report.json"), r#"{"tables":{}}"#).expect("written");
        assert_eq!(sources(false), [const { None }; 4], "the report wins");
    }
}
