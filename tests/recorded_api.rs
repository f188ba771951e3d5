//! Tests on recorded responses of the real API. Without the recordings beside the checkout, the tests print that they are skipped.

use std::fs;
use std::io::Write;
use std::path::PathBuf;

use futures::TryStreamExt;
use serde_json::{Value, json};
use streetflow::model::ShapeDecoder;
use streetflow::sinks::{JpegCheck, ToolsetEncoder};
use streetflow::sources::tile_layers;
use streetflow::{
    CsvSource, Detection, Encoder, ErrorKind, FeatureId, FetchFeatures, Fields, Flow, GeoJsonSource, Image,
    MapFeature, Metadata, Result, Sequence, SequenceId, Source, TableSource,
};
use streetflow_sandbox::{Fault, Host, Rule, Sandbox};

use crate::support::tables::check_every_format;
use crate::support::{builder, image_record};

fn recording(path: &str) -> Option<PathBuf> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/real");
    if !folder.is_dir() {
        // Not captured by the test harness, so that it is visible.
        let words = format!("no recordings at `{}`: this test ran on nothing\n", folder.display());
        std::io::stderr().write_all(words.as_bytes()).unwrap();
        return None;
    }
    Some(folder.join(path))
}

fn files(folder: &PathBuf, ending: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(self::files(&path, ending));
        } else if path.to_string_lossy().ends_with(ending) {
            files.push(path);
        }
    }
    files.sort();
    files
}

#[test]
fn recorded_tiles_decode_to_their_known_counts() {
    let Some(tiles) = recording("tiles") else { return };
    let counts = |name: &str| {
        let layers = tile_layers(&fs::read(tiles.join(name)).unwrap()).unwrap();
        let of = |name| {
            layers.iter().find(|layer| layer.name == name).map(|layer| (layer.features, layer.sequences))
        };
        (of("sequence").unwrap(), of("image").unwrap())
    };
    assert_eq!(counts("14-3251-6257.mvt"), ((331, 331), (31_261, 383)));
    let (sequence, image) = counts("14-3252-6257.mvt");
    assert_eq!((sequence.0, image.0), (89, 8_695));
}

/// Returns the client's result for a response with this status and body.
async fn classify(status: u16, body: &str) -> Result<Metadata> {
    let sandbox = Sandbox::start().await.unwrap();
    sandbox.add_rule(Rule::on(Host::Graph).fault(Fault::status(status, body)));
    let client = builder(&sandbox).max_attempts(1).build().unwrap();
    let stderr: Value = serde_json::from_str(body).unwrap();
    client.image(&image_record(stderr["id"].as_str().unwrap_or("1")), &Fields::default()).await
}

#[tokio::test]
async fn every_error_envelope_is_classified_by_its_code() {
    let Some(path) = recording("answers/error_envelopes.jsonl") else { return };
    let text = fs::read_to_string(path).unwrap();
    for line in text.lines() {
        let recorded: Value = serde_json::from_str(line).unwrap();
        let status = recorded["http_status"].as_u64().unwrap_or(400);
        let error = &recorded["body"]["error"];
        let expected = match (error["code"].as_i64().unwrap(), error["error_subcode"].as_i64()) {
            (190, _) => ErrorKind::Auth,
            (100, Some(33)) => ErrorKind::Gone,
            (100, _) if error["message"].as_str().unwrap().contains("does not exist") => {
                // An excerpt without its subcode looks like a bad request.
                ErrorKind::Rejected
            }
            (100, _) => ErrorKind::Rejected,
            (4, _) => ErrorKind::RateLimited,
            (-2 | 2, _) => ErrorKind::Unavailable,
            (368, _) => ErrorKind::Blocked,
            other => panic!("a code that nobody expects: {other:?}"),
        };
        // The client would wait for the rate limit; unit tests cover this case.
        if expected == ErrorKind::RateLimited {
            continue;
        }
        let body = recorded["body"].to_string();
        let kind = classify(u16::try_from(status).unwrap(), &body).await.unwrap_err().kind();
        assert_eq!(kind, expected, "{line}");
    }
}

