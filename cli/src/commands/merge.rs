//! `merge`: combines the partitions of a plan into one report, and their tables into one each.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use clap::Args;
use serde_json::{Map, Value, json};

use crate::args::{DisplayArgs, Partition, StorageArgs};
use crate::artifacts::report::{REPORT_NAME, ReportFile, VERSION};
use crate::exit_code::Exit;
use crate::job::{CrawlPlanFile, PlanDirectory, reject, tables_to_join};
use crate::terminal::format::{grouped, iso_time, plural};
use crate::terminal::printer::Printer;
use crate::terminal::shell::{quoted, this_command};
use streetflow::client::nearly_all_missing;
use streetflow::{Error, ErrorKind, Result};

pub(crate) const EXAMPLES: &str = "\
Examples:
  streetflow merge nicosia
  streetflow merge nicosia --join
  streetflow merge s3://streets/nicosia

Exit codes:
  0  all partitions are done
  1  some are missing or unfinished; their commands are printed
  3  all are done, but some records failed";

/// How many commands are listed.
const MAX_LISTED: usize = 20;

#[derive(Debug, Args)]
pub(crate) struct MergeArgs {
    /// Directory of the plan, or a bucket: s3://…
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// Also write each table, with the rows of all partitions in order
    #[arg(long)]
    join: bool,
    /// Accept that nearly all images are gone
    #[arg(long)]
    trust_gone: bool,
    #[command(flatten)]
    storage: StorageArgs,
}

/// The end of a partition.
struct Part {
    partition: Partition,
    /// `None` if it was never run, or killed.
    report: Option<Value>,
}

pub(crate) async fn run(args: &MergeArgs, display: &DisplayArgs) -> Exit {
    match merge(args, &display.printer()).await {
        Ok(exit) => {
            display.printer().end(exit as u8, None, None);
            exit
        }
        Err(error) => reject(display, &error),
    }
}

async fn merge(args: &MergeArgs, printer: &Printer) -> Result<Exit> {
    let files = PlanDirectory::open(&args.directory, &args.storage)?;
    let directory = &files.shown();
    let plan = files.read_plan().await?;
    files.pull(REPORT_NAME).await?;
    let file = ReportFile::new(files.local());
    file.check()?;
    let parts = find_parts(&files, &plan).await?;
    let again: Vec<_> = parts.iter().filter(|part| !part.is_complete()).collect();
    let with_failures: Vec<_> = parts.iter().filter(|part| part.has_failures()).collect();
    if !again.is_empty() {
        list(printer, directory, &again, "are not done; run them again");
        return Err(Error::new(ErrorKind::Unavailable, "merge the partitions")
            .with_subject(directory.display().to_string())
            .with_source(format!("{} of {} are not done", again.len(), parts.len()))
            .with_hint("run the partitions above, and merge again"));
    }
    let reports: Vec<&Value> = parts.iter().filter_map(|part| part.report.as_ref()).collect();
    let mut steps = Value::Object(Map::new());
    for report in reports.iter().copied().chain([&plan.walk]) {
        add(&mut steps, &report["steps"]);
    }
    if !args.trust_gone {
        check_missing(&steps)?;
    }
    let mut report = compose(&plan, &parts, &reports, &steps);
    if args.join {
        let names: Vec<_> = parts.iter().map(|part| part.partition.name()).collect();
        let tables = tables_to_join(&files, &names, &reports, &plan).await?;
        // Names the files before they are written, so that a merge that is killed can be repeated.
        let mut begun = report.clone();
        begun["outcome"] = json!("stopped");
        begun["exit_code"] = json!(Exit::Failed as u8);
        begun["files"] = tables.iter().map(|table| table.json(None)).collect();
        file.write(&begun)?;
        files.push(REPORT_NAME).await?;
        let mut joined = Vec::new();
        for table in &tables {
            table.join(&files, &plan).await?;
            joined.push(table.json(files.size(table.name()).await));
        }
        report["files"] = joined.into();
    }
    file.write(&report)?;
    files.push(REPORT_NAME).await?;
    let rows = report["steps"]["metadata"]["rows"].as_u64().unwrap_or_default();
    let count = parts.len() as u64;
    printer.note(&format!(
        "{} {}, {} {}",
        grouped(count),
        plural(count, "partition", "partitions"),
        grouped(rows),
        plural(rows, "image", "images")
    ));
    if with_failures.is_empty() {
        return Ok(Exit::Done);
    }
    list(
        printer,
        directory,
        &with_failures,
        "are done, but some records failed; run them again to retry these",
    );
    Ok(Exit::SomeFailed)
}

impl Part {
    fn outcome(&self) -> &str {
        self.report.as_ref().and_then(|report| report["outcome"].as_str()).unwrap_or("missing")
    }

    fn is_complete(&self) -> bool {
        ["finished", "finished_with_failures"].contains(&self.outcome())
    }

    fn has_failures(&self) -> bool {
        self.outcome() == "finished_with_failures"
    }
}

/// Finds the partitions. Directories of several numbers of partitions are a usage error.
async fn find_parts(directory: &PlanDirectory, plan: &CrawlPlanFile) -> Result<Vec<Part>> {
    let mut count = None;
    let names = directory.names().await?;
    for found in names.iter().filter_map(|name| Partition::from_directory(name)) {
        if *count.get_or_insert(found.count) != found.count {
            return Err(Error::new(ErrorKind::Usage, "merge the partitions")
                .with_subject(directory.shown().display().to_string())
                .with_source(format!("there are partitions of {} and of {}", found.count, count.unwrap_or(0)))
                .with_hint("remove the directories of one of them"));
        }
    }
    let count = count.unwrap_or(plan.partitions);
    let reports = directory.part_reports(count, &plan.hash()).await?;
    let part = |(index, report)| Part { partition: Partition { index, count }, report };
    Ok((0..count).zip(reports).map(part).collect())
}

