//! Vector tile bytes to the sequences they show, reading only what that needs.
//!
//! Layers, keys and values are borrowed from the tile; a feature costs no
//! allocation. Layer fields may come in any order (in real tiles the version
//! comes last), numbers in any of the five encodings, and any property may be
//! missing or empty.

mod wire;

use std::collections::{HashMap, HashSet};

use self::wire::{Feature, Layer, Value, Varints, layers};
use crate::error::{Error, ErrorKind};
use crate::geo::{Bbox, Clip, MAX_ZOOM, TileId};
use crate::model::{OwnerId, Sequence, SequenceId};

/// Ten times what has been seen in a tile of many countries.
const MOST_SEQUENCES: usize = 2_000_000;

/// Why a tile can't be read.
pub(super) type Fault = &'static str;

/// Whose sequences are asked for: an organisation's or a user's.
#[derive(Debug, Clone)]
pub(super) struct Owner {
    pub(super) id: OwnerId,
    number: Option<u64>,
}

impl Owner {
    pub(super) fn new(id: OwnerId) -> Self {
        let number = id.as_str().parse().ok();
        Self { id, number }
    }

    /// Whether a property holds this id. A double beyond 2^53 is compared as rounded as it is: it can't be told
    /// apart, and a sequence too many is better than one lost.
    #[expect(clippy::cast_precision_loss, clippy::float_cmp, reason = "rounding is the point")]
    fn is(&self, value: Value<'_>) -> bool {
        match (value, self.number) {
            (Value::Text(text), _) => text == self.id.as_str(),
            (Value::Whole(whole), Some(number)) => whole == number,
            (Value::Double(double), Some(number)) => double == number as f64,
            _ => false,
        }
    }
}

/// Whether a tile above the level of collection shows a sequence, of the owner if one is given.
pub(super) fn shows(bytes: &[u8], owner: Option<&Owner>) -> Result<bool, Fault> {
    for layer in layers(bytes) {
        let layer = layer?;
        if layer.name != "sequence" {
            continue;
        }
        let mut tagged = Tagged::of(&layer, "id");
        for feature in layer.features() {
            let tags = tagged.read(&feature?)?;
            if tags.id.is_some() && owner.is_none_or(|owner| tags.belongs_to(owner)) {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// The sequences of a tile that lie in the box, by id, each once.
///
/// At level 14 the image layer counts too: a sequence with one image in the tile draws no line.
pub(super) fn sequences(
    bytes: &[u8],
    tile: TileId,
    bbox: &Bbox,
    owner: Option<&Owner>,
) -> Result<Vec<Sequence>, Fault> {
    let mut found = Found::default();
    for layer in layers(bytes) {
        let layer = layer?;
        let id = match layer.name {
            "sequence" => "id",
            "image" if tile.z == MAX_ZOOM => "sequence_id",
            _ => continue,
        };
        found.read(&layer, id, &bbox.clip(tile, layer.extent), owner)?;
    }
    let sequences = found.seen.into_iter().filter(|seen| seen.inside && (seen.owned || owner.is_none()));
    let mut sequences: Vec<Sequence> = sequences.map(|seen| seen.record(owner)).collect();
    // The order of features is the server's whim; the files should not change with it.
    sequences.sort_unstable_by(|a, b| a.seq_id.cmp(&b.seq_id));
    Ok(sequences)
}

/// A layer of a vector tile, counted.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TileLayer {
    /// Its name: `overview`, `sequence` or `image`; others are left alone by the crawler.
    pub name: String,
    /// How many features it has.
    pub features: usize,
    /// How many sequences they are of.
    pub sequences: usize,
}

/// What is in the bytes of a tile, as the crawler reads it: to look into a tile by hand.
///
/// ```
/// assert_eq!(streetflow::sources::tile_layers(&[])?, []);
/// # Ok::<(), streetflow::Error>(())
/// ```
pub fn tile_layers(bytes: &[u8]) -> crate::Result<Vec<TileLayer>> {
    let counted = layers(bytes).map(|layer| count(&layer?)).collect::<Result<_, Fault>>();
    counted.map_err(|fault| Error::new(ErrorKind::Malformed, "read the tile").because(fault))
}

fn count(layer: &Layer<'_>) -> Result<TileLayer, Fault> {
    let mut tagged = Tagged::of(layer, if layer.name == "sequence" { "id" } else { "sequence_id" });
    let (mut features, mut ids) = (0, HashSet::new());
    for feature in layer.features() {
        let feature = feature?;
        ids.extend(tagged.read(&feature)?.id.map(|(_, id)| id));
        feature.lies_in(&Clip::nowhere())?;
        features += 1;
    }
    Ok(TileLayer { name: layer.name.to_owned(), features, sequences: ids.len() })
}

/// The sequences of one tile, gathered over its layers.
#[derive(Default)]
struct Found<'a> {
    seen: Vec<Seen<'a>>,
    index: HashMap<&'a str, u32>,
}

struct Seen<'a> {
    id: SequenceId,
    organization: Value<'a>,
    creator: Value<'a>,
    owned: bool,
    inside: bool,
}

impl<'a> Found<'a> {
    fn read(&mut self, layer: &Layer<'a>, id: &str, clip: &Clip, owner: Option<&Owner>) -> Result<(), Fault> {
        // A layer shares one table of values, so a sequence's id is looked up once, not once an image.
        // Counted from 1; zeros cost no memory before they are written to.
        let mut places = vec![0_u32; layer.values.len()];
        let mut tagged = Tagged::of(layer, id);
        for feature in layer.features() {
            let feature = feature?;
            let tags = tagged.read(&feature)?;
            let Some((index, id)) = tags.id else { continue };
            if places[index] == 0 {
                let Some(place) = self.place(id)? else { continue };
                places[index] = place;
            }
            let seen = &mut self.seen[places[index] as usize - 1];
            if seen.organization == Value::None {
                seen.organization = tags.organization;
            }
            if seen.creator == Value::None {
                seen.creator = tags.creator;
            }
            seen.owned = seen.owned || owner.is_some_and(|owner| tags.belongs_to(owner));
            seen.inside = seen.inside || clip.is_whole() || feature.lies_in(clip)?;
        }
        Ok(())
    }

    /// Where the sequence stands in the list, from 1; none if its id can't be one.
    fn place(&mut self, text: &'a str) -> Result<Option<u32>, Fault> {
        if let Some(place) = self.index.get(text) {
            return Ok(Some(*place));
        }
        let Ok(id) = SequenceId::check(text) else { return Ok(None) };
        if self.seen.len() == MOST_SEQUENCES {
            return Err("it shows more than two million sequences");
        }
        let (organization, creator) = (Value::None, Value::None);
        self.seen.push(Seen { id, organization, creator, owned: false, inside: false });
        let place = u32::try_from(self.seen.len()).map_err(|_| "it shows too many sequences")?;
        self.index.insert(text, place);
        Ok(Some(place))
    }
}

impl Seen<'_> {
    fn record(self, owner: Option<&Owner>) -> Sequence {
        let org_id = match owner {
            Some(owner) => Some(owner.id.clone()),
            None if self.organization == Value::None => self.creator.id(),
            None => self.organization.id(),
        };
        Sequence { org_id, seq_id: self.id }
    }
}

