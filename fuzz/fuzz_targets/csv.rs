//! A CSV file, read as each kind of record.

#![no_main]

use std::fmt::Debug;

use libfuzzer_sys::fuzz_target;
use streetflow::{CsvSource, Image, Metadata, Record, Sequence};
use streetflow_fuzz::{Pieces, csv_keeps, geojson_keeps, is_safe, read};

fn table<T: Record + PartialEq + Debug>(bytes: &[u8], size: usize) -> Vec<T> {
    let (records, texts) = read(CsvSource::<T>::new("the table", Pieces::new(bytes, usize::MAX)));
    let (_, in_pieces) = read(CsvSource::<T>::new("the table", Pieces::new(bytes, size)));
    assert_eq!(texts, in_pieces, "pieces of {size} bytes");
    csv_keeps(&records);
    records
}

fuzz_target!(|input: &[u8]| {
    let Some((&size, bytes)) = input.split_first() else { return };
    let size = usize::from(size) + 1;
    for Sequence { org_id, seq_id } in table::<Sequence>(bytes, size) {
        is_safe(seq_id.as_str());
        org_id.iter().for_each(|id| is_safe(id.as_str()));
    }
    for Image { seq_id, img_id } in table::<Image>(bytes, size) {
        is_safe(seq_id.as_str());
        is_safe(img_id.as_str());
    }
    let images = table::<Metadata>(bytes, size);
    images.iter().for_each(|image| is_safe(image.img_id.as_str()));
    geojson_keeps(&images, false);
});
