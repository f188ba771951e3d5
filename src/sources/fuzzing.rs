//! The inside of the tile decoder for the fuzz targets in `fuzz/` and for `benches/`; no part of the interface.

use super::mvt::{self, Owner};
use crate::geo::{Bbox, TileId};
use crate::model::{OwnerId, Sequence};

/// The sequences of a tile, or why it can't be read.
pub fn sequences(
    bytes: &[u8],
    tile: TileId,
    bbox: &Bbox,
    owner: Option<&OwnerId>,
) -> Result<Vec<Sequence>, &'static str> {
    mvt::sequences(bytes, tile, bbox, owner.cloned().map(Owner::new).as_ref())
}

/// Whether a tile shows a sequence.
pub fn shows(bytes: &[u8], owner: Option<&OwnerId>) -> Result<bool, &'static str> {
    mvt::shows(bytes, owner.cloned().map(Owner::new).as_ref())
}
