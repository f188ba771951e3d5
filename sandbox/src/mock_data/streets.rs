//! Streets: a slightly irregular grid for each city, and paths along its streets.

use std::f64::consts::TAU;
use std::sync::Arc;

use streetflow::geo::LonLat;

use super::hash::{mix, unit};

/// Metres in one degree of latitude.
const METRES_PER_DEGREE: f64 = 110_574.0;

/// A city: a centre and a grid of streets around it.
pub(super) struct City {
    pub(super) name: Arc<str>,
    pub(super) centre: LonLat,
    pub(super) seed: u64,
    /// Number of blocks from the centre to each side of the grid.
    pub(super) reach: i64,
}

/// A corner of a path, and its distance from the start of the path in metres.
#[derive(Debug, Clone, Copy)]
pub(super) struct Node {
    pub(super) at: LonLat,
    pub(super) metres: f64,
}

impl City {
    /// Returns a path of at least this many metres along the streets, with a turn every few blocks.
    pub(super) fn random_path(&self, seed: u64, metres: f64) -> Vec<Node> {
        const DIRECTIONS: [(i64, i64); 4] = [(1, 0), (0, 1), (-1, 0), (0, -1)];
        let span = self.reach * 2 + 1;
        let start = |salt| (mix(seed, salt) % span.unsigned_abs()).cast_signed() - self.reach;
        let mut corner = (start(1), start(2));
        let mut direction = mix(seed, 3) as usize % 4;
        let mut path = Vec::new();
        for step in 4.. {
            extend(&mut path, self.corner(corner));
            if path.len() >= 2 && path[path.len() - 1].metres >= metres {
                break;
            }
            let turn = [1, 3, 0, 0, 0, 0][mix(seed, step) as usize % 6];
            let next = |to: usize| (corner.0 + DIRECTIONS[to].0, corner.1 + DIRECTIONS[to].1);
            let inside = |to: &usize| next(*to).0.abs() <= self.reach && next(*to).1.abs() <= self.reach;
            // At the edge of the city, prefer a turn to a U-turn.
            let choices = [turn, 1, 3, 2].map(|turn| (direction + turn) % 4);
            direction = choices.into_iter().find(inside).unwrap_or(direction);
            corner = next(direction);
        }
        path
    }

    fn corner(&self, (column, row): (i64, i64)) -> LonLat {
        let block = 130.0 + 70.0 * unit(self.seed, 1);
        let tilt = TAU * unit(self.seed, 2);
        let here = mix(self.seed, (column * 1_000 + row).cast_unsigned());
        let x = block * (column as f64 + 0.3 * (unit(here, 1) - 0.5));
        let y = block * (row as f64 + 0.3 * (unit(here, 2) - 0.5));
        let (sin, cos) = tilt.sin_cos();
        let lat = self.centre.lat + (x * sin + y * cos) / METRES_PER_DEGREE;
        let lon = self.centre.lon + (x * cos - y * sin) / (METRES_PER_DEGREE * lon_scale(self.centre.lat));
        LonLat { lon, lat }
    }
}

/// Appends a corner to a path.
pub(super) fn extend(path: &mut Vec<Node>, at: LonLat) {
    let metres = path.last().map_or(0.0, |last| {
        let (x, y) = offset(last.at, at);
        last.metres + x.hypot(y)
    });
    path.push(Node { at, metres });
}

/// Returns the coordinates this many metres along a path, and the heading there in degrees clockwise from north.
pub(super) fn along(path: &[Node], metres: f64) -> (LonLat, f64) {
    let next = path.partition_point(|node| node.metres <= metres).clamp(1, path.len() - 1);
    let (a, b) = (path[next - 1], path[next]);
    let part = (metres - a.metres) / (b.metres - a.metres).max(0.001);
    let lon = a.at.lon + (b.at.lon - a.at.lon) * part;
    let lat = a.at.lat + (b.at.lat - a.at.lat) * part;
    let (x, y) = offset(a.at, b.at);
    (LonLat { lon, lat }, x.atan2(y).to_degrees().rem_euclid(360.0))
}

/// Returns how many metres `b` lies east and north of `a`. Accurate for short distances.
fn offset(a: LonLat, b: LonLat) -> (f64, f64) {
    ((b.lon - a.lon) * METRES_PER_DEGREE * lon_scale(a.lat), (b.lat - a.lat) * METRES_PER_DEGREE)
}

/// Returns the length of a degree of longitude at this latitude, relative to a degree of latitude.
fn lon_scale(lat: f64) -> f64 {
    lat.to_radians().cos()
}
