//! Vector tiles of synthetic sequences, with the simplifications that a tile generator can apply.

use std::f64::consts::PI;

use streetflow::{LonLat, TileId};

/// A sequence: an image at each point.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    pub(crate) id: String,
    pub(crate) owner: u64,
    pub(crate) captured_at: i64,
    pub(crate) is_pano: bool,
    pub(crate) points: Vec<LonLat>,
}

/// The simplification of lines at zooms below 14, in units of 1/4096 of the side of a tile.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Maker {
    /// Points nearer to the simplified line are dropped.
    pub(crate) tolerance: f64,
    /// Lines with a smaller span are omitted: at zooms from 10, and at zooms below 10.
    pub(crate) lost: f64,
    pub(crate) lost_above: f64,
}

type Point = (f64, f64);

/// Returns Web Mercator coordinates in the unit square, with y pointing south.
pub(crate) fn mercator(place: LonLat) -> Point {
    place.mercator()
}

pub(crate) fn lonlat((x, y): Point) -> LonLat {
    LonLat { lon: x * 360.0 - 180.0, lat: (PI * (1.0 - 2.0 * y)).sinh().atan().to_degrees() }
}

/// Encodes a tile.
pub(crate) fn tile(lines: &[Line], maker: Maker, tile: TileId) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut layer = Layer::new("sequence");
    for line in lines.iter().filter(|line| line.points.len() > 1) {
        let parts = parts(line, maker, tile);
        if !parts.is_empty() && tile.z >= 6 {
            layer.feature(line, "id", 2, &parts);
        }
    }
    layer.finish(&mut bytes);
    if tile.z == 14 {
        let mut layer = Layer::new("image");
        for line in lines {
            for (x, y) in local(line, tile).into_iter().filter(|point| is_within(*point)) {
                #[expect(clippy::cast_possible_truncation)]
                layer.feature(line, "sequence_id", 1, &[vec![(x.floor() as i32, y.floor() as i32)]]);
            }
        }
        layer.finish(&mut bytes);
    }
    bytes
}

fn is_within((x, y): Point) -> bool {
    (0.0..4096.0).contains(&x) && (0.0..4096.0).contains(&y)
}

fn local(line: &Line, tile: TileId) -> Vec<Point> {
    let scale = f64::from(1_u32 << tile.z);
    let place = |point: &LonLat| {
        let (x, y) = mercator(*point);
        ((x * scale - f64::from(tile.x)) * 4096.0, (y * scale - f64::from(tile.y)) * 4096.0)
    };
    line.points.iter().map(place).collect()
}

fn parts(line: &Line, maker: Maker, tile: TileId) -> Vec<Vec<(i32, i32)>> {
    let mut points = local(line, tile);
    if tile.z < 14 {
        let span = |of: fn(&Point) -> f64| {
            let bounds = |f: fn(f64, f64) -> f64| points.iter().map(of).reduce(f).unwrap();
            bounds(f64::max) - bounds(f64::min)
        };
        let lost = if tile.z < 10 { maker.lost_above } else { maker.lost };
        if span(|point| point.0).max(span(|point| point.1)) < lost {
            return Vec::new();
        }
        points = simplify(&points, maker.tolerance);
    }
    let mut parts: Vec<Vec<(i32, i32)>> = Vec::new();
    let mut continued_from = None;
    for ends in points.windows(2) {
        let Some((from, to)) = clip(ends[0], ends[1]) else {
            continued_from = None;
            continue;
        };
        #[expect(clippy::cast_possible_truncation)]
        let whole = |point: Point| (point.0.round() as i32, point.1.round() as i32);
        match parts.last_mut() {
            Some(part) if continued_from == Some(from) => part.push(whole(to)),
            _ => parts.push(vec![whole(from), whole(to)]),
        }
        continued_from = Some(to);
    }
    parts.iter_mut().for_each(Vec::dedup);
    parts.retain(|part| part.len() > 1);
    parts
}

