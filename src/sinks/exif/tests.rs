use ::exif::{Field, In, Reader, Tag, Value};
use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::model::{ImageId, SequenceId};
use crate::sinks::JpegCheck;

/// JFIF, a comment, tables, a frame of 64 by 32 pixels, a scan with something like a marker in it, the end.
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

fn rewrite_in_chunks(picture: &[u8], image: &Metadata, quality: Quality, piece: usize) -> Vec<u8> {
    let mut rewriter = HeadRewriter::new(Some(PictureMetadata::new(image, quality)));
    let pieces = picture.chunks(piece).map(Bytes::copy_from_slice);
    let mut out: Vec<Bytes> = pieces.filter_map(|piece| rewriter.push(piece)).collect();
    out.extend(rewriter.finish());
    out.concat()
}

fn rewrite(picture: &[u8], image: &Metadata) -> Vec<u8> {
    rewrite_in_chunks(picture, image, Quality::Original, picture.len())
}

const XMP: &[u8] = b"http://ns.adobe.com/xap/1.0/\0";

/// A picture with a segment of that kind behind its start.
fn with(begins: &[u8], content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(begins.len() + content.len() + 2).expect("it fits").to_be_bytes();
    [&PICTURE[..2], b"\xff\xe1", &length, begins, content, &PICTURE[2..]].concat()
}

/// The contents of the APP1 segments that begin so, up to the scan.
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

#[test]
fn everything_that_is_known_stands_in_the_picture() {
    let picture = rewrite(PICTURE, &known());
    let exif = read(&picture);
    for (tag, expected) in [
        (Tag::ImageDescription, "Mapillary image 26774514888887982 of sequence -qe-JIXxphhaeodoDQNWvM"),
        (Tag::Make, "GoPro"),
        (Tag::Model, "HERO11 Black"),
        (Tag::Artist, "Åsa & <co>"),
        (Tag::Copyright, "© Åsa & <co> / Mapillary, CC BY-SA 4.0"),
        (Tag::ImageUniqueID, "26774514888887982"),
        (Tag::DateTimeOriginal, "2024:06:28 17:00:28"),
        (Tag::OffsetTimeOriginal, "+00:00"),
        (Tag::SubSecTimeOriginal, "042"),
        (Tag::GPSLatitudeRef, "N"),
        (Tag::GPSLongitudeRef, "W"),
        (Tag::GPSImgDirectionRef, "T"),
        (Tag::GPSDateStamp, "2024:06:28"),
        (Tag::GPSMapDatum, "WGS-84"),
    ] {
        assert_eq!(text(&exif, tag).as_deref(), Some(expected), "{tag}");
    }
    for (tag, expected) in [
        (Tag::Orientation, vec![6.0]),
        (Tag::GPSTimeStamp, vec![17.0, 0.0, 28.042]),
        (Tag::GPSAltitude, vec![12.345]),
        (Tag::GPSAltitudeRef, vec![1.0]),
        (Tag::GPSImgDirection, vec![291.536_743]),
        (Tag::PixelXDimension, vec![64.0]),
        (Tag::PixelYDimension, vec![32.0]),
    ] {
        assert_eq!(numbers(&exif, tag), Some(expected), "{tag}");
    }
    assert!((degrees(&exif, Tag::GPSLatitude) - 35.175_208_754_9).abs() < 3e-11);
    assert!((degrees(&exif, Tag::GPSLongitude) - 33.365_720_250_9).abs() < 3e-11);
    let [xmp] = xmp_of(&picture)[..] else { panic!("one packet") };
    for line in [
        "<exif:GPSLatitude>35,10.512525294N</exif:GPSLatitude>",
        "<exif:GPSLongitude>33,21.943215054W</exif:GPSLongitude>",
        "<exif:DateTimeOriginal>2024-06-28T17:00:28.042Z</exif:DateTimeOriginal>",
        "<dc:creator><rdf:Seq><rdf:li>Åsa &amp; &lt;co&gt;</rdf:li></rdf:Seq></dc:creator>",
        "<cc:attributionURL rdf:resource=\"https://www.mapillary.com/app/?pKey=26774514888887982\"/>",
    ] {
        assert!(xmp.contains(line), "{line} is not in {xmp}");
    }
    assert!(!xmp.contains("GPano"), "it is no panorama");
}

