#![allow(clippy::unwrap_used, reason = "tests panic to fail")]

use super::*;

#[test]
fn the_index_takes_sixteen_bytes_per_record() {
    assert_eq!(size_of::<Entry>(), 16);
    let folder = tempfile::tempdir().unwrap();
    let known = write(&folder.path().join("known"), 1000);
    assert_eq!((known.len(), known.0.entries.capacity()), (1000, 1000));
}

#[test]
fn records_are_found_by_id_and_marked_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("known");
    write(&path, 100);
    let known = KnownMetadata::open(path).unwrap();
    for n in 0..100 {
        let records = known.get(&id(n));
        assert!(records.len() == 1 && same(&records[0], &image(n)), "{records:?}");
    }
    assert!(known.get(&id(100)).is_empty());
    assert_eq!(known.mark(&id(100), Mark::Listed).unwrap(), None);
    assert_eq!(known.mark(&id(7), Mark::Listed).unwrap(), Some(false));
    assert_eq!(known.mark(&id(7), Mark::Listed).unwrap(), Some(true));
    let mut rest = 0;
    known
        .for_each_without(Mark::Listed, |other| {
            rest += 1;
            assert_ne!(other, id(7));
            Ok(())
        })
        .unwrap();
    assert_eq!(rest, 99);
}

#[test]
fn a_damaged_file_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("known");
    write(&path, 10);
    let bytes = std::fs::read(&path).unwrap();
    for damaged in [&bytes[..bytes.len() - 1], b"something else\n", b""] {
        std::fs::write(&path, damaged).unwrap();
        assert!(KnownMetadata::open(&path).is_err());
    }
    std::fs::write(&path, &bytes).unwrap();
    assert!(KnownDetections::open(&path).is_err(), "it has other records");
}

#[test]
fn all_detections_of_an_image_are_found_in_the_order_of_the_table() {
    let folder = tempfile::tempdir().unwrap();
    let fields = "value,area,polygons".parse().unwrap();
    let mut writer = KnownRecordsWriter::create(folder.path().join("known"), &fields).unwrap();
    let corners = vec![[0.25, 0.5], [0.5, 0.5], [0.5, 1.0]];
    let detection = |image: u64, number: u64| {
        let shape = number.is_multiple_of(2).then(|| vec![vec![corners.clone()]].into());
        let value = Some(format!("object--{number}"));
        Detection { img_id: id(image), detection_id: id(number), value, ..Detection::default() }
            .with_polygons(shape)
    };
    // Image 1 has rows in two places, and image 2 has many.
    for (image, numbers) in [(1, 0..3), (2, 0..20_000), (1, 3..5)] {
        numbers.for_each(|number| writer.add(&detection(image, number)).unwrap());
    }
    let known = writer.finish().unwrap();
    assert!(known.len() > 3 && known.len() < 10, "{}", known.len());
    let expected = |image, count| (0..count).map(|number| detection(image, number)).collect::<Vec<_>>();
    for (image, count) in [(1, 5), (2, 20_000), (3, 0)] {
        let found = known.get(&id(image));
        assert_eq!(found.len(), expected(image, count).len());
        for (found, expected) in found.iter().zip(expected(image, count)) {
            assert_eq!((&found.detection_id, &found.value), (&expected.detection_id, &expected.value));
            assert_eq!((&found.polygons, found.area), (&expected.polygons, expected.area));
        }
    }
}

#[test]
fn an_image_of_which_some_records_are_lost_is_unknown() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("known");
    let fields = "width".parse().unwrap();
    let mut writer = KnownRecordsWriter::create(&path, &fields).unwrap();
    for n in [1, 2, 1] {
        writer.add(&image(n)).unwrap();
    }
    let known = writer.finish().unwrap();
    assert_eq!(known.get(&id(1)).len(), 2);
    let file = File::options().write(true).open(&path).unwrap();
    file.set_len(file.metadata().unwrap().len() - 1).unwrap();
    assert_eq!((known.get(&id(1)).len(), known.get(&id(2)).len()), (0, 1));
}

fn id(n: u64) -> ImageId {
    ImageId::new(&(1_000_000 + n).to_string()).unwrap()
}

fn image(n: u64) -> Metadata {
    let mut image = Metadata { img_id: id(n), width: Some(640), ..Metadata::default() };
    image.altitude = Some(0.1 + f64::from(u32::try_from(n).unwrap()));
    image.computed_rotation = Some([0.1, 0.2, 0.3].into());
    image.make = n.is_multiple_of(2).then(|| "maker".to_owned());
    image
}

fn same(a: &Metadata, b: &Metadata) -> bool {
    Metadata::COLUMNS.iter().all(|column| (column.get)(a) == (column.get)(b))
}

fn write(path: &Path, rows: u64) -> KnownMetadata {
    let fields = "width,altitude,computed_rotation,make".parse().unwrap();
    let mut writer = KnownRecordsWriter::create(path, &fields).unwrap();
    (0..rows).for_each(|n| writer.add(&image(n)).unwrap());
    writer.finish().unwrap()
}
