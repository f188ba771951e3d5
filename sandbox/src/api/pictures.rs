//! Pictures: a drawing of a street with houses on both sides and the detected objects, different for each image.

use bytes::Bytes;
use font8x8::UnicodeFonts;
use jpeg_encoder::{Encoder, ImageBuffer, JpegColorType, SamplingFactor};

use super::objects::Objects;
use super::pixels::{Color, push_row};
use super::turned::{Turned, exif_orientation};
use crate::mock_data::hash::{mix, unit};
use crate::mock_data::{MockData, MockImage};

const ZENITH: Color = [86, 142, 208];
const HAZE: Color = [214, 226, 236];
/// Height of the camera above the road, in metres.
const EYE: f32 = 1.8;
/// Distance from the middle of the road to the kerb, in metres.
const KERB: f32 = 4.5;
/// Distance from the middle of the road to the houses, in metres.
const WALL: f32 = 8.5;
/// Width of a house along the road, in metres.
const HOUSE: f32 = 12.0;
/// Height of a storey, in metres.
const STOREY: f32 = 3.1;
/// Range of sight, in metres.
const SIGHT: f32 = 170.0;

impl MockData {
    /// Draws the JPEG of an image, `width` pixels wide or in the original size.
    ///
    /// Returns `None` if the image does not exist.
    pub fn picture(&self, id: &str, width: Option<u32>) -> Option<Vec<u8>> {
        let image = self.image(id)?;
        Some(draw(&image, width.map(|width| image.size(width))))
    }
}

/// Draws the JPEG of an image.
///
/// As at Mapillary, thumbnails are progressive and upright. Originals are
/// baseline, and if they are stored turned, they have an EXIF orientation.
pub(crate) fn draw(image: &MockImage<'_>, size: Option<(u32, u32)>) -> Vec<u8> {
    let (width, height) = size.unwrap_or(image.displayed_size());
    let mut jpeg = Vec::with_capacity((width * height) as usize / 4);
    let mut encoder = Encoder::new(&mut jpeg, 80);
    encoder.set_sampling_factor(SamplingFactor::F_2_2);
    encoder.set_progressive(size.is_some());
    let street = Street::new(image, width as usize, height as usize);
    let orientation = image.orientation();
    let result = if size.is_none() && orientation > 1 {
        encoder
            .add_app_segment(1, exif_orientation(orientation))
            .and_then(|()| encoder.encode_image(Turned::new(orientation, street.width, street.rows())))
    } else {
        encoder.encode_image(street)
    };
    debug_assert!(result.is_ok(), "the sizes fit and writing to a Vec cannot fail");
    jpeg
}

/// Returns a valid JPEG of exactly `bytes` bytes, padded with comment segments after its start.
///
/// A smaller size than that of the picture without padding has no effect.
pub(crate) fn draw_padded(data: &MockData, bytes: usize) -> Bytes {
    let image = data.sequences()[0].image(0);
    let jpeg = draw(&image, Some(image.size(256)));
    let mut missing = bytes.saturating_sub(jpeg.len());
    let mut padded = jpeg[..2].to_vec();
    while missing >= 4 {
        // Always leave room for a complete last segment.
        let segment = if missing > 65_537 { missing.min(65_537 - 4) } else { missing };
        padded.extend([0xFF, 0xFE]);
        padded.extend(((segment - 2) as u16).to_be_bytes());
        padded.resize(padded.len() + segment - 4, b' ');
        missing -= segment;
    }
    padded.extend(&jpeg[2..]);
    padded.into()
}

/// A column of the picture: its ray over the ground, and the wall that the ray meets.
struct Column {
    across: f32,
    forward: f32,
    wall: f32,
    top: f32,
    color: Color,
    window: bool,
}

/// Draws a picture row by row during encoding, so that memory never holds all pixels.
struct Street {
    width: usize,
    height: usize,
    pano: bool,
    metres: f32,
    columns: Vec<Column>,
    label: Label,
    objects: Objects,
}

impl Street {
    fn new(image: &MockImage<'_>, width: usize, height: usize) -> Self {
        let pano = image.sequence.is_pano();
        let metres = (image.sequence.spacing * f64::from(image.index)) as f32;
        let columns =
            (0..width).map(|x| column(image, pano, (x as f32 + 0.5) / width as f32 - 0.5, metres)).collect();
        let (label, objects) = (Label::new(image, width, height), Objects::new(image, width, height));
        Self { width, height, pano, metres, columns, label, objects }
    }

    /// Returns the rows of the picture, from the top.
    fn rows(&self) -> impl Iterator<Item = Vec<Color>> {
        (0..self.height).map(|y| self.row(y))
    }

