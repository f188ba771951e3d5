//! Tile walks: number of tiles, found sequences, and time to the first result.

mod guarantee;
mod progress;
mod server;
mod short_lines;
mod tiles;

use std::collections::BTreeSet;

use futures::{StreamExt, TryStreamExt};
use streetflow::{ListImages, OwnerId, RateLimit, Source, Stage, TileSource};
use streetflow_sandbox::{Host, MockData, MockSequence, Sandbox};

use crate::support::{builder, client};

const CYPRUS: &str = "32.19,34.52,34.18,35.49";

/// Tiles of a walk that does not skip zooms 11 to 13, counted at commit b97c9af.
const THOROUGH: usize = 292;

fn cyprus(client: &streetflow::Client) -> TileSource {
    TileSource::within(client, CYPRUS.parse().unwrap())
}

fn found_ids(source: TileSource) -> TileSource {
    source.owned_by(OwnerId::new(MockData::ORGANIZATION).unwrap())
}

/// Returns the found ids and the number of requested tiles.
async fn walked(sandbox: &Sandbox, source: TileSource) -> (BTreeSet<String>, usize) {
    sandbox.clear_requests();
    let found: Vec<_> = source.stream().try_collect().await.unwrap();
    let ids = found.iter().map(|sequence| sequence.seq_id.to_string()).collect();
    (ids, sandbox.requests_to(Host::Tiles).len())
}

#[tokio::test]
async fn the_default_walk_reads_a_third_of_the_tiles_and_finds_the_same() {
    let sandbox = Sandbox::start().await.unwrap();
    let client = client(&sandbox);
    let (thorough, tiles) = walked(&sandbox, cyprus(&client).thorough()).await;
    assert_eq!(tiles, THOROUGH);
    let (found, tiles) = walked(&sandbox, cyprus(&client)).await;
    assert_eq!(found, thorough);
    assert!(tiles * 3 <= THOROUGH, "{tiles} tiles");
    let (found, tiles) = walked(&sandbox, found_ids(cyprus(&client))).await;
    assert_eq!(found.len(), 26, "all sequences of the organization");
    assert!(tiles <= 130, "{tiles} tiles");
}

#[tokio::test]
async fn a_walk_by_lines_reads_one_zoom_and_finds_sequences_with_a_line() {
    let sandbox = Sandbox::start().await.unwrap();
    let client = client(&sandbox);
    let (found, tiles) = walked(&sandbox, cyprus(&client).lines_only()).await;
    let drawn = sandbox.mock_data().sequences().iter().filter(|sequence| sequence.image_count() > 1);
    assert_eq!(found, drawn.map(|sequence| sequence.id().to_owned()).collect());
    assert!(tiles <= 40, "{tiles} tiles");
}

#[tokio::test]
async fn dense_data_needs_only_the_tiles_with_images() {
    let sandbox = Sandbox::builder().mock_data(MockData::with_image_count(50_000, 3)).start().await.unwrap();
    let client = client(&sandbox);
    let data = sandbox.mock_data();
    let images = data.sequences().iter().flat_map(MockSequence::images);
    let hold: BTreeSet<_> =
        images.map(|image| streetflow::TileId::containing(image.coordinates(), 14).to_string()).collect();
    let (found, tiles) = walked(&sandbox, cyprus(&client)).await;
    assert_eq!(found.len(), data.sequences().len());
    // The cover at zoom 10, two probes, and a few tiles that only the margin touches.
    assert!(tiles <= hold.len() + 37 + hold.len() / 10, "{tiles} tiles for {}", hold.len());
}

#[tokio::test]
async fn the_first_images_are_listed_after_a_few_tiles_at_any_rate() {
    for rate in [None, Some(RateLimit::per_minute(1200.0).burst(20).jittered())] {
        for concurrency in [1, 64] {
            let sandbox = Sandbox::start().await.unwrap();
            let builder = builder(&sandbox).concurrency(concurrency);
            let builder = match rate {
                Some(rate) => builder.tile_rate_limit(rate),
                None => builder,
            };
            let client = builder.build().unwrap();
            let mut images = ListImages::new(&client).apply(found_ids(cyprus(&client)).stream());
            images.next().await.unwrap().unwrap();
            let requests = sandbox.requests();
            let first = requests.iter().position(|request| request.host == Host::Graph).unwrap();
            let tiles = requests[..first].iter().filter(|request| request.host == Host::Tiles).count();
            assert!(tiles <= 12, "{tiles} tiles at {rate:?}, {concurrency} at once");
        }
    }
}

#[tokio::test]
async fn the_next_tile_is_chosen_at_the_time_of_its_request() {
    let sandbox = Sandbox::start().await.unwrap();
    let client = builder(&sandbox)
        .tile_rate_limit(RateLimit::per_minute(3000.0).burst(1))
        .concurrency(64)
        .build()
        .unwrap();
    let (_, tiles) = walked(&sandbox, found_ids(cyprus(&client))).await;
    let zooms: Vec<u32> = sandbox
        .requests_to(Host::Tiles)
        .iter()
        .map(|request| request.path.split('/').nth(5).unwrap().parse().unwrap())
        .collect();
    // The tiles below a tile of zoom 10 are read before the next one is opened, except for one or two in flight.
    let opened_early = zooms.windows(4).filter(|four| four.iter().all(|zoom| *zoom == 10)).count();
    let last_image = zooms.iter().rposition(|zoom| *zoom == 14).unwrap();
    let before = zooms[..last_image].iter().filter(|zoom| **zoom == 10).count();
    assert!(before <= 14, "{before} of {tiles}: tiles without lines come last: {zooms:?}");
    assert!(opened_early <= tiles - last_image + 1, "{zooms:?}");
}
