//! The encoding against a decoder, as the page has it.

use std::io::Read;

use flate2::read::ZlibDecoder;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::columns::Block;
use super::packing::{Planes, differences, planes};
use super::{MapImages, MapOptions, Page};
use crate::geo::LonLat;
use crate::model::{Detection, FeatureId, ImageId, MapFeature, Metadata, SequenceId};
use crate::record::GeometryChoice;

/// Decodes a column as `decodeColumn` in `map/page/columns.js` does.
fn decoded(bytes: &[u8], rows: usize, count: usize, is_difference: bool) -> Vec<u32> {
    assert_eq!(bytes.len(), rows * count);
    let mut value = 0_u32;
    let decode = |row: usize| {
        let packed =
            (0..count).rev().fold(0_u32, |packed, plane| packed << 8 | u32::from(bytes[plane * rows + row]));
        if !is_difference {
            return packed;
        }
        value = value.wrapping_add((packed >> 1) ^ (packed & 1).wrapping_neg());
        value
    };
    (0..rows).map(decode).collect()
}

fn inflated(block: &Block) -> Vec<u8> {
    let mut bytes = Vec::new();
    ZlibDecoder::new(block.bytes.as_slice()).read_to_end(&mut bytes).expect("a zlib stream");
    bytes
}

/// The head and the columns of the blocks.
fn columns(blocks: &[Block]) -> (Value, impl Fn(&str) -> Vec<u32>) {
    let head: Value = serde_json::from_slice(&inflated(&blocks[0])).expect("JSON");
    let read = {
        let (head, blocks) = (head.clone(), blocks.to_vec());
        move |name: &str| {
            let columns = head["columns"].as_array().expect("a list");
            let column = columns.iter().find(|column| column["name"] == name).expect("a column");
            let block = blocks.iter().find(|block| block.name == name).expect("a block");
            let number = |value: &Value| usize::try_from(value.as_u64().expect("a number")).expect("small");
            let is_difference = column["difference"].as_bool().expect("a truth value");
            decoded(&inflated(block), number(&column["rows"]), number(&column["planes"]), is_difference)
        }
    };
    (head, read)
}

fn image(sequence: &str, id: &str, lon: f64) -> Metadata {
    Metadata {
        seq_id: SequenceId::new(sequence).expect("an id"),
        img_id: ImageId::new(id).expect("an id"),
        geometry: Some(LonLat { lon, lat: 35.17 }),
        ..Metadata::default()
    }
}

fn encoded(images: &[Metadata]) -> Vec<Block> {
    let mut all = MapImages::new(GeometryChoice::Original);
    for image in images {
        all.push(image);
    }
    all.encode(true, &json!({})).expect("encoded")
}

proptest! {
    #[test]
    fn every_column_is_decoded_to_the_values_that_were_encoded(values: Vec<u32>) {
        let Planes { bytes, count } = differences(values.iter().copied());
        prop_assert_eq!(decoded(&bytes, values.len(), count, true), values.as_slice());
        let Planes { bytes, count } = planes(values.iter().copied());
        prop_assert_eq!(decoded(&bytes, values.len(), count, false), values.as_slice());
    }

    #[test]
    fn every_image_is_decoded_to_its_own_values(
        rows in prop::collection::vec((0..4_u8, any::<u64>(), -180.0..180.0_f64, -95.0..95.0_f64, any::<Option<u32>>(), prop::option::of(-400.0..400.0_f64)), 0..40)
    ) {
        let images: Vec<_> = rows.iter().enumerate().map(|(row, (sequence, id, lon, lat, time, heading))| Metadata {
            // Ids are unique, so that a row is found by its id.
            img_id: ImageId::new(&format!("{row:02}{id}")).expect("an id"),
            seq_id: SequenceId::new(&format!("s{sequence}")).expect("an id"),
            geometry: Some(LonLat { lon: *lon, lat: *lat }),
            captured_at: time.map(|time| i64::from(time) * 1000 + 999),
            compass_angle: *heading,
            ..Metadata::default()
        }).collect();
        let blocks = encoded(&images);
        let (head, column) = columns(&blocks);
        let [x, time, heading, low, high] = ["x", "time", "heading", "id_low", "id_high"].map(&column);
        let shown: Vec<_> = images.iter().filter(|image| image.geometry.is_some_and(|point| point.lat.abs() <= 85.0511)).collect();
        prop_assert_eq!(head["rows"].as_u64(), Some(shown.len() as u64));
        prop_assert_eq!(head["unplaced"].as_u64(), Some((images.len() - shown.len()) as u64));
        let first_other: u64 = head["first_other_id"].as_str().expect("text").parse().expect("a number");
        let ids: Vec<String> = low.iter().zip(&high).map(|(low, high)| {
            let id = u64::from(*high) << 32 | u64::from(*low);
            match id.checked_sub(first_other) {
                Some(index) => head["other_ids"][usize::try_from(index).expect("small")].as_str().expect("text").to_owned(),
                None => id.to_string(),
            }
        }).collect();
        for image in shown {
            let row = ids.iter().position(|id| id == image.img_id.as_str()).expect("the image");
            let lon = f64::from(x[row]) / 4_294_967_296.0 * 360.0 - 180.0;
            let distance = (lon - image.geometry.expect("a point").lon).rem_euclid(360.0);
            prop_assert!(distance.min(360.0 - distance) < 1e-7);
            prop_assert_eq!(Some(time[row]), image.captured_at.map_or(Some(u32::MAX), |time| u32::try_from(time / 1000).ok()));
            let wanted = image.compass_angle.map_or(360.0, |angle| angle.rem_euclid(360.0).round() % 360.0);
            prop_assert!((f64::from(heading[row]) - wanted).abs() < 0.5);
        }
    }
}

