//! Size and orientation of a JPEG, from its header.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use crate::error::{Error, ErrorKind, Result};

/// Maximum length of a header in bytes, up to the frame.
pub const MAX_HEADER_LEN: u64 = 16 << 20;

/// Maximum number of entries read of the first directory of EXIF.
const MAX_ENTRIES: u16 = 512;

const ORIENTATION: u16 = 0x0112;

/// Size and orientation of a JPEG.
///
/// ```
/// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use streetflow::pictures::JpegHeader;
///
/// let sandbox = streetflow_sandbox::Sandbox::start().await?;
/// let image = sandbox.mock_data().sequences()[0].images().next().ok_or("an image")?;
/// let jpeg = sandbox.mock_data().picture(&image.id(), Some(256)).ok_or("a picture")?;
/// let header = JpegHeader::read(&mut jpeg.as_slice())?;
/// assert_eq!((header.width, header.orientation, header.display_size().0), (256, 1, 256));
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JpegHeader {
    /// Width of the stored pixels.
    pub width: u32,
    /// Height of the stored pixels.
    pub height: u32,
    /// EXIF orientation, 1 to 8; 1 if the picture has none.
    pub orientation: u8,
}

impl JpegHeader {
    /// Reads the header of a JPEG. Reads no pixels, and [`MAX_HEADER_LEN`] bytes at most.
    pub fn read(from: &mut impl Read) -> io::Result<Self> {
        let mut from = from.take(MAX_HEADER_LEN);
        if bytes::<2>(&mut from)? != [0xff, 0xd8] {
            return Err(invalid("it is not a JPEG"));
        }
        let mut orientation = None;
        loop {
            let code = next_marker(&mut from)?;
            match code {
                0x01 | 0xd0..=0xd7 => continue,
                0xd8..=0xda => return Err(invalid("the JPEG has no frame")),
                _ => {}
            }
            let length = usize::from(u16::from_be_bytes(bytes(&mut from)?));
            let length =
                length.checked_sub(2).ok_or_else(|| invalid("a segment of the JPEG is too short"))?;
            let mut segment = vec![0; length];
            from.read_exact(&mut segment)?;
            match (code, segment.as_slice()) {
                // Start of frame. The other three codes of this range are tables and an extension.
                (0xc0..=0xc3 | 0xc5..=0xc7 | 0xc9..=0xcb | 0xcd..=0xcf, &[_, h0, h1, w0, w1, ..]) => {
                    let (width, height) = (u16::from_be_bytes([w0, w1]), u16::from_be_bytes([h0, h1]));
                    if width == 0 || height == 0 {
                        return Err(invalid("the JPEG has no size"));
                    }
                    let orientation = orientation.unwrap_or(1);
                    return Ok(Self { width: width.into(), height: height.into(), orientation });
                }
                (0xe1, segment) if orientation.is_none() => {
                    orientation = segment.strip_prefix(b"Exif\0\0").and_then(exif_orientation);
                }
                _ => {}
            }
        }
    }

    /// Reads the header of a file. A file that can't be read is an error of kind [`ErrorKind::Malformed`], which costs only
    /// itself, whatever the reason.
    pub fn of_file(path: &Path) -> Result<Self> {
        let read = || Self::read(&mut BufReader::new(File::open(path)?));
        read().map_err(|error| {
            Error::new(ErrorKind::Malformed, "read the picture")
                .with_subject(path.display().to_string())
                .with_source(error)
        })
    }

    /// Width and height of the picture as displayed: swapped for the orientations 5 to 8.
    pub fn display_size(self) -> (u32, u32) {
        if self.orientation >= 5 { (self.height, self.width) } else { (self.width, self.height) }
    }

    /// Whether a program that ignores the orientation shows another picture.
    pub fn is_turned(self) -> bool {
        self.orientation != 1
    }
}

fn invalid(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

fn bytes<const N: usize>(from: &mut impl Read) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    match from.read_exact(&mut bytes) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            Err(invalid("the picture is truncated"))
        }
        read => read.map(|()| bytes),
    }
}

