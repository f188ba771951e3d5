//! The legend: a strip below the picture with the colour of each class.

use font8x8::UnicodeFonts;

use super::palette::Colour;
use super::picture::Pixels;

/// Width and height of a letter before scaling, in pixels.
const LETTER: u32 = 8;

/// Maximum number of classes in a legend; the last line counts the others.
const MAX_CLASSES: usize = 64;

const BACKGROUND: [u8; 4] = [24, 24, 24, 255];
const TEXT: [u8; 4] = [240, 240, 240, 255];

/// Adds a strip with a colour and a text for each entry. The pixels of the picture stay where they are.
///
/// A picture that would become higher than a JPEG can be stays without a strip.
pub(super) fn add(pixels: &mut Pixels, entries: &[(String, Colour)]) {
    let mut lines: Vec<(String, Option<Colour>)> =
        entries.iter().take(MAX_CLASSES).map(|(text, colour)| (text.clone(), Some(*colour))).collect();
    if entries.len() > MAX_CLASSES {
        lines.push((format!("and {} more", entries.len() - MAX_CLASSES), None));
    }
    // One pixel a dot on thumbnails, more on originals.
    let scale = (pixels.width / 1024).max(1);
    let line_height = (LETTER + 4) * scale;
    let longest = lines.iter().map(|(text, _)| text.chars().count()).max().unwrap_or(0);
    let column = (u32::try_from(longest).unwrap_or(u32::MAX / 64).min(1000) + 3) * LETTER * scale;
    let columns = (pixels.width / column).max(1);
    let Ok(count) = u32::try_from(lines.len()) else { return };
    let rows = count.div_ceil(columns);
    let strip = rows * line_height + 4 * scale;
    if count == 0 || pixels.height + strip > u32::from(u16::MAX) {
        return;
    }
    let top = pixels.height;
    pixels.height += strip;
    pixels.data.extend(BACKGROUND.iter().cycle().take(strip as usize * pixels.width as usize * 4));
    for (index, (text, colour)) in (0..count).zip(&lines) {
        let x = index / rows * column + 4 * scale;
        let y = top + index % rows * line_height + 4 * scale;
        if let Some(Colour { red, green, blue, .. }) = *colour {
            fill(pixels, [x, y, x + LETTER * scale, y + LETTER * scale], [red, green, blue, 255]);
        }
        write(pixels, text, [x + (LETTER + 4) * scale, y], scale);
    }
}

fn write(pixels: &mut Pixels, text: &str, [x, y]: [u32; 2], scale: u32) {
    for (index, letter) in (0..).zip(text.chars().take(1000)) {
        let letter = font8x8::BASIC_FONTS.get(letter).or_else(|| font8x8::BASIC_FONTS.get('?'));
        for (row, bits) in (0..).zip(letter.unwrap_or_default()) {
            for column in (0..LETTER).filter(|column| bits & 1 << column != 0) {
                let (x, y) = (x + (index * LETTER + column) * scale, y + row * scale);
                fill(pixels, [x, y, x + scale, y + scale], TEXT);
            }
        }
    }
}

/// Fills a rectangle from left, top to right, bottom. What is outside the picture is left out.
fn fill(pixels: &mut Pixels, [left, top, right, bottom]: [u32; 4], colour: [u8; 4]) {
    for y in top..bottom.min(pixels.height) {
        for x in left..right.min(pixels.width) {
            let at = (y as usize * pixels.width as usize + x as usize) * 4;
            pixels.data[at..at + 4].copy_from_slice(&colour);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn legend(width: u32, height: u32, names: &[String]) -> Pixels {
        let mut pixels = Pixels { data: vec![200; (width * height * 4) as usize], width, height };
        let colour = Colour { red: 255, green: 0, blue: 0, alpha: 10 };
        add(&mut pixels, &names.iter().map(|name| (name.clone(), colour)).collect::<Vec<_>>());
        assert_eq!(pixels.data.len(), (pixels.width * pixels.height * 4) as usize);
        pixels
    }

    #[test]
    fn the_strip_is_below_the_picture() {
        let names = ["nature--sky".to_owned(), "object--vehicle--car".to_owned()];
        let pixels = legend(256, 100, &names);
        assert_eq!((pixels.width, pixels.height), (256, 128));
        assert!(pixels.data[..256 * 100 * 4].iter().all(|&byte| byte == 200), "the picture is unchanged");
        let swatch = (106 * 256 + 6) * 4;
        assert_eq!(pixels.data[swatch..swatch + 4], [255, 0, 0, 255]);
        assert_eq!(legend(1024, 10, &names).height, 26, "two columns");
    }

    #[test]
    fn any_number_of_classes_and_any_text_fit() {
        assert_eq!(legend(10, 10, &[]).height, 10);
        let odd: Vec<_> = (0..300).map(|index| format!("{index}{}", "日\u{7}é".repeat(index))).collect();
        assert_eq!(legend(64, 10, &odd).height, 10 + 65 * 12 + 4);
        assert_eq!(legend(1, 65_500, &odd).height, 65_500, "no space");
    }
}
