//! Which sequences are wanted, and what a tile says of that.
//!
//! A sequence of which a tile says that it does not fit costs no request. But
//! a tile tells little: of a sequence one time, that of the image which stands
//! for it, and the times of those of its images that lie in the tile. So a
//! sequence is left out by date only where all of these lie more than a day
//! outside, which is longer than any sequence lasts that Mapillary's own tools
//! cut; and times that only a wrong clock tells say nothing.

use super::Tags;
use super::wire::{EXACT, Value};
use crate::dates::Dates;
use crate::model::OwnerId;
use crate::timestamp::DAY_MS;

/// 2000 and 2100, in milliseconds since 1970: clocks that were never set tell 1970, 1980 or 1999, or the far future.
const PLAUSIBLE: std::ops::Range<i64> = 946_684_800_000..4_102_444_800_000;

/// Which sequences are wanted; all, unless something is said.
#[derive(Debug, Clone, Default)]
pub(in crate::sources) struct Wanted {
    /// Of one of these; of anybody, if there are none.
    pub(in crate::sources) owners: Vec<Owner>,
    pub(in crate::sources) excluded: Vec<Owner>,
    /// A day wider than what is wanted.
    pub(super) dates: Option<Dates>,
    pub(in crate::sources) is_pano: Option<bool>,
}

impl Wanted {
    pub(in crate::sources) fn captured(&mut self, dates: Dates) {
        self.dates = Some(dates.wider(DAY_MS));
    }

    /// Of one of some owners only.
    #[cfg(any(test, fuzzing, feature = "internals"))]
    pub(in crate::sources) fn of(owners: impl IntoIterator<Item = OwnerId>) -> Self {
        Self { owners: owners.into_iter().map(Owner::new).collect(), ..Self::default() }
    }

    /// Leaves nothing out for its date or kind.
    pub(in crate::sources) fn believe_all(&mut self) {
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
    pub(super) fn is(&self, value: Value<'_>) -> bool {
        match (value, self.number) {
            (Value::Text(text), _) => text == self.id.as_str(),
            (Value::Whole(whole), Some(number)) => whole == number,
            (Value::Double(double), Some(number)) => double == number as f64,
            _ => false,
        }
    }

    /// The same for leaving out, where a neighbour's sequence lost would be the worse mistake.
    fn is_surely(&self, value: Value<'_>) -> bool {
        !matches!(value, Value::Double(double) if double > EXACT) && self.is(value)
    }
}

/// What a tile has said of a sequence so far.
#[derive(Debug, Clone, Copy, Default)]
#[expect(clippy::struct_excessive_bools, reason = "for and against, of each thing")]
pub(super) struct Word {
    /// The first of the owners that are wanted whose it is, counted from 1.
    owner: u32,
    excluded: bool,
    in_time: bool,
    out_of_time: bool,
    pano: bool,
    flat: bool,
}

impl Word {
    /// Takes note of what one feature says: its line, or one of its images.
    pub(super) fn hear(&mut self, tags: &Tags<'_>, wanted: &Wanted) {
        let known = if self.owner == 0 { wanted.owners.len() } else { self.owner as usize - 1 };
        let earlier = &wanted.owners[..known];
        if let Some(place) =
            earlier.iter().position(|owner| owner.is(tags.organization) || owner.is(tags.creator))
        {
            // Nobody names four billion owners.
            self.owner = u32::try_from(place + 1).unwrap_or(u32::MAX);
        }
        let theirs = |owner: &Owner| owner.is_surely(tags.organization) || owner.is_surely(tags.creator);
        self.excluded = self.excluded || wanted.excluded.iter().any(theirs);
        if let Some(dates) = &wanted.dates
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

    pub(super) fn is_owned(self, wanted: &Wanted) -> bool {
        wanted.owners.is_empty() || self.owner > 0
    }

    /// Which of the owners that are wanted it belongs to.
    pub(super) fn owner(self, wanted: &Wanted) -> Option<&OwnerId> {
        let place = (self.owner as usize).checked_sub(1)?;
        wanted.owners.get(place).map(|owner| &owner.id)
    }

    /// Whether the tags of a line decide all filters, so that no tile below can exclude the sequence.
    pub(super) fn is_settled(self, tags: &Tags<'_>, wanted: &Wanted) -> bool {
        let has_owner = tags.organization != Value::None || tags.creator != Value::None;
        (wanted.dates.is_none() || self.in_time)
            && (wanted.is_pano.is_none() || self.pano || self.flat)
            && (wanted.excluded.is_empty() || has_owner)
    }

    /// The filter that leaves the sequence out, if the tile says so and nothing against it.
    pub(super) fn against(self, wanted: &Wanted) -> Option<&'static str> {
        if self.excluded {
            return Some("exclude_owner");
        }
        match wanted.is_pano {
            Some(true) if self.flat && !self.pano => return Some("pano"),
            Some(false) if self.pano && !self.flat => return Some("flat"),
            _ => {}
        }
        (self.out_of_time && !self.in_time).then_some("dates")
    }
}
