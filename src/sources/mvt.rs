//! Vector tile bytes to the sequences they show, reading only what that needs.
//!
//! Layers, keys and values are borrowed from the tile; a feature costs no
//! allocation. Layer fields may come in any order (in real tiles the version
//! comes last), numbers in any of the five encodings, and any property may be
//! missing or empty.

use std::collections::{HashMap, HashSet};

use crate::error::{Error, ErrorKind};
use crate::geo::{Bbox, Clip, MAX_ZOOM, TileId};
use crate::model::{OwnerId, Sequence, SequenceId};

/// Why a tile can't be read.
pub(super) type Fault = &'static str;

/// The largest whole number up to which a double tells all whole numbers apart.
const EXACT: f64 = 9_007_199_254_740_991.0;

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
        let keys = Keys::of(&layer, "id");
        for feature in layer.features() {
            let tags = keys.read(&layer, &feature?)?;
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
        found.read(&layer, &Keys::of(&layer, id), &bbox.clip(tile, layer.extent), owner)?;
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
    let keys = Keys::of(layer, if layer.name == "sequence" { "id" } else { "sequence_id" });
    let (mut features, mut ids) = (0, HashSet::new());
    for feature in layer.features() {
        let feature = feature?;
        ids.extend(keys.read(layer, &feature)?.id.map(|(_, id)| id));
        feature.lies_in(&Clip::nowhere())?;
        features += 1;
    }
    Ok(TileLayer { name: layer.name.to_owned(), features, sequences: ids.len() })
}

/// The sequences of one tile, gathered over its layers.
#[derive(Default)]
struct Found<'a> {
    seen: Vec<Seen<'a>>,
    index: HashMap<&'a str, usize>,
}

struct Seen<'a> {
    id: SequenceId,
    organization: Value<'a>,
    creator: Value<'a>,
    owned: bool,
    inside: bool,
}

impl<'a> Found<'a> {
    fn read(
        &mut self,
        layer: &Layer<'a>,
        keys: &Keys,
        clip: &Clip,
        owner: Option<&Owner>,
    ) -> Result<(), Fault> {
        // A layer shares one table of values, so a sequence's id is looked up once, not once an image.
        let mut places: Vec<Option<usize>> = vec![None; layer.values.len()];
        for feature in layer.features() {
            let feature = feature?;
            let tags = keys.read(layer, &feature)?;
            let Some((index, id)) = tags.id else { continue };
            let Some(place) = places[index].or_else(|| self.place(id)) else { continue };
            places[index] = Some(place);
            let seen = &mut self.seen[place];
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

    /// Where the sequence stands in the list; none if its id can't be one.
    fn place(&mut self, id: &'a str) -> Option<usize> {
        if let Some(place) = self.index.get(id) {
            return Some(*place);
        }
        let place = self.seen.len();
        let (organization, creator) = (Value::None, Value::None);
        self.seen.push(Seen {
            id: SequenceId::check(id).ok()?,
            organization,
            creator,
            owned: false,
            inside: false,
        });
        self.index.insert(id, place);
        Some(place)
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

/// A layer's tables, and its bytes for the features.
struct Layer<'a> {
    name: &'a str,
    extent: u32,
    keys: Vec<&'a [u8]>,
    values: Vec<&'a [u8]>,
    bytes: &'a [u8],
}

fn layers(tile: &[u8]) -> impl Iterator<Item = Result<Layer<'_>, Fault>> {
    Message(tile).filter_map(|field| match field {
        Ok((3, Field::Bytes(bytes))) => Some(Layer::read(bytes)),
        Ok(_) => None,
        Err(fault) => Some(Err(fault)),
    })
}

impl<'a> Layer<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self, Fault> {
        let mut layer = Self { name: "", extent: 4096, keys: Vec::new(), values: Vec::new(), bytes };
        for field in Message(bytes) {
            match field? {
                (1, Field::Bytes(name)) => {
                    layer.name = std::str::from_utf8(name).map_err(|_| "a layer's name is no text")?
                }
                (3, Field::Bytes(key)) => layer.keys.push(key),
                (4, Field::Bytes(value)) => layer.values.push(value),
                (5, Field::Varint(extent)) => {
                    layer.extent = u32::try_from(extent).map_err(|_| "a layer's extent is absurd")?
                }
                _ => {}
            }
        }
        Ok(layer)
    }