    /// Casts a ray through every pixel of a row, to the ground or to the houses on its side.
    fn row(&self, y: usize) -> Vec<Color> {
        let part = 0.5 - (y as f32 + 0.5) / self.height as f32;
        let rise = if self.pano {
            (part * std::f32::consts::PI).tan()
        } else {
            part * 1.6 * self.height as f32 / self.width as f32
        };
        let sky = blend(HAZE, ZENITH, (rise * 1.2).clamp(0.0, 1.0));
        let ground = if rise < 0.0 { EYE / -rise } else { f32::INFINITY };
        let mut row: Vec<Color> =
            self.columns.iter().map(|column| pixel(column, rise, ground, sky, self.metres)).collect();
        self.label.draw_row(y, &mut row);
        self.objects.draw_row(y, &mut row);
        row
    }
}

impl ImageBuffer for Street {
    fn get_jpeg_color_type(&self) -> JpegColorType {
        JpegColorType::Ycbcr
    }

    fn width(&self) -> u16 {
        self.width as u16
    }

    fn height(&self) -> u16 {
        self.height as u16
    }

    fn fill_buffers(&self, y: u16, buffers: &mut [Vec<u8>; 4]) {
        push_row(&self.row(y.into()), buffers);
    }
}

fn column(image: &MockImage<'_>, pano: bool, part: f32, metres: f32) -> Column {
    let (across, forward) = if pano { (part * std::f32::consts::TAU).sin_cos() } else { (part * 1.6, 1.0) };
    let wall = (WALL / across.abs()).min(4.0 * SIGHT);
    let along = metres + wall * forward + 10_000.0;
    let position = along / HOUSE;
    let house = mix(image.sequence.salt ^ u64::from(across > 0.0), position as u64);
    let window = (position.fract() * 4.0).fract();
    let garden = house.is_multiple_of(6) || position.fract() > 0.93;
    let top = if garden { 1.4 } else { STOREY * (1.0 + (house >> 8) as f32 % 3.0) + 0.9 };
    let tint = |salt| (150.0 + 95.0 * unit(house, salt)) as u8;
    let color = if garden { [70, 116, 62] } else { [tint(1), tint(2), tint(3)] };
    let shade = if across > 0.0 { 0.0 } else { 0.22 };
    let color = blend(blend(color, [40, 40, 60], shade), HAZE, (wall / SIGHT).min(1.0));
    Column {
        across: across.abs(),
        forward,
        wall,
        top,
        color,
        window: !garden && (0.3..0.7).contains(&window),
    }
}

fn pixel(column: &Column, rise: f32, ground: f32, sky: Color, metres: f32) -> Color {
    if ground < column.wall {
        let color = road(column.across * ground, metres + column.forward * ground + 10_000.0);
        return blend(color, HAZE, (ground / SIGHT).min(1.0));
    }
    let height = EYE + rise * column.wall;
    if height > column.top {
        return sky;
    }
    let storey = (height / STOREY).fract();
    if column.window && (0.3..0.75).contains(&storey) && height < column.top - 0.9 {
        return blend(column.color, [46, 62, 84], 0.7 * (1.0 - (column.wall / SIGHT).min(1.0)));
    }
    column.color
}

/// Returns the colour of the ground at a distance from the middle of the road and a distance along it, in metres.
fn road(aside: f32, along: f32) -> Color {
    let paved = (along * 0.7).fract() < 0.04 || (aside * 0.9).fract() < 0.05;
    match aside {
        a if a < 0.09 && (along / 6.0).fract() < 0.5 => [240, 240, 232],
        a if (KERB - 0.5..KERB - 0.36).contains(&a) => [226, 226, 220],
        a if a < KERB => [88, 90, 95],
        a if a < KERB + 0.3 => [206, 203, 196],
        _ if paved => [150, 144, 136],
        _ => [176, 169, 158],
    }
}

fn blend(a: Color, b: Color, part: f32) -> Color {
    let part = (part * 256.0) as i32;
    std::array::from_fn(|i| {
        let (a, b) = (i32::from(a[i]), i32::from(b[i]));
        (a + (((b - a) * part) >> 8)) as u8
    })
}

/// City, heading and id at the bottom of the picture.
struct Label {
    lines: [String; 2],
    scale: usize,
    /// First row of the label.
    top: usize,
}

impl Label {
    fn new(image: &MockImage<'_>, width: usize, height: usize) -> Self {
        let lines = [format!("{} {:.0} deg", image.sequence.city(), image.heading()), image.id()];
        let scale = (width / 256).max(1);
        Self { lines, scale, top: height - 20 * scale }
    }

