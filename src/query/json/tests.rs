use proptest::prelude::*;

use super::*;

/// Any valid value of a field, as the JSON of a query has it.
fn any_value(name: &str) -> BoxedStrategy<Value> {
    let texts =
        |pattern: &'static str| prop::collection::vec(pattern, 1..4).prop_map(|texts| json!(texts)).boxed();
    let text = |pattern: &'static str| pattern.prop_map(|text| json!(text)).boxed();
    // A box ends at the latitude of 85 degrees, where tiles end.
    let degrees = || (-170.0..170.0, -75.0..75.0);
    match name {
        "bbox" => (degrees(), 0.01..9.0, 0.01..9.0)
            .prop_map(|((west, south), width, height)| json!([west, south, west + width, south + height]))
            .boxed(),
        "area" => (degrees(), 0.01..9.0)
            .prop_map(|((west, south), size)| {
                let ring = [[west, south], [west + size, south], [west, south + size], [west, south]];
                json!({ "type": "MultiPolygon", "coordinates": [[ring]] })
            })
            .boxed(),
        "around" => degrees().prop_map(|(lon, lat)| json!([lon, lat])).boxed(),
        "radius" | "every" => (0.1..5000.0).prop_map(|metres| json!(metres)).boxed(),
        "place" => text("[A-ZÀ-Ý][a-zà-ý]{0,9}(, [A-Z][a-z]{1,9})?"),
        "place_url" => text("https://[a-z]{1,9}\\.example(/[a-z]{1,5})?"),
        "user" => text("[a-z0-9_]{1,20}"),
        "org_id" | "exclude_owner" => texts("[1-9][0-9]{0,16}"),
        "sequences" | "images" => text("[1-9][0-9]{0,16}(,[1-9][0-9]{0,16}){0,3}"),
        "features" => text("([a-z0-9_]{1,9}/)?[a-z_]{1,20}\\.(csv|parquet|geojson|geojsonl)"),
        "from" | "to" => text(
            "20[0-4][0-9]-(0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])(T(0[0-9]|1[0-9]):[0-5][0-9]:[0-5][0-9]Z)?",
        ),
        "min_quality" => (0.0..1.0).prop_map(|score| json!(score)).boxed(),
        "heading" => (0..360, 0..360).prop_map(|(from, to)| json!(format!("{from}..{to}"))).boxed(),
        "make" | "model" => texts("[A-Za-z][A-Za-z0-9,. \"]{0,9}[a-z]"),
        "limit" => (1..u64::MAX).prop_map(|count| json!(count)).boxed(),
        "fields" => {
            let known = Fields::known();
            let some = prop::sample::subsequence(known.clone(), 1..=known.len()).prop_shuffle();
            some.prop_filter("the default", |names| names != Fields::default().names())
                .prop_map(|names| json!(names))
                .boxed()
        }
        "geometry" => {
            prop::sample::select(vec!["original", "computed", "best"]).prop_map(|name| json!(name)).boxed()
        }
        "batch_size" => (1..50).prop_map(|size| json!(size)).boxed(),
        "min_zoom" => (2..=MAX_ZOOM).prop_map(|zoom| json!(zoom)).boxed(),
        "max_zoom" => (FIRST_LINES..MAX_ZOOM).prop_map(|zoom| json!(zoom)).boxed(),
        "pano" | "flat" | "clip" | "lines_only" | "thorough" | "exhaustive" => Just(json!(true)).boxed(),
        other => panic!("{other} has no values here"),
    }
}

/// Any query: some fields with values.
fn any_query() -> impl Strategy<Value = Map<String, Value>> {
    let field = |name: &'static str| {
        prop::option::of(any_value(name)).prop_map(move |value| (name.to_owned(), value))
    };
    let fields: Vec<_> = Query::field_names().into_iter().map(field).collect();
    fields.prop_map(|fields| fields.into_iter().filter_map(|(name, value)| Some((name, value?))).collect())
}

proptest! {
    #[test]
    fn any_fields_and_values_survive_a_round_trip_in_any_order(object in any_query()) {
        let query = Query::from_object(&object).expect("a query");
        prop_assert_eq!(query.to_json(), Value::Object(object.clone()));
        let reversed: Map<_, _> = object.into_iter().rev().collect();
        let text = json!({ "streetflow": "0.1.0", "query": reversed }).to_string();
        let again = Query::from_json(&text).expect("the query of a report");
        prop_assert_eq!(again.to_json(), query.to_json());
        let text = serde_json::to_string(&query).expect("text");
        prop_assert_eq!(serde_json::from_str::<Query>(&text).expect("a query"), query);
    }

    #[test]
    fn a_field_that_a_query_does_not_have_is_refused_by_its_name(mut object in any_query(), name in "[a-z_]{1,20}") {
        prop_assume!(!Query::field_names().contains(&name.as_str()) && name != "query");
        object.insert(name.clone(), json!(1));
        for text in [json!(object), json!({ "query": object })] {
            let error = Query::from_json(&text.to_string()).expect_err("unknown");
            prop_assert_eq!(error.subject(), Some(name.as_str()));
            prop_assert!(error.chain().contains("a query has no such field"), "{}", error.chain());
        }
    }
}

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
