//! The protobuf encoding, as far as vector tiles need it.

/// Why a message can't be decoded.
pub(crate) type Fault = &'static str;

/// Iterates over the fields of a protobuf message; ends after an error.
pub(crate) struct Message<'a>(&'a [u8]);

/// The value of a field.
pub(crate) enum Field<'a> {
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
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Number of bytes that were not read yet.
    pub(crate) fn rest_len(&self) -> usize {
        self.0.len()
    }

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
pub(crate) struct Varints<'a>(&'a [u8]);

impl<'a> Varints<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Number of bytes that were not read yet.
    pub(crate) fn rest_len(&self) -> usize {
        self.0.len()
    }

    /// The next signed number of a geometry.
    #[inline]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_possible_wrap,
        reason = "steps are 32 bits by definition"
    )]
    pub(crate) fn step(&mut self) -> Result<i32, Fault> {
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
