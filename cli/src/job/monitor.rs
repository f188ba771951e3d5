//! Observes a run: counts it, shows its progress, prints its events, and logs its failures.

use std::io::{self, IsTerminal};
use std::path::Path;
use std::sync::{Arc, Mutex, Once, OnceLock};

use crate::args::{DisplayArgs, ProgressArg};
use crate::artifacts::empty_images::EmptyImageLog;
use crate::artifacts::failure_log::{FailureLog, id_of_gone};
use crate::progress::forecast::planned;
use crate::progress::messages::EventPrinter;
use crate::progress::render::{Display, ProgressRenderer, REDRAW_INTERVAL};
use crate::progress::stats::RunStats;
use crate::sync::lock;
use crate::terminal::printer::Printer;
use streetflow::file_system::report_unsupported;
use streetflow::model::NoDetections;
use streetflow::{Error, Event, ImageId, Observer, Report, Result, Step};

/// The observer of a run.
pub(crate) struct Monitor {
    pub(crate) printer: Arc<Printer>,
    pub(crate) stats: Arc<RunStats>,
    pub(crate) progress: ProgressRenderer,
    pub(crate) failure_log: FailureLog,
    /// Set if the run requests detections.
    pub(super) empty_images: OnceLock<EmptyImageLog>,
    messages: EventPrinter,
    /// Called for the first input of the run.
    on_first_input: Mutex<Option<Box<dyn FnOnce() + Send>>>,
    first_input: Once,
    /// Why the run was ended early: a missing confirmation.
    refusal: Mutex<Option<Error>>,
}

impl Monitor {
    /// `output` is the directory of the failure log.
    pub(crate) fn new(args: &DisplayArgs, steps: &[Step], output: &Path) -> Arc<Self> {
        let printer = Arc::new(args.printer());
        let stats = Arc::new(RunStats::new(steps));
        let failure_log = FailureLog::new(output, steps);
        let failures = failure_log.failures.path();
        Arc::new(Self {
            messages: EventPrinter::new(Arc::clone(&printer), steps, failures, args.verbose),
            progress: ProgressRenderer::new(
                display(args, steps.is_empty()),
                Arc::clone(&stats),
                Arc::clone(&printer),
            ),
            failure_log,
            empty_images: OnceLock::new(),
            stats,
            printer,
            on_first_input: Mutex::default(),
            first_input: Once::new(),
            refusal: Mutex::default(),
        })
    }

    /// Shows progress until the run is over. To be spawned.
    pub(crate) async fn show_progress(self: Arc<Self>) {
        while !self.progress.is_finished() {
            tokio::time::sleep(REDRAW_INTERVAL).await;
            self.progress.redraw();
            self.messages.report_stall(self.stats.stalled_for());
            report_unsupported(&*self);
        }
    }

    /// Calls `call` when the first item enters a step. Before that, the run may still fail with a usage error.
    pub(crate) fn on_first_input(&self, call: impl FnOnce() + Send + 'static) {
        *lock(&self.on_first_input) = Some(Box::new(call));
    }

    /// Stores why the run is ended early.
    pub(crate) fn set_refusal(&self, error: Error) {
        *lock(&self.refusal) = Some(error);
    }

    /// Takes the reason why the run was ended early, if it was.
    pub(crate) fn take_refusal(&self) -> Option<Error> {
        lock(&self.refusal).take()
    }

    fn start(&self, step: Step) {
        if self.stats.step(step).is_some() {
            self.first_input.call_once(|| {
                if let Some(call) = lock(&self.on_first_input).take() {
                    call();
                }
            });
        }
    }

    /// Writes the file of images without detections, which belongs to the tables of the report.
    pub(super) fn finish_empty_images(&self, report: &mut Report) -> Result<()> {
        if let Some(log) = self.empty_images.get() {
            report.taps.extend(log.finish()?);
        }
        Ok(())
    }

    /// Logs an image without detections.
    fn log_empty(&self, event: &Event<'_>) {
        let Some(log) = self.empty_images.get() else { return };
        match event {
            Event::Finding { step: Step::DETECTIONS, name, image: Some(image), .. } => {
                if let Some(why) = NoDetections::ALL.into_iter().find(|why| why.name() == *name) {
                    log.add(image, why);
                }
            }
            Event::Gone { step: Step::DETECTIONS, error } => {
                if let Ok(image) = ImageId::new(&id_of_gone(error)) {
                    log.add(&image, NoDetections::Gone);
                }
            }
            _ => {}
        }
    }

    fn log(&self, step: Step, error: &Error) {
        if let Err(failure) = self.failure_log.add(step, error) {
            self.printer.warn(&failure.chain());
        }
    }
}

impl Observer for Monitor {
    fn on_event(&self, event: &Event<'_>) {
        self.stats.on_event(event);
        match event {
            Event::InputStarted { step } => self.start(*step),
            Event::TilesPlanned { min, max } => {
                self.printer.note(&planned(*min, *max, self.stats.tiles_per_minute()));
            }
            Event::Gone { step, error } | Event::Failed { step, error } => self.log(*step, error),
            _ => {}
        }
        self.log_empty(event);
        self.messages.on_event(event);
    }
}

fn display(args: &DisplayArgs, has_no_steps: bool) -> Display {
    match args.progress {
        _ if args.quiet || has_no_steps => Display::None,
        ProgressArg::None => Display::None,
        ProgressArg::Json => Display::Json,
        ProgressArg::Auto if io::stderr().is_terminal() => Display::Live,
        ProgressArg::Auto | ProgressArg::Plain => Display::Plain,
    }
}
