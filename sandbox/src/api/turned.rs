//! Originals that are stored turned or mirrored, with an EXIF orientation.

use jpeg_encoder::{ImageBuffer, JpegColorType};

use super::pixels::{Color, push_row};

/// A picture whose stored pixels differ from the displayed ones in their order.
pub(super) struct Turned {
    orientation: u8,
    /// Size as displayed.
    width: usize,
    height: usize,
    /// The displayed pixels, row by row.
    pixels: Vec<Color>,
}

impl Turned {
    /// Takes the rows of the displayed picture.
    pub(super) fn new(orientation: u8, width: usize, rows: impl Iterator<Item = Vec<Color>>) -> Self {
        let pixels: Vec<Color> = rows.flatten().collect();
        Self { orientation, width, height: pixels.len() / width.max(1), pixels }
    }

    /// Returns the displayed pixel of a stored pixel.
    fn pixel(&self, x: usize, y: usize) -> Color {
        let (right, bottom) = (self.width - 1, self.height - 1);
        let (x, y) = match self.orientation {
            2 => (right - x, y),
            3 => (right - x, bottom - y),
            4 => (x, bottom - y),
            5 => (y, x),
            6 => (right - y, x),
            7 => (right - y, bottom - x),
            8 => (y, bottom - x),
            _ => (x, y),
        };
        self.pixels[y * self.width + x]
    }
}

impl ImageBuffer for Turned {
    fn get_jpeg_color_type(&self) -> JpegColorType {
        JpegColorType::Ycbcr
    }

    fn width(&self) -> u16 {
        (if self.orientation >= 5 { self.height } else { self.width }) as u16
    }

    fn height(&self) -> u16 {
        (if self.orientation >= 5 { self.width } else { self.height }) as u16
    }

    fn fill_buffers(&self, y: u16, buffers: &mut [Vec<u8>; 4]) {
        let width = usize::from(ImageBuffer::width(self));
        let row: Vec<Color> = (0..width).map(|x| self.pixel(x, y.into())).collect();
        push_row(&row, buffers);
    }
}

/// Returns the content of an EXIF segment that holds only the orientation.
pub(super) fn exif_orientation(orientation: u8) -> Vec<u8> {
    let mut segment = b"Exif\0\0MM\0\x2A\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0".to_vec();
    segment.extend([orientation, 0, 0, 0, 0, 0, 0]);
    segment
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the stored pixels of a displayed picture of 3 by 2 pixels, numbered by row.
    fn stored(orientation: u8) -> Vec<Vec<u8>> {
        let rows = [[0, 1, 2], [3, 4, 5]].map(|row| row.map(|n| [n; 3]).to_vec());
        let turned = Turned::new(orientation, 3, rows.into_iter());
        let (width, height) = (usize::from(turned.width()), usize::from(turned.height()));
        (0..height).map(|y| (0..width).map(|x| turned.pixel(x, y)[0]).collect()).collect()
    }

    #[test]
    fn the_stored_pixels_follow_the_definition_of_the_exif_orientation() {
        // The standard says where the stored row 0 and column 0 are in the displayed picture.
        for (orientation, expected) in [
            (1, vec![vec![0, 1, 2], vec![3, 4, 5]]),       // top, left
            (2, vec![vec![2, 1, 0], vec![5, 4, 3]]),       // top, right
            (3, vec![vec![5, 4, 3], vec![2, 1, 0]]),       // bottom, right
            (4, vec![vec![3, 4, 5], vec![0, 1, 2]]),       // bottom, left
            (5, vec![vec![0, 3], vec![1, 4], vec![2, 5]]), // left, top
            (6, vec![vec![2, 5], vec![1, 4], vec![0, 3]]), // right, top
            (7, vec![vec![5, 2], vec![4, 1], vec![3, 0]]), // right, bottom
            (8, vec![vec![3, 0], vec![4, 1], vec![5, 2]]), // left, bottom
        ] {
            assert_eq!(stored(orientation), expected, "{orientation}");
        }
    }
}
