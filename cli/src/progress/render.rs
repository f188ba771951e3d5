//! Shows the progress of a run: live lines on a terminal, plain lines, or JSON objects.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::progress::json;
use crate::progress::rates::RateMeter;
use crate::progress::stats::RunStats;
use crate::progress::view::ProgressView;
use crate::terminal::printer::Printer;

/// How often live lines are redrawn.
pub(crate) const REDRAW_INTERVAL: Duration = Duration::from_millis(120);

/// How often plain lines are printed.
const PLAIN_INTERVAL: Duration = Duration::from_secs(30);

/// How often a JSON object is printed.
const JSON_INTERVAL: Duration = Duration::from_secs(1);

/// Width of plain lines.
const PLAIN_WIDTH: usize = 200;

/// Width of a terminal that does not tell its width.
const DEFAULT_WIDTH: u16 = 80;

/// Width of the spinner and the space after it.
const SPINNER_WIDTH: usize = 2;

/// How progress is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Display {
    Live,
    Plain,
    Json,
    None,
}

/// Shows the counts of a run at intervals.
pub(crate) struct ProgressRenderer {
    stats: Arc<RunStats>,
    printer: Arc<Printer>,
    rates: RateMeter,
    output: Output,
    paused: AtomicBool,
    finished: AtomicBool,
    /// When the next plain lines or the next JSON object are due.
    next: Mutex<Instant>,
}

enum Output {
    /// A bar per step, and one for the network.
    Live(MultiProgress, Vec<ProgressBar>),
    Plain,
    Json,
    None,
}

impl ProgressRenderer {
    pub(crate) fn new(display: Display, stats: Arc<RunStats>, printer: Arc<Printer>) -> Self {
        let output = match display {
            Display::Live => live_lines(stats.steps.len() + 1),
            Display::Plain => Output::Plain,
            Display::Json => Output::Json,
            Display::None => Output::None,
        };
        if let Output::Live(lines, _) = &output {
            printer.print_above(Some(lines.clone()));
        }
        let first = if display == Display::Json { JSON_INTERVAL } else { PLAIN_INTERVAL };
        Self {
            rates: RateMeter::new(stats.started),
            output,
            paused: AtomicBool::new(false),
            finished: AtomicBool::new(false),
            next: Mutex::new(stats.started + first),
            stats,
            printer,
        }
    }

    /// Shows the current state, if it is due and not paused.
    pub(crate) fn redraw(&self) {
        if self.paused.load(Ordering::Relaxed) {
            return;
        }
        let view = ProgressView::new(&self.stats, &self.rates);
        match &self.output {
            Output::Live(_, bars) => {
                let (width, steps) = (live_width(), self.stats.steps.len());
                for (index, bar) in bars.iter().enumerate() {
                    let is_step = index < steps;
                    bar.set_message(if is_step {
                        view.step_line(index, width)
                    } else {
                        view.network_line(width)
                    });
                    bar.tick();
                }
            }
            Output::Plain if self.is_due(PLAIN_INTERVAL) => {
                for (index, step) in self.stats.steps.iter().enumerate() {
                    if step.inputs.get() > 0 {
                        self.printer.note(&view.step_line(index, PLAIN_WIDTH));
                    }
                }
                self.printer.note(&view.network_line(PLAIN_WIDTH));
            }
            Output::Json if self.is_due(JSON_INTERVAL) => {
                self.printer.object("progress", json::progress(&view));
            }
            Output::Plain | Output::Json | Output::None => {}
        }
    }

    /// Whether the interval has passed; if so, starts the next one.
    fn is_due(&self, interval: Duration) -> bool {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = *next <= Instant::now();
        if is_due {
            *next = Instant::now() + interval;
        }
        is_due
    }

    /// Hides the live lines, for a question on the terminal.
    pub(crate) fn pause(&self) {
        self.paused.store(true, Ordering::Relaxed);
        if let Output::Live(lines, _) = &self.output {
            self.printer.print_above(None);
            lines.clear().ok();
        }
    }

    /// Shows the live lines again.
    pub(crate) fn resume(&self) {
        self.paused.store(false, Ordering::Relaxed);
        if let Output::Live(lines, _) = &self.output {
            self.printer.print_above(Some(lines.clone()));
            lines.clear().ok();
        }
    }

    /// Removes the live lines for good.
    pub(crate) fn finish(&self) {
        self.finished.store(true, Ordering::Relaxed);
        self.paused.store(true, Ordering::Relaxed);
        self.printer.print_above(None);
        if let Output::Live(lines, bars) = &self.output {
            bars.iter().for_each(ProgressBar::finish_and_clear);
            lines.clear().ok();
        }
    }

    pub(crate) fn is_finished(&self) -> bool {
        self.finished.load(Ordering::Relaxed)
    }
}

fn live_lines(count: usize) -> Output {
    let lines = MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(12));
    let style = ProgressStyle::with_template("{spinner} {wide_msg}")
        .unwrap_or_else(|_| ProgressStyle::default_spinner());
    let bars = (0..count).map(|_| lines.add(ProgressBar::new_spinner().with_style(style.clone()))).collect();
    Output::Live(lines, bars)
}

/// Width of a live line on this terminal.
fn live_width() -> usize {
    let width = terminal_size::terminal_size_of(io::stderr()).map_or(DEFAULT_WIDTH, |(width, _)| width.0);
    usize::from(width).saturating_sub(SPINNER_WIDTH)
}
