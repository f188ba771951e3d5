//! A walk tells how many tiles it will read, and is about right.

use std::sync::{Arc, Mutex};

use futures::TryStreamExt;
use streetflow::{Event, OwnerId, Source, TileSource};
use streetflow_sandbox::{Host, MockData, Sandbox};

use crate::support::builder;

/// What a walk told: the bounds before the first tile, then tiles read and expected.
#[derive(Default)]
struct Told {
    bounds: Option<(u64, u64)>,
    expected: Vec<(u64, u64)>,
}

async fn told(sandbox: &Sandbox, walk: impl Fn(TileSource) -> TileSource) -> (Told, u64) {
    let told = Arc::new(Mutex::new(Told::default()));
    let observer = Arc::clone(&told);
    let client = builder(sandbox)
        .observer(Arc::new(move |event: &Event<'_>| {
            let mut told = observer.lock().unwrap();
            match event {
                Event::TilesPlanned { min, max } => told.bounds = Some((*min, *max)),
                Event::TilesExpected { read, expected } => told.expected.push((*read, *expected)),
                _ => {}
            }
        }))
        .build()
        .unwrap();
    sandbox.clear_requests();
    let source = TileSource::within(&client, "32.19,34.52,34.18,35.49".parse().unwrap());
    let _: Vec<_> = walk(source).stream().try_collect().await.unwrap();
    let told = std::mem::take(&mut *told.lock().unwrap());
    (told, sandbox.requests_to(Host::Tiles).len() as u64)
}

#[tokio::test]
async fn what_is_left_is_right_within_a_factor_of_two_from_a_third_on() {
    let owner = || OwnerId::new(MockData::ORGANIZATION).unwrap();
    for data in
        [MockData::cyprus(), MockData::with_image_count(30_000, 5), MockData::with_image_count(150_000, 6)]
    {
        let sandbox = Sandbox::builder().mock_data(data).start().await.unwrap();
        let kinds: [(&str, &dyn Fn(TileSource) -> TileSource); 5] = [
            ("all", &|source| source),
            ("of one owner", &|source| source.owned_by(owner())),
            ("lines only", &|source| source.lines_only()),
            ("thorough", &|source| source.thorough()),
            ("to level 12", &|source| source.zooms(1, 12)),
        ];
        for (name, walk) in kinds {
            let (told, tiles) = told(&sandbox, walk).await;
            let (min, max) = told.bounds.unwrap();
            assert!((min..=max).contains(&tiles), "{name}: {tiles} of {min} to {max}");
            assert_eq!(told.expected.last(), Some(&(tiles, tiles)), "{name}");
            for (read, expected) in told.expected {
                let (left, real) = (expected - read, tiles - read);
                let is_close = left <= real * 2 + 5 && real <= left * 2 + 5;
                // A thorough walk has no scouts, and its estimate follows the tiles read so far.
                let is_rough = name == "thorough";
                assert!(
                    read * 3 < tiles || is_close || is_rough,
                    "{name}: {left} left at {read}, really {real}"
                );
            }
        }
    }
}
