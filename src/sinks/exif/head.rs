//! Rewrites the head of a JPEG, up to its frame, and passes on the rest.

use bytes::Bytes;

use super::{PictureMetadata, tags, tiff, xmp};

/// Maximum length of a head in memory. Of a longer head, only the first part is used.
const MAX_HEAD_LEN: usize = 1 << 20;

const EXIF: &[u8] = b"Exif\0\0";
const XMP: &[u8] = b"http://ns.adobe.com/xap/1.0/\0";

/// Maximum content of a segment, without its length field.
const MAX_SEGMENT_LEN: usize = 0xffff - 2;

const APP0: u8 = 0xe0;
const APP1: u8 = 0xe1;

/// Inserts EXIF and XMP segments into a JPEG without decoding it.
///
/// The segments follow the start marker and a JFIF header. Existing EXIF and XMP are merged into them, so that there is
/// one segment of each. If one of them does not fit into its segment, its conflicting values are removed and the other
/// one has all metadata. If neither fits, the picture is [incomplete](Self::is_incomplete). Data that is not a JPEG
/// passes unchanged.
pub(in crate::sinks) struct HeadRewriter {
    metadata: Option<PictureMetadata>,
    buffer: Vec<u8>,
    /// Position of the next marker.
    at: usize,
    segments: Vec<Segment>,
    incomplete: bool,
}

struct Segment {
    code: u8,
    /// Position of the marker and of the end of the segment.
    from: usize,
    to: usize,
}

enum Found {
    /// The head continues after the buffer.
    More,
    /// The end of the head, with width and height of the frame.
    End(Option<(u32, u32)>),
    /// Not a JPEG.
    NotJpeg,
}

impl HeadRewriter {
    /// Creates a rewriter; without metadata, all bytes pass unchanged.
    pub(in crate::sinks) fn new(metadata: Option<PictureMetadata>) -> Self {
        Self { metadata, buffer: Vec::new(), at: 2, segments: Vec::new(), incomplete: false }
    }

    /// Takes the next chunk; returns the bytes that are ready.
    pub(in crate::sinks) fn push(&mut self, chunk: Bytes) -> Option<Bytes> {
        if self.metadata.is_none() {
            return Some(chunk);
        }
        self.buffer.extend_from_slice(&chunk);
        let rewritten = match self.parse_markers() {
            Found::More if self.buffer.len() <= MAX_HEAD_LEN => return None,
            Found::End(frame) => self.metadata.take().map(|metadata| self.rewritten(&metadata, frame)),
            Found::More => self.metadata.take().map(|metadata| self.rewritten(&metadata, None)),
            Found::NotJpeg => None,
        };
        self.metadata = None;
        let buffer = std::mem::take(&mut self.buffer);
        Some(rewritten.unwrap_or(buffer).into())
    }

    /// Returns the rest of a picture that ended inside its head.
    pub(in crate::sinks) fn finish(&mut self) -> Option<Bytes> {
        self.metadata = None;
        Some(std::mem::take(&mut self.buffer)).filter(|buffer| !buffer.is_empty()).map(Bytes::from)
    }

    /// Whether not all metadata fitted into the picture.
    pub(in crate::sinks) fn is_incomplete(&self) -> bool {
        self.incomplete
    }

    /// Parses the markers in the buffer.
    fn parse_markers(&mut self) -> Found {
        match self.buffer.get(..3) {
            None => return Found::More,
            Some(start) if start != [0xff, 0xd8, 0xff] => return Found::NotJpeg,
            Some(_) => {}
        }
        loop {
            let Some(rest) = self.buffer.get(self.at..) else { return Found::More };
            // Stray bytes between segments are skipped, as decoders do.
            let stray = memchr::memchr(0xff, rest).unwrap_or(rest.len());
            self.at += stray;
            let rest = &rest[stray..];
            let fill = rest.iter().take_while(|byte| **byte == 0xff).count();
            let Some(&code) = rest.get(fill) else { return Found::More };
            let body = &rest[fill + 1..];
            match code {
                0xd8 | 0xd9 => return Found::NotJpeg,
                0x00 | 0x01 | 0xd0..=0xd7 => {
                    self.at += fill + 1;
                    continue;
                }
                0xda => return Found::End(None),
                // Start of frame. The other three codes of this range are tables and an extension.
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
                return Found::NotJpeg;
            }
            let to = self.at + fill + 1 + length;
            if to > self.buffer.len() {
                return Found::More;
            }
            self.segments.push(Segment { code, from: self.at, to });
            self.at = to;
        }
    }

