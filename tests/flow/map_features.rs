//! Map features: from tiles, and completed by the API.

use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt, TryStreamExt};
use streetflow::client::ResponseStore;
use streetflow::{
    Bbox, ErrorKind, FeatureKind, FeatureSource, FetchFeatures, Flow, MapFeature, OnError, Source,
};
use streetflow_sandbox::{Fault, Host, MockFeature, MockSequence, Rule, Sandbox};

use crate::support::{builder, client};

const NICOSIA: &str = "33.33,35.15,33.39,35.19";
const CYPRUS: &str = "32.19,34.52,34.18,35.49";

fn bbox(text: &str) -> Bbox {
    text.parse().unwrap()
}

async fn found(source: FeatureSource) -> Vec<MapFeature> {
    source.stream().try_collect().await.unwrap()
}

fn ids(features: &[MapFeature]) -> BTreeSet<String> {
    features.iter().map(|feature| feature.feature_id.to_string()).collect()
}

/// The features of the mock data by id.
fn all(sandbox: &Sandbox) -> BTreeMap<String, MockFeature<'_>> {
    let features = sandbox.mock_data().sequences().iter().flat_map(MockSequence::map_features);
    features.map(|feature| (feature.id(), feature)).collect()
}

fn tiles_requested(sandbox: &Sandbox, tileset: &str) -> usize {
    sandbox.requests_to(Host::Tiles).iter().filter(|request| request.path.contains(tileset)).count()
}

#[tokio::test]
async fn every_feature_of_an_area_is_found_once_with_the_values_of_its_tile() {
    let sandbox = Sandbox::start().await.unwrap();
    let features = found(FeatureSource::within(&client(&sandbox), bbox(CYPRUS)).exhaustive()).await;
    let expected = all(&sandbox);
    assert_eq!(ids(&features), expected.keys().cloned().collect());
    assert_eq!(features.len(), expected.len());
    let positive = |at: i64| Some(at).filter(|at| *at > 0);
    for feature in &features {
        let mock = &expected[feature.feature_id.as_str()];
        assert_eq!(feature.value.as_deref(), Some(mock.value()));
        let kind = if mock.is_sign() { FeatureKind::Sign } else { FeatureKind::Object };
        assert_eq!(feature.kind, Some(kind));
        let (from, to) = mock.seen_at();
        assert_eq!((feature.first_seen_at, feature.last_seen_at), (positive(from), positive(to)));
        assert_eq!(feature.geometry.is_some(), mock.has_place_in_tile());
        if let Some(at) = feature.geometry {
            let (lon, lat) = (at.lon - mock.coordinates().lon, at.lat - mock.coordinates().lat);
            assert!(lon.abs() < 6e-6 && lat.abs() < 6e-6, "{lon} {lat}");
        }
    }
    assert!(features.iter().any(|feature| feature.geometry.is_none()));
}

#[tokio::test]
async fn tiles_without_lines_are_not_requested_and_nothing_near_lines_is_lost() {
    let sandbox = Sandbox::start().await.unwrap();
    let source = FeatureSource::within(&client(&sandbox), bbox(CYPRUS));
    let tiles = source.count_tiles().await.unwrap();
    assert_eq!(tiles_requested(&sandbox, "mly_map_feature"), 0);
    assert_eq!(tiles_requested(&sandbox, "mly1_public") as u64, tiles.coverage);
    sandbox.clear_requests();
    let features = found(source).await;
    assert_eq!(tiles_requested(&sandbox, "mly1_public") as u64, tiles.coverage);
    assert_eq!(tiles_requested(&sandbox, "mly_map_feature_point") as u64, tiles.to_read / 2);
    assert_eq!(tiles_requested(&sandbox, "mly_map_feature_traffic_sign") as u64, tiles.to_read / 2);
    assert!(tiles.to_read * 10 < tiles.in_area, "{tiles:?}");
    // Only features of sequences with a single image, which have no line, can be missing.
    let lost: Vec<_> = all(&sandbox).into_keys().filter(|id| !ids(&features).contains(id)).collect();
    let lonely = sandbox.mock_data().sequences().iter().filter(|sequence| sequence.image_count() == 1);
    let lonely: BTreeSet<_> =
        lonely.flat_map(MockSequence::map_features).map(|feature| feature.id()).collect();
    assert!(lost.iter().all(|id| lonely.contains(id)), "{lost:?}");
}

