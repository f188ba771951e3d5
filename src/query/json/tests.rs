use super::*;

/// A valid value of each field.
fn values() -> Map<String, Value> {
    let ring = [[33.0, 35.0], [34.0, 35.0], [33.5, 36.0], [33.0, 35.0]];
    let values = json!({
        "bbox": [33.33, 35.15, 33.39, 35.19],
        "area": { "type": "MultiPolygon", "coordinates": [[ring]] },
        "around": [33.36, 35.17],
        "radius": 500.0,
        "place": "Nicosia, Cyprus",
        "place_url": "https://nominatim.example",
        "user": "maria_streets",
        "org_id": ["7", "26774514888887982"],
        "exclude_owner": ["8"],
        "sequences": "ids.txt",
        "images": "1,2,3",
        "features": "map_features.csv",
        "from": "2024-06-01",
        "to": "2024-06-30T08:00:00Z",
        "pano": true,
        "flat": true,
        "min_quality": 0.6,
        "heading": "315..45",
        "make": ["GoPro, Inc.", "b"],
        "model": ["HERO11"],
        "every": 10.5,
        "limit": 1000,
        "clip": true,
        "fields": ["captured_at", "geometry"],
        "geometry": "best",
        "batch_size": 20,
        "min_zoom": 6,
        "max_zoom": 12,
        "lines_only": true,
        "thorough": true,
        "exhaustive": true,
    });
    values.as_object().expect("an object").clone()
}

#[test]
fn every_field_survives_a_round_trip() {
    let values = values();
    assert_eq!(values.keys().collect::<Vec<_>>(), Query::field_names().iter().collect::<Vec<_>>());
    let query = Query::from_object(&values).expect("a query");
    assert_eq!(query.to_json(), Value::Object(values));
    let text = serde_json::to_string(&query).expect("text");
    assert_eq!(serde_json::from_str::<Query>(&text).expect("a query"), query);
    assert_eq!(Query::default().to_json(), json!({}));
}

#[test]
fn null_resets_a_field_and_no_other() {
    for (name, _) in values() {
        let mut query = Query::from_object(&values()).expect("a query");
        query.set(&name, &Value::Null).expect("reset");
        let mut expected = values();
        expected.remove(&name);
        assert_eq!(query.to_json(), Value::Object(expected), "{name}");
    }
}

#[test]
fn values_may_be_written_as_the_flags_take_them() {
    for (name, one, other) in [
        ("bbox", json!("33,35,34,36"), json!([33, 35, 34, 36])),
        ("around", json!("33.5, 35"), json!([33.5, 35.0])),
        ("org_id", json!("7,8"), json!([7, "8"])),
        ("fields", json!("width,height"), json!(["width", "height"])),
        ("heading", json!("10..20"), json!([10, 20])),
        ("images", json!("1,2"), json!(["1", 2])),
        ("every", json!("5"), json!(5)),
        ("limit", json!("5"), json!(5)),
    ] {
        let query = |value| {
            let mut query = Query::default();
            query.set(name, value).expect(name);
            query
        };
        assert_eq!(query(&one), query(&other), "{name}");
    }
}

#[test]
fn an_invalid_value_is_an_error_that_names_the_field() {
    for (name, value) in [
        ("bbox", json!([1, 2, 3])),
        ("bbox", json!([34, 35, "x", 36])),
        ("area", json!({ "type": "Point", "coordinates": [1, 2] })),
        ("area", json!("/nowhere.geojson")),
        ("around", json!([200, 5])),
        ("radius", json!("wide")),
        ("place", json!(" ")),
        ("org_id", json!(["x"])),
        ("org_id", json!([-7])),
        ("sequences", json!([])),
        ("from", json!("yesterday")),
        ("pano", json!("yes")),
        ("heading", json!("0..400")),
        ("make", json!([""])),
        ("every", json!(0)),
        ("limit", json!(0)),
        ("limit", json!(1.5)),
        ("fields", json!(["colour"])),
        ("geometry", json!("nearest")),
        ("batch_size", json!(100_000)),
        ("max_zoom", json!(15)),
        ("token", json!("MLY|1|a")),
    ] {
        let mut query = Query::default();
        let error = query.set(name, &value).expect_err(name);
        assert_eq!((error.kind(), error.subject()), (ErrorKind::Usage, Some(name)), "{}", error.chain());
        assert_eq!(query, Query::default(), "and nothing is set");
        let message = serde_json::from_value::<Query>(json!({ name: value })).expect_err(name).to_string();
        assert!(message.contains(&format!("`{name}`")), "{message}");
    }
}

#[test]
fn a_report_contains_its_query_and_an_older_one_does_not() {
    let query = Query::from_json(r#"{"streetflow": "0.1.0", "query": {"pano": true}}"#).expect("a query");
    assert!(query.pano);
    for (text, why) in [
        (r#"{"query": "streetflow crawl"}"#, "older"),
        (r#"{"query": null}"#, "no query"),
        ("[]", "not an object"),
        ("{", "not JSON"),
    ] {
        let error = Query::from_json(text).expect_err(text);
        assert!(error.chain().contains(why), "{}", error.chain());
    }
}

#[test]
fn contradictions_name_both_fields() {
    let ok = json!({ "bbox": [33, 35, 34, 36] });
    Query::from_json(&ok.to_string()).and_then(|query| query.check()).expect("a query");
    for (query, names) in [
        (json!({}), ["bbox", "images"]),
        (json!({ "bbox": [33, 35, 34, 36], "sequences": "a" }), ["bbox", "sequences"]),
        (json!({ "around": [33, 35] }), ["around", "radius"]),
        (json!({ "around": [33, 35], "radius": -1 }), ["around", "radius"]),
        (json!({ "place": "Nicosia" }), ["place", "find_place"]),
        (json!({ "images": "1", "clip": true }), ["clip", "images"]),
        (json!({ "user": "me", "clip": true }), ["clip", "area"]),
        (json!({ "user": "me", "org_id": 7 }), ["org_id", "user"]),
        (json!({ "bbox": [33, 35, 34, 36], "org_id": 7, "exclude_owner": 7 }), ["org_id", "exclude_owner"]),
        (json!({ "bbox": [33, 35, 34, 36], "pano": true, "flat": true }), ["pano", "flat"]),
        (
            json!({ "bbox": [33, 35, 34, 36], "thorough": true, "lines_only": true }),
            ["thorough", "lines_only"],
        ),
        (json!({ "bbox": [33, 35, 34, 36], "min_zoom": 9, "max_zoom": 7 }), ["min_zoom", "max_zoom"]),
        (json!({ "bbox": [33, 35, 34, 36], "min_quality": 7 }), ["min_quality", "between 0 and 1"]),
        (json!({ "user": "me", "from": "2024-06-02", "to": "2024-06-01" }), ["from", "start"]),
    ] {
        let error = Query::from_json(&query.to_string()).expect("values").check().expect_err("contradiction");
        let message = format!("{} {}", error.chain(), error.hint().unwrap_or_default());
        assert!(
            error.kind() == ErrorKind::Usage && names.iter().all(|name| message.contains(name)),
            "{message}"
        );
    }
}
