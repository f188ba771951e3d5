//! `plan`: finds the sequences of a crawl, and divides them into partitions.

use clap::parser::ValueSource;
use clap::{ArgMatches, Args, Command, value_parser};
use serde_json::{Value, json};

use super::crawl::CrawlArgs;
use crate::args::{DisplayArgs, MAX_PARTITIONS, QUERY_FLAGS};
use crate::artifacts::report::ReportFile;
use crate::config::{setting_names, value};
use crate::exit_code::Exit;
use crate::job::{
    self, CrawlPlanFile, Job, JobInput, PLAN_NAME, PlanDirectory, RunContext, SequenceSource, TableOutputs,
    table_path,
};
use crate::terminal::format::{grouped, plural};
use crate::terminal::shell::quoted;
use streetflow::{Error, ErrorKind, Fields, Query, Report, Result, Step};

pub(crate) const EXAMPLES: &str = "\
Examples:
  streetflow plan --place 'Nicosia, Cyprus' --quality 1024 -o nicosia
  streetflow crawl --plan nicosia --partition 0/8
  streetflow merge nicosia --join
  streetflow plan --place 'Nicosia, Cyprus' -o s3://streets/nicosia";

/// Images of a suggested partition: ten to twenty minutes with pictures.
const IMAGES_PER_PARTITION: u64 = 50_000;

/// Settings that belong to a machine or a run, and not to the plan.
const MACHINE_SETTINGS: [&str; 17] = [
    "output",
    "state_dir",
    "storage_option",
    "concurrency",
    "tile_rate",
    "tile_cache_age",
    "rate_share",
    "attempts",
    "trust_gone",
    "allow_host",
    "token_file",
    "graph_url",
    "tiles_url",
    "quiet",
    "verbose",
    "progress",
    "color",
];

#[derive(Debug, Args)]
pub(crate) struct PlanArgs {
    #[command(flatten)]
    pub(crate) crawl: CrawlArgs,
    /// Number of partitions to suggest [default: one per 50,000 images]
    ///
    /// `crawl --partition I/N` accepts any N.
    #[arg(long, value_name = "N", help_heading = "Files", value_parser = value_parser!(u32).range(1..=i64::from(MAX_PARTITIONS)))]
    partitions: Option<u32>,
    /// The flags that are no part of the query, by name.
    #[arg(skip)]
    pub(crate) settings: Vec<(String, String)>,
}

/// The flags of a plan that its partitions take over: those that decide tables and pictures.
pub(crate) fn settings(matches: &ArgMatches, command: &Command) -> Vec<(String, String)> {
    let Some((_, given)) = matches.subcommand() else { return Vec::new() };
    let is_of_plan =
        |name: &String| !MACHINE_SETTINGS.contains(&name.as_str()) && !QUERY_FLAGS.contains(&name.as_str());
    // Other commands have settings too, which this one has no flags for.
    let is_given = |name: &String| {
        given.ids().any(|id| id == name) && given.value_source(name) == Some(ValueSource::CommandLine)
    };
    let names = setting_names(command).into_iter().filter(is_of_plan).filter(is_given);
    names.filter_map(|name| Some((name.clone(), value(given, &name)?))).collect()
}

pub(crate) async fn run(args: &mut PlanArgs, display: &DisplayArgs) -> Exit {
    if let Err(error) = args.crawl.load_query().and_then(|()| check(&args.crawl)) {
        return job::reject(display, &error);
    }
    let crawl = &args.crawl;
    let directory = match open(crawl).await {
        Ok(directory) => directory,
        Err(error) => return job::reject(display, &error),
    };
    let resolved = job::resolve_area(&crawl.area, &crawl.files, display, || resolve(crawl)).await;
    let (source, outputs, query) = match resolved {
        Ok(resolved) => resolved,
        Err(exit) => return exit,
    };
    let job = Job {
        network: &crawl.network,
        files: &crawl.files,
        steps: &[Step::SEQUENCES],
        formats: crawl.tables.formats(),
        input: JobInput::Area(&crawl.area),
        query: Some(&query),
        filters: Vec::new(),
        detections: None,
        clip: false,
        update: false,
        next: None,
    };
    let mut images = 0;
    let exit = job
        .run(display, async |run| flow(run, crawl, &directory, (&source, &outputs), &mut images).await)
        .await;
    if exit == Exit::SomeFailed {
        let error = Error::new(ErrorKind::Unavailable, "write the plan")
            .with_source("some tiles failed, so sequences may be missing")
            .with_hint("run the same command again: it requests only what failed");
        display.printer().error(&error);
    }
    if exit != Exit::Done {
        return exit;
    }
    match write(args, &directory, &query, images).await {
        Ok(plan) => {
            let directory = quoted(&directory.shown().display().to_string());
            display.printer().note(&format!(
                "{} {} in plan.json; next: streetflow crawl --plan {directory} --partition I/{}, with I from 0 to {}",
                grouped(plan.rows),
                plural(plan.rows, "sequence", "sequences"),
                plan.partitions,
                plan.partitions - 1,
            ));
            Exit::Done
        }
        Err(error) => job::reject(display, &error),
    }
}

