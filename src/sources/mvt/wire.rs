//! The protobuf encoding of a vector tile: layers, features, values and numbers.

use crate::geo::Clip;
use crate::model::OwnerId;
pub(in crate::sources) use crate::protobuf::Fault;
pub(super) use crate::protobuf::Varints;
use crate::protobuf::{Field, Message};

/// Largest integer up to which a double represents all integers.
pub(super) const MAX_EXACT_F64: f64 = 9_007_199_254_740_991.0;

/// Maximum keys of a layer; layers have a dozen.
const MAX_KEYS: usize = 10_000;

/// Maximum values of a layer: three for each of five million images, more than a tile of 64 MiB has.
const MAX_VALUES: usize = 16_000_000;

/// Maximum features of a layer: four times the number in the largest known tile.
const MAX_FEATURES: usize = 8_000_000;

/// Maximum length of an id in bytes; longer values are not parsed.
const MAX_VALUE_LEN: usize = 128;

/// The tables of a layer, and the bytes of its features.
pub(super) struct Layer<'a> {
    pub(super) name: &'a str,
    pub(super) extent: u32,
    pub(super) keys: Vec<&'a [u8]>,
    pub(super) values: Values<'a>,
    /// The bytes from the first feature to the last.
    features: &'a [u8],
}

/// The value table of a layer. It stores only offsets, because two bytes of a tile can define a value.
pub(super) struct Values<'a> {
    layer: &'a [u8],
    begins: Vec<u32>,
}

impl<'a> Values<'a> {
    fn push(&mut self, begin: usize) -> Result<(), Fault> {
        if self.begins.len() == MAX_VALUES {
            return Err("a layer has more than 16 million values");
        }
        self.begins.push(u32::try_from(begin).map_err(|_| "a layer is larger than 4 GiB")?);
        Ok(())
    }

    pub(super) fn len(&self) -> usize {
        self.begins.len()
    }

    pub(super) fn get(&self, index: usize) -> Option<&'a [u8]> {
        let begin = *self.begins.get(index)? as usize;
        match Message::new(self.layer.get(begin..)?).next()? {
            Ok((_, Field::Bytes(value))) => Some(value),
            _ => None,
        }
    }
}

pub(super) fn layers(tile: &[u8]) -> impl Iterator<Item = Result<Layer<'_>, Fault>> {
    Message::new(tile).filter_map(|field| match field {
        Ok((3, Field::Bytes(bytes))) => Some(Layer::read(bytes)),
        Ok(_) => None,
        Err(fault) => Some(Err(fault)),
    })
}

impl<'a> Layer<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self, Fault> {
        let values = Values { layer: bytes, begins: Vec::new() };
        let mut layer = Self { name: "", extent: 4096, keys: Vec::new(), values, features: &[] };
        let mut first_feature = None;
        let mut fields = Message::new(bytes);
        loop {
            let begin = bytes.len() - fields.rest_len();
            let Some(field) = fields.next() else { return Ok(layer) };
            match field? {
                // An invalid name is an unknown layer.
                (1, Field::Bytes(name)) => layer.name = std::str::from_utf8(name).unwrap_or_default(),
                (3, Field::Bytes(_)) if layer.keys.len() == MAX_KEYS => {
                    return Err("a layer has more than 10,000 keys");
                }
                (3, Field::Bytes(key)) => layer.keys.push(key),
                (4, Field::Bytes(_)) => layer.values.push(begin)?,
                // The values usually follow the features, and need not be skipped again.
                (2, Field::Bytes(_)) => {
                    let first = *first_feature.get_or_insert(begin);
                    layer.features = &bytes[first..bytes.len() - fields.rest_len()];
                }
                (5, Field::Varint(extent)) => {
                    layer.extent = u32::try_from(extent).map_err(|_| "a layer's extent is implausible")?;
                }
                _ => {}
            }
        }
    }

    /// Iterates over the features. An unreadable one is an inner error, and the next one follows.
    pub(super) fn features(
        &self,
    ) -> impl Iterator<Item = Result<Result<Feature<'a>, Fault>, Fault>> + use<'a> {
        let mut count = 0;
        Message::new(self.features).filter_map(move |field| match field {
            Ok((2, Field::Bytes(bytes))) => {
                count += 1;
                if count > MAX_FEATURES {
                    return Some(Err("a layer has more than 8 million features"));
                }
                Some(Ok(Feature::read(bytes)))
            }
            Ok(_) => None,
            Err(fault) => Some(Err(fault)),
        })
    }
}

