//! A picture with its annotations, in pixels of the picture as displayed.

use std::collections::HashMap;

use super::classes::Class;
use super::options::Task;
use super::report::Counts;
use crate::model::{Detection, DetectionKind, ImageId};
use crate::pictures::PictureFile;
use crate::raster::{Bounds, Polygon, Ring, Rle, area, bounds, spans, to_pixels};

/// Maximum length of the rings of a shape with a mask, in pixels along both axes. Time and memory of a mask grow with it:
/// a comb of 20,000 vertices over a large picture would take gigabytes. The outline of a whole panorama has 50,000.
const MAX_OUTLINE_LEN: f64 = 10_000_000.0;

/// A picture with its annotations.
pub(super) struct Sample {
    pub(super) image: ImageId,
    pub(super) picture: PictureFile,
    /// Width and height as displayed.
    pub(super) size: (u32, u32),
    pub(super) split: usize,
    /// The name of the author, if the table of metadata has it.
    pub(super) author: Option<String>,
    pub(super) annotations: Vec<Annotation>,
}

/// A detection of a class of the training set.
pub(super) struct Annotation {
    pub(super) detection: ImageId,
    /// Position in the list of classes.
    pub(super) class: usize,
    pub(super) is_sign: bool,
    pub(super) bounds: Bounds,
    /// Area in pixels without holes: that of the outline, or of the mask if there is one.
    pub(super) area: f64,
    pub(super) polygons: Vec<Polygon>,
    /// The mask of a shape with holes, which polygons of COCO and YOLO can't express.
    pub(super) mask: Option<Rle>,
}

impl Annotation {
    pub(super) fn holes(&self) -> u64 {
        self.polygons.iter().map(|polygon| polygon.len() as u64 - 1).sum()
    }
}

/// Selects detections and scales them to pictures.
pub(super) struct Selection {
    pub(super) classes: Vec<Class>,
    /// The position of the class of each value.
    positions: HashMap<String, usize>,
    pub(super) task: Task,
    /// Smallest area as a fraction of the picture.
    pub(super) min_area: f64,
}

impl Selection {
    pub(super) fn new(classes: Vec<Class>, task: Task, min_area: f64) -> Self {
        let values = classes.iter().enumerate();
        let positions =
            values.flat_map(|(at, class)| class.values.iter().map(move |(value, _)| (value.clone(), at)));
        let positions = positions.collect();
        Self { classes, positions, task, min_area }
    }

    /// The annotations of a picture. Counts the detections that are left out, and why.
    pub(super) fn annotations(
        &self,
        detections: Vec<Detection>,
        (width, height): (u32, u32),
        counts: &mut Counts,
    ) -> Vec<Annotation> {
        let mut annotations = Vec::with_capacity(detections.len());
        for detection in detections {
            counts.detections += 1;
            match self.annotation(detection, width, height) {
                Ok(annotation) => annotations.push(annotation),
                Err(reason) => *left_out(counts, reason) += 1,
            }
        }
        annotations
    }

    fn annotation(&self, detection: Detection, width: u32, height: u32) -> Result<Annotation, LeftOut> {
        let value = detection.value.as_deref().unwrap_or_default();
        let class = *self.positions.get(value).ok_or(LeftOut::OtherClass)?;
        let shape = detection.polygons.as_ref().filter(|shape| !shape.is_empty()).ok_or(LeftOut::NoShape)?;
        if shape.area() < self.min_area {
            return Err(LeftOut::SmallArea);
        }
        let mut polygons = to_pixels(shape, width, height);
        for polygon in &mut polygons {
            let is_outline = polygon.first().is_some_and(|outline| outline.len() >= 3);
            polygon.retain(|ring| is_outline && ring.len() >= 3);
        }
        polygons.retain(|polygon| !polygon.is_empty());
        let bounds = bounds(&polygons).ok_or(LeftOut::NoShape)?;
        if bounds.width <= 0.0 || bounds.height <= 0.0 {
            return Err(LeftOut::NoPixel);
        }
        let kind = detection.kind.unwrap_or_else(|| DetectionKind::of(value));
        let mut annotation = Annotation {
            detection: detection.detection_id,
            class,
            is_sign: kind == DetectionKind::Sign,
            bounds,
            area: area(&polygons),
            polygons,
            mask: None,
        };
        if self.task == Task::Segment {
            if outline_len(&annotation.polygons) > MAX_OUTLINE_LEN {
                return Err(LeftOut::TooDetailed);
            }
            let is_small = annotation.area < 64.0 + 4.0 * (bounds.width + bounds.height);
            let has_holes = annotation.holes() > 0;
            if is_small || has_holes {
                let rows = spans(&annotation.polygons, width, height);
                if rows.is_empty() {
                    return Err(LeftOut::NoPixel);
                }
                if has_holes {
                    let mask = Rle::new(&rows, width, height);
                    #[expect(clippy::cast_precision_loss, reason = "the pixels of a picture")]
                    let area = mask.area() as f64;
                    annotation.area = area;
                    annotation.mask = Some(mask);
                }
            }
        }
        Ok(annotation)
    }
}

fn left_out(counts: &mut Counts, reason: LeftOut) -> &mut u64 {
    match reason {
        LeftOut::OtherClass => &mut counts.other_classes,
        LeftOut::NoShape => &mut counts.without_shape,
        LeftOut::SmallArea => &mut counts.below_min_area,
        LeftOut::NoPixel => &mut counts.without_pixel,
        LeftOut::TooDetailed => &mut counts.too_detailed,
    }
}

/// Why a detection is in no file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LeftOut {
    OtherClass,
    NoShape,
    SmallArea,
    NoPixel,
    TooDetailed,
}

/// The length of all rings along both axes.
fn outline_len(polygons: &[Polygon]) -> f64 {
    let side = |(from, to): (&[f64; 2], &[f64; 2])| (to[0] - from[0]).abs() + (to[1] - from[1]).abs();
    let ring = |ring: &Ring| ring.iter().zip(ring.iter().cycle().skip(1)).map(side).sum::<f64>();
    polygons.iter().flatten().map(ring).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Polygons;

    /// A detection whose outline goes up and down between two edges of the picture.
    fn comb(teeth: u32) -> Detection {
        let tooth = |at: u32| {
            let x = f64::from(at) / f64::from(teeth);
            [[x, 0.0], [x, 1.0]]
        };
        let outline = (0..teeth).flat_map(tooth).collect();
        Detection { value: Some("nature--sky".to_owned()), ..Detection::default() }
            .with_polygons(Some(Polygons::from(vec![vec![outline]])))
    }

    fn count(task: Task, teeth: u32) -> (usize, u64) {
        let class = Class { id: 1, name: "sky".to_owned(), values: vec![("nature--sky".to_owned(), 1)] };
        let mut counts = Counts::default();
        let selection = Selection::new(vec![class], task, 0.0);
        let annotations = selection.annotations(vec![comb(teeth)], (10_000, 10_000), &mut counts);
        (annotations.len(), counts.too_detailed)
    }

    #[test]
    fn a_comb_over_a_large_picture_has_a_box_and_no_mask() {
        assert_eq!(count(Task::Detect, 10_000), (1, 0));
        assert_eq!(count(Task::Segment, 10_000), (0, 1));
        assert_eq!(count(Task::Segment, 100), (1, 0));
    }
}
