//! Detects runs in which nearly everything is reported missing.
//!
//! A token without permission gets the same response as a deleted image: it does not exist. An operator lost 161 of 182
//! images in this way. So if nearly all images or sequences are reported missing, the run ends with an error, and these
//! reports are not stored.

use std::collections::VecDeque;
use std::sync::Mutex;

use crate::error::{Error, ErrorKind};
use crate::sync::lock;

/// The number of latest results that are counted. It exceeds the number of images of one user who left.
const MAX_RESULTS: usize = 2000;

/// The lowest number of results for an error during the run.
const MIN_RESULTS: usize = 50;

/// The lowest number of results for an error at the end of a run.
const MIN_RESULTS_AT_END: usize = 10;

/// The error occurs if fewer than one in this many exists.
const MIN_EXISTING_SHARE: usize = 20;

/// Whether nearly all of the images or sequences of a finished run were reported missing, which a token without
/// permission causes. `existing` of `all` exist.
///
/// ```
/// use streetflow::client::nearly_all_missing;
///
/// assert!(nearly_all_missing(21, 182_000) && !nearly_all_missing(100, 182) && !nearly_all_missing(0, 5));
/// ```
pub fn nearly_all_missing(existing: u64, all: u64) -> bool {
    all >= MIN_RESULTS_AT_END as u64 && existing.saturating_mul(MIN_EXISTING_SHARE as u64) < all
}

/// Which reports that items are missing are believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum GoneRule {
    /// All, unless nearly all items are missing.
    #[default]
    UnlessNearlyAll,
    /// All, unless none of the first items, so many, exists.
    UnlessFirst(usize),
    Always,
}

/// Counts how many of the latest images or sequences exist.
pub(crate) struct MissingRateGuard {
    /// `images` or `sequences`.
    items: &'static str,
    rule: GoneRule,
    latest: Mutex<LatestResults>,
}

#[derive(Default)]
struct LatestResults {
    /// Whether each item exists, the oldest first.
    exists: VecDeque<bool>,
    existing: usize,
    /// Whether any item of the run exists.
    has_existing: bool,
}

impl MissingRateGuard {
    pub(crate) fn new(items: &'static str, rule: GoneRule) -> Self {
        Self { items, rule, latest: Mutex::default() }
    }

    /// Counts items that exist.
    pub(crate) fn record_existing(&self, count: usize) {
        let mut latest = lock(&self.latest);
        (0..count).for_each(|_| latest.push(true));
    }

    /// Counts an item that is reported missing. Returns an error if nearly all are.
    pub(crate) fn record_missing(&self) -> Result<(), Error> {
        lock(&self.latest).push(false);
        match self.rule {
            GoneRule::UnlessNearlyAll => self.check(MIN_RESULTS),
            GoneRule::UnlessFirst(count) => self.check_first(count),
            GoneRule::Always => Ok(()),
        }
    }

    /// Returns an error if nearly all items of a run were reported missing, also for a small run.
    pub(crate) fn check_at_end(&self) -> Result<(), Error> {
        match self.rule {
            GoneRule::UnlessNearlyAll => self.check(MIN_RESULTS_AT_END),
            GoneRule::UnlessFirst(_) | GoneRule::Always => Ok(()),
        }
    }

    fn check(&self, min_results: usize) -> Result<(), Error> {
        let (all, existing) = {
            let latest = lock(&self.latest);
            (latest.exists.len(), latest.existing)
        };
        if all < min_results || existing * MIN_EXISTING_SHARE >= all {
            return Ok(());
        }
        let found = if existing == 0 { "none".to_owned() } else { format!("only {existing}") };
        Err(self.error(format!("{found} of the latest {all} {} exist at Mapillary", self.items)))
    }

    fn check_first(&self, count: usize) -> Result<(), Error> {
        let latest = lock(&self.latest);
        if latest.has_existing || latest.exists.len() < count.min(MAX_RESULTS) {
            return Ok(());
        }
        Err(self.error(format!("none of the first {count} {} exist at Mapillary", self.items)))
    }

    fn error(&self, why: String) -> Error {
        Error::new(ErrorKind::Auth, format!("believe that the {} are gone", self.items))
            .with_source(why)
            .with_hint(
                "the token may lack permission to see them: try another token, or open one of them in the browser; \
                 if they are really gone, pass `--trust-gone`",
            )
    }
}

impl LatestResults {
    fn push(&mut self, exists: bool) {
        self.exists.push_back(exists);
        self.existing += usize::from(exists);
        self.has_existing |= exists;
        if self.exists.len() > MAX_RESULTS
            && let Some(first) = self.exists.pop_front()
        {
            self.existing -= usize::from(first);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_items_among_existing_ones_are_accepted() {
        let guard = MissingRateGuard::new("images", GoneRule::default());
        for _ in 0..1000 {
            guard.record_missing().expect("one in ten");
            guard.record_existing(9);
        }
        (0..1000).for_each(|_| guard.record_missing().expect("a user who left"));
        guard.check_at_end().expect("half of them exist");
    }

    #[test]
    fn the_run_stops_if_nearly_all_are_missing() {
        for (existing_before, stops_after) in [(0, 50), (2, 48), (10_000, 1901)] {
            let guard = MissingRateGuard::new("images", GoneRule::default());
            guard.record_existing(existing_before);
            let (count, error) =
                (1..3000).find_map(|count| Some((count, guard.record_missing().err()?))).expect("an error");
            assert_eq!((count, error.kind()), (stops_after, ErrorKind::Auth));
            assert!(error.hint().is_some_and(|hint| hint.contains("--trust-gone")));
        }
    }

    #[test]
    fn a_run_that_trusts_missing_items_stops_if_none_of_the_first_exists() {
        let guard = MissingRateGuard::new("images", GoneRule::UnlessFirst(200));
        (0..199).for_each(|_| guard.record_missing().expect("too few"));
        guard.check_at_end().expect("the caller checks the whole crawl");
        let error = guard.record_missing().expect_err("none of 200");
        assert!(error.kind() == ErrorKind::Auth && error.chain().contains("none of the first 200 images"));
        let guard = MissingRateGuard::new("images", GoneRule::UnlessFirst(200));
        (0..199).for_each(|_| guard.record_missing().expect("too few"));
        guard.record_existing(1);
        (0..3000).for_each(|_| guard.record_missing().expect("one exists"));
    }

    #[test]
    fn a_small_run_is_checked_at_its_end() {
        let guard = MissingRateGuard::new("images", GoneRule::default());
        (0..9).for_each(|_| guard.record_missing().expect("too few"));
        guard.check_at_end().expect("nine may be gone");
        guard.record_missing().expect("too few");
        assert!(guard.check_at_end().is_err());
        guard.record_existing(1);
        guard.check_at_end().expect("one of eleven exists");
    }
}
