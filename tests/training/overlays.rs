//! Overlays and crops by their pixels.
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "small numbers"
)]

use std::fs;

use streetflow::overlay::{Colour, Crops, Overlay};
use streetflow::{Detection, ImageId};
use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;

use super::world::{World, files};

/// Red, green and blue of the pixels of a JPEG.
struct Picture {
    data: Vec<u8>,
    width: usize,
    height: usize,
}

fn decode(jpeg: &[u8]) -> Picture {
    let mut decoder = JpegDecoder::new(ZCursor::new(jpeg));
    let data = decoder.decode().unwrap();
    let info = decoder.info().unwrap();
    assert!(decoder.exif().is_none_or(Vec::is_empty), "an overlay is upright and has no orientation");
    Picture { data, width: info.width.into(), height: info.height.into() }
}

impl Picture {
    fn at(&self, x: usize, y: usize) -> [i32; 3] {
        let at = (y * self.width + x) * 3;
        [0, 1, 2].map(|offset| i32::from(self.data[at + offset]))
    }
}

fn is_near(one: [i32; 3], other: [i32; 3], tolerance: i32) -> bool {
    one.iter().zip(other).all(|(one, other)| (one - other).abs() <= tolerance)
}

const MARK: Colour = Colour { red: 255, green: 0, blue: 255, alpha: 255 };

/// Draws one class opaquely, and compares every pixel that is not near an edge with where the mock server shows it.
async fn check_overlay(width: Option<u32>) {
    let world = World::new(width);
    let report = Overlay::new()
        .legend(false)
        .outline(0.0)
        .colours(|_| Some(MARK))
        .write(&world.table("detections.csv"), &world.pictures(), world.path("drawn"))
        .await
        .unwrap();
    assert_eq!((report.written, report.failures.count), (world.images.len() as u64, 0), "{report:?}");
    let (mut inside, mut outside, mut wrong) = (0_u64, 0_u64, 0_u64);
    for (name, jpeg) in files(&world.path("drawn")) {
        let id = name.split('_').next().unwrap();
        let image = world.data.image(id).unwrap();
        let detections = image.detections();
        let picture = decode(&jpeg);
        let is_wide = image.displayed_size().0 > image.displayed_size().1;
        assert_eq!(picture.width > picture.height, is_wide, "{name}: as displayed");
        let unit = |at: f64, size: usize| at / size as f64 * 4096.0;
        let contains = |x: f64, y: f64| {
            let (x, y) = (unit(x, picture.width), unit(y, picture.height));
            detections.iter().any(|detection| detection.contains(x, y))
        };
        let step = picture.height / 100;
        for y in (3..picture.height - 3).step_by(step) {
            for x in (3..picture.width - 3).step_by(step) {
                let (at_x, at_y) = (x as f64 + 0.5, y as f64 + 0.5);
                let is_in = contains(at_x, at_y);
                // JPEG blurs colours at edges: only pixels with the same neighbours two pixels away count.
                let offsets = [
                    (-2.0, 0.0),
                    (2.0, 0.0),
                    (0.0, -2.0),
                    (0.0, 2.0),
                    (-2.0, -2.0),
                    (2.0, 2.0),
                    (2.0, -2.0),
                    (-2.0, 2.0),
                ];
                if offsets.iter().any(|(dx, dy)| contains(at_x + dx, at_y + dy) != is_in) {
                    continue;
                }
                let is_marked = is_near(picture.at(x, y), [255, 0, 255], 60);
                *if is_in { &mut inside } else { &mut outside } += 1;
                wrong += u64::from(is_marked != is_in);
            }
        }
    }
    assert!(inside > 10_000 && outside > 10_000, "{inside} inside, {outside} outside");
    assert!(wrong * 1000 <= inside, "{wrong} of {inside} and {outside} pixels");
}

#[tokio::test]
async fn an_overlay_marks_what_a_thumbnail_shows() {
    check_overlay(Some(1024)).await;
}

#[tokio::test]
async fn an_overlay_marks_what_an_original_with_an_orientation_shows() {
    check_overlay(None).await;
}

