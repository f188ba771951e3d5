//! Whether a JPEG is whole, told while its bytes pass by.

/// Follows the structure of a JPEG through pieces of any size, without decoding it.
///
/// A picture is whole when its end marker stands where the structure has its
/// end. That a file ends in the same two bytes proves less: the thumbnail inside
/// an EXIF block has an end marker too. Bytes after the end are padding, and
/// bytes between segments that belong to none are skipped, as decoders do.
///
/// ```
/// use streetflow::sinks::JpegCheck;
///
/// let mut check = JpegCheck::default();
/// check.push(b"<!doctype html>");
/// assert_eq!(check.finish(), Err("it is a page, not a JPEG"));
/// ```
#[derive(Debug, Clone)]
pub struct JpegCheck {
    at: At,
    any: bool,
    /// A scan has begun: without one there is no picture.
    scanned: bool,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum At {
    /// The first three bytes, of which so many were right.
    Start(u8),
    /// Before a marker; decoders skip what stands there and is none.
    Marker,
    /// After the `FF` of a marker.
    MarkerCode,
    /// The high, then the low byte of a segment's length; whether a scan follows it.
    LengthHigh(bool),
    LengthLow(bool, u8),
    /// Inside a segment, with so many bytes to go.
    Segment(bool, usize),
    /// In the coded picture.
    Scan,
    /// After an `FF` in it.
    ScanCode,
    End,
    /// It can't be a JPEG.
    Broken(&'static str),
}

impl Default for JpegCheck {
    fn default() -> Self {
        Self { at: At::Start(0), any: false, scanned: false }
    }
}

impl JpegCheck {
    /// Takes the next piece.
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
                    Some(place) => {
                        bytes = &bytes[place + 1..];
                        self.at = At::ScanCode;
                    }
                    None => return,
                },
                At::Marker => match memchr::memchr(0xff, bytes) {
                    Some(place) => {
                        bytes = &bytes[place + 1..];
                        self.at = At::MarkerCode;
                    }
                    None => return,
                },
                At::End | At::Broken(_) => return,
                at => {
                    self.at = step(at, first);
                    bytes = rest;
                }
            }
        }
    }

    /// Whether the picture is whole, or what is wrong with it.
    pub fn finish(&self) -> Result<(), &'static str> {
        match self.at {
            At::End if self.scanned => Ok(()),
            At::End => Err("there is no picture in it"),
            At::Broken(why) => Err(why),
            _ if self.any => Err("the picture is cut short"),
            _ => Err("the answer is empty"),
        }
    }
}

fn step(at: At, byte: u8) -> At {
    match (at, byte) {
        (At::Start(0), 0xff) => At::Start(1),
        (At::Start(0), b'<') => At::Broken("it is a page, not a JPEG"),
        (At::Start(1), 0xd8) => At::Start(2),
        // Most programs tell a JPEG by three bytes, so here they skip nothing.
        (At::Start(2), 0xff) => At::MarkerCode,
        (At::Start(_), _) => At::Broken("it does not begin like a JPEG"),
        // Fill bytes before a marker.
        (At::MarkerCode, 0xff) => At::MarkerCode,
        (At::MarkerCode | At::ScanCode, 0xd9) => At::End,
        // Markers without a segment, and a stuffed zero, which is skipped like other bytes.
        (At::MarkerCode, 0x00 | 0x01 | 0xd0..=0xd7) => At::Marker,
        (At::MarkerCode, 0xd8) => At::Broken("it is no well-formed JPEG"),
        (At::MarkerCode, code) => At::LengthHigh(code == 0xda),
        (At::LengthHigh(scan), high) => At::LengthLow(scan, high),
        (At::LengthLow(scan, high), low) => match usize::from(u16::from_be_bytes([high, low])) {
            0 | 1 => At::Broken("it is no well-formed JPEG"),
            2 if scan => At::Scan,
            2 => At::Marker,
            length => At::Segment(scan, length - 2),
        },
        // A stuffed zero or a restart marker: the scan goes on. Another marker ends it, as in progressive pictures.
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
    fn a_whole_picture_passes_in_pieces_of_any_size() {
        for piece in 1..=PICTURE.len() {
            assert_eq!(check(PICTURE, piece), Ok(()));
            assert_eq!(check(&[PICTURE, &[0; 100]].concat(), piece), Ok(()), "padding after the end");
        }
    }

    #[test]
    fn a_picture_cut_anywhere_fails() {
        for len in 0..PICTURE.len() {
            assert!(check(&PICTURE[..len], 7).is_err(), "{len} bytes");
        }
    }

    /// What libjpeg and Pillow read, with a warning at the most: tried with `djpeg` 2.1 and Pillow 12.
    #[test]
    fn bytes_between_segments_that_belong_to_none_are_skipped() {
        let lots = vec![b'x'; 70_000];
        // Behind the APP1, before the scan.
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
        // These do without it: Pillow and browsers look at three bytes.
        let refused = Err("it does not begin like a JPEG");
        assert_eq!(check(&[&PICTURE[..2], b"\0", &PICTURE[2..]].concat(), 2), refused);
        // These no decoder reads.
        assert_eq!(check(&[&PICTURE[..10], PICTURE].concat(), 9), Err("it is no well-formed JPEG"));
        assert_eq!(check(&[&PICTURE[..10], b"\xff\xd9"].concat(), 9), Err("there is no picture in it"));
    }

    #[test]
    fn other_things_are_named() {
        assert_eq!(check(&[0xff, 0xd8, 0xff, 0xd9], 1), Err("there is no picture in it"));
        assert_eq!(check(b"", 1), Err("the answer is empty"));
        assert_eq!(check(b"<!doctype html>", 4), Err("it is a page, not a JPEG"));
        assert_eq!(check(b"\x89PNG", 4), Err("it does not begin like a JPEG"));
    }
}
