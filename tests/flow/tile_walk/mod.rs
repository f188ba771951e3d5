//! How many tiles each kind of walk reads, and what it finds.

mod guarantee;
mod server;
mod tiles;

use std::collections::BTreeSet;

use futures::TryStreamExt;
use streetflow::{OwnerId, Source, TileSource};
use streetflow_sandbox::{Host, Sandbox, World};

use crate::support::client;

const CYPRUS: &str = "32.19,34.52,34.18,35.49";

/// The ids found and the tiles asked for.
async fn walked(sandbox: &Sandbox, source: TileSource) -> (BTreeSet<String>, usize) {
    sandbox.clear_requests();
    let found: Vec<_> = source.stream().try_collect().await.unwrap();
    let ids = found.iter().map(|sequence| sequence.seq_id.to_string()).collect();
    (ids, sandbox.requests_to(Host::Tiles).len())
}

#[tokio::test]
async fn measure() {
    for world in [World::cyprus(), World::of_size(20_000, 3), World::of_size(200_000, 4)] {
        let sandbox = Sandbox::builder().world(world).start().await.unwrap();
        let client = client(&sandbox);
        for owner in [None, Some(World::ORGANIZATION)] {
            let source = TileSource::within(&client, CYPRUS.parse().unwrap());
            let source = match owner {
                Some(owner) => source.owned_by(OwnerId::new(owner).unwrap()),
                None => source,
            };
            let all = walked(&sandbox, source.clone().exhaustive()).await;
            for (name, source) in [
                ("default", source.clone()),
                ("thorough", source.clone().thorough()),
                ("lines only", source.clone().lines_only()),
            ] {
                let (found, tiles) = walked(&sandbox, source).await;
                println!(
                    "{} {owner:?} {name}: {} of {} with {tiles} tiles",
                    sandbox.world().image_count(),
                    found.len(),
                    all.0.len()
                );
            }
        }
    }
}
