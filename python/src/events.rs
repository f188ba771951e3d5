//! Events of a client. Tokio's threads must not call Python, so events wait here for a Python thread.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use pyo3::prelude::*;

use crate::counts::Counts;
use crate::errors::Attempt;
use streetflow::{Class, Error, Event, Observer, Step, Tally};

/// The number of messages that wait. Further ones are counted only.
const MAX_WAITING: usize = 1000;

/// Levels of Python's `logging`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Level {
    Debug = 10,
    Info = 20,
    Warning = 30,
}

#[derive(Default)]
struct Waiting {
    messages: VecDeque<(Level, String)>,
    dropped: u64,
}

/// Counts events and collects messages for the logger `streetflow`.
#[derive(Default)]
pub(crate) struct Events {
    pub(crate) tally: Arc<Tally>,
    tiles_read: AtomicU64,
    tiles_expected: AtomicU64,
    waiting: Mutex<Waiting>,
    /// The counts of downloads that run: pictures are counted by events alone.
    downloads: Mutex<Vec<Weak<Counts>>>,
}

impl Events {
    /// Counts the pictures of a download until it ends. Downloads of one client that run at once count each other's.
    pub(crate) fn listen(&self, counts: &Arc<Counts>) {
        let mut downloads = self.downloads.lock().unwrap_or_else(PoisonError::into_inner);
        downloads.retain(|counts| counts.strong_count() > 0);
        downloads.push(Arc::downgrade(counts));
    }

    fn count_pictures(&self, count: impl Fn(&Counts)) {
        let downloads = self.downloads.lock().unwrap_or_else(PoisonError::into_inner);
        downloads
            .iter()
            .filter_map(Weak::upgrade)
            .filter(|counts| !counts.has_ended())
            .for_each(|counts| count(&counts));
    }

    /// Tiles read, and tiles expected in all.
    pub(crate) fn tiles(&self) -> (u64, u64) {
        (self.tiles_read.load(Ordering::Relaxed), self.tiles_expected.load(Ordering::Relaxed))
    }

    /// Requests sent, of all classes.
    pub(crate) fn requests(&self) -> u64 {
        Class::ALL.into_iter().map(|class| self.tally.requests(class)).sum()
    }

    /// Passes the messages to the logger `streetflow`.
    pub(crate) fn log(&self, py: Python<'_>) -> Attempt<()> {
        let waiting = std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        if waiting.messages.is_empty() {
            return Ok(());
        }
        let messages: Vec<_> =
            waiting.messages.into_iter().map(|(level, text)| (level as u8, text)).collect();
        py.import("streetflow._log")?.getattr("emit")?.call1((messages, waiting.dropped))?;
        Ok(())
    }

    fn add(&self, level: Level, text: String) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.messages.len() < MAX_WAITING {
            waiting.messages.push_back((level, text));
        } else {
            waiting.dropped += 1;
        }
    }
}

/// The error with its hint, in one line.
fn line(error: &Error) -> String {
    let mut text = error.chain();
    if let Some(hint) = error.hint() {
        write!(text, " (hint: {hint})").unwrap_or_default();
    }
    text
}

impl Observer for Events {
    fn on_event(&self, event: &Event<'_>) {
        self.tally.on_event(event);
        match event {
            Event::Record { step: Step::DOWNLOAD } => self.count_pictures(|counts| counts.add_records(1)),
            Event::AlreadyExists { .. } => self.count_pictures(|counts| counts.add_existing(1)),
            Event::Gone { step: Step::DOWNLOAD, error } | Event::Failed { step: Step::DOWNLOAD, error } => {
                self.count_pictures(|counts| counts.add_failure(error));
            }
            _ => {}
        }
        match event {
            Event::TilesPlanned { min, .. } => {
                self.tiles_read.store(0, Ordering::Relaxed);
                self.tiles_expected.store(*min, Ordering::Relaxed);
            }
            Event::TilesExpected { read, expected } => {
                self.tiles_read.store(*read, Ordering::Relaxed);
                self.tiles_expected.store(*expected, Ordering::Relaxed);
            }
            Event::Retry { error, attempt, wait, .. } => self.add(
                Level::Debug,
                format!("attempt {attempt} failed, next in {:.1} s: {}", wait.as_secs_f64(), line(error)),
            ),
            Event::RateLimitWait { class, wait } if wait.as_secs() > 0 => self.add(
                Level::Debug,
                format!("a {class} request waits {:.1} s for the rate limit", wait.as_secs_f64()),
            ),
            Event::ApiUsage { class, percent } => {
                self.add(
                    Level::Info,
                    format!("{percent:.0} % of the {class} quota are used, requests slow down"),
                );
            }
            Event::TileSplit { error, .. } => self.add(Level::Info, line(error)),
            Event::Gone { error, .. } => self.add(Level::Info, line(error)),
            Event::Failed { error, .. }
            | Event::RateLimited { error, .. }
            | Event::HostUnreachable { error, .. }
            | Event::TileCacheDisabled { error }
            | Event::ExifIncomplete { error, .. }
            | Event::Warning { error } => self.add(Level::Warning, line(error)),
            _ => {}
        }
    }
}
