//! The last lines of a run: counts that add up, and what to do next.

use std::path::{Path, PathBuf};

use crate::artifacts::report::{End, Outcome, ReportFile, size};
use crate::job::monitor::Monitor;
use crate::progress::stats::{StepCounts, StepStats};
use crate::step::gives_many;
use crate::terminal::format::{grouped, human_bytes, human_time, path_text, plural};
use crate::terminal::printer::Severity;
use crate::terminal::shell::this_command;
use streetflow::text::shown;
use streetflow::{Class, Format, Report, Step, Written};

/// What became of everything that entered each step.
pub(crate) fn counts(monitor: &Monitor) {
    for step in monitor.stats.steps.iter().filter(|step| step.inputs.get() > 0 || step.rows.get() > 0) {
        monitor.printer.note(&line(step, monitor.stats.tally.bytes(Class::Bytes)));
    }
    let incomplete = monitor.stats.tally.exif_incomplete();
    if incomplete > 0 {
        monitor.printer.note(&format!(
            "{} {} no room in EXIF and XMP for all that is known of them",
            grouped(incomplete),
            plural(incomplete, "picture has", "pictures have")
        ));
    }
    monitor.printer.note(&format!(
        "took {}{}",
        human_time(monitor.stats.started.elapsed().as_secs_f64()),
        traffic(monitor)
    ));
}

/// `, 3,114 requests (2 tried again), 22.4 MB received`.
fn traffic(monitor: &Monitor) -> String {
    let sum = |of: &dyn Fn(Class) -> u64| Class::ALL.into_iter().map(of).sum::<u64>();
    let sent = sum(&|class| monitor.stats.tally.requests(class));
    if sent == 0 {
        return String::new();
    }
    let again = match monitor.stats.tally.retries() {
        0 => String::new(),
        retries => format!(" ({} tried again)", grouped(retries)),
    };
    let bytes = human_bytes(sum(&|class| monitor.stats.tally.bytes(class)));
    format!(", {} {}{again}, {bytes} received", grouped(sent), plural(sent, "request", "requests"))
}

/// `images: 12 sequences: 10 listed, 1 gone, 1 failed; 480 images`.
fn line(step: &StepStats, bytes: u64) -> String {
    let counts = step.counts();
    let (one, many) = step.unit();
    let entered = grouped(counts.inputs);
    let mut line = format!(
        "{}: {entered} {}: {}",
        step.step,
        plural(counts.inputs, one, many),
        done(step, &counts, bytes)
    );
    let mut more = |text: String| line.push_str(&text);
    let by: Vec<_> =
        step.filtered_by().iter().map(|(name, count)| format!("{} by {name}", grouped(*count))).collect();
    let left_out = format!("left out ({})", by.join(", "));
    for (count, what) in [
        (counts.already_exists, "already there"),
        (counts.pruned, "ruled out"),
        (counts.filtered, &*left_out),
        (counts.over_limit, "beyond the limit"),
        (counts.gone, "gone"),
        (counts.failed, "failed"),
        (counts.not_reached, "not reached"),
    ] {
        if count > 0 {
            more(format!(", {} {what}", grouped(count)));
        }
    }
    let found = |one, many| format!("; {} {} found", grouped(counts.rows), plural(counts.rows, one, many));
    match step.step {
        Step::SEQUENCES => more(found("sequence", "sequences")),
        Step::IMAGES => more(found("image", "images")),
        _ => {}
    }
    // Here the filters are about what came out, and not about what entered.
    if gives_many(step.step) && !by.is_empty() {
        more(format!(", others {left_out}"));
    }
    line
}

fn done(step: &StepStats, counts: &StepCounts, bytes: u64) -> String {
    let done = grouped(counts.done);
    match step.step {
        Step::SEQUENCES => format!("{done} read"),
        Step::IMAGES => format!("{done} listed"),
        Step::METADATA => format!("{done} {}", plural(counts.done, "row", "rows")),
        _ => format!("{done} downloaded ({})", human_bytes(bytes)),
    }
}

/// What was written, and where: a line a file.
pub(crate) fn files(monitor: &Monitor, output: &Path, report: &Report) {
    let written = report.taps.iter().chain([&report.written]);
    let mut rows: Vec<_> = written.flat_map(|written| rows_of(written, output)).collect();
    for list in [&monitor.failure_log.failures, &monitor.failure_log.gone] {
        let lines = list.counts().total();
        rows.extend(
            (lines > 0).then(|| row(list.path(), output, count(lines, "row", "rows"), size(list.path()))),
        );
    }
    let report = ReportFile::new(output);
    rows.push(row(report.path(), output, String::new(), size(report.path())));
    let width = |of: fn(&[String; 3]) -> usize| rows.iter().map(of).max().unwrap_or_default();
    let (names, counts) = (width(|row| row[0].chars().count()), width(|row| row[1].chars().count()));
    monitor.printer.note(&format!("written to {}:", path_text(output)));
    for [name, count, size] in &rows {
        monitor.printer.note(&format!("  {name:names$}  {count:>counts$}  {size:>8}"));
    }
}

