//! COCO: one JSON file for each split.

use std::fs::{self, File};
use std::io::{self, BufWriter, Seek, Write};
use std::path::PathBuf;

use serde_json::{Value, json};

use super::classes::Class;
use super::options::{Options, Task};
use super::output::{Output, link_or_copy};
use super::report::{ATTRIBUTION, Counts, LICENCE_NAME, LICENCE_URL, NO_SCORE};
use super::sample::{Annotation, Sample};
use super::text::{push_decimal, push_json};
use super::writer::Writer;
use crate::atomic_file::output_error;
use crate::error::Result;
use crate::model::page_url;
use crate::raster::Polygon;

/// Decimals of coordinates: a thousandth of a pixel.
const DECIMALS: u32 = 3;

pub(super) struct Coco {
    splits: Vec<SplitFile>,
    task: Task,
    must_copy: bool,
    ids: Vec<u32>,
    next_image: u64,
    next_annotation: u64,
}

/// The file of a split: annotations are written directly, images to a temporary file, and appended at the end.
struct SplitFile {
    path: PathBuf,
    pictures: PathBuf,
    annotations: BufWriter<File>,
    images: BufWriter<File>,
    line: Vec<u8>,
    has_images: bool,
    has_annotations: bool,
}

impl Coco {
    pub(super) fn new(output: &Output, options: &Options, classes: &[Class]) -> Result<Self> {
        let folder = output.folder("annotations")?;
        let splits = options.split.names().iter().map(|split| {
            let path = folder.join(format!("instances_{split}.json"));
            SplitFile::new(path, output.folder(&format!("images/{split}"))?, classes)
        });
        Ok(Self {
            splits: splits.collect::<Result<_>>()?,
            task: options.task,
            must_copy: options.must_copy,
            ids: classes.iter().map(|class| class.id).collect(),
            next_image: 1,
            next_annotation: 1,
        })
    }
}

impl Writer for Coco {
    fn add(&mut self, sample: &Sample, counts: &mut Counts) -> Result<()> {
        let split = &mut self.splits[sample.split];
        let target = split.pictures.join(&sample.picture.name);
        counts.copied += u64::from(link_or_copy(&sample.picture.path, &target, self.must_copy)?);
        let image = self.next_image;
        self.next_image += 1;
        split
            .write_image(image, sample)
            .map_err(|error| output_error("write the file", &split.path, error))?;
        split.line.clear();
        for annotation in &sample.annotations {
            split.line.extend_from_slice(if split.has_annotations { b",\n" } else { b"\n" });
            split.has_annotations = true;
            let category = self.ids[annotation.class];
            push_annotation(
                &mut split.line,
                self.next_annotation,
                image,
                category,
                annotation,
                sample.size,
                self.task,
            );
            self.next_annotation += 1;
        }
        split
            .annotations
            .write_all(&split.line)
            .map_err(|error| output_error("write the file", &split.path, error))
    }

    fn finish(self: Box<Self>) -> Result<()> {
        self.splits.into_iter().try_for_each(|split| {
            let path = split.path.clone();
            split.finish().map_err(|error| output_error("write the file", &path, error))
        })
    }
}

impl SplitFile {
    fn new(path: PathBuf, pictures: PathBuf, classes: &[Class]) -> Result<Self> {
        let open = || {
            let mut annotations = BufWriter::new(File::create(&path)?);
            let categories: Vec<Value> = classes.iter().map(category).collect();
            let info = json!({
                "description": format!("Street-level pictures with Mapillary's detections. {NO_SCORE}"),
                "url": "https://www.mapillary.com",
                "version": "1.0",
                "contributor": ATTRIBUTION,
            });
            let licenses = json!([{ "id": 1, "name": LICENCE_NAME, "url": LICENCE_URL }]);
            write!(
                annotations,
                "{{\"info\":{info},\n\"licenses\":{licenses},\n\"categories\":{},\n\"annotations\":[",
                Value::from(categories)
            )?;
            let images = tempfile::tempfile_in(path.parent().unwrap_or(&path))?;
            Ok((annotations, BufWriter::new(images)))
        };
        let (annotations, images) =
            open().map_err(|error: io::Error| output_error("write the file", &path, error))?;
        let line = Vec::new();
        Ok(Self { path, pictures, annotations, images, line, has_images: false, has_annotations: false })
    }

