use super::batch::{Batch, Single, Unrequested};
use crate::model::{Image, ImageId, Metadata, SequenceId};

fn record(json: &str) -> Metadata {
    let image = Image {
        seq_id: SequenceId::new("SWxf3IwpsCM9GKBaetvkAy").expect("an id"),
        img_id: ImageId::new("1463097064038568").expect("an id"),
    };
    serde_json::from_str::<Single>(json).expect("JSON").into_record(&image).expect("about this image")
}

#[test]
fn numbers_are_read_without_rounding() {
    let record = record(
        r#"{"id":"1463097064038568","compass_angle":184.43365478516,"merge_cc":4.546427159383e+18,"altitude":4294967281,"atomic_scale":1}"#,
    );
    assert_eq!(record.compass_angle, Some(184.433_654_785_16));
    assert_eq!(record.merge_cc, Some(4.546_427_159_383e18));
    assert_eq!(record.altitude, Some(4_294_967_281.0));
    assert_eq!(record.atomic_scale, Some(1.0));
}

#[test]
fn an_invalid_id_is_absent() {
    let record = record(
        r#"{"id":"1463097064038568","creator":{"id":"1e5","username":"me"},"organization":{"id":"+227409318565107"},
           "mesh":{"id":"../x"},"sfm_cluster":{"id":"7"}}"#,
    );
    assert_eq!((record.creator_id, record.creator_username.as_deref()), (None, Some("me")));
    assert_eq!((record.organization_id, record.mesh_id), (None, None));
    assert_eq!(record.sfm_cluster_id.as_deref(), Some("7"));
}

#[test]
fn a_response_with_too_many_images_is_an_error() {
    let response = |images: usize| {
        let images: Vec<String> = (0..images).map(|id| format!("\"{id}\":{{}}")).collect();
        serde_json::from_str::<Batch>(&format!("{{{}}}", images.join(",")))
    };
    assert!(response(50).is_ok());
    let error = response(10_000).err().expect("too many");
    assert!(error.to_string().contains("it has more images than were requested"), "{error}");
}

#[test]
fn an_unusable_entry_of_a_batch_affects_no_other_entry() {
    let image = |id: &str| Image {
        seq_id: SequenceId::new("SWxf3IwpsCM9GKBaetvkAy").expect("an id"),
        img_id: ImageId::new(id).expect("an id"),
    };
    let mut batch: Batch = serde_json::from_str(
        r#"{"../1":{"id":"1"},"":{},"2":{"id":"2","width":7},"3":[],"4":{"id":"2"},"5":{"id":"5"},"5":{"id":"5"},
            "6":{},"7":null,"9":{"id":"9"},"8":{"id":"8"}}"#,
    )
    .expect("a batch");
    let found: Vec<_> = (2..=7).filter_map(|id| batch.take(&image(&id.to_string()))).collect();
    let [found] = &found[..] else { panic!("{found:?}") };
    assert_eq!((found.img_id.as_str(), found.width), ("2", Some(7)));
    let first = ImageId::new("8").ok();
    assert_eq!(batch.unrequested(), Some(Unrequested { first, count: 4 }));
}

#[test]
fn coordinates_outside_the_globe_are_absent() {
    let geometries = |geometry: &str, computed: &str| {
        let record = record(&format!(
            r#"{{"id":"1463097064038568","geometry":{{"type":"Point","coordinates":{geometry}}},"computed_geometry":{{"type":"Point","coordinates":{computed}}}}}"#
        ));
        (record.geometry.is_some(), record.computed_geometry.is_some())
    };
    assert_eq!(geometries("[33.5,35.0]", "[5000,35.0]"), (true, false));
    assert_eq!(geometries("[33.5,90.001]", "[33.5,35.0,-7]"), (false, true));
    assert_eq!(geometries("[180,90]", "[-180,-90]"), (true, true));
    assert_eq!(geometries("[1e300,0]", "[-180.0000001,0]"), (false, false));
}

#[test]
fn a_value_of_another_type_is_absent_and_affects_no_other_value() {
    let record = record(
        r#"{"id":"1463097064038568","width":"wide","height":1440.0,"geometry":{"type":"Point","coordinates":["a"]},"creator":[1],
           "captured_at":null,"make":"","camera_parameters":[],"is_pano":1,"organization":{"id":1805883732926354},
           "detections":{"data":[{"id":"7"},{},"8"]},"thumb_256_url":"https:\/\/x\/y","new_field":{"a":[{}]}}"#,
    );
    assert_eq!((record.width, record.height, record.geometry), (None, Some(1440), None));
    assert_eq!((record.captured_at, record.make, record.creator_id), (None, None, None));
    assert_eq!(record.camera_parameters, Some(vec![]));
    assert_eq!(record.is_pano, Some(true));
    assert_eq!(record.organization_id.as_deref(), Some("1805883732926354"));
    assert_eq!(record.detections, Some(vec!["7".to_owned()]));
    assert_eq!(record.thumb_256_url.as_deref(), Some("https://x/y"));
}