fn rows_of(written: &Written, output: &Path) -> Vec<[String; 3]> {
    let file = |path: &PathBuf| match written.records {
        // Of a folder, what came into it.
        pictures if path.is_dir() => {
            row(path, output, count(pictures, "new picture", "new pictures"), Some(written.bytes))
        }
        _ if !is_table(path) => row(path, output, String::new(), size(path)),
        records => row(path, output, count(records, "row", "rows"), size(path)),
    };
    written.paths.iter().map(file).collect()
}

fn row(path: &Path, output: &Path, count: String, bytes: Option<u64>) -> [String; 3] {
    let folder = if path.is_dir() { "/" } else { "" };
    let name = shown(path.strip_prefix(output).unwrap_or(path).display().to_string());
    [format!("{name}{folder}"), count, bytes.map(human_bytes).unwrap_or_default()]
}

fn count(number: u64, one: &'static str, many: &'static str) -> String {
    format!("{} {}", grouped(number), plural(number, one, many))
}

fn is_table(path: &Path) -> bool {
    Format::from_path(path).is_ok()
}

/// What to know and to do after it; what to do comes last.
pub(crate) fn afterwords(monitor: &Monitor, end: &End<'_>) {
    if end.outcome.is_complete() {
        findings(monitor);
    }
    gone(monitor);
    failures(monitor);
    // A run that was stopped before anything came has an error that says so.
    if end.outcome == Outcome::Stopped && end.report.is_some() {
        let rest = if end.error.is_none() { "; run the same command again for the rest" } else { "" };
        monitor.printer.note(&format!("stopped early: the files hold what was done so far{rest}"));
    }
    if let Some(hint) = monitor.stats.failure_hint() {
        monitor.printer.hint(hint);
    }
}

/// The command to go on with: the same again where something is left, else the next step.
pub(crate) fn next(end: &End<'_>, then: Option<&str>) -> Option<String> {
    match end.outcome {
        // An error that ended it has a hint, which says what to do.
        _ if end.error.is_some() => None,
        Outcome::Finished if end.report.is_some_and(|report| report.records == 0) => None,
        Outcome::Finished => then.map(str::to_owned),
        Outcome::FinishedWithFailures | Outcome::Stopped | Outcome::Abandoned => Some(this_command()),
        // What broke it off comes first, and its hint says what to do.
        Outcome::Failed => None,
    }
}

fn findings(monitor: &Monitor) {
    let Some(sequences) = monitor.stats.step(Step::SEQUENCES) else {
        if !monitor.stats.has_begun() {
            monitor.printer.note("nothing came in: the table or the list that was read is empty");
        }
        return;
    };
    if sequences.rows.get() == 0 && sequences.filtered_by().is_empty() {
        monitor.printer.note("nothing was found: is the area right (longitude comes first), and what was said of owner and dates?");
    }
    let ruled_out = sequences.pruned.get();
    if ruled_out > 0 {
        let tiles = plural(ruled_out, "tile was", "tiles were");
        monitor.printer.note(&format!(
            "{} {tiles} ruled out, for they show no such sequence; a single image draws no line and can hide there: `--exhaustive` looks into them too",
            grouped(ruled_out)
        ));
    }
}

fn gone(monitor: &Monitor) {
    let mut all = 0;
    for step in monitor.stats.steps.iter().filter(|step| step.gone() > 0) {
        let (one, many) = match step.step {
            Step::IMAGES => ("sequence", "sequences"),
            Step::DOWNLOAD => ("picture", "pictures"),
            _ => ("image", "images"),
        };
        let (count, names) = (step.gone(), step.gone_names());
        let what = plural(count, one, many);
        monitor.printer.note(&format!("gone at Mapillary: {} {what} ({names})", grouped(count)));
        all += count;
    }
    if all > 0 {
        let what = plural(all, "it is", "all are");
        monitor.printer.note(&format!("{what} named in {}", path_text(monitor.failure_log.gone.path())));
    }
}

fn failures(monitor: &Monitor) {
    let list = &monitor.failure_log.failures;
    let (path, earlier) = (path_text(list.path()), list.counts().earlier);
    if monitor.stats.failed() > 0 {
        let failed = grouped(monitor.stats.failed());
        // Whoever asked for errors only wants to know of these.
        let text = format!("failed: {failed}, named in {path}; run the same command again to try them");
        monitor.printer.always(Severity::Note, &text);
    }
    if earlier > 0 {
        let failures = plural(earlier, "failure", "failures");
        monitor.printer.note(&format!(
            "{path} also names {} {failures} of other steps or earlier runs",
            grouped(earlier)
        ));
    }
}

/// Counts that do not add up are a mistake of ours, and not to be hidden.
pub(crate) fn doubts(monitor: &Monitor, outcome: Outcome) {
    for step in &monitor.stats.steps {
        let counts = step.counts();
        if outcome.is_complete() && !counts.adds_up() {
            let why = "do not add up, which is a mistake in streetflow";
            monitor
                .printer
                .always(Severity::Warning, &format!("the counts of `{}` {why}: {counts:?}", step.step));
        }
    }
}
