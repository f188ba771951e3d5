//! Splits by sequence.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, ErrorKind, Result};

/// Names of the splits, in order.
const NAMES: [&str; 3] = ["train", "val", "test"];

/// Shares of `train`, `val` and `test`.
///
/// The hash of the sequence id decides, so all images of a sequence are in the same split: neighbours show the same
/// scene. The same id and seed give the same split in every run and on every machine.
///
/// ```
/// use streetflow::training::Split;
///
/// let split: Split = "80,10,10".parse()?;
/// assert_eq!(split.names(), ["train", "val", "test"]);
/// assert_eq!(split.of("-qe-JIXxphhaeodoDQNWvM"), split.of("-qe-JIXxphhaeodoDQNWvM"));
/// # Ok::<(), streetflow::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Split {
    shares: Vec<f64>,
    seed: u64,
}

impl Default for Split {
    /// Everything in `train`.
    fn default() -> Self {
        Self { shares: vec![1.0], seed: 0 }
    }
}

impl Split {
    /// Sets the seed. Another seed gives another split.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// The names of the splits.
    pub fn names(&self) -> &'static [&'static str] {
        &NAMES[..self.shares.len()]
    }

    /// The number of the split of a sequence.
    pub fn of(&self, sequence: &str) -> usize {
        // FNV-1a over the seed and the id, then the mixer of splitmix64.
        let bytes = self.seed.to_le_bytes();
        let hash =
            bytes.iter().copied().chain(sequence.bytes()).fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
                (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
            });
        let hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let hash = hash ^ (hash >> 31);
        #[expect(clippy::cast_precision_loss, reason = "53 bits fit")]
        let mut left = (hash >> 11) as f64 / (1_u64 << 53) as f64 * self.shares.iter().sum::<f64>();
        for (index, share) in self.shares.iter().enumerate() {
            left -= share;
            if left < 0.0 {
                return index;
            }
        }
        // Only rounding leads here: the last split that has a share.
        self.shares.iter().rposition(|share| *share > 0.0).unwrap_or(0)
    }

    /// Whether there is only one split, so that no sequence is needed.
    pub fn is_whole(&self) -> bool {
        self.shares.len() == 1
    }
}

impl FromStr for Split {
    type Err = Error;

    /// Reads two or three shares for `train`, `val` and `test`, such as `80,10,10` or `0.8,0.2`; one share is all.
    fn from_str(text: &str) -> Result<Self> {
        let shares: Option<Vec<f64>> = text.split(',').map(|share| share.trim().parse().ok()).collect();
        let shares = shares.filter(|shares| {
            let are_valid = shares.iter().all(|share| share.is_finite() && *share >= 0.0);
            shares.len() <= NAMES.len() && are_valid && shares.iter().sum::<f64>() > 0.0
        });
        let shares = shares.ok_or_else(|| {
            Error::new(ErrorKind::Usage, "read the split")
                .with_subject(text)
                .with_source("it is not up to three shares")
                .with_hint("write `80,10,10` for train, val and test")
        })?;
        Ok(Self { shares, seed: 0 })
    }
}

impl fmt::Display for Split {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shares: Vec<_> = self.shares.iter().map(f64::to_string).collect();
        f.write_str(&shares.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_met_and_the_seed_matters() {
        let split: Split = "80,10,10".parse().expect("a split");
        let other = split.clone().seed(7);
        let mut counts = [0_u32; 3];
        let mut moved = 0;
        for index in 0..10_000 {
            let id = format!("sequence-{index}");
            counts[split.of(&id)] += 1;
            moved += u32::from(split.of(&id) != other.of(&id));
        }
        assert!(counts[0].abs_diff(8000) < 200 && counts[1].abs_diff(1000) < 150, "{counts:?}");
        assert!(moved > 2000, "{moved}");
    }

    /// A change would move images of existing sets between their splits.
    #[test]
    fn the_split_of_an_id_never_changes() {
        let split: Split = "1,1,1".parse().expect("a split");
        let splits: Vec<_> = (0..12).map(|index| split.of(&index.to_string())).collect();
        assert_eq!(splits, [1, 1, 1, 2, 1, 1, 0, 0, 1, 1, 2, 0]);
    }

    #[test]
    fn a_share_of_zero_gets_nothing_and_nonsense_is_rejected() {
        let split: Split = "0,1,0".parse().expect("a split");
        assert!((0..1000).all(|index| split.of(&index.to_string()) == 1));
        assert!(Split::default().is_whole());
        for text in ["", "a", "1,2,3,4", "-1,2", "0,0", "NaN,1", "inf,1", "80;20"] {
            assert!(text.parse::<Split>().is_err(), "{text}");
        }
    }
}
