//! The frame of commands that read tables and pictures without a network: a job of one step.

use std::path::PathBuf;

use crate::args::{DetectionArgs, DisplayArgs, NetworkArgs};
use crate::exit_code::Exit;
use crate::job::{Input, Job, JobInput, RunContext};
use crate::terminal::format::path_text;
use streetflow::pictures::{DetectionTable, PictureFolder};
use streetflow::{Error, ErrorKind, Report, Result, Step};

/// Runs a command as a job, with its progress, failure log, report and summary. A signal ends it.
pub(super) async fn run(
    args: &DetectionArgs,
    step: Step,
    display: &DisplayArgs,
    work: impl AsyncFnOnce(&RunContext) -> Result<Report>,
) -> Exit {
    let (network, files) = (NetworkArgs::offline(), args.files());
    let job = Job {
        network: &network,
        files: &files,
        steps: &[step],
        formats: Vec::new(),
        input: JobInput::Table { args: &args.table, previous: &files.names.detections_out_file },
        filters: Vec::new(),
        detections: None,
        clip: false,
        update: false,
        query: None,
        next: None,
    };
    let until_stopped = async |run: &RunContext| {
        tokio::select! {
            ended = work(run) => ended,
            () = run.stop.cancelled() => {
                Err(Error::new(ErrorKind::Interrupted, "finish")
                    .with_source("the run was stopped; files that are complete stay")
                    .with_hint("run the same command again to continue"))
            }
        }
    };
    job.run(display, until_stopped).await
}

/// The table of detections. Standard input is refused, because the table is read twice.
pub(super) fn table(args: &DetectionArgs) -> Result<DetectionTable> {
    match Input::find(&args.table, &args.output, &args.names.detections_out_file)? {
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

/// The report of a folder with pictures.
pub(super) fn written(folder: PathBuf, pictures: u64, bytes: u64) -> Report {
    let mut report = Report::default();
    report.records = pictures;
    report.written.records = pictures;
    report.written.bytes = bytes;
    report.written.paths = vec![folder];
    report
}

/// Warns if no image of the table has a picture: one of both may be that of another crawl.
pub(super) fn warn_without_pictures(run: &RunContext, args: &DetectionArgs, pictures: u64, missing: u64) {
    if pictures == 0 && missing > 0 {
        run.monitor.printer.warn(&format!(
            "no image of the table has a picture in {}; `--pictures` names another directory",
            path_text(&args.pictures())
        ));
    }
}

/// The report of drawing.
pub(super) fn drawn(
    run: &RunContext,
    args: &DetectionArgs,
    drawing: &streetflow::overlay::Report,
    folder: PathBuf,
) -> Report {
    warn_without_pictures(run, args, drawing.pictures, drawing.without_picture);
    let mut report = written(folder, drawing.written, drawing.bytes);
    // A run that finds nothing to draw creates no directory.
    report.written.paths.retain(|folder| folder.is_dir());
    report.failed = drawing.failures.count;
    report.written.already_exists = drawing.already_exists;
    report
}