/// Simplifies a line with the Douglas-Peucker algorithm.
fn simplify(points: &[Point], tolerance: f64) -> Vec<Point> {
    let [first, .., last] = points else { return points.to_vec() };
    let away = |point: &Point| {
        let (dx, dy) = (last.0 - first.0, last.1 - first.1);
        let length = dx * dx + dy * dy;
        let (px, py) = (point.0 - first.0, point.1 - first.1);
        let part = if length > 0.0 { ((px * dx + py * dy) / length).clamp(0.0, 1.0) } else { 0.0 };
        (px - part * dx).hypot(py - part * dy)
    };
    let farthest = (1..points.len() - 1).max_by(|a, b| away(&points[*a]).total_cmp(&away(&points[*b])));
    match farthest {
        Some(at) if away(&points[at]) > tolerance => {
            let mut whole = simplify(&points[..=at], tolerance);
            whole.pop();
            whole.extend(simplify(&points[at..], tolerance));
            whole
        }
        _ => vec![*first, *last],
    }
}

/// Returns the part of a segment inside the tile.
fn clip(a: Point, b: Point) -> Option<(Point, Point)> {
    let (dx, dy) = (b.0 - a.0, b.1 - a.1);
    let (mut enter, mut leave) = (0.0_f64, 1.0_f64);
    for (step, room) in [(-dx, a.0), (dx, 4096.0 - a.0), (-dy, a.1), (dy, 4096.0 - a.1)] {
        if step == 0.0 {
            if room < 0.0 {
                return None;
            }
        } else if step < 0.0 {
            enter = enter.max(room / step);
        } else {
            leave = leave.min(room / step);
        }
    }
    let at = |part: f64| if part >= 1.0 { b } else { (a.0 + dx * part, a.1 + dy * part) };
    (enter < leave).then(|| (at(enter), at(leave)))
}

/// A layer with a separate value for each property of each feature.
struct Layer {
    name: &'static str,
    features: Vec<u8>,
    values: Vec<u8>,
    count: u64,
}

impl Layer {
    fn new(name: &'static str) -> Self {
        Self { name, features: Vec::new(), values: Vec::new(), count: 0 }
    }

    fn feature(&mut self, line: &Line, id: &'static str, kind: u64, parts: &[Vec<(i32, i32)>]) {
        let key = u64::from(id != "id");
        let whole = |number: u64| {
            let mut value = Vec::new();
            field(&mut value, 4, number);
            value
        };
        let mut text = Vec::new();
        block(&mut text, 1, line.id.as_bytes());
        let mut tags = Vec::new();
        for (key, value) in [
            (key, text),
            (2, whole(line.owner)),
            (3, whole(line.captured_at.unsigned_abs())),
            (4, vec![7 << 3, u8::from(line.is_pano)]),
        ] {
            varint(&mut tags, key);
            varint(&mut tags, self.count);
            self.count += 1;
            block(&mut self.values, 4, &value);
        }
        let mut geometry = Vec::new();
        let mut pen = (0, 0);
        for part in parts {
            for (verb, points) in [(1, &part[..1]), (2, &part[1..])] {
                if points.is_empty() {
                    continue;
                }
                varint(&mut geometry, (points.len() as u64) << 3 | verb);
                for point in points {
                    for step in [point.0 - pen.0, point.1 - pen.1] {
                        varint(&mut geometry, u64::from(((step << 1) ^ (step >> 31)).cast_unsigned()));
                    }
                    pen = *point;
                }
            }
        }
        let mut feature = Vec::new();
        block(&mut feature, 2, &tags);
        field(&mut feature, 3, kind);
        block(&mut feature, 4, &geometry);
        block(&mut self.features, 2, &feature);
    }

    fn finish(self, tile: &mut Vec<u8>) {
        if self.count == 0 {
            return;
        }
        let mut layer = Vec::new();
        block(&mut layer, 1, self.name.as_bytes());
        layer.extend(self.features);
        for key in ["id", "sequence_id", "creator_id", "captured_at", "is_pano"] {
            block(&mut layer, 3, key.as_bytes());
        }
        layer.extend(self.values);
        field(&mut layer, 5, 4096);
        block(tile, 3, &layer);
    }
}

fn varint(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    bytes.push(number.to_le_bytes()[0]);
}

fn field(bytes: &mut Vec<u8>, number: u64, value: u64) {
    varint(bytes, number << 3);
    varint(bytes, value);
}

fn block(bytes: &mut Vec<u8>, number: u64, content: &[u8]) {
    varint(bytes, number << 3 | 2);
    varint(bytes, content.len() as u64);
    bytes.extend_from_slice(content);
}
