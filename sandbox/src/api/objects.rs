//! The objects in a picture, drawn row by row over the street.

use super::pixels::Color;
use crate::mock_data::MockImage;
use crate::mock_data::detection::EXTENT;
use crate::mock_data::shape::{Polygon, crossings};

/// A shape to fill, with the range of its vertices.
struct Object {
    color: Color,
    polygon: Polygon,
    top: f64,
    bottom: f64,
}

/// Fills the shapes of the detections of an image.
///
/// A pixel has the color of a shape if its centre is inside, by the even-odd
/// rule. Later detections cover earlier ones.
pub(super) struct Objects {
    width: usize,
    height: usize,
    shapes: Vec<Object>,
}

impl Objects {
    pub(super) fn new(image: &MockImage<'_>, width: usize, height: usize) -> Self {
        let mut objects = Vec::new();
        for detection in image.detections() {
            for polygon in detection.polygons() {
                let rows = || polygon.iter().flatten().map(|vertex| vertex.1);
                let (Some(top), Some(bottom)) = (rows().min(), rows().max()) else { continue };
                objects.push(Object {
                    color: detection.color,
                    polygon: polygon.clone(),
                    top: top.into(),
                    bottom: bottom.into(),
                });
            }
        }
        Self { width, height, shapes: objects }
    }

    /// Draws the part of the objects in row `y`.
    pub(super) fn draw_row(&self, y: usize, row: &mut [Color]) {
        let unit = f64::from(EXTENT);
        let y = (y as f64 + 0.5) / self.height as f64 * unit;
        let pixel = |x: f64| ((x / unit * self.width as f64 - 0.5).ceil().max(0.0) as usize).min(row.len());
        let mut spans = Vec::new();
        for object in self.shapes.iter().filter(|object| object.top <= y && y <= object.bottom) {
            let found = crossings(&object.polygon, y);
            spans.extend(found.chunks_exact(2).map(|ends| (pixel(ends[0])..pixel(ends[1]), object.color)));
        }
        for (span, color) in spans {
            if let Some(pixels) = row.get_mut(span) {
                pixels.fill(color);
            }
        }
    }
}
