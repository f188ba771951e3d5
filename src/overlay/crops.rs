//! Crops of detections.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::picture::{Pixels, cut, decode, encode};
use super::workers::{Plan, Report, Scope, Work, run, write_file};
use crate::atomic_file::{is_file, output_error};
use crate::error::Result;
use crate::model::Detection;
use crate::observe::{Observer, Step};
use crate::pictures::{DetectionTable, PictureFile, PictureFolder};
use crate::record::Polygons;
use crate::text::folder_name;

/// Writes the box of each detection as a picture of its own: `<value>/<img_id>_<detection_id>.jpg`.
///
/// Existing files are not changed.
///
/// ```no_run
/// use streetflow::overlay::Crops;
/// use streetflow::pictures::{DetectionTable, PictureFolder};
///
/// # #[tokio::main] async fn main() -> streetflow::Result<()> {
/// let table = DetectionTable::new("outputs/img_detections_dataset.csv")?;
/// let pictures = PictureFolder::open("outputs/downloaded_images".as_ref(), None)?;
/// let report = Crops::new().margin(0.1).write(&table, &pictures, "outputs/cropped_images").await?;
/// println!("{} crops", report.written);
/// # Ok(()) }
/// ```
#[derive(Clone)]
#[must_use]
pub struct Crops {
    margin: f64,
    min_size: u32,
    scope: Scope,
}

impl Default for Crops {
    fn default() -> Self {
        Self { margin: 0.0, min_size: 0, scope: Scope::of(Step::CROPS) }
    }
}

impl Crops {
    /// Crops without a margin, of all detections.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets how much of the box's width and height is added on each side, from 0 to 10.
    pub fn margin(mut self, fraction: f64) -> Self {
        self.margin = if fraction.is_finite() { fraction.clamp(0.0, 10.0) } else { 0.0 };
        self
    }

    /// Leaves out detections with a box that is narrower or lower than this number of pixels.
    pub fn min_size(mut self, pixels: u32) -> Self {
        self.min_size = pixels;
        self
    }

    /// Crops only these detections.
    pub fn only(mut self, selects: impl Fn(&Detection) -> bool + Send + Sync + 'static) -> Self {
        self.scope.only(selects);
        self
    }

    /// Reports each image and each crop to an observer, as step [`Step::CROPS`].
    pub fn observer(mut self, observer: Arc<dyn Observer>) -> Self {
        self.scope.observe(observer);
        self
    }

    /// Writes the crops of all detections of a table into a folder, which is created if necessary.
    pub async fn write(
        self,
        table: &DetectionTable,
        pictures: &PictureFolder,
        folder: impl Into<PathBuf>,
    ) -> Result<Report> {
        run(self, table, pictures, folder.into()).await
    }
}

impl Work for Crops {
    const DOING: &'static str = "crop the picture of image";
    const GIVES_MANY: bool = true;

    fn scope(&self) -> &Scope {
        &self.scope
    }

    fn plan(
        &self,
        folder: &Path,
        _: &PictureFile,
        detections: Vec<Detection>,
        report: &mut Report,
    ) -> Result<Option<Plan>> {
        let mut plan = Plan { detections: Vec::new(), targets: Vec::new() };
        for detection in detections {
            if detection.polygons.as_ref().and_then(Polygons::bounds).is_none() {
                report.without_shape += 1;
                continue;
            }
            let target = target(folder, &detection);
            if is_file(&target).map_err(|error| output_error("write the crop", &target, error))? {
                report.already_exists += 1;
            } else {
                plan.targets.push(target);
                plan.detections.push(detection);
            }
        }
        Ok(Some(plan).filter(|plan| !plan.targets.is_empty()))
    }

