//! Messages about events of a run, as they happen.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::terminal::format::{human_time, path_text};
use crate::terminal::printer::Printer;
use streetflow::{Error, Event, Observer, Step};

/// A wait of this length looks like a hang, so a message explains it.
const LONG_WAIT: Duration = Duration::from_secs(10);

/// Minimum time between two messages about waits.
const WAIT_MESSAGE_INTERVAL: Duration = Duration::from_mins(1);

/// How many failures of a step are printed one by one; `failures.csv` has all of them.
const MAX_FAILURE_MESSAGES: u64 = 20;

/// Prints events that a person should know.
pub(crate) struct EventPrinter {
    printer: Arc<Printer>,
    verbose: bool,
    /// The path of `failures.csv`.
    failures: PathBuf,
    failed: Vec<(Step, AtomicU64)>,
    split_tiles: AtomicU64,
    exif_incomplete: AtomicU64,
    last_wait_message: Mutex<Option<Instant>>,
}

impl EventPrinter {
    /// `verbose` also prints what is retried and why; `failures` is the path of `failures.csv`.
    pub(crate) fn new(printer: Arc<Printer>, steps: &[Step], failures: &Path, verbose: bool) -> Self {
        Self {
            printer,
            verbose,
            failures: failures.to_owned(),
            failed: steps.iter().map(|&step| (step, AtomicU64::default())).collect(),
            split_tiles: AtomicU64::default(),
            exif_incomplete: AtomicU64::default(),
            last_wait_message: Mutex::default(),
        }
    }

    /// Warns of a long stall.
    pub(crate) fn report_stall(&self, stall: Duration) {
        if stall >= LONG_WAIT && self.may_report_wait() {
            let stall = human_time(stall.as_secs_f64());
            self.printer.warn(&format!(
                "no complete response for {stall}; still waiting, failed requests will be retried"
            ));
        }
    }

    /// Whether the last message about a wait is old enough; one message covers all waits of a minute.
    fn may_report_wait(&self) -> bool {
        let mut last = self.last_wait_message.lock().unwrap_or_else(PoisonError::into_inner);
        let may = last.is_none_or(|last| last.elapsed() >= WAIT_MESSAGE_INTERVAL);
        if may {
            *last = Some(Instant::now());
        }
        may
    }

    /// Whether an item is among the first, or `--verbose` is set.
    fn may_report(&self, counter: &AtomicU64) -> bool {
        counter.fetch_add(1, Ordering::Relaxed) < MAX_FAILURE_MESSAGES || self.verbose
    }

    fn report_failure(&self, step: Step, error: &Error) {
        let failed = self.failed.iter().find(|(known, _)| *known == step);
        let count = failed.map_or(0, |(_, count)| count.fetch_add(1, Ordering::Relaxed) + 1);
        if self.verbose || count <= MAX_FAILURE_MESSAGES {
            self.printer.warn(&error.chain());
        } else if count == MAX_FAILURE_MESSAGES + 1 {
            self.printer.warn(&format!(
                "more failures of `{step}` are only written to {}",
                path_text(&self.failures)
            ));
        }
    }
}

impl Observer for EventPrinter {
    fn on_event(&self, event: &Event<'_>) {
        let printer = &self.printer;
        match event {
            Event::Retry { error, wait, .. } if self.verbose => {
                printer.note(&format!("retrying in {}: {}", human_time(wait.as_secs_f64()), error.chain()));
            }
            Event::Retry { error, wait, .. } if *wait >= LONG_WAIT && self.may_report_wait() => {
                let wait = human_time(wait.as_secs_f64());
                printer.warn(&format!("waiting {wait} before the next retry: {}", error.chain()));
            }
            Event::ApiUsage { class, percent } if self.may_report_wait() => {
                printer.warn(&format!(
                    "{percent:.0} % of Mapillary's rate limit is used: slowing down requests of class {class}"
                ));
            }
            Event::Gone { error, .. } if self.verbose => {
                printer.note(&format!("gone: {}", error.subject().unwrap_or_default()));
            }
            Event::Failed { step, error } => self.report_failure(*step, error),
            Event::TileSplit { error, .. } if self.may_report(&self.split_tiles) => {
                printer.warn(&format!("{}; reading the tiles below it instead", error.chain()));
            }
            Event::ExifIncomplete { error, .. } if self.may_report(&self.exif_incomplete) => {
                printer.warn(&error.chain());
            }
            Event::TileCacheDisabled { error }
            | Event::Warning { error }
            | Event::HostUnreachable { error, .. } => {
                let hint = error.hint().map_or_else(String::new, |hint| format!("; {hint}"));
                printer.warn(&format!("{}{hint}", error.chain()));
            }
            _ => {}
        }
    }
}
