//! Detects bodies that arrive too slowly.

use std::time::Duration;

use crate::error::{Error, ErrorKind};

/// The lowest accepted throughput, in bytes per second. Below it a connection counts as dead.
const MIN_THROUGHPUT: u64 = 1024;

/// Measures the throughput of a body over windows of waiting time.
///
/// The age of a body says nothing: a large picture on a slow connection takes long.
#[derive(Debug, Default)]
pub(crate) struct ThroughputCheck {
    waited: Duration,
    bytes: u64,
}

impl ThroughputCheck {
    /// Adds a chunk and the time spent waiting for it. Returns an error if the chunk ends a window that was too slow.
    pub(crate) fn add(&mut self, bytes: usize, waited: Duration, window: Duration) -> Result<(), Error> {
        self.waited += waited;
        self.bytes += bytes as u64;
        if self.waited < window {
            return Ok(());
        }
        let Self { waited, bytes } = std::mem::take(self);
        let throughput = u128::from(bytes) * 1000 / waited.as_millis().max(1);
        if throughput >= u128::from(MIN_THROUGHPUT) {
            return Ok(());
        }
        let why = format!("{bytes} bytes in {:.0} s, less than 1 KiB per second", waited.as_secs_f64());
        Err(Error::new(ErrorKind::Unavailable, "").with_source(why))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Duration = Duration::from_mins(1);

    /// Adds one chunk per second and returns the second in which the body was too slow.
    fn fails_at(chunk: usize, seconds: u64) -> Option<u64> {
        let mut check = ThroughputCheck::default();
        (1..=seconds).find(|_| check.add(chunk, Duration::from_secs(1), WINDOW).is_err())
    }

    #[test]
    fn a_steady_body_never_fails_and_a_slow_one_fails_at_the_end_of_its_window() {
        assert_eq!(fails_at(1024, 100_000), None);
        assert_eq!(fails_at(1023, 1000), Some(60));
        assert_eq!(fails_at(1, 1000), Some(60));
    }

    #[test]
    fn each_window_counts_alone() {
        let mut check = ThroughputCheck::default();
        assert!(check.add(10 << 20, WINDOW, WINDOW).is_ok(), "a fast start");
        assert!(check.add(100, WINDOW, WINDOW).is_err(), "does not make up for a slow window");
        let mut idle = ThroughputCheck::default();
        for _ in 0..1000 {
            assert!(idle.add(1, Duration::ZERO, WINDOW).is_ok(), "the time of the reader does not count");
        }
    }
}
