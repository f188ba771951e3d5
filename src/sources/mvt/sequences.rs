//! The sequences of a tile.

use std::collections::HashMap;
use std::fmt;

use super::evidence::Evidence;
use super::filter::TileFilter;
use super::tags::{Id, Tagged};
use super::wire::{Fault, Layer, Value, layers};
use crate::geo::{Area, Clip, MAX_ZOOM, TileId};
use crate::model::{OwnerId, Sequence, SequenceId};
use crate::text::{printable, redact};

/// Maximum sequences of a tile: ten times the number in the largest known tile.
pub(super) const MAX_SEQUENCES: usize = 2_000_000;

/// A tile with more unusable features and sequences than this is damaged.
const MAX_UNUSABLE: usize = 1000;

/// Maximum length of an unusable id in messages.
const MAX_SHOWN_LEN: usize = 80;

/// The matching sequences of a tile, each once, and the sequences in the area that do not match, with the name of the
/// filter.
#[derive(Debug, Default, PartialEq)]
pub(in crate::sources) struct Shown {
    pub(in crate::sources) sequences: Vec<Sequence>,
    pub(in crate::sources) filtered: Vec<(SequenceId, &'static str)>,
    /// Number of images of matching sequences in the tile.
    pub(in crate::sources) images: u64,
    /// Sequences that may match but are unusable, each with the reason.
    pub(in crate::sources) unusable: Vec<String>,
    /// Number of images in the area without a sequence.
    pub(in crate::sources) without_sequence: u64,
}

/// Whether a tile above the level of collection has a sequence that may match.
pub(in crate::sources) fn shows(bytes: &[u8], filter: &TileFilter) -> Result<bool, Fault> {
    for layer in layers(bytes) {
        let layer = layer?;
        if layer.name != "sequence" {
            continue;
        }
        let mut tagged = Tagged::new(&layer, "id", filter);
        for feature in layer.features() {
            // A feature that is unreadable here may be readable in a tile below.
            let Ok(feature) = feature? else { return Ok(true) };
            let tags = tagged.read(&feature);
            let mut evidence = Evidence::default();
            evidence.observe(&tags, filter);
            let shows =
                tags.id != Id::Absent && evidence.is_owned(filter) && evidence.rejected_by(filter).is_none();
            if shows || tags.is_broken {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// The sequences of a tile that are in the area.
///
/// At level 14 the image layer counts too, because a sequence with one image in the tile has no line there.
pub(in crate::sources) fn sequences(
    bytes: &[u8],
    tile: TileId,
    area: &Area,
    filter: &TileFilter,
) -> Result<Shown, Fault> {
    let mut found = Found::default();
    for layer in layers(bytes) {
        let layer = layer?;
        let id = match layer.name {
            "sequence" => "id",
            "image" if tile.z == MAX_ZOOM => "sequence_id",
            _ => continue,
        };
        let shows_images = layer.name == "image";
        found.read(&layer, id, shows_images, &area.clip(tile, layer.extent), filter)?;
    }
    let without_sequence = found.without_sequence;
    let mut shown = Shown { without_sequence, ..Shown::default() };
    if found.unreadable > 0 {
        shown.unusable.push(format!("{} of its features can't be read", found.unreadable));
    }
    for seen in found.seen.into_iter().filter(|seen| seen.evidence.is_owned(filter)) {
        let place_is_unknown = seen.has_broken_line && !seen.inside;
        if !seen.inside && !place_is_unknown {
            continue;
        }
        match (seen.evidence.rejected_by(filter), &seen.name) {
            (Some(filter), Name::Id(id)) => shown.filtered.push((id.clone(), filter)),
            (Some(_), _) => {}
            (None, Name::Id(id)) if place_is_unknown => {
                shown.unusable.push(format!("sequence `{id}` has no readable line or point here"));
            }
            (None, Name::Id(id)) => {
                shown.images += u64::from(seen.images);
                let org_id = org_id(seen.evidence, seen.organization, seen.creator, filter);
                shown.sequences.push(Sequence { org_id, seq_id: id.clone() });
            }
            (None, name) => shown.unusable.push(format!("{name} is no sequence id")),
        }
        if shown.unusable.len() > MAX_UNUSABLE {
            return Err("it has more than 1,000 features that can't be used");
        }
    }
    // The server determines the order of features; files must not depend on it.
    shown.sequences.sort_unstable_by(|a, b| a.seq_id.cmp(&b.seq_id));
    Ok(shown)
}

/// The sequences of one tile, collected over its layers.
#[derive(Default)]
struct Found<'a> {
    seen: Vec<Seen<'a>>,
    index: HashMap<&'a str, u32>,
    /// Number of unreadable features.
    unreadable: u64,
    without_sequence: u64,
}

/// The id of a sequence, or what is in its place.
enum Name<'a> {
    Id(SequenceId),
    Text(&'a str),
    Value(&'a [u8]),
}

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |text: &str| printable(&redact(text), MAX_SHOWN_LEN);
        match self {
            Name::Id(id) => write!(f, "`{id}`"),
            Name::Text(text) => write!(f, "`{}`", shown(text)),
            Name::Value(value) => match Value::read(value) {
                Value::Whole(number) => write!(f, "the number `{number}`"),
                Value::Double(number) => write!(f, "the number `{number}`"),
                Value::Flag(flag) => write!(f, "`{flag}`"),
                _ => write!(
                    f,
                    "`{}`",
                    shown(&String::from_utf8_lossy(&value[..value.len().min(MAX_SHOWN_LEN)]))
                ),
            },
        }
    }
}

struct Seen<'a> {
    name: Name<'a>,
    organization: Value<'a>,
    creator: Value<'a>,
    evidence: Evidence,
    inside: bool,
    /// Whether one of its lines or points can't be read.
    has_broken_line: bool,
    images: u32,
}

impl<'a> Found<'a> {
    fn read(
        &mut self,
        layer: &Layer<'a>,
        id: &str,
        shows_images: bool,
        clip: &Clip,
        filter: &TileFilter,
    ) -> Result<(), Fault> {
        // A layer shares one value table, so the id of a sequence is looked up once, not for every image.
        // Indices from 1; memory of zeros is only used when it is written.
        let mut places = vec![0_u32; layer.values.len()];
        let mut tagged = Tagged::new(layer, id, filter);
        for feature in layer.features() {
            let Ok(feature) = feature? else {
                self.unreadable += 1;
                continue;
            };
            let tags = tagged.read(&feature);
            let index = match tags.id {
                Id::Text(index, _) | Id::Unusable(index) => index,
                Id::Absent if tags.is_broken => {
                    self.unreadable += 1;
                    continue;
                }
                Id::Absent => {
                    let mut evidence = Evidence::default();
                    evidence.observe(&tags, filter);
                    let counts =
                        shows_images && evidence.is_owned(filter) && evidence.rejected_by(filter).is_none();
                    let inside = || clip.is_whole() || feature.lies_in(clip).unwrap_or(true);
                    self.without_sequence += u64::from(counts && inside());
                    continue;
                }
            };
            if places[index] == 0 {
                places[index] = match tags.id {
                    Id::Text(_, text) => self.place(text)?,
                    _ => self.add(Name::Value(layer.values.get(index).unwrap_or_default()))?,
                };
            }
            let seen = &mut self.seen[places[index] as usize - 1];
            if seen.organization == Value::None {
                seen.organization = tags.organization;
            }
            if seen.creator == Value::None {
                seen.creator = tags.creator;
            }
            seen.evidence.observe(&tags, filter);
            seen.images += u32::from(shows_images);
            if !seen.inside && !clip.is_whole() {
                match feature.lies_in(clip) {
                    Ok(inside) => seen.inside = inside,
                    Err(_) => seen.has_broken_line = true,
                }
            } else {
                seen.inside = true;
            }
        }
        Ok(())
    }

    /// The index of the sequence with this id, from 1.
    fn place(&mut self, text: &'a str) -> Result<u32, Fault> {
        if let Some(place) = self.index.get(text) {
            return Ok(*place);
        }
        let place = self.add(SequenceId::check(text).map_or(Name::Text(text), Name::Id))?;
        self.index.insert(text, place);
        Ok(place)
    }

    fn add(&mut self, name: Name<'a>) -> Result<u32, Fault> {
        if self.seen.len() == MAX_SEQUENCES {
            return Err("it shows more than two million sequences");
        }
        let (organization, creator) = (Value::None, Value::None);
        let (evidence, inside, has_broken_line, images) = (Evidence::default(), false, false, 0);
        self.seen.push(Seen { name, organization, creator, evidence, inside, has_broken_line, images });
        u32::try_from(self.seen.len()).map_err(|_| "it shows too many sequences")
    }
}

/// The owner in the table: the matching owner, else the organization, else the creator.
pub(super) fn org_id(
    evidence: Evidence,
    organization: Value<'_>,
    creator: Value<'_>,
    filter: &TileFilter,
) -> Option<OwnerId> {
    match evidence.owner(filter) {
        Some(owner) => Some(owner.clone()),
        None if organization == Value::None => creator.id(),
        None => organization.id(),
    }
}
