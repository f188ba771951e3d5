//! The vector tiles of the mock data.

use streetflow::geo::{LonLat, TileId};

use super::mvt::{EXTENT, Layer, Tags, Value};
use crate::mock_data::hash::mix;
use crate::mock_data::{MockData, MockImage, MockSequence};

/// A point in the units of a tile.
type Point = (f64, f64);

/// Maximum number of points in a part of a line. The next part starts where the previous one ends.
const MAX_PART_LEN: usize = 24;

/// Up to this zoom, lines are simplified and short lines are omitted.
const MAX_COARSE_ZOOM: u8 = 9;

/// At coarse zooms, distances of up to this many units are removed.
const COARSE_TOLERANCE: f64 = 2.0;

impl MockData {
    /// Encodes a tile of `mly1_public`. The tile of an area without sequences has no bytes.
    pub fn tile(&self, tile: TileId) -> Vec<u8> {
        let mut bytes = Vec::new();
        let sequences = self.sequences_near(tile);
        let mut id = 0;
        if tile.z < 6 {
            let mut layer = Layer::new("overview");
            for image in sequences.iter().filter_map(|sequence| overview_image(sequence, tile.z)) {
                if let Some(at) = point_in_tile(tile, image.coordinates()) {
                    layer.point(id, &overview_tags(&image), at);
                    id += 1;
                }
            }
            layer.finish(&mut bytes);
            return bytes;
        }
        let mut layer = Layer::new("sequence");
        for sequence in &sequences {
            let parts = line_parts(sequence, tile);
            if !parts.is_empty() {
                layer.line(id, &sequence_tags(sequence), &parts);
                id += 1;
            }
        }
        layer.finish(&mut bytes);
        if tile.z == 14 {
            let mut layer = Layer::new("image");
            for image in sequences.iter().flat_map(|sequence| sequence.images()) {
                if let Some(at) = point_in_tile(tile, image.coordinates()) {
                    layer.point(id, &image_tags(&image), at);
                    id += 1;
                }
            }
            layer.finish(&mut bytes);
        }
        bytes
    }
}

/// Returns the image that represents a sequence at a low zoom. The lower the zoom, the fewer sequences have one.
fn overview_image(sequence: &MockSequence, zoom: u8) -> Option<MockImage<'_>> {
    mix(sequence.salt, 21).is_multiple_of(7 - u64::from(zoom)).then(|| sequence.image(sequence.count / 2))
}

/// Returns the position in the tile, if the point is inside. A point on a border belongs to one tile only.
pub(super) fn point_in_tile(tile: TileId, at: LonLat) -> Option<(i32, i32)> {
    let (x, y) = tile_units(tile, at);
    let inside = |v: f64| (0.0..EXTENT).contains(&v);
    (inside(x) && inside(y)).then(|| (x.floor() as i32, y.floor() as i32))
}

/// Returns coordinates in units of the tile.
fn tile_units(tile: TileId, at: LonLat) -> Point {
    let scale = f64::from(1_u32 << tile.z);
    let (x, y) = at.mercator();
    ((x * scale - f64::from(tile.x)) * EXTENT, (y * scale - f64::from(tile.y)) * EXTENT)
}

fn overview_tags(image: &MockImage<'_>) -> Tags {
    vec![
        ("captured_at", Value::double(image.captured_at() as f64)),
        ("id", Value::double(image.number() as f64)),
        ("is_pano", Value::Bool(image.sequence.is_pano())),
        ("sequence_id", Value::Text(image.sequence.id.clone())),
    ]
}

fn sequence_tags(sequence: &MockSequence) -> Tags {
    let image = sequence.image(0);
    let mut tags = vec![
        ("captured_at", Value::double(image.captured_at() as f64)),
        ("id", Value::Text(sequence.id.clone())),
        ("image_id", Value::double(image.number() as f64)),
    ];
    tags.extend(owner_tags(sequence));
    if !mix(sequence.salt, 22).is_multiple_of(20) {
        tags.push(("quality_score", Value::Float((image.quality() as f32).to_bits())));
    }
    tags
}

fn image_tags(image: &MockImage<'_>) -> Tags {
    let mut tags = overview_tags(image);
    tags.retain(|(key, _)| *key != "is_pano");
    tags.extend(owner_tags(image.sequence));
    if image.has_heading() {
        tags.push(("compass_angle", Value::Float((image.heading() as f32).to_bits())));
    }
    if image.random(4) > 0.02 {
        tags.push(("quality_score", Value::Float((image.quality() as f32).to_bits())));
    }
    tags
}

fn owner_tags(sequence: &MockSequence) -> Tags {
    let id = |text: &str| Value::double(text.parse().unwrap_or_default());
    let mut tags = vec![
        ("creator_id", id(sequence.creator())),
        ("foot", Value::Bool(sequence.on_foot)),
        ("is_pano", Value::Bool(sequence.is_pano())),
    ];
    tags.extend(sequence.organization().map(|organization| ("organization_id", id(organization))));
    tags
}

