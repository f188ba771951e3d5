//! Checks a footer before the decoder reads it.
//!
//! A list of booleans takes no bytes where the decoder skips it, so a few bytes can claim two billion values. The
//! decoder counts them all, which takes half a second per list. No table writer writes such a list.
//!
//! Source: the compact protocol of Apache Thrift, and `skip` of the `parquet` crate 59.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

/// Nesting limit of the decoder.
const MAX_DEPTH: u8 = 64;

/// Values per byte of a footer that are plausible.
const VALUES_PER_BYTE: u64 = 16;

/// Rejects a footer that claims far more values than it has bytes. Other errors are left to the decoder.
pub(super) fn check(mut file: &File) -> Result<(), String> {
    let footer = read(&mut file);
    file.rewind().map_err(|error| error.to_string())?;
    let Ok(Some(footer)) = footer else { return Ok(()) };
    let values_left = VALUES_PER_BYTE * footer.len() as u64 + 1024;
    match (Scanner { rest: &footer, values_left }).fields(MAX_DEPTH) {
        Err(Stop::Trap) => {
            Err("the file is damaged: its footer claims more values than it can hold".to_owned())
        }
        Ok(()) | Err(Stop::Invalid) => Ok(()),
    }
}

/// Reads the footer; `None` if the file does not end like Parquet.
fn read(file: &mut &File) -> io::Result<Option<Vec<u8>>> {
    let mut tail = [0; 8];
    let len = file.seek(SeekFrom::End(0))?;
    if len < 8 {
        return Ok(None);
    }
    file.seek(SeekFrom::End(-8))?;
    file.read_exact(&mut tail)?;
    let (size, magic) = tail.split_at(4);
    let size = u64::from(u32::from_le_bytes(size.try_into().map_err(io::Error::other)?));
    if magic != b"PAR1" || size + 8 > len {
        return Ok(None);
    }
    file.seek(SeekFrom::Start(len - 8 - size))?;
    let mut footer = Vec::new();
    file.take(size).read_to_end(&mut footer)?;
    Ok(Some(footer))
}

/// Why the scan stops early.
enum Stop {
    /// Too many values.
    Trap,
    /// Bytes outside the protocol.
    Invalid,
}

struct Scanner<'a> {
    rest: &'a [u8],
    values_left: u64,
}

impl Scanner<'_> {
    /// Skips the fields of a struct.
    fn fields(&mut self, depth: u8) -> Result<(), Stop> {
        loop {
            let head = self.byte()?;
            let kind = head & 15;
            if kind == 0 {
                return Ok(());
            }
            // A delta of zero: the field number follows.
            if head >> 4 == 0 {
                self.number()?;
            }
            self.value(kind, depth)?;
        }
    }

    fn value(&mut self, kind: u8, depth: u8) -> Result<(), Stop> {
        self.values_left = self.values_left.checked_sub(1).ok_or(Stop::Trap)?;
        let below = depth.checked_sub(1).ok_or(Stop::Invalid)?;
        match kind {
            1 | 2 => Ok(()),
            3 => self.bytes(1),
            4..=6 => self.number().map(drop),
            7 => self.bytes(8),
            8 => {
                let len = self.number()?;
                self.bytes(usize::try_from(len).map_err(|_| Stop::Invalid)?)
            }
            9 | 10 => {
                let head = self.byte()?;
                let count = if head >> 4 == 15 { self.number()? } else { u64::from(head >> 4) };
                (0..count).try_for_each(|_| self.value(head & 15, below))
            }
            11 => {
                let count = self.number()?;
                let kinds = if count > 0 { self.byte()? } else { 0 };
                (0..count).try_for_each(|_| {
                    self.value(kinds >> 4, below)?;
                    self.value(kinds & 15, below)
                })
            }
            12 => self.fields(below),
            13 => self.bytes(16),
            _ => Err(Stop::Invalid),
        }
    }

    /// Reads a number: seven bits per byte, the lowest first.
    fn number(&mut self) -> Result<u64, Stop> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 127) << shift;
            if byte < 128 {
                return Ok(number);
            }
        }
        Err(Stop::Invalid)
    }

    fn byte(&mut self) -> Result<u8, Stop> {
        let (byte, rest) = self.rest.split_first().ok_or(Stop::Invalid)?;
        self.rest = rest;
        Ok(*byte)
    }

    fn bytes(&mut self, count: usize) -> Result<(), Stop> {
        self.rest = self.rest.get(count..).ok_or(Stop::Invalid)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn checked(footer: &[u8]) -> Result<(), String> {
        let mut file = tempfile::tempfile().expect("a file");
        let size = u32::try_from(footer.len()).expect("short").to_le_bytes();
        file.write_all(&[b"PAR1", footer, &size, b"PAR1"].concat()).expect("written");
        check(&file)
    }

    #[test]
    fn two_billion_booleans_in_seven_bytes_are_rejected_also_when_nested() {
        let truths = [0x19, 0xf2, 0xff, 0xff, 0xff, 0xff, 0x07];
        let map = [0x1b, 0xff, 0xff, 0xff, 0xff, 0x07, 0x11];
        for trap in [
            &truths[..],
            &map,
            &[&[0x1c], &truths[..]].concat(),
            &[&[0x19, 0x19], &truths[1..]].concat(),
            &[&[0xcd][..], &[7; 16], &truths].concat(),
        ] {
            assert!(checked(trap).expect_err("a trap").contains("more values"), "{trap:x?}");
        }
    }

    #[test]
    fn other_footers_are_left_to_the_decoder() {
        let nested = [0x1c; 200];
        let fields = [0x15, 0x02, 0x18, 0x02, b'h', b'i', 0x29, 0x32, 0x1c, 0x11, 0x00, 0x00];
        for footer in
            [&[][..], &[0], &fields, &nested, &[0x19], &[0x1f], &[0x18, 0xff, 0xff, 0xff, 0xff, 0x0f]]
        {
            assert_eq!(checked(footer), Ok(()), "{footer:x?}");
        }
    }
}
