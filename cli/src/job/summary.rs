//! The last lines of a run: counts that add up, and what to do next.

use std::path::{Path, PathBuf};

use crate::artifacts::report::{End, Outcome, ReportFile, same_again, size};
use crate::job::pipeline;
use crate::progress::counts::{Balance, Step};
use crate::progress::screen::Screen;
use crate::terminal::format::{grouped, human_bytes, human_time, path_text, plural};
use crate::terminal::printer::Tone;
use streetflow::text::shown;
use streetflow::{Class, Format, Report, Written};

/// What became of everything that entered each step.
pub(crate) fn counts(screen: &Screen) {
    for step in screen.steps.iter().filter(|step| step.entered.get() > 0 || step.rows.get() > 0) {
        screen.say(&line(step, screen.tally.bytes(Class::Picture)));
    }
    let incomplete = screen.tally.exif_incomplete();
    if incomplete > 0 {
        screen.say(&format!(
            "{} {} no room in EXIF and XMP for all that is known of them",
            grouped(incomplete),
            plural(incomplete, "picture has", "pictures have")
        ));
    }
    screen.say(&format!("took {}{}", human_time(screen.started.elapsed().as_secs_f64()), traffic(screen)));
}

/// `, 3,114 requests (2 tried again), 22.4 MB received`.
fn traffic(screen: &Screen) -> String {
    let sum = |of: &dyn Fn(Class) -> u64| Class::ALL.into_iter().map(of).sum::<u64>();
    let sent = sum(&|class| screen.tally.requests(class));
    if sent == 0 {
        return String::new();
    }
    let again = match screen.tally.retries() {
        0 => String::new(),
        retries => format!(" ({} tried again)", grouped(retries)),
    };
    let bytes = human_bytes(sum(&|class| screen.tally.bytes(class)));
    format!(", {} {}{again}, {bytes} received", grouped(sent), plural(sent, "request", "requests"))
}

/// `images: 12 sequences: 10 listed, 1 gone, 1 failed; 480 images`.
fn line(step: &Step, bytes: u64) -> String {
    let counts = step.balance();
    let (one, many) = step.unit();
    let entered = grouped(counts.entered);
    let mut line = format!(
        "{}: {entered} {}: {}",
        step.name,
        plural(counts.entered, one, many),
        done(step, &counts, bytes)
    );
    let mut more = |text: String| line.push_str(&text);
    let by: Vec<_> =
        step.left_out().iter().map(|(name, count)| format!("{} by {name}", grouped(*count))).collect();
    let left_out = format!("left out ({})", by.join(", "));
    for (count, what) in [
        (counts.present, "already there"),
        (counts.ruled_out, "ruled out"),
        (counts.left_out, &*left_out),
        (counts.beyond_limit, "beyond the limit"),
        (counts.gone, "gone"),
        (counts.failed, "failed"),
        (counts.not_reached, "not reached"),
    ] {
        if count > 0 {
            more(format!(", {} {what}", grouped(count)));
        }
    }
    let found = |one, many| format!("; {} {} found", grouped(counts.rows), plural(counts.rows, one, many));
    match step.name {
        pipeline::SEQUENCES => more(found("sequence", "sequences")),
        pipeline::IMAGES => more(found("image", "images")),
        _ => {}
    }
    // Here the filters are about what came out, and not about what entered.
    if pipeline::gives_many(step.name) && !by.is_empty() {
        more(format!(", others {left_out}"));
    }
    line
}

fn done(step: &Step, counts: &Balance, bytes: u64) -> String {
    let done = grouped(counts.done);
    match step.name {
        pipeline::SEQUENCES => format!("{done} read"),
        pipeline::IMAGES => format!("{done} listed"),
        pipeline::METADATA => format!("{done} {}", plural(counts.done, "row", "rows")),
        _ => format!("{done} downloaded ({})", human_bytes(bytes)),
    }
}

