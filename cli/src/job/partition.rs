//! `plan.json`: a crawl that is divided into partitions, and one partition of it.
//!
//! A partition is a contiguous range of the rows of the table of sequences. So no two partitions share a sequence, and
//! their tables, one after the other, are those of a single crawl.

use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};

use futures::StreamExt;
use serde_json::{Map, Value, json};
use tokio_util::sync::CancellationToken;

use super::input::open_in_background;
use crate::args::Partition;
use crate::artifacts::owned_file::{Mark, OwnedFile};
use streetflow::client::redact;
use streetflow::{Error, ErrorKind, Query, RecordStream, Result, Sequence, Source, TableSource};

pub(crate) const PLAN_NAME: &str = "plan.json";

/// Version of the format of `plan.json`.
const VERSION: u64 = 1;

/// How the file begins.
const START: &str = "{\n  \"streetflow\":";

/// The largest plan that is read, in bytes.
pub(super) const MAX_PLAN_LEN: u64 = 128 << 20;

/// A crawl that is divided into partitions.
#[derive(Debug, Clone)]
pub(crate) struct CrawlPlanFile {
    pub(crate) query: Query,
    /// Flags of the crawl that are no part of the query, such as the quality and the formats.
    pub(crate) settings: Vec<(String, String)>,
    /// The name of the table of sequences in the directory of the plan.
    pub(crate) table: String,
    pub(crate) rows: u64,
    /// The suggested number of partitions.
    pub(crate) partitions: u32,
    /// Checksum of the table.
    table_hash: String,
    /// Counts of the walk over the tiles: `steps` and `requests` as in a report.
    pub(crate) walk: Value,
}

impl CrawlPlanFile {
    /// A plan for the table `table` in a directory.
    pub(crate) fn new(
        directory: &Path,
        table: &str,
        (rows, partitions): (u64, u32),
        query: &Query,
        settings: Vec<(String, String)>,
        walk: Value,
    ) -> Result<Self> {
        let table_hash = checksum(&directory.join(table))?;
        Ok(Self {
            query: query.clone(),
            settings,
            table: table.to_owned(),
            rows,
            partitions,
            table_hash,
            walk,
        })
    }

    /// A checksum of everything that decides the rows and the files of the partitions.
    pub(crate) fn hash(&self) -> String {
        let content = json!([VERSION, self.query, self.settings, self.rows]).to_string();
        format!("{:08x}{}", crc32fast::hash(content.as_bytes()), self.table_hash)
    }

    /// Whether the table of sequences is in a directory, unchanged.
    pub(super) fn has_table(&self, directory: &Path) -> bool {
        checksum(&directory.join(&self.table)).is_ok_and(|found| found == self.table_hash)
    }

    fn file(directory: &Path) -> OwnedFile {
        OwnedFile::new(directory.join(PLAN_NAME), Mark::Start(START), "write the plan")
    }

    /// Fails if the plan could not be written.
    pub(crate) fn check(directory: &Path) -> Result<()> {
        Self::file(directory).check()
    }

    /// Removes the plan of an earlier run.
    pub(crate) fn remove(directory: &Path) -> Result<()> {
        let file = Self::file(directory);
        file.remove().map_err(|error| file.error(error))
    }

    pub(crate) fn write(&self, directory: &Path) -> Result<()> {
        let ranges = (0..self.partitions).map(|index| {
            let range = Partition { index, count: self.partitions }.rows(self.rows);
            json!([range.start, range.end])
        });
        let settings: Map<_, _> = self.settings.iter().map(|(k, v)| (k.clone(), json!(v))).collect();
        let plan = json!({
            "streetflow": env!("CARGO_PKG_VERSION"),
            "plan": VERSION,
            "hash": self.hash(),
            "query": self.query,
            "settings": settings,
            "sequences": { "table": self.table, "rows": self.rows, "checksum": self.table_hash },
            "partitions": self.partitions,
            "ranges": ranges.collect::<Vec<_>>(),
            "walk": self.walk,
        });
        Self::file(directory).write(redact(&format!("{plan:#}\n")).as_bytes())
    }

