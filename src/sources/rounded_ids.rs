//! Detects image ids that a spreadsheet has rounded. It stores 15 digits of a number and fills up with zeros.
//!
//! Rounded ids belong to other images or to none. A table of them is rejected before its first record is passed on.
//! Some correct ids end in zeros by chance, so a few among many only cause a warning.

use std::time::{Duration, Instant};

use super::id_check::{IMPORT_AS_TEXT, IdCheck};
use super::messages::TableInfo;
use crate::error::Error;
use crate::model::FLOAT_ID;
use crate::record::{Column, Record, Value, is_null_word};

/// Digits of a number that a spreadsheet stores.
const STORED_DIGITS: usize = 15;

/// The records are passed on after this many rows,
const MAX_ROWS: usize = 10_000;

/// or after this many ids with more than 15 digits,
const MAX_LONG_IDS: u64 = 1_000;

/// or after this many such ids if most are not rounded,
const MIN_LONG_IDS: u64 = 100;

/// or if the rows arrive slowly.
const MAX_WAIT: Duration = Duration::from_secs(2);

/// A table is rejected if at least nine in ten of its long ids are rounded,
const REJECTED_TENTHS: u64 = 9;

/// if there are at least two,
const MIN_ROUNDED: u64 = 2;

/// and if they have lost at least this many digits together. By chance, one table in a thousand has that.
const MIN_LOST_DIGITS: usize = 3;

/// Up to this many rounded ids always cause a warning. More do if chance does not explain them.
const MAX_FEW: u64 = 3;

/// Ids named in a message.
const MAX_EXAMPLES: usize = 3;

