//! The frame of commands that read tables and pictures without a network.

use crate::args::{DetectionArgs, DisplayArgs};
use crate::exit_code::Exit;
use crate::job::{Input, Signals};
use crate::terminal::format::{grouped, plural};
use crate::terminal::printer::Severity;
use serde_json::{Value, json};
use streetflow::file_system::report_unsupported;
use streetflow::pictures::{DetectionTable, Failures, PictureFolder};
use streetflow::{Error, ErrorKind, Event, Result};

/// Maximum number of failures that are printed.
const MAX_PRINTED_FAILURES: usize = 20;

/// What a command did.
pub(super) struct Outcome {
    /// The messages to print.
    pub(super) lines: Vec<(Severity, String)>,
    pub(super) failures: Failures,
    /// The counts, for `--progress json`.
    pub(super) report: Value,
}

/// Runs a command, prints its outcome, and gives the exit code. A signal abandons it.
pub(super) async fn run(display: &DisplayArgs, command: impl Future<Output = Result<Outcome>>) -> Exit {
    let mut signals = Signals::listen();
    let ended = tokio::select! {
        ended = command => ended,
        _ = signals.next() => {
            let stopped = "the run was stopped; files that are complete stay, run the same command again to continue";
            Err(Error::new(ErrorKind::Interrupted, "finish").with_source(stopped))
        }
    };
    let printer = display.printer();
    report_unsupported(&|event: &Event<'_>| {
        if let Event::Warning { error } = event {
            printer.warn(&format!("{}; {}", error.chain(), error.hint().unwrap_or_default()));
        }
    });
    let (exit, report) = match ended {
        Ok(outcome) => {
            for error in outcome.failures.errors.iter().take(MAX_PRINTED_FAILURES) {
                printer.warn(&error.chain());
            }
            let count = outcome.failures.count;
            let shown = outcome.failures.errors.len().min(MAX_PRINTED_FAILURES) as u64;
            if count > shown {
                printer.warn(&format!("{} more failed", grouped(count - shown)));
            }
            for (severity, line) in &outcome.lines {
                printer.say(*severity, line);
            }
            if count > 0 {
                printer.warn(&format!("{} {} failed", grouped(count), plural(count, "item", "items")));
            }
            (if count > 0 { Exit::SomeFailed } else { Exit::Done }, Some(outcome.report))
        }
        Err(error) => {
            printer.error(&error);
            (Exit::from(&error), None)
        }
    };
    printer.end(exit as u8, None, report.as_ref());
    exit
}

/// The table of detections. Standard input is refused, because the table is read twice.
pub(super) fn table(args: &DetectionArgs) -> Result<DetectionTable> {
    match Input::find(&args.table, &args.output, &args.detections_out_file)? {
        Input::File(path, format) => Ok(DetectionTable::with_format(&path, format)),
        Input::Shards(_) => Err(Error::new(ErrorKind::Usage, "read the table of detections")
            .with_source("shards of pictures contain no detections")
            .with_hint("name the table that `streetflow detections` wrote")),
        Input::Stdin(_) => Err(Error::new(ErrorKind::Usage, "read the table of detections")
            .with_subject("-")
            .with_source("it is read twice, which standard input cannot be")
            .with_hint("write it to a file and name that file")),
    }
}

/// The folder of pictures.
pub(super) fn pictures(args: &DetectionArgs) -> Result<PictureFolder> {
    let pictures = PictureFolder::open(&args.pictures(), args.quality)?;
    if pictures.is_empty() {
        let quality = args.quality.map(|quality| format!(" of quality {quality}")).unwrap_or_default();
        return Err(Error::new(ErrorKind::Usage, "read the folder of pictures")
            .with_subject(args.pictures().display().to_string())
            .with_source(format!("it contains no picture{quality} named <img_id>_<quality>.jpg"))
            .with_hint("download them with `streetflow download`, or name their folder with `--pictures`"));
    }
    Ok(pictures)
}

/// A note about a count that is not 0.
pub(super) fn count_line(count: u64, one: &'static str, many: &'static str) -> Option<(Severity, String)> {
    (count > 0).then(|| (Severity::Note, format!("{} {}", grouped(count), plural(count, one, many))))
}

/// The outcome of drawing.
pub(super) fn drawn(
    report: streetflow::overlay::Report,
    what: (&'static str, &'static str),
    folder: &str,
) -> Outcome {
    let written =
        format!("{} {} in {folder}", grouped(report.written), plural(report.written, what.0, what.1));
    let mut lines = vec![(Severity::Note, written)];
    lines.extend(count_line(report.already_exists, "file already existed", "files already existed"));
    lines.extend(count_line(
        report.without_picture,
        "image of the table has no picture there",
        "images of the table have no picture there",
    ));
    lines.extend(count_line(report.without_shape, "detection has no shape", "detections have no shape"));
    let json = json!({
        "pictures": report.pictures,
        "written": report.written,
        "already_exists": report.already_exists,
        "without_picture": report.without_picture,
        "without_shape": report.without_shape,
        "failed": report.failures.count,
    });
    Outcome { lines, failures: report.failures, report: json }
}