#[tokio::test]
async fn a_crop_shows_its_object() {
    let world = World::new(None);
    let folder = world.path("crops");
    let crops = Crops::new().only(|detection| detection.value.as_deref() == Some("object--vehicle--car"));
    let report =
        crops.clone().write(&world.table("detections.csv"), &world.pictures(), &folder).await.unwrap();
    assert!(report.written > 10 && report.failures.count == 0, "{report:?}");
    let found = files(&folder);
    assert_eq!(found.len() as u64, report.written);
    for (name, jpeg) in &found {
        let (class, file) = name.split_once('/').unwrap();
        assert_eq!(class, "object--vehicle--car");
        let (image_id, rest) = file.split_once('_').unwrap();
        let image = world.data.image(image_id).unwrap();
        let detections = image.detections();
        let detection = detections.iter().find(|one| rest == format!("{}.jpg", one.id())).unwrap();
        let picture = decode(jpeg);
        let xs: Vec<_> = detection.polygons().iter().flatten().flatten().map(|point| point.0).collect();
        let (left, right) = (*xs.iter().min().unwrap(), *xs.iter().max().unwrap());
        let expected = f64::from(right - left) / 4096.0 * f64::from(image.displayed_size().0);
        assert!((picture.width as f64 - expected).abs() <= 2.0, "{name}: {} of {expected}", picture.width);
        let color = detection.color().map(i32::from);
        let pixels =
            (0..picture.width * picture.height).map(|at| picture.at(at % picture.width, at / picture.width));
        let count = pixels.filter(|pixel| is_near(*pixel, color, 40)).count();
        assert!(count * 3 > picture.width * picture.height, "{name}: {count} pixels show the car");
    }
    let again = crops.write(&world.table("detections.csv"), &world.pictures(), &folder).await.unwrap();
    assert_eq!((again.written, again.already_exists), (0, report.written));
}

#[tokio::test]
async fn a_damaged_picture_costs_itself_only_and_existing_files_stay() {
    let world = World::new(Some(256));
    let (damaged, missing, existing) = (&world.images[0], &world.images[1], &world.images[2]);
    let picture = |id: &str| world.path(&format!("pictures/{id}_256.jpg"));
    fs::write(picture(damaged), &fs::read(picture(damaged)).unwrap()[..900]).unwrap();
    fs::remove_file(picture(missing)).unwrap();
    fs::create_dir(world.path("drawn")).unwrap();
    let kept = world.path(&format!("drawn/{existing}_256.jpg"));
    fs::write(&kept, "mine").unwrap();
    let overlay = async || {
        Overlay::new().write(&world.table("detections.csv"), &world.pictures(), world.path("drawn")).await
    };
    for expected in [world.images.len() as u64 - 3, 0] {
        let report = overlay().await.unwrap();
        assert_eq!((report.written, report.failures.count, report.without_picture), (expected, 1, 1));
        assert_eq!(report.already_exists, world.images.len() as u64 - 2 - expected);
        let error = report.failures.errors[0].chain();
        assert!(error.contains(damaged.as_str()) && error.contains("truncated"), "{error}");
        assert_eq!(fs::read(&kept).unwrap(), b"mine");
        assert!(!world.path(&format!("drawn/{damaged}_256.jpg")).exists());
    }
}

#[tokio::test]
async fn rows_of_an_image_in_two_places_make_one_overlay() {
    let world = World::new(Some(256));
    let mut rows = world.rows();
    let first = rows.remove(0);
    rows.push(first.clone());
    world.write_table("scattered.csv", &rows);
    let overlay = || Overlay::new().legend(false);
    let one =
        overlay().write(&world.table("detections.csv"), &world.pictures(), world.path("one")).await.unwrap();
    let other =
        overlay().write(&world.table("scattered.csv"), &world.pictures(), world.path("other")).await.unwrap();
    assert_eq!((one.written, other.written), (world.images.len() as u64, world.images.len() as u64));
    assert!(files(&world.path("one")) == files(&world.path("other")), "the same bytes");
}

#[tokio::test]
async fn a_hostile_table_writes_nothing_outside_its_folder() {
    let world = World::new(Some(256));
    let mut rows: Vec<Detection> = world.rows().into_iter().take(2).collect();
    for (row, value) in rows.iter_mut().zip(["../../../outside", "/etc/..//x\u{0}"]) {
        row.value = Some(value.to_owned());
        row.img_id = ImageId::new(&world.images[0]).unwrap();
    }
    world.write_table("hostile.csv", &rows);
    let (table, pictures) = (world.table("hostile.csv"), world.pictures());
    let report = Crops::new().write(&table, &pictures, world.path("a/b/c/crops")).await.unwrap();
    assert_eq!(report.written, 2);
    let names: Vec<_> = files(&world.path("a")).into_keys().collect();
    assert!(
        names.iter().all(|name| name.starts_with("b/c/crops/___") || name.starts_with("b/c/crops/_etc_")),
        "{names:?}"
    );
}
