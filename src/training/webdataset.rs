//! `WebDataset`: shards with a fixed number of samples.

use std::fs;
use std::path::PathBuf;

use super::classes::Class;
use super::coco::push_box;
use super::masks::Painter;
use super::options::{Options, Task};
use super::output::Output;
use super::report::{ATTRIBUTION, Counts, LICENCE};
use super::sample::Sample;
use super::text::{push_decimal, push_json};
use super::writer::Writer;
use crate::error::{Error, ErrorKind, Result};
use crate::model::page_url;
use crate::raster::Polygon;
use crate::sinks::ShardWriter;

/// Largest picture in a shard, in bytes.
const MAX_PICTURE_LEN: u64 = 256 << 20;

pub(super) struct WebDataset {
    folder: PathBuf,
    splits: Vec<Shards>,
    shard_size: u64,
    task: Task,
    classes: Vec<(u32, String)>,
    painter: Painter,
}

/// The shards of a split.
struct Shards {
    name: &'static str,
    /// Number of the next shard.
    next: u64,
    /// The open shard, with the number of its samples.
    open: Option<(ShardWriter, u64)>,
}

impl WebDataset {
    pub(super) fn new(output: &Output, options: &Options, classes: &[Class]) -> Self {
        let splits = options.split.names().iter().map(|name| Shards { name, next: 0, open: None });
        Self {
            folder: output.path().to_owned(),
            splits: splits.collect(),
            shard_size: options.shard_size,
            task: options.task,
            classes: classes.iter().map(|class| (class.id, class.name.clone())).collect(),
            painter: Painter::new(classes),
        }
    }
}

impl Writer for WebDataset {
    fn add(&mut self, sample: &Sample, counts: &mut Counts) -> Result<()> {
        let jpeg = read(sample)?;
        let mask = match self.task {
            Task::Segment => Some(self.painter.paint(sample, counts)?),
            Task::Detect => None,
        };
        let json = description(sample, &self.classes, self.task);
        let shards = &mut self.splits[sample.split];
        if shards.open.is_none() {
            let path = self.folder.join(format!("{}-{:06}.tar", shards.name, shards.next));
            shards.next += 1;
            shards.open = Some((ShardWriter::create(path)?, 0));
        }
        let Some((shard, samples)) = &mut shards.open else { return Ok(()) };
        let files = [("jpg", jpeg.as_slice()), ("json", json.as_slice())].into_iter();
        shard.add(sample.image.as_str(), files.chain(mask.as_deref().map(|mask| ("mask.png", mask))))?;
        *samples += 1;
        if *samples >= self.shard_size {
            shards.close()?;
        }
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<()> {
        self.splits.into_iter().try_for_each(|mut shards| shards.close())
    }
}

impl Shards {
    fn close(&mut self) -> Result<()> {
        self.open.take().map_or(Ok(()), |(shard, _)| shard.commit().map(drop))
    }
}

/// Reads the picture. One that was removed meanwhile costs only itself.
fn read(sample: &Sample) -> Result<Vec<u8>> {
    let path = &sample.picture.path;
    let read = || {
        let len = fs::metadata(path)?.len();
        if len > MAX_PICTURE_LEN {
            return Err(std::io::Error::other(format!("it has {len} bytes, more than {MAX_PICTURE_LEN}")));
        }
        fs::read(path)
    };
    read().map_err(|error| {
        Error::new(ErrorKind::Malformed, "read the picture")
            .with_subject(path.display().to_string())
            .with_source(error)
    })
}

/// The description of a sample as JSON.
fn description(sample: &Sample, classes: &[(u32, String)], task: Task) -> Vec<u8> {
    let (width, height) = sample.size;
    let mut text = Vec::with_capacity(200 + sample.annotations.len() * 200);
    let mut field = |name: &str, value: &str| {
        text.extend_from_slice(format!("\"{name}\":").as_bytes());
        push_json(&mut text, value);
        text.push(b',');
    };
    field("image_id", sample.image.as_str());
    field("page_url", &page_url(&sample.image));
    field("license", LICENCE);
    field("attribution", ATTRIBUTION);
    if let Some(author) = &sample.author {
        field("author", author);
    }
    text.insert(0, b'{');
    text.extend_from_slice(format!("\"width\":{width},\"height\":{height},\"objects\":[").as_bytes());
    for (index, annotation) in sample.annotations.iter().enumerate() {
        let (id, name) = &classes[annotation.class];
        text.extend_from_slice(if index > 0 { b",{" } else { b"{" });
        text.extend_from_slice(
            format!("\"detection_id\":\"{}\",\"class_id\":{id},\"class\":", annotation.detection).as_bytes(),
        );
        push_json(&mut text, name);
        let kind = if annotation.is_sign { "sign" } else { "segment" };
        text.extend_from_slice(format!(",\"kind\":\"{kind}\",\"bbox\":").as_bytes());
        push_box(&mut text, annotation);
        text.extend_from_slice(b",\"area\":");
        push_decimal::<3>(&mut text, annotation.area);
        if task == Task::Segment {
            text.extend_from_slice(b",\"polygons\":");
            push_polygons(&mut text, &annotation.polygons);
        }
        text.push(b'}');
    }
    text.extend_from_slice(b"]}");
    text
}

/// Adds polygons as lists of rings, each a list of vertices. Unlike in COCO, holes need no other form: readers such as
/// `datasets` require one type for all samples.
fn push_polygons(text: &mut Vec<u8>, polygons: &[Polygon]) {
    push_list(text, polygons, |text, polygon| {
        push_list(text, polygon, |text, ring| {
            push_list(text, ring, |text, vertex| {
                push_list(text, vertex, |text, value| push_decimal::<3>(text, *value));
            });
        });
    });
}

fn push_list<T>(text: &mut Vec<u8>, items: &[T], push: impl Fn(&mut Vec<u8>, &T)) {
    text.push(b'[');
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            text.push(b',');
        }
        push(text, item);
    }
    text.push(b']');
}
