//! The API's answers, good and bad, as the client judges and reads them.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use streetflow::client::fuzzing::{batch, classify, id_page, image, next_page};
use streetflow::{Class, Client, Image, ImageId, Metadata, SequenceId, Token};
use streetflow_fuzz::{csv_keeps, geojson_keeps, is_safe, shown};

const STATUSES: [u16; 16] = [200, 200, 200, 204, 206, 301, 302, 400, 401, 403, 404, 408, 429, 500, 503, 999];
const TYPES: [&str; 4] = ["application/json; charset=UTF-8", "text/html", "", "application/x-protobuf"];

static CLIENT: LazyLock<Client> = LazyLock::new(|| {
    let token = Token::new(&format!("MLY|1234567890123456|{}", "0123456789abcdef".repeat(2))).expect("a token");
    Client::builder().token(token).graph_url("https://graph.mapillary.com").build().expect("a client")
});

/// Those that the seeds are about, one of them twice.
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
    let Some((&how, body)) = input.split_first() else { return };
    let status = STATUSES[usize::from(how & 15)];
    let class = [Class::Tile, Class::Entity, Class::Search, Class::Picture][usize::from(how >> 4 & 3)];
    let judged = classify(class, status, TYPES[usize::from(how >> 6)], body);
    assert!(judged.is_some() || (200..300).contains(&status), "{status} passes");
    if let Some(error) = judged {
        shown(&error);
    }

    if let Some(found) = batch(&IMAGES, body) {
        assert_eq!(found.len(), IMAGES.len());
        let about = |(image, found): (&Image, &Option<Metadata>)| {
            found.as_ref().is_none_or(|found| found.img_id == image.img_id && found.seq_id == image.seq_id)
        };
        assert!(IMAGES.iter().zip(&found).all(about));
        assert_eq!(found.first().map(Option::is_some), found.last().map(Option::is_some), "asked for twice");
        keeps(&found.into_iter().flatten().collect::<Vec<_>>());
    }
    if let Some(found) = image(&IMAGES[0], body) {
        assert_eq!(found.img_id, IMAGES[0].img_id);
        keeps(&[found]);
    }
    if let Some((ids, _, next)) = id_page(body) {
        ids.iter().for_each(|id| is_safe(id.as_str()));
        if let Some(next) = next.and_then(|next| next_page(&CLIENT, &next)) {
            assert!(next.starts_with("https://graph.mapillary.com/"), "{next}");
        }
    }
    // One odd image does not cost the one beside it.
    if let Ok(odd) = serde_json::from_slice::<serde_json::Value>(body)
        && depth(&odd) < 100
    {
        let (odd_id, plain_id) = (IMAGES[0].img_id.as_str(), IMAGES[1].img_id.as_str());
        let both = format!(r#"{{"{odd_id}":{odd},"{plain_id}":{{"id":"{plain_id}","width":2560}}}}"#);
        let found = batch(&IMAGES[..2], both.as_bytes()).expect("a batch");
        assert_eq!(found[1].as_ref().and_then(|found| found.width), Some(2560), "{both}");
    }
});

fn keeps(records: &[Metadata]) {
    csv_keeps(records);
    geojson_keeps(records, true);
}

/// A batch is one level deeper than its images, and the parser ends at 128.
fn depth(json: &serde_json::Value) -> usize {
    match json {
        serde_json::Value::Array(all) => 1 + all.iter().map(depth).max().unwrap_or(0),
        serde_json::Value::Object(all) => 1 + all.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}
