//! Access to the tile decoder for the fuzz targets in `fuzz/` and for `benches/`. Not a part of the API.

use super::mvt::{self, TileFilter};
use crate::geo::{Area, Bbox, TileId};
use crate::model::{OwnerId, Sequence};

/// The sequences of a tile, or why it can't be decoded.
pub fn sequences(
    bytes: &[u8],
    tile: TileId,
    bbox: &Bbox,
    owner: Option<&OwnerId>,
) -> Result<Vec<Sequence>, &'static str> {
    mvt::sequences(bytes, tile, &Area::from(*bbox), &filter(owner)).map(|shown| shown.sequences)
}

/// Whether a tile has a sequence.
pub fn shows(bytes: &[u8], owner: Option<&OwnerId>) -> Result<bool, &'static str> {
    mvt::shows(bytes, &filter(owner))
}

fn filter(owner: Option<&OwnerId>) -> TileFilter {
    TileFilter::owned_by(owner.cloned())
}
