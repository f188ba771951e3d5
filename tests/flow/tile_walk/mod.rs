//! How many tiles each kind of walk reads, what it finds, and how soon.

mod guarantee;
mod progress;
mod server;
mod short_lines;
mod tiles;

use std::collections::BTreeSet;

use futures::{StreamExt, TryStreamExt};
use streetflow::{ListImages, OwnerId, RateLimit, Source, Stage, TileSource};
use streetflow_sandbox::{Host, MockData, Sandbox};

use crate::support::{builder, client};

const CYPRUS: &str = "32.19,34.52,34.18,35.49";

/// What the walk read before it skipped levels 11 to 13: counted at commit b97c9af.
const THOROUGH: usize = 292;

fn cyprus(client: &streetflow::Client) -> TileSource {
    TileSource::within(client, CYPRUS.parse().unwrap())
}

fn ours(source: TileSource) -> TileSource {
    source.owned_by(OwnerId::new(MockData::ORGANIZATION).unwrap())
}

/// The ids found and the number of tiles requested.
async fn walked(sandbox: &Sandbox, source: TileSource) -> (BTreeSet<String>, usize) {
    sandbox.clear_requests();
    let found: Vec<_> = source.stream().try_collect().await.unwrap();
    let ids = found.iter().map(|sequence| sequence.seq_id.to_string()).collect();
    (ids, sandbox.requests_to(Host::Tiles).len())
}

#[tokio::test]
async fn the_default_walk_reads_a_third_of_the_tiles_and_finds_as_much() {
    let sandbox = Sandbox::start().await.unwrap();
    let client = client(&sandbox);
    let (thorough, tiles) = walked(&sandbox, cyprus(&client).thorough()).await;
    assert_eq!(tiles, THOROUGH);
    let (found, tiles) = walked(&sandbox, cyprus(&client)).await;
    assert_eq!(found, thorough);
    assert!(tiles * 3 <= THOROUGH, "{tiles} tiles");
    let (found, tiles) = walked(&sandbox, ours(cyprus(&client))).await;
    assert_eq!(found.len(), 26, "all of this organisation");
    assert!(tiles <= 130, "{tiles} tiles");
}

#[tokio::test]
async fn lines_alone_take_one_level_and_find_what_draws_a_line() {
    let sandbox = Sandbox::start().await.unwrap();
    let client = client(&sandbox);
    let (found, tiles) = walked(&sandbox, cyprus(&client).lines_only()).await;
    let drawn = sandbox.mock_data().sequences().iter().filter(|sequence| sequence.image_count() > 1);
    assert_eq!(found, drawn.map(|sequence| sequence.id().to_owned()).collect());
    assert!(tiles <= 40, "{tiles} tiles");
}

#[tokio::test]
async fn a_dense_world_costs_the_tiles_that_hold_its_images() {
    let sandbox = Sandbox::builder().mock_data(MockData::with_image_count(50_000, 3)).start().await.unwrap();
    let client = client(&sandbox);
    let data = sandbox.mock_data();
    let images = data.sequences().iter().flat_map(|sequence| sequence.images());
    let hold: BTreeSet<_> =
        images.map(|image| streetflow::TileId::containing(image.coordinates(), 14).to_string()).collect();
    let (found, tiles) = walked(&sandbox, cyprus(&client)).await;
    assert_eq!(found.len(), data.sequences().len());
    // The cover of level 10, two scouts, and a few that only the margin touches.
    assert!(tiles <= hold.len() + 37 + hold.len() / 10, "{tiles} tiles for {}", hold.len());
}

#[tokio::test]
async fn the_first_images_are_listed_after_a_few_tiles_at_any_pace() {
    for rate in [None, Some(RateLimit::per_minute(1200.0).burst(20).jittered())] {
        for concurrency in [1, 64] {
            let sandbox = Sandbox::start().await.unwrap();
            let builder = builder(&sandbox).concurrency(concurrency);
            let builder = match rate {
                Some(rate) => builder.tile_rate_limit(rate),
                None => builder,
            };
            let client = builder.build().unwrap();
            let mut images = ListImages::new(&client).apply(ours(cyprus(&client)).stream());
            images.next().await.unwrap().unwrap();
            let requests = sandbox.requests();
            let first = requests.iter().position(|request| request.host == Host::Graph).unwrap();
            let tiles = requests[..first].iter().filter(|request| request.host == Host::Tiles).count();
            assert!(tiles <= 12, "{tiles} tiles at {rate:?}, {concurrency} at once");
        }
    }
}

#[tokio::test]
async fn a_tile_is_chosen_when_its_turn_comes() {
    let sandbox = Sandbox::start().await.unwrap();
    let client = builder(&sandbox)
        .tile_rate_limit(RateLimit::per_minute(3000.0).burst(1))
        .concurrency(64)
        .build()
        .unwrap();
    let (_, tiles) = walked(&sandbox, ours(cyprus(&client))).await;
    let zooms: Vec<u8> = sandbox
        .requests_to(Host::Tiles)
        .iter()
        .map(|request| request.path.split('/').nth(5).unwrap().parse().unwrap())
        .collect();
    // What a tile of level 10 shows is read before the next one is opened, but for one or two in flight.
    let opened_early = zooms.windows(4).filter(|four| four.iter().all(|zoom| *zoom == 10)).count();
    let last_image = zooms.iter().rposition(|zoom| *zoom == 14).unwrap();
    let before = zooms[..last_image].iter().filter(|zoom| **zoom == 10).count();
    assert!(before <= 14, "{before} of {tiles}: tiles without lines come last: {zooms:?}");
    assert!(opened_early <= tiles - last_image + 1, "{zooms:?}");
}