#[tokio::test]
async fn every_valid_response_decodes_and_round_trips_in_every_format() {
    let Some(folder) = recording("answers") else { return };
    let (mut bodies, mut records): (Vec<Value>, Vec<Metadata>) = Default::default();
    for line in fs::read_to_string(folder.join("ok_bodies.jsonl")).unwrap().lines() {
        let recorded: Value = serde_json::from_str(line).unwrap();
        let raw = recorded["body_raw"].as_str().map(|raw| serde_json::from_str(raw).unwrap());
        bodies.push(raw.unwrap_or_else(|| recorded["body"].clone()));
    }
    for name in ["02_image_ids_thumb256.json", "05_tail_excerpt.json"] {
        let list: Value = serde_json::from_str(&fs::read_to_string(folder.join(name)).unwrap()).unwrap();
        let list = list.get("data").unwrap_or(&list);
        bodies.extend(list.as_array().unwrap().iter().cloned());
    }
    for path in files(&recording("graph").unwrap(), ".json") {
        bodies.push(serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap());
    }
    assert!(bodies.len() > 15);
    // The client would wait for minutes; unit tests cover this case.
    for body in bodies.into_iter().filter(|body| body["error"]["code"] != 4) {
        let result = classify(200, &body.to_string()).await;
        match result {
            Ok(record) => {
                let same = |field: &str, actual: Option<f64>| {
                    assert_eq!(actual, body[field].as_f64(), "{field} of {body}");
                };
                same("compass_angle", record.compass_angle);
                same("merge_cc", record.merge_cc);
                assert_eq!(record.thumb_256_url.as_deref(), body["thumb_256_url"].as_str());
                assert_eq!(record.captured_at, body["captured_at"].as_i64());
                records.push(record);
            }
            Err(error) => {
                assert!(body.get("error").is_some() || body.get("id").is_none(), "{error:?}: {body}");
            }
        }
    }
    assert!(records.len() > 8, "{}", records.len());
    check_every_format(&records);
}

/// The metadata of a recorded fisheye sequence, with the field names of the recording.
#[test]
fn a_recorded_sequence_round_trips_in_every_format() {
    let Some(path) = recording("fisheye-sequence/metadata.json") else { return };
    let stderr: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    let images = stderr["l27kwlcx3fjh7t6w9ccvic"].as_array().unwrap();
    let features = images.iter().map(|image| {
        let mut properties = image.clone();
        for (theirs, ours) in
            [("image_id", "img_id"), ("captured_at_ms", "captured_at"), ("thumbnail_url", "thumb_1024_url")]
        {
            properties[ours] = properties[theirs].take();
        }
        json!({"type": "Feature", "geometry": null, "properties": properties}).to_string() + "\n"
    });
    let features: String = features.collect();
    let source = GeoJsonSource::<Metadata>::lines("a sequence", std::io::Cursor::new(features)).unwrap();
    let records: Vec<Metadata> = futures::executor::block_on(source.stream().try_collect()).unwrap();
    assert_eq!(records.len(), images.len());
    for (record, image) in records.iter().zip(images) {
        let place = record.geometry.unwrap();
        assert_eq!((Some(place.lon), Some(place.lat)), (image["lon"].as_f64(), image["lat"].as_f64()));
        assert_eq!(record.altitude, image["altitude"].as_f64());
        assert_eq!(record.captured_at, image["captured_at_ms"].as_i64());
        let rotation = image["computed_rotation"].as_array().unwrap();
        let rotation: Vec<f64> = rotation.iter().map(|number| number.as_f64().unwrap()).collect();
        assert_eq!(record.computed_rotation, Some(rotation));
    }
    check_every_format(&records);
}