#[test]
fn what_is_absent_or_absurd_is_left_out() {
    let bare = Metadata { img_id: ImageId::new("7").expect("an id"), ..Metadata::default() };
    let absurd = Metadata {
        geometry: Some(LonLat { lon: 5000.0, lat: f64::NAN }),
        altitude: Some(4_294_967_281.0),
        compass_angle: Some(f64::INFINITY),
        captured_at: Some(10_000_000_000_000_000),
        make: Some(" \0".to_owned()),
        model: Some("\u{200b}".to_owned()),
        exif_orientation: Some(9),
        creator_username: Some("\u{1b}".to_owned()),
        ..bare.clone()
    };
    for image in [bare, absurd] {
        let picture = rewrite(PICTURE, &image);
        let mut tags: Vec<_> = read(&picture).fields().map(|field| field.tag.to_string()).collect();
        tags.sort();
        let expected = [
            "ColorSpace",
            "ComponentsConfiguration",
            "Copyright",
            "ExifVersion",
            "FlashpixVersion",
            "ImageDescription",
            "ImageUniqueID",
            "PixelXDimension",
            "PixelYDimension",
            "ResolutionUnit",
            "XResolution",
            "YCbCrPositioning",
            "YResolution",
        ];
        assert_eq!(tags, expected);
        let xmp = xmp_of(&picture);
        assert!(xmp.len() == 1 && !xmp[0].contains("exif:GPS") && !xmp[0].contains("dc:creator"), "{xmp:?}");
        assert!(
            xmp[0].contains("<dc:rights><rdf:Alt><rdf:li xml:lang=\"x-default\">Mapillary, CC BY-SA 4.0<")
        );
    }
}

#[test]
fn the_licence_is_named_behind_the_longest_name() {
    let mut image = Metadata { creator_username: Some("Ω".repeat(10_000)), ..known() };
    for fields in ["width", "attribution"] {
        image.fill(&fields.parse().expect("fields"));
        let copyright = text(&read(&rewrite(PICTURE, &image)), Tag::Copyright).expect("a notice");
        assert!(copyright.ends_with("Ω… / Mapillary, CC BY-SA 4.0"), "{copyright}");
    }
}

#[test]
fn in_pieces_of_any_size_the_same_comes_out_and_all_behind_the_head_is_untouched() {
    let whole = rewrite(PICTURE, &known());
    let at = |bytes: &[u8]| memchr::memmem::find(bytes, b"\xff\xdb").expect("tables");
    assert_eq!(whole[at(&whole)..], PICTURE[at(PICTURE)..], "from the tables to the end");
    assert_eq!(whole[..11], PICTURE[..11], "the JFIF header comes first");
    assert_eq!(whole[11..13], *b"\xff\xe1", "then EXIF");
    for piece in 1..PICTURE.len() {
        assert_eq!(rewrite_in_chunks(PICTURE, &known(), Quality::Original, piece), whole, "{piece}");
    }
    let mut check = JpegCheck::default();
    check.push(&whole);
    assert_eq!(check.finish(), Ok(()));
}

#[test]
fn what_is_no_whole_head_passes_as_it_came() {
    let padded = |comments: usize| {
        let comment = [&b"\xff\xfe\xff\xff"[..], &vec![b' '; 65_533]].concat();
        [&PICTURE[..2], &comment.repeat(comments), &PICTURE[2..]].concat()
    };
    for picture in [b"<!doctype html>".to_vec(), b"\xff\xd8\xff\xd9".to_vec(), b"\xff".to_vec(), vec![]] {
        assert_eq!(rewrite_in_chunks(&picture, &known(), Quality::Original, 7), picture);
    }
    for cut in 0..PICTURE.len() - 18 {
        assert_eq!(
            rewrite_in_chunks(&PICTURE[..cut], &known(), Quality::Original, 5),
            PICTURE[..cut],
            "{cut}"
        );
    }
    assert_eq!(exif_of(&rewrite(&padded(15), &known())).len(), 1, "a long head is a head");
    let longer = rewrite_in_chunks(&padded(40), &known(), Quality::Original, 8192);
    assert_eq!((exif_of(&longer).len(), xmp_of(&longer).len()), (1, 1), "its end is not waited for");
}

