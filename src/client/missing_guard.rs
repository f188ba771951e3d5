//! When the word that images or sequences are gone is believed.
//!
//! "Does not exist" is also what a token hears that may not see them, and an
//! operator once lost 161 of 182 images to that. So where nearly all are said
//! to be gone the run stops, and what was said of them is not kept.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::error::{Error, ErrorKind};

/// So many of the latest answers are looked at: more than the images of one user that went away together.
const LATEST: usize = 2000;

/// Fewer say nothing while the run goes on.
const ENOUGH: usize = 50;

/// At the end of a small run, fewer say something.
const ENOUGH_AT_THE_END: usize = 10;

/// One found among so many is too few.
const TOO_FEW: usize = 20;

/// What the Graph said of the latest things of one kind.
pub(crate) struct Gone {
    /// What they are, in words.
    things: &'static str,
    latest: Mutex<Latest>,
}

#[derive(Default)]
struct Latest {
    /// True for each that was found.
    answers: VecDeque<bool>,
    found: usize,
}

impl Gone {
    pub(crate) fn new(things: &'static str) -> Self {
        Self { things, latest: Mutex::default() }
    }

    /// Takes note of some that were found.
    pub(crate) fn found(&self, count: usize) {
        let mut latest = self.latest();
        (0..count).for_each(|_| latest.note(true));
    }

    /// Takes note of one that is said to be gone; an error where nearly all are.
    pub(crate) fn gone(&self) -> Result<(), Error> {
        self.latest().note(false);
        self.judge(ENOUGH)
    }

    /// At the end of a run: an error where nearly all were said to be gone, and they were more than a handful.
    pub(crate) fn end(&self) -> Result<(), Error> {
        self.judge(ENOUGH_AT_THE_END)
    }

    fn latest(&self) -> MutexGuard<'_, Latest> {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn judge(&self, enough: usize) -> Result<(), Error> {
        let (all, found) = {
            let latest = self.latest();
            (latest.answers.len(), latest.found)
        };
        if all < enough || found * TOO_FEW >= all {
            return Ok(());
        }
        let things = self.things;
        let there = if found == 0 { "not one of them".to_owned() } else { format!("{found} of them") };
        Err(Error::new(ErrorKind::Auth, format!("believe that the {things} are gone"))
            .with_source(format!("of the latest {all} {things}, Mapillary knows {there}"))
            .with_hint(
                "the token may lack the right to see them: try another, or look at one of them in the browser; \
                 if they are gone indeed, say `--trust-gone`",
            ))
    }
}

impl Latest {
    fn note(&mut self, found: bool) {
        self.answers.push_back(found);
        self.found += usize::from(found);
        if self.answers.len() > LATEST
            && let Some(first) = self.answers.pop_front()
        {
            self.found -= usize::from(first);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_away_among_others_is_believed() {
        let gone = Gone::new("images");
        for _ in 0..1000 {
            gone.gone().expect("one in ten");
            gone.found(9);
        }
        (0..1000).for_each(|_| gone.gone().expect("a user who left"));
        gone.end().expect("half of them are there");
    }

    #[test]
    fn when_nearly_all_are_gone_the_run_stops() {
        for (found_before, stops_after) in [(0, 50), (2, 48), (10_000, 1901)] {
            let gone = Gone::new("images");
            gone.found(found_before);
            let (count, error) =
                (1..3000).find_map(|count| Some((count, gone.gone().err()?))).expect("doubt");
            assert_eq!((count, error.kind()), (stops_after, ErrorKind::Auth));
            assert!(error.hint().is_some_and(|advice| advice.contains("--trust-gone")));
        }
    }

    #[test]
    fn a_small_run_is_judged_at_its_end() {
        let gone = Gone::new("images");
        (0..9).for_each(|_| gone.gone().expect("no doubt yet"));
        gone.end().expect("nine may be gone");
        gone.gone().expect("no doubt yet");
        assert!(gone.end().is_err());
        gone.found(1);
        gone.end().expect("one of eleven was found");
    }
}
