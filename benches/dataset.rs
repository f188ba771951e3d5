//! Cost of training sets: detections of a table into COCO and YOLO, without and with outlines.
//!
//! `--folder DIR` keeps the tables and the pictures, under the names that the command reads. `--prepare csv,parquet` only
//! writes them. See README.md in this folder.
#![allow(
    clippy::cast_precision_loss,
    clippy::needless_for_each,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a bench"
)]

mod support;

use std::fs;
use std::path::Path;

use streetflow::pictures::{DetectionTable, PictureFolder};
use streetflow::record::Polygons;
use streetflow::sinks::{Layout, encoder_for};
use streetflow::training::{Target, Task, TrainingSet};
use streetflow::{Detection, FieldList, Format, ImageId};
use support::{Args, best};

/// Names of the table without its extension, and of the folder of pictures.
const TABLE: &str = "img_detections_dataset";
const PICTURES: &str = "downloaded_images";

/// Detections of an image, about as many as on a street.
const PER_IMAGE: usize = 40;

/// Vertices of an outline: the median of recorded ones.
const VERTICES: usize = 14;

/// A detection like the recorded ones: one in nine has a hole.
fn detection(image: usize, index: usize, random: &mut fastrand::Rng) -> Detection {
    let (x, y, radius) = (random.f64(), random.f64(), random.f64() * 0.1 + 0.002);
    let ring = |radius: f64| -> Vec<[f64; 2]> {
        let angle = |at: usize| at as f64 / VERTICES as f64 * std::f64::consts::TAU;
        let unit = |value: f64| (value.clamp(0.0, 1.0) * 4096.0).round() / 4096.0;
        (0..VERTICES)
            .map(|at| [unit(x + radius * angle(at).cos()), unit(y + radius * angle(at).sin())])
            .collect()
    };
    let mut polygon = vec![ring(radius)];
    if index.is_multiple_of(9) {
        polygon.push(ring(radius / 3.0));
    }
    let values =
        ["nature--vegetation", "object--vehicle--car", "construction--flat--road", "object--support--pole"];
    Detection {
        img_id: ImageId::new(&(1_000_000_000_000_000 + image).to_string()).unwrap(),
        detection_id: ImageId::new(&(2_000_000_000_000_000 + image * PER_IMAGE + index).to_string()).unwrap(),
        value: Some(values[index % values.len()].to_owned()),
        created_at: Some(1_621_542_074_000 + i64::from(random.u32(..)) / 1000 * 1000),
        width: Some(4032),
        height: Some(3024),
        exif_orientation: Some(1),
        // As long as the recorded shapes. It is not decoded, because the polygons are known.
        geometry: Some((0..76).map(|_| random.alphanumeric()).collect()),
        ..Detection::default()
    }
    .with_polygons(Some(Polygons::from(vec![polygon])))
}

/// Writes a table of detections in each of these formats, and the header of a picture for each image.
fn prepare(folder: &Path, detections: usize, formats: &str) {
    let mut random = fastrand::Rng::with_seed(1);
    let data = streetflow_sandbox::MockData::cyprus();
    let jpeg = data.picture(&data.sequences()[0].images().next().unwrap().id(), Some(1024)).unwrap();
    fs::create_dir(folder.join(PICTURES)).unwrap();
    let layout = Layout::default().fields_of::<Detection>(&FieldList::default());
    let formats = Format::ALL.iter().filter(|format| formats.split(',').any(|name| name == format.name()));
    let mut tables: Vec<_> = formats
        .map(|format| {
            let file = fs::File::create(folder.join(TABLE).with_extension(format.extension())).unwrap();
            encoder_for(Box::new(std::io::BufWriter::new(file)), *format, &layout).unwrap()
        })
        .collect();
    for image in 0..detections / PER_IMAGE {
        let rows: Vec<_> = (0..PER_IMAGE).map(|index| detection(image, index, &mut random)).collect();
        tables.iter_mut().for_each(|table| table.encode(&rows).unwrap());
        fs::write(
            folder.join(format!("{PICTURES}/{}_1024.jpg", rows[0].img_id)),
            &jpeg[..jpeg.len().min(4096)],
        )
        .unwrap();
    }
    tables.into_iter().for_each(|table| table.finish().unwrap());
}

fn main() {
    let args = Args::read();
    let detections = args.size(200_000).next_multiple_of(PER_IMAGE);
    let scratch = tempfile::tempdir().unwrap();
    let folder = args.folder.as_deref().unwrap_or(scratch.path());
    if !folder.join(PICTURES).exists() {
        prepare(folder, detections, args.prepare.as_deref().unwrap_or("csv,parquet"));
    }
    if args.prepare.is_some() {
        return;
    }
    args.print_header("detections");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let pictures = PictureFolder::open(&folder.join(PICTURES), None).unwrap();
    let target_folder = folder.join("set");
    for extension in ["csv", "parquet"] {
        let path = folder.join(TABLE).with_extension(extension);
        if !path.exists() {
            continue;
        }
        let table = DetectionTable::new(&path).unwrap();
        for (target, task) in [
            (Target::Coco, Task::Detect),
            (Target::Coco, Task::Segment),
            (Target::Yolo, Task::Detect),
            (Target::Yolo, Task::Segment),
        ] {
            let work = format!("dataset {target} {task} from {extension}");
            if !args.selects(&work) {
                continue;
            }
            let cost = best(&args, || {
                let set = TrainingSet::new(target).task(task);
                let report = runtime.block_on(set.write(&table, &pictures, &target_folder)).unwrap();
                assert!(report.counts.annotations > detections as u64 * 9 / 10, "{:?}", report.counts);
            });
            args.print(&work, detections, cost, None);
        }
    }
}