/// A block by hand, in the other byte order: orientation, a blank artist, a notice, a thumbnail; a time, a maker's
/// note; a place, and how exact it was.
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

#[test]
fn exif_that_is_there_is_added_to_and_what_it_says_alone_stays() {
    let picture = rewrite(&with(b"Exif\0\0", &block()), &known());
    let exif = read(&picture);
    assert!(!exif.little_endian());
    assert_eq!(exif_of(&picture)[0][8..block().len()], block()[8..], "nothing of it was moved");
    // Its own word on how it was held and whose it is.
    assert_eq!(numbers(&exif, Tag::Orientation), Some(vec![8.0]));
    assert_eq!(text(&exif, Tag::Copyright).as_deref(), Some("(c) Me"));
    assert_eq!(text(&exif, Tag::Artist).as_deref(), Some("Åsa & <co>"), "blanks say nothing");
    // What only it knows.
    let note = field(&exif, Tag::MakerNote).map(|field| format!("{:?}", field.value));
    assert_eq!(note, Some(format!("{:?}", Value::Undefined(b"maker's note".to_vec(), 280))));
    assert_eq!(numbers(&exif, Tag::GPSDOP), Some(vec![3.5]));
    let thumbnail =
        exif.get_field(Tag::JPEGInterchangeFormat, In::THUMBNAIL).and_then(|field| field.value.get_uint(0));
    assert_eq!(thumbnail, Some(292));
    // Place and time are ours.
    assert_eq!(text(&exif, Tag::DateTimeOriginal).as_deref(), Some("2024:06:28 17:00:28"));
    assert_eq!(text(&exif, Tag::GPSLatitudeRef).as_deref(), Some("N"));
    // Where we know nothing, its own stay.
    let nothing = Metadata { img_id: ImageId::new("7").expect("an id"), ..Metadata::default() };
    let exif = read(&rewrite(&with(b"Exif\0\0", &block()), &nothing)).fields().count();
    assert_eq!(exif, read(&with(b"Exif\0\0", &block())).fields().count() + 10 + 2);
    // Once more, on top of ours.
    let again = rewrite(&picture, &known());
    assert_eq!((exif_of(&again).len(), xmp_of(&again).len()), (1, 1));
    assert_eq!(read(&again).fields().count(), read(&picture).fields().count());
}

/// A picture with both segments, in this order.
fn with_both(exif: &[u8], xmp: &str) -> Vec<u8> {
    let xmp = with(XMP, xmp.as_bytes());
    let exif = with(b"Exif\0\0", exif);
    [&exif[..exif.len() - PICTURE.len() + 2], &xmp[2..]].concat()
}

/// A packet with this inside.
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