#[tokio::test]
async fn one_kind_needs_half_of_the_tiles() {
    let sandbox = Sandbox::start().await.unwrap();
    let source = FeatureSource::within(&client(&sandbox), bbox(NICOSIA));
    let both = found(source.clone()).await;
    sandbox.clear_requests();
    let signs = found(source.only(FeatureKind::Sign)).await;
    assert_eq!(tiles_requested(&sandbox, "mly_map_feature_point"), 0);
    let expected: Vec<_> =
        both.into_iter().filter(|feature| feature.kind == Some(FeatureKind::Sign)).collect();
    assert_eq!(signs, expected);
}

#[tokio::test]
async fn the_order_does_not_depend_on_the_order_of_responses() {
    let sandbox = Sandbox::start().await.unwrap();
    let source = FeatureSource::within(&client(&sandbox), bbox(NICOSIA));
    let first = found(source.clone()).await;
    let slow = Fault::Delay(std::time::Duration::from_millis(30));
    sandbox.add_rule(Rule::on(Host::Tiles).every_nth(3).fault(slow));
    assert_eq!(found(source).await, first);
}

#[tokio::test]
async fn a_coarse_tile_that_fails_is_replaced_by_the_tiles_below_it() {
    let sandbox = Sandbox::start().await.unwrap();
    let expected = found(FeatureSource::within(&client(&sandbox), bbox(NICOSIA))).await;
    let coarse = Rule::when(|request| {
        request.path.contains("mly1_public") && request.path.split('/').nth(5) != Some("13")
    });
    sandbox.add_rule(coarse.fault(Fault::status(500, "down")));
    let client = builder(&sandbox).max_attempts(1).build().unwrap();
    assert_eq!(found(FeatureSource::within(&client, bbox(NICOSIA))).await, expected);
    // If no tile of images can be read, every tile of features is.
    sandbox.clear_rules();
    sandbox.add_rule(
        Rule::when(|request| request.path.contains("mly1_public")).fault(Fault::status(500, "down")),
    );
    assert!(ids(&found(FeatureSource::within(&client, bbox(NICOSIA))).await).is_superset(&ids(&expected)));
}

#[tokio::test]
async fn a_tile_that_fails_costs_its_features_only() {
    let sandbox = Sandbox::start().await.unwrap();
    let whole = found(FeatureSource::within(&client(&sandbox), bbox(NICOSIA))).await;
    sandbox.add_rule(
        Rule::when(|request| request.path.contains("mly_map_feature_point"))
            .times(1)
            .fault(Fault::status(500, "down")),
    );
    let client = builder(&sandbox).max_attempts(1).build().unwrap();
    let items: Vec<_> = FeatureSource::within(&client, bbox(NICOSIA)).stream().collect().await;
    let errors: Vec<_> = items.iter().filter_map(|item| item.as_ref().err()).collect();
    assert_eq!(errors.len(), 1);
    assert!(errors[0].chain().contains("of mly_map_feature_point"), "{}", errors[0].chain());
    assert!(items.len() > 1 && items.len() - 1 < whole.len());
}

#[tokio::test]
async fn a_blocked_address_ends_the_stream_at_once() {
    let sandbox = Sandbox::start().await.unwrap();
    sandbox.add_rule(Rule::on(Host::Tiles).skip(3).fault(Fault::Redirect));
    let items: Vec<_> = FeatureSource::within(&client(&sandbox), bbox(NICOSIA)).stream().collect().await;
    let last = items.last().unwrap().as_ref().unwrap_err();
    assert_eq!(last.kind(), ErrorKind::Blocked);
    assert_eq!(items.iter().filter(|item| item.is_err()).count(), 1);
}

