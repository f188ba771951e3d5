//! The last lines of a run: the counts of each step, the files, and what to do next.

use std::path::{Path, PathBuf};

use crate::artifacts::report::{End, Outcome, ReportFile, size};
use crate::job::monitor::Monitor;
use crate::progress::forecast::{WalkInfo, WalkMode};
use crate::progress::stats::{RunStats, StepCounts, StepStats};
use crate::step::{gives_many, is_offline};
use crate::terminal::format::{grouped, human_bytes, human_time, path_text, plural};
use crate::terminal::printer::Severity;
use crate::terminal::shell::this_command;
use streetflow::text::shown;
use streetflow::{Class, Format, Report, Step, Written};

/// Prints the counts of each step and of the network.
pub(crate) fn print_counts(monitor: &Monitor) {
    let (printer, stats) = (&monitor.printer, &monitor.stats);
    for step in stats.steps.iter().filter(|step| step.inputs.get() > 0 || step.rows.get() > 0) {
        printer.note(&step_line(step, stats.tally.bytes(Class::Picture)));
    }
    let incomplete = stats.tally.exif_incomplete();
    if incomplete > 0 {
        let pictures = counted(incomplete, "picture", "pictures");
        printer.note(&format!("incomplete metadata in {pictures}: no room in EXIF and XMP"));
    }
    printer.note(&format!("took {}{}", human_time(stats.elapsed().as_secs_f64()), traffic(stats)));
}

/// `, 3,114 requests (2 retries), 22.4 MB received`; empty if no request was sent.
fn traffic(stats: &RunStats) -> String {
    let sum = |count: &dyn Fn(Class) -> u64| Class::ALL.into_iter().map(count).sum::<u64>();
    let sent = sum(&|class| stats.tally.requests(class));
    if sent == 0 {
        return String::new();
    }
    let retries = match stats.tally.retries() {
        0 => String::new(),
        retries => format!(" ({})", counted(retries, "retry", "retries")),
    };
    let bytes = human_bytes(sum(&|class| stats.tally.bytes(class)));
    format!(", {}{retries}, {bytes} received", counted(sent, "request", "requests"))
}

/// `images: 12 sequences: 10 listed, 1 gone, 1 failed; 480 images found`.
fn step_line(step: &StepStats, picture_bytes: u64) -> String {
    let counts = step.counts();
    let (one, many) = step.unit();
    let filters: Vec<_> =
        step.filtered_by().iter().map(|(name, count)| filtered_by(step.step, name, *count)).collect();
    let word = if is_offline(step.step) { "left out" } else { "filtered" };
    let filtered = format!("{word} ({})", filters.join(", "));
    let mut parts = vec![done(step.step, &counts, picture_bytes)];
    for (count, what) in [
        (counts.already_exists, "already exist"),
        (counts.pruned, "pruned"),
        (counts.filtered, &*filtered),
        (counts.over_limit, "over the limit"),
        (counts.gone, "gone"),
        (counts.failed, "failed"),
        (counts.not_reached, "not reached"),
    ] {
        parts.extend((count > 0).then(|| format!("{} {what}", grouped(count))));
    }
    let found = match step.step {
        Step::SEQUENCES => format!("; {} found", counted(counts.rows, "sequence", "sequences")),
        Step::IMAGES => format!("; {} found", counted(counts.rows, "image", "images")),
        Step::DETECTIONS => {
            format!("; {} found{}", counted(counts.rows, "detection", "detections"), findings(step))
        }
        Step::OVERLAY => findings(step),
        Step::CROPS => format!("; {} written{}", counted(counts.rows, "crop", "crops"), findings(step)),
        Step::FEATURES => format!("; {} found", counted(counts.rows, "map feature", "map features")),
        _ => String::new(),
    };
    // Filters of these steps remove records, and not inputs.
    let others = gives_many(step.step) && !filters.is_empty();
    let others = if others { format!(", others {filtered}") } else { String::new() };
    format!("{}: {}: {}{found}{others}", step.step, counted(counts.inputs, one, many), parts.join(", "))
}

/// `3 by dates`, or why a step without requests left images out.
fn filtered_by(step: Step, name: &str, count: u64) -> String {
    let reason = match name {
        "no_picture" => "without a picture",
        "no_annotation" => "without an annotation",
        "none_selected" => "with other classes only",
        _ => return format!("{} by {name}", grouped(count)),
    };
    debug_assert!(is_offline(step), "filters of images have other names");
    format!("{} {reason}", grouped(count))
}

