use super::*;

fn feature(kind: (&str, &str, &str), name: &str, geometry: &str) -> String {
    let (category, of_type, address) = kind;
    format!(
        r#"{{"type":"Feature","properties":{{"place_id":1,"osm_type":"relation","osm_id":2628521,"category":"{category}",
        "type":"{of_type}","addresstype":"{address}","display_name":"{name}"}},"bbox":[33.0,35.0,34.0,36.0],
        "geometry":{geometry}}}"#
    )
}

fn places(features: &[String]) -> Vec<Place> {
    let text =
        format!(r#"{{"type":"FeatureCollection","licence":"ODbL","features":[{}]}}"#, features.join(","));
    Place::from_geojson(&text).expect("a response")
}

const SQUARE: &str = r#"{"type":"Polygon","coordinates":[[[33,35],[34,35],[34,36],[33,36],[33,35]]]}"#;

#[test]
fn a_candidate_has_its_name_kind_id_size_and_area() {
    let found = places(&[feature(("boundary", "administrative", "city"), "Nicosia, Cyprus", SQUARE)]);
    let place = &found[0];
    assert_eq!(place.to_string(), "Nicosia, Cyprus (city)");
    assert_eq!((place.osm_id(), place.geometry_type()), ("relation/2628521", "Polygon"));
    // One degree by one degree at 35.5 degrees north is 90.6 by 111.2 km.
    assert!((place.square_kilometres() - 10_066.0).abs() < 30.0, "{}", place.square_kilometres());
    let center = place.center().expect("a center");
    assert!(place.area().expect("an area").contains(center) && place.is_region());
}

#[test]
fn holes_count_less_and_points_and_lines_have_no_area() {
    let holed = r#"{"type":"MultiPolygon","coordinates":[[[[33,35],[34,35],[34,36],[33,36],[33,35]],
        [[33.25,35.25],[33.75,35.25],[33.75,35.75],[33.25,35.75],[33.25,35.25]]]]}"#;
    let found = places(&[
        feature(("boundary", "administrative", "city"), "Ring", holed),
        feature(("tourism", "museum", "tourism"), "Museum", r#"{"type":"Point","coordinates":[33.5,35.5]}"#),
        feature(
            ("highway", "primary", "road"),
            "Road",
            r#"{"type":"LineString","coordinates":[[33,35],[34,36]]}"#,
        ),
    ]);
    assert!((found[0].square_kilometres() - 7_549.0).abs() < 60.0, "{}", found[0].square_kilometres());
    for place in &found[1..] {
        assert!(place.area().is_none() && !place.is_region() && place.square_kilometres() == 0.0, "{place}");
    }
}

#[test]
fn one_bad_candidate_costs_itself_and_names_are_made_safe() {
    let good = feature(("place", "town", "town"), r"A\u001b[2Jown", SQUARE);
    let found = places(&[r#"{"type":"Feature","properties":{}}"#.into(), "7".into(), good]);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].name(), "A?[2Jown");
    for text in ["", "{}", "[]", r#"{"features":7}"#, "<html>"] {
        let error = Place::from_geojson(text).expect_err("not a response");
        assert!(error.kind() == ErrorKind::Malformed && error.hint().is_some(), "{text}: {error:?}");
    }
}

#[test]
fn a_box_across_the_antimeridian_has_its_middle_there() {
    let wide = feature(("place", "state", "state"), "Fiji", SQUARE)
        .replace("33.0,35.0,34.0,36.0", "177,-20,-178,-16");
    let center = places(&[wide])[0].center().expect("a center");
    assert!((center.lon - 179.5).abs() < 1e-9 && (center.lat + 18.0).abs() < 1e-9, "{center:?}");
}

#[test]
fn a_url_that_is_none_is_a_usage_error_and_shows_no_password() {
    for url in ["", "nominatim", "ftp://host", "https://me:secret@host/?x=1", "file:///etc/passwd"] {
        let error = PlaceSearch::at(url).expect_err(url);
        assert!(error.kind() == ErrorKind::Usage && !error.chain().contains("secret"), "{error:?}");
    }
    assert_eq!(PlaceSearch::at("http://127.0.0.1:1/api/").expect("a URL").url.path(), "/api/search");
}