    /// Draws the part of the label in row `y`.
    fn draw_row(&self, y: usize, row: &mut [Color]) {
        let Some(below) = y.checked_sub(self.top) else { return };
        for value in row.iter_mut().flatten() {
            *value /= 3;
        }
        // Two lines of letters of 8 by 8 dots, two dots below the top and one dot apart.
        let Some(dot) = (below / self.scale).checked_sub(2) else { return };
        let (line, dot) = (dot / 9, dot % 9);
        let Some(text) = self.lines.get(line) else { return };
        for (index, letter) in text.chars().take(31).enumerate() {
            let glyph = font8x8::BASIC_FONTS.get(letter).unwrap_or_default();
            let bits = glyph.get(dot).copied().unwrap_or(0);
            for bit in (0..8).filter(|bit| bits >> bit & 1 == 1) {
                row[self.scale * (4 + index * 8 + bit)..][..self.scale].fill([250; 3]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MockSequence;

    /// Returns width, height and whether the picture is progressive, from the frame header.
    fn frame(jpeg: &[u8]) -> (u16, u16, bool) {
        assert!(jpeg.starts_with(&[0xFF, 0xD8, 0xFF]) && jpeg.ends_with(&[0xFF, 0xD9]));
        let mut at = 2;
        loop {
            let number = |at: usize| u16::from_be_bytes([jpeg[at], jpeg[at + 1]]);
            match jpeg[at + 1] {
                marker @ (0xC0 | 0xC2) => return (number(at + 7), number(at + 5), marker == 0xC2),
                _ => at += 2 + usize::from(number(at + 2)),
            }
        }
    }

    #[test]
    fn pictures_have_the_right_size_and_encoding() {
        let data = MockData::cyprus();
        let flat = data.sequences()[0].image(0).id();
        let round = data.sequences().iter().find(|sequence| sequence.is_pano()).expect("there are panoramas");
        let round = round.image(0).id();
        let frame_at = |id: &str, width| frame(&data.picture(id, width).expect("it exists"));
        assert_eq!(frame_at(&flat, Some(256)), (256, 144, true));
        assert_eq!(frame_at(&round, Some(1024)), (1024, 512, true));
        assert_eq!(frame_at(&flat, None), (2560, 1440, false));
        assert_eq!(data.picture(&flat, Some(256)), data.picture(&flat, Some(256)), "deterministic");
        assert_ne!(data.picture(&flat, Some(256)), data.picture(&round, Some(256)));
        assert_eq!(data.picture("1", None), None);
    }

    #[test]
    fn the_pixels_of_a_detection_have_its_color() {
        let data = MockData::cyprus();
        for sequence in [0, 3, 7].map(|index| &data.sequences()[index]) {
            let image =
                sequence.images().find(|image| image.detections().len() > 5).expect("one with objects");
            let (width, height) = image.size(256);
            let street = Street::new(&image, width as usize, height as usize);
            let mut shown = 0;
            for (y, row) in street.rows().enumerate() {
                for (x, color) in row.into_iter().enumerate() {
                    let unit = |at: usize, of: u32| (at as f64 + 0.5) / f64::from(of) * 4096.0;
                    if let Some(expected) = data.detection_color(&image.id(), unit(x, width), unit(y, height))
                    {
                        assert_eq!(color, expected, "{x} {y} of {}", image.id());
                        shown += 1;
                    }
                }
            }
            assert!(shown > 1_000, "{shown} pixels show objects");
        }
    }

    #[test]
    fn originals_are_stored_turned_and_thumbnails_are_upright() {
        let data = MockData::cyprus();
        let images: Vec<_> = data.sequences().iter().flat_map(MockSequence::images).collect();
        for orientation in 1..=8 {
            let image = images.iter().find(|image| image.orientation() == orientation).expect("one of each");
            let (original, thumb) = (draw(image, None), draw(image, Some(image.size(256))));
            let (width, height) = image.stored_size();
            assert_eq!(frame(&original), (width as u16, height as u16, false));
            let exif = original.windows(6).position(|six| six == b"Exif\0\0");
            assert_eq!(exif.map(|at| original[at + 25]), (orientation > 1).then_some(orientation));
            let upright = if orientation >= 5 { 256 * width / height } else { 256 * height / width };
            assert_eq!(frame(&thumb).0, 256);
            assert!(frame(&thumb).1.abs_diff(upright as u16) <= 1);
            assert!(!thumb.windows(4).any(|four| four == b"Exif"));
        }
    }

    #[test]
    fn a_padded_picture_is_valid_and_has_the_exact_size() {
        let data = MockData::cyprus();
        for bytes in [40_000, 65_541, 105_539, 200_003, 1_000_000] {
            let jpeg = draw_padded(&data, bytes);
            assert_eq!(jpeg.len(), bytes);
            assert_eq!(frame(&jpeg), (256, 144, true));
        }
    }
}
