//! Pictures without EXIF or XMP.

use super::*;
use crate::sinks::JpegCheck;

#[test]
fn all_metadata_is_written() {
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
fn missing_and_implausible_values_are_omitted() {
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
fn the_licence_follows_the_longest_name() {
    let mut image = Metadata { creator_username: Some("Ω".repeat(10_000)), ..known() };
    for fields in ["width", "attribution"] {
        image.fill(&fields.parse().expect("fields"));
        let copyright = text(&read(&rewrite(PICTURE, &image)), Tag::Copyright).expect("a notice");
        assert!(copyright.ends_with("Ω… / Mapillary, CC BY-SA 4.0"), "{copyright}");
    }
}

#[test]
fn chunks_of_any_size_give_the_same_picture_with_an_unchanged_rest() {
    let whole = rewrite(PICTURE, &known());
    let at = |bytes: &[u8]| memchr::memmem::find(bytes, b"\xff\xdb").expect("tables");
    assert_eq!(whole[at(&whole)..], PICTURE[at(PICTURE)..], "from the tables to the end");
    assert_eq!(whole[..11], PICTURE[..11], "the JFIF header comes first");
    assert_eq!(whole[11..13], *b"\xff\xe1", "then EXIF");
    for chunk in 1..PICTURE.len() {
        assert_eq!(rewrite_in_chunks(PICTURE, &known(), Quality::Original, chunk), whole, "{chunk}");
    }
    let mut check = JpegCheck::default();
    check.push(&whole);
    assert_eq!(check.finish(), Ok(()));
}

#[test]
fn an_incomplete_head_passes_unchanged() {
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

#[test]
fn a_thumbnail_that_was_rotated_is_not_rotated_again() {
    // The frame is 64 by 32.
    let of = |size: (i32, i32), orientation, quality| {
        let (width, height) = (Some(size.0), Some(size.1));
        let image = Metadata { width, height, exif_orientation: Some(orientation), ..known() };
        let exif = read(&rewrite_in_chunks(PICTURE, &image, quality, 100));
        numbers(&exif, Tag::Orientation).map(|number| number[0])
    };
    assert_eq!(of((4000, 3000), 6, Quality::Q1024), Some(6.0), "it lies as the original does");
    assert_eq!(of((3000, 4000), 6, Quality::Q1024), Some(1.0), "it was turned");
    assert_eq!(of((3000, 3000), 8, Quality::Q1024), None, "unknown");
    assert_eq!(of((4000, 3000), 3, Quality::Q1024), None, "unknown");
    assert_eq!(of((4000, 3000), 3, Quality::Original), Some(3.0));
    assert_eq!(of((4000, 3000), 1, Quality::Q1024), Some(1.0));
}
