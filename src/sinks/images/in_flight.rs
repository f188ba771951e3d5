//! Files in flight: of the records that share a file, one downloads it.

use std::collections::{HashMap, HashSet, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Files that are being downloaded, and those that were downloaded lately.
///
/// A table may name one image in several rows. The first row downloads the file, the others are queued until it
/// exists. If the first row fails, the next one tries, because it may have another URL.
pub(super) struct InFlight<T> {
    /// Queued records by file.
    files: HashMap<PathBuf, VecDeque<T>>,
    queued: usize,
    /// The latest files. A record is looked up some time before it arrives here, so its file may be among these.
    finished: HashSet<Arc<Path>>,
    /// The same files, oldest first.
    finished_in_order: VecDeque<Arc<Path>>,
    max_finished: usize,
}

/// What to do with a record.
#[derive(Debug, PartialEq)]
pub(super) enum Claim<T> {
    /// Download its file.
    Download(T),
    /// Nothing: its file exists by now.
    Exists,
    /// Nothing: its file is in flight, and the record is queued.
    Queued,
}

impl<T> InFlight<T> {
    /// Remembers at most `max_finished` finished files.
    pub(super) fn new(max_finished: usize) -> Self {
        Self {
            files: HashMap::new(),
            queued: 0,
            finished: HashSet::new(),
            finished_in_order: VecDeque::new(),
            max_finished,
        }
    }

    /// Number of queued records.
    pub(super) fn queued(&self) -> usize {
        self.queued
    }

    /// Decides what to do with a record if its file did not exist when it was looked up.
    pub(super) fn claim(&mut self, file: &Path, record: T) -> Claim<T> {
        if let Some(queue) = self.files.get_mut(file) {
            queue.push_back(record);
            self.queued += 1;
            return Claim::Queued;
        }
        if self.finished.contains(file) {
            return Claim::Exists;
        }
        self.files.insert(file.to_owned(), VecDeque::new());
        Claim::Download(record)
    }

    /// Marks a file as finished; returns the number of records that were queued for it.
    pub(super) fn finish(&mut self, file: &Path) -> usize {
        let waited = self.files.remove(file).map_or(0, |queue| queue.len());
        self.queued -= waited;
        if self.finished_in_order.len() == self.max_finished
            && let Some(oldest) = self.finished_in_order.pop_front()
        {
            self.finished.remove(&oldest);
        }
        let file: Arc<Path> = file.into();
        if self.finished.insert(Arc::clone(&file)) {
            self.finished_in_order.push_back(file);
        }
        waited
    }

    /// Returns the next record to try after a record of a file has failed.
    pub(super) fn retry_next(&mut self, file: &Path) -> Option<T> {
        let next = self.files.get_mut(file)?.pop_front();
        match next {
            Some(_) => self.queued -= 1,
            None => drop(self.files.remove(file)),
        }
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_record_downloads_a_file_and_the_others_find_it() {
        let (mut in_flight, [a, b]) = (InFlight::new(1), ["a", "b"].map(Path::new));
        assert_eq!(in_flight.claim(a, 1), Claim::Download(1));
        assert_eq!([in_flight.claim(a, 2), in_flight.claim(a, 3)], [Claim::Queued, Claim::Queued]);
        assert_eq!((in_flight.claim(b, 4), in_flight.queued()), (Claim::Download(4), 2));
        assert_eq!(in_flight.finish(a), 2);
        assert_eq!((in_flight.claim(a, 5), in_flight.queued()), (Claim::Exists, 0));
        assert_eq!(in_flight.finish(b), 0);
        assert_eq!(in_flight.claim(a, 6), Claim::Download(6), "forgotten: the lookup on disk finds it");
    }

    #[test]
    fn if_one_record_fails_the_next_one_retries() {
        let (mut in_flight, a) = (InFlight::new(8), Path::new("a"));
        assert_eq!(in_flight.claim(a, 1), Claim::Download(1));
        assert_eq!(in_flight.claim(a, 2), Claim::Queued);
        assert_eq!(in_flight.retry_next(a), Some(2));
        assert_eq!((in_flight.claim(a, 3), in_flight.queued()), (Claim::Queued, 1));
        assert_eq!(in_flight.retry_next(a), Some(3));
        assert_eq!((in_flight.retry_next(a), in_flight.queued()), (None, 0));
        assert_eq!(in_flight.claim(a, 4), Claim::Download(4));
    }
}
