//! Data with many short sequences: found sequences and tiles of each kind of walk.

use std::time::Duration;

use futures::TryStreamExt;
use streetflow::{Bbox, LonLat, Source, TileSource};

use super::server::Server;
use super::tiles::{Line, Maker, lonlat, mercator};

/// Returns sequences of 1 to 12 images, 5 m apart, in villages. Most are shorter than the stated length.
fn short_lines(random: &mut fastrand::Rng, bbox: Bbox, villages: usize, count: usize) -> Vec<Line> {
    let place = |random: &mut fastrand::Rng| LonLat {
        lon: bbox.west() + (bbox.east() - bbox.west()) * random.f64(),
        lat: bbox.south() + (bbox.north() - bbox.south()) * random.f64(),
    };
    let centres: Vec<_> = (0..villages).map(|_| place(random)).collect();
    let line = |number: usize| {
        let centre = centres[random.usize(..villages)];
        let (x, y) = mercator(centre);
        let metre = 1.0 / (40_075_016.7 * centre.lat.to_radians().cos());
        let spread = 800.0 * metre;
        let (x, y) = (x + (random.f64() - 0.5) * spread, y + (random.f64() - 0.5) * spread);
        let (sin, cos) = (random.f64() * 6.3).sin_cos();
        let points = (0..=random.u8(..12)).map(|image| {
            let away = f64::from(image) * 5.0 * metre;
            lonlat((x + away * cos, y + away * sin))
        });
        let (owner, captured_at, is_pano) = (70_000, 1_704_067_200_000, false);
        Line { id: format!("short-{number}"), owner, captured_at, is_pano, points: points.collect() }
    };
    (0..count).map(line).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn more_thorough_walks_find_more_with_more_tiles() {
    let bbox: Bbox = "33.0,34.8,33.6,35.3".parse().unwrap();
    for (villages, count) in [(20, 400), (120, 400)] {
        let mut random = fastrand::Rng::with_seed(9);
        let lines = short_lines(&mut random, bbox, villages, count);
        // Zoom 10 omits lines below two units, which is 16 m here.
        let maker = Maker { tolerance: 1.0, lost: 2.0, lost_above: 4.0 };
        let server = Server::start(lines, maker, Duration::ZERO).await;
        let client = server.client(16);
        let source = TileSource::within(&client, bbox);
        let mut results = Vec::new();
        for (name, source) in [
            ("lines only", source.clone().lines_only()),
            ("default", source.clone()),
            ("thorough", source.clone().thorough()),
            ("exhaustive", source.clone().exhaustive()),
        ] {
            let found: Vec<_> = source.stream().try_collect().await.unwrap();
            results.push((name, found.len(), server.take_requests().len()));
        }
        assert!(results.windows(2).all(|pair| pair[0].1 <= pair[1].1), "{results:?}");
        assert!(results.windows(2).all(|pair| pair[0].2 <= pair[1].2), "{results:?}");
        assert!(results[1].1 * 10 >= count * 9, "at least 90 % by default: {results:?}");
        assert!(results[3].1 * 100 >= count * 98, "all except those outside: {results:?}");
    }
}