    /// Reads the plan of a directory, and checks that it is unchanged.
    pub(crate) fn read(directory: &Path) -> Result<Self> {
        let path = directory.join(PLAN_NAME);
        let invalid = |why: String| {
            Error::new(ErrorKind::Usage, "read the plan")
                .with_subject(path.display().to_string())
                .with_source(why)
                .with_hint("make a plan with `streetflow plan … -o DIR`, and do not change its files")
        };
        let mut text = String::new();
        let read = File::open(&path).and_then(|file| file.take(MAX_PLAN_LEN + 1).read_to_string(&mut text));
        read.map_err(|error| invalid(error.to_string()))?;
        let json: Value = serde_json::from_str(&text).map_err(|error| invalid(error.to_string()))?;
        let text = |pointer: &str| json.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
        let number = |pointer: &str| json.pointer(pointer).and_then(Value::as_u64);
        if number("/plan") != Some(VERSION) {
            return Err(invalid(format!("it is not a plan of version {VERSION}")));
        }
        let missing = || invalid("a key is missing".to_owned());
        let settings = json["settings"].as_object().ok_or_else(missing)?;
        let settings = settings.iter().map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())));
        let plan = Self {
            query: serde_json::from_value(json["query"].clone())
                .map_err(|error| invalid(error.to_string()))?,
            settings: settings.collect::<Option<_>>().ok_or_else(missing)?,
            table: text("/sequences/table").ok_or_else(missing)?,
            rows: number("/sequences/rows").ok_or_else(missing)?,
            partitions: number("/partitions").and_then(|n| u32::try_from(n).ok()).ok_or_else(missing)?,
            table_hash: text("/sequences/checksum").ok_or_else(missing)?,
            walk: json["walk"].clone(),
        };
        if plan.table.contains(['/', '\\', ':', '\0']) || plan.table.starts_with('.') {
            return Err(invalid(format!("`{}` is not the name of a table", plan.table)));
        }
        if text("/hash") != Some(plan.hash()) {
            return Err(invalid("it was changed, or is of another version of streetflow".to_owned()));
        }
        Ok(plan)
    }
}

/// A partition of a plan, ready to run.
#[derive(Debug, Clone)]
pub(crate) struct PlanPart {
    pub(crate) partition: Partition,
    pub(crate) rows: Range<u64>,
    /// The hash of the plan.
    pub(crate) hash: String,
    /// The table of sequences.
    table: PathBuf,
}

impl PlanPart {
    /// Checks the table of sequences, and returns the partition.
    pub(crate) fn new(plan: &CrawlPlanFile, directory: &Path, partition: Partition) -> Result<Self> {
        let table = directory.join(&plan.table);
        if checksum(&table)? != plan.table_hash {
            return Err(Error::new(ErrorKind::Usage, "use the table of the plan")
                .with_subject(table.display().to_string())
                .with_source("it was changed after the plan was made")
                .with_hint("make the plan again with `streetflow plan`"));
        }
        Ok(Self { partition, rows: partition.rows(plan.rows), hash: plan.hash(), table })
    }

    /// The key `plan` of the report.
    pub(crate) fn json(&self) -> Value {
        json!({ "hash": self.hash, "partition": self.partition.to_string(), "rows": [self.rows.start, self.rows.end] })
    }

    /// Opens the rows of the partition.
    pub(crate) async fn open(&self, stop: &CancellationToken) -> Result<RecordStream<Sequence>> {
        let path = self.table.clone();
        let open = move || TableSource::<Sequence>::open(&path);
        let table = open_in_background("open the sequences of the plan", open, stop).await?;
        let before = usize::try_from(self.rows.start).unwrap_or(usize::MAX);
        let count = usize::try_from(self.rows.end - self.rows.start).unwrap_or(usize::MAX);
        Ok(table.only(&["seq_id"]).stream().skip(before).take(count).boxed())
    }
}

/// Parses the report of a partition. `None` if it is of another plan or partition, or of no run.
pub(super) fn parse_part_report(text: &str, hash: &str, partition: Partition) -> Option<Value> {
    let report: Value = serde_json::from_str(text).ok()?;
    let is_same = report["plan"]["hash"] == hash && report["plan"]["partition"] == partition.to_string();
    is_same.then_some(report)
}

/// A checksum of a file, as text.
fn checksum(path: &Path) -> Result<String> {
    let read = || -> io::Result<u32> {
        let (mut file, mut hasher) = (File::open(path)?, crc32fast::Hasher::new());
        let mut buffer = vec![0; 1 << 16];
        loop {
            match file.read(&mut buffer)? {
                0 => return Ok(hasher.finalize()),
                read => hasher.update(&buffer[..read]),
            }
        }
    };
    read().map(|hash| format!("{hash:08x}")).map_err(|error| {
        Error::new(ErrorKind::Usage, "read the table of the plan")
            .with_subject(path.display().to_string())
            .with_source(error)
    })
}