#[tokio::test]
async fn a_recorded_list_of_images_keeps_its_order() {
    let Some(path) = recording("graph/image_ids/7nfcwfvjdtphz7yj6zat6a.json") else { return };
    let text = fs::read_to_string(path).unwrap();
    let stderr: Value = serde_json::from_str(&text).unwrap();
    let sandbox = Sandbox::start().await.unwrap();
    sandbox.add_rule(Rule::on(Host::Graph).fault(Fault::status(200, &text)));
    let client = builder(&sandbox).build().unwrap();
    let ids = client.image_ids(&SequenceId::new("7nfcwfvjdtphz7yj6zat6a").unwrap()).await.unwrap();
    let expected: Vec<_> =
        stderr["data"].as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap()).collect();
    assert_eq!(ids.iter().map(streetflow::ImageId::as_str).collect::<Vec<_>>(), expected);
}

#[tokio::test]
async fn tables_of_the_python_toolset_are_read_and_its_faulty_header_is_reported() {
    let Some(folder) = recording("demo-outputs") else { return };
    let sequences: Vec<Sequence> =
        CsvSource::open(folder.join("seq_dataset.csv")).unwrap().stream().try_collect().await.unwrap();
    assert_eq!(sequences[0].org_id.as_ref().unwrap().as_str(), "803468386961584");
    let images: Vec<Image> =
        CsvSource::open(folder.join("img_dataset.csv")).unwrap().stream().try_collect().await.unwrap();
    assert_eq!((images.len(), images[0].img_id.as_str()), (5, "728019821979741"));
    let table = CsvSource::<Metadata>::open(folder.join("img_meta_dataset.csv")).unwrap();
    let error = table.stream().try_collect::<Vec<_>>().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Usage);
    assert!(error.chain().contains("line 2 has 7 cells, the header names 9"), "{}", error.chain());
    let foreign = recording("answers/tile_image_rows_singapore.csv").unwrap();
    let error = CsvSource::<Metadata>::open(foreign).err().unwrap();
    assert!(error.chain().contains("no column `img_id`"), "{}", error.chain());
}

#[test]
fn recorded_pictures_are_complete_and_truncated_ones_are_not() {
    let Some(folder) = recording("") else { return };
    let pictures = files(&folder, ".jpg");
    assert!(pictures.len() >= 6);
    for path in pictures {
        let bytes = fs::read(&path).unwrap();
        let whole = |bytes: &[u8]| {
            let mut check = JpegCheck::default();
            bytes.chunks(1000).for_each(|piece| check.push(piece));
            check.finish()
        };
        assert_eq!(whole(&bytes), Ok(()), "{}", path.display());
        for len in (0..bytes.len()).step_by(97).chain(bytes.len() - 64..bytes.len()) {
            assert!(whole(&bytes[..len]).is_err(), "{} cut to {len}", path.display());
        }
    }
}

/// The vertices of a shape in units of 1/4096, polygon by polygon.
#[expect(clippy::cast_possible_truncation, reason = "fractions times 4096")]
fn units(shape: &streetflow::record::Polygons) -> Vec<Vec<[i64; 2]>> {
    let unit = |[x, y]: &[f64; 2]| [(x * 4096.0).round() as i64, (y * 4096.0).round() as i64];
    shape.iter().flat_map(|polygon| polygon.rings().map(|ring| ring.iter().map(unit).collect())).collect()
}

#[test]
fn recorded_shapes_have_their_known_vertices() {
    let Some(path) = recording("detections/geometries.jsonl") else { return };
    let mut decoder = ShapeDecoder::default();
    for line in fs::read_to_string(path).unwrap().lines() {
        let recorded: Value = serde_json::from_str(line).unwrap();
        let shape = decoder.decode(recorded["geometry"].as_str().unwrap()).unwrap();
        let expected: Vec<Vec<[i64; 2]>> =
            serde_json::from_value(recorded["vertices_as_encoded_y_down"].clone()).unwrap();
        assert_eq!(units(&shape), expected, "{recorded}");
    }
}

