//! GeoJSON collections and line-delimited GeoJSON, read as each record type.

#![no_main]

use std::fmt::Debug;

use libfuzzer_sys::fuzz_target;
use streetflow::{Detection, GeoJsonSource, Image, MapFeature, Metadata, Record, Sequence};
use streetflow_fuzz::{Chunks, assert_safe_id, check_csv, check_geojson, read};

fn table<T: Record + PartialEq + Debug>(bytes: &[u8], size: usize, lines: bool) -> Vec<T> {
    let open = |size| {
        let (name, from) = ("the table", Chunks::new(bytes, size));
        if lines { GeoJsonSource::<T>::lines(name, from) } else { GeoJsonSource::<T>::new(name, from) }
    };
    let (records, texts) = read(open(usize::MAX));
    let (_, in_chunks) = read(open(size));
    assert_eq!(texts, in_chunks, "chunks of {size} bytes");
    check_geojson(&records, lines);
    records
}

fuzz_target!(|input: &[u8]| {
    let Some((&selector, bytes)) = input.split_first() else { return };
    let (lines, size) = (selector & 1 == 1, usize::from(selector >> 1) + 1);
    for Sequence { org_id, seq_id } in table::<Sequence>(bytes, size, lines) {
        assert_safe_id(seq_id.as_str());
        org_id.iter().for_each(|id| assert_safe_id(id.as_str()));
    }
    for Image { seq_id, img_id } in table::<Image>(bytes, size, lines) {
        assert_safe_id(seq_id.as_str());
        assert_safe_id(img_id.as_str());
    }
    let images = table::<Metadata>(bytes, size, lines);
    images.iter().for_each(|image| assert_safe_id(image.img_id.as_str()));
    check_csv(&images);
    let detections = table::<Detection>(bytes, size, lines);
    for Detection { img_id, detection_id, .. } in &detections {
        assert_safe_id(img_id.as_str());
        assert_safe_id(detection_id.as_str());
    }
    let features = table::<MapFeature>(bytes, size, lines);
    features.iter().for_each(|feature| assert_safe_id(feature.feature_id.as_str()));
});
