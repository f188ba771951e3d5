//! Access to the tile decoder for the fuzz targets in `fuzz/` and for `benches/`. Not a part of the API.

use super::mvt::{self, TileFilter};
use crate::geo::{Area, Bbox, TileId};
use crate::model::{MapFeature, OwnerId, Sequence};

/// The sequences of a tile, or why it can't be decoded.
pub fn sequences(
    bytes: &[u8],
    tile: TileId,
    bbox: &Bbox,
    owner: Option<&OwnerId>,
) -> Result<Vec<Sequence>, &'static str> {
    mvt::sequences(bytes, tile, &Area::from(*bbox), &filter(owner)).map(|shown| shown.sequences)
}

/// The map features of a tile and the number of unusable ones, or why it can't be decoded.
pub fn features(bytes: &[u8], tile: TileId, bbox: &Bbox) -> Result<(Vec<MapFeature>, usize), &'static str> {
    let found = mvt::features(bytes, tile, &Area::from(*bbox))?;
    Ok((found.features, found.unusable.len()))
}

/// The tiles of level 14 near lines of a tile, or why it can't be decoded. `None` if a line can't be read.
pub fn tiles_near_lines(
    bytes: &[u8],
    tile: TileId,
    bbox: &Bbox,
) -> Result<Option<Vec<TileId>>, &'static str> {
    mvt::tiles_near_lines(bytes, tile, &Area::from(*bbox), 14, 10.0)
}

/// Whether a tile has a sequence.
pub fn shows(bytes: &[u8], owner: Option<&OwnerId>) -> Result<bool, &'static str> {
    mvt::shows(bytes, &filter(owner))
}

fn filter(owner: Option<&OwnerId>) -> TileFilter {
    TileFilter::owned_by(owner.cloned())
}