/// Returns the parts of the sequence's line inside the tile. Parts of neighbouring tiles meet at the border.
fn line_parts(sequence: &MockSequence, tile: TileId) -> Vec<Vec<(i32, i32)>> {
    if sequence.count < 2 {
        return Vec::new();
    }
    let mut line: Vec<Point> = sequence.line().into_iter().map(|at| tile_units(tile, at)).collect();
    if tile.z <= MAX_COARSE_ZOOM {
        simplify(&mut line);
    }
    let mut parts: Vec<Vec<(i32, i32)>> = Vec::new();
    let mut continues = false;
    for ends in line.windows(2) {
        let Some((from, to)) = clip(ends[0], ends[1]) else {
            continues = false;
            continue;
        };
        let (from, to) = (round(from), round(to));
        match parts.last_mut() {
            Some(part) if continues && part.len() < MAX_PART_LEN => part.push(to),
            _ => parts.push(vec![from, to]),
        }
        continues = round(ends[1]) == to;
    }
    for part in &mut parts {
        part.dedup();
    }
    parts.retain(|part| part.len() > 1);
    parts
}

/// Removes points near the previous retained point. A short line loses all its points.
fn simplify(line: &mut Vec<Point>) {
    let (first, last) = (line[0], line[line.len() - 1]);
    let far =
        |a: Point, b: Point| (a.0 - b.0).abs() > COARSE_TOLERANCE || (a.1 - b.1).abs() > COARSE_TOLERANCE;
    let mut retained = first;
    line.retain(|point| {
        let keep = far(*point, retained);
        if keep {
            retained = *point;
        }
        keep
    });
    if line.is_empty() {
        return;
    }
    line.insert(0, first);
    if retained != last {
        line.push(last);
    }
}

fn round(point: Point) -> (i32, i32) {
    (point.0.round() as i32, point.1.round() as i32)
}

/// Returns the part of a segment inside the tile (Liang-Barsky algorithm).
fn clip(a: Point, b: Point) -> Option<(Point, Point)> {
    let (dx, dy) = (b.0 - a.0, b.1 - a.1);
    let (mut enter, mut leave) = (0.0_f64, 1.0_f64);
    for (step, room) in [(-dx, a.0), (dx, EXTENT - a.0), (-dy, a.1), (dy, EXTENT - a.1)] {
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
    let at = |part: f64| (a.0 + dx * part, a.1 + dy * part);
    (enter < leave).then(|| (at(enter), at(leave)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tile_with(image: &MockImage<'_>, zoom: u8) -> TileId {
        TileId::containing(image.coordinates(), zoom)
    }

    #[test]
    fn every_image_lies_in_exactly_one_tile() {
        let data = MockData::cyprus();
        for image in data.sequences().iter().flat_map(MockSequence::images) {
            let tile = tile_with(&image, 14);
            assert!(point_in_tile(tile, image.coordinates()).is_some());
            assert!(point_in_tile(TileId { x: tile.x + 1, ..tile }, image.coordinates()).is_none());
            assert!(data.sequences_near(tile).iter().any(|sequence| sequence.id == image.sequence.id));
        }
    }

    #[test]
    fn every_sequence_has_a_line_at_fine_zooms() {
        let data = MockData::cyprus();
        let lines = |zoom: u8| {
            let has_line = |sequence: &&MockSequence| {
                sequence.images().any(|image| !line_parts(sequence, tile_with(&image, zoom)).is_empty())
            };
            data.sequences().iter().filter(has_line).count()
        };
        let singles = data.sequences().iter().filter(|sequence| sequence.count == 1).count();
        for zoom in 10..=14 {
            assert_eq!(lines(zoom), data.sequences().len() - singles, "zoom {zoom}");
        }
        assert!(lines(6) < lines(9) && lines(9) < lines(10));
    }

    #[test]
    fn lines_stay_in_the_tile_and_their_parts_touch() {
        let data = MockData::cyprus();
        let long =
            data.sequences().iter().max_by_key(|sequence| sequence.count).expect("there are sequences");
        let mut tiles: Vec<_> = long.images().map(|image| tile_with(&image, 14)).collect();
        tiles.dedup();
        assert!(tiles.len() > 10, "it crosses borders");
        for tile in tiles {
            let parts = line_parts(long, tile);
            assert!(parts.iter().flatten().all(|(x, y)| (0..=4096).contains(x) && (0..=4096).contains(y)));
        }
        let whole = line_parts(long, tile_with(&long.image(0), 8));
        assert!(whole.len() > 1 && whole.windows(2).all(|pair| pair[0].last() == pair[1].first()));
    }

    #[test]
    fn the_tile_of_an_empty_area_is_empty() {
        let data = MockData::cyprus();
        assert!(data.tile(TileId { z: 14, x: 0, y: 0 }).is_empty());
        assert!(!data.tile(tile_with(&data.sequences()[0].image(0), 14)).is_empty());
    }
}