/// What images and detections lack: ` (2 images without any, 1 not processed yet, 1 broken shape)`.
fn findings(step: &StepStats) -> String {
    let findings = step.findings.all();
    let text = |name: &str, one: &'static str, many: &'static str| {
        findings.get(name).map(|count| format!("{} {}", grouped(*count), plural(*count, one, many)))
    };
    let parts = [
        text("known", "image from the earlier run", "images from the earlier run"),
        text("no_detections", "image without any", "images without any"),
        text("not_processed", "image not processed yet", "images not processed yet"),
        text("none_kept", "image with others only", "images with others only"),
        text("no_shape", "detection without a shape", "detections without a shape"),
        text("broken_shape", "broken shape", "broken shapes"),
        text("no_id", "entry without an id left out", "entries without an id left out"),
        text("repeated", "repeated", "repeated"),
        text("already_exists", "already exists", "already exist"),
        text("too_small", "detection too small", "detections too small"),
        text("no_picture", "image without a picture", "images without a picture"),
        text("none_selected", "image with other classes only", "images with other classes only"),
    ];
    let parts: Vec<_> = parts.into_iter().flatten().collect();
    if parts.is_empty() { String::new() } else { format!(" ({})", parts.join(", ")) }
}

fn done(step: Step, counts: &StepCounts, picture_bytes: u64) -> String {
    let done = grouped(counts.done);
    match step {
        Step::SEQUENCES | Step::FEATURES => format!("{done} read"),
        Step::IMAGES => format!("{done} listed"),
        Step::DOWNLOAD => format!("{done} downloaded ({})", human_bytes(picture_bytes)),
        Step::DETECTIONS | Step::CROPS => format!("{done} done"),
        Step::OVERLAY => format!("{done} drawn"),
        Step::DATASET => format!("{done} added"),
        _ => format!("{done} {}", plural(counts.done, "row", "rows")),
    }
}

/// Prints a line for each file that the run wrote.
pub(crate) fn print_files(monitor: &Monitor, output: &Path, report: &Report) {
    let written = report.taps.iter().chain([&report.written]);
    let is_set = monitor.stats.step(Step::DATASET).is_some();
    let mut rows: Vec<_> = written.flat_map(|written| rows_of(written, output, is_set)).collect();
    for log in [&monitor.failure_log.failures, &monitor.failure_log.gone] {
        let lines = log.counts().total();
        if lines > 0 {
            rows.push(row(log.path(), output, counted(lines, "row", "rows"), size(log.path())));
        }
    }
    let report = ReportFile::new(output);
    rows.push(row(report.path(), output, String::new(), size(report.path())));
    let width = |cell: fn(&[String; 3]) -> usize| rows.iter().map(cell).max().unwrap_or_default();
    let (names, counts) = (width(|row| row[0].chars().count()), width(|row| row[1].chars().count()));
    monitor.printer.note(&format!("written to {}:", path_text(output)));
    for [name, count, size] in &rows {
        monitor.printer.note(&format!("  {name:names$}  {count:>counts$}  {size:>8}"));
    }
}

fn rows_of(written: &Written, output: &Path, is_set: bool) -> Vec<[String; 3]> {
    let file = |path: &PathBuf| match written.records {
        // A training set is always new.
        pictures if is_set => row(path, output, counted(pictures, "picture", "pictures"), None),
        // For a directory: what this run added.
        pictures if is_folder(path) => {
            row(path, output, counted(pictures, "new picture", "new pictures"), Some(written.bytes))
        }
        _ if !is_table(path) => row(path, output, String::new(), size(path)),
        // A table in a bucket has no local file.
        records => row(path, output, counted(records, "row", "rows"), size(path).or(Some(written.bytes))),
    };
    written.paths.iter().map(file).collect()
}

fn row(path: &Path, output: &Path, count: String, bytes: Option<u64>) -> [String; 3] {
    let slash = if is_folder(path) { "/" } else { "" };
    let name = shown(path.strip_prefix(output).unwrap_or(path).display().to_string());
    [format!("{name}{slash}"), count, bytes.map(human_bytes).unwrap_or_default()]
}

/// Whether a path is that of the pictures, which may be in a bucket.
fn is_folder(path: &Path) -> bool {
    path.is_dir() || (path.extension().is_none() && !path.exists())
}

fn counted(count: u64, one: &'static str, many: &'static str) -> String {
    format!("{} {}", grouped(count), plural(count, one, many))
}

fn is_table(path: &Path) -> bool {
    Format::from_path(path).is_ok()
}

