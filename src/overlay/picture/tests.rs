use super::*;
use crate::pictures::header_with_orientation;

/// A JPEG of 64 × 32 pixels, red on the left, green on the right, the upper left corner white, with an orientation.
pub(crate) fn marked(orientation: u16) -> Vec<u8> {
    let (width, height) = (64, 32);
    let mut data = Vec::new();
    for y in 0..height {
        for x in 0..width {
            data.extend(match (x, y) {
                (0..16, 0..16) => [255, 255, 255, 255],
                (0..32, _) => [255, 0, 0, 255],
                _ => [0, 255, 0, 255],
            });
        }
    }
    let jpeg = encode(&Pixels { data, width, height }).expect("encoded");
    [header_with_orientation(orientation, true), jpeg[2..].to_vec()].concat()
}

/// The name of the colour of a pixel.
pub(crate) fn colour(pixels: &Pixels, x: u32, y: u32) -> &'static str {
    let at = (y as usize * pixels.width as usize + x as usize) * 4;
    let is_high = |offset: usize| pixels.data[at + offset] >= 200;
    let is_low = |offset: usize| pixels.data[at + offset] < 60;
    match [0, 1, 2].map(|offset| (is_high(offset), is_low(offset))) {
        [(true, _), (true, _), (true, _)] => "white",
        [(true, _), (_, true), (_, true)] => "red",
        [(_, true), (true, _), (_, true)] => "green",
        [(_, true), (_, true), (true, _)] => "blue",
        _ => "other",
    }
}

#[test]
fn every_orientation_is_applied() {
    // Where the white corner, the rest of the red half and the green half are as displayed.
    let expected = [
        (1, (64, 32), [4, 4], [4, 28], [60, 4]),
        (2, (64, 32), [60, 4], [60, 28], [4, 4]),
        (3, (64, 32), [60, 28], [60, 4], [4, 28]),
        (4, (64, 32), [4, 28], [4, 4], [60, 28]),
        (5, (32, 64), [4, 4], [28, 4], [4, 60]),
        (6, (32, 64), [28, 4], [4, 4], [28, 60]),
        (7, (32, 64), [28, 60], [4, 60], [28, 4]),
        (8, (32, 64), [4, 60], [28, 60], [4, 4]),
    ];
    for (orientation, size, white, red, green) in expected {
        let pixels = decode(&marked(orientation)).expect("decoded");
        assert_eq!((pixels.width, pixels.height), size, "{orientation}");
        for ([x, y], name) in [(white, "white"), (red, "red"), (green, "green")] {
            assert_eq!(colour(&pixels, x, y), name, "{orientation}: {x}, {y}");
        }
    }
}

#[test]
fn a_huge_a_truncated_and_a_damaged_picture_are_errors() {
    let jpeg = marked(1);
    for len in [0, 3, 40, jpeg.len() / 2, jpeg.len() - 2] {
        assert!(decode(&jpeg[..len]).is_err(), "{len}");
    }
    let frame = jpeg.windows(2).position(|pair| pair == [0xff, 0xc0]).expect("a frame");
    let mut huge = jpeg.clone();
    huge[frame + 5..frame + 9].copy_from_slice(&[0xff; 4]);
    let error = decode(&huge).map(drop).expect_err("huge");
    assert!(error.chain().contains("65535 × 65535"), "{}", error.chain());
    for at in (0..jpeg.len()).step_by(3) {
        let mut damaged = jpeg.clone();
        damaged[at] ^= 0x55;
        // Any result will do.
        drop(decode(&damaged));
    }
}

#[test]
fn a_part_is_cut_out() {
    let pixels = decode(&marked(1)).expect("decoded");
    let part = cut(&pixels, [30, 20, 40, 25]);
    assert_eq!((part.width, part.height, part.data.len()), (10, 5, 200));
    assert_eq!((colour(&part, 0, 0), colour(&part, 9, 4)), ("red", "green"));
}