/// What was written, and where: a line a file.
pub(crate) fn files(screen: &Screen, output: &Path, report: &Report) {
    let written = report.taps.iter().chain([&report.written]);
    let mut rows: Vec<_> = written.flat_map(|written| rows_of(written, output)).collect();
    for list in [&screen.ledger.failures, &screen.ledger.gone] {
        let lines = list.lengths().new + list.lengths().earlier;
        rows.extend(
            (lines > 0).then(|| row(list.path(), output, count(lines, "row", "rows"), size(list.path()))),
        );
    }
    let path = ReportFile::new(output).path();
    rows.push(row(&path, output, String::new(), size(&path)));
    let width = |of: fn(&[String; 3]) -> usize| rows.iter().map(of).max().unwrap_or_default();
    let (names, counts) = (width(|row| row[0].chars().count()), width(|row| row[1].chars().count()));
    screen.say(&format!("written to {}:", path_text(output)));
    for [name, count, size] in &rows {
        screen.say(&format!("  {name:names$}  {count:>counts$}  {size:>8}"));
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
pub(crate) fn afterwords(screen: &Screen, end: &End<'_>) {
    if end.outcome.came_to_its_end() {
        findings(screen);
    }
    gone(screen);
    failures(screen);
    // A run that was stopped before anything came has an error that says so.
    if end.outcome == Outcome::Stopped && end.report.is_some() {
        let rest = if end.error.is_none() { "; run the same command again for the rest" } else { "" };
        screen.say(&format!("stopped early: the files hold what was done so far{rest}"));
    }
    if let Some(hint) = screen.failure_hint() {
        screen.hint(hint);
    }
}

/// The command to go on with: the same again where something is left, else the next step.
pub(crate) fn next(end: &End<'_>, then: Option<&str>) -> Option<String> {
    match end.outcome {
        // An error that ended it has a hint, which says what to do.
        _ if end.error.is_some() => None,
        Outcome::Finished if end.report.is_some_and(|report| report.records == 0) => None,
        Outcome::Finished => then.map(str::to_owned),
        Outcome::FailuresLeft | Outcome::Stopped | Outcome::Abandoned => Some(same_again()),
        // What broke it off comes first, and its hint says what to do.
        Outcome::BrokenOff => None,
    }
}

fn findings(screen: &Screen) {
    let Some(sequences) = screen.step(pipeline::SEQUENCES) else {
        if !screen.has_begun() {
            screen.say("nothing came in: the table or the list that was read is empty");
        }
        return;
    };
    if sequences.rows.get() == 0 && sequences.left_out().is_empty() {
        screen.say("nothing was found: is the area right (longitude comes first), and what was said of owner and dates?");
    }
    let ruled_out = sequences.ruled_out.get();
    if ruled_out > 0 {
        let tiles = plural(ruled_out, "tile was", "tiles were");
        screen.say(&format!(
            "{} {tiles} ruled out, for they show no such sequence; a single image draws no line and can hide there: `--exhaustive` looks into them too",
            grouped(ruled_out)
        ));
    }
}

fn gone(screen: &Screen) {
    let mut all = 0;
    for step in screen.steps.iter().filter(|step| step.gone() > 0) {
        let (one, many) = match step.name {
            pipeline::IMAGES => ("sequence", "sequences"),
            pipeline::DOWNLOAD => ("picture", "pictures"),
            _ => ("image", "images"),
        };
        let (count, names) = (step.gone(), step.gone_names());
        let what = plural(count, one, many);
        screen.say(&format!("gone at Mapillary: {} {what} ({names})", grouped(count)));
        all += count;
    }
    if all > 0 {
        let what = plural(all, "it is", "all are");
        screen.say(&format!("{what} named in {}", path_text(screen.ledger.gone.path())));
    }
}

fn failures(screen: &Screen) {
    let list = &screen.ledger.failures;
    let (path, earlier) = (path_text(list.path()), list.lengths().earlier);
    if screen.failed() > 0 {
        let failed = grouped(screen.failed());
        // Whoever asked for errors only wants to know of these.
        let text = format!("failed: {failed}, named in {path}; run the same command again to try them");
        screen.insist(Tone::Note, &text);
    }
    if earlier > 0 {
        let failures = plural(earlier, "failure", "failures");
        screen.say(&format!(
            "{path} also names {} {failures} of other steps or earlier runs",
            grouped(earlier)
        ));
    }
}

/// Counts that do not add up are a mistake of ours, and not to be hidden.
pub(crate) fn doubts(screen: &Screen, outcome: Outcome) {
    for step in &screen.steps {
        let counts = step.balance();
        if outcome.came_to_its_end() && !counts.adds_up() {
            let why = "do not add up, which is a mistake in streetflow";
            screen.insist(Tone::Warning, &format!("the counts of `{}` {why}: {counts:?}", step.name));
        }
    }
}
