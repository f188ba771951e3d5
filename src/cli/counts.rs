//! The counts of a step: what entered it, and on which way it left.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use super::steps;
use super::words::grouped;

/// So many of those that are gone are named at the end.
const NAMED_GONE: usize = 3;

/// What is counted of a step while it runs.
pub(super) struct Step {
    pub(super) name: &'static str,
    /// Rows of the table it reads, where that is known.
    total: AtomicU64,
    pub(super) entered: Counter,
    /// Tiles and sequences that gave all their records.
    pub(super) listed: Counter,
    pub(super) ruled_out: Counter,
    pub(super) rows: Counter,
    pub(super) present: Counter,
    pub(super) failed: Counter,
    gone: Counter,
    /// The first of those that are gone, by name.
    gone_names: Mutex<Vec<String>>,
}

/// A number that many threads count up.
#[derive(Default)]
pub(super) struct Counter(AtomicU64);

impl Counter {
    pub(super) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Counts one more, and gives the number with it.
    pub(super) fn up(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed) + 1
    }
}

/// How a step's counts stand: all of them in one unit, but for the rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Balance {
    pub(super) entered: u64,
    /// Left well: tiles read, sequences listed, images with their metadata, pictures downloaded.
    pub(super) done: u64,
    pub(super) present: u64,
    pub(super) ruled_out: u64,
    pub(super) gone: u64,
    pub(super) failed: u64,
    /// Entered, and had not left when the run ended.
    pub(super) not_reached: u64,
    /// Records that came out; where one thing gives one record, as many as are done.
    pub(super) rows: u64,
}

impl Step {
    pub(super) fn new(name: &'static str) -> Self {
        let [entered, listed, ruled_out, rows, present, failed, gone] = Default::default();
        let (total, gone_names) = (AtomicU64::new(0), Mutex::default());
        Self { name, total, entered, listed, ruled_out, rows, present, failed, gone, gone_names }
    }

    pub(super) fn balance(&self) -> Balance {
        let rows = self.rows.get();
        let (entered, present, ruled_out) = (self.entered.get(), self.present.get(), self.ruled_out.get());
        let (gone, failed) = (self.gone.get(), self.failed.get());
        let done = if steps::gives_many(self.name) { self.listed.get() } else { rows };
        let left = done + present + ruled_out + gone + failed;
        let not_reached = entered.saturating_sub(left);
        Balance { entered, done, present, ruled_out, gone, failed, not_reached, rows }
    }

    pub(super) fn gone(&self) -> u64 {
        self.gone.get()
    }

    /// Names of things gone: the first few, and how many there are besides.
    pub(super) fn gone_names(&self) -> String {
        let names = self.gone_names.lock().unwrap_or_else(PoisonError::into_inner);
        let more = self.gone().saturating_sub(names.len() as u64);
        let listed = names.join(", ");
        if more > 0 { format!("{listed} and {} more", grouped(more)) } else { listed }
    }

    pub(super) fn note_gone(&self, name: &str) {
        self.gone.up();
        let mut names = self.gone_names.lock().unwrap_or_else(PoisonError::into_inner);
        if names.len() < NAMED_GONE {
            names.push(name.to_owned());
        }
    }

    pub(super) fn expect(&self, total: u64) {
        self.total.store(total, Ordering::Relaxed);
    }

    pub(super) fn total(&self) -> u64 {
        self.total.load(Ordering::Relaxed)
    }
}

impl Balance {
    /// Whether everything that entered left on one of the ways out; before the end of a run, something may be inside.
    pub(super) fn adds_up(&self) -> bool {
        self.entered == self.done + self.present + self.ruled_out + self.gone + self.failed
    }
}
