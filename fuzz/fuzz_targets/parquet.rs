//! Parquet files, read as each record type.
//!
//! The external decoder panics on some damaged files; while rows are read, that becomes an error by design. A panic
//! in our code, or while the file is opened, is a finding.

#![no_main]

use std::fs::File;
use std::io::Write;
use std::panic::{self, AssertUnwindSafe};
use std::path::PathBuf;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use streetflow::{Detection, Image, MapFeature, Metadata, ParquetSource, Record, Sequence};
use streetflow_fuzz::{assert_safe_id, check_csv, read};

static FILE: LazyLock<PathBuf> = LazyLock::new(|| {
    panic::set_hook(Box::new(|panic| {
        if panic.location().is_none_or(|location| !location.file().contains("/registry/")) {
            eprintln!("{panic}");
            std::process::abort();
        }
    }));
    std::env::temp_dir().join(format!("streetflow-fuzz-{}.parquet", std::process::id()))
});

fn table<T: Record + std::fmt::Debug>() -> Vec<T> {
    let source = panic::catch_unwind(AssertUnwindSafe(|| ParquetSource::<T>::open(&*FILE)));
    let Ok(source) = source else {
        eprintln!("a panic during the opening of the file");
        std::process::abort();
    };
    read(source).0
}

fuzz_target!(|bytes: &[u8]| {
    File::create(&*FILE).and_then(|mut file| file.write_all(bytes)).expect("a temporary file");
    for Sequence { org_id, seq_id } in table::<Sequence>() {
        assert_safe_id(seq_id.as_str());
        org_id.iter().for_each(|id| assert_safe_id(id.as_str()));
    }
    for Image { seq_id, img_id } in table::<Image>() {
        assert_safe_id(seq_id.as_str());
        assert_safe_id(img_id.as_str());
    }
    let images = table::<Metadata>();
    images.iter().for_each(|image| assert_safe_id(image.img_id.as_str()));
    check_csv(&images);
    let detections = table::<Detection>();
    for Detection { img_id, detection_id, .. } in &detections {
        assert_safe_id(img_id.as_str());
        assert_safe_id(detection_id.as_str());
    }
    let features = table::<MapFeature>();
    features.iter().for_each(|feature| assert_safe_id(feature.feature_id.as_str()));
    check_csv(&detections);
    check_csv(&features);
});