/// Prints what was not found, what is gone, what failed, and what to do about it.
pub(crate) fn print_notes(monitor: &Monitor, end: &End<'_>) {
    if end.outcome.is_complete() {
        print_findings(monitor);
    }
    print_gone(monitor);
    print_failures(monitor);
    // Without a report, an error says that the run was stopped.
    if end.outcome == Outcome::Stopped && end.report.is_some() {
        let rest = if end.error.is_none() { "; run the same command again for the rest" } else { "" };
        monitor.printer.note(&format!("stopped early: the files contain what was done{rest}"));
    }
    if let Some(hint) = monitor.stats.failure_hint() {
        monitor.printer.hint(hint);
    }
}

/// The command to continue with: the same one if something is left, else the next step, `then`.
pub(crate) fn next_command(end: &End<'_>, then: Option<&str>) -> Option<String> {
    match end.outcome {
        // The hint of the error says what to do.
        _ if end.error.is_some() => None,
        Outcome::Finished if end.report.is_some_and(|report| report.records == 0) => None,
        Outcome::Finished => then.map(str::to_owned),
        Outcome::FinishedWithFailures | Outcome::Stopped | Outcome::Abandoned => Some(this_command()),
        Outcome::Failed => None,
    }
}

fn print_findings(monitor: &Monitor) {
    let printer = &monitor.printer;
    if let Some(features) = monitor.stats.step(Step::FEATURES) {
        if features.rows.get() == 0 && features.filtered_by().is_empty() {
            printer.note("no map features found; check the area (longitude first)");
        }
        return;
    }
    let Some(sequences) = monitor.stats.step(Step::SEQUENCES) else {
        if !monitor.stats.has_begun() {
            printer.note("no input: the table or the list of ids is empty");
        }
        return;
    };
    if sequences.rows.get() == 0 && sequences.filtered_by().is_empty() {
        printer.note("no sequences found; check the area (longitude first), the owner and the dates");
    }
    // A limit ends the walk early, and then nothing is complete.
    if let Some(walk) = monitor.stats.walk()
        && sequences.counts().over_limit == 0
        && let Some(text) = completeness(walk, monitor.stats.failed() > 0)
    {
        printer.note(&text);
    }
}

/// Which sequences are certainly found, and which flags find the others; nothing if all are found.
fn completeness(walk: WalkInfo, has_failures: bool) -> Option<String> {
    if walk.sure_length <= 0.0 {
        return None;
    }
    let metres = walk.sure_length.ceil();
    let but = if has_failures { ", except in what failed" } else { "" };
    let found = format!("all sequences with a line longer than {metres} m in the area were found{but}");
    Some(match walk.mode {
        WalkMode::LinesOnly => format!(
            "lines only: {found}; shorter ones may be missing, and some near the edge may be outside it. Without `--lines-only`, images are checked too"
        ),
        WalkMode::Default => format!(
            "{found}; shorter ones may be missing: `--thorough` finds more of them, `--exhaustive` finds all"
        ),
        WalkMode::Thorough => {
            format!("{found}; shorter ones may be missing: `--exhaustive` finds all")
        }
    })
}

fn print_gone(monitor: &Monitor) {
    let mut all = 0;
    for step in monitor.stats.steps.iter().filter(|step| step.gone() > 0) {
        let (one, many) = match step.step {
            Step::IMAGES => step.unit(),
            Step::DOWNLOAD => ("picture", "pictures"),
            Step::FEATURES | Step::DETAILS => ("map feature", "map features"),
            _ => ("image", "images"),
        };
        let items = counted(step.gone(), one, many);
        monitor.printer.note(&format!("gone at Mapillary: {items} ({})", step.gone_names()));
        all += step.gone();
    }
    if all > 0 {
        let what = plural(all, "it is", "all are");
        monitor.printer.note(&format!("{what} listed in {}", path_text(monitor.failure_log.gone.path())));
    }
}

fn print_failures(monitor: &Monitor) {
    let failures = &monitor.failure_log.failures;
    let (path, earlier) = (path_text(failures.path()), failures.counts().earlier);
    let failed = monitor.stats.failed();
    if failed > 0 {
        // With `--quiet` too: failures are errors.
        let text =
            format!("failed: {}, listed in {path}; run the same command again to retry", grouped(failed));
        monitor.printer.always(Severity::Note, &text);
    }
    if earlier > 0 {
        let failures = counted(earlier, "failure", "failures");
        monitor.printer.note(&format!("{path} also lists {failures} of other steps or earlier runs"));
    }
}

/// Warns if the counts of a complete run do not add up.
pub(crate) fn check_counts(monitor: &Monitor, outcome: Outcome) {
    for step in &monitor.stats.steps {
        let counts = step.counts();
        if outcome.is_complete() && !counts.adds_up() {
            let text =
                format!("the counts of `{}` do not add up, a bug in streetflow: {counts:?}", step.step);
            monitor.printer.always(Severity::Warning, &text);
        }
    }
}