    fn execute(&self, jpeg: &[u8], plan: Plan, report: &mut Report) -> Result<()> {
        let pixels = decode(jpeg)?;
        for (detection, target) in plan.detections.iter().zip(&plan.targets) {
            let Some(part) = rectangle(detection, &pixels, self.margin, self.min_size) else {
                report.too_small += 1;
                continue;
            };
            let crop = encode(&cut(&pixels, part))?;
            write_file(target, &crop)?;
            report.written += 1;
            report.bytes += crop.len() as u64;
        }
        Ok(())
    }
}

/// The file of a crop. Class and ids come from the network; ids have digits only.
fn target(folder: &Path, detection: &Detection) -> PathBuf {
    let value = folder_name(detection.value.as_deref().unwrap_or_default(), "unknown-class");
    folder.join(value).join(format!("{}_{}.jpg", detection.img_id, detection.detection_id))
}

/// Left, top, right and bottom of a detection's box with its margin: whole pixels, at least one, within the picture.
///
/// `None` if the box without its margin is smaller than `min_size`.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to the picture")]
fn rectangle(detection: &Detection, pixels: &Pixels, margin: f64, min_size: u32) -> Option<[u32; 4]> {
    let [left, top, right, bottom] = detection.polygons.as_ref()?.bounds()?;
    let side = |from: f64, to: f64, size: u32| {
        let (from, to) = (from.clamp(0.0, 1.0) * f64::from(size), to.clamp(0.0, 1.0) * f64::from(size));
        if to - from < f64::from(min_size) {
            return None;
        }
        let extra = (to - from) * margin;
        let start = ((from - extra).floor().max(0.0) as u32).min(size - 1);
        let end = ((to + extra).ceil() as u32).clamp(start + 1, size);
        Some((start, end))
    };
    let ((left, right), (top, bottom)) =
        (side(left, right, pixels.width)?, side(top, bottom, pixels.height)?);
    Some([left, top, right, bottom])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn detection(left: f64, top: f64, right: f64, bottom: f64) -> Detection {
        let ring = vec![[left, top], [right, top], [right, bottom], [left, bottom]];
        Detection::default().with_polygons(Some(Polygons::from(vec![vec![ring]])))
    }

    #[test]
    fn a_crop_has_whole_pixels_within_the_picture() {
        let pixels = Pixels { data: Vec::new(), width: 1000, height: 500 };
        let of = |detection: &Detection, margin| rectangle(detection, &pixels, margin, 0);
        assert_eq!(of(&detection(0.1, 0.2, 0.3, 0.4), 0.0), Some([100, 100, 300, 200]));
        assert_eq!(of(&detection(0.1, 0.2, 0.3, 0.4), 0.1), Some([80, 90, 320, 210]));
        assert_eq!(of(&detection(0.1004, 0.2004, 0.1008, 0.2008), 0.0), Some([100, 100, 101, 101]));
        assert_eq!(of(&detection(0.0, 0.0, 1.0, 1.0), 5.0), Some([0, 0, 1000, 500]));
        assert_eq!(of(&detection(1.0, 1.0, 1.0, 1.0), 0.0), Some([999, 499, 1000, 500]));
        assert_eq!(of(&detection(-3.0, 0.5, 7.0, 0.5), 0.0), Some([0, 250, 1000, 251]));
        assert_eq!(rectangle(&detection(0.1, 0.2, 0.3, 0.24), &pixels, 1.0, 21), None);
        assert_eq!(
            rectangle(&detection(0.1, 0.2, 0.3, 0.25), &pixels, 0.0, 21).map(|part| part[3]),
            Some(125)
        );
    }

    #[test]
    fn a_hostile_class_stays_in_the_folder() {
        for (value, name) in [
            ("object--vehicle--car", "object--vehicle--car"),
            ("../../etc/passwd", "______etc_passwd"),
            ("", "unknown-class"),
            ("a|b*c?", "a_b_c_"),
        ] {
            let detection = Detection { value: Some(value.to_owned()), ..Detection::default() };
            let target = target(Path::new("crops"), &detection);
            assert_eq!(target.parent(), Some(Path::new("crops").join(name).as_path()), "{value}");
        }
    }
}