#[test]
fn exif_that_leaves_no_room_contradicts_nothing_and_xmp_says_it_all() {
    let full = [block(), vec![1; 65_000]].concat();
    let picture = rewrite(&with(b"Exif\0\0", &full), &known());
    let exif = read(&picture);
    assert_eq!(exif_of(&picture)[0].len(), full.len());
    assert_eq!(text(&exif, Tag::DateTimeOriginal).as_deref(), Some("2024:06:28 17:00:28"), "it had room");
    assert_eq!(text(&exif, Tag::GPSLatitudeRef), None, "a side without a position is none");
    assert_eq!(numbers(&exif, Tag::GPSAltitudeRef), None);
    assert_eq!(numbers(&exif, Tag::GPSDOP), Some(vec![3.5]));
    let note = field(&exif, Tag::MakerNote).map(|field| format!("{:?}", field.value));
    assert_eq!(note, Some(format!("{:?}", Value::Undefined(b"maker's note".to_vec(), 280))));
    for line in ["GPSLatitude", "<dc:creator>", "CC BY-SA 4.0"] {
        assert!(xmp_of(&picture)[0].contains(line), "{line}");
    }
    let theirs = packet("xmp:Label=\"mine\"", "");
    let picture = rewrite(&with_both(&full, &theirs), &known());
    let [xmp] = xmp_of(&picture)[..] else { panic!("one packet") };
    for line in ["xmp:Label=\"mine\"", "GPSLatitude", "<dc:creator>", "CC BY-SA 4.0", ">26774514888887982<"] {
        assert!(xmp.contains(line), "{line} is not in {xmp}");
    }
}

#[test]
fn a_position_that_does_not_fit_elsewhere_is_overwritten_where_it_stands() {
    // Ours once, then filled up: all entries are there, and there is no room for others.
    let other = Metadata { geometry: Some(LonLat { lon: 1.0, lat: -2.0 }), altitude: Some(7.0), ..known() };
    let mut full = exif_of(&rewrite(PICTURE, &other))[0].to_vec();
    full.resize(65_500, 1);
    let picture = rewrite(&with(b"Exif\0\0", &full), &known());
    let exif = read(&picture);
    assert_eq!(exif_of(&picture)[0].len(), full.len());
    assert!((degrees(&exif, Tag::GPSLatitude) - 35.175_208_754_9).abs() < 3e-11);
    assert_eq!(text(&exif, Tag::GPSLongitudeRef).as_deref(), Some("W"));
    assert_eq!(numbers(&exif, Tag::GPSAltitude), Some(vec![12.345]));
    assert_eq!(numbers(&exif, Tag::GPSAltitudeRef), Some(vec![1.0]));
}

#[test]
fn a_thumbnail_makes_room() {
    for behind in [0, 30_000] {
        let mut block = block();
        // Its thumbnail becomes a long one, with more behind it or not.
        block.truncate(292);
        block.extend([&b"\xff\xd8\xff"[..], &vec![7; 64_900 - behind]].concat());
        let length = u32::try_from(block.len() - 292).expect("short").to_be_bytes();
        block.extend(vec![9; behind]);
        let entry = block.windows(2).rposition(|two| two == [2, 2]).expect("the length");
        block[entry + 8..entry + 12].copy_from_slice(&length);
        let picture = rewrite(&with_both(&block, &packet("", "")), &known());
        let exif = read(&picture);
        assert_eq!(exif.fields().filter(|field| field.ifd_num == In::THUMBNAIL).count(), 0);
        assert!((degrees(&exif, Tag::GPSLatitude) - 35.175_208_754_9).abs() < 3e-11);
        assert_eq!(text(&exif, Tag::Artist).as_deref(), Some("Åsa & <co>"));
        let note = field(&exif, Tag::MakerNote).map(|field| format!("{:?}", field.value));
        assert_eq!(note, Some(format!("{:?}", Value::Undefined(b"maker's note".to_vec(), 280))));
        assert!(exif_of(&picture)[0].ends_with(&vec![9; behind.min(100)]) || behind == 0);
    }
}

