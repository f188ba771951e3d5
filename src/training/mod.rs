//! Training sets from tables of detections and pictures. Needs no network.
//!
//! A set is a folder that is complete or absent, and the same input gives the same bytes. Its `README.md` and
//! `dataset.json` count what is in it and what is left out.

mod build;
mod classes;
mod coco;
#[cfg(feature = "parquet")]
mod huggingface;
mod images;
mod masks;
mod options;
mod output;
mod png;
mod report;
mod sample;
mod split;
mod text;
mod webdataset;
mod writer;
mod yolo;

use std::path::Path;
use std::sync::Arc;

pub use self::classes::{Class, ClassRules};
use self::images::ImageTable;
use self::options::Options;
pub use self::options::{Target, Task};
pub use self::report::{Counts, Report};
pub use self::split::Split;
use crate::error::Result;
use crate::observe::{Observer, Step};
use crate::pictures::{DetectionTable, PictureFolder, StepEvents};

/// Builds a training set.
///
/// - **Pictures** are hard links, or copies where the file system has none. An image without a picture is left out, and
///   so is a picture without an annotation, unless [`background`](Self::background) is set.
/// - **Coordinates** are pixels of the picture as displayed. A picture with an EXIF orientation stays as it is, so
///   readers must apply it; such pictures are counted.
/// - **Signs and segments.** Both are annotations, and each has its kind. Masks contain segments only: signs are
///   rectangles that would cover them.
///
/// ```no_run
/// use streetflow::pictures::{DetectionTable, PictureFolder};
/// use streetflow::training::{Target, TrainingSet};
///
/// # #[tokio::main] async fn main() -> streetflow::Result<()> {
/// let table = DetectionTable::new("outputs/img_detections_dataset.csv")?;
/// let pictures = PictureFolder::open("outputs/downloaded_images".as_ref(), None)?;
/// let report = TrainingSet::new(Target::Yolo)
///     .classes("vehicle=object--vehicle--*".parse()?)
///     .split("80,20".parse()?)
///     .images("outputs/img_dataset.csv".as_ref())?
///     .write(&table, &pictures, "outputs/vehicles".as_ref())
///     .await?;
/// println!("{} pictures, {} annotations", report.counts.pictures, report.counts.annotations);
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct TrainingSet(Options);

/// Samples of a shard unless chosen otherwise.
const SHARD_SIZE: u64 = 1000;

impl TrainingSet {
    /// Begins a training set of boxes, with all classes and all pictures in `train`. Masks are segments.
    pub fn new(target: Target) -> Self {
        let task = if target == Target::Masks { Task::Segment } else { Task::Detect };
        Self(Options {
            target,
            task,
            classes: ClassRules::default(),
            split: Split::default(),
            images: None,
            min_area: 0.0,
            background: false,
            must_copy: false,
            shard_size: SHARD_SIZE,
            events: StepEvents::of(Step::DATASET),
        })
    }

    /// Sets what a model learns. A set of masks is always for segmentation.
    pub fn task(mut self, task: Task) -> Self {
        if self.0.target != Target::Masks {
            self.0.task = task;
        }
        self
    }

    /// Sets the classes. Detections of other classes are left out.
    pub fn classes(mut self, classes: ClassRules) -> Self {
        self.0.classes = classes;
        self
    }

    /// Sets the shares of `train`, `val` and `test`. More than one needs [`images`](Self::images).
    pub fn split(mut self, split: Split) -> Self {
        self.0.split = split;
        self
    }

    /// Sets the table of images with their sequences, and optionally `creator_username`, which is then part of the set.
    pub fn images(mut self, path: &Path) -> Result<Self> {
        self.0.images = Some(ImageTable::new(path)?);
        Ok(self)
    }

    /// Leaves out detections below this fraction of the picture.
    pub fn min_area(mut self, fraction: f64) -> Self {
        self.0.min_area = fraction;
        self
    }

    /// Also includes pictures of the table with detections of other classes only, without annotations.
    pub fn background(mut self) -> Self {
        self.0.background = true;
        self
    }

    /// Copies pictures instead of linking them, so that a changed picture does not change the other one.
    pub fn copy(mut self) -> Self {
        self.0.must_copy = true;
        self
    }

    /// Sets the number of samples of a shard, for `WebDataset`. The default is 1,000.
    pub fn shard_size(mut self, samples: u64) -> Self {
        self.0.shard_size = samples.max(1);
        self
    }

    /// Reports each image to an observer, as step [`Step::DATASET`], and at the end the counts as findings.
    pub fn observer(mut self, observer: Arc<dyn Observer>) -> Self {
        self.0.events.observe(observer);
        self
    }

    /// Builds the set in a folder, and replaces an earlier set there. A folder with other files is an error of kind
    /// `Usage`.
    pub async fn write(
        self,
        table: &DetectionTable,
        pictures: &PictureFolder,
        folder: &Path,
    ) -> Result<Report> {
        build::build(self.0, table, pictures, folder).await
    }
}