/// Checks the image ids of a table while its records pass.
pub(super) struct RoundedIds<T: 'static> {
    column: Option<&'static Column<T>>,
    check: IdCheck,
    /// Whether records wait for the decision.
    is_holding: bool,
    since: Instant,
    rows: usize,
    /// The last id with more digits than a spreadsheet stores. Rows of an image follow each other, and count once.
    last: String,
    /// Ids with more digits than a spreadsheet stores.
    long: u64,
    rounded: u64,
    lost_digits: usize,
    /// Expected number of long ids that end in zeros by chance.
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
            last: String::new(),
            long: 0,
            rounded: 0,
            lost_digits: 0,
            expected: 0.0,
            examples: Vec::new(),
            has_warned: false,
        }
    }

    /// Checks the id of a record.
    #[inline]
    pub(super) fn observe(&mut self, record: &T) {
        match self.column.map(|column| (column.get)(record)) {
            Some(Value::Text(id)) => self.observe_id(&id),
            _ => self.rows += 1,
        }
    }

    /// Checks the id of a row; it is empty if the row has none.
    #[inline]
    pub(super) fn observe_id(&mut self, id: &str) {
        self.rows += 1;
        if id.len() > STORED_DIGITS {
            self.observe_long(id);
        }
    }

    /// The name of the column with the ids.
    #[cfg(feature = "arrow")]
    pub(super) fn column(&self) -> Option<&'static str> {
        self.column.map(|column| column.name)
    }

    fn observe_long(&mut self, id: &str) {
        if self.last == id {
            return;
        }
        id.clone_into(&mut self.last);
        self.long += 1;
        let lost = id.len() - STORED_DIGITS;
        self.expected += 0.1_f64.powi(i32::try_from(lost).unwrap_or(i32::MAX));
        if id.as_bytes()[STORED_DIGITS..].iter().all(|digit| *digit == b'0') {
            self.count_rounded(lost, id);
        }
    }

    fn count_rounded(&mut self, lost: usize, id: &str) {
        self.rounded += 1;
        self.lost_digits = self.lost_digits.saturating_add(lost);
        if self.examples.len() < MAX_EXAMPLES {
            self.examples.push(format!("`{id}`"));
        }
    }

    /// Counts a row that failed. An id in exponent form has certainly lost digits.
    pub(super) fn observe_error(&mut self, error: &Error) {
        self.rows += 1;
        let why = error.chain();
        if let Some((_, id)) = why.split_once(", column `img_id`: `")
            && let Some((id, why)) = id.split_once('`')
            && why.ends_with(FLOAT_ID)
            && !is_null_word(id)
        {
            self.long += 1;
            self.count_rounded(MIN_LOST_DIGITS, id);
        }
    }

    /// Whether records must wait.
    pub(super) fn is_holding(&self) -> bool {
        self.is_holding
    }

    /// Decides if enough rows were seen; returns an error to reject the table.
    #[inline]
    pub(super) fn check_ids(&mut self, table: &TableInfo) -> Option<Error> {
        if self.is_holding && !self.has_seen_enough() {
            return None;
        }
        if self.is_holding {
            return self.release(table);
        }
        // Later rows may still show that ids are rounded, after the first records were passed on.
        (self.rounded > 0 && !self.check.keep && self.are_nearly_all_rounded()).then(|| self.rejection(table))
    }

    /// Decides at an error that ends the table. Warnings are not needed then.
    pub(super) fn stop(&mut self, table: &TableInfo) -> Option<Error> {
        self.is_holding = false;
        (self.are_nearly_all_rounded() && !self.check.keep).then(|| self.rejection(table))
    }

    /// Decides at the end of the table.
    pub(super) fn finish(&mut self, table: &TableInfo) -> Option<Error> {
        self.release(table)
    }

    fn release(&mut self, table: &TableInfo) -> Option<Error> {
        let rejected = self.stop(table);
        if rejected.is_none() {
            self.warn(table);
        }
        rejected
    }

    fn has_seen_enough(&self) -> bool {
        let is_whole = self.rounded * 2 <= self.long;
        self.rows >= MAX_ROWS
            || self.long >= MAX_LONG_IDS
            || (self.long >= MIN_LONG_IDS && is_whole)
            || (is_whole && self.since.elapsed() > MAX_WAIT)
    }

    fn are_nearly_all_rounded(&self) -> bool {
        self.rounded >= MIN_ROUNDED
            && self.rounded * 10 >= self.long * REJECTED_TENTHS
            && self.lost_digits >= MIN_LOST_DIGITS
    }

    fn warn(&mut self, table: &TableInfo) {
        let more_than_chance = || {
            f64::from(u32::try_from(self.rounded).unwrap_or(u32::MAX))
                > self.expected + 3.0 * self.expected.sqrt() + 1.0
        };
        let is_notable = self.rounded > 0 && (self.rounded <= MAX_FEW || more_than_chance());
        if self.has_warned || !is_notable {
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

    /// Describes the ids in one sentence.
    fn finding(&self) -> String {
        let more = if self.rounded > self.examples.len() as u64 { ", …" } else { "" };
        let verb = if self.rounded == 1 { "ends" } else { "end" };
        format!(
            "of {} image ids with 16 digits or more, {} {verb} in zeros after the 15th digit or in an exponent ({}{more}), as if a spreadsheet had rounded them",
            self.long,
            self.rounded,
            self.examples.join(", ")
        )
    }

    fn rejection(&self, table: &TableInfo) -> Error {
        let why = format!("{}: they are no longer the ids of these images", self.finding());
        table.error(&why).with_hint(IMPORT_AS_TEXT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Detection;

    /// Whether a table with the ids of these rows is rejected.
    fn is_rejected(ids: &[&str]) -> bool {
        let mut check = RoundedIds::<Detection>::new(IdCheck::default());
        for id in ids {
            check.observe_id(id);
        }
        check.finish(&TableInfo::new("a table", "row")).is_some()
    }

    #[test]
    fn the_rows_of_an_image_count_once() {
        let image = "3921028559267930";
        assert!(!is_rejected(&[image; 5]));
        assert!(!is_rejected(&[image, image, "1006260623478750", "1006260623478750"]));
        assert!(is_rejected(&[image, image, "1006260623478750", "2552820949151870"]));
        assert!(is_rejected(&["39210285592679000", "39210285592679000", "10062606234787500"]));
    }
}