#[test]
fn where_neither_has_room_that_is_told_and_nothing_contradicts() {
    let exif = [block(), vec![1; 65_000]].concat();
    let long = "x".repeat(64_500);
    let xmp = packet(
        "exif:GPSLatitude=\"1,2N\" exif:GPSLongitude=\"3,4E\"",
        &format!("<xmp:Label>{long}</xmp:Label>"),
    );
    let xmp = xmp.replace(&" ".repeat(2000), "");
    let mut rewriter = HeadRewriter::new(Some(PictureMetadata::new(&known(), Quality::Original)));
    let picture = rewriter.push(with_both(&exif, &xmp).into()).expect("a whole head").to_vec();
    assert!(rewriter.is_incomplete());
    let [left] = xmp_of(&picture)[..] else { panic!("one packet") };
    assert!(left.contains(&long) && !left.contains("GPSL"), "no position is better than another one");
    assert_eq!(text(&read(&picture), Tag::GPSLatitudeRef), None);
    let mut check = JpegCheck::default();
    check.push(&picture);
    assert_eq!(check.finish(), Ok(()));
    for fine in [with(b"Exif\0\0", &exif), with(XMP, xmp.as_bytes()), PICTURE.to_vec()] {
        let mut rewriter = HeadRewriter::new(Some(PictureMetadata::new(&known(), Quality::Original)));
        rewriter.push(fine.into());
        assert!(!rewriter.is_incomplete());
    }
}

#[test]
fn a_position_in_xmp_is_the_one_in_exif() {
    let sequence = "<dc:creator><rdf:Seq><rdf:li>Me</rdf:li></rdf:Seq></dc:creator>";
    for (attributes, elements) in [
        (
            "exif:GPSLatitude=\"1,2.5N\" exif:GPSLongitude='3,4E' exif:GPSTimeStamp=\"2001-01-01T00:00:00Z\"",
            String::new(),
        ),
        ("e:GPSLatitude=\"1,2.5N\" e:GPSLongitude='3,4E' e:GPSMapDatum=\"Tokyo\"", sequence.to_owned()),
        ("", "<exif:GPSLatitude>1,2.5N</exif:GPSLatitude>\n<e:GPSLongitude>3,4E</e:GPSLongitude>".to_owned()),
        (
            "exif:GPSLatitude=\"1,2.5N\"",
            "<exif:GPSLongitude>3,4E</exif:GPSLongitude><exif:GPSAltitude>77/1</exif:GPSAltitude>".to_owned(),
        ),
    ] {
        let theirs = packet(&format!("xmp:Label=\"mine\" {attributes}"), &elements);
        let picture = rewrite(&with(XMP, theirs.as_bytes()), &known());
        let [xmp] = xmp_of(&picture)[..] else { panic!("one packet") };
        for gone in ["1,2.5N", "3,4E", "77/1", "Tokyo", "2001"] {
            assert!(!xmp.contains(gone), "{gone} in {xmp}");
        }
        assert_eq!(xmp.matches("GPSLatitude>35,10.512525294N<").count(), 1, "{xmp}");
        assert_eq!(xmp.matches("GPSLongitude>33,21.943215054W<").count(), 1);
        assert_eq!(xmp.matches("<dc:creator>").count(), 1);
        assert_eq!(xmp.contains(">Me<"), elements.contains("Me"), "the author is who says so first");
        assert!(xmp.contains("xmp:Label=\"mine\""));
        roxmltree::Document::parse(xmp).expect("well-formed");
        let again = rewrite(&picture, &known());
        assert_eq!(xmp_of(&again), [xmp], "the same once more");
    }
    // Of what we do not know, theirs stays.
    let bare = Metadata { img_id: ImageId::new("7").expect("an id"), ..Metadata::default() };
    let theirs = packet("exif:GPSLatitude=\"1,2.5N\"", "");
    assert!(xmp_of(&rewrite(&with(XMP, theirs.as_bytes()), &bare))[0].contains("1,2.5N"));
}

#[test]
fn a_packet_that_nobody_can_read_gives_way_where_it_matters() {
    let deep = format!("{}GPSLatitude", "<a>".repeat(20_000));
    let bomb = "<!DOCTYPE x [<!ENTITY a \"aaaaaaaaaa\">]><x>&a;&a;GPSLatitude</x>";
    for broken in [deep.as_str(), bomb, "<x:xmpmeta><rdf:RDF exif:GPSLatitude=\"1,2N\"/>", "GPSLatitude"] {
        let picture = rewrite(&with(XMP, broken.as_bytes()), &known());
        let [xmp] = xmp_of(&picture)[..] else { panic!("one packet") };
        assert!(xmp.contains("GPSLatitude>35,10.512525294N<") && !xmp.contains("1,2N"), "{xmp}");
    }
    let odd = with(XMP, b"\xff\xfe no text");
    assert_eq!(segments(&rewrite(&odd, &known()), XMP), segments(&odd, XMP), "EXIF says it all");
    let full = [block(), vec![1; 65_000]].concat();
    let both = with_both(&full, "no packet");
    assert!(xmp_of(&rewrite(&both, &known()))[0].contains("GPSLatitude"), "EXIF has no room");
}

