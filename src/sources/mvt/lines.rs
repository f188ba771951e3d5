//! Which tiles below a coarse tile are near lines of matching sequences.

use super::evidence::Evidence;
use super::filter::TileFilter;
use super::sequences::{MAX_SEQUENCES, org_id};
use super::tags::{Id, Tagged, Tags};
use super::wire::{Fault, Feature, layers};
use crate::geo::{Area, Cells, TileId};
use crate::model::{Sequence, SequenceId};

/// Assumed maximum distance of a line in a coarse tile from the true line, in units of 1/4096 of the tile's side.
///
/// Lines are rounded to whole units and may be simplified. Common tools drop points less than one to four units from the
/// line, and rounding moves a line by less than one unit. Eight units allow for a second such step. At level 10 they are
/// 76 m at the equator, 1/32 of the side of a tile of level 14, so the margin adds few tiles.
pub(in crate::sources) const MARGIN: f64 = 8.0;

/// The lines of a tile between level 10 and the last level.
#[derive(Debug, Default, PartialEq)]
pub(in crate::sources) struct Lines {
    /// Matching sequences that are certainly in the area, sorted by id.
    pub(in crate::sources) certain: Vec<Sequence>,
    /// The tiles of the last level near lines of matching sequences, in quadkey order.
    pub(in crate::sources) near: Vec<TileId>,
    /// Sequences in the area that do not match, with the name of the filter.
    pub(in crate::sources) filtered: Vec<(SequenceId, &'static str)>,
}

/// Reads the lines of a tile. `zoom` is the last level. `None` if a line can't be read, so that its place is unknown.
pub(in crate::sources) fn lines(
    bytes: &[u8],
    tile: TileId,
    area: &Area,
    filter: &TileFilter,
    zoom: u8,
) -> Result<Option<Lines>, Fault> {
    let (mut found, mut cells) = (Lines::default(), Cells::new(tile, zoom));
    for layer in layers(bytes) {
        let layer = layer?;
        if layer.name != "sequence" {
            continue;
        }
        if layer.extent == 0 {
            return Err("a layer's extent is implausible");
        }
        let clip = area.clip(tile, layer.extent);
        let unit = f64::from(layer.extent) / 4096.0;
        let mut tagged = Tagged::new(&layer, "id", filter);
        for feature in layer.features() {
            let Ok(feature) = feature? else { return Ok(None) };
            let tags = tagged.read(&feature);
            match judged(&tags, filter) {
                Judged::Unwanted => {}
                Judged::LeftOut(by) => {
                    if let Id::Text(_, id) = tags.id
                        && let Ok(id) = SequenceId::check(id)
                        && feature.lies_in(&clip).unwrap_or(false)
                    {
                        found.filtered.push((id, by));
                    }
                }
                Judged::Matches { is_settled } => {
                    let mut bounds = Bounds::default();
                    let drawn = feature.pieces(|from, to| {
                        cells.mark(from, to, layer.extent, MARGIN);
                        bounds.add(to);
                    });
                    if drawn.is_err() || bounds.is_empty() {
                        return Ok(None);
                    }
                    let is_inside = || is_within(&feature, &bounds, MARGIN * unit, area, tile, layer.extent);
                    if let Id::Text(_, id) = tags.id
                        && is_settled
                        && let Ok(seq_id) = SequenceId::check(id)
                        && is_inside()
                    {
                        let mut evidence = Evidence::default();
                        evidence.observe(&tags, filter);
                        let org_id = org_id(evidence, tags.organization, tags.creator, filter);
                        found.certain.push(Sequence { org_id, seq_id });
                    }
                }
            }
            if found.certain.len().max(found.filtered.len()) > MAX_SEQUENCES {
                return Err("it shows more than two million sequences");
            }
        }
    }
    found.certain.sort_by(|a, b| a.seq_id.cmp(&b.seq_id));
    found.certain.dedup_by(|a, b| a.seq_id == b.seq_id);
    found.near = cells.tiles().into_iter().filter(|tile| area.touches(*tile)).collect();
    Ok(Some(found))
}

/// The tiles of level `zoom` in the area that touch lines of matching sequences. A hint: at coarse levels lines are
/// strongly simplified and short ones are missing.
pub(in crate::sources) fn hints(
    bytes: &[u8],
    tile: TileId,
    area: &Area,
    filter: &TileFilter,
    zoom: u8,
) -> Result<Vec<TileId>, Fault> {
    let mut cells = Cells::new(tile, zoom);
    for layer in layers(bytes) {
        let layer = layer?;
        if layer.name != "sequence" || layer.extent == 0 {
            continue;
        }
        let mut tagged = Tagged::new(&layer, "id", filter);
        for feature in layer.features() {
            let Ok(feature) = feature? else { continue };
            if matches!(judged(&tagged.read(&feature), filter), Judged::Matches { .. }) {
                feature.pieces(|from, to| cells.mark(from, to, layer.extent, 0.0)).ok();
            }
        }
    }
    Ok(cells.tiles().into_iter().filter(|tile| area.touches(*tile)).collect())
}

/// The tiles of level `zoom` in the area within `margin` of any line, in quadkey order. The margin is in units of 1/4096
/// of the tile's side.
///
/// `None` if a line can't be read, so that its place is unknown.
pub(in crate::sources) fn tiles_near_lines(
    bytes: &[u8],
    tile: TileId,
    area: &Area,
    zoom: u8,
    margin: f64,
) -> Result<Option<Vec<TileId>>, Fault> {
    let mut cells = Cells::new(tile, zoom);
    for layer in layers(bytes) {
        let layer = layer?;
        if layer.name != "sequence" {
            continue;
        }
        if layer.extent == 0 {
            return Err("a layer's extent is implausible");
        }
        for feature in layer.features() {
            let Ok(feature) = feature? else { return Ok(None) };
            if feature.pieces(|from, to| cells.mark(from, to, layer.extent, margin)).is_err() {
                return Ok(None);
            }
        }
    }
    Ok(Some(cells.tiles().into_iter().filter(|tile| area.touches(*tile)).collect()))
}

enum Judged {
    Unwanted,
    LeftOut(&'static str),
    /// Settled if no tile below can exclude it.
    Matches {
        is_settled: bool,
    },
}

fn judged(tags: &Tags<'_>, filter: &TileFilter) -> Judged {
    // Damaged tags may match: the tiles below contain them again.
    if tags.is_broken {
        return Judged::Matches { is_settled: false };
    }
    let mut evidence = Evidence::default();
    evidence.observe(tags, filter);
    if tags.id == Id::Absent || !evidence.is_owned(filter) {
        return Judged::Unwanted;
    }
    match evidence.rejected_by(filter) {
        Some(by) => Judged::LeftOut(by),
        None => Judged::Matches { is_settled: evidence.is_settled(tags, filter) },
    }
}

/// The bounding box of a line.
struct Bounds {
    least: (i32, i32),
    greatest: (i32, i32),
}

impl Default for Bounds {
    fn default() -> Self {
        Self { least: (i32::MAX, i32::MAX), greatest: (i32::MIN, i32::MIN) }
    }
}

impl Bounds {
    fn add(&mut self, (x, y): (i32, i32)) {
        self.least = (self.least.0.min(x), self.least.1.min(y));
        self.greatest = (self.greatest.0.max(x), self.greatest.1.max(y));
    }

    fn is_empty(&self) -> bool {
        self.least.0 > self.greatest.0
    }

    fn lie_in(&self, area: &Area, tile: TileId, extent: u32, margin: f64) -> bool {
        let least = (f64::from(self.least.0) - margin, f64::from(self.least.1) - margin);
        let greatest = (f64::from(self.greatest.0) + margin, f64::from(self.greatest.1) + margin);
        area.holds(tile, extent, least, greatest)
    }
}

/// Whether a line with a margin around it is inside the area.
fn is_within(
    feature: &Feature<'_>,
    bounds: &Bounds,
    margin: f64,
    area: &Area,
    tile: TileId,
    extent: u32,
) -> bool {
    if bounds.lie_in(area, tile, extent, margin) {
        return true;
    }
    // A box that does not contain the bounds does not contain the line. A polygon may contain each segment.
    if area.bbox().is_some() {
        return false;
    }
    let mut is_inside = true;
    let drawn = feature.pieces(|from, to| {
        let mut piece = Bounds::default();
        piece.add(from);
        piece.add(to);
        is_inside = is_inside && piece.lie_in(area, tile, extent, margin);
    });
    drawn.is_ok() && is_inside
}