    fn features(&self) -> impl Iterator<Item = Result<Feature<'a>, Fault>> + use<'a> {
        Message(self.bytes).filter_map(|field| match field {
            Ok((2, Field::Bytes(bytes))) => Some(Feature::read(bytes)),
            Ok(_) => None,
            Err(fault) => Some(Err(fault)),
        })
    }
}

/// What each key of a layer means to us.
struct Keys(Vec<Meaning>);

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

impl Keys {
    fn of(layer: &Layer<'_>, id: &str) -> Self {
        let meaning = |key: &&[u8]| match *key {
            key if key == id.as_bytes() => Meaning::Id,
            b"organization_id" => Meaning::Organization,
            b"creator_id" => Meaning::Creator,
            _ => Meaning::Nothing,
        };
        Self(layer.keys.iter().map(meaning).collect())
    }

    fn read<'a>(&self, layer: &Layer<'a>, feature: &Feature<'a>) -> Result<Tags<'a>, Fault> {
        let mut tags = Tags { id: None, organization: Value::None, creator: Value::None };
        let mut pairs = Varints(feature.tags);
        while let Some(key) = pairs.next() {
            let value = pairs.next().ok_or("a feature's tags are odd")??;
            let meaning =
                *usize::try_from(key?).ok().and_then(|key| self.0.get(key)).ok_or("a tag names no key")?;
            let index = usize::try_from(value).map_err(|_| "a tag names no value")?;
            let bytes = *layer.values.get(index).ok_or("a tag names no value")?;
            match meaning {
                Meaning::Nothing => {}
                Meaning::Id => {
                    if let Value::Text(id) = Value::read(bytes)? {
                        tags.id = Some((index, id));
                    }
                }
                Meaning::Organization => tags.organization = Value::read(bytes)?,
                Meaning::Creator => tags.creator = Value::read(bytes)?,
            }
        }
        Ok(tags)
    }
}

/// A property's value, as far as ids go; empty text and zero are none.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Value<'a> {
    None,
    Text(&'a str),
    Whole(u64),
    Double(f64),
}

impl<'a> Value<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self, Fault> {
        let mut value = Self::None;
        for field in Message(bytes) {
            value = match field? {
                (1, Field::Bytes(text)) => {
                    Self::Text(std::str::from_utf8(text).map_err(|_| "a value is no text")?)
                }
                (2, Field::Fixed32(bits)) => Self::Double(f32::from_bits(bits).into()),
                (3, Field::Fixed64(bits)) => Self::Double(f64::from_bits(bits)),
                (4 | 5, Field::Varint(number)) => Self::Whole(number),
                // Zigzag; an id is never negative.
                (6, Field::Varint(number)) if number & 1 == 0 => Self::Whole(number >> 1),
                _ => continue,
            };
        }
        Ok(match value {
            Self::Text("") | Self::Whole(0) => Self::None,
            Self::Double(double) if double.is_nan() || double <= 0.0 => Self::None,
            value => value,
        })
    }

    /// The id in text, if the value still has all of its digits.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "whole, positive and below 2^53"
    )]
    fn id(self) -> Option<OwnerId> {
        let whole = match self {
            Self::None => return None,
            Self::Text(text) => return OwnerId::check(text).ok(),
            Self::Whole(whole) => whole,
            Self::Double(double) if double.fract() == 0.0 && double <= EXACT => double as u64,
            Self::Double(_) => return None,
        };
        OwnerId::check(&whole.to_string()).ok()
    }
}

struct Feature<'a> {
    tags: &'a [u8],
    geometry: &'a [u8],
}

