//! Towns: streets on a slightly crooked grid, and walks along them.

use std::f64::consts::TAU;
use std::sync::Arc;

use streetflow::geo::LonLat;

/// Metres in one degree of latitude.
const DEGREE: f64 = 110_574.0;

/// Scatters two numbers over all 64 bits; the same in gives the same out, on every machine.
pub(super) fn mix(a: u64, b: u64) -> u64 {
    let mut n = a ^ b.wrapping_add(0x9E37_79B9_7F4A_7C15).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    n = (n ^ (n >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    n = (n ^ (n >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    n ^ (n >> 31)
}

/// The same as a number from 0 up to, but not including, 1.
pub(super) fn unit(a: u64, b: u64) -> f64 {
    (mix(a, b) >> 11) as f64 / (1_u64 << 53) as f64
}

/// A town: a centre and a grid of streets around it.
pub(super) struct Town {
    pub(super) name: Arc<str>,
    pub(super) centre: LonLat,
    pub(super) seed: u64,
    /// How many blocks the grid reaches from the centre to each side.
    pub(super) reach: i64,
}

/// A corner of a way, and how many metres from its beginning it lies.
#[derive(Debug, Clone, Copy)]
pub(super) struct Node {
    pub(super) place: LonLat,
    pub(super) at: f64,
}

impl Town {
    /// A way of at least so many metres along the streets, with a turn every few blocks.
    pub(super) fn walk(&self, seed: u64, metres: f64) -> Vec<Node> {
        const WAYS: [(i64, i64); 4] = [(1, 0), (0, 1), (-1, 0), (0, -1)];
        let span = self.reach * 2 + 1;
        let start = |what| (mix(seed, what) % span.unsigned_abs()).cast_signed() - self.reach;
        let mut corner = (start(1), start(2));
        let mut way = mix(seed, 3) as usize % 4;
        let mut nodes = Vec::new();
        for step in 4.. {
            extend(&mut nodes, self.corner(corner));
            if nodes.len() >= 2 && nodes[nodes.len() - 1].at >= metres {
                break;
            }
            let turn = [1, 3, 0, 0, 0, 0][mix(seed, step) as usize % 6];
            let next = |way: usize| (corner.0 + WAYS[way].0, corner.1 + WAYS[way].1);
            let inside = |way: &usize| next(*way).0.abs() <= self.reach && next(*way).1.abs() <= self.reach;
            // At the edge of the town: to a side rather than back.
            way = [turn, 1, 3, 2].map(|turn| (way + turn) % 4).into_iter().find(inside).unwrap_or(way);
            corner = next(way);
        }
        nodes
    }

    fn corner(&self, (column, row): (i64, i64)) -> LonLat {
        let block = 130.0 + 70.0 * unit(self.seed, 1);
        let tilt = TAU * unit(self.seed, 2);
        let here = mix(self.seed, (column * 1_000 + row).cast_unsigned());
        let x = block * (column as f64 + 0.3 * (unit(here, 1) - 0.5));
        let y = block * (row as f64 + 0.3 * (unit(here, 2) - 0.5));
        let (sin, cos) = tilt.sin_cos();
        let lat = self.centre.lat + (x * sin + y * cos) / DEGREE;
        LonLat { lon: self.centre.lon + (x * cos - y * sin) / (DEGREE * shrink(self.centre.lat)), lat }
    }
}

/// Adds a place at the end of a way.
pub(super) fn extend(nodes: &mut Vec<Node>, place: LonLat) {
    let at = nodes.last().map_or(0.0, |last| {
        let (x, y) = metres(last.place, place);
        last.at + x.hypot(y)
    });
    nodes.push(Node { place, at });
}

/// The place so many metres along a way, and the direction there in degrees clockwise from north.
pub(super) fn along(nodes: &[Node], metres_in: f64) -> (LonLat, f64) {
    let next = nodes.partition_point(|node| node.at <= metres_in).clamp(1, nodes.len() - 1);
    let (a, b) = (nodes[next - 1], nodes[next]);
    let part = (metres_in - a.at) / (b.at - a.at).max(0.001);
    let lon = a.place.lon + (b.place.lon - a.place.lon) * part;
    let lat = a.place.lat + (b.place.lat - a.place.lat) * part;
    let (x, y) = metres(a.place, b.place);
    (LonLat { lon, lat }, x.atan2(y).to_degrees().rem_euclid(360.0))
}

/// How far east and north of `a` the place `b` lies, in metres; good for short ways.
fn metres(a: LonLat, b: LonLat) -> (f64, f64) {
    ((b.lon - a.lon) * DEGREE * shrink(a.lat), (b.lat - a.lat) * DEGREE)
}

/// How much shorter a degree of longitude is at this latitude than one of latitude.
fn shrink(lat: f64) -> f64 {
    lat.to_radians().cos()
}
