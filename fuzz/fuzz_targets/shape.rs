//! The shape of a detection, as base64 and as the bytes that base64 stands for.
#![no_main]

use libfuzzer_sys::fuzz_target;
use streetflow::model::ShapeDecoder;
use streetflow_fuzz::{base64, check_shape};

fuzz_target!(|bytes: &[u8]| {
    // A fuzzer rarely keeps base64 intact, so most of what it finds out comes from the bytes.
    let texts = [std::str::from_utf8(bytes).unwrap_or_default().to_owned(), base64(bytes)];
    for text in texts {
        if let Ok(shape) = ShapeDecoder::default().decode(&text) {
            assert!(!shape.is_empty());
            check_shape(&shape);
        }
    }
});
