//! Tile walks: the found sequences compared with the mock data.

use std::collections::BTreeSet;

use futures::{StreamExt, TryStreamExt};
use streetflow::{Bbox, ErrorKind, OwnerId, Sequence, Source, TileSource};
use streetflow_sandbox::{Fault, Host, MockData, MockSequence, Rule, Sandbox};

use crate::support::{builder, client};

const CYPRUS: &str = "32.19,34.52,34.18,35.49";

fn cyprus() -> Bbox {
    CYPRUS.parse().unwrap()
}

async fn found(source: TileSource) -> Vec<Sequence> {
    source.stream().try_collect().await.unwrap()
}

fn ids(sequences: &[Sequence]) -> BTreeSet<String> {
    sequences.iter().map(|sequence| sequence.seq_id.to_string()).collect()
}

fn expected(data: &MockData, belongs: impl Fn(&MockSequence) -> bool) -> BTreeSet<String> {
    data.sequences()
        .iter()
        .filter(|sequence| belongs(sequence))
        .map(|sequence| sequence.id().to_owned())
        .collect()
}

fn zooms(sandbox: &Sandbox) -> BTreeSet<u8> {
    let zoom = |path: &str| path.split('/').nth(5).unwrap().parse().unwrap();
    sandbox.requests_to(Host::Tiles).iter().map(|request| zoom(&request.path)).collect()
}

#[tokio::test]
async fn an_exhaustive_walk_finds_every_sequence_once() {
    let sandbox = Sandbox::start().await.unwrap();
    let sequences = found(TileSource::within(&client(&sandbox), cyprus()).exhaustive()).await;
    assert_eq!(ids(&sequences), expected(sandbox.mock_data(), |_| true));
    assert_eq!(sequences.len(), ids(&sequences).len());
    assert_eq!(zooms(&sandbox), BTreeSet::from([14]));
    assert_eq!(sandbox.requests().len() as u64, cyprus().cover_len(14));
}

#[tokio::test]
async fn an_owner_is_an_organization_or_a_user_and_selects_only_their_sequences() {
    let sandbox = Sandbox::start().await.unwrap();
    let source = TileSource::within(&client(&sandbox), cyprus()).exhaustive();
    let ours = found(source.clone().owned_by(OwnerId::new(MockData::ORGANIZATION).unwrap())).await;
    assert_eq!(
        ids(&ours),
        expected(sandbox.mock_data(), |sequence| sequence.organization() == Some(MockData::ORGANIZATION))
    );
    assert!(ours.iter().all(|sequence| sequence.org_id.as_ref().unwrap().as_str() == MockData::ORGANIZATION));
    let theirs = found(source.owned_by(OwnerId::new(MockData::USER_ID).unwrap())).await;
    assert_eq!(
        ids(&theirs),
        expected(sandbox.mock_data(), |sequence| sequence.creator() == MockData::USER_ID)
    );
}

#[tokio::test]
async fn without_an_owner_the_column_has_the_organization_or_else_the_creator() {
    let sandbox = Sandbox::start().await.unwrap();
    for found in found(TileSource::within(&client(&sandbox), cyprus())).await {
        let sequence = sandbox.mock_data().sequence(found.seq_id.as_str()).unwrap();
        let owner = sequence.organization().unwrap_or(sequence.creator());
        assert_eq!(found.org_id.unwrap().as_str(), owner, "{}", sequence.id());
    }
}

#[tokio::test]
async fn pruning_saves_requests_and_misses_only_sequences_without_a_line() {
    let sandbox = Sandbox::start().await.unwrap();
    let tally = std::sync::Arc::new(streetflow::Tally::default());
    let client = builder(&sandbox).observer(tally.clone()).build().unwrap();
    let owner = OwnerId::new(MockData::ORGANIZATION).unwrap();
    let sequences = ids(&found(TileSource::within(&client, cyprus()).owned_by(owner)).await);
    let drawn = |sequence: &MockSequence| {
        sequence.organization() == Some(MockData::ORGANIZATION) && sequence.image_count() > 3
    };
    assert!(sequences.is_superset(&expected(sandbox.mock_data(), drawn)));
    assert!(
        sequences.is_subset(&expected(sandbox.mock_data(), |sequence| sequence.organization()
            == Some(MockData::ORGANIZATION)))
    );
    assert!(tally.pruned_tiles() > 20, "{}", tally.pruned_tiles());
    assert!(
        (sandbox.requests().len() as u64) < cyprus().cover_len(14) / 5,
        "{} requests",
        sandbox.requests().len()
    );
    assert_eq!(zooms(&sandbox), BTreeSet::from([7, 10, 14]), "two scouts, lines, images");
    let mut requests: Vec<_> = sandbox.requests().into_iter().map(|request| request.path).collect();
    requests.sort();
    assert!(requests.windows(2).all(|pair| pair[0] != pair[1]), "no tile is requested twice");
}

