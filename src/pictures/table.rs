//! A table of detections, read image by image.

use std::collections::{BTreeMap, HashMap, HashSet, hash_map};
use std::path::{Path, PathBuf};

use futures::TryStreamExt;

use super::failures::Failures;
use super::progress::StepEvents;
use crate::error::{Error, ErrorKind, Result};
use crate::format::Format;
use crate::model::{Detection, ImageId};
use crate::sources::{RecordStream, Source, TableSource};

/// Maximum number of classes of a table. Vistas has 124 and Mapillary about 1,700.
pub const MAX_CLASSES: usize = 65_535;

/// Maximum number of detections of one image. Real images have hundreds.
const MAX_PER_IMAGE: usize = 100_000;

/// Maximum number of detections that are held in memory because the rows of their image are not adjacent.
const MAX_HELD: usize = 400_000;

/// A table of detections in any format.
///
/// The rows of an image should be adjacent, as streetflow writes them. If an image appears again later, all its
/// detections are held in memory until the end of the table, up to 400,000 in all.
#[derive(Debug, Clone)]
pub struct DetectionTable {
    path: PathBuf,
    format: Format,
}

/// What a first pass over the table found: classes, and images with rows in several places.
#[derive(Debug, Default)]
pub struct TableIndex {
    /// The number of detections of each class.
    pub classes: BTreeMap<String, u64>,
    /// The number of detections.
    pub detections: u64,
    /// The number of images.
    pub images: u64,
    scattered: HashSet<ImageId>,
}

/// All detections of an image.
#[derive(Debug)]
pub(crate) struct ImageDetections {
    pub(crate) image: ImageId,
    pub(crate) detections: Vec<Detection>,
}

impl DetectionTable {
    /// Names a table; the extension determines the format.
    pub fn new(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        Ok(Self::with_format(path, Format::from_path(path)?))
    }

    /// Names a table in the given format.
    pub fn with_format(path: &Path, format: Format) -> Self {
        Self { path: path.to_owned(), format }
    }

    /// The path of the table.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn open(&self) -> Result<TableSource<Detection>> {
        TableSource::open_as(&self.path, self.format)
    }

    /// Reads images and classes of the whole table. Rows that can't be read are left to the second pass.
    pub async fn index(&self) -> Result<TableIndex> {
        let mut rows = self.open()?.only(&["value"]).stream();
        let mut index = TableIndex::default();
        let mut seen: HashSet<ImageId> = HashSet::new();
        let mut current = ImageId::default();
        loop {
            let row = match rows.try_next().await {
                Ok(Some(row)) => row,
                Ok(None) => return Ok(index),
                Err(error) if error.is_fatal() => return Err(error),
                Err(_) => continue,
            };
            if row.img_id != current {
                if seen.insert(row.img_id.clone()) {
                    index.images += 1;
                } else {
                    index.scattered.insert(row.img_id.clone());
                }
                current = row.img_id;
            }
            index.detections += 1;
            let Some(value) = row.value else { continue };
            if let Some(count) = index.classes.get_mut(&value) {
                *count += 1;
                continue;
            }
            if index.classes.len() >= MAX_CLASSES {
                return Err(Error::new(ErrorKind::Usage, "read the classes of")
                    .with_subject(self.path.display().to_string())
                    .with_source(format!("it has more than {MAX_CLASSES} of them")));
            }
            index.classes.insert(value, 1);
        }
    }

    /// Opens the table for reading image by image. A row that can't be read is an input of the step that fails.
    pub(crate) fn images(&self, index: TableIndex, events: &StepEvents) -> Result<ImageGroups> {
        let table = self.open()?;
        // The table of the Python toolset has only shapes as sent, which are decoded on reading.
        let has_polygons = table.header().iter().any(|column| column == "polygons");
        let shape = if has_polygons { "polygons" } else { "geometry" };
        Ok(ImageGroups {
            rows: table.only(&["value", "kind", shape]).stream(),
            next: None,
            scattered: index.scattered,
            held: HashMap::new(),
            order: Vec::new(),
            held_count: 0,
            at_end: false,
            path: self.path.clone(),
            events: events.clone(),
            failures: Failures::default(),
        })
    }
}

/// The detections of a table, image by image.
pub(crate) struct ImageGroups {
    rows: RecordStream<Detection>,
    /// The first row of the next image.
    next: Option<Detection>,
    scattered: HashSet<ImageId>,
    held: HashMap<ImageId, Vec<Detection>>,
    /// The images of `held`, the first one last once the end is reached.
    order: Vec<ImageId>,
    held_count: usize,
    at_end: bool,
    path: PathBuf,
    events: StepEvents,
    /// Rows that can't be read.
    pub(crate) failures: Failures,
}

impl ImageGroups {
    /// The next image. Rows that can't be read are collected in `failures`.
    pub(crate) async fn next(&mut self) -> Result<Option<ImageDetections>> {
        loop {
            if self.at_end {
                let Some(image) = self.order.pop() else { return Ok(None) };
                let detections = self.held.remove(&image).unwrap_or_default();
                return Ok(Some(self.unique(ImageDetections { image, detections })));
            }
            let Some(first) = self.row().await? else {
                self.at_end = true;
                self.order.reverse();
                continue;
            };
            if self.scattered.contains(&first.img_id) {
                self.hold(first)?;
                continue;
            }
            let group = self.group(first).await?;
            return Ok(Some(self.unique(group)));
        }
    }

    /// The next row that can be read.
    async fn row(&mut self) -> Result<Option<Detection>> {
        if let Some(row) = self.next.take() {
            return Ok(Some(row));
        }
        loop {
            match self.rows.try_next().await {
                Err(error) if !error.is_fatal() => self.fail(error),
                row => return row,
            }
        }
    }

    /// Collects the rows of an image up to the first row of another one.
    async fn group(&mut self, first: Detection) -> Result<ImageDetections> {
        let mut group = ImageDetections { image: first.img_id.clone(), detections: vec![first] };
        while let Some(row) = self.row().await? {
            if row.img_id != group.image {
                self.next = Some(row);
                break;
            }
            if group.detections.len() < MAX_PER_IMAGE {
                group.detections.push(row);
            } else {
                self.fail(
                    Error::new(ErrorKind::Malformed, "read the detection")
                        .with_subject(row.detection_id.as_str())
                        .with_source(format!("its image has more than {MAX_PER_IMAGE} detections")),
                );
            }
        }
        Ok(group)
    }

    /// Drops rows with the id of an earlier one: a table of an image that was requested twice has each of its rows twice.
    fn unique(&self, mut group: ImageDetections) -> ImageDetections {
        let (rows, mut seen) = (group.detections.len(), HashSet::with_capacity(group.detections.len()));
        group.detections.retain(|detection| seen.insert(detection.detection_id.clone()));
        self.events.finding("repeated", (rows - group.detections.len()) as u64);
        group
    }

    fn fail(&mut self, error: Error) {
        self.events.input();
        self.events.failed(&error);
        self.failures.add(error);
    }

    fn hold(&mut self, row: Detection) -> Result<()> {
        self.held_count += 1;
        if self.held_count > MAX_HELD {
            return Err(Error::new(ErrorKind::Usage, "read the table of detections")
                .with_subject(self.path.display().to_string())
                .with_source("the rows of its images are not adjacent")
                .with_hint("sort the table by `img_id`"));
        }
        match self.held.entry(row.img_id.clone()) {
            hash_map::Entry::Occupied(mut held) => held.get_mut().push(row),
            hash_map::Entry::Vacant(held) => {
                self.order.push(held.key().clone());
                held.insert(vec![row]);
            }
        }
        Ok(())
    }
}
