//! What is in a training set, and what is not.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::classes::Class;
use super::options::{Options, Target, Task};
use crate::pictures::Failures;

/// The content of a training set.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Report {
    /// The counts.
    pub counts: Counts,
    /// The classes, with the number of annotations of each.
    pub classes: Vec<(Class, u64)>,
    /// The pictures of each split, by its name.
    pub splits: Vec<(&'static str, u64)>,
    /// Pictures and rows that failed.
    pub failures: Failures,
}

/// Counts of a training set.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// Pictures in the set.
    pub pictures: u64,
    /// Annotations in the set.
    pub annotations: u64,
    /// Pictures in the set without annotations; only with [`TrainingSet::background`](super::TrainingSet::background).
    pub background: u64,
    /// Images of the table without a picture in the folder.
    pub without_picture: u64,
    /// Pictures that are left out, because none of their detections is in the set.
    pub without_annotation: u64,
    /// Images without a known sequence. They are in `train`.
    pub without_sequence: u64,
    /// Pictures with an EXIF orientation. Readers must apply it, or they show another picture than the annotations.
    pub turned: u64,
    /// Pictures that were copied, because the file system can't link them.
    pub copied: u64,
    /// Detections read, of images with a picture.
    pub detections: u64,
    /// Detections of classes that are not in the set.
    pub other_classes: u64,
    /// Detections without a shape.
    pub without_shape: u64,
    /// Detections below the smallest area.
    pub below_min_area: u64,
    /// Detections that cover no pixel of the picture.
    pub without_pixel: u64,
    /// Detections whose outline is too long for a mask: more than 10 million pixels.
    pub too_detailed: u64,
    /// Holes that the format can't express; their pixels count as inside.
    pub lost_holes: u64,
    /// Detections of several parts that are several annotations, because the format has one outline for each.
    pub split_parts: u64,
    /// Traffic signs that are not painted into masks: they would cover segments.
    pub unpainted_signs: u64,
}

impl Counts {
    /// The counts that are not 0, each with its name in JSON and a description in singular or plural.
    pub fn listed(&self) -> Vec<(&'static str, u64, &'static str)> {
        self.all().into_iter().filter(|(_, count, _)| *count > 0).collect()
    }

    /// The counts of what is in the set besides pictures, and of detections that are left out or changed, by name.
    pub(super) fn details(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let of_images = ["pictures", "without_picture", "without_annotation"];
        let others = self.listed().into_iter().filter(move |(name, _, _)| !of_images.contains(name));
        others.map(|(name, count, _)| (name, count))
    }

    fn all(&self) -> [(&'static str, u64, &'static str); 17] {
        let row = |name, count, one, many| (name, count, if count == 1 { one } else { many });
        [
            row("pictures", self.pictures, "picture", "pictures"),
            row("annotations", self.annotations, "annotation", "annotations"),
            row(
                "background",
                self.background,
                "picture without annotations (background)",
                "pictures without annotations (background)",
            ),
            row(
                "without_picture",
                self.without_picture,
                "image of the table without a picture in the folder",
                "images of the table without a picture in the folder",
            ),
            row(
                "without_annotation",
                self.without_annotation,
                "picture left out: none of its detections is in the set",
                "pictures left out: none of their detections is in the set",
            ),
            row(
                "without_sequence",
                self.without_sequence,
                "image without a known sequence, in `train`",
                "images without a known sequence, in `train`",
            ),
            row(
                "turned",
                self.turned,
                "picture with an EXIF orientation, which readers must apply",
                "pictures with an EXIF orientation, which readers must apply",
            ),
            row(
                "copied",
                self.copied,
                "picture copied, because it could not be linked",
                "pictures copied, because they could not be linked",
            ),
            row(
                "detections",
                self.detections,
                "detection of images with a picture",
                "detections of images with a picture",
            ),
            row(
                "other_classes",
                self.other_classes,
                "detection left out: another class",
                "detections left out: other classes",
            ),
            row(
                "without_shape",
                self.without_shape,
                "detection left out: no shape",
                "detections left out: no shape",
            ),
            row(
                "below_min_area",
                self.below_min_area,
                "detection left out: below the smallest area",
                "detections left out: below the smallest area",
            ),
            row(
                "without_pixel",
                self.without_pixel,
                "detection left out: it covers no pixel",
                "detections left out: they cover no pixel",
            ),
            row(
                "too_detailed",
                self.too_detailed,
                "detection left out: its outline has more than 10 million pixels",
                "detections left out: their outline has more than 10 million pixels",
            ),
            row(
                "lost_holes",
                self.lost_holes,
                "hole lost: the format has none",
                "holes lost: the format has none",
            ),
            row(
                "split_parts",
                self.split_parts,
                "detection of several parts, written as one annotation for each part",
                "detections of several parts, written as one annotation for each part",
            ),
            row(
                "unpainted_signs",
                self.unpainted_signs,
                "traffic sign not painted, because it would cover segments",
                "traffic signs not painted, because they would cover segments",
            ),
        ]
    }
}

/// The first entry of the marker.
pub(super) const GENERATOR: &str = "streetflow dataset";

