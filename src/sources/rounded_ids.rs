//! Image ids that a spreadsheet has rounded: it keeps 15 digits of a number and writes zeros for the others.
//!
//! Such ids are those of other images, or of none. A table of them is refused before its first record is passed on;
//! some honest ids end in zeros too, so a few among many are only worth a warning.

use std::time::{Duration, Instant};

use super::id_check::{IMPORT_AS_TEXT, IdCheck};
use super::messages::TableInfo;
use crate::error::Error;
use crate::model::FLOAT_ID;
use crate::record::{Column, Record, Value, is_absent};

/// So many digits of a number a spreadsheet keeps.
const KEPT_DIGITS: usize = 15;

/// The table is passed on once this many of its rows were looked at,
const MAX_ROWS: usize = 10_000;

/// or this many ids that are long enough to be rounded,
const MAX_LONG_IDS: u64 = 1_000;

/// or this many if most of them are whole,
const ENOUGH_LONG_IDS: u64 = 100;

/// or if the rows come so slowly that somebody is waiting for the first ones.
const MAX_WAIT: Duration = Duration::from_secs(2);

/// A table is refused if at least nine in ten of its long ids are rounded,
const REFUSED_TENTHS: u64 = 9;

/// there are at least two of them,
const MIN_ROUNDED: u64 = 2;

/// and they have lost at least so many digits together: by chance, one table in a thousand looks so.
const MIN_LOST_DIGITS: usize = 3;

/// So many rounded ids are always worth a warning; more only where chance does not explain them.
const FEW: u64 = 3;

/// How many ids a message names.
const NAMED: usize = 3;

/// Looks at the image ids of a table as its records pass.
pub(super) struct RoundedIds<T: 'static> {
    column: Option<&'static Column<T>>,
    check: IdCheck,
    /// Whether records wait for a verdict.
    is_holding: bool,
    since: Instant,
    rows: usize,
    /// Ids of more digits than a spreadsheet keeps.
    long: u64,
    rounded: u64,
    lost_digits: usize,
    /// How many of the long ids would be taken for rounded by chance.
    expected: f64,
    examples: Vec<String>,
    has_warned: bool,
}

impl<T: Record> RoundedIds<T> {
    pub(super) fn new(check: IdCheck) -> Self {
        let column = T::COLUMNS.iter().find(|column| column.name == "img_id");
        Self {
            column,
            is_holding: column.is_some() && !check.keep,
            check,
            since: Instant::now(),
            rows: 0,
            long: 0,
            rounded: 0,
            lost_digits: 0,
            expected: 0.0,
            examples: Vec::new(),
            has_warned: false,
        }
    }

    /// Counts a record.
    #[inline]
    pub(super) fn observe(&mut self, record: &T) {
        self.rows += 1;
        let Some(column) = self.column else { return };
        if let Value::Text(id) = (column.get)(record)
            && id.len() > KEPT_DIGITS
        {
            self.observe_long(&id);
        }
    }

    fn observe_long(&mut self, id: &str) {
        self.long += 1;
        let lost = id.len() - KEPT_DIGITS;
        self.expected += 0.1_f64.powi(i32::try_from(lost).unwrap_or(i32::MAX));
        if id.as_bytes()[KEPT_DIGITS..].iter().all(|digit| *digit == b'0') {
            self.count_rounded(lost, id);
        }
    }

    fn count_rounded(&mut self, lost: usize, id: &str) {
        self.rounded += 1;
        self.lost_digits = self.lost_digits.saturating_add(lost);
        if self.examples.len() < NAMED {
            self.examples.push(format!("`{id}`"));
        }
    }

    /// Counts a row that is no record; an id in exponent form has lost its digits for certain.
    pub(super) fn observe_error(&mut self, error: &Error) {
        self.rows += 1;
        let why = error.chain();
        if let Some((_, id)) = why.split_once(", column `img_id`: `")
            && let Some((id, why)) = id.split_once('`')
            && why.ends_with(FLOAT_ID)
            && !is_absent(id)
        {
            self.long += 1;
            self.count_rounded(MIN_LOST_DIGITS, id);
        }
    }

    /// Whether records are to wait.
    pub(super) fn is_holding(&self) -> bool {
        self.is_holding
    }

    /// Judges the table if enough of it was seen; an error refuses it.
    #[inline]
    pub(super) fn judge(&mut self, table: &TableInfo) -> Option<Error> {
        if self.is_holding && !self.has_seen_enough() {
            return None;
        }
        if self.is_holding {
            return self.release(table);
        }
        // What comes later may still turn out to be rounded; by then some of it was passed on.
        (self.rounded > 0 && !self.check.keep && self.are_nearly_all()).then(|| self.refusal(table))
    }

    /// Judges the table where it breaks off with an error, which is enough to say if the table is not refused.
    pub(super) fn break_off(&mut self, table: &TableInfo) -> Option<Error> {
        self.is_holding = false;
        (self.are_nearly_all() && !self.check.keep).then(|| self.refusal(table))
    }

    /// Judges the table at its end.
    pub(super) fn finish(&mut self, table: &TableInfo) -> Option<Error> {
        self.release(table)
    }

    fn release(&mut self, table: &TableInfo) -> Option<Error> {
        let refused = self.break_off(table);
        if refused.is_none() {
            self.warn(table);
        }
        refused
    }

    fn has_seen_enough(&self) -> bool {
        let is_whole = self.rounded * 2 <= self.long;
        self.rows >= MAX_ROWS
            || self.long >= MAX_LONG_IDS
            || (self.long >= ENOUGH_LONG_IDS && is_whole)
            || (is_whole && self.since.elapsed() > MAX_WAIT)
    }

    fn are_nearly_all(&self) -> bool {
        self.rounded >= MIN_ROUNDED
            && self.rounded * 10 >= self.long * REFUSED_TENTHS
            && self.lost_digits >= MIN_LOST_DIGITS
    }

    fn warn(&mut self, table: &TableInfo) {
        let more_than_chance = || {
            f64::from(u32::try_from(self.rounded).unwrap_or(u32::MAX))
                > self.expected + 3.0 * self.expected.sqrt() + 1.0
        };
        let is_worth_it = self.rounded > 0 && (self.rounded <= FEW || more_than_chance());
        if self.has_warned || !is_worth_it {
            return;
        }
        self.has_warned = true;
        if let Some(warn) = &self.check.warn {
            warn(&format!(
                "the table `{}`: {}; check them against the original table",
                table.name,
                self.finding()
            ));
        }
    }

    /// What was found, as a sentence.
    fn finding(&self) -> String {
        let more = if self.rounded > self.examples.len() as u64 { ", …" } else { "" };
        let verb = if self.rounded == 1 { "ends" } else { "end" };
        format!(
            "of {} image ids with 16 digits or more, {} {verb} in zeros after the 15th digit or in an exponent ({}{more}), as ids do that a spreadsheet has rounded",
            self.long,
            self.rounded,
            self.examples.join(", ")
        )
    }

    fn refusal(&self, table: &TableInfo) -> Error {
        let why = format!("{}: they are not the ids of these images any more", self.finding());
        table.error(&why).with_hint(IMPORT_AS_TEXT)
    }
}