/// Opens the directory of the plan, and checks that the plan can be written there.
async fn open(crawl: &CrawlArgs) -> Result<PlanDirectory> {
    let directory = PlanDirectory::of_output(&crawl.files)?;
    directory.pull(PLAN_NAME).await?;
    CrawlPlanFile::check(directory.local())?;
    Ok(directory)
}

/// Rejects flags that do not apply to a plan.
fn check(crawl: &CrawlArgs) -> Result<()> {
    let reject = |flag: &'static str, why: &'static str| {
        Err(Error::new(ErrorKind::Usage, "use the flag").with_subject(flag).with_source(why))
    };
    if crawl.filters.limit.is_some() {
        return reject("--limit", "a plan has no limit: its partitions do not know each other's images");
    }
    if let Some(flag) = crawl.flag_that_excludes_a_plan() {
        return reject(flag, "a plan finds the sequences of an area or a user");
    }
    Ok(())
}

fn resolve(crawl: &CrawlArgs) -> Result<(SequenceSource, TableOutputs<'_>, Query)> {
    let source = SequenceSource::resolve(&crawl.area, Some(&crawl.filters), &crawl.network)?;
    let mut query = source.query().clone();
    crawl.fill_query(&mut query)?;
    let text = job::query_text("plan", &crawl.network, Some(&crawl.area), Some(&crawl.filters), None);
    // The geometry applies to the tables of the partitions.
    let outputs = TableOutputs::new(&crawl.files, &crawl.tables, None)?.query(&text);
    Ok((source, outputs, query))
}

async fn flow(
    run: &RunContext,
    crawl: &CrawlArgs,
    directory: &PlanDirectory,
    (source, outputs): (&SequenceSource, &TableOutputs<'_>),
    images: &mut u64,
) -> Result<Report> {
    directory.remove_plan().await?;
    let flow = source.open(run).await?.observe(Step::SEQUENCES, run.observer());
    let (flow, sink) = outputs.end(flow, &crawl.files.names.seq_out_file, &Fields::default());
    let report = job::finish(run, flow, sink).await?;
    *images = run.monitor.stats.tally.tile_images();
    Ok(report)
}

/// Writes `plan.json`, which makes the plan visible. It is the last file.
async fn write(
    args: &PlanArgs,
    directory: &PlanDirectory,
    query: &Query,
    images: u64,
) -> Result<CrawlPlanFile> {
    let (files, crawl) = (&args.crawl.files, &args.crawl);
    let report = std::fs::read_to_string(ReportFile::new(&files.output).path())?;
    let report: Value = serde_json::from_str(&report)
        .map_err(|error| Error::new(ErrorKind::Io, "read the report").with_source(error))?;
    let rows = report["steps"]["sequences"]["rows"].as_u64().unwrap_or_default();
    let partitions = args.partitions.unwrap_or_else(|| {
        let parts = images.div_ceil(IMAGES_PER_PARTITION).min(rows).clamp(1, u64::from(MAX_PARTITIONS));
        u32::try_from(parts).unwrap_or(1)
    });
    let walk = json!({
        "steps": report["steps"],
        "requests": report["requests"],
        "started": report["started"],
        "seconds": report["seconds"],
        "hosts": report["hosts"],
        "tables": report["tables"],
    });
    let format = crawl.tables.formats().into_iter().next().unwrap_or(streetflow::Format::Csv);
    let path = table_path(&files.output, &files.names.seq_out_file, format);
    let table = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    directory.pull(table).await?;
    let (local, settings) = (directory.local(), args.settings.clone());
    let plan = CrawlPlanFile::new(local, table, (rows, partitions), query, settings, walk)?;
    plan.write(local)?;
    directory.push(PLAN_NAME).await?;
    Ok(plan)
}
