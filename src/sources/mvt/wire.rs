//! The protobuf encoding of a vector tile: layers, features, values and numbers.

use crate::geo::Clip;
use crate::model::OwnerId;

/// Why a tile can't be decoded.
pub(in crate::sources) type Fault = &'static str;

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
        match Message(self.layer.get(begin..)?).next()? {
            Ok((_, Field::Bytes(value))) => Some(value),
            _ => None,
        }
    }
}

pub(super) fn layers(tile: &[u8]) -> impl Iterator<Item = Result<Layer<'_>, Fault>> {
    Message(tile).filter_map(|field| match field {
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
        let mut fields = Message(bytes);
        loop {
            let begin = bytes.len() - fields.0.len();
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
                    layer.features = &bytes[first..bytes.len() - fields.0.len()];
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
        Message(self.features).filter_map(move |field| match field {
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
        for field in Message(bytes) {
            value = match field {
                Ok((1, Field::Bytes(text))) => std::str::from_utf8(text).map_or(Self::Unusable, Self::Text),
                Ok((2, Field::Fixed32(bits))) => Self::Double(f32::from_bits(bits).into()),
                Ok((3, Field::Fixed64(bits))) => Self::Double(f64::from_bits(bits)),
                Ok((4 | 5, Field::Varint(number))) => Self::Whole(number),
                // Zigzag encoding; an id is never negative.
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
        for field in Message(bytes) {
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
        let mut numbers = Varints(self.geometry);
        let command = numbers.next()?.ok()?;
        let is_point = command & 7 == 1 && command >> 3 >= 1;
        is_point.then(|| Some((numbers.step().ok()?, numbers.step().ok()?))).flatten()
    }

    /// Calls `visit` with each segment, and with each first point as a segment without length. Returns their number.
    pub(super) fn pieces(&self, mut visit: impl FnMut((i32, i32), (i32, i32))) -> Result<u64, Fault> {
        let mut numbers = Varints(self.geometry);
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

/// Iterates over the fields of a protobuf message; ends after an error.
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

const TRUNCATED: Fault = "the tile is truncated";

impl<'a> Message<'a> {
    #[inline]
    fn field(&mut self) -> Result<(u32, Field<'a>), Fault> {
        let tag = varint(&mut self.0)?;
        let number = u32::try_from(tag >> 3).map_err(|_| "a field number is implausible")?;
        let field = match tag & 7 {
            0 => Field::Varint(varint(&mut self.0)?),
            1 => Field::Fixed64(u64::from_le_bytes(self.fixed()?)),
            2 => {
                let len = usize::try_from(varint(&mut self.0)?).map_err(|_| TRUNCATED)?;
                let (bytes, rest) = self.0.split_at_checked(len).ok_or(TRUNCATED)?;
                self.0 = rest;
                Field::Bytes(bytes)
            }
            5 => Field::Fixed32(u32::from_le_bytes(self.fixed()?)),
            _ => return Err("it is not a vector tile"),
        };
        Ok((number, field))
    }

    fn fixed<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let (bytes, rest) = self.0.split_first_chunk().ok_or(TRUNCATED)?;
        self.0 = rest;
        Ok(*bytes)
    }
}

/// Iterates over packed numbers.
pub(super) struct Varints<'a>(pub(super) &'a [u8]);

impl Varints<'_> {
    /// The next signed number of a geometry.
    #[inline]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_possible_wrap,
        reason = "steps are 32 bits by definition"
    )]
    fn step(&mut self) -> Result<i32, Fault> {
        let zigzag = self.next().ok_or("a geometry is truncated")?? as u32;
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

/// Reads a varint. Most have one byte; indices in a value table have up to three.
#[inline]
fn varint(bytes: &mut &[u8]) -> Result<u64, Fault> {
    let low = |byte: u8| u64::from(byte & 0x7f);
    let (number, rest) = match *bytes {
        [one @ ..0x80, rest @ ..] => (low(*one), rest),
        [one, two @ ..0x80, rest @ ..] => (low(*one) | low(*two) << 7, rest),
        [one, two, three @ ..0x80, rest @ ..] => (low(*one) | low(*two) << 7 | low(*three) << 14, rest),
        _ => return long_varint(bytes),
    };
    *bytes = rest;
    Ok(number)
}

fn long_varint(bytes: &mut &[u8]) -> Result<u64, Fault> {
    let mut number = 0;
    for (place, byte) in bytes.iter().take(10).enumerate() {
        number |= u64::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            *bytes = &bytes[place + 1..];
            return Ok(number);
        }
    }
    Err(TRUNCATED)
}
