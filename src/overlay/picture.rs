//! Decoded pictures: JPEG in, upright pixels, JPEG out.

use std::io::{self, Cursor};

use jpeg_encoder::{ColorType, Encoder, SamplingFactor};
use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use crate::error::{Error, ErrorKind, Result};
use crate::pictures::JpegHeader;
use crate::sinks::JpegCheck;

/// Maximum number of pixels of a picture. A panorama has up to 80 million.
pub(super) const MAX_PIXELS: u64 = 100_000_000;

/// JPEG quality of pictures that are written.
const QUALITY: u8 = 90;

/// Upright pixels, four bytes each: red, green, blue, opacity.
pub(super) struct Pixels {
    pub(super) data: Vec<u8>,
    pub(super) width: u32,
    pub(super) height: u32,
}

/// Decodes a complete JPEG and applies its orientation. An incomplete one is an error of kind `Malformed`.
pub(super) fn decode(jpeg: &[u8]) -> Result<Pixels> {
    let header = check(jpeg).map_err(|why| malformed().with_source(why))?;
    let options = DecoderOptions::default()
        .set_max_width(header.width as usize)
        .set_max_height(header.height as usize)
        .jpeg_set_out_colorspace(ColorSpace::RGBA);
    let mut decoder = JpegDecoder::new_with_options(Cursor::new(jpeg), options);
    let data = decoder.decode().map_err(|error| malformed().with_source(error.to_string()))?;
    let size = decoder.info().map(|info| (u32::from(info.width), u32::from(info.height)));
    if size != Some((header.width, header.height))
        || decoder.output_colorspace() != Some(ColorSpace::RGBA)
        || data.len() as u64 != u64::from(header.width) * u64::from(header.height) * 4
    {
        return Err(malformed().with_source("it has an unusual form of JPEG"));
    }
    let pixels = Pixels { data, width: header.width, height: header.height };
    Ok(upright(pixels, header.orientation))
}

fn malformed() -> Error {
    Error::new(ErrorKind::Malformed, "decode the picture")
}

/// Checks the size before anything is allocated for pixels, and that the picture is complete.
fn check(jpeg: &[u8]) -> io::Result<JpegHeader> {
    let header = JpegHeader::read(&mut &*jpeg)?;
    let pixels = u64::from(header.width) * u64::from(header.height);
    if pixels > MAX_PIXELS {
        let (width, height) = (header.width, header.height);
        return Err(io::Error::other(format!(
            "it has {width} × {height} pixels, more than the limit of {MAX_PIXELS}"
        )));
    }
    let mut check = JpegCheck::default();
    check.push(jpeg);
    check.finish().map_err(io::Error::other)?;
    Ok(header)
}

/// Turns pixels as an EXIF orientation says.
fn upright(pixels: Pixels, orientation: u8) -> Pixels {
    if !(2..=8).contains(&orientation) {
        return pixels;
    }
    let Pixels { data, width, height } = pixels;
    let (out_width, out_height) = if orientation >= 5 { (height, width) } else { (width, height) };
    let mut out = Vec::with_capacity(data.len());
    let (right, bottom) = (width - 1, height - 1);
    for y in 0..out_height {
        for x in 0..out_width {
            let (from_x, from_y) = match orientation {
                2 => (right - x, y),
                3 => (right - x, bottom - y),
                4 => (x, bottom - y),
                5 => (y, x),
                6 => (y, bottom - x),
                7 => (right - y, bottom - x),
                _ => (right - y, x),
            };
            let at = (from_y as usize * width as usize + from_x as usize) * 4;
            out.extend_from_slice(&data[at..at + 4]);
        }
    }
    Pixels { data: out, width: out_width, height: out_height }
}

/// Encodes upright pixels as a baseline JPEG with full colour resolution.
pub(super) fn encode(pixels: &Pixels) -> Result<Vec<u8>> {
    let failed = |why: String| Error::new(ErrorKind::Malformed, "encode the picture").with_source(why);
    let [width, height] = [pixels.width, pixels.height].map(u16::try_from);
    let (Ok(width), Ok(height)) = (width, height) else {
        return Err(failed("a JPEG has at most 65,535 pixels a side".to_owned()));
    };
    let mut jpeg = Vec::new();
    let mut encoder = Encoder::new(&mut jpeg, QUALITY);
    encoder.set_sampling_factor(SamplingFactor::F_1_1);
    encoder
        .encode(&pixels.data, width, height, ColorType::Rgba)
        .map_err(|error| failed(error.to_string()))?;
    Ok(jpeg)
}

/// The part of a picture from `left`, `top` to `right`, `bottom`, without these.
pub(super) fn cut(pixels: &Pixels, [left, top, right, bottom]: [u32; 4]) -> Pixels {
    let row = |y: u32| {
        let at = |x: u32| (y as usize * pixels.width as usize + x as usize) * 4;
        &pixels.data[at(left)..at(right)]
    };
    let data = (top..bottom).flat_map(row).copied().collect();
    Pixels { data, width: right - left, height: bottom - top }
}

#[cfg(test)]
pub(super) mod tests {
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
}
