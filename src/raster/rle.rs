//! Run-length encoding as in COCO.

use super::Span;

/// A mask as lengths of runs, column by column from the left: pixels outside, pixels inside, and so on.
///
/// ```
/// use streetflow::raster::{Rle, Span};
///
/// // The middle of three rows, without its first column.
/// let rle = Rle::new(&[Span { row: 1, start: 1, end: 2 }], 2, 3);
/// assert_eq!(rle.counts(), [4, 1, 1]);
/// assert_eq!((rle.area(), rle.compressed().as_str()), (1, "411"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rle {
    counts: Vec<u64>,
}

impl Rle {
    /// Encodes spans of a picture of `width` by `height` pixels. The spans are those of [`spans`](super::spans).
    ///
    /// Takes time for the outline and the columns, not for the pixels inside.
    pub fn new(spans: &[Span], width: u32, height: u32) -> Self {
        // A run of a column starts or ends where a row differs from the row above it.
        let mut changes: Vec<(u32, u32)> = Vec::new();
        let mut borders = Vec::new();
        let mut above: &[Span] = &[];
        for row in spans.chunk_by(|one, next| one.row == next.row) {
            let follows = above.first().is_some_and(|last| last.row + 1 == row[0].row);
            if !follows {
                end_below(above, height, &mut changes);
            }
            difference(if follows { above } else { &[] }, row, &mut borders, &mut changes);
            above = row;
        }
        end_below(above, height, &mut changes);
        changes.retain(|&(column, _)| column < width);
        let changes = by_column(&changes);
        let mut counts = Vec::with_capacity(changes.len() + 1);
        let mut position = 0;
        for (column, row) in changes {
            let change = u64::from(column) * u64::from(height) + u64::from(row);
            // A run that ends at the lower border and continues at the top of the next column.
            if change == position && !counts.is_empty() {
                position -= counts.pop().unwrap_or_default();
            } else {
                counts.push(change - position);
                position = change;
            }
        }
        let pixels = u64::from(width) * u64::from(height);
        if position < pixels || counts.is_empty() {
            counts.push(pixels - position);
        }
        Self { counts }
    }

    /// The lengths of the runs; the first one is outside and may be 0.
    pub fn counts(&self) -> &[u64] {
        &self.counts
    }

    /// The number of pixels inside.
    pub fn area(&self) -> u64 {
        self.counts.iter().skip(1).step_by(2).sum()
    }

    /// The compressed form of COCO's `counts`: each count, or from the fourth on its difference to the one before the
    /// last, in groups of five bits, the lowest first, as printable characters.
    pub fn compressed(&self) -> String {
        let mut text = String::with_capacity(self.counts.len() * 2);
        for (index, &count) in self.counts.iter().enumerate() {
            let signed = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
            let before = if index > 2 { signed(self.counts[index - 2]) } else { 0 };
            let mut rest = signed(count) - before;
            loop {
                let group = u8::try_from(rest & 0x1f).unwrap_or_default();
                rest >>= 5;
                // The highest bit of the last group is the sign.
                let is_last = rest == if group & 0x10 == 0 { 0 } else { -1 };
                text.push(char::from(48 + group + if is_last { 0 } else { 0x20 }));
                if is_last {
                    break;
                }
            }
        }
        text
    }
}

/// Sorts changes, which are in order of their rows, by column: takes time for the changes and the columns between them.
fn by_column(changes: &[(u32, u32)]) -> Vec<(u32, u32)> {
    let columns = || changes.iter().map(|(column, _)| *column);
    let (Some(first), Some(last)) = (columns().min(), columns().max()) else { return Vec::new() };
    // The place of the next change of each column.
    let mut places = vec![0_usize; (last - first) as usize + 2];
    columns().for_each(|column| places[(column - first) as usize + 1] += 1);
    for index in 1..places.len() {
        places[index] += places[index - 1];
    }
    let mut sorted = vec![(0, 0); changes.len()];
    for change in changes {
        let place = &mut places[(change.0 - first) as usize];
        sorted[*place] = *change;
        *place += 1;
    }
    sorted
}

/// Adds the changes after the last row of a block of rows.
fn end_below(last: &[Span], height: u32, changes: &mut Vec<(u32, u32)>) {
    if let Some(first) = last.first() {
        let row = first.row + 1;
        debug_assert!(row <= height);
        changes.extend(last.iter().flat_map(|span| span.start..span.end).map(|column| (column, row)));
    }
}

/// Adds the columns that are in one of two rows only. `borders` is memory that is used again for each row.
fn difference(above: &[Span], row: &[Span], borders: &mut Vec<u32>, changes: &mut Vec<(u32, u32)>) {
    let number = row[0].row;
    // The borders of both rows in order: between an odd and the next even one of them the rows differ.
    borders.clear();
    borders.extend(above.iter().chain(row).flat_map(|span| [span.start, span.end]));
    borders.sort_unstable();
    for pair in borders.chunks_exact(2) {
        changes.extend((pair[0]..pair[1]).map(|column| (column, number)));
    }
}

#[cfg(test)]
#[expect(clippy::cast_possible_truncation, clippy::cast_possible_wrap, reason = "small numbers")]
mod tests {
    use proptest::prelude::*;

    use super::super::spans;
    use super::*;

    /// The mask, column by column.
    fn decoded(rle: &Rle) -> Vec<bool> {
        let runs = rle.counts().iter().enumerate();
        runs.flat_map(|(index, &count)| std::iter::repeat_n(index % 2 == 1, count as usize)).collect()
    }

    /// Reads the compressed form.
    fn counts(text: &str) -> Vec<u64> {
        let (mut counts, mut value, mut shift) = (Vec::new(), 0_i64, 0);
        for byte in text.bytes() {
            let group = i64::from(byte - 48);
            value |= (group & 0x1f) << shift;
            shift += 5;
            if group & 0x20 == 0 {
                if group & 0x10 != 0 {
                    value |= -1 << shift;
                }
                if counts.len() > 2 {
                    value += counts[counts.len() - 2] as i64;
                }
                counts.push(u64::try_from(value).expect("a length"));
                (value, shift) = (0, 0);
            }
        }
        counts
    }

    proptest! {
        #[test]
        fn the_runs_are_the_pixels_of_the_spans(
            rings in prop::collection::vec(prop::collection::vec((-2.0..40.0, -2.0..40.0), 0..9), 0..4),
            width in 1..40_u32,
            height in 1..40_u32,
        ) {
            let ring = |ring: Vec<(f64, f64)>| ring.into_iter().map(|(x, y)| [x, y]).collect();
            let found = spans(&[rings.into_iter().map(ring).collect()], width, height);
            let rle = Rle::new(&found, width, height);
            let mut expected = vec![false; (width * height) as usize];
            for span in &found {
                (span.start..span.end).for_each(|column| expected[(column * height + span.row) as usize] = true);
            }
            prop_assert_eq!(decoded(&rle), expected);
            prop_assert!(rle.counts().iter().skip(1).all(|&count| count > 0));
            prop_assert_eq!(counts(&rle.compressed()), rle.counts());
            prop_assert_eq!(rle.area(), found.iter().map(|span| u64::from(span.end - span.start)).sum::<u64>());
        }
    }

    #[test]
    fn an_empty_and_a_full_mask_have_one_run_inside_at_most() {
        assert_eq!(Rle::new(&[], 3, 2).counts(), [6]);
        let rows: Vec<_> = (0..2).map(|row| Span { row, start: 0, end: 3 }).collect();
        assert_eq!(Rle::new(&rows, 3, 2).counts(), [0, 6]);
    }
}
