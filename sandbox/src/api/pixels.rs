//! Pixels, and how the encoder takes them.

use jpeg_encoder::rgb_to_ycbcr;

/// Red, green and blue.
pub(super) type Color = [u8; 3];

/// Appends a row of pixels to the buffers of the encoder.
pub(super) fn push_row(row: &[Color], buffers: &mut [Vec<u8>; 4]) {
    let [luma, blue, red, _] = buffers;
    for [r, g, b] in row {
        let (y, cb, cr) = rgb_to_ycbcr(*r, *g, *b);
        luma.push(y);
        blue.push(cb);
        red.push(cr);
    }
}
