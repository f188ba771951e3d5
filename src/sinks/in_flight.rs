//! Files that are being made: of records that belong to one file, one makes it.

use std::collections::{HashMap, HashSet, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Files that are being made, and those that were made lately.
///
/// A table may name one image in several rows. The first of them makes the
/// file; the others wait for it and find it there. Where the first one fails,
/// the next one tries, for it may have another URL.
pub(super) struct InFlight<T> {
    under_way: HashMap<PathBuf, VecDeque<T>>,
    waiting: usize,
    /// The files made last: whether a file is there is looked up some time before its record arrives here.
    made: HashSet<Arc<Path>>,
    /// The same in their order.
    made_in_order: VecDeque<Arc<Path>>,
    max_made: usize,
}

/// What to do with a record.
#[derive(Debug, PartialEq)]
pub(super) enum Claim<T> {
    /// It is to make its file.
    Makes(T),
    /// Its file was made meanwhile.
    Made,
    /// Its file is being made; it comes back when that has ended.
    Waits,
}

impl<T> InFlight<T> {
    /// Remembers so many files that were made.
    pub(super) fn new(max_made: usize) -> Self {
        let (made, made_in_order) = (HashSet::new(), VecDeque::new());
        Self { under_way: HashMap::new(), waiting: 0, made, made_in_order, max_made }
    }

    /// Records that wait for others.
    pub(super) fn waiting(&self) -> usize {
        self.waiting
    }

    /// What to do with a record for a file that was not there.
    pub(super) fn claim(&mut self, file: &Path, record: T) -> Claim<T> {
        if let Some(waiting) = self.under_way.get_mut(file) {
            waiting.push_back(record);
            self.waiting += 1;
            return Claim::Waits;
        }
        if self.made.contains(file) {
            return Claim::Made;
        }
        self.under_way.insert(file.to_owned(), VecDeque::new());
        Claim::Makes(record)
    }

    /// The file is there: gives how many records waited for it.
    pub(super) fn made(&mut self, file: &Path) -> usize {
        let waited = self.under_way.remove(file).map_or(0, |waiting| waiting.len());
        self.waiting -= waited;
        if self.made_in_order.len() == self.max_made
            && let Some(oldest) = self.made_in_order.pop_front()
        {
            self.made.remove(&oldest);
        }
        let file: Arc<Path> = file.into();
        if self.made.insert(Arc::clone(&file)) {
            self.made_in_order.push_back(file);
        }
        waited
    }

    /// The record failed to make the file: gives the next one that is to try.
    pub(super) fn failed(&mut self, file: &Path) -> Option<T> {
        let next = self.under_way.get_mut(file)?.pop_front();
        match next {
            Some(_) => self.waiting -= 1,
            None => drop(self.under_way.remove(file)),
        }
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_record_makes_a_file_and_the_others_find_it() {
        let (mut in_flight, [a, b]) = (InFlight::new(1), ["a", "b"].map(Path::new));
        assert_eq!(in_flight.claim(a, 1), Claim::Makes(1));
        assert_eq!([in_flight.claim(a, 2), in_flight.claim(a, 3)], [Claim::Waits, Claim::Waits]);
        assert_eq!((in_flight.claim(b, 4), in_flight.waiting()), (Claim::Makes(4), 2));
        assert_eq!(in_flight.made(a), 2);
        assert_eq!((in_flight.claim(a, 5), in_flight.waiting()), (Claim::Made, 0));
        assert_eq!(in_flight.made(b), 0);
        assert_eq!(in_flight.claim(a, 6), Claim::Makes(6), "too long ago: the disk knows");
    }

    #[test]
    fn where_one_fails_the_next_one_tries() {
        let (mut in_flight, a) = (InFlight::new(8), Path::new("a"));
        assert_eq!(in_flight.claim(a, 1), Claim::Makes(1));
        assert_eq!(in_flight.claim(a, 2), Claim::Waits);
        assert_eq!(in_flight.failed(a), Some(2));
        assert_eq!((in_flight.claim(a, 3), in_flight.waiting()), (Claim::Waits, 1));
        assert_eq!(in_flight.failed(a), Some(3));
        assert_eq!((in_flight.failed(a), in_flight.waiting()), (None, 0));
        assert_eq!(in_flight.claim(a, 4), Claim::Makes(4));
    }
}
