//! The tags of features: id, owner, time and kind.

use super::filter::TileFilter;
use super::wire::{Feature, Layer, Value, Varints};

/// The meaning of a key of a layer.
#[derive(Clone, Copy)]
enum Meaning {
    Nothing,
    Id,
    Organization,
    Creator,
    CapturedAt,
    IsPano,
}

/// The id of a feature's sequence, and its index in the value table.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Id<'a> {
    Absent,
    Text(usize, &'a str),
    Unusable(usize),
}

pub(super) struct Tags<'a> {
    pub(super) id: Id<'a>,
    pub(super) organization: Value<'a>,
    pub(super) creator: Value<'a>,
    pub(super) captured_at: Value<'a>,
    pub(super) is_pano: Value<'a>,
    /// Whether some of the tags can't be read.
    pub(super) is_broken: bool,
}

/// Reads the tags of features.
pub(super) struct Tagged<'t, 'a> {
    layer: &'t Layer<'a>,
    /// The meaning of each key.
    meanings: Vec<Meaning>,
    id: Last<'a>,
    organization: Last<'a>,
    creator: Last<'a>,
    captured_at: Last<'a>,
    is_pano: Last<'a>,
}

/// The latest value and its index: neighbouring features belong to one sequence and share the value.
struct Last<'a> {
    index: usize,
    value: Value<'a>,
}

impl<'a> Last<'a> {
    /// No layer has this many values.
    const NONE: Self = Self { index: usize::MAX, value: Value::None };

    #[inline]
    fn read(&mut self, layer: &Layer<'a>, index: usize) -> Value<'a> {
        if self.index != index {
            let value = layer.values.get(index).map_or(Value::Unusable, Value::read);
            *self = Self { index, value };
        }
        self.value
    }
}

impl<'t, 'a> Tagged<'t, 'a> {
    /// Times and kinds differ for nearly every image, so they are only read if the filter needs them.
    pub(super) fn new(layer: &'t Layer<'a>, id: &str, filter: &TileFilter) -> Self {
        let meaning = |key: &&[u8]| match *key {
            key if key == id.as_bytes() => Meaning::Id,
            b"organization_id" => Meaning::Organization,
            b"creator_id" => Meaning::Creator,
            b"captured_at" if filter.dates.is_some() => Meaning::CapturedAt,
            b"is_pano" if filter.is_pano.is_some() => Meaning::IsPano,
            _ => Meaning::Nothing,
        };
        let meanings = layer.keys.iter().map(meaning).collect();
        let [id, organization, creator, captured_at, is_pano] = [const { Last::NONE }; 5];
        Self { layer, meanings, id, organization, creator, captured_at, is_pano }
    }

    /// Reads tags. A pair with an invalid key or value is ignored; after a truncated number nothing can be read.
    pub(super) fn read(&mut self, feature: &Feature<'a>) -> Tags<'a> {
        let layer = self.layer;
        let [organization, creator, captured_at, is_pano] = [Value::None; 4];
        let mut tags = Tags { id: Id::Absent, organization, creator, captured_at, is_pano, is_broken: false };
        let mut pairs = Varints::new(feature.tags);
        while let Some(key) = pairs.next() {
            let (Ok(key), Some(Ok(value))) = (key, pairs.next()) else {
                tags.is_broken = true;
                return tags;
            };
            let known = usize::try_from(key).ok().and_then(|key| self.meanings.get(key));
            let (Some(meaning), Ok(index)) = (known, usize::try_from(value)) else {
                tags.is_broken = true;
                continue;
            };
            match meaning {
                Meaning::Nothing => {}
                // The value of this index does not exist.
                Meaning::Id if index >= layer.values.len() => tags.is_broken = true,
                Meaning::Id => match self.id.read(layer, index) {
                    Value::Text(id) => tags.id = Id::Text(index, id),
                    Value::None => {}
                    _ => tags.id = Id::Unusable(index),
                },
                Meaning::Organization => tags.organization = self.organization.read(layer, index),
                Meaning::Creator => tags.creator = self.creator.read(layer, index),
                Meaning::CapturedAt => tags.captured_at = self.captured_at.read(layer, index),
                Meaning::IsPano => tags.is_pano = self.is_pano.read(layer, index),
            }
        }
        tags
    }
}