fn list(printer: &Printer, directory: &Path, parts: &[&Part], what: &str) {
    let count = parts.len() as u64;
    printer.warn(&format!("{count} {} {what}:", plural(count, "partition", "partitions")));
    for part in parts.iter().take(MAX_LISTED) {
        let directory = quoted(&directory.display().to_string());
        printer.warn(&format!(
            "streetflow crawl --plan {directory} --partition {} ({})",
            part.partition,
            part.outcome()
        ));
    }
    if parts.len() > MAX_LISTED {
        printer.warn(&format!("and {} more", parts.len() - MAX_LISTED));
    }
}

/// Adds the numbers of a JSON value to those of another, at any depth. Texts of the first stay.
fn add(sum: &mut Value, value: &Value) {
    match (sum, value) {
        (Value::Object(sum), Value::Object(values)) => {
            for (name, value) in values {
                add(sum.entry(name.clone()).or_insert(Value::Null), value);
            }
        }
        (sum, Value::Number(number)) => {
            let total = sum.as_u64().unwrap_or(0).saturating_add(number.as_u64().unwrap_or(0));
            *sum = total.into();
        }
        (sum @ Value::Null, other) => match other {
            Value::Object(_) => {
                *sum = Value::Object(Map::new());
                add(sum, other);
            }
            other => *sum = other.clone(),
        },
        _ => {}
    }
}

/// Fails if nearly all sequences or images of the whole crawl are gone.
fn check_missing(steps: &Value) -> Result<()> {
    for (step, items) in [("images", "sequences"), ("metadata", "images")] {
        let count = |name: &str| steps[step][name].as_u64().unwrap_or(0);
        let gone = count("gone");
        let existing = count("inputs").saturating_sub(gone + count("failed") + count("not_reached"));
        if nearly_all_missing(existing, existing + gone) {
            return Err(Error::new(ErrorKind::Auth, format!("believe that the {items} are gone"))
                .with_source(format!("only {existing} of {} {items} exist at Mapillary", existing + gone))
                .with_hint(
                    "the token may lack permission to see them: try another token with `--restart`; \
                     if they are really gone, pass `--trust-gone`",
                ));
        }
    }
    Ok(())
}

fn compose(plan: &CrawlPlanFile, parts: &[Part], reports: &[&Value], steps: &Value) -> Value {
    let sum = |name: &str| {
        let mut sum = Value::Null;
        for report in reports {
            add(&mut sum, &report[name]);
        }
        sum
    };
    let mut requests = sum("requests");
    add(&mut requests, &plan.walk["requests"]);
    let seconds: f64 = reports.iter().chain([&&plan.walk]).filter_map(|r| r["seconds"].as_f64()).sum();
    let has_failures = parts.iter().any(Part::has_failures);
    let (outcome, exit) =
        if has_failures { ("finished_with_failures", Exit::SomeFailed) } else { ("finished", Exit::Done) };
    let ended = reports.iter().filter_map(|report| report["ended"].as_str()).max();
    let states = parts.iter().map(|part| {
        let report = part.report.as_ref();
        json!({
            "partition": part.partition.to_string(),
            "directory": part.partition.name(),
            "outcome": part.outcome(),
            "images": report.map(|report| &report["steps"]["metadata"]["rows"]),
            "failures": report.map(|report| &report["failures"]["this_run"]),
        })
    });
    json!({
        "streetflow": env!("CARGO_PKG_VERSION"),
        "report": VERSION,
        "outcome": outcome,
        "exit_code": exit as u8,
        "error": null,
        "command": this_command(),
        "query": plan.query,
        "plan": { "hash": plan.hash() },
        "hosts": plan.walk["hosts"],
        "started": plan.walk["started"],
        "ended": ended.map_or_else(|| iso_time(SystemTime::now()), str::to_owned),
        "seconds": (seconds * 1000.0).round() / 1000.0,
        "steps": steps,
        "requests": requests,
        "failures": sum("failures"),
        "gone": sum("gone"),
        "files": [],
        "tables": plan.walk["tables"],
        "parts": states.collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_added_at_any_depth_and_texts_stay() {
        let mut sum = Value::Null;
        add(&mut sum, &json!({ "images": { "unit": "sequences", "rows": 3, "filtered_by": {} } }));
        add(
            &mut sum,
            &json!({ "images": { "unit": "sequences", "rows": 4, "filtered_by": { "pano": 2 } }, "x": 1 }),
        );
        let expected =
            json!({ "images": { "unit": "sequences", "rows": 7, "filtered_by": { "pano": 2 } }, "x": 1 });
        assert_eq!(sum, expected);
    }

    #[test]
    fn nearly_nothing_found_over_all_partitions_is_an_error() {
        let steps =
            |inputs: u64, gone: u64| json!({ "metadata": { "inputs": inputs, "gone": gone, "failed": 0 } });
        assert!(check_missing(&steps(1000, 940)).is_ok() && check_missing(&steps(9, 9)).is_ok());
        let error = check_missing(&steps(1000, 990)).expect_err("nearly all");
        assert!(error.kind() == ErrorKind::Auth && error.chain().contains("only 10 of 1000 images"));
    }
}