#[test]
fn bytes_between_segments_hold_nothing_up() {
    for stray in [&b"\xff\xff"[..], b"\0\0", b"stray", b"\xff\0"] {
        // Behind JFIF, and behind the comment.
        for at in [11, 17] {
            let picture = [&PICTURE[..at], stray, &PICTURE[at..]].concat();
            for piece in [1, 5, 1000] {
                let rewritten = rewrite_in_chunks(&picture, &known(), Quality::Original, piece);
                assert_eq!(
                    (exif_of_strayed(&rewritten), rewritten.len() > picture.len()),
                    (1, true),
                    "{stray:?} at {at}"
                );
                let mut check = JpegCheck::default();
                check.push(&rewritten);
                assert_eq!(check.finish(), Ok(()));
            }
        }
    }
}

/// Blocks of EXIF, found by their first bytes.
fn exif_of_strayed(picture: &[u8]) -> usize {
    memchr::memmem::find_iter(picture, b"Exif\0\0").count()
}

#[test]
fn panoramas_are_marked_and_a_packet_that_is_there_is_added_to() {
    let of = |camera_type: Option<&str>, is_pano| {
        let camera_type = camera_type.map(str::to_owned);
        Metadata { camera_type, is_pano, ..known() }
    };
    let round = of(Some("spherical"), Some(true));
    let picture = rewrite(PICTURE, &round);
    for line in [
        "<GPano:ProjectionType>equirectangular<",
        "<GPano:FullPanoWidthPixels>64<",
        "<GPano:FullPanoHeightPixels>32<",
        "<GPano:PoseHeadingDegrees>291.536743<",
    ] {
        assert!(xmp_of(&picture)[0].contains(line), "{line}");
    }
    for (image, expected) in [
        (of(Some("equirectangular"), None), true),
        (of(None, Some(true)), true),
        (of(Some("fisheye"), Some(true)), false),
        (of(Some("spherical"), Some(false)), false),
        (of(None, None), false),
    ] {
        assert_eq!(xmp_of(&rewrite(PICTURE, &image))[0].contains("GPano"), expected, "{image:?}");
    }
    let theirs = packet("xmp:Label=\"mine\"", "");
    let there = with(XMP, theirs.as_bytes());
    assert!(!xmp_of(&rewrite(&there, &known()))[0].contains("GPano"), "it is no panorama");
    let added = rewrite(&there, &round);
    let [packet] = xmp_of(&added)[..] else { panic!("one packet") };
    assert!(packet.contains("xmp:Label=\"mine\"") && packet.contains("equirectangular"), "{packet}");
    assert!(xmp_of(&rewrite(&added, &round)) == [packet], "nothing is there twice");
}

