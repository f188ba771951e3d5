//! The head of a JPEG, up to its frame, rewritten while the rest passes by.

use bytes::Bytes;

use super::{PictureMetadata, tags, tiff, xmp};

/// So much of a picture is held at the most; of a longer head, what came so far is looked at.
const MAX_HEAD_LEN: usize = 1 << 20;

const EXIF: &[u8] = b"Exif\0\0";
const XMP: &[u8] = b"http://ns.adobe.com/xap/1.0/\0";

/// The most that a segment holds, behind its length.
const MAX_SEGMENT_LEN: usize = 0xffff - 2;

const APP0: u8 = 0xe0;
const APP1: u8 = 0xe1;

/// Puts metadata into a JPEG, without a look at its pixels.
///
/// The segments go behind the start of the picture and a JFIF header. An EXIF
/// block or an XMP packet that is there is taken up into ours, so that there is
/// one of each in the end. One that leaves no room for that loses what would
/// contradict us, and the other one says it all; where neither has room, the
/// picture is [`incomplete`](Self::is_incomplete). Whatever is no JPEG passes
/// as it came.
pub(in crate::sinks) struct HeadRewriter {
    metadata: Option<PictureMetadata>,
    held: Vec<u8>,
    /// The marker that comes next.
    at: usize,
    segments: Vec<Segment>,
    incomplete: bool,
}

struct Segment {
    code: u8,
    /// Of its marker and of what comes after its end.
    from: usize,
    to: usize,
}

enum Found {
    /// The head goes on.
    More,
    /// Its end, and the width and height of the frame.
    End(Option<(u32, u32)>),
    /// It is none.
    Strange,
}

impl HeadRewriter {
    /// Without metadata, everything passes.
    pub(in crate::sinks) fn new(metadata: Option<PictureMetadata>) -> Self {
        Self { metadata, held: Vec::new(), at: 2, segments: Vec::new(), incomplete: false }
    }

    /// Takes the next piece, and gives what may go on by now.
    pub(in crate::sinks) fn push(&mut self, piece: Bytes) -> Option<Bytes> {
        if self.metadata.is_none() {
            return Some(piece);
        }
        self.held.extend_from_slice(&piece);
        let rewritten = match self.look() {
            Found::More if self.held.len() <= MAX_HEAD_LEN => return None,
            Found::End(frame) => self.metadata.take().map(|metadata| self.rewritten(&metadata, frame)),
            Found::More => self.metadata.take().map(|metadata| self.rewritten(&metadata, None)),
            Found::Strange => None,
        };
        self.metadata = None;
        let held = std::mem::take(&mut self.held);
        Some(rewritten.unwrap_or(held).into())
    }

    /// What is left of a picture that ended within its head.
    pub(in crate::sinks) fn finish(&mut self) -> Option<Bytes> {
        self.metadata = None;
        Some(std::mem::take(&mut self.held)).filter(|held| !held.is_empty()).map(Bytes::from)
    }

    /// Whether the picture had no room for everything.
    pub(in crate::sinks) fn is_incomplete(&self) -> bool {
        self.incomplete
    }

    /// Follows the markers as far as there are bytes.
    fn look(&mut self) -> Found {
        match self.held.get(..3) {
            None => return Found::More,
            Some(start) if start != [0xff, 0xd8, 0xff] => return Found::Strange,
            Some(_) => {}
        }
        loop {
            let Some(rest) = self.held.get(self.at..) else { return Found::More };
            // What stands between segments and is no marker is skipped, as decoders do.
            let stray = memchr::memchr(0xff, rest).unwrap_or(rest.len());
            self.at += stray;
            let rest = &rest[stray..];
            let fill = rest.iter().take_while(|byte| **byte == 0xff).count();
            let Some(&code) = rest.get(fill) else { return Found::More };
            let body = &rest[fill + 1..];
            match code {
                0xd8 | 0xd9 => return Found::Strange,
                0x00 | 0x01 | 0xd0..=0xd7 => {
                    self.at += fill + 1;
                    continue;
                }
                0xda => return Found::End(None),
                // Frames; the other three in this range are tables and an extension.
                0xc0..=0xcf if !matches!(code, 0xc4 | 0xc8 | 0xcc) => {
                    let &[_, _, _, h0, h1, w0, w1, ..] = body else { return Found::More };
                    let (width, height) = (u16::from_be_bytes([w0, w1]), u16::from_be_bytes([h0, h1]));
                    let known = width > 0 && height > 0;
                    return Found::End(known.then_some((width.into(), height.into())));
                }
                _ => {}
            }
            let &[high, low, ..] = body else { return Found::More };
            let length = usize::from(u16::from_be_bytes([high, low]));
            if length < 2 {
                return Found::Strange;
            }
            let to = self.at + fill + 1 + length;
            if to > self.held.len() {
                return Found::More;
            }
            self.segments.push(Segment { code, from: self.at, to });
            self.at = to;
        }
    }