    /// The head with the metadata, and the rest of the buffer.
    fn rewritten(&mut self, metadata: &PictureMetadata, frame: Option<(u32, u32)>) -> Vec<u8> {
        let of = |segment: &Segment, begins: &[u8]| {
            segment.code == APP1 && self.content(segment).starts_with(begins)
        };
        let found = |begins: &[u8]| {
            let segment = self.segments.iter().find(|segment| of(segment, begins))?;
            self.content(segment).get(begins.len()..)
        };
        let tags = tags::from_metadata(metadata, frame);
        let full_block = tiff::with_tags(found(EXIF), &tags, MAX_SEGMENT_LEN - EXIF.len());
        let xmp_plan = plan_xmp(found(XMP), metadata, frame, full_block.is_some());
        let incomplete = full_block.is_none() && xmp_plan == XmpPlan::DoesNotFit;
        let block = full_block.or_else(|| tiff::corrected(found(EXIF)?, &tags));
        let packet = match xmp_plan {
            XmpPlan::Write(packet) => Some(packet),
            XmpPlan::Keep => None,
            XmpPlan::DoesNotFit => {
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
        let mut picture = self.buffer[..start].to_vec();
        picture.extend(exif.iter().chain(&xmp).flatten());
        let mut from = start;
        for other in self.segments.iter().filter(|segment| segment.from >= start) {
            if (exif.is_some() && of(other, EXIF)) || (xmp.is_some() && of(other, XMP)) {
                picture.extend_from_slice(&self.buffer[from..other.from]);
                from = other.to;
            }
        }
        picture.extend_from_slice(&self.buffer[from..]);
        self.incomplete = incomplete;
        picture
    }

    /// The content of a segment, without marker and length.
    fn content(&self, segment: &Segment) -> &[u8] {
        let bytes = &self.buffer[segment.from..segment.to];
        let fill = bytes.iter().take_while(|byte| **byte == 0xff).count();
        bytes.get(fill + 3..).unwrap_or_default()
    }
}

/// What to do with XMP.
#[derive(PartialEq)]
enum XmpPlan {
    /// Write this packet, which has all metadata.
    Write(Vec<u8>),
    /// Keep the existing packet: it can't be parsed, and EXIF has all metadata.
    Keep,
    /// All metadata does not fit.
    DoesNotFit,
}

fn plan_xmp(
    found: Option<&[u8]>,
    metadata: &PictureMetadata,
    frame: Option<(u32, u32)>,
    exif_is_complete: bool,
) -> XmpPlan {
    let ours = || XmpPlan::Write(xmp::packet(metadata, frame));
    let Some(found) = found else { return ours() };
    let room = MAX_SEGMENT_LEN - XMP.len();
    match xmp::merged(found, metadata, frame, xmp::Extent::All, room) {
        Some(packet) if packet.len() <= room => XmpPlan::Write(packet),
        Some(_) => XmpPlan::DoesNotFit,
        // Some programs search a packet for coordinates without parsing it as XML.
        None if exif_is_complete && memchr::memmem::find(found, b"GPSLatitude").is_none() => XmpPlan::Keep,
        None => ours(),
    }
}

/// Encodes an APP1 segment; `None` if the content is too long.
fn segment(begins: &[u8], content: &[u8]) -> Option<Vec<u8>> {
    let length = u16::try_from(begins.len() + content.len() + 2).ok()?;
    Some([&[0xff, APP1], &length.to_be_bytes()[..], begins, content].concat())
}
