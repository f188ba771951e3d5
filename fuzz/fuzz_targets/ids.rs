//! Ids, boxes and lists of fields: accepted ids are safe in paths and queries, and unchanged.

#![no_main]

use libfuzzer_sys::fuzz_target;
use streetflow::client::fuzzing::below;
use streetflow::{Bbox, Fields, ImageId, OwnerId, SequenceId};
use streetflow_fuzz::{assert_safe_id, printable};
use url::Url;

const BASE: &str = "http://127.0.0.1:8000/some/path/";

fn check_in_query(id: &str) {
    assert_safe_id(id);
    let url = below(BASE, &format!("/image_ids?sequence_id={id}&a=b")).expect("a URL");
    let url = Url::parse(&url).expect("a URL");
    let pairs: Vec<_> = url.query_pairs().into_owned().collect();
    assert_eq!(pairs, [("sequence_id".to_owned(), id.to_owned()), ("a".to_owned(), "b".to_owned())]);
    assert_eq!((url.path(), url.fragment()), ("/some/path/image_ids", None));
}

fn check_in_path(id: &str) {
    assert_safe_id(id);
    let url = below(BASE, &format!("/{id}?fields=id")).expect("a URL");
    let url = Url::parse(&url).expect("a URL");
    assert_eq!((url.path(), url.query()), (format!("/some/path/{id}").as_str(), Some("fields=id")));
}

fuzz_target!(|text: &str| {
    match SequenceId::new(text) {
        Ok(id) => {
            assert_eq!((id.as_str(), id.to_string().as_str()), (text, text));
            check_in_query(text);
        }
        Err(error) => drop(printable(&error)),
    }
    match ImageId::new(text) {
        Ok(id) => {
            assert_eq!(id.as_str(), text);
            assert!(text.bytes().all(|b| b.is_ascii_digit()) || text.parse::<f64>().is_err(), "a float");
            check_in_query(text);
            check_in_path(text);
        }
        Err(error) => drop(printable(&error)),
    }
    match OwnerId::new(text) {
        Ok(id) => {
            assert_eq!(id.as_str(), text);
            check_in_query(text);
        }
        Err(error) => drop(printable(&error)),
    }
    if let Ok(bbox) = text.parse::<Bbox>() {
        assert!(bbox.south() < bbox.north() && bbox.south().abs() <= 90.0 && bbox.north().abs() <= 90.0);
        assert!(bbox.west().abs() <= 180.0 && bbox.east().abs() <= 180.0);
        assert_eq!(bbox.to_string().parse::<Bbox>().ok(), Some(bbox));
        assert!((1..=1 << 28).contains(&bbox.cover_len(14)));
    }
    if let Ok(fields) = text.parse::<Fields>() {
        assert_eq!(fields.to_string().parse::<Fields>().ok(), Some(fields));
    }
});
