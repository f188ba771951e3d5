//! Image ids as numbers.

use crate::model::ImageId;

/// First number of the ids that are not the decimal form of a 63-bit number. Their position in a list is added to it.
pub(super) const FIRST_OTHER_ID: u64 = 1 << 63;

/// The number of an id; `None` for ids with leading zeros or more than 63 bits, which a number can't represent.
pub(super) fn id_number(id: &ImageId) -> Option<u64> {
    let text = id.as_str();
    let number = text.parse().ok().filter(|number| *number < FIRST_OTHER_ID)?;
    (!text.starts_with('0') || text == "0").then_some(number)
}
