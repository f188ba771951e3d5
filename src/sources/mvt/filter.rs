//! Which sequences are filter, and what a tile says of that.
//!
//! A sequence of which a tile says that it does not fit costs no request. But
//! a tile tells little: of a sequence one time, that of the image which stands
//! for it, and the times of those of its images that lie in the tile. So a
//! sequence is left out by date only where all of these lie more than a day
//! outside, which is longer than any sequence lasts that Mapillary's own tools
//! cut; and times that only a wrong clock tells say nothing.

use super::Tags;
use super::wire::{MAX_EXACT_F64, Value};
use crate::dates::Dates;
use crate::model::OwnerId;
use crate::record::time::DAY_MS;

/// 2000 and 2100, in milliseconds since 1970: clocks that were never set tell 1970, 1980 or 1999, or the far future.
const PLAUSIBLE: std::ops::Range<i64> = 946_684_800_000..4_102_444_800_000;

/// Which sequences are filter; all, unless something is said.
#[derive(Debug, Clone, Default)]
pub(in crate::sources) struct TileFilter {
    /// Of one of these; of anybody, if there are none.
    pub(in crate::sources) owners: Vec<Owner>,
    pub(in crate::sources) excluded: Vec<Owner>,
    /// A day wider than what is filter.
    pub(super) dates: Option<Dates>,
    pub(in crate::sources) is_pano: Option<bool>,
}

impl TileFilter {
    pub(in crate::sources) fn captured(&mut self, dates: Dates) {
        self.dates = Some(dates.wider(DAY_MS));
    }

    /// Of one of some owners only.
    #[cfg(any(test, fuzzing, feature = "internals"))]
    pub(in crate::sources) fn owned_by(owners: impl IntoIterator<Item = OwnerId>) -> Self {
        Self { owners: owners.into_iter().map(Owner::new).collect(), ..Self::default() }
    }

    /// Leaves nothing out for its date or kind.
    pub(in crate::sources) fn ignore_tags(&mut self) {
        (self.dates, self.is_pano) = (None, None);
    }
}

/// An organisation or a user.
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

    /// Whether a property holds this id. A double beyond 2^53 is compared as rounded as it is: it can't be told
    /// apart, and a sequence too many is better than one lost.
    #[expect(clippy::cast_precision_loss, clippy::float_cmp, reason = "rounding is the point")]
    pub(super) fn matches(&self, value: Value<'_>) -> bool {
        match (value, self.number) {
            (Value::Text(text), _) => text == self.id.as_str(),
            (Value::Whole(whole), Some(number)) => whole == number,
            (Value::Double(double), Some(number)) => double == number as f64,
            _ => false,
        }
    }

    /// The same for leaving out, where a neighbour's sequence lost would be the worse mistake.
    fn matches_exactly(&self, value: Value<'_>) -> bool {
        !matches!(value, Value::Double(double) if double > MAX_EXACT_F64) && self.matches(value)
    }
}

/// What a tile has said of a sequence so far.
#[derive(Debug, Clone, Copy, Default)]
#[expect(clippy::struct_excessive_bools, reason = "for and against, of each thing")]
pub(super) struct Evidence {
    /// The first of the owners that are filter whose it is, counted from 1.
    owner: u32,
    excluded: bool,
    in_time: bool,
    out_of_time: bool,
    pano: bool,
    flat: bool,
}

impl Evidence {
    /// Takes note of what one feature says: its line, or one of its images.
    pub(super) fn observe(&mut self, tags: &Tags<'_>, filter: &TileFilter) {
        let known = if self.owner == 0 { filter.owners.len() } else { self.owner as usize - 1 };
        let earlier = &filter.owners[..known];
        if let Some(place) =
            earlier.iter().position(|owner| owner.matches(tags.organization) || owner.matches(tags.creator))
        {
            // Nobody names four billion owners.
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

    /// Which of the owners that are filter it belongs to.
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

    /// The filter that leaves the sequence out, if the tile says so and nothing against it.
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