/// The code of the next marker. Skips stray bytes before it, as decoders do.
fn next_marker(from: &mut impl Read) -> io::Result<u8> {
    loop {
        while bytes::<1>(from)? != [0xff] {}
        let mut code = 0xff;
        while code == 0xff {
            [code] = bytes(from)?;
        }
        if code != 0 {
            return Ok(code);
        }
    }
}

/// The orientation in the first directory of a TIFF block; `None` if it has none from 1 to 8.
fn exif_orientation(block: &[u8]) -> Option<u8> {
    let is_big = match block.get(..4)? {
        b"MM\0*" => true,
        b"II*\0" => false,
        _ => return None,
    };
    let short = |at: usize| {
        let bytes = block.get(at..at.checked_add(2)?)?.try_into().ok()?;
        Some(if is_big { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) })
    };
    let offset: [u8; 4] = block.get(4..8)?.try_into().ok()?;
    let offset = if is_big { u32::from_be_bytes(offset) } else { u32::from_le_bytes(offset) };
    let directory = usize::try_from(offset).ok()?;
    let count = short(directory)?.min(MAX_ENTRIES);
    let entry = |index: u16| directory + 2 + usize::from(index) * 12;
    let found = (0..count).map(entry).find(|&entry| short(entry) == Some(ORIENTATION))?;
    // A short is at the start of the value.
    let value = short(found + 8).filter(|value| (1..=8).contains(value))?;
    u8::try_from(value).ok()
}

#[cfg(test)]
#[expect(clippy::cast_possible_truncation, reason = "small numbers")]
pub(crate) mod tests {
    use super::*;

    /// A JPEG header with an EXIF block in big or little endian.
    pub(crate) fn with_orientation(orientation: u16, is_big: bool) -> Vec<u8> {
        let short = |value: u16| if is_big { value.to_be_bytes() } else { value.to_le_bytes() };
        let long = |value: u32| if is_big { value.to_be_bytes() } else { value.to_le_bytes() };
        let mut block = if is_big { b"MM\0*".to_vec() } else { b"II*\0".to_vec() };
        block.extend(long(8));
        block.extend(short(2));
        for (tag, value) in [(0x0100, 7), (ORIENTATION, orientation)] {
            block.extend(short(tag));
            block.extend(short(3));
            block.extend(long(1));
            block.extend(short(value));
            block.extend([0, 0]);
        }
        let mut segment = b"\xff\xd8\xff\xe1".to_vec();
        segment.extend((block.len() as u16 + 8).to_be_bytes());
        segment.extend(b"Exif\0\0");
        segment.extend(block);
        segment
    }

    const FRAME: &[u8] = b"\xff\xc2\0\x0b\x08\x01\x00\x02\x00\x01\x01\x11\0";

    #[test]
    fn size_and_orientation_are_read_in_both_byte_orders() {
        for is_big in [true, false] {
            for orientation in 0..=9 {
                let jpeg = [&with_orientation(orientation, is_big), FRAME].concat();
                let header = JpegHeader::read(&mut jpeg.as_slice()).expect("a header");
                let known = if (1..=8).contains(&orientation) { orientation as u8 } else { 1 };
                assert_eq!(header, JpegHeader { width: 512, height: 256, orientation: known });
                let size = if known >= 5 { (256, 512) } else { (512, 256) };
                assert_eq!(header.display_size(), size);
            }
        }
    }

    #[test]
    fn a_damaged_header_is_an_error_and_no_panic() {
        let jpeg = [&with_orientation(6, true), FRAME].concat();
        for len in 0..jpeg.len() - 8 {
            JpegHeader::read(&mut &jpeg[..len]).expect_err("truncated");
        }
        for at in 2..jpeg.len() {
            for value in [0, 1, 0x7f, 0xff] {
                let mut damaged = jpeg.clone();
                damaged[at] = value;
                // Any result will do.
                drop(JpegHeader::read(&mut damaged.as_slice()));
            }
        }
        for other in [&b""[..], b"<html>", b"\x89PNG\r\n", b"\xff\xd8\xff\xd9", b"\xff\xd8\xff\xe1\0\x01"] {
            JpegHeader::read(&mut &*other).expect_err("not a JPEG");
        }
        JpegHeader::read(&mut io::repeat(0xff)).expect_err("no end of fill bytes");
    }
}