#[test]
fn a_picture_that_was_turned_when_it_was_made_is_not_turned_again() {
    // The frame is 64 by 32.
    let of = |size: (i32, i32), orientation, quality| {
        let (width, height) = (Some(size.0), Some(size.1));
        let image = Metadata { width, height, exif_orientation: Some(orientation), ..known() };
        let exif = read(&rewrite_in_chunks(PICTURE, &image, quality, 100));
        numbers(&exif, Tag::Orientation).map(|number| number[0])
    };
    assert_eq!(of((4000, 3000), 6, Quality::Q1024), Some(6.0), "it lies as the original does");
    assert_eq!(of((3000, 4000), 6, Quality::Q1024), Some(1.0), "it was turned");
    assert_eq!(of((3000, 3000), 8, Quality::Q1024), None, "nobody knows");
    assert_eq!(of((4000, 3000), 3, Quality::Q1024), None, "nobody knows");
    assert_eq!(of((4000, 3000), 3, Quality::Original), Some(3.0));
    assert_eq!(of((4000, 3000), 1, Quality::Q1024), Some(1.0));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn every_place_comes_back(lon in -180.0..=180.0, lat in -90.0..=90.0) {
        let exif = read(&rewrite(PICTURE, &Metadata { geometry: Some(LonLat { lon, lat }), ..known() }));
        for (degrees, side, value) in [
            (degrees(&exif, Tag::GPSLongitude), Tag::GPSLongitudeRef, lon),
            (degrees(&exif, Tag::GPSLatitude), Tag::GPSLatitudeRef, lat),
        ] {
            let sign = if ["W", "S"].contains(&text(&exif, side).unwrap_or_default().as_str()) { -1.0 } else { 1.0 };
            prop_assert!((sign * degrees - value).abs() < 3e-11, "{value}: {degrees}");
        }
        let minutes = numbers(&exif, Tag::GPSLatitude).unwrap_or_default();
        prop_assert!(minutes[1] < 60.0 && minutes[2] < 60.0);
    }

    #[test]
    fn damaged_exif_is_read_or_replaced_but_never_spoils_the_picture(
        spots in proptest::collection::vec((0..296_usize, any::<u8>()), 0..12),
        end in 0..=296_usize,
    ) {
        let mut block = block();
        for (at, byte) in spots {
            block[at] = byte;
        }
        block.truncate(end);
        let picture = rewrite(&with(b"Exif\0\0", &block), &known());
        let blocks = exif_of(&picture);
        prop_assert_eq!(blocks.len(), 1);
        let read = Reader::new().continue_on_error(true).read_raw(blocks[0].to_vec());
        let exif = read.or_else(|error| error.distill_partial_result(|_| ()));
        let exif = exif.map_err(|error| TestCaseError::fail(error.to_string()))?;
        let id = text(&exif, Tag::ImageUniqueID);
        prop_assert_eq!(id.as_deref(), Some("26774514888887982"));
        prop_assert!((degrees(&exif, Tag::GPSLatitude) - 35.175_208_754_9).abs() < 3e-11);
    }

    #[test]
    fn damaged_exif_without_room_never_spoils_the_picture(
        spots in proptest::collection::vec((0..296_usize, any::<u8>()), 0..12),
        filled in 64_000..65_200_usize,
    ) {
        let mut block = block();
        for (at, byte) in spots {
            block[at] = byte;
        }
        block.resize(filled, 1);
        let picture = rewrite(&with_both(&block, &packet("exif:GPSLatitude=\"1,2N\"", "")), &known());
        prop_assert_eq!((exif_of(&picture).len(), xmp_of(&picture).len()), (1, 1));
        prop_assert!(exif_of(&picture)[0].starts_with(&block[..4]) || exif_of(&picture)[0].starts_with(b"II*\0"));
        prop_assert!(xmp_of(&picture)[0].contains("GPSLatitude>35,10.512525294N<"));
        let mut check = JpegCheck::default();
        check.push(&picture);
        prop_assert_eq!(check.finish(), Ok(()));
    }

    #[test]
    fn whatever_came_is_as_whole_as_it_was(
        head in proptest::collection::vec(
            prop_oneof![any::<u8>(), Just(0xff), Just(0xe1), Just(0xd8), Just(0xda), Just(0)], 0..80),
        piece in 1..40_usize,
    ) {
        let picture = [&b"\xff\xd8"[..], &head].concat();
        let out = rewrite_in_chunks(&picture, &known(), Quality::Q256, piece);
        let checked = |bytes: &[u8]| {
            let mut check = JpegCheck::default();
            check.push(bytes);
            check.finish()
        };
        prop_assert_eq!(checked(&out), checked(&picture));
    }
}
