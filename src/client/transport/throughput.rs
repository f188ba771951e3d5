//! Whether a body comes fast enough: not by its age, which says nothing of a large picture on a slow line.

use std::time::Duration;

use crate::error::{Error, ErrorKind};

/// Fewer bytes a second than this, and a connection is taken for dead.
const FLOOR: u64 = 1024;

/// How fast a body comes, over windows of the time that its pieces were waited for.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    waited: Duration,
    bytes: u64,
}

impl Progress {
    /// Takes note of a piece and of how long it was waited for; an error if the window that it closes had too few bytes.
    pub(crate) fn note(&mut self, piece: usize, waited: Duration, window: Duration) -> Result<(), Error> {
        self.waited += waited;
        self.bytes += piece as u64;
        if self.waited < window {
            return Ok(());
        }
        let Self { waited, bytes } = std::mem::take(self);
        let rate = u128::from(bytes) * 1000 / waited.as_millis().max(1);
        if rate >= u128::from(FLOOR) {
            return Ok(());
        }
        let why =
            format!("{bytes} bytes in {:.0} s, which is less than 1 KiB a second", waited.as_secs_f64());
        Err(Error::new(ErrorKind::Unavailable, "").with_source(why))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Duration = Duration::from_mins(1);

    /// Pieces of a size, one a second, for so many seconds; when they were too slow.
    fn fails_at(piece: usize, seconds: u64) -> Option<u64> {
        let mut progress = Progress::default();
        (1..=seconds).find(|_| progress.note(piece, Duration::from_secs(1), WINDOW).is_err())
    }

    #[test]
    fn a_steady_body_is_never_too_old_and_a_trickle_ends_with_its_window() {
        assert_eq!(fails_at(1024, 100_000), None);
        assert_eq!(fails_at(1023, 1000), Some(60));
        assert_eq!(fails_at(1, 1000), Some(60));
    }

    #[test]
    fn each_window_counts_for_itself() {
        let mut progress = Progress::default();
        assert!(progress.note(10 << 20, WINDOW, WINDOW).is_ok(), "what came at first does not pay for later");
        assert!(progress.note(100, WINDOW, WINDOW).is_err());
        let mut idle = Progress::default();
        for _ in 0..1000 {
            assert!(idle.note(1, Duration::ZERO, WINDOW).is_ok(), "the reader's own time does not count");
        }
    }
}
