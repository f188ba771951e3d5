mod damaged;
mod fresh;
mod merge;

use ::exif::{Field, In, Reader, Tag, Value};
use bytes::Bytes;

use super::*;
use crate::model::{ImageId, SequenceId};

/// JFIF, a comment, tables, a frame of 64 by 32 pixels, a scan with a stuffed zero, the end.
const PICTURE: &[u8] =
    b"\xff\xd8\xff\xe0\0\x07JFIF\0\xff\xfe\0\x04hi\xff\xdb\0\x03q\xff\xff\xc0\0\x08\x08\0\x20\0\x40\x01\
    \xff\xda\0\x02pi\xff\0x\xff\xd3els\xff\xd9";

fn known() -> Metadata {
    Metadata {
        seq_id: SequenceId::new("-qe-JIXxphhaeodoDQNWvM").expect("an id"),
        img_id: ImageId::new("26774514888887982").expect("an id"),
        geometry: Some(LonLat { lon: -33.365_720_250_9, lat: 35.175_208_754_9 }),
        altitude: Some(-12.345),
        compass_angle: Some(291.536_743_164_06),
        captured_at: Some(1_719_594_028_042),
        make: Some("GoPro".to_owned()),
        model: Some("HERO11 Black ".to_owned()),
        exif_orientation: Some(6),
        width: Some(64),
        height: Some(32),
        creator_username: Some("Åsa & <co>".to_owned()),
        ..Metadata::default()
    }
}

fn rewrite_in_chunks(picture: &[u8], image: &Metadata, quality: Quality, chunk: usize) -> Vec<u8> {
    let mut rewriter = HeadRewriter::new(Some(PictureMetadata::new(image, quality)));
    let chunks = picture.chunks(chunk).map(Bytes::copy_from_slice);
    let mut out: Vec<Bytes> = chunks.filter_map(|chunk| rewriter.push(chunk)).collect();
    out.extend(rewriter.finish());
    out.concat()
}

fn rewrite(picture: &[u8], image: &Metadata) -> Vec<u8> {
    rewrite_in_chunks(picture, image, Quality::Original, picture.len())
}

const XMP: &[u8] = b"http://ns.adobe.com/xap/1.0/\0";

/// A picture with an APP1 segment after its start.
fn with(begins: &[u8], content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(begins.len() + content.len() + 2).expect("it fits").to_be_bytes();
    [&PICTURE[..2], b"\xff\xe1", &length, begins, content, &PICTURE[2..]].concat()
}

/// The contents of the APP1 segments with a prefix, up to the scan.
fn segments<'a>(picture: &'a [u8], begins: &[u8]) -> Vec<&'a [u8]> {
    let (mut at, mut found) = (2, Vec::new());
    while picture[at + 1] != 0xda {
        if picture[at + 1] == 0xff {
            at += 1;
            continue;
        }
        let length = usize::from(picture[at + 2]) << 8 | usize::from(picture[at + 3]);
        let content = &picture[at + 4..at + 2 + length];
        found.extend(content.strip_prefix(begins).filter(|_| picture[at + 1] == 0xe1));
        at += 2 + length;
    }
    found
}

fn exif_of(picture: &[u8]) -> Vec<&[u8]> {
    segments(picture, b"Exif\0\0")
}

fn xmp_of(picture: &[u8]) -> Vec<&str> {
    let found = segments(picture, XMP);
    found.into_iter().map(|text| std::str::from_utf8(text).expect("text")).collect()
}

fn read(picture: &[u8]) -> ::exif::Exif {
    let blocks = exif_of(picture);
    assert_eq!(blocks.len(), 1, "one block of EXIF");
    Reader::new().read_raw(blocks[0].to_vec()).expect("EXIF")
}

fn field(exif: &::exif::Exif, tag: Tag) -> Option<&Field> {
    exif.get_field(tag, In::PRIMARY)
}