    fn write_image(&mut self, id: u64, sample: &Sample) -> io::Result<()> {
        let line = &mut self.line;
        line.clear();
        line.extend_from_slice(if self.has_images { b",\n" } else { b"\n" });
        self.has_images = true;
        let (width, height) = sample.size;
        write!(
            line,
            "{{\"id\":{id},\"file_name\":\"{}\",\"width\":{width},\"height\":{height},\"license\":1",
            sample.picture.name
        )?;
        write!(line, ",\"mapillary_id\":\"{}\",\"coco_url\":\"{}\"", sample.image, page_url(&sample.image))?;
        if let Some(author) = &sample.author {
            line.extend_from_slice(b",\"author\":");
            push_json(line, author);
        }
        line.push(b'}');
        self.images.write_all(line)
    }

    fn finish(mut self) -> io::Result<()> {
        self.annotations.write_all(b"\n],\n\"images\":[")?;
        let mut images = self.images.into_inner().map_err(io::IntoInnerError::into_error)?;
        images.rewind()?;
        io::copy(&mut images, &mut self.annotations)?;
        self.annotations.write_all(b"\n]}\n")?;
        self.annotations.flush()?;
        // The folder exists even if the split has no picture.
        fs::create_dir_all(&self.pictures)
    }
}

fn category(class: &Class) -> Value {
    let values: Vec<_> = class.values.iter().map(|(value, _)| value).collect();
    // The groups of Mapillary's classes; a merged class is its own group.
    let group = class.name.split("--").next().unwrap_or_default();
    json!({ "id": class.id, "name": class.name, "supercategory": group, "mapillary_values": values })
}

/// Adds an annotation as JSON.
fn push_annotation(
    line: &mut Vec<u8>,
    id: u64,
    image: u64,
    category: u32,
    annotation: &Annotation,
    size: (u32, u32),
    task: Task,
) {
    // Writing to a vector cannot fail.
    let _ok =
        write!(line, "{{\"id\":{id},\"image_id\":{image},\"category_id\":{category},\"iscrowd\":0,\"bbox\":");
    push_box(line, annotation);
    line.extend_from_slice(b",\"area\":");
    let area = if task == Task::Detect {
        annotation.bounds.width * annotation.bounds.height
    } else {
        annotation.area
    };
    // An area that rounds to 0 is not 0.
    push_decimal::<DECIMALS>(line, area.max(0.001));
    line.extend_from_slice(b",\"segmentation\":");
    if task == Task::Segment {
        push_segmentation(line, annotation, size);
    } else {
        line.extend_from_slice(b"[]");
    }
    let kind = if annotation.is_sign { "sign" } else { "segment" };
    let _ok = write!(line, ",\"mapillary_id\":\"{}\",\"kind\":\"{kind}\"}}", annotation.detection);
}

/// Adds `[x, y, width, height]` in pixels.
pub(super) fn push_box(line: &mut Vec<u8>, annotation: &Annotation) {
    let bounds = annotation.bounds;
    line.push(b'[');
    for (index, value) in [bounds.x, bounds.y, bounds.width, bounds.height].into_iter().enumerate() {
        if index > 0 {
            line.push(b',');
        }
        push_decimal::<DECIMALS>(line, value);
    }
    line.push(b']');
}

/// Adds the polygons, or the mask of a shape with holes.
fn push_segmentation(line: &mut Vec<u8>, annotation: &Annotation, (width, height): (u32, u32)) {
    if let Some(mask) = &annotation.mask {
        let _ok = write!(line, "{{\"size\":[{height},{width}],\"counts\":");
        // The characters of a mask include the backslash.
        push_json(line, &mask.compressed());
        line.push(b'}');
        return;
    }
    line.push(b'[');
    for (index, polygon) in annotation.polygons.iter().enumerate() {
        line.extend_from_slice(if index > 0 { b",[" } else { b"[" });
        push_outline(line, polygon);
        line.push(b']');
    }
    line.push(b']');
}

fn push_outline(line: &mut Vec<u8>, polygon: &Polygon) {
    for (index, &value) in polygon.first().into_iter().flatten().flatten().enumerate() {
        if index > 0 {
            line.push(b',');
        }
        push_decimal::<DECIMALS>(line, value);
    }
}
