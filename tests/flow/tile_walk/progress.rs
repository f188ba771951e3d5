//! The forecast of a walk: how many tiles it will read.

use std::sync::{Arc, Mutex};

use futures::TryStreamExt;
use streetflow::{Event, OwnerId, Source, TileSource};
use streetflow_sandbox::{Host, MockData, Sandbox};

use crate::support::builder;

/// The forecasts of a walk: the bounds before the first tile, then tiles read and expected.
#[derive(Default)]
struct Forecasts {
    bounds: Option<(u64, u64)>,
    expected: Vec<(u64, u64)>,
}

async fn record_forecasts(sandbox: &Sandbox, walk: impl Fn(TileSource) -> TileSource) -> (Forecasts, u64) {
    let forecasts = Arc::new(Mutex::new(Forecasts::default()));
    let observer = Arc::clone(&forecasts);
    let client = builder(sandbox)
        .observer(Arc::new(move |event: &Event<'_>| {
            let mut forecasts = observer.lock().unwrap();
            match event {
                Event::TilesPlanned { min, max } => forecasts.bounds = Some((*min, *max)),
                Event::TilesExpected { read, expected } => forecasts.expected.push((*read, *expected)),
                _ => {}
            }
        }))
        .build()
        .unwrap();
    sandbox.clear_requests();
    let source = TileSource::within(&client, "32.19,34.52,34.18,35.49".parse().unwrap());
    let _: Vec<_> = walk(source).stream().try_collect().await.unwrap();
    let forecasts = std::mem::take(&mut *forecasts.lock().unwrap());
    (forecasts, sandbox.requests_to(Host::Tiles).len() as u64)
}

#[tokio::test]
async fn the_forecast_is_within_a_factor_of_two_after_a_third_of_the_tiles() {
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
            let (forecasts, tiles) = record_forecasts(&sandbox, walk).await;
            let (min, max) = forecasts.bounds.unwrap();
            assert!((min..=max).contains(&tiles), "{name}: {tiles} of {min} to {max}");
            assert_eq!(forecasts.expected.last(), Some(&(tiles, tiles)), "{name}");
            for (read, expected) in forecasts.expected {
                let (left, actual) = (expected - read, tiles - read);
                // A difference of a few tiles is fine.
                let is_close = left <= actual * 2 + 5 && actual <= left * 2 + 5;
                // A thorough walk has no scouts: its forecast assumes that the rest of the area is like the part read.
                let is_rough = name == "thorough";
                assert!(
                    read * 3 < tiles || is_close || is_rough,
                    "{name}: {left} left at {read}, really {actual}"
                );
            }
        }
    }
}
