//! The counts of a step: what entered it, and on which way it left.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::job::pipeline;
use crate::terminal::format::grouped;

/// So many of those that are gone are named at the end.
const NAMED_GONE: usize = 3;

/// What is counted of a step while it runs.
pub(crate) struct Step {
    pub(crate) name: &'static str,
    /// Rows of the table it reads, where that is known.
    total: AtomicU64,
    pub(crate) entered: Counter,
    /// Tiles and sequences that gave all their records.
    pub(crate) listed: Counter,
    pub(crate) ruled_out: Counter,
    pub(crate) rows: Counter,
    pub(crate) present: Counter,
    pub(crate) failed: Counter,
    /// Rows that a filter left out, by its name.
    left_out: Mutex<Vec<(&'static str, u64)>>,
    /// It reads the pages of a search, and no tiles.
    reads_pages: AtomicBool,
    /// The limit is met behind this step: what is inside is not wanted any more.
    limit_is_met: AtomicBool,
    gone: Counter,
    /// The first of those that are gone, by name.
    gone_names: Mutex<Vec<String>>,
}

/// A number that many threads count up.
#[derive(Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Counts one more, and gives the number with it.
    pub(crate) fn up(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed) + 1
    }
}

/// How a step's counts stand: all of them in one unit, but for the rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Balance {
    pub(crate) entered: u64,
    /// Left well: tiles read, sequences listed, images with their metadata, pictures downloaded.
    pub(crate) done: u64,
    pub(crate) present: u64,
    pub(crate) ruled_out: u64,
    /// Left out by a filter.
    pub(crate) left_out: u64,
    /// Begun, and not wanted any more when the limit was met.
    pub(crate) beyond_limit: u64,
    pub(crate) gone: u64,
    pub(crate) failed: u64,
    /// Entered, and had not left when the run ended.
    pub(crate) not_reached: u64,
    /// Records that came out; where one thing gives one record, as many as are done.
    pub(crate) rows: u64,
}

impl Step {
    pub(crate) fn new(name: &'static str) -> Self {
        let [entered, listed, ruled_out, rows, present, failed, gone] = Default::default();
        let (total, gone_names, left_out) = (AtomicU64::new(0), Mutex::default(), Mutex::default());
        let [limit_is_met, reads_pages] = Default::default();
        Self {
            name,
            total,
            entered,
            listed,
            ruled_out,
            rows,
            present,
            failed,
            left_out,
            reads_pages,
            limit_is_met,
            gone,
            gone_names,
        }
    }

    pub(crate) fn balance(&self) -> Balance {
        let rows = self.rows.get();
        let (entered, present, ruled_out) = (self.entered.get(), self.present.get(), self.ruled_out.get());
        let (gone, failed) = (self.gone.get(), self.failed.get());
        let done = if pipeline::gives_many(self.name) { self.listed.get() } else { rows };
        // What a tile says of sequences is about rows: the tile itself is done.
        let filtered = |step: &Self| step.left_out().iter().map(|(_, count)| count).sum();
        let left_out: u64 = if pipeline::gives_many(self.name) { 0 } else { filtered(self) };
        let left = done + present + ruled_out + left_out + gone + failed;
        let inside = entered.saturating_sub(left);
        let beyond_limit = if self.limit_is_met.load(Ordering::Relaxed) { inside } else { 0 };
        let not_reached = inside - beyond_limit;
        Balance { entered, done, present, ruled_out, left_out, beyond_limit, gone, failed, not_reached, rows }
    }

    pub(crate) fn gone(&self) -> u64 {
        self.gone.get()
    }

    pub(crate) fn read_pages(&self) {
        self.reads_pages.store(true, Ordering::Relaxed);
    }

    /// What enters it, one and many.
    pub(crate) fn unit(&self) -> (&'static str, &'static str) {
        if self.reads_pages.load(Ordering::Relaxed) { ("page", "pages") } else { pipeline::unit(self.name) }
    }

    pub(crate) fn leave_out(&self, by: &'static str) {
        let mut left_out = self.left_out.lock().unwrap_or_else(PoisonError::into_inner);
        match left_out.iter_mut().find(|(name, _)| *name == by) {
            Some((_, count)) => *count += 1,
            None => left_out.push((by, 1)),
        }
    }

    /// The rows that filters left out, by their names.
    pub(crate) fn left_out(&self) -> Vec<(&'static str, u64)> {
        let mut left_out = self.left_out.lock().unwrap_or_else(PoisonError::into_inner).clone();
        left_out.sort_unstable();
        left_out
    }

    pub(crate) fn meet_limit(&self) {
        self.limit_is_met.store(true, Ordering::Relaxed);
    }

    /// Names of things gone: the first few, and how many there are besides.
    pub(crate) fn gone_names(&self) -> String {
        let names = self.gone_names.lock().unwrap_or_else(PoisonError::into_inner);
        let more = self.gone().saturating_sub(names.len() as u64);
        let listed = names.join(", ");
        if more > 0 { format!("{listed} and {} more", grouped(more)) } else { listed }
    }

    pub(crate) fn note_gone(&self, name: &str) {
        self.gone.up();
        let mut names = self.gone_names.lock().unwrap_or_else(PoisonError::into_inner);
        if names.len() < NAMED_GONE {
            names.push(name.to_owned());
        }
    }

    pub(crate) fn expect(&self, total: u64) {
        self.total.store(total, Ordering::Relaxed);
    }

    pub(crate) fn total(&self) -> u64 {
        self.total.load(Ordering::Relaxed)
    }
}

impl Balance {
    /// Whether everything that entered left on one of the ways out; before the end of a run, something may be inside.
    pub(crate) fn adds_up(&self) -> bool {
        let well = self.done + self.present + self.ruled_out + self.left_out + self.beyond_limit;
        self.entered == well + self.gone + self.failed
    }
}