#[tokio::test]
async fn details_come_from_the_api_and_gone_features_are_counted() {
    let sandbox = Sandbox::start().await.unwrap();
    let client = client(&sandbox);
    let listed = found(FeatureSource::within(&client, bbox(NICOSIA))).await;
    let expected = all(&sandbox);
    let gone = listed.iter().filter(|feature| expected[feature.feature_id.as_str()].is_gone()).count();
    let mut flow = Flow::from(FeatureSource::within(&client, bbox(NICOSIA)))
        .then(FetchFeatures::new(&client))
        .on_error(OnError::Skip);
    let mut detailed = Vec::new();
    while let Some(feature) = flow.try_next().await.unwrap() {
        detailed.push(feature);
    }
    assert!(gone > 3 && detailed.len() == listed.len() - gone, "{gone} gone");
    for feature in &detailed {
        let mock = &expected[feature.feature_id.as_str()];
        if mock.has_geometry() {
            assert_eq!(feature.geometry, Some(mock.coordinates()), "in full precision");
        } else {
            let listed = listed.iter().find(|listed| listed.feature_id == feature.feature_id).unwrap();
            assert_eq!(feature.geometry, listed.geometry, "that of the tile");
        }
        let images: Vec<_> = mock.images().map(|image| image.id()).collect();
        assert_eq!(feature.n_images, Some(i32::try_from(images.len()).unwrap()));
        assert_eq!(feature.image_ids.as_ref(), Some(&images));
        let object_type = if mock.is_sign() { "trafficsign" } else { "panoptic" };
        assert_eq!(feature.object_type.as_deref(), Some(object_type));
    }
    assert!(detailed.iter().any(|feature| feature.aligned_direction.is_some()));
    let batches = sandbox.requests_to(Host::Graph).iter().filter(|request| request.ids().len() > 1).count();
    assert_eq!(batches, listed.len().div_ceil(50));
}

#[tokio::test]
async fn a_feature_that_breaks_its_batch_costs_no_other() {
    let sandbox = Sandbox::start().await.unwrap();
    let client = client(&sandbox);
    let listed = found(FeatureSource::within(&client, bbox(NICOSIA))).await;
    let details = || {
        let listed = listed.clone().into_iter().map(Ok);
        Flow::from(futures::stream::iter(listed)).then(FetchFeatures::new(&client)).on_error(OnError::Skip)
    };
    let whole: Vec<_> = details().try_collect().await.unwrap();
    let bad = listed[7].feature_id.to_string();
    sandbox.add_rule(Rule::on(Host::Graph).fault(Fault::BatchFails(bad)));
    let found: Vec<MapFeature> = details().try_collect().await.unwrap();
    assert_eq!(found, whole);
    sandbox.clear_rules();
    let missing = listed[9].feature_id.to_string();
    sandbox.add_rule(Rule::on(Host::Graph).fault(Fault::MissingIds(vec![missing])));
    let found: Vec<MapFeature> = details().try_collect().await.unwrap();
    assert_eq!(found, whole);
}

#[tokio::test]
async fn a_second_run_takes_everything_from_the_response_store() {
    let sandbox = Sandbox::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut runs = Vec::new();
    for _ in 0..2 {
        let store = ResponseStore::open(folder.path(), "a key").unwrap();
        let client = builder(&sandbox).response_store(&store).build().unwrap();
        let flow = Flow::from(FeatureSource::within(&client, bbox(NICOSIA)))
            .then(FetchFeatures::new(&client))
            .on_error(OnError::Skip);
        let found: Vec<MapFeature> = flow.try_collect().await.unwrap();
        runs.push((found, sandbox.requests().len()));
        sandbox.clear_requests();
    }
    assert_eq!(runs[0].0, runs[1].0);
    assert!(runs[0].1 > 10);
    assert_eq!(runs[1].1, 0, "everything is stored");
}
