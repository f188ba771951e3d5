//! GeoJSON, as a collection and as a feature a line, read as each kind of record.

#![no_main]

use std::fmt::Debug;

use libfuzzer_sys::fuzz_target;
use streetflow::{GeoJsonSource, Image, Metadata, Record, Sequence};
use streetflow_fuzz::{Pieces, csv_keeps, geojson_keeps, is_safe, read};

fn table<T: Record + PartialEq + Debug>(bytes: &[u8], size: usize, lines: bool) -> Vec<T> {
    let open = |size| {
        let (name, from) = ("the table", Pieces::new(bytes, size));
        if lines { GeoJsonSource::<T>::lines(name, from) } else { GeoJsonSource::<T>::new(name, from) }
    };
    let (records, texts) = read(open(usize::MAX));
    let (_, in_pieces) = read(open(size));
    assert_eq!(texts, in_pieces, "pieces of {size} bytes");
    geojson_keeps(&records, lines);
    records
}

fuzz_target!(|input: &[u8]| {
    let Some((&how, bytes)) = input.split_first() else { return };
    let (lines, size) = (how & 1 == 1, usize::from(how >> 1) + 1);
    for Sequence { org_id, seq_id } in table::<Sequence>(bytes, size, lines) {
        is_safe(seq_id.as_str());
        org_id.iter().for_each(|id| is_safe(id.as_str()));
    }
    for Image { seq_id, img_id } in table::<Image>(bytes, size, lines) {
        is_safe(seq_id.as_str());
        is_safe(img_id.as_str());
    }
    let images = table::<Metadata>(bytes, size, lines);
    images.iter().for_each(|image| is_safe(image.img_id.as_str()));
    csv_keeps(&images);
});