#[tokio::test]
async fn a_small_box_starts_at_zoom_14_and_finds_what_it_contains() {
    let sandbox = Sandbox::start().await.unwrap();
    let small: Bbox = "33.355,35.165,33.375,35.180".parse().unwrap();
    let sequences = ids(&found(TileSource::within(&client(&sandbox), small)).await);
    assert_eq!(zooms(&sandbox), BTreeSet::from([14]));
    let data = sandbox.mock_data();
    let inside =
        expected(data, |sequence| sequence.images().any(|image| small.contains(image.coordinates())));
    assert!(!inside.is_empty() && sequences.is_superset(&inside), "{:?}", inside.difference(&sequences));
    // Other found sequences have a line through the box, with images close to its edge.
    let wide: Bbox = "33.345,35.157,33.385,35.188".parse().unwrap();
    let near = expected(data, |sequence| sequence.images().any(|image| wide.contains(image.coordinates())));
    assert!(sequences.is_subset(&near), "{:?}", sequences.difference(&near));
    assert!(sequences.len() < data.sequences().len());
}

#[tokio::test]
async fn the_order_is_the_same_at_any_concurrency() {
    let sandbox = Sandbox::start().await.unwrap();
    let mut orders = Vec::new();
    for concurrency in [1, 64, 7] {
        sandbox.add_rule(
            Rule::on(Host::Tiles)
                .every_nth(concurrency as u64 + 2)
                .fault(Fault::Delay(std::time::Duration::from_millis(30))),
        );
        let client = builder(&sandbox).concurrency(concurrency).build().unwrap();
        orders.push(found(TileSource::within(&client, cyprus())).await);
    }
    assert!(orders[0] == orders[1] && orders[1] == orders[2]);
}

#[tokio::test]
async fn below_zoom_14_only_lines_count() {
    let sandbox = Sandbox::start().await.unwrap();
    let sequences = ids(&found(TileSource::within(&client(&sandbox), cyprus()).zooms(1, 12)).await);
    assert_eq!(sequences, expected(sandbox.mock_data(), |sequence| sequence.image_count() > 1));
    assert!(zooms(&sandbox).iter().all(|zoom| *zoom <= 12));
}

#[tokio::test]
async fn a_failed_tile_is_one_error_and_the_walk_continues() {
    let sandbox = Sandbox::start().await.unwrap();
    let whole = found(TileSource::within(&client(&sandbox), cyprus()).exhaustive()).await;
    let tile = streetflow::TileId::containing(
        sandbox.mock_data().sequences()[0].images().next().unwrap().coordinates(),
        14,
    );
    sandbox.add_rule(
        Rule::on(Host::Tiles)
            .path(&format!("/maps/vtp/mly1_public/2/{tile}"))
            .fault(Fault::status(200, "\u{1a}\u{7f}")),
    );
    let client = builder(&sandbox).max_attempts(2).build().unwrap();
    let items: Vec<_> = TileSource::within(&client, cyprus()).exhaustive().stream().collect().await;
    let errors: Vec<_> = items.iter().filter_map(|item| item.as_ref().err()).collect();
    assert_eq!(errors.len(), 1);
    assert_eq!(
        (errors[0].kind(), errors[0].subject()),
        (ErrorKind::Malformed, Some(tile.to_string().as_str()))
    );
    assert!(items.len() > whole.len() / 2);
}

#[tokio::test]
async fn a_blocked_tile_host_is_the_last_item_and_ends_the_walk() {
    let sandbox = Sandbox::start().await.unwrap();
    sandbox.add_rule(Rule::on(Host::Tiles).skip(40).fault(Fault::Redirect));
    let items: Vec<_> = TileSource::within(&client(&sandbox), cyprus()).stream().collect().await;
    assert_eq!(items.iter().filter(|item| item.is_err()).count(), 1);
    assert_eq!(items.last().unwrap().as_ref().unwrap_err().kind(), ErrorKind::Blocked);
    assert!(sandbox.requests().len() <= 41 + 32, "only requests in flight still arrive");
}
