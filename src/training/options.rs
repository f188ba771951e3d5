//! What a training set is: format, task, classes, split.

use super::classes::ClassRules;
use super::images::ImageTable;
use super::split::Split;
use crate::names::named_variants;
use crate::pictures::StepEvents;

/// The format of a training set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Target {
    /// COCO: `annotations/instances_<split>.json` and `images/<split>/`.
    #[default]
    Coco,
    /// YOLO: `labels/<split>/`, `images/<split>/` and `data.yaml`.
    Yolo,
    /// A PNG of class numbers for each picture, in `masks/<split>/`.
    Masks,
    /// `WebDataset`: shards `<split>-000000.tar`.
    WebDataset,
    /// Hugging Face image folder: pictures and `metadata.parquet` in `<split>/`. Needs the feature `parquet`.
    HuggingFace,
}

named_variants!(
    Target,
    "read the format of the training set",
    [Coco => "coco", Yolo => "yolo", Masks => "masks", WebDataset => "webdataset", HuggingFace => "hf"]
);

impl Target {
    /// The number of a class in the files: YOLO counts from 0 in the order of the list.
    pub(super) fn class_number(self, id: u32, position: usize) -> u32 {
        match self {
            Self::Yolo => u32::try_from(position).unwrap_or(u32::MAX),
            _ => id,
        }
    }
}

/// What a model learns: boxes or outlines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Task {
    /// Bounding boxes.
    #[default]
    Detect,
    /// Outlines and masks.
    Segment,
}

named_variants!(Task, "read the task", [Detect => "detect", Segment => "segment"]);

#[derive(Debug, Clone)]
pub(super) struct Options {
    pub(super) target: Target,
    pub(super) task: Task,
    pub(super) classes: ClassRules,
    pub(super) split: Split,
    pub(super) images: Option<ImageTable>,
    pub(super) min_area: f64,
    pub(super) background: bool,
    pub(super) must_copy: bool,
    pub(super) shard_size: u64,
    pub(super) events: StepEvents,
}
