//! The shape of a detection, as base64 and as bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use streetflow::model::ShapeDecoder;

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(shape) = ShapeDecoder::default().decode(text) else { return };
    assert!(!shape.is_empty() && shape.vertices().len() <= 20_000);
    assert!(shape.vertices().iter().flatten().all(|at| (0.0..=1.0).contains(at)));
    assert!(shape.iter().all(|polygon| polygon.rings().all(|ring| ring.len() >= 3)));
    assert!(shape.area() >= 0.0);
    // It comes back from JSON to the bit.
    let json = shape.to_string();
    assert_eq!(serde_json::from_str::<streetflow::record::Polygons>(&json).expect("JSON"), shape);
});