const NO_VALUE: Fault = "a tag names no value";

/// What a key of a layer means to us.
#[derive(Clone, Copy)]
enum Meaning {
    Nothing,
    Id,
    Organization,
    Creator,
}

struct Tags<'a> {
    /// The place of the sequence's id in the layer's values, and the id.
    id: Option<(usize, &'a str)>,
    organization: Value<'a>,
    creator: Value<'a>,
}

impl Tags<'_> {
    fn belongs_to(&self, owner: &Owner) -> bool {
        owner.is(self.organization) || owner.is(self.creator)
    }
}

/// Reads the tags of a layer's features.
struct Tagged<'t, 'a> {
    layer: &'t Layer<'a>,
    /// Of each key.
    meanings: Vec<Meaning>,
    id: Last<'a>,
    organization: Last<'a>,
    creator: Last<'a>,
}

/// The value that was read last, and its place: features of one sequence follow each other and share theirs.
struct Last<'a> {
    index: usize,
    value: Value<'a>,
}

impl<'a> Last<'a> {
    /// No layer has so many values.
    const NONE: Self = Self { index: usize::MAX, value: Value::None };

    #[inline]
    fn read(&mut self, layer: &Layer<'a>, index: usize) -> Result<Value<'a>, Fault> {
        if self.index != index {
            let value = Value::read(layer.values.get(index).ok_or(NO_VALUE)?)?;
            *self = Self { index, value };
        }
        Ok(self.value)
    }
}

impl<'t, 'a> Tagged<'t, 'a> {
    fn of(layer: &'t Layer<'a>, id: &str) -> Self {
        let meaning = |key: &&[u8]| match *key {
            key if key == id.as_bytes() => Meaning::Id,
            b"organization_id" => Meaning::Organization,
            b"creator_id" => Meaning::Creator,
            _ => Meaning::Nothing,
        };
        let meanings = layer.keys.iter().map(meaning).collect();
        Self { layer, meanings, id: Last::NONE, organization: Last::NONE, creator: Last::NONE }
    }

    fn read(&mut self, feature: &Feature<'a>) -> Result<Tags<'a>, Fault> {
        let layer = self.layer;
        let mut tags = Tags { id: None, organization: Value::None, creator: Value::None };
        let mut pairs = Varints(feature.tags);
        while let Some(key) = pairs.next() {
            let value = pairs.next().ok_or("a feature's tags are odd")??;
            let meaning = *usize::try_from(key?)
                .ok()
                .and_then(|key| self.meanings.get(key))
                .ok_or("a tag names no key")?;
            let index = usize::try_from(value).map_err(|_| NO_VALUE)?;
            match meaning {
                Meaning::Nothing if index < layer.values.len() => {}
                Meaning::Nothing => return Err(NO_VALUE),
                Meaning::Id => {
                    if let Value::Text(id) = self.id.read(layer, index)? {
                        tags.id = Some((index, id));
                    }
                }
                Meaning::Organization => tags.organization = self.organization.read(layer, index)?,
                Meaning::Creator => tags.creator = self.creator.read(layer, index)?,
            }
        }
        Ok(tags)
    }
}

#[cfg(test)]
mod tests;