/// The terms of pictures and labels, in every training set.
pub(super) const LICENCE: &str = "CC-BY-SA-4.0";
pub(super) const LICENCE_NAME: &str = "Creative Commons Attribution-ShareAlike 4.0 International";
pub(super) const LICENCE_URL: &str = "https://creativecommons.org/licenses/by-sa/4.0/";
pub(super) const ATTRIBUTION: &str = "© Mapillary and the authors of the pictures, CC BY-SA 4.0";
pub(super) const NO_SCORE: &str = "The labels are made by Mapillary's models, without a score, and are not verified. A pixel or a place without a label is unknown, not background.";

/// `dataset.json`: what is in the set and how it was made. It also marks the folder as ours.
pub(super) fn json(options: &Options, report: &Report) -> Value {
    let classes = report.classes.iter().map(|(class, count)| {
        let values: Vec<_> = class.values.iter().map(|(value, _)| value).collect();
        json!({ "id": class.id, "name": class.name, "annotations": count, "values": values })
    });
    let counts: serde_json::Map<_, _> =
        report.counts.listed().into_iter().map(|(name, count, _)| (name.to_owned(), count.into())).collect();
    let splits: serde_json::Map<_, _> =
        report.splits.iter().map(|(name, count)| ((*name).to_owned(), (*count).into())).collect();
    json!({
        "generator": GENERATOR,
        "format": options.target.name(),
        "task": options.task.name(),
        "split": options.split.to_string(),
        "pictures": splits,
        "classes": classes.collect::<Vec<_>>(),
        "counts": counts,
        "failed": report.failures.count,
        "license": LICENCE,
        "attribution": ATTRIBUTION,
        "labels": NO_SCORE,
    })
}

/// `README.md`, the dataset card. Its head is read by the Hugging Face hub.
pub(super) fn card(options: &Options, report: &Report) -> String {
    let mut text = String::new();
    let category = match options.task {
        Task::Detect => "object-detection",
        Task::Segment => "image-segmentation",
    };
    let size = match report.counts.pictures {
        0..1_000 => "n<1K",
        1_000..10_000 => "1K<n<10K",
        10_000..100_000 => "10K<n<100K",
        100_000..1_000_000 => "100K<n<1M",
        _ => "n>1M",
    };
    let how = match options.target {
        Target::Coco => {
            "Annotations are in `annotations/instances_<split>.json` (COCO), pictures in `images/<split>/`. A shape with holes is run-length encoded, any other one a list of polygons."
        }
        Target::Yolo => {
            "Labels are in `labels/<split>/`, pictures in `images/<split>/`; `data.yaml` names both. A part of a shape is a line of its own, and holes are filled."
        }
        Target::Masks => {
            "Masks are in `masks/<split>/`: one class number for each pixel, 0 for unlabeled. A pixel belongs to a class if its centre is inside by the even-odd rule; small shapes are painted over large ones."
        }
        Target::WebDataset => {
            "Each shard `<split>-<number>.tar` has the samples `<image id>.jpg`, `<image id>.json` and, for segmentation, `<image id>.mask.png`."
        }
        Target::HuggingFace => {
            "An image folder: pictures in `<split>/`, annotations in `<split>/metadata.parquet`. Boxes are x, y, width and height in pixels."
        }
    };
    // Writing to a string cannot fail.
    let _ok = write!(
        text,
        "---\nlicense: cc-by-sa-4.0\ntask_categories:\n- {category}\nsize_categories:\n- {size}\ntags:\n- mapillary\n- street-level-imagery\n---\n\n\
         # Street-level pictures with Mapillary's detections\n\n{how}\n\n{NO_SCORE}\n\n\
         ## Licence\n\n{ATTRIBUTION} ({LICENCE_URL}). Where you show pictures, name the author and Mapillary, and link to \
         `https://www.mapillary.com/app/?pKey=<image id>`. Whether the terms of Mapillary permit your use of the labels is for you to judge.\n\n\
         ## Content\n\n| Count | |\n|---|---|\n"
    );
    for (_, count, description) in report.counts.listed() {
        let _ok = writeln!(text, "| {count} | {description} |");
    }
    if report.failures.count > 0 {
        let _ok = writeln!(text, "| {} | pictures and rows that could not be read |", report.failures.count);
    }
    let _ok = write!(text, "\n| Split | Pictures |\n|---|---|\n");
    for (name, count) in &report.splits {
        let _ok = writeln!(text, "| {name} | {count} |");
    }
    let _ok = write!(text, "\n## Classes\n\n| Number | Class | Annotations |\n|---|---|---|\n");
    for (position, (class, count)) in report.classes.iter().enumerate() {
        let id = options.target.class_number(class.id, position);
        let name = class.name.replace(['|', '\n', '\r'], " ");
        let _ok = writeln!(text, "| {id} | `{name}` | {count} |");
    }
    text
}

/// `classes.csv`: which of Mapillary's classes is which number, and how many detections the table has of it.
pub(super) fn classes_csv(options: &Options, classes: &[Class]) -> Result<Vec<u8>, csv::Error> {
    let mut rows = csv::Writer::from_writer(Vec::new());
    rows.write_record(["id", "value", "class", "count"])?;
    for (position, class) in classes.iter().enumerate() {
        let id = options.target.class_number(class.id, position).to_string();
        if class.values.is_empty() {
            rows.write_record([&id, "", &class.name, "0"])?;
        }
        for (value, count) in &class.values {
            rows.write_record([&id, value, &class.name, &count.to_string()])?;
        }
    }
    Ok(rows.into_inner().unwrap_or_default())
}