/// The value of a property, as far as ids, times and booleans need it. Empty text and zero are `None`, and a value that
/// can't be read is unusable.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Value<'a> {
    None,
    Text(&'a str),
    Whole(u64),
    Double(f64),
    Flag(bool),
    Unusable,
}

impl<'a> Value<'a> {
    pub(super) fn read(bytes: &'a [u8]) -> Self {
        if bytes.len() > MAX_VALUE_LEN {
            return Self::Unusable;
        }
        let mut value = Self::None;
        for field in Message::new(bytes) {
            value = match field {
                Ok((1, Field::Bytes(text))) => std::str::from_utf8(text).map_or(Self::Unusable, Self::Text),
                Ok((2, Field::Fixed32(bits))) => Self::Double(f32::from_bits(bits).into()),
                Ok((3, Field::Fixed64(bits))) => Self::Double(f64::from_bits(bits)),
                // An id is never negative.
                Ok((4, Field::Varint(number))) if number >> 63 != 0 => Self::Unusable,
                Ok((4 | 5, Field::Varint(number))) => Self::Whole(number),
                // Zigzag encoding.
                Ok((6, Field::Varint(number))) if number & 1 == 0 => Self::Whole(number >> 1),
                Ok((7, Field::Varint(flag))) => Self::Flag(flag != 0),
                Ok(_) => continue,
                Err(_) => return Self::Unusable,
            };
        }
        match value {
            Self::Text("") | Self::Whole(0) => Self::None,
            Self::Double(double) if double.is_nan() || double <= 0.0 => Self::None,
            value => value,
        }
    }

    /// The integer, such as a time, if the value is one.
    #[expect(clippy::cast_possible_truncation, reason = "whole and below 2^53")]
    pub(super) fn whole(self) -> Option<i64> {
        match self {
            Self::Whole(whole) => i64::try_from(whole).ok(),
            Self::Double(double) if double <= MAX_EXACT_F64 => Some(double as i64),
            _ => None,
        }
    }

    /// The id as text, if the value has not lost digits.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "whole, positive and below 2^53"
    )]
    pub(super) fn id(self) -> Option<OwnerId> {
        let whole = match self {
            Self::None | Self::Flag(_) | Self::Unusable => return None,
            Self::Text(text) => return OwnerId::check(text).ok(),
            Self::Whole(whole) => whole,
            Self::Double(double) if double.fract() == 0.0 && double <= MAX_EXACT_F64 => double as u64,
            Self::Double(_) => return None,
        };
        OwnerId::check(&whole.to_string()).ok()
    }
}

pub(super) struct Feature<'a> {
    pub(super) tags: &'a [u8],
    geometry: &'a [u8],
}

impl<'a> Feature<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self, Fault> {
        let mut feature = Self { tags: &[], geometry: &[] };
        for field in Message::new(bytes) {
            match field? {
                (2, Field::Bytes(tags)) => feature.tags = tags,
                (4, Field::Bytes(geometry)) => feature.geometry = geometry,
                _ => {}
            }
        }
        Ok(feature)
    }

    /// The first point of the geometry, if there is one.
    pub(super) fn point(&self) -> Option<(i32, i32)> {
        let mut numbers = Varints::new(self.geometry);
        let command = numbers.next()?.ok()?;
        let is_point = command & 7 == 1 && command >> 3 >= 1;
        is_point.then(|| Some((numbers.step().ok()?, numbers.step().ok()?))).flatten()
    }

    /// Calls `visit` with each segment, and with each first point as a segment without length. Returns their number.
    pub(super) fn pieces(&self, mut visit: impl FnMut((i32, i32), (i32, i32))) -> Result<u64, Fault> {
        let mut numbers = Varints::new(self.geometry);
        let (mut at, mut count) = ((0_i32, 0_i32), 0);
        while let Some(command) = numbers.next() {
            let command = command?;
            let (verb, steps) = (command & 7, command >> 3);
            if verb == 7 {
                continue;
            }
            if !matches!(verb, 1 | 2) {
                return Err("a geometry has an unknown command");
            }
            for _ in 0..steps {
                let to = (at.0.wrapping_add(numbers.step()?), at.1.wrapping_add(numbers.step()?));
                visit(if verb == 2 { at } else { to }, to);
                (at, count) = (to, count + 1);
            }
        }
        Ok(count)
    }

    /// Whether a point or a line segment of the feature touches the clip.
    pub(super) fn lies_in(&self, clip: &Clip) -> Result<bool, Fault> {
        let mut numbers = Varints::new(self.geometry);
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