impl<'a> Feature<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self, Fault> {
        let mut feature = Self { tags: &[], geometry: &[] };
        for field in Message(bytes) {
            match field? {
                (2, Field::Bytes(tags)) => feature.tags = tags,
                (4, Field::Bytes(geometry)) => feature.geometry = geometry,
                _ => {}
            }
        }
        Ok(feature)
    }

    /// Whether one of its points lies in the box, or a line between two of them passes through it.
    fn lies_in(&self, clip: &Clip) -> Result<bool, Fault> {
        let mut numbers = Varints(self.geometry);
        let (mut x, mut y) = (0_i32, 0_i32);
        while let Some(command) = numbers.next() {
            let command = command?;
            let (verb, count) = (command & 7, command >> 3);
            if verb == 7 {
                continue;
            }
            if !matches!(verb, 1 | 2) {
                return Err("a geometry has an unknown command");
            }
            for _ in 0..count {
                let from = (x, y);
                x = x.wrapping_add(numbers.step()?);
                y = y.wrapping_add(numbers.step()?);
                if clip.has_point(x, y) || verb == 2 && clip.has_segment(from, (x, y)) {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }
}

/// The fields of a protobuf message, one after the other; after a fault there is nothing more.
struct Message<'a>(&'a [u8]);

enum Field<'a> {
    Varint(u64),
    Fixed64(u64),
    Bytes(&'a [u8]),
    Fixed32(u32),
}

impl<'a> Iterator for Message<'a> {
    type Item = Result<(u32, Field<'a>), Fault>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.0 = &[];
        }
        Some(field)
    }
}

const CUT: Fault = "the tile is cut short";

impl<'a> Message<'a> {
    #[inline]
    fn field(&mut self) -> Result<(u32, Field<'a>), Fault> {
        let tag = varint(&mut self.0)?;
        let number = u32::try_from(tag >> 3).map_err(|_| "a field's number is absurd")?;
        let field = match tag & 7 {
            0 => Field::Varint(varint(&mut self.0)?),
            1 => Field::Fixed64(u64::from_le_bytes(self.fixed()?)),
            2 => {
                let len = usize::try_from(varint(&mut self.0)?).map_err(|_| CUT)?;
                let (bytes, rest) = self.0.split_at_checked(len).ok_or(CUT)?;
                self.0 = rest;
                Field::Bytes(bytes)
            }
            5 => Field::Fixed32(u32::from_le_bytes(self.fixed()?)),
            _ => return Err("it is no vector tile"),
        };
        Ok((number, field))
    }

    fn fixed<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let (bytes, rest) = self.0.split_first_chunk().ok_or(CUT)?;
        self.0 = rest;
        Ok(*bytes)
    }
}

/// Packed numbers.
struct Varints<'a>(&'a [u8]);

impl Varints<'_> {
    /// The next signed step of a geometry.
    #[inline]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_possible_wrap,
        reason = "steps are 32 bits by definition"
    )]
    fn step(&mut self) -> Result<i32, Fault> {
        let zigzag = self.next().ok_or("a geometry is cut short")?? as u32;
        Ok((zigzag >> 1) as i32 ^ -((zigzag & 1) as i32))
    }
}

impl Iterator for Varints<'_> {
    type Item = Result<u64, Fault>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        (!self.0.is_empty()).then(|| varint(&mut self.0))
    }
}

