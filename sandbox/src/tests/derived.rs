//! Tests of detections and map features through a plain socket.

use super::{get, get_graph, start};
use crate::{MockDetection, MockFeature, MockImage, MockSequence, Sandbox};

#[tokio::test]
async fn detections_are_nested_in_images_and_listed_at_edges() {
    let sandbox = start().await;
    let images: Vec<_> = sandbox.mock_data().sequences()[1]
        .images()
        .chain(sandbox.mock_data().sequences()[3].images())
        .collect();
    let with = images.iter().find(|image| image.detections().len() > 8).expect("one with objects");
    let without = images.iter().find(|image| image.detections().is_empty()).expect("one without objects");
    let fields =
        "width,detections.id,detections.value,detections.geometry,detections.created_at,detections.image";
    let batch =
        get_graph(&sandbox, &format!("/?ids={},{}&fields={fields}", with.id(), without.id())).await.json();
    assert!(batch[without.id()].get("detections").is_none() && batch[without.id()].get("width").is_some());
    let nested = &batch[with.id()]["detections"];
    let edge =
        get_graph(&sandbox, &format!("/{}/detections?fields=id,value,geometry,created_at,image", with.id()))
            .await;
    assert_eq!(&edge.json(), nested);
    let empty = get_graph(&sandbox, &format!("/{}/detections?fields=value", without.id())).await;
    assert_eq!(empty.text(), r#"{"data":[]}"#);
    let rows = nested["data"].as_array().expect("a list");
    for (row, detection) in rows.iter().zip(with.detections()) {
        assert_eq!(
            (row["id"].as_str(), row["value"].as_str()),
            (Some(&*detection.id()), Some(detection.value()))
        );
        assert_eq!(row["image"]["id"], with.id());
        assert!(
            row["created_at"].as_str().is_some_and(|at| at.starts_with("2021-05-") && at.ends_with("+0000"))
        );
        let alone =
            get_graph(&sandbox, &format!("/{}?fields=value,geometry,created_at,image", detection.id())).await;
        assert_eq!(&alone.json(), row);
    }
    let all: Vec<_> = images.iter().take(21).map(MockImage::id).collect();
    let too_many = get_graph(&sandbox, &format!("/?ids={}&fields=detections.geometry", all.join(","))).await;
    assert_eq!((too_many.status(), too_many.json()["error"]["code"].as_i64()), (500, Some(1)));
    let unknown = get_graph(&sandbox, &format!("/{}?fields=detections.score", with.id())).await;
    assert_eq!(unknown.status(), 400);
    let gone = sandbox.mock_data().sequences()[0].image(3).id();
    let gone = get_graph(&sandbox, &format!("/{gone}/detections?fields=value")).await;
    assert_eq!(gone.json()["error"]["error_subcode"], 33);
}

#[tokio::test]
async fn lists_of_detections_have_pages_on_request() {
    let sandbox = Sandbox::builder().detections_per_page(3).start().await.expect("ports are free");
    let sequence = &sandbox.mock_data().sequences()[1];
    let image = sequence.images().find(|image| image.detections().len() > 8).expect("one with objects");
    let first =
        get_graph(&sandbox, &format!("/{}?fields=detections.id,detections.value", image.id())).await.json();
    let (mut page, mut found) = (first["detections"].clone(), Vec::new());
    loop {
        let rows = page["data"].as_array().expect("a list");
        assert!(rows.len() <= 3 && rows.iter().all(|row| row.get("value").is_some()));
        found.extend(rows.iter().map(|row| row["id"].as_str().expect("an id").to_owned()));
        let Some(next) = page["paging"]["next"].as_str() else { break };
        page =
            get_graph(&sandbox, next.strip_prefix(sandbox.graph_url()).expect("the same host")).await.json();
    }
    assert_eq!(found, image.detections().iter().map(MockDetection::id).collect::<Vec<_>>());
}

#[tokio::test]
async fn map_features_are_in_tiles_entities_and_batches() {
    let sandbox = start().await;
    let data = sandbox.mock_data();
    let features: Vec<_> = data.sequences().iter().flat_map(MockSequence::map_features).collect();
    let (gone, living): (Vec<&MockFeature<'_>>, Vec<_>) =
        features.iter().partition(|feature| feature.is_gone());
    let fields =
        "object_value,object_type,geometry,aligned_direction,first_seen_at,last_seen_at,images{id,geometry}";
    let ids: Vec<_> = living.iter().take(49).chain(gone.iter().take(1)).map(|feature| feature.id()).collect();
    let batch = get_graph(&sandbox, &format!("/?ids={}&fields={fields}", ids.join(","))).await.json();
    assert_eq!(batch.as_object().map(serde_json::Map::len), Some(49));
    for feature in living.iter().take(49) {
        let found = &batch[feature.id()];
        assert_eq!(found["object_value"], feature.value());
        if feature.has_geometry() {
            assert_eq!(found["geometry"]["coordinates"][0].as_f64(), Some(feature.coordinates().lon));
        }
        for image in found["images"]["data"].as_array().expect("a list") {
            assert!(data.image(image["id"].as_str().expect("an id")).is_some_and(|image| !image.is_gone()));
        }
    }
    for (what, found) in [
        (
            "inexact",
            features.iter().any(|feature| {
                feature.id().parse::<f64>().is_ok_and(|id| format!("{id:.0}") != feature.id())
            }),
        ),
        ("without geometry", living.iter().any(|feature| !feature.has_geometry())),
        ("never seen", features.iter().any(|feature| feature.seen_at().0 == 0)),
        ("seen before 1970", features.iter().any(|feature| feature.seen_at().0 < 0)),
        ("without images", living.iter().any(|feature| feature.images().next().is_none())),
    ] {
        assert!(found, "{what}");
    }
    let gone = get_graph(&sandbox, &format!("/{}?fields=geometry", gone[0].id())).await;
    assert_eq!((gone.status(), gone.json()["error"]["error_subcode"].as_i64()), (400, Some(33)));

    let feature = living.iter().find(|feature| feature.images().count() > 2).expect("one seen often");
    let edge = get_graph(&sandbox, &format!("/{}/detections?fields=value,image", feature.id())).await.json();
    let rows = edge["data"].as_array().expect("a list");
    assert!(!rows.is_empty() && rows.iter().all(|row| row["value"] == feature.value()));
    let nested =
        get_graph(&sandbox, &format!("/{}?fields=detections.value,images.limit(1){{id}}", feature.id()))
            .await
            .json();
    assert_eq!(nested["detections"]["data"].as_array().map(Vec::len), Some(rows.len()));
    assert_eq!(nested["images"]["data"].as_array().map(Vec::len), Some(1));
    let all = living.iter().flat_map(|feature| feature.images().map(move |image| (feature, image)));
    let linked = all.filter(|(feature, image)| {
        image.detections().iter().any(|detection| detection.map_feature() == Some(feature.id()))
    });
    assert!(linked.count() > 2_000, "most images that see a feature have its detection");

    let token: String = url::form_urlencoded::byte_serialize(Sandbox::TOKEN.as_bytes()).collect();
    let tile = streetflow::geo::TileId::containing(living[0].coordinates(), 14);
    for (tileset, layer) in [("point", "point"), ("traffic_sign", "traffic_sign")] {
        let url = format!(
            "{}/maps/vtp/mly_map_feature_{tileset}/2/{tile}?access_token={token}",
            sandbox.tiles_url()
        );
        let tile = get(&url, "").await.expect("a response");
        assert_eq!(tile.status(), 200);
        assert!(tile.body.windows(layer.len()).any(|name| name == layer.as_bytes()));
    }
    let unknown = format!("{}/maps/vtp/mly2/2/{tile}?access_token={token}", sandbox.tiles_url());
    assert_eq!(get(&unknown, "").await.expect("a response").status(), 404);
}