#[test]
fn rows_are_grouped_by_sequence_in_the_order_of_time() {
    let at = |sequence, id, time| Metadata { captured_at: Some(time), ..image(sequence, id, 33.0) };
    let blocks = encoded(&[at("b", "1", 9000), at("a", "2", 5000), at("b", "3", 7000), at("a", "4", 6000)]);
    let (head, column) = columns(&blocks);
    assert_eq!(column("id_low"), [3, 1, 2, 4]);
    assert_eq!(column("sequence"), [0, 0, 1, 1]);
    assert_eq!(head["sequences"], json!(["b", "a"]));
}

#[test]
fn images_without_a_usable_position_are_counted() {
    let mut images = MapImages::new(GeometryChoice::Computed);
    images.push(&image("a", "1", 33.0));
    let mut computed = image("a", "2", 33.0);
    computed.computed_geometry = Some(LonLat { lon: 33.0, lat: 86.0 });
    images.push(&computed);
    computed.computed_geometry = Some(LonLat { lon: 33.0, lat: 85.0 });
    images.push(&computed);
    assert_eq!((images.len(), images.unplaced()), (1, 2));
}

#[test]
fn a_box_belongs_to_its_image_wherever_it_is_in_the_tables() {
    let mut images = MapImages::new(GeometryChoice::Original);
    // The page has the sequences in the order a, b.
    for (sequence, id) in [("a", "30"), ("b", "10"), ("a", "20")] {
        images.push(&image(sequence, id, 33.0));
    }
    let detection = |id: &str, value: &str, x: f64| Detection {
        img_id: ImageId::new(id).expect("an id"),
        value: Some(value.to_owned()),
        x: Some(x),
        y: Some(0.25),
        w: Some(0.5),
        h: Some(1.0),
        ..Detection::default()
    };
    let found = [
        detection("10", "sign", 0.1),
        detection("99", "car", 0.2),
        detection("20", "car", 0.3),
        detection("30", "car", 1.5),
        detection("10", "car", 0.4),
        Detection { w: None, ..detection("10", "car", 0.4) },
    ];
    for detection in &found {
        images.push_detection(detection);
    }
    let blocks = images.encode(true, &json!({})).expect("encoded");
    let (head, column) = columns(&blocks);
    assert_eq!(column("id_low"), [30, 20, 10]);
    assert_eq!(column("box_row"), [1, 2, 2]);
    assert_eq!(column("box_x"), [3000, 4000, 1000]);
    assert_eq!(column("box_class"), [0, 0, 1]);
    assert_eq!(head["detections"], json!({ "classes": ["car", "sign"], "omitted": 2 }));
}

#[test]
fn a_feature_has_its_place_class_and_id() {
    let mut images = MapImages::new(GeometryChoice::Original);
    let feature = MapFeature {
        feature_id: FeatureId::new("2971473506516211").expect("an id"),
        value: Some("object--bench".to_owned()),
        geometry: Some(LonLat { lon: 0.0, lat: 0.0 }),
        last_seen_at: Some(1_700_000_000_000),
        n_images: Some(4),
        ..MapFeature::default()
    };
    images.push_feature(&feature);
    images.push_feature(&MapFeature { geometry: None, ..feature });
    let blocks = images.encode(true, &json!({})).expect("encoded");
    let (head, column) = columns(&blocks);
    let values = ["feature_x", "feature_y", "feature_class", "feature_seen", "feature_images"]
        .map(|name| column(name)[0]);
    assert_eq!(values, [1 << 31, 1 << 31, 0, 1_700_000_000, 4]);
    let id = u64::from(column("feature_id_high")[0]) << 32 | u64::from(column("feature_id_low")[0]);
    assert_eq!(id, 2_971_473_506_516_211);
    assert_eq!(head["features"], json!({ "classes": ["object--bench"], "omitted": 1 }));
}

#[test]
fn a_page_without_ids_contains_no_id_of_an_image_or_a_sequence() {
    let mut images = MapImages::new(GeometryChoice::Original);
    images.push(&image("a", "1", 33.0));
    let blocks = images.encode(false, &json!({})).expect("encoded");
    assert!(!blocks.iter().any(|block| block.name.starts_with("id_")));
    let (head, _) = columns(&blocks);
    assert_eq!((&head["sequences"], &head["sequence_count"]), (&json!([]), &json!(1)));
}

#[test]
fn names_from_the_network_are_in_compressed_blocks_only() {
    let name = "</script><img src=x onerror=alert(1)>";
    let mut images = MapImages::new(GeometryChoice::Original);
    images.push(&Metadata { creator_username: Some(name.to_owned()), ..image("a", "1", 33.0) });
    let options = MapOptions { title: name.to_owned(), ..MapOptions::default() };
    let mut out = Vec::new();
    Page::new(&images, &options).expect("encoded").write(&mut out).expect("written");
    let text = String::from_utf8(out).expect("text");
    assert!(!text.contains("<img src=x"), "the title is escaped, the name is compressed");
    assert!(text.contains("&lt;/script>&lt;img src=x"), "the title is shown");
}
