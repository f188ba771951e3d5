//! The walk over tiles: what it finds, how far it is, and the time left.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::terminal::format::{grouped, human_time, rounded};
use streetflow::Event;

/// Width of a progress bar in characters.
const BAR_WIDTH: usize = 10;

/// What the walk over tiles finds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WalkInfo {
    /// Lines of this length in metres are surely found; 0 if all sequences are.
    pub(crate) sure_length: f64,
    pub(crate) mode: WalkMode,
}

/// How tiles are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WalkMode {
    /// The lines of level 10, then tiles of level 14 near them.
    Default,
    /// The lines of level 10 alone.
    LinesOnly,
    /// All levels, one by one.
    Thorough,
}

/// The tiles that a walk has read and is expected to read.
#[derive(Default)]
pub(crate) struct TileForecast {
    read: AtomicU64,
    expected: AtomicU64,
    /// The largest share so far, as the bits of an `f64`: progress never moves backwards.
    share: AtomicU64,
}

impl TileForecast {
    pub(crate) fn observe(&self, event: &Event<'_>) {
        let Event::TilesExpected { read, expected } = event else { return };
        self.read.store(*read, Ordering::Relaxed);
        self.expected.store(*expected, Ordering::Relaxed);
        #[expect(clippy::cast_precision_loss, reason = "for display")]
        let share = *read as f64 / (*expected).max(1) as f64;
        // Shares are positive, and the bits of positive numbers are in their order.
        self.share.fetch_max(share.to_bits(), Ordering::Relaxed);
    }

    /// Tiles read so far.
    pub(crate) fn read(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }

    /// Tiles read so far and those expected to follow; `None` before anything is known.
    pub(crate) fn expected(&self) -> Option<u64> {
        Some(self.expected.load(Ordering::Relaxed)).filter(|expected| *expected > 0)
    }

    /// The share of the walk that is done, 0 to 1; `None` before anything is known.
    pub(crate) fn share(&self) -> Option<f64> {
        self.expected().map(|_| f64::from_bits(self.share.load(Ordering::Relaxed)).min(1.0))
    }

    /// Tiles that are expected to follow.
    pub(crate) fn left(&self) -> Option<u64> {
        self.expected().map(|expected| expected.saturating_sub(self.read()))
    }
}

/// `about 37 to 5,437 tiles, 1 min to 2 h 16 min at 40 per minute`.
#[expect(clippy::cast_precision_loss, reason = "for display")]
pub(crate) fn planned(min: u64, max: u64, tiles_per_minute: Option<f64>) -> String {
    let range = |of: &dyn Fn(u64) -> String| {
        if min == max { of(min) } else { format!("{} to {}", of(min), of(max)) }
    };
    let tiles = range(&grouped);
    match tiles_per_minute {
        Some(limit) => {
            let time = range(&|tiles| human_time(60.0 * tiles as f64 / limit));
            format!("about {tiles} tiles, {time} at {} per minute", rounded(limit))
        }
        None => format!("about {tiles} tiles"),
    }
}

/// A bar for a share: `[####------]  42 %`.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a share is 0 to 1"
)]
pub(crate) fn bar(share: f64) -> String {
    let full = ((share * BAR_WIDTH as f64) as usize).min(BAR_WIDTH);
    format!("[{}{}] {:>3.0} %", "#".repeat(full), "-".repeat(BAR_WIDTH - full), (share * 100.0).floor())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_never_moves_backwards_and_the_time_left_follows_the_tiles() {
        let forecast = TileForecast::default();
        assert_eq!((forecast.share(), forecast.left()), (None, None));
        for (read, expected, share, left) in [(10, 40, 0.25, 30), (11, 55, 0.25, 44), (55, 55, 1.0, 0)] {
            forecast.observe(&Event::TilesExpected { read, expected });
            assert_eq!((forecast.share(), forecast.left()), (Some(share), Some(left)));
        }
    }

    #[test]
    fn plans_and_bars_are_short_texts() {
        assert_eq!(
            planned(37, 5437, Some(40.0)),
            "about 37 to 5,437 tiles, 55.5 s to 2 h 16 min at 40 per minute"
                .replace("55.5 s", &human_time(55.5))
        );
        assert_eq!(planned(12, 12, None), "about 12 tiles");
        assert_eq!(
            [bar(0.0), bar(0.428), bar(1.0)],
            ["[----------]   0 %", "[####------]  42 %", "[##########] 100 %"]
        );
    }
}