#[test]
fn all_recorded_detections_have_shapes_and_some_have_holes_and_parts() {
    let Some(folder) = recording("graph") else { return };
    let mut decoder = ShapeDecoder::default();
    let mut shapes = Vec::new();
    for path in files(&folder, "detections.json") {
        let json: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
        for one in json["data"].as_array().unwrap() {
            shapes.extend(one["geometry"].as_str().map(|text| decoder.decode(text).unwrap()));
        }
    }
    assert!(shapes.iter().any(|shape| shape.len() == 3), "the utility pole has three parts");
    let csv = recording("detections/gchoumos-86a5b0a-12-images.csv").unwrap();
    let table = TableSource::<Detection>::open(csv).unwrap();
    let rows: Vec<Detection> = futures::executor::block_on(table.stream().try_collect()).unwrap();
    assert_eq!(rows.len(), 142);
    assert!(rows.iter().all(|row| row.polygons.is_some() && row.area.unwrap() > 0.0));
    assert!(rows.iter().any(|row| row.holes.unwrap() > 0));
    assert!(rows.iter().any(|row| row.x.unwrap() + row.w.unwrap() >= 1.0), "some touch the edge at 4096");
    check_every_format(&rows);
}

#[test]
fn the_recorded_table_of_the_toolset_is_written_back_byte_for_byte() {
    let Some(path) = recording("demo-outputs/img_detections_dataset.csv") else { return };
    let table = TableSource::<Detection>::open(&path).unwrap();
    let rows: Vec<Detection> = futures::executor::block_on(table.stream().try_collect()).unwrap();
    let mut bytes = Vec::new();
    let mut encoder = Box::new(ToolsetEncoder::new(&mut bytes).unwrap());
    encoder.encode(&rows).unwrap();
    encoder.finish().unwrap();
    assert_eq!(String::from_utf8(bytes).unwrap(), fs::read_to_string(path).unwrap());
}

/// Returns the recorded map features: those of entities, and those of a search.
fn map_features() -> Option<Vec<Value>> {
    let answers = recording("answers")?;
    let bodies = fs::read_to_string(answers.join("map_feature_bodies.jsonl")).unwrap();
    let mut found: Vec<Value> =
        bodies.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["body"].take()).collect();
    let mut search: Value =
        serde_json::from_slice(&fs::read(answers.join("05_tail_excerpt.json")).unwrap()).unwrap();
    found.append(search["data"].as_array_mut().unwrap());
    for path in files(&recording("graph")?, ".json") {
        let body: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
        found.extend(body.get("object_value").is_some().then(|| body.clone()));
    }
    Some(found)
}

#[tokio::test]
async fn recorded_map_features_keep_all_their_values() {
    let Some(bodies) = map_features() else { return };
    assert!(bodies.len() > 7, "{}", bodies.len());
    let mut found = Vec::new();
    for body in &bodies {
        let sandbox = Sandbox::start().await.unwrap();
        sandbox.add_rule(Rule::on(Host::Graph).fault(Fault::status(200, &body.to_string())));
        let feature_id = FeatureId::new(body["id"].as_str().unwrap()).unwrap();
        let listed = MapFeature { feature_id, ..MapFeature::default() };
        let client = builder(&sandbox).max_attempts(1).build().unwrap();
        let features: Vec<MapFeature> = Flow::from(futures::stream::iter([Ok(listed)]))
            .then(FetchFeatures::new(&client))
            .try_collect()
            .await
            .unwrap();
        let feature = &features[0];
        assert_eq!(feature.value.as_deref(), body["object_value"].as_str());
        assert_eq!(feature.object_type.as_deref(), body.get("object_type").and_then(Value::as_str));
        assert_eq!(feature.aligned_direction, body.get("aligned_direction").and_then(Value::as_f64));
        let place = feature.geometry.map(|at| json!([at.lon, at.lat]));
        assert_eq!(place.as_ref(), body.get("geometry").map(|geometry| &geometry["coordinates"]));
        assert_eq!(feature.first_seen_at.is_some(), body.get("first_seen_at").is_some());
        let images = body.get("images").map(|images| images["data"].as_array().unwrap().len());
        assert_eq!(feature.n_images.map(|count| usize::try_from(count).unwrap()), images);
        found.extend(features);
    }
    assert!(found.iter().any(|feature| feature.geometry.is_none()), "one without a place");
    assert!(found.iter().any(|feature| feature.n_images.is_some()), "one with images");
    check_every_format(&found);
}
