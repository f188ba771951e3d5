//! Vector tile bytes to the sequences they show, reading only what that needs.
//!
//! Layers, keys and values are borrowed from the tile; a feature costs no
//! allocation. Layer fields may come in any order (in real tiles the version
//! comes last), numbers in any of the five encodings, and any property may be
//! missing or empty.

mod wanted;
mod wire;

use std::collections::{HashMap, HashSet};

use self::wanted::Word;
pub(super) use self::wanted::{Owner, Wanted};
use self::wire::{Feature, Layer, Value, Varints, layers};
use crate::error::{Error, ErrorKind};
use crate::geo::{Area, Clip, MAX_ZOOM, TileId};
use crate::model::{Sequence, SequenceId};

/// Ten times what has been seen in a tile of many countries.
const MOST_SEQUENCES: usize = 2_000_000;

/// Why a tile can't be read.
pub(super) type Fault = &'static str;

/// The sequences of a tile that are wanted, by id, each once; and those that lie there and are left out, with the
/// name of the filter that says so.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Shown {
    pub(super) sequences: Vec<Sequence>,
    pub(super) left_out: Vec<(SequenceId, &'static str)>,
    /// The images of those that are wanted, as far as the tile shows them.
    pub(super) images: u64,
}

/// Whether a tile above the level of collection shows a sequence that may be wanted.
pub(super) fn shows(bytes: &[u8], wanted: &Wanted) -> Result<bool, Fault> {
    for layer in layers(bytes) {
        let layer = layer?;
        if layer.name != "sequence" {
            continue;
        }
        let mut tagged = Tagged::of(&layer, "id", wanted);
        for feature in layer.features() {
            let tags = tagged.read(&feature?)?;
            let mut word = Word::default();
            word.hear(&tags, wanted);
            if tags.id.is_some() && word.is_owned(wanted) && word.against(wanted).is_none() {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// The sequences of a tile that lie in the area.
///
/// At level 14 the image layer counts too: a sequence with one image in the tile draws no line.
pub(super) fn sequences(bytes: &[u8], tile: TileId, area: &Area, wanted: &Wanted) -> Result<Shown, Fault> {
    let mut found = Found::default();
    for layer in layers(bytes) {
        let layer = layer?;
        let id = match layer.name {
            "sequence" => "id",
            "image" if tile.z == MAX_ZOOM => "sequence_id",
            _ => continue,
        };
        let shows_images = layer.name == "image";
        found.read(&layer, id, shows_images, &area.clip(tile, layer.extent), wanted)?;
    }
    let mut shown = Shown::default();
    for seen in found.seen.into_iter().filter(|seen| seen.inside && seen.word.is_owned(wanted)) {
        if let Some(filter) = seen.word.against(wanted) {
            shown.left_out.push((seen.id, filter));
        } else {
            shown.images += u64::from(seen.images);
            shown.sequences.push(seen.record(wanted));
        }
    }
    // The order of features is the server's whim; the files should not change with it.
    shown.sequences.sort_unstable_by(|a, b| a.seq_id.cmp(&b.seq_id));
    Ok(shown)
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
    let mut tagged = {
        let id = if layer.name == "sequence" { "id" } else { "sequence_id" };
        Tagged::of(layer, id, &Wanted::default())
    };
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
    word: Word,
    inside: bool,
    images: u32,
}

impl<'a> Found<'a> {
    fn read(
        &mut self,
        layer: &Layer<'a>,
        id: &str,
        shows_images: bool,
        clip: &Clip,
        wanted: &Wanted,
    ) -> Result<(), Fault> {
        // A layer shares one table of values, so a sequence's id is looked up once, not once an image.
        // Counted from 1; zeros cost no memory before they are written to.
        let mut places = vec![0_u32; layer.values.len()];
        let mut tagged = Tagged::of(layer, id, wanted);
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
            seen.word.hear(&tags, wanted);
            seen.images += u32::from(shows_images);
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
        let (word, inside, images) = (Word::default(), false, 0);
        self.seen.push(Seen { id, organization, creator, word, inside, images });
        let place = u32::try_from(self.seen.len()).map_err(|_| "it shows too many sequences")?;
        self.index.insert(text, place);
        Ok(Some(place))
    }
}

impl Seen<'_> {
    fn record(self, wanted: &Wanted) -> Sequence {
        let org_id = match self.word.owner(wanted) {
            Some(owner) => Some(owner.clone()),
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
    CapturedAt,
    IsPano,
}

struct Tags<'a> {
    /// The place of the sequence's id in the layer's values, and the id.
    id: Option<(usize, &'a str)>,
    organization: Value<'a>,
    creator: Value<'a>,
    captured_at: Value<'a>,
    is_pano: Value<'a>,
}

/// Reads the tags of a layer's features.
struct Tagged<'t, 'a> {
    layer: &'t Layer<'a>,
    /// Of each key.
    meanings: Vec<Meaning>,
    id: Last<'a>,
    organization: Last<'a>,
    creator: Last<'a>,
    captured_at: Last<'a>,
    is_pano: Last<'a>,
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
    /// Times and kinds are mostly another value for each image, and are left alone where nobody asks for them.
    fn of(layer: &'t Layer<'a>, id: &str, wanted: &Wanted) -> Self {
        let meaning = |key: &&[u8]| match *key {
            key if key == id.as_bytes() => Meaning::Id,
            b"organization_id" => Meaning::Organization,
            b"creator_id" => Meaning::Creator,
            b"captured_at" if wanted.dates.is_some() => Meaning::CapturedAt,
            b"is_pano" if wanted.is_pano.is_some() => Meaning::IsPano,
            _ => Meaning::Nothing,
        };
        let meanings = layer.keys.iter().map(meaning).collect();
        let [id, organization, creator, captured_at, is_pano] = [const { Last::NONE }; 5];
        Self { layer, meanings, id, organization, creator, captured_at, is_pano }
    }

    fn read(&mut self, feature: &Feature<'a>) -> Result<Tags<'a>, Fault> {
        let layer = self.layer;
        let [organization, creator, captured_at, is_pano] = [Value::None; 4];
        let mut tags = Tags { id: None, organization, creator, captured_at, is_pano };
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
                Meaning::CapturedAt => tags.captured_at = self.captured_at.read(layer, index)?,
                Meaning::IsPano => tags.is_pano = self.is_pano.read(layer, index)?,
            }
        }
        Ok(tags)
    }
}

#[cfg(test)]
mod tests;
