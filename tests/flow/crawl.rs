//! From boxes to sequences, against the truth of the sandbox's world.

use std::collections::BTreeSet;

use futures::{StreamExt, TryStreamExt};
use streetflow::{Bbox, ErrorKind, OwnerId, Sequence, Source, TileSource};
use streetflow_sandbox::{Fault, Host, MockSequence, Rule, Sandbox, World};

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

fn truth(world: &World, belongs: impl Fn(&MockSequence) -> bool) -> BTreeSet<String> {
    world.sequences().iter().filter(|drive| belongs(drive)).map(|drive| drive.id().to_owned()).collect()
}

fn zooms(sandbox: &Sandbox) -> BTreeSet<u8> {
    let zoom = |path: &str| path.split('/').nth(5).unwrap().parse().unwrap();
    sandbox.requests_to(Host::Tiles).iter().map(|asked| zoom(&asked.path)).collect()
}

#[tokio::test]
async fn exhaustively_every_sequence_of_the_world_is_found_once() {
    let sandbox = Sandbox::start().await.unwrap();
    let sequences = found(TileSource::within(&client(&sandbox), cyprus()).exhaustive()).await;
    assert_eq!(ids(&sequences), truth(sandbox.world(), |_| true));
    assert_eq!(sequences.len(), ids(&sequences).len());
    assert_eq!(zooms(&sandbox), BTreeSet::from([14]));
    assert_eq!(sandbox.requests().len() as u64, cyprus().cover_len(14));
}

#[tokio::test]
async fn an_organisation_and_a_user_are_owners_and_only_their_sequences_count() {
    let sandbox = Sandbox::start().await.unwrap();
    let source = TileSource::within(&client(&sandbox), cyprus()).exhaustive();
    let ours = found(source.clone().owned_by(OwnerId::new(World::ORGANIZATION).unwrap())).await;
    assert_eq!(ids(&ours), truth(sandbox.world(), |drive| drive.organization() == Some(World::ORGANIZATION)));
    assert!(ours.iter().all(|sequence| sequence.org_id.as_ref().unwrap().as_str() == World::ORGANIZATION));
    let theirs = found(source.owned_by(OwnerId::new(World::USER_ID).unwrap())).await;
    assert_eq!(ids(&theirs), truth(sandbox.world(), |drive| drive.creator() == World::USER_ID));
}

#[tokio::test]
async fn without_an_owner_the_column_holds_the_organisation_else_the_creator() {
    let sandbox = Sandbox::start().await.unwrap();
    for sequence in found(TileSource::within(&client(&sandbox), cyprus())).await {
        let drive = sandbox.world().sequence(sequence.seq_id.as_str()).unwrap();
        let owner = drive.organization().unwrap_or(drive.creator());
        assert_eq!(sequence.org_id.unwrap().as_str(), owner, "{}", drive.id());
    }
}

#[tokio::test]
async fn ruling_out_saves_requests_and_loses_only_what_draws_no_line() {
    let sandbox = Sandbox::start().await.unwrap();
    let tally = std::sync::Arc::new(streetflow::Tally::default());
    let client = builder(&sandbox).observer(tally.clone()).build().unwrap();
    let owner = OwnerId::new(World::ORGANIZATION).unwrap();
    let sequences = ids(&found(TileSource::within(&client, cyprus()).owned_by(owner)).await);
    let drawn =
        |drive: &MockSequence| drive.organization() == Some(World::ORGANIZATION) && drive.image_count() > 3;
    assert!(sequences.is_superset(&truth(sandbox.world(), drawn)));
    assert!(
        sequences
            .is_subset(&truth(sandbox.world(), |drive| drive.organization() == Some(World::ORGANIZATION)))
    );
    assert!(tally.pruned_tiles() > 20, "{}", tally.pruned_tiles());
    assert!(
        (sandbox.requests().len() as u64) < cyprus().cover_len(14) / 5,
        "{} requests",
        sandbox.requests().len()
    );
    assert_eq!(zooms(&sandbox), BTreeSet::from([7, 10, 14]), "two scouts, lines, images");
    let mut asked: Vec<_> = sandbox.requests().into_iter().map(|asked| asked.path).collect();
    asked.sort();
    assert!(asked.windows(2).all(|pair| pair[0] != pair[1]), "no tile is asked for twice");
}

#[tokio::test]
async fn a_small_box_goes_straight_to_level_14_and_holds_what_lies_in_it() {
    let sandbox = Sandbox::start().await.unwrap();
    let small: Bbox = "33.355,35.165,33.375,35.180".parse().unwrap();
    let sequences = ids(&found(TileSource::within(&client(&sandbox), small)).await);
    assert_eq!(zooms(&sandbox), BTreeSet::from([14]));
    let world = sandbox.world();
    let inside = truth(world, |drive| world.images_of(drive).any(|shot| small.contains(shot.place())));
    assert!(!inside.is_empty() && sequences.is_superset(&inside), "{:?}", inside.difference(&sequences));
    // What is found besides draws a line through the box: some images lie on either side of an edge, close by.
    let wide: Bbox = "33.345,35.157,33.385,35.188".parse().unwrap();
    let near = truth(world, |drive| world.images_of(drive).any(|shot| wide.contains(shot.place())));
    assert!(sequences.is_subset(&near), "{:?}", sequences.difference(&near));
    assert!(sequences.len() < world.sequences().len());
}

#[tokio::test]
async fn the_order_is_the_same_every_time_however_many_are_asked_at_once() {
    let sandbox = Sandbox::start().await.unwrap();
    let mut orders = Vec::new();
    for concurrency in [1, 64, 7] {
        sandbox.script(
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
async fn below_level_14_only_lines_count() {
    let sandbox = Sandbox::start().await.unwrap();
    let sequences = ids(&found(TileSource::within(&client(&sandbox), cyprus()).zooms(1, 12)).await);
    assert_eq!(sequences, truth(sandbox.world(), |drive| drive.image_count() > 1));
    assert!(zooms(&sandbox).iter().all(|zoom| *zoom <= 12));
}

#[tokio::test]
async fn a_tile_that_fails_is_one_error_and_the_rest_goes_on() {
    let sandbox = Sandbox::start().await.unwrap();
    let whole = found(TileSource::within(&client(&sandbox), cyprus()).exhaustive()).await;
    let tile = streetflow::TileId::containing(
        sandbox.world().images_of(&sandbox.world().sequences()[0]).next().unwrap().place(),
        14,
    );
    sandbox.script(
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
async fn a_block_is_the_last_item_and_ends_the_walk() {
    let sandbox = Sandbox::start().await.unwrap();
    sandbox.script(Rule::on(Host::Tiles).skip(40).fault(Fault::Redirect));
    let items: Vec<_> = TileSource::within(&client(&sandbox), cyprus()).stream().collect().await;
    assert_eq!(items.iter().filter(|item| item.is_err()).count(), 1);
    assert_eq!(items.last().unwrap().as_ref().unwrap_err().kind(), ErrorKind::Blocked);
    assert!(sandbox.requests().len() <= 41 + 32, "only what was under way still arrives");
}
