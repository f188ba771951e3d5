//! What a vector tile of the world holds.

use super::mvt::{EXTENT, Layer, Tags, Value};
use super::town::{mix, unit};
use super::world::{MockImage, MockSequence, World};
use streetflow::geo::{LonLat, TileId};

/// A point in the units of a tile.
type Point = (f64, f64);

/// A part of a line with more points than this goes on in another part that begins where it ends.
const LONGEST_PART: usize = 24;

/// The deepest zoom at which lines are simplified and short ones are lost.
const LAST_COARSE_ZOOM: u8 = 9;

/// On coarse zooms, what is not longer than this many units vanishes.
const COARSE: f64 = 2.0;

impl World {
    /// The bytes of a tile of `mly1_public`: no bytes if there is nothing there.
    pub fn tile(&self, tile: TileId) -> Vec<u8> {
        let mut bytes = Vec::new();
        let drives = self.drives_near(tile);
        let mut id = 0;
        if tile.z < 6 {
            let mut layer = Layer::new("overview");
            for shot in drives.iter().filter_map(|drive| sample(drive, tile.z)) {
                if let Some(at) = within(tile, shot.place()) {
                    layer.point(id, &overview_tags(&shot), at);
                    id += 1;
                }
            }
            layer.finish(&mut bytes);
            return bytes;
        }
        let mut layer = Layer::new("sequence");
        for drive in &drives {
            let parts = parts(drive, tile);
            if !parts.is_empty() {
                layer.line(id, &sequence_tags(drive), &parts);
                id += 1;
            }
        }
        layer.finish(&mut bytes);
        if tile.z == 14 {
            let mut layer = Layer::new("image");
            for shot in drives.iter().flat_map(|drive| drive.shots()) {
                if let Some(at) = within(tile, shot.place()) {
                    layer.point(id, &image_tags(&shot), at);
                    id += 1;
                }
            }
            layer.finish(&mut bytes);
        }
        bytes
    }
}

/// The image that stands for a drive on a low zoom, where fewer and fewer drives are shown.
fn sample(drive: &MockSequence, zoom: u8) -> Option<MockImage<'_>> {
    mix(drive.salt, 21).is_multiple_of(7 - u64::from(zoom)).then(|| drive.shot(drive.count / 2))
}

/// Where in the tile the point lies, if it does; a point on a border belongs to one tile only.
fn within(tile: TileId, place: LonLat) -> Option<(i32, i32)> {
    let (x, y) = local(tile, place);
    let inside = |v: f64| (0.0..EXTENT).contains(&v);
    (inside(x) && inside(y)).then(|| (x.floor() as i32, y.floor() as i32))
}

fn local(tile: TileId, place: LonLat) -> Point {
    let scale = f64::from(1_u32 << tile.z);
    let (x, y) = place.mercator();
    ((x * scale - f64::from(tile.x)) * EXTENT, (y * scale - f64::from(tile.y)) * EXTENT)
}

fn overview_tags(shot: &MockImage<'_>) -> Tags {
    vec![
        ("captured_at", Value::double(shot.captured_at() as f64)),
        ("id", Value::double(shot.number() as f64)),
        ("is_pano", Value::Bool(shot.drive.is_pano())),
        ("sequence_id", Value::Text(shot.drive.id.clone())),
    ]
}

fn sequence_tags(drive: &MockSequence) -> Tags {
    let shot = drive.shot(0);
    let mut tags = vec![
        ("captured_at", Value::double(shot.captured_at() as f64)),
        ("id", Value::Text(drive.id.clone())),
        ("image_id", Value::double(shot.number() as f64)),
    ];
    tags.extend(drive_tags(drive));
    if !mix(drive.salt, 22).is_multiple_of(20) {
        tags.push(("quality_score", Value::Float((quality(&shot) as f32).to_bits())));
    }
    tags
}

fn image_tags(shot: &MockImage<'_>) -> Tags {
    let mut tags = overview_tags(shot);
    tags.retain(|(key, _)| *key != "is_pano");
    tags.extend(drive_tags(shot.drive));
    if shot.has_heading() {
        tags.push(("compass_angle", Value::Float((shot.heading() as f32).to_bits())));
    }
    if shot.chance(4) > 0.02 {
        tags.push(("quality_score", Value::Float((quality(shot) as f32).to_bits())));
    }
    tags
}

fn drive_tags(drive: &MockSequence) -> Tags {
    let id = |text: &str| Value::double(text.parse().unwrap_or_default());
    let mut tags = vec![
        ("creator_id", id(drive.creator())),
        ("foot", Value::Bool(drive.on_foot)),
        ("is_pano", Value::Bool(drive.is_pano())),
    ];
    tags.extend(drive.organization().map(|organization| ("organization_id", id(organization))));
    tags
}

