//! A walk finds every sequence with a line longer than the stated length in the area, however tiles simplify lines.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::TryStreamExt;
use streetflow::geo::Area;
use streetflow::stages::Dates;
use streetflow::{Bbox, LonLat, OwnerId, Source, TileId, TileSource};

use super::server::Server;
use super::tiles::{Line, Maker, lonlat, mercator};

const DAY: i64 = 86_400_000;
const OWNER: u64 = 70_000;
/// 2024-01-01 in milliseconds.
const NEW_YEAR: i64 = 1_704_067_200_000;

type Rng = fastrand::Rng;

/// Returns a random line that starts at a point, mostly straight with random turns.
fn line(random: &mut Rng, number: usize, at: LonLat) -> Line {
    let metre = 1.0 / (40_075_016.7 * at.lat.to_radians().cos());
    let length = [0.0, 3.0, 15.0, 35.0, 60.0, 150.0, 600.0, 5000.0][random.usize(..8)] * (0.5 + random.f64());
    let (mut x, mut y) = mercator(at);
    let mut heading = random.f64() * std::f64::consts::TAU;
    let mut points = vec![at];
    let mut left = length;
    while left > 0.0 {
        heading += if random.u8(..5) == 0 { random.f64() * 4.0 - 2.0 } else { random.f64() * 0.4 - 0.2 };
        let step = (2.0 + 10.0 * random.f64()).min(left);
        left -= step;
        (x, y) = (x + heading.cos() * step * metre, y + heading.sin() * step * metre);
        points.push(lonlat((x.rem_euclid(1.0), y)));
    }
    // Tiles split lines at the antimeridian; this line ends there.
    if let Some(jump) = points.windows(2).position(|pair| (pair[0].lon - pair[1].lon).abs() > 90.0) {
        points.truncate(jump + 1);
    }
    Line {
        id: format!("line-{number}"),
        owner: if random.bool() { OWNER } else { 80_000 + random.u64(..3) },
        captured_at: NEW_YEAR + random.i64(-200..200) * DAY,
        is_pano: random.u8(..3) == 0,
        points,
    }
}

/// Returns a line along an edge of a box, up to two units of zoom 10 outside of it. A part of it crosses the edge, by
/// more than the rounding of zoom 14.
fn line_along_edge(random: &mut Rng, number: usize, bbox: Bbox) -> Line {
    let unit = 1.0 / 1024.0 / 4096.0;
    let at = LonLat { lon: bbox.west(), lat: bbox.south() + (bbox.north() - bbox.south()) * random.f64() };
    let (x, y) = mercator(at);
    let (beside, over) = (random.f64() * 2.0, 0.2 + random.f64() * 2.5);
    let (first, last) = (random.u8(2..9), random.u8(12..20));
    let points = (0..24).map(|step| {
        let away = if (first..last).contains(&step) { over } else { -beside };
        lonlat((x + away * unit, y + f64::from(step) * unit))
    });
    Line { points: points.collect(), ..line(random, number, at) }
}

/// Returns whether a continuous part of the line in the area spans this many metres, east-west or north-south.
fn is_long(line: &Line, area: &Area, metres: f64) -> bool {
    let mut inside: Option<(LonLat, LonLat)> = None;
    for pair in line.points.windows(2) {
        for part in 0..=40 {
            let part = f64::from(part) / 40.0;
            let at = LonLat {
                lon: pair[0].lon + (pair[1].lon - pair[0].lon) * part,
                lat: pair[0].lat + (pair[1].lat - pair[0].lat) * part,
            };
            if !area.contains(at) {
                inside = None;
                continue;
            }
            let (min, max) = inside.unwrap_or((at, at));
            let min = LonLat { lon: min.lon.min(at.lon), lat: min.lat.min(at.lat) };
            let max = LonLat { lon: max.lon.max(at.lon), lat: max.lat.max(at.lat) };
            let width = min.metres_to(LonLat { lon: max.lon, ..min });
            let height = min.metres_to(LonLat { lat: max.lat, ..min });
            // The Earth radius of `metres_to` is half a percent smaller than that of the tiles.
            if width.max(height) > metres * 1.01 {
                return true;
            }
            inside = Some((min, max));
        }
    }
    false
}

struct Case {
    area: Area,
    lines: Vec<Line>,
    /// Whether the area is small enough to read all tiles of zoom 14.
    is_small: bool,
}

