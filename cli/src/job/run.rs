//! Runs a command from begin to close.

use super::context::RunContext;
use super::monitor::Monitor;
use super::place::find_place;
use super::remote::{RemoteRun, localize};
use super::spec::Job;
use super::supervise::supervise;
use crate::args::{AreaArgs, DisplayArgs, OutputArgs};
use crate::artifacts::report::ReportFile;
use crate::exit_code::Exit;
use streetflow::{Error, Report, Result, Step};

impl Job<'_> {
    /// Runs the flow of a command, from the lock of the output directory to the summary.
    pub(crate) async fn run(
        self,
        display: &DisplayArgs,
        flow: impl AsyncFnOnce(&RunContext) -> Result<Report>,
    ) -> Exit {
        let monitor = Monitor::new(display, self.steps, &self.files.output);
        let begun = match self.begin(&monitor).await {
            Ok(begun) => begun,
            Err(error) => {
                monitor.progress.finish();
                monitor.printer.error(&error);
                monitor.printer.end(Exit::from(&error) as u8, None, None);
                return Exit::from(&error);
            }
        };
        if self.input.area().is_some_and(AreaArgs::is_user_alone) {
            monitor.stats.count_pages();
        }
        let report = ReportFile::new(&self.files.output);
        let removal = begun.remote.as_ref().map(RemoteRun::report_removal);
        // Its images may have detections in the tables of this run.
        let is_stale = self.steps.contains(&Step::DETECTIONS) && begun.run.earlier_detections.is_none();
        let stale = is_stale.then(|| self.empty_images());
        monitor.on_first_input(move || {
            report.remove();
            if let Some(file) = stale {
                file.remove().ok(); // If this fails, writing fails too and reports it.
            }
            if let Some(remove) = removal {
                remove();
            }
        });
        let mut ended = supervise(&begun.run, flow(&begun.run)).await;
        if let (Some(remote), Ok(report)) = (&self.files.remote, &mut ended.result) {
            localize(report, remote, &self.files.output);
        }
        self.close(&monitor, begun, ended).await
    }
}

/// Finds the place of an area, if it names one, and resolves the flags. An error ends the command with the exit code.
pub(crate) async fn resolve_area<T>(
    area: &AreaArgs,
    files: &OutputArgs,
    display: &DisplayArgs,
    resolve: impl FnOnce() -> Result<T>,
) -> std::result::Result<T, Exit> {
    let found = find_place(area, files, &display.printer()).await;
    found.and_then(|()| resolve()).map_err(|error| reject(display, &error))
}

/// Ends a command because of its flags, before anything is read or written.
pub(crate) fn reject(display: &DisplayArgs, error: &Error) -> Exit {
    let printer = display.printer();
    printer.error(error);
    printer.end(Exit::from(error) as u8, None, None);
    Exit::from(error)
}