/// The visual quality of an image, lower on foot.
pub(super) fn quality(shot: &MockImage<'_>) -> f64 {
    let best = if shot.drive.on_foot { 0.55 } else { 0.92 };
    best - 0.3 * unit(shot.drive.salt, 23) - 0.1 * shot.chance(5)
}

/// The parts of the drive's line that lie in the tile; ends that meet at a border touch.
fn parts(drive: &MockSequence, tile: TileId) -> Vec<Vec<(i32, i32)>> {
    if drive.count < 2 {
        return Vec::new();
    }
    let mut line: Vec<Point> = drive.line().into_iter().map(|place| local(tile, place)).collect();
    if tile.z <= LAST_COARSE_ZOOM {
        simplify(&mut line);
    }
    let mut parts: Vec<Vec<(i32, i32)>> = Vec::new();
    let mut goes_on = false;
    for ends in line.windows(2) {
        let Some((from, to)) = clip(ends[0], ends[1]) else {
            goes_on = false;
            continue;
        };
        let (from, to) = (whole(from), whole(to));
        match parts.last_mut() {
            Some(part) if goes_on && part.len() < LONGEST_PART => part.push(to),
            _ => parts.push(vec![from, to]),
        }
        goes_on = whole(ends[1]) == to;
    }
    for part in &mut parts {
        part.dedup();
    }
    parts.retain(|part| part.len() > 1);
    parts
}

/// Leaves out points that are near the last one kept; a line that is short altogether loses all of them.
fn simplify(line: &mut Vec<Point>) {
    let (first, last) = (line[0], line[line.len() - 1]);
    let far = |a: Point, b: Point| (a.0 - b.0).abs() > COARSE || (a.1 - b.1).abs() > COARSE;
    let mut kept = first;
    line.retain(|point| {
        let keep = far(*point, kept);
        if keep {
            kept = *point;
        }
        keep
    });
    if line.is_empty() {
        return;
    }
    line.insert(0, first);
    if kept != last {
        line.push(last);
    }
}

fn whole(point: Point) -> (i32, i32) {
    (point.0.round() as i32, point.1.round() as i32)
}

/// The stretch of a segment that lies in the tile (Liang and Barsky's way).
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

    fn tile_of(shot: &MockImage<'_>, zoom: u8) -> TileId {
        TileId::containing(shot.place(), zoom)
    }

    #[test]
    fn every_image_lies_in_exactly_one_tile() {
        let world = World::cyprus();
        for shot in world.sequences().iter().flat_map(MockSequence::shots) {
            let tile = tile_of(&shot, 14);
            assert!(within(tile, shot.place()).is_some());
            assert!(within(TileId { x: tile.x + 1, ..tile }, shot.place()).is_none());
            assert!(world.drives_near(tile).iter().any(|drive| drive.id == shot.drive.id));
        }
    }

    #[test]
    fn every_drive_has_a_line_where_zooms_are_fine() {
        let world = World::cyprus();
        let lines = |zoom: u8| {
            let has_line = |drive: &&MockSequence| {
                drive.shots().any(|shot| !parts(drive, tile_of(&shot, zoom)).is_empty())
            };
            world.sequences().iter().filter(has_line).count()
        };
        let singles = world.sequences().iter().filter(|drive| drive.count == 1).count();
        for zoom in 10..=14 {
            assert_eq!(lines(zoom), world.sequences().len() - singles, "zoom {zoom}");
        }
        assert!(lines(6) < lines(9) && lines(9) < lines(10));
    }

    #[test]
    fn lines_stay_in_the_tile_and_their_parts_touch() {
        let world = World::cyprus();
        let long = world.sequences().iter().max_by_key(|drive| drive.count).expect("there are drives");
        let mut tiles: Vec<_> = long.shots().map(|shot| tile_of(&shot, 14)).collect();
        tiles.dedup();
        assert!(tiles.len() > 10, "it crosses borders");
        for tile in tiles {
            let parts = parts(long, tile);
            assert!(parts.iter().flatten().all(|(x, y)| (0..=4096).contains(x) && (0..=4096).contains(y)));
        }
        let whole = parts(long, tile_of(&long.shot(0), 8));
        assert!(whole.len() > 1 && whole.windows(2).all(|pair| pair[0].last() == pair[1].first()));
    }

    #[test]
    fn an_empty_place_gives_an_empty_tile() {
        let world = World::cyprus();
        assert!(world.tile(TileId { z: 14, x: 0, y: 0 }).is_empty());
        assert!(!world.tile(tile_of(&world.sequences()[0].shot(0), 14)).is_empty());
    }
}