#[inline]
fn varint(bytes: &mut &[u8]) -> Result<u64, Fault> {
    let mut number = 0;
    for (place, byte) in bytes.iter().take(10).enumerate() {
        number |= u64::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            *bytes = &bytes[place + 1..];
            return Ok(number);
        }
    }
    Err(CUT)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TILE: TileId = TileId { z: 14, x: 9710, y: 6475 };

    fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
        let len = u8::try_from(bytes.len()).expect("short enough for one byte of length");
        assert!(len < 128);
        [&[number << 3 | 2, len], bytes].concat()
    }

    /// A value in one of the encodings that numbers come in.
    fn number(encoding: u8, number: u32) -> Vec<u8> {
        match encoding {
            3 => [&[3 << 3 | 1][..], &f64::from(number).to_le_bytes()].concat(),
            6 => [&[6 << 3][..], &varint_of(u64::from(number) * 2)].concat(),
            _ => [&[encoding << 3][..], &varint_of(number.into())].concat(),
        }
    }

    fn varint_of(mut number: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        while number >= 128 {
            bytes.push((number & 127) as u8 | 128);
            number >>= 7;
        }
        bytes.push(number as u8);
        bytes
    }

    /// A tile with one line of sequence `abc` from (100, 100) to (300, 100), owned by 70000.
    fn tile(encoding: u8) -> Vec<u8> {
        let geometry = [&[9_u8][..], &varint_of(200), &varint_of(200), &[10], &varint_of(400), &[0]].concat();
        let feature = [field(2, &[0, 0, 1, 1]), vec![3 << 3, 2], field(4, &geometry)].concat();
        let layer = [
            field(2, &feature),
            field(3, b"id"),
            field(3, b"creator_id"),
            field(4, &field(1, b"abc")),
            field(4, &number(encoding, 70_000)),
            field(1, b"sequence"),
        ];
        field(3, &layer.concat())
    }

    fn owner(id: &str) -> Owner {
        Owner::new(OwnerId::new(id).expect("an id"))
    }

    fn everywhere() -> Bbox {
        "-180,-85,180,85".parse().expect("a box")
    }

    #[test]
    fn an_owner_is_found_in_every_encoding_of_numbers() {
        for encoding in [3, 4, 5, 6] {
            let tile = tile(encoding);
            assert_eq!(shows(&tile, Some(&owner("70000"))), Ok(true), "encoding {encoding}");
            assert_eq!(shows(&tile, Some(&owner("70001"))), Ok(false));
            let found = sequences(&tile, TILE, &everywhere(), None).expect("a tile");
            assert_eq!(found[0].org_id.as_ref().map(OwnerId::as_str), Some("70000"));
        }
    }

    #[test]
    fn a_line_counts_where_it_passes_through_the_box_and_only_there() {
        let box_of = |west: f64, north: f64, east: f64, south: f64| {
            let (nw, se) = (TILE.lonlat(west, north, 4096.0), TILE.lonlat(east, south, 4096.0));
            Bbox::new(nw.lon, se.lat, se.lon, nw.lat).expect("a box")
        };
        let found = |bbox: Bbox| sequences(&tile(4), TILE, &bbox, None).expect("a tile").len();
        assert_eq!(found(box_of(150.0, 50.0, 200.0, 150.0)), 1, "through the box, no point in it");
        assert_eq!(found(box_of(150.0, 120.0, 200.0, 150.0)), 0, "beside it");
        assert_eq!(found(box_of(310.0, 50.0, 400.0, 150.0)), 0, "before it");
    }

    #[test]
    fn a_double_beyond_2_to_the_53_matches_but_is_no_id() {
        let rounded = Value::Double(26_774_514_888_887_984.0);
        assert!(owner("26774514888887982").is(rounded));
        assert_eq!(rounded.id(), None);
        assert_eq!(
            Value::Double(9_007_199_254_740_991.0).id().map(|id| id.to_string()).as_deref(),
            Some("9007199254740991")
        );
    }

    #[test]
    fn no_cut_and_no_flipped_bit_makes_it_panic() {
        let whole = tile(3);
        for len in 0..whole.len() {
            sequences(&whole[..len], TILE, &everywhere(), None).ok();
        }
        for bit in 0..whole.len() * 8 {
            let mut spoilt = whole.clone();
            spoilt[bit / 8] ^= 1 << (bit % 8);
            sequences(&spoilt, TILE, &everywhere(), Some(&owner("70000"))).ok();
            shows(&spoilt, None).ok();
            tile_layers(&spoilt).ok();
        }
        assert!(sequences(b"no tile at all", TILE, &everywhere(), None).is_err());
    }
}
