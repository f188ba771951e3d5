//! Detects blocks of a file that were never written.

/// File systems write blocks of this size or a multiple of it.
pub(super) const BLOCK: usize = 4096;

/// Detects blocks that never reached the disk and read as zeros, while the bytes of a file pass by.
///
/// A picture may contain long runs of zeros, such as a progressive panorama with black areas. So a run counts only if it
/// begins and ends exactly at block boundaries.
#[derive(Debug, Default)]
pub(super) struct HoleCheck {
    at: u64,
    /// Start of the zeros before `at`.
    zeros_from: Option<u64>,
    found: bool,
}

impl HoleCheck {
    /// Checks the next bytes: whole blocks, except for the last ones.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        for block in bytes.chunks(BLOCK) {
            let (from, to) = (self.at, self.at + block.len() as u64);
            self.at = to;
            let Some(last) = block.iter().rposition(|byte| *byte != 0) else {
                self.zeros_from.get_or_insert(from);
                continue;
            };
            // The first byte is not zero: the zeros before it end at a block boundary.
            if block[0] != 0 {
                self.found |= self.zeros_from.is_some_and(is_edge);
            }
            let after = from + last as u64 + 1;
            self.zeros_from = (after < to).then_some(after);
        }
    }

    /// Whether there is such a block before the last non-zero byte.
    pub(super) fn found(&self) -> bool {
        self.found
    }
}

fn is_edge(at: u64) -> bool {
    at.is_multiple_of(BLOCK as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ones, with zeros in these ranges.
    fn has_hole(len: usize, zeros: &[(usize, usize)]) -> bool {
        let mut bytes = vec![1; len];
        for (from, to) in zeros {
            bytes[*from..*to].fill(0);
        }
        let found = [BLOCK, 4 * BLOCK, 64 * BLOCK].map(|piece| {
            let mut check = HoleCheck::default();
            bytes.chunks(piece).for_each(|piece| check.push(piece));
            check.found()
        });
        assert!(found.iter().all(|one| *one == found[0]), "{zeros:?}");
        found[0]
    }

    #[test]
    fn zeros_count_only_from_edge_to_edge() {
        const LEN: usize = 40 * BLOCK + 100;
        for (from, to) in [(1, 2), (0, 1), (3, 9), (39, 40), (0, 40)] {
            assert!(has_hole(LEN, &[(from * BLOCK, to * BLOCK)]), "{from} to {to}");
            for (before, after) in [(1, 0), (0, 1), (7, 7), (BLOCK - 1, 1)] {
                let from = (from * BLOCK).saturating_sub(before);
                let to = to * BLOCK + after;
                let begins_at_edge = from % BLOCK == 0;
                assert_eq!(has_hole(LEN, &[(from, to)]), begins_at_edge && after == 0, "{from} to {to}");
            }
            assert!(!has_hole(LEN, &[(from * BLOCK + 1, to * BLOCK)]), "{from} to {to}");
            assert!(!has_hole(LEN, &[(from * BLOCK, to * BLOCK - 1)]), "{from} to {to}");
        }
        assert!(!has_hole(LEN, &[]) && !has_hole(0, &[]));
        let long_black_areas =
            [(100, 3 * BLOCK + 5), (4 * BLOCK - 3, 30 * BLOCK), (31 * BLOCK, 31 * BLOCK + 4000)];
        assert!(!has_hole(LEN, &long_black_areas));
        assert!(has_hole(LEN, &[long_black_areas.as_slice(), &[(36 * BLOCK, 37 * BLOCK)]].concat()));
        // Padding after the end of a picture is no hole, and a picture without an end is incomplete anyway.
        assert!(!has_hole(LEN, &[(40 * BLOCK, LEN)]));
    }
}
