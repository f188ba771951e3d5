//! Responses of the API, valid and invalid, as the client classifies and parses them.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use streetflow::client::fuzzing::{batch, classify, id_page, image, next_page};
use streetflow::{Class, Client, Image, ImageId, Metadata, SequenceId, Token};
use streetflow_fuzz::{assert_safe_id, check_csv, check_geojson, printable};

const STATUSES: [u16; 16] = [200, 200, 200, 204, 206, 301, 302, 400, 401, 403, 404, 408, 429, 500, 503, 999];
const TYPES: [&str; 4] = ["application/json; charset=UTF-8", "text/html", "", "application/x-protobuf"];

static CLIENT: LazyLock<Client> = LazyLock::new(|| {
    let token =
        Token::new(&format!("MLY|1234567890123456|{}", "0123456789abcdef".repeat(2))).expect("a token");
    Client::builder().token(token).graph_url("https://graph.mapillary.com").build().expect("a client")
});

/// The images of the seeds, one of them twice.
static IMAGES: LazyLock<Vec<Image>> = LazyLock::new(|| {
    let ids = include_str!("../ids.txt").lines().map(|id| ImageId::new(id).expect("an id"));
    let mut images: Vec<Image> = ids.map(|img_id| Image { seq_id: sequence(), img_id }).collect();
    images.push(images[0].clone());
    images
});

fn sequence() -> SequenceId {
    SequenceId::new("SWxf3IwpsCM9GKBaetvkAy").expect("an id")
}

fuzz_target!(|input: &[u8]| {
    let Some((&selector, body)) = input.split_first() else { return };
    let status = STATUSES[usize::from(selector & 15)];
    let class = [Class::Tile, Class::Entity, Class::Search, Class::Bytes][usize::from(selector >> 4 & 3)];
    let error_found = classify(class, status, TYPES[usize::from(selector >> 6)], body);
    assert!(error_found.is_some() || (200..300).contains(&status), "{status} passes");
    if let Some(error) = error_found {
        printable(&error);
    }

    if let Some(found) = batch(&IMAGES, body) {
        assert_eq!(found.len(), IMAGES.len());
        let is_requested = |(image, found): (&Image, &Option<Metadata>)| {
            found.as_ref().is_none_or(|found| found.img_id == image.img_id && found.seq_id == image.seq_id)
        };
        assert!(IMAGES.iter().zip(&found).all(is_requested));
        assert_eq!(found.first().map(Option::is_some), found.last().map(Option::is_some), "requested twice");
        check_tables(&found.into_iter().flatten().collect::<Vec<_>>());
    }
    if let Some(found) = image(&IMAGES[0], body) {
        assert_eq!(found.img_id, IMAGES[0].img_id);
        check_tables(&[found]);
    }
    if let Some((ids, _, next)) = id_page(body) {
        ids.iter().for_each(|id| assert_safe_id(id.as_str()));
        if let Some(next) = next.and_then(|next| next_page(&CLIENT, &next)) {
            assert!(next.starts_with("https://graph.mapillary.com/"), "{next}");
        }
    }
    // An unusual image does not affect the image beside it.
    if let Ok(unusual) = serde_json::from_slice::<serde_json::Value>(body)
        && depth(&unusual) < 100
    {
        let (odd_id, plain_id) = (IMAGES[0].img_id.as_str(), IMAGES[1].img_id.as_str());
        let both = format!(r#"{{"{odd_id}":{unusual},"{plain_id}":{{"id":"{plain_id}","width":2560}}}}"#);
        let found = batch(&IMAGES[..2], both.as_bytes()).expect("a batch");
        assert_eq!(found[1].as_ref().and_then(|found| found.width), Some(2560), "{both}");
    }
});

fn check_tables(records: &[Metadata]) {
    check_csv(records);
    check_geojson(records, true);
}

/// Returns the nesting depth. A batch is one level deeper than its images, and the parser stops at 128.
fn depth(json: &serde_json::Value) -> usize {
    match json {
        serde_json::Value::Array(all) => 1 + all.iter().map(depth).max().unwrap_or(0),
        serde_json::Value::Object(all) => 1 + all.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}
