//! Which sequences match, as far as tiles tell.
//!
//! A sequence that does not match according to a tile costs no request. But a tile tells little: one time per sequence,
//! that of a representative image, and the times of its images in the tile. So a sequence is rejected by date only if
//! all of these are more than a day outside, which is longer than any sequence that Mapillary's own tools create.
//! Implausible times do not count.

use super::wire::{MAX_EXACT_F64, Value};
use crate::dates::Dates;
use crate::model::OwnerId;
use crate::timestamp::DAY_MS;

/// Which sequences match. By default all do.
#[derive(Debug, Clone, Default)]
pub(in crate::sources) struct TileFilter {
    /// Sequences of one of these match; without any, those of all owners.
    pub(in crate::sources) owners: Vec<Owner>,
    pub(in crate::sources) excluded: Vec<Owner>,
    /// A day wider than requested.
    pub(super) dates: Option<Dates>,
    pub(in crate::sources) is_pano: Option<bool>,
}

impl TileFilter {
    pub(in crate::sources) fn captured(&mut self, dates: Dates) {
        self.dates = Some(dates.wider(DAY_MS));
    }

    /// Matches sequences of these owners.
    #[cfg(any(test, fuzzing, feature = "internals"))]
    pub(in crate::sources) fn owned_by(owners: impl IntoIterator<Item = OwnerId>) -> Self {
        Self { owners: owners.into_iter().map(Owner::new).collect(), ..Self::default() }
    }

    /// Ignores dates and kinds of images.
    pub(in crate::sources) fn ignore_tags(&mut self) {
        (self.dates, self.is_pano) = (None, None);
    }
}

/// An organization or a user.
#[derive(Debug, Clone)]
pub(in crate::sources) struct Owner {
    pub(in crate::sources) id: OwnerId,
    number: Option<u64>,
}

impl Owner {
    pub(in crate::sources) fn new(id: OwnerId) -> Self {
        let number = id.as_str().parse().ok();
        Self { id, number }
    }

    /// Whether a property has this id.
    ///
    /// A float above 2^53 is compared as rounded: one sequence too many is better than one too few.
    #[expect(clippy::cast_precision_loss, clippy::float_cmp, reason = "rounding is the point")]
    pub(super) fn matches(&self, value: Value<'_>) -> bool {
        match (value, self.number) {
            (Value::Text(text), _) => text == self.id.as_str(),
            (Value::Whole(whole), Some(number)) => whole == number,
            (Value::Double(double), Some(number)) => double == number as f64,
            _ => false,
        }
    }

    /// The same without rounding, for rejecting, where a wrong match would lose a sequence.
    pub(super) fn matches_exactly(&self, value: Value<'_>) -> bool {
        !matches!(value, Value::Double(double) if double > MAX_EXACT_F64) && self.matches(value)
    }
}
