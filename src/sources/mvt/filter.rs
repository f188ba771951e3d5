//! Which sequences match, as far as tiles tell.
//!
//! A sequence that does not match according to a tile costs no request. But a tile tells little: one time per sequence,
//! that of a representative image, and the times of its images in the tile. So a sequence is rejected by date only if
//! all of these are more than a day outside, which is longer than any sequence that Mapillary's own tools create.
//! Implausible times do not count.

use super::Tags;
use super::wire::{MAX_EXACT_F64, Value};
use crate::dates::Dates;
use crate::model::OwnerId;
use crate::timestamp::DAY_MS;

/// 2000 to 2100 in milliseconds since 1970. Clocks that were never set show 1970, 1980, 1999 or the far future.
const PLAUSIBLE: std::ops::Range<i64> = 946_684_800_000..4_102_444_800_000;

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
    fn matches_exactly(&self, value: Value<'_>) -> bool {
        !matches!(value, Value::Double(double) if double > MAX_EXACT_F64) && self.matches(value)
    }
}

/// What the tags of a tile say about a sequence so far.
#[derive(Debug, Clone, Copy, Default)]
#[expect(clippy::struct_excessive_bools, reason = "for and against, of each thing")]
pub(super) struct Evidence {
    /// The first matching owner, counted from 1.
    owner: u32,
    excluded: bool,
    in_time: bool,
    out_of_time: bool,
    pano: bool,
    flat: bool,
}

impl Evidence {
    /// Adds the tags of a feature: a line or an image of the sequence.
    pub(super) fn observe(&mut self, tags: &Tags<'_>, filter: &TileFilter) {
        let known = if self.owner == 0 { filter.owners.len() } else { self.owner as usize - 1 };
        let earlier = &filter.owners[..known];
        if let Some(place) =
            earlier.iter().position(|owner| owner.matches(tags.organization) || owner.matches(tags.creator))
        {
            // There are fewer than four billion owners.
            self.owner = u32::try_from(place + 1).unwrap_or(u32::MAX);
        }
        let theirs =
            |owner: &Owner| owner.matches_exactly(tags.organization) || owner.matches_exactly(tags.creator);
        self.excluded = self.excluded || filter.excluded.iter().any(theirs);
        if let Some(dates) = &filter.dates
            && let Some(at) = tags.captured_at.whole().filter(|at| PLAUSIBLE.contains(at))
        {
            let inside = dates.contains(at);
            self.in_time |= inside;
            self.out_of_time |= !inside;
        }
        match tags.is_pano {
            Value::Flag(true) | Value::Whole(1) => self.pano = true,
            Value::Flag(false) => self.flat = true,
            _ => {}
        }
    }

    pub(super) fn is_owned(self, filter: &TileFilter) -> bool {
        filter.owners.is_empty() || self.owner > 0
    }

    /// The owner that matches.
    pub(super) fn owner(self, filter: &TileFilter) -> Option<&OwnerId> {
        let place = (self.owner as usize).checked_sub(1)?;
        filter.owners.get(place).map(|owner| &owner.id)
    }

    /// Whether the tags of a line decide all filters, so that no tile below can exclude the sequence.
    pub(super) fn is_settled(self, tags: &Tags<'_>, filter: &TileFilter) -> bool {
        let has_owner = tags.organization != Value::None || tags.creator != Value::None;
        (filter.dates.is_none() || self.in_time)
            && (filter.is_pano.is_none() || self.pano || self.flat)
            && (filter.excluded.is_empty() || has_owner)
    }

    /// The filter that rejects the sequence, if no tag contradicts it.
    pub(super) fn rejected_by(self, filter: &TileFilter) -> Option<&'static str> {
        if self.excluded {
            return Some("exclude_owner");
        }
        match filter.is_pano {
            Some(true) if self.flat && !self.pano => return Some("pano"),
            Some(false) if self.pano && !self.flat => return Some("flat"),
            _ => {}
        }
        (self.out_of_time && !self.in_time).then_some("dates")
    }
}
