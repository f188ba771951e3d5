//! Columns as bytes: differences, zigzag, byte planes, zlib.
//!
//! Neighbours in a sequence are similar, so differences are small, zigzag makes them small without a sign, and planes put
//! the high bytes, which are mostly zero, next to each other.

use std::io::{self, Write};

use flate2::Compression;
use flate2::write::ZlibEncoder;

/// Bytes of a column before compression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Planes {
    /// The planes one after the other, lowest first, each with one byte per value.
    pub(super) bytes: Vec<u8>,
    /// Number of planes. Higher planes contain only zeros and are left out.
    pub(super) count: usize,
}

/// A column before compression.
pub(super) struct Column {
    pub(super) name: &'static str,
    pub(super) planes: Planes,
    pub(super) is_difference: bool,
    /// Largest value, from which the page chooses the type of its array.
    pub(super) max: u32,
    pub(super) rows: usize,
}

impl Column {
    /// Encodes values, or the differences of neighbours.
    pub(super) fn new(
        name: &'static str,
        values: impl ExactSizeIterator<Item = u32>,
        is_difference: bool,
    ) -> Self {
        let rows = values.len();
        let mut max = 0;
        let values = values.inspect(|value| max = max.max(*value));
        let planes = if is_difference { differences(values) } else { planes(values) };
        Self { name, planes, is_difference, max, rows }
    }
}

/// Zigzag differences of neighbours as byte planes. The first value is a difference from zero.
pub(super) fn differences(values: impl ExactSizeIterator<Item = u32>) -> Planes {
    let mut previous = 0_u32;
    planes(values.map(|value| {
        let difference = value.wrapping_sub(previous).cast_signed();
        previous = value;
        ((difference << 1) ^ (difference >> 31)).cast_unsigned()
    }))
}

/// The values themselves as byte planes, for values without order, such as ids.
pub(super) fn planes(values: impl ExactSizeIterator<Item = u32>) -> Planes {
    let rows = values.len();
    let mut bytes = vec![0; rows * 4];
    let mut used = 0;
    {
        let (first, rest) = bytes.split_at_mut(rows);
        let (second, rest) = rest.split_at_mut(rows);
        let (third, fourth) = rest.split_at_mut(rows);
        for (row, value) in values.enumerate() {
            used |= value;
            [first[row], second[row], third[row], fourth[row]] = value.to_le_bytes();
        }
    }
    let count = (32 - used.leading_zeros() as usize).div_ceil(8);
    bytes.truncate(rows * count);
    Planes { bytes, count }
}

/// Compresses bytes as a zlib stream. `level` is from 0 (store) to 9.
pub(super) fn compress(bytes: &[u8], level: u32) -> io::Result<Vec<u8>> {
    let mut out = ZlibEncoder::new(Vec::with_capacity(bytes.len() / 4), Compression::new(level));
    out.write_all(bytes)?;
    out.finish()
}