fn text(exif: &::exif::Exif, tag: Tag) -> Option<String> {
    match &field(exif, tag)?.value {
        Value::Ascii(texts) => Some(String::from_utf8(texts.concat()).expect("UTF-8")),
        other => panic!("{tag} is {other:?}"),
    }
}

fn numbers(exif: &::exif::Exif, tag: Tag) -> Option<Vec<f64>> {
    match &field(exif, tag)?.value {
        Value::Rational(numbers) => Some(numbers.iter().map(::exif::Rational::to_f64).collect()),
        Value::Byte(numbers) => Some(numbers.iter().map(|number| f64::from(*number)).collect()),
        other => other.get_uint(0).map(|number| vec![f64::from(number)]),
    }
}

fn degrees(exif: &::exif::Exif, tag: Tag) -> f64 {
    let parts = numbers(exif, tag).expect("an angle");
    parts[0] + parts[1] / 60.0 + parts[2] / 3600.0
}

/// A big-endian block: orientation, a blank artist, a copyright notice and a thumbnail; a time and maker notes;
/// coordinates and their precision.
fn block() -> Vec<u8> {
    let mut block = b"MM\0*\0\0\0\x08".to_vec();
    let directory = |block: &mut Vec<u8>, entries: &[(u16, u16, u32, [u8; 4])], next: u32| {
        block.extend(u16::try_from(entries.len()).expect("few").to_be_bytes());
        for (tag, kind, count, value) in entries {
            block.extend(tag.to_be_bytes());
            block.extend(kind.to_be_bytes());
            block.extend(count.to_be_bytes());
            block.extend(value);
        }
        block.extend(next.to_be_bytes());
    };
    let at = |at: u32| at.to_be_bytes();
    let image = [
        (0x0112, 3, 1, [0, 8, 0, 0]),
        (0x013b, 2, 4, *b"   \0"),
        (0x8298, 2, 8, at(200)),
        (0x8769, 4, 1, at(100)),
        (0x8825, 4, 1, at(140)),
    ];
    directory(&mut block, &image, 220);
    block.resize(100, 0);
    directory(&mut block, &[(0x9003, 2, 20, at(260)), (0x927c, 7, 12, at(280))], 0);
    block.resize(140, 0);
    directory(&mut block, &[(1, 2, 2, *b"S\0\0\0"), (5, 1, 1, [1, 0, 0, 0]), (11, 5, 1, at(208))], 0);
    block.resize(200, 0);
    block.extend(b"(c) Me\0\0\0\0\0\x07\0\0\0\x02");
    block.resize(220, 0);
    directory(&mut block, &[(0x0201, 4, 1, at(292)), (0x0202, 4, 1, at(4))], 0);
    block.resize(260, 0);
    block.extend(b"2001:02:03 04:05:06\0maker's note\xff\xd8\xff\xd9");
    block
}

/// A picture with both segments, in this order.
fn with_both(exif: &[u8], xmp: &str) -> Vec<u8> {
    let xmp = with(XMP, xmp.as_bytes());
    let exif = with(b"Exif\0\0", exif);
    [&exif[..exif.len() - PICTURE.len() + 2], &xmp[2..]].concat()
}

/// A packet with these attributes and elements.
fn packet(attributes: &str, elements: &str) -> String {
    format!(
        "<?xpacket begin=\"\u{feff}\" id=\"W5M0MpCehiHzreSzNTczkc9d\"?><x:xmpmeta xmlns:x=\"adobe:ns:meta/\">\
         <rdf:RDF xmlns:rdf=\"http://www.w3.org/1999/02/22-rdf-syntax-ns#\"><rdf:Description rdf:about=\"\" \
         xmlns:exif=\"http://ns.adobe.com/exif/1.0/\" xmlns:e=\"http://ns.adobe.com/exif/1.0/\" \
         xmlns:dc=\"http://purl.org/dc/elements/1.1/\" xmlns:xmp=\"http://ns.adobe.com/xap/1.0/\" {attributes}>\
         {elements}</rdf:Description></rdf:RDF></x:xmpmeta>{}<?xpacket end=\"w\"?>",
        " ".repeat(2000)
    )
}
