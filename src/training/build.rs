//! Reads the detections image by image, and writes them.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::runtime::Handle;
use tokio::task::spawn_blocking;

use super::classes::Class;
use super::coco::Coco;
#[cfg(feature = "parquet")]
use super::huggingface::HuggingFace;
use super::images::ImageInfo;
use super::masks::Masks;
use super::options::{Options, Target};
use super::output::{MARKER, Output};
use super::report::{self, Counts, Report};
use super::sample::{Sample, Selection};
use super::webdataset::WebDataset;
use super::writer::Writer;
use super::yolo::Yolo;
use crate::error::{Error, ErrorKind, Result};
use crate::pictures::{
    DetectionTable, ImageDetections, ImageGroups, JpegHeader, PictureFolder, failed_picture,
};

/// Sets the flag on drop, so that the thread stops if its future is dropped.
struct StopOnDrop(Arc<AtomicBool>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

pub(super) async fn build(
    options: Options,
    table: &DetectionTable,
    pictures: &PictureFolder,
    folder: &Path,
) -> Result<Report> {
    if !options.split.is_whole() && options.images.is_none() {
        return Err(Error::new(ErrorKind::Usage, "split the pictures")
            .with_source("the sequences of the images are not known")
            .with_hint("name the table of images, `img_dataset` or `img_meta_dataset`"));
    }
    let info = match &options.images {
        Some(images) => images.read(&options.split).await?,
        None => ImageInfo::default(),
    };
    let index = table.index().await?;
    let classes = options.classes.resolve(&index.classes)?;
    if index.detections > 0 && classes.iter().all(|class| class.values.is_empty()) {
        let found: Vec<_> = index.classes.keys().take(5).map(|value| format!("`{value}`")).collect();
        return Err(Error::new(ErrorKind::Usage, "select the classes")
            .with_source("no detection of the table has one of them")
            .with_hint(format!("the table has {} and others, see `streetflow classes`", found.join(", "))));
    }
    options.events.expect(index.images);
    let images = table.images(index, &options.events)?;
    let output = Output::begin(folder)?;
    let stop = Arc::new(AtomicBool::new(false));
    let _stop = StopOnDrop(Arc::clone(&stop));
    let pictures = pictures.clone();
    let run = move || {
        let selection = Selection::new(classes, options.task, options.min_area);
        let builder = Builder { selection, pictures, info, options, stop };
        builder.run(output, images)
    };
    spawn_blocking(run)
        .await
        .map_err(|error| Error::new(ErrorKind::Io, "build the training set").with_source(error))?
}

struct Builder {
    selection: Selection,
    pictures: PictureFolder,
    info: ImageInfo,
    options: Options,
    stop: Arc<AtomicBool>,
}

impl Builder {
    fn run(self, output: Output, mut images: ImageGroups) -> Result<Report> {
        let mut writer = self.writer(&output)?;
        let mut report = Report::default();
        let names = self.options.split.names();
        let mut pictures = vec![0_u64; names.len()];
        let mut annotations = vec![0_u64; self.selection.classes.len()];
        let events = &self.options.events;
        while let Some(group) = Handle::current().block_on(images.next())? {
            if self.stop.load(Ordering::Relaxed) {
                return Err(Error::new(ErrorKind::Interrupted, "build the training set"));
            }
            events.input();
            let image = group.image.clone();
            match self.sample(group, &mut report.counts).and_then(|sample| {
                sample.map(|sample| writer.add(&sample, &mut report.counts).map(|()| sample)).transpose()
            }) {
                Ok(Some(sample)) => {
                    pictures[sample.split] += 1;
                    report.counts.pictures += 1;
                    report.counts.background += u64::from(sample.annotations.is_empty());
                    report.counts.annotations += sample.annotations.len() as u64;
                    sample.annotations.iter().for_each(|annotation| annotations[annotation.class] += 1);
                    events.record();
                }
                Ok(None) => {}
                Err(error) if error.is_fatal() => return Err(error),
                Err(error) => {
                    let error = failed_picture("add the picture of image", &image, &error);
                    events.failed(&error);
                    report.failures.add(error);
                }
            }
        }
        writer.finish()?;
        if report.counts.pictures == 0 {
            output.check_no_earlier_set()?;
        }
        report.failures.append(std::mem::take(&mut images.failures));
        report.counts.details().for_each(|(name, count)| events.finding(name, count));
        report.splits = names.iter().copied().zip(pictures).collect();
        output.write("classes.csv", &classes_csv(&self.options, &self.selection.classes)?)?;
        report.classes = self.selection.classes.into_iter().zip(annotations).collect();
        output.write("README.md", report::card(&self.options, &report).as_bytes())?;
        let json = format!("{:#}\n", report::json(&self.options, &report));
        output.write(MARKER, json.as_bytes())?;
        output.commit()?;
        Ok(report)
    }

    fn writer(&self, output: &Output) -> Result<Box<dyn Writer>> {
        let (options, classes) = (&self.options, self.selection.classes.as_slice());
        Ok(match options.target {
            Target::Coco => Box::new(Coco::new(output, options, classes)?),
            Target::Yolo => Box::new(Yolo::new(output, options, classes)?),
            Target::Masks => Box::new(Masks::new(output, options, classes)?),
            Target::WebDataset => Box::new(WebDataset::new(output, options, classes)),
            #[cfg(feature = "parquet")]
            Target::HuggingFace => Box::new(HuggingFace::new(output, options, classes)?),
            #[cfg(not(feature = "parquet"))]
            Target::HuggingFace => {
                return Err(Error::new(ErrorKind::Usage, "write a Hugging Face image folder")
                    .with_source("this build has no Parquet")
                    .with_hint("build it with the feature `parquet`"));
            }
        })
    }

    /// The sample of an image; `None` if it is left out, which is counted.
    fn sample(&self, group: ImageDetections, counts: &mut Counts) -> Result<Option<Sample>> {
        let Some(picture) = self.pictures.find(&group.image) else {
            counts.without_picture += 1;
            self.options.events.left_out("no_picture");
            return Ok(None);
        };
        let header = JpegHeader::of_file(&picture.path)?;
        let size = header.display_size();
        let annotations = self.selection.annotations(group.detections, size, counts);
        if annotations.is_empty() && !self.options.background {
            counts.without_annotation += 1;
            self.options.events.left_out("no_annotation");
            return Ok(None);
        }
        counts.turned += u64::from(header.is_turned());
        let split = self.info.split(&group.image);
        counts.without_sequence += u64::from(split.is_none() && !self.options.split.is_whole());
        let author = self.info.author(&group.image).map(str::to_owned);
        Ok(Some(Sample { image: group.image, picture, size, split: split.unwrap_or(0), author, annotations }))
    }
}

fn classes_csv(options: &Options, classes: &[Class]) -> Result<Vec<u8>> {
    report::classes_csv(options, classes)
        .map_err(|error| Error::new(ErrorKind::Io, "write the classes").with_source(error))
}
