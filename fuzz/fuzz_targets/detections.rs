//! Responses with nested detections, valid and invalid, as the client parses them.
#![no_main]

use std::collections::HashSet;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use streetflow::client::fuzzing::detections;
use streetflow::{Detection, ImageId};
use streetflow_fuzz::{assert_safe_id, check_csv, check_geojson, check_shape};

static IMAGES: LazyLock<Vec<ImageId>> =
    LazyLock::new(|| include_str!("../ids.txt").lines().map(|id| ImageId::new(id).expect("an id")).collect());

fuzz_target!(|body: &[u8]| {
    let Some(found) = detections(&IMAGES, body) else { return };
    let mut seen = HashSet::new();
    for detection in &found {
        let Detection { img_id, detection_id, .. } = detection;
        assert!(IMAGES.contains(img_id), "requested");
        assert_safe_id(detection_id.as_str());
        assert!(seen.insert((img_id, detection_id)), "each once");
        if let Some(shape) = &detection.polygons {
            assert!(detection.geometry.is_some());
            check_shape(shape);
        }
    }
    check_csv(&found);
    check_geojson(&found, true);
});
