//! What tiles say for and against a sequence.

use super::filter::{Owner, TileFilter};
use super::tags::Tags;
use super::wire::Value;
use crate::model::OwnerId;

/// 2000 to 2100 in milliseconds since 1970. Clocks that were never set show 1970, 1980, 1999 or the far future.
const PLAUSIBLE: std::ops::Range<i64> = 946_684_800_000..4_102_444_800_000;

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
