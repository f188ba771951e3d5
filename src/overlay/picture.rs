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
pub(super) mod tests;
