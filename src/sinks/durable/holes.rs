//! Whether blocks of a file were never written.

/// File systems write in blocks of so many bytes, or of a multiple.
pub(super) const BLOCK: usize = 4096;

/// Looks for blocks that never reached the disk while the bytes of a file pass by: they read as zeros.
///
/// A picture may hold long runs of zeros itself, such as a progressive panorama with black areas. So a run counts only
/// if it begins exactly at the edge of a block and ends exactly at the edge of another one.
#[derive(Debug, Default)]
pub(super) struct HoleCheck {
    at: u64,
    /// Where the zeros begin that go up to `at`.
    zeros_from: Option<u64>,
    found: bool,
}

impl HoleCheck {
    /// Takes the next bytes: whole blocks, but for the last ones.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        for block in bytes.chunks(BLOCK) {
            let (from, to) = (self.at, self.at + block.len() as u64);
            self.at = to;
            let Some(last) = block.iter().rposition(|byte| *byte != 0) else {
                self.zeros_from.get_or_insert(from);
                continue;
            };
            // Not zero at its first byte: what came before ended at this edge.
            if block[0] != 0 {
                self.found |= self.zeros_from.is_some_and(is_edge);
            }
            let after = from + last as u64 + 1;
            self.zeros_from = (after < to).then_some(after);
        }
    }

    /// Whether there was such a block before the last bytes that are not zero.
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

    /// Ones, with zeros in such places.
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
        // Padding behind the end of a picture is no hole in it, and a picture without its end is not whole.
        assert!(!has_hole(LEN, &[(40 * BLOCK, LEN)]));
    }
}
