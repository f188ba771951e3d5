//! Damaged and unusual pictures.

use proptest::prelude::*;

use super::*;
use crate::sinks::JpegCheck;

#[test]
fn stray_bytes_between_segments_are_skipped() {
    for stray in [&b"\xff\xff"[..], b"\0\0", b"stray", b"\xff\0"] {
        // After JFIF, and after the comment.
        for at in [11, 17] {
            let picture = [&PICTURE[..at], stray, &PICTURE[at..]].concat();
            for chunk in [1, 5, 1000] {
                let rewritten = rewrite_in_chunks(&picture, &known(), Quality::Original, chunk);
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

/// Number of EXIF segments, found by their first bytes.
fn exif_of_strayed(picture: &[u8]) -> usize {
    memchr::memmem::find_iter(picture, b"Exif\0\0").count()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn coordinates_round_trip(lon in -180.0..=180.0, lat in -90.0..=90.0) {
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
    fn damaged_exif_is_read_or_replaced_but_never_damages_the_picture(
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
    fn damaged_full_exif_never_damages_the_picture(
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
    fn any_data_is_as_complete_as_before(
        head in proptest::collection::vec(
            prop_oneof![any::<u8>(), Just(0xff), Just(0xe1), Just(0xd8), Just(0xda), Just(0)], 0..80),
        chunk in 1..40_usize,
    ) {
        let picture = [&b"\xff\xd8"[..], &head].concat();
        let out = rewrite_in_chunks(&picture, &known(), Quality::Q256, chunk);
        let checked = |bytes: &[u8]| {
            let mut check = JpegCheck::default();
            check.push(bytes);
            check.finish()
        };
        prop_assert_eq!(checked(&out), checked(&picture));
    }
}
