//! YOLO: a text file for each picture, and `data.yaml`.

use std::path::PathBuf;

use super::classes::Class;
use super::options::{Options, Task};
use super::output::{Output, link_or_copy, write};
use super::report::Counts;
use super::sample::{Annotation, Sample};
use super::text::{push_decimal, push_json};
use super::writer::Writer;
use crate::error::Result;

/// Decimals of fractions: less than a hundredth of a pixel.
const DECIMALS: u32 = 6;

pub(super) struct Yolo {
    /// The folders of pictures and labels of each split.
    folders: Vec<(PathBuf, PathBuf)>,
    task: Task,
    must_copy: bool,
}

impl Yolo {
    pub(super) fn new(output: &Output, options: &Options, classes: &[Class]) -> Result<Self> {
        let names = options.split.names();
        let folder = |split: &&str| {
            Ok((output.folder(&format!("images/{split}"))?, output.folder(&format!("labels/{split}"))?))
        };
        let folders = names.iter().map(folder).collect::<Result<_>>()?;
        output.write("data.yaml", &data_yaml(names, classes))?;
        Ok(Self { folders, task: options.task, must_copy: options.must_copy })
    }
}

/// The description of the set. It has no `path`: readers take the folder of the file itself.
fn data_yaml(splits: &[&str], classes: &[Class]) -> Vec<u8> {
    let mut text = b"# Mapillary's detections, CC BY-SA 4.0; see README.md.\n".to_vec();
    // Readers require both. Without a split, they validate on the training pictures.
    let val = if splits.contains(&"val") { "val" } else { "train" };
    text.extend_from_slice(format!("train: images/train\nval: images/{val}\n").as_bytes());
    if splits.contains(&"test") {
        text.extend_from_slice(b"test: images/test\n");
    }
    text.extend_from_slice(b"names:\n");
    for (index, class) in classes.iter().enumerate() {
        text.extend_from_slice(format!("  {index}: ").as_bytes());
        // JSON texts are texts of YAML too.
        push_json(&mut text, &class.name);
        text.push(b'\n');
    }
    text
}

impl Writer for Yolo {
    fn add(&mut self, sample: &Sample, counts: &mut Counts) -> Result<()> {
        let (pictures, labels) = &self.folders[sample.split];
        let target = pictures.join(&sample.picture.name);
        counts.copied += u64::from(link_or_copy(&sample.picture.path, &target, self.must_copy)?);
        let mut text = Vec::new();
        for annotation in &sample.annotations {
            match self.task {
                Task::Detect => push_box(&mut text, annotation, sample.size),
                Task::Segment => {
                    push_outlines(&mut text, annotation, sample.size);
                    counts.lost_holes += annotation.holes();
                    counts.split_parts += u64::from(annotation.polygons.len() > 1);
                }
            }
        }
        write(&labels.join(&sample.picture.name).with_extension("txt"), &text)
    }

    fn finish(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}

/// Adds `class cx cy w h`.
fn push_box(text: &mut Vec<u8>, annotation: &Annotation, (width, height): (u32, u32)) {
    let bounds = annotation.bounds;
    let centre = [bounds.x + bounds.width / 2.0, bounds.y + bounds.height / 2.0];
    text.extend_from_slice(annotation.class.to_string().as_bytes());
    for (value, size) in
        centre.into_iter().chain([bounds.width, bounds.height]).zip([width, height, width, height])
    {
        text.push(b' ');
        // A width that rounds to 0 would be no box.
        push_decimal::<DECIMALS>(text, (value / f64::from(size)).max(0.000_001));
    }
    text.push(b'\n');
}

/// Adds `class x1 y1 x2 y2 …`, a line for each part.
fn push_outlines(text: &mut Vec<u8>, annotation: &Annotation, (width, height): (u32, u32)) {
    for outline in annotation.polygons.iter().filter_map(|polygon| polygon.first()) {
        text.extend_from_slice(annotation.class.to_string().as_bytes());
        for &[x, y] in outline {
            for (value, size) in [(x, width), (y, height)] {
                text.push(b' ');
                push_decimal::<DECIMALS>(text, value / f64::from(size));
            }
        }
        text.push(b'\n');
    }
}