fn case(random: &mut Rng, seed: usize) -> Case {
    let centre = match seed % 4 {
        0 => LonLat { lon: 33.36, lat: 35.17 },
        1 => LonLat { lon: 180.0, lat: -17.0 + random.f64() },
        2 => LonLat { lon: random.f64() * 300.0 - 150.0, lat: random.f64() * 130.0 - 60.0 },
        _ => LonLat { lon: random.f64() * 10.0, lat: random.f64() * 2.0 - 1.0 },
    };
    let half = [0.01, 0.1, 0.25, 0.45, 2.5][random.usize(..5)] * (0.6 + 0.4 * random.f64());
    let tall = half * centre.lat.to_radians().cos();
    let wrapped = |lon: f64| (lon + 540.0).rem_euclid(360.0) - 180.0;
    let mut edge = None;
    let area = if random.bool() {
        let (mut west, east) = (wrapped(centre.lon - half), wrapped(centre.lon + half));
        if half > 0.05 && random.bool() {
            // On the edge of a tile of zoom 14 that is not an edge of a coarser tile.
            let tile = TileId::containing(LonLat { lon: west, ..centre }, 14);
            west = TileId { x: tile.x | 1, ..tile }.lonlat(0.0, 0.0, 1.0).lon;
        }
        let bbox = Bbox::new(west, centre.lat - tall, east, centre.lat + tall).unwrap();
        edge = Some(bbox);
        Area::from(bbox)
    } else {
        // An irregular star, with longitudes beyond 180 degrees.
        let corners = 5 + random.usize(..12);
        let corner = |number: usize, random: &mut Rng| {
            let turn = f64::from(u32::try_from(number % corners).unwrap()) * std::f64::consts::TAU
                / f64::from(u32::try_from(corners).unwrap());
            let far = 0.3 + 0.7 * random.f64();
            [centre.lon + half * far * turn.cos(), centre.lat + tall * far * turn.sin()]
        };
        let mut ring: Vec<_> = (0..corners).map(|number| corner(number, random)).collect();
        ring.push(ring[0]);
        let json = serde_json::json!({ "type": "Polygon", "coordinates": [ring] });
        Area::from_geojson(&json.to_string()).unwrap()
    };
    let count = [3, 20, 150][random.usize(..3)];
    let mut lines = Vec::new();
    if let Some(bbox) = edge {
        lines.extend((0..count / 3).map(|number| line_along_edge(random, number, bbox)));
    }
    while lines.len() < count {
        // Many of them near the border of the area.
        let far = if random.bool() { 1.05 } else { 0.3 };
        let lon = wrapped(centre.lon + half * far * (random.f64() * 2.0 - 1.0));
        let lat = centre.lat + tall * far * (random.f64() * 2.0 - 1.0);
        lines.push(line(random, lines.len(), LonLat { lon, lat }));
    }
    Case { area, lines, is_small: half < 0.3 }
}

async fn found(source: TileSource) -> Vec<String> {
    let found: Vec<_> = source.stream().try_collect().await.unwrap();
    let ids: Vec<_> = found.into_iter().map(|sequence| sequence.seq_id.to_string()).collect();
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len(), "no duplicates");
    ids
}

#[tokio::test(flavor = "multi_thread")]
async fn every_long_line_is_found_and_nothing_else() {
    let (mut sure, mut all, mut tiles) = (0, 0, [0; 2]);
    for seed in 0..std::env::var("SEEDS").map_or(48, |seeds| seeds.parse().unwrap()) {
        let mut random = Rng::with_seed(seed);
        let case = case(&mut random, usize::try_from(seed).unwrap());
        let maker = Maker {
            tolerance: [0.0, 1.0, 4.0][random.usize(..3)],
            lost: [0.0, 1.0, 4.0][random.usize(..3)],
            lost_above: [1.0, 4.0, 60.0][random.usize(..3)],
        };
        let server = Server::start(case.lines.clone(), maker, Duration::ZERO).await;
        let client = server.client(16);
        let source = TileSource::inside(&client, case.area.clone());
        let (by_owner, by_date, by_kind) = (random.bool(), random.bool(), random.u8(..4) == 0);
        let dates = Dates::new(Some(NEW_YEAR - 60 * DAY), Some(NEW_YEAR + 60 * DAY)).unwrap();
        let source = if by_owner { source.owned_by(OwnerId::new("70000").unwrap()) } else { source };
        let source = if by_date { source.captured(dates) } else { source };
        let source = if by_kind { source.panoramas(true) } else { source };
        let matches = |line: &Line| {
            let away = (line.captured_at - NEW_YEAR).abs();
            (!by_owner || line.owner == OWNER) && (!by_date || away <= 60 * DAY) && (!by_kind || line.is_pano)
        };
        let context = format!("seed {seed}, {maker:?}, {}", case.area);
        let found_ids = found(source.clone()).await;
        let requested = server.take_requests().len();
        let length = source.sure_length();
        for line in case.lines.iter().filter(|line| matches(line) && is_long(line, &case.area, length)) {
            assert!(found_ids.contains(&line.id), "{context}: {} is not found", line.id);
            sure += 1;
        }
        for id in &found_ids {
            let line = case.lines.iter().find(|line| line.id == *id).unwrap();
            let is_near = (line.captured_at - NEW_YEAR).abs() <= 61 * DAY;
            let fits = (!by_owner || line.owner == OWNER) && (!by_date || is_near);
            assert!(fits && (!by_kind || line.is_pano), "{context}: {line:?}");
        }
        if case.is_small {
            // Brute force: the content of all tiles of zoom 14.
            let expected: BTreeSet<_> = found(source.exhaustive()).await.into_iter().collect();
            tiles = [tiles[0] + requested, tiles[1] + server.take_requests().len()];
            all += expected.len();
            let unexpected: Vec<_> = found_ids.iter().filter(|id| !expected.contains(*id)).collect();
            assert!(unexpected.is_empty(), "{context}: {unexpected:?}");
        }
    }
    assert!(sure > 500 && all > 500, "{sure} sure, {all} in all");
    assert!(tiles[0] * 3 < tiles[1], "{tiles:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_order_does_not_depend_on_response_times() {
    let maker = Maker { tolerance: 1.0, lost: 0.0, lost_above: 4.0 };
    for seed in [2, 5, 7, 11] {
        let mut random = Rng::with_seed(seed);
        let case = case(&mut random, usize::try_from(seed).unwrap());
        let mut orders = Vec::new();
        for (concurrency, latency) in [(1, 0), (3, 2), (64, 8), (64, 0)] {
            let server = Server::start(case.lines.clone(), maker, Duration::from_millis(latency)).await;
            orders.push(found(TileSource::inside(&server.client(concurrency), case.area.clone())).await);
        }
        assert!(orders.windows(2).all(|pair| pair[0] == pair[1]), "seed {seed}: {orders:?}");
    }
}
