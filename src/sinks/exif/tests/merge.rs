//! Pictures with EXIF or XMP of their own.

use super::*;
use crate::sinks::JpegCheck;

#[test]
fn existing_exif_is_extended_and_its_own_values_stay() {
    let picture = rewrite(&with(b"Exif\0\0", &block()), &known());
    let exif = read(&picture);
    assert!(!exif.little_endian());
    assert_eq!(exif_of(&picture)[0][8..block().len()], block()[8..], "no byte was moved");
    // Its own orientation and copyright.
    assert_eq!(numbers(&exif, Tag::Orientation), Some(vec![8.0]));
    assert_eq!(text(&exif, Tag::Copyright).as_deref(), Some("(c) Me"));
    assert_eq!(text(&exif, Tag::Artist).as_deref(), Some("Åsa & <co>"), "blanks count as missing");
    // Values that only the block has.
    let note = field(&exif, Tag::MakerNote).map(|field| format!("{:?}", field.value));
    assert_eq!(note, Some(format!("{:?}", Value::Undefined(b"maker's note".to_vec(), 280))));
    assert_eq!(numbers(&exif, Tag::GPSDOP), Some(vec![3.5]));
    let thumbnail =
        exif.get_field(Tag::JPEGInterchangeFormat, In::THUMBNAIL).and_then(|field| field.value.get_uint(0));
    assert_eq!(thumbnail, Some(292));
    // Coordinates and time come from the record.
    assert_eq!(text(&exif, Tag::DateTimeOriginal).as_deref(), Some("2024:06:28 17:00:28"));
    assert_eq!(text(&exif, Tag::GPSLatitudeRef).as_deref(), Some("N"));
    // Without a value in the record, the existing one stays.
    let nothing = Metadata { img_id: ImageId::new("7").expect("an id"), ..Metadata::default() };
    let exif = read(&rewrite(&with(b"Exif\0\0", &block()), &nothing)).fields().count();
    assert_eq!(exif, read(&with(b"Exif\0\0", &block())).fields().count() + 10 + 2);
    // Again, with the block of this crate as the existing one.
    let again = rewrite(&picture, &known());
    assert_eq!((exif_of(&again).len(), xmp_of(&again).len()), (1, 1));
    assert_eq!(read(&again).fields().count(), read(&picture).fields().count());
}

#[test]
fn full_exif_conflicts_with_nothing_and_xmp_has_all_metadata() {
    let full = [block(), vec![1; 65_000]].concat();
    let picture = rewrite(&with(b"Exif\0\0", &full), &known());
    let exif = read(&picture);
    assert_eq!(exif_of(&picture)[0].len(), full.len());
    assert_eq!(text(&exif, Tag::DateTimeOriginal).as_deref(), Some("2024:06:28 17:00:28"), "it had room");
    assert_eq!(text(&exif, Tag::GPSLatitudeRef), None, "no hemisphere without coordinates");
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
fn coordinates_in_full_exif_are_overwritten_in_place() {
    // The block of this crate, then filled up: all entries exist, and there is no space for others.
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
fn a_thumbnail_is_removed_for_space() {
    for behind in [0, 30_000] {
        let mut block = block();
        // With a long thumbnail, at the end of the block or before it.
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
fn if_neither_has_space_the_picture_is_incomplete_without_conflicts() {
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
    assert!(left.contains(&long) && !left.contains("GPSL"), "no coordinates rather than others");
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
fn xmp_has_the_same_coordinates_as_exif() {
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
    // Values that the record lacks stay.
    let bare = Metadata { img_id: ImageId::new("7").expect("an id"), ..Metadata::default() };
    let theirs = packet("exif:GPSLatitude=\"1,2.5N\"", "");
    assert!(xmp_of(&rewrite(&with(XMP, theirs.as_bytes()), &bare))[0].contains("1,2.5N"));
}

#[test]
fn an_unreadable_packet_is_replaced_if_necessary() {
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
fn panoramas_are_marked_and_an_existing_packet_is_extended() {
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