    /// The head with the metadata in it, and what was held behind it.
    fn rewritten(&mut self, metadata: &PictureMetadata, frame: Option<(u32, u32)>) -> Vec<u8> {
        let of = |segment: &Segment, begins: &[u8]| {
            segment.code == APP1 && self.content(segment).starts_with(begins)
        };
        let found = |begins: &[u8]| {
            let segment = self.segments.iter().find(|segment| of(segment, begins))?;
            self.content(segment).get(begins.len()..)
        };
        let tags = tags::from_metadata(metadata, frame);
        let whole_block = tiff::with_tags(found(EXIF), &tags, MAX_SEGMENT_LEN - EXIF.len());
        let whole_packet = whole_packet(found(XMP), metadata, frame, whole_block.is_some());
        let incomplete = whole_block.is_none() && whole_packet == Whole::Never;
        let block = whole_block.or_else(|| tiff::corrected(found(EXIF)?, &tags));
        let packet = match whole_packet {
            Whole::Packet(packet) => Some(packet),
            Whole::Unreadable => None,
            Whole::Never => {
                let corrections = xmp::Extent::Corrections;
                found(XMP).and_then(|found| {
                    xmp::merged(found, metadata, frame, corrections, MAX_SEGMENT_LEN - XMP.len())
                })
            }
        };
        let exif = block.and_then(|block| segment(EXIF, &block));
        let xmp = packet.and_then(|packet| segment(XMP, &packet));
        let first = self.segments.iter().take_while(|segment| segment.code == APP0).last();
        let start = first.map_or(2, |segment| segment.to);
        let mut picture = self.held[..start].to_vec();
        picture.extend(exif.iter().chain(&xmp).flatten());
        let mut from = start;
        for other in self.segments.iter().filter(|segment| segment.from >= start) {
            if (exif.is_some() && of(other, EXIF)) || (xmp.is_some() && of(other, XMP)) {
                picture.extend_from_slice(&self.held[from..other.from]);
                from = other.to;
            }
        }
        picture.extend_from_slice(&self.held[from..]);
        self.incomplete = incomplete;
        picture
    }

    /// What stands in a segment behind its length.
    fn content(&self, segment: &Segment) -> &[u8] {
        let bytes = &self.held[segment.from..segment.to];
        let fill = bytes.iter().take_while(|byte| **byte == 0xff).count();
        bytes.get(fill + 3..).unwrap_or_default()
    }
}

/// What becomes of XMP.
#[derive(PartialEq)]
enum Whole {
    /// A packet that says it all.
    Packet(Vec<u8>),
    /// The one that is there stays, for nobody can read it and EXIF says it all.
    Unreadable,
    /// There is no room for everything.
    Never,
}

fn whole_packet(
    found: Option<&[u8]>,
    metadata: &PictureMetadata,
    frame: Option<(u32, u32)>,
    exif_is_whole: bool,
) -> Whole {
    let ours = || Whole::Packet(xmp::packet(metadata, frame));
    let Some(found) = found else { return ours() };
    let room = MAX_SEGMENT_LEN - XMP.len();
    match xmp::merged(found, metadata, frame, xmp::Extent::All, room) {
        Some(packet) if packet.len() <= room => Whole::Packet(packet),
        Some(_) => Whole::Never,
        // Some programs search a packet for a position without reading it as XML.
        None if exif_is_whole && memchr::memmem::find(found, b"GPSLatitude").is_none() => Whole::Unreadable,
        None => ours(),
    }
}

/// A segment of the kind that holds EXIF or XMP, if there is room for that much in one.
fn segment(begins: &[u8], content: &[u8]) -> Option<Vec<u8>> {
    let length = u16::try_from(begins.len() + content.len() + 2).ok()?;
    Some([&[0xff, APP1], &length.to_be_bytes()[..], begins, content].concat())
}
