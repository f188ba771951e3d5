//! Draws shapes into pixels.

use tiny_skia::{FillRule, LineJoin, Paint, Path, PathBuilder, PixmapMut, Stroke, Transform};

use super::palette::Colour;
use super::picture::Pixels;
use crate::raster::{Polygon, area, to_pixels};
use crate::record::Polygons;

/// A shape to draw.
pub(super) struct Shape<'a> {
    pub(super) polygons: &'a Polygons,
    pub(super) colour: Colour,
    /// Whether it is drawn above all others: a sign lies on top of segments.
    pub(super) is_on_top: bool,
}

/// Draws shapes, filled with their colour and with an outline of `outline` pixels. Holes stay free.
///
/// Large shapes come first, so that small ones stay visible.
pub(super) fn draw(pixels: &mut Pixels, shapes: &[Shape<'_>], outline: f32) {
    let (width, height) = (pixels.width, pixels.height);
    let scaled = shapes.iter().map(|shape| {
        let polygons = to_pixels(shape.polygons, width, height);
        (shape, area(&polygons), polygons)
    });
    let mut scaled: Vec<_> = scaled.collect();
    scaled.sort_by(|(one, one_area, _), (other, other_area, _)| {
        one.is_on_top.cmp(&other.is_on_top).then(other_area.total_cmp(one_area))
    });
    let Some(mut canvas) = PixmapMut::from_bytes(&mut pixels.data, width, height) else { return };
    for (shape, _, polygons) in &scaled {
        let paths: Vec<_> = polygons.iter().filter_map(path).collect();
        let Colour { red, green, blue, alpha } = shape.colour;
        let mut paint = Paint::default();
        paint.set_color_rgba8(red, green, blue, alpha);
        for path in &paths {
            canvas.fill_path(path, &paint, FillRule::EvenOdd, Transform::identity(), None);
        }
        if outline > 0.0 {
            paint.set_color_rgba8(red, green, blue, 255);
            let stroke = Stroke { width: outline, line_join: LineJoin::Round, ..Stroke::default() };
            for path in &paths {
                canvas.stroke_path(path, &paint, &stroke, Transform::identity(), None);
            }
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "a picture has at most 65,535 pixels a side")]
fn path(polygon: &Polygon) -> Option<Path> {
    let mut path = PathBuilder::new();
    for ring in polygon {
        for (index, &[x, y]) in ring.iter().enumerate() {
            if index == 0 {
                path.move_to(x as f32, y as f32);
            } else {
                path.line_to(x as f32, y as f32);
            }
        }
        path.close();
    }
    path.finish()
}

#[cfg(test)]
mod tests {
    use super::super::picture::tests::colour;
    use super::*;

    const BLUE: Colour = Colour { red: 0, green: 0, blue: 255, alpha: 255 };
    const RED: Colour = Colour { red: 255, green: 0, blue: 0, alpha: 255 };

    fn white(width: u32, height: u32) -> Pixels {
        Pixels { data: vec![255; (width * height * 4) as usize], width, height }
    }

    fn square(left: f64, top: f64, right: f64, bottom: f64) -> Vec<[f64; 2]> {
        vec![[left, top], [right, top], [right, bottom], [left, bottom]]
    }

    #[test]
    fn a_hole_stays_free_and_all_parts_are_drawn() {
        let mut pixels = white(100, 50);
        let polygons = Polygons::from(vec![
            vec![square(0.1, 0.1, 0.5, 0.9), square(0.2, 0.3, 0.4, 0.7)],
            // The whole height up to the right edge.
            vec![square(0.8, 0.0, 1.0, 1.0)],
        ]);
        draw(&mut pixels, &[Shape { polygons: &polygons, colour: BLUE, is_on_top: false }], 0.0);
        for (x, y, expected) in [
            (9, 25, "white"),
            (10, 25, "blue"),
            (19, 25, "blue"),
            (20, 25, "white"),
            (39, 25, "white"),
            (40, 25, "blue"),
            (49, 25, "blue"),
            (50, 25, "white"),
            (12, 4, "white"),
            (12, 5, "blue"),
            (12, 44, "blue"),
            (12, 45, "white"),
            (30, 14, "blue"),
            (30, 15, "white"),
            (30, 34, "white"),
            (30, 35, "blue"),
            (79, 0, "white"),
            (80, 0, "blue"),
            (99, 0, "blue"),
            (99, 49, "blue"),
        ] {
            assert_eq!(colour(&pixels, x, y), expected, "{x}, {y}");
        }
    }

    #[test]
    fn small_shapes_are_above_large_ones_and_signs_above_all() {
        let (large, small) = (
            Polygons::from(vec![vec![square(0.0, 0.0, 1.0, 1.0)]]),
            Polygons::from(vec![vec![square(0.1, 0.1, 0.2, 0.2)]]),
        );
        let shape = |polygons, colour, is_on_top| Shape { polygons, colour, is_on_top };
        let mut pixels = white(100, 100);
        draw(&mut pixels, &[shape(&small, BLUE, false), shape(&large, RED, false)], 0.0);
        assert_eq!((colour(&pixels, 15, 15), colour(&pixels, 50, 50)), ("blue", "red"));
        draw(&mut pixels, &[shape(&large, RED, true), shape(&small, BLUE, false)], 0.0);
        assert_eq!(colour(&pixels, 15, 15), "red");
    }

    #[test]
    fn a_fill_is_translucent_and_an_outline_is_not() {
        let mut pixels = white(100, 100);
        let colour_of = Colour { alpha: 128, ..BLUE };
        let polygons = Polygons::from(vec![vec![square(0.2, 0.2, 0.8, 0.8)]]);
        draw(&mut pixels, &[Shape { polygons: &polygons, colour: colour_of, is_on_top: false }], 2.0);
        let at = |x: usize, y: usize| &pixels.data[(y * 100 + x) * 4..][..3];
        assert_eq!(at(20, 50), [0, 0, 255]);
        assert!(at(50, 50)[0].abs_diff(127) <= 1 && at(50, 50)[2] == 255, "{:?}", at(50, 50));
        assert_eq!(at(10, 10), [255, 255, 255]);
    }

    #[test]
    fn odd_shapes_do_not_panic() {
        let mut pixels = white(10, 10);
        let rings: [Vec<[f64; 2]>; 5] = [
            vec![],
            vec![[0.5, 0.5]],
            vec![[0.1, 0.1], [0.9, 0.9]],
            vec![[f64::NAN, f64::INFINITY]; 4],
            vec![[-1e300, 0.0], [1e300, 0.0], [0.0, 1e300]],
        ];
        for ring in rings {
            let polygons = Polygons::from(vec![vec![ring]]);
            draw(&mut pixels, &[Shape { polygons: &polygons, colour: BLUE, is_on_top: false }], 3.0);
        }
    }
}
