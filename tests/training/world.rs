//! A folder with pictures and tables of the mock server's detections, made without requests.

use std::fs;
use std::path::{Path, PathBuf};

use streetflow::pictures::{DetectionTable, PictureFolder};
use streetflow::record::Polygons;
use streetflow::{Detection, Format, Image, ImageId, SequenceId};
use streetflow_sandbox::{MockData, MockDetection, MockImage};

use crate::support::tables;

/// A folder with a table of detections, a table of images and pictures.
pub(super) struct World {
    pub(super) folder: tempfile::TempDir,
    pub(super) data: MockData,
    pub(super) images: Vec<String>,
    /// The sequence of each image.
    pub(super) sequences: Vec<String>,
}

pub(super) fn polygons(detection: &MockDetection) -> Option<Polygons> {
    let point = |&(x, y): &(i32, i32)| [f64::from(x) / 4096.0, f64::from(y) / 4096.0];
    let polygons = detection.polygons().iter();
    let polygons: Vec<Vec<Vec<[f64; 2]>>> =
        polygons.map(|rings| rings.iter().map(|ring| ring.iter().map(point).collect()).collect()).collect();
    (!polygons.is_empty()).then(|| Polygons::from(polygons))
}

pub(super) fn row(image: &str, detection: &MockDetection) -> Detection {
    Detection {
        img_id: ImageId::new(image).unwrap(),
        detection_id: ImageId::new(&detection.id()).unwrap(),
        value: Some(detection.value().to_owned()),
        ..Detection::default()
    }
    .with_polygons(polygons(detection))
}

/// Returns about this number of images of several sequences, and one of each orientation. All have detections.
fn chosen(data: &MockData, count: usize) -> Vec<(&str, MockImage<'_>)> {
    let mut orientations = Vec::new();
    let mut images: Vec<(&str, MockImage<'_>)> = Vec::new();
    for sequence in data.sequences() {
        let with_detections = sequence.images().filter(|image| image.detections().len() > 3);
        let mut of_sequence = 0;
        for image in with_detections.take(40) {
            let is_new = !orientations.contains(&image.orientation());
            if is_new || (of_sequence < 2 && images.len() < count) {
                orientations.push(image.orientation());
                of_sequence += 1;
                images.push((sequence.id(), image));
            }
        }
    }
    images
}

impl World {
    /// Pictures of this width, or originals.
    pub(super) fn new(width: Option<u32>) -> Self {
        let data = MockData::cyprus();
        let folder = tempfile::tempdir().unwrap();
        let pictures = folder.path().join("pictures");
        fs::create_dir(&pictures).unwrap();
        let quality = width.map_or("original".to_owned(), |width| width.to_string());
        let (mut rows, mut images) = (Vec::new(), Vec::new());
        for (sequence, image) in chosen(&data, if width.is_some() { 24 } else { 4 }) {
            let id = image.id();
            fs::write(pictures.join(format!("{id}_{quality}.jpg")), data.picture(&id, width).unwrap())
                .unwrap();
            rows.extend(image.detections().iter().map(|detection| row(&id, detection)));
            images.push(Image {
                seq_id: SequenceId::new(sequence).unwrap(),
                img_id: ImageId::new(&id).unwrap(),
            });
        }
        let ids = images.iter().map(|image| image.img_id.to_string()).collect();
        let sequences = images.iter().map(|image| image.seq_id.to_string()).collect();
        let world = Self { folder, data, images: ids, sequences };
        world.write_table("detections.csv", &rows);
        tables::write(&world.path("images.csv"), Format::Csv, &tables::all_of::<Image>(), &images);
        world
    }

    pub(super) fn write_table(&self, name: &str, rows: &[Detection]) {
        let path = self.path(name);
        tables::write(&path, Format::from_path(&path).unwrap(), &tables::all_of::<Detection>(), rows);
    }

    pub(super) fn rows(&self) -> Vec<Detection> {
        tables::read(&self.path("detections.csv"), Format::Csv)
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(super) fn table(&self, name: &str) -> DetectionTable {
        DetectionTable::new(self.path(name)).unwrap()
    }

    pub(super) fn pictures(&self) -> PictureFolder {
        PictureFolder::open(&self.path("pictures"), None).unwrap()
    }
}

/// Returns the files below a folder with their content, by their path with `/`.
pub(super) fn files(folder: &Path) -> std::collections::BTreeMap<String, Vec<u8>> {
    let mut found = std::collections::BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(folder).unwrap().display().to_string().replace('\\', "/");
                found.insert(name, fs::read(&path).unwrap());
            }
        }
    }
    found
}
