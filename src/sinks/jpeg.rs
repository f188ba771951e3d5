//! Checks the structure of a JPEG while its bytes arrive.

/// Checks that a JPEG is complete, from chunks of any size and without decoding it.
///
/// A picture is complete if the end marker is at the end of its structure. It is not enough that the last two bytes are
/// an end marker: the thumbnail inside EXIF has one too. Bytes after the end are padding. Stray bytes between segments
/// are skipped, as decoders do.
///
/// ```
/// use streetflow::sinks::JpegCheck;
///
/// let mut check = JpegCheck::default();
/// check.push(b"<!doctype html>");
/// assert_eq!(check.finish(), Err("it is HTML, not a JPEG"));
/// ```
#[derive(Debug, Clone)]
pub struct JpegCheck {
    at: At,
    any: bool,
    /// Whether a scan has begun. Without a scan there is no picture.
    scanned: bool,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum At {
    /// In the first three bytes, after this many correct ones.
    Start(u8),
    /// Before a marker. Other bytes are skipped.
    Marker,
    /// After the `FF` of a marker.
    MarkerCode,
    /// In the length of a segment, high byte, then low byte. The flag tells whether a scan follows.
    LengthHigh(bool),
    LengthLow(bool, u8),
    /// Inside a segment with this many bytes left.
    Segment(bool, usize),
    /// In entropy-coded data.
    Scan,
    /// After an `FF` in entropy-coded data.
    ScanCode,
    End,
    /// Not a JPEG, or damaged.
    Invalid(&'static str),
}

impl Default for JpegCheck {
    fn default() -> Self {
        Self { at: At::Start(0), any: false, scanned: false }
    }
}

impl JpegCheck {
    /// Checks the next chunk.
    pub fn push(&mut self, mut bytes: &[u8]) {
        self.any |= !bytes.is_empty();
        while let Some((&first, rest)) = bytes.split_first() {
            self.scanned |= self.at == At::Scan;
            match self.at {
                At::Segment(scan, left) => {
                    let skip = left.min(bytes.len());
                    bytes = &bytes[skip..];
                    self.at = match (left - skip, scan) {
                        (0, true) => At::Scan,
                        (0, false) => At::Marker,
                        (left, _) => At::Segment(scan, left),
                    };
                }
                At::Scan => match memchr::memchr(0xff, bytes) {
                    Some(position) => {
                        bytes = &bytes[position + 1..];
                        self.at = At::ScanCode;
                    }
                    None => return,
                },
                At::Marker => match memchr::memchr(0xff, bytes) {
                    Some(position) => {
                        bytes = &bytes[position + 1..];
                        self.at = At::MarkerCode;
                    }
                    None => return,
                },
                At::End | At::Invalid(_) => return,
                at => {
                    self.at = step(at, first);
                    bytes = rest;
                }
            }
        }
    }

    /// Returns an error with the reason if the picture is incomplete.
    pub fn finish(&self) -> Result<(), &'static str> {
        match self.at {
            At::End if self.scanned => Ok(()),
            At::End => Err("it contains no picture"),
            At::Invalid(why) => Err(why),
            _ if self.any => Err("the picture is truncated"),
            _ => Err("the response is empty"),
        }
    }
}

fn step(at: At, byte: u8) -> At {
    match (at, byte) {
        (At::Start(0), 0xff) => At::Start(1),
        (At::Start(0), b'<') => At::Invalid("it is HTML, not a JPEG"),
        (At::Start(1), 0xd8) => At::Start(2),
        // Most programs recognize a JPEG by three bytes, so nothing is skipped between them.
        (At::Start(2), 0xff) => At::MarkerCode,
        (At::Start(_), _) => At::Invalid("it does not start like a JPEG"),
        // Fill bytes before a marker.
        (At::MarkerCode, 0xff) => At::MarkerCode,
        (At::MarkerCode | At::ScanCode, 0xd9) => At::End,
        // Markers without a segment, and a stuffed zero, which counts as a stray byte.
        (At::MarkerCode, 0x00 | 0x01 | 0xd0..=0xd7) => At::Marker,
        (At::MarkerCode, 0xd8) => At::Invalid("it is not a well-formed JPEG"),
        (At::MarkerCode, code) => At::LengthHigh(code == 0xda),
        (At::LengthHigh(scan), high) => At::LengthLow(scan, high),
        (At::LengthLow(scan, high), low) => match usize::from(u16::from_be_bytes([high, low])) {
            0 | 1 => At::Invalid("it is not a well-formed JPEG"),
            2 if scan => At::Scan,
            2 => At::Marker,
            length => At::Segment(scan, length - 2),
        },
        // A stuffed zero or a restart marker continues the scan. Another marker ends it, as in progressive JPEGs.
        (At::ScanCode, 0x00 | 0xd0..=0xd7) => At::Scan,
        (At::ScanCode, 0xff) => At::ScanCode,
        (At::ScanCode, code) => step(At::MarkerCode, code),
        (at, _) => at,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SOI, an APP1 with a thumbnail's end marker inside, a scan with stuffing and a restart, another scan, EOI.
    const PICTURE: &[u8] = &[
        0xff, 0xd8, 0xff, 0xe1, 0x00, 0x06, 0xff, 0xd8, 0xff, 0xd9, 0xff, 0xda, 0x00, 0x03, 0x01, 0x12, 0xff,
        0x00, 0x34, 0xff, 0xd3, 0x56, 0xff, 0xda, 0x00, 0x03, 0x01, 0x78, 0xff, 0xd9,
    ];

    fn check(bytes: &[u8], piece: usize) -> Result<(), &'static str> {
        let mut check = JpegCheck::default();
        bytes.chunks(piece).for_each(|piece| check.push(piece));
        check.finish()
    }

    #[test]
    fn a_complete_picture_passes_in_chunks_of_any_size() {
        for piece in 1..=PICTURE.len() {
            assert_eq!(check(PICTURE, piece), Ok(()));
            assert_eq!(check(&[PICTURE, &[0; 100]].concat(), piece), Ok(()), "padding after the end");
        }
    }

    #[test]
    fn a_truncated_picture_fails() {
        for len in 0..PICTURE.len() {
            assert!(check(&PICTURE[..len], 7).is_err(), "{len} bytes");
        }
    }

    /// libjpeg and Pillow read these, at most with a warning (tested with `djpeg` 2.1 and Pillow 12).
    #[test]
    fn stray_bytes_between_segments_are_skipped() {
        let lots = vec![b'x'; 70_000];
        // After the APP1, before the scan.
        for stray in [&b"\xff\xff\xff"[..], b"\0", b"\0\0\0\0\0", b"text", b"\xff\0ab", &lots] {
            let picture = [&PICTURE[..10], stray, &PICTURE[10..]].concat();
            for piece in [1, 3, 1000, picture.len()] {
                assert_eq!(check(&picture, piece), Ok(()), "{:?}", &stray[..stray.len().min(5)]);
            }
            for len in 0..picture.len() {
                if len < 40 || len + 40 > picture.len() {
                    assert!(check(&picture[..len], 4096).is_err(), "{len} bytes");
                }
            }
        }
        assert_eq!(check(&[&PICTURE[..2], b"\xff\xff", &PICTURE[2..]].concat(), 2), Ok(()), "fill bytes");
        // Pillow and browsers check three bytes.
        let refused = Err("it does not start like a JPEG");
        assert_eq!(check(&[&PICTURE[..2], b"\0", &PICTURE[2..]].concat(), 2), refused);
        // No decoder reads these.
        assert_eq!(check(&[&PICTURE[..10], PICTURE].concat(), 9), Err("it is not a well-formed JPEG"));
        assert_eq!(check(&[&PICTURE[..10], b"\xff\xd9"].concat(), 9), Err("it contains no picture"));
    }

    #[test]
    fn other_data_has_a_reason() {
        assert_eq!(check(&[0xff, 0xd8, 0xff, 0xd9], 1), Err("it contains no picture"));
        assert_eq!(check(b"", 1), Err("the response is empty"));
        assert_eq!(check(b"<!doctype html>", 4), Err("it is HTML, not a JPEG"));
        assert_eq!(check(b"\x89PNG", 4), Err("it does not start like a JPEG"));
    }
}
