//! CSV files, read as each record type.

#![no_main]

use std::fmt::Debug;

use libfuzzer_sys::fuzz_target;
use streetflow::{CsvSource, Detection, Image, MapFeature, Metadata, Record, Sequence};
use streetflow_fuzz::{Chunks, assert_safe_id, check_csv, check_geojson, read};

fn table<T: Record + PartialEq + Debug>(bytes: &[u8], size: usize) -> Vec<T> {
    let (records, texts) = read(CsvSource::<T>::new("the table", Chunks::new(bytes, usize::MAX)));
    let (_, in_chunks) = read(CsvSource::<T>::new("the table", Chunks::new(bytes, size)));
    assert_eq!(texts, in_chunks, "chunks of {size} bytes");
    check_csv(&records);
    records
}

fuzz_target!(|input: &[u8]| {
    let Some((&size, bytes)) = input.split_first() else { return };
    let size = usize::from(size) + 1;
    for Sequence { org_id, seq_id } in table::<Sequence>(bytes, size) {
        assert_safe_id(seq_id.as_str());
        org_id.iter().for_each(|id| assert_safe_id(id.as_str()));
    }
    for Image { seq_id, img_id } in table::<Image>(bytes, size) {
        assert_safe_id(seq_id.as_str());
        assert_safe_id(img_id.as_str());
    }
    let images = table::<Metadata>(bytes, size);
    images.iter().for_each(|image| assert_safe_id(image.img_id.as_str()));
    check_geojson(&images, false);
    let detections = table::<Detection>(bytes, size);
    for Detection { img_id, detection_id, .. } in &detections {
        assert_safe_id(img_id.as_str());
        assert_safe_id(detection_id.as_str());
    }
    let features = table::<MapFeature>(bytes, size);
    features.iter().for_each(|feature| assert_safe_id(feature.feature_id.as_str()));
});
