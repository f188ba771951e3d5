//! The layers of a tile, counted: to look into a tile by hand.

use std::collections::HashSet;

use super::wire::{Layer, layers};
use super::{Fault, Id, Tagged, TileFilter};
use crate::error::{Error, ErrorKind};
use crate::geo::Clip;

/// A layer of a vector tile, counted.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TileLayer {
    /// Its name: `overview`, `sequence` or `image`; others are left alone by the crawler.
    pub name: String,
    /// How many features it has.
    pub features: usize,
    /// How many sequences they are of.
    pub sequences: usize,
}

/// What is in the bytes of a tile, as the crawler reads it: to look into a tile by hand.
///
/// ```
/// assert_eq!(streetflow::sources::tile_layers(&[])?, []);
/// # Ok::<(), streetflow::Error>(())
/// ```
pub fn tile_layers(bytes: &[u8]) -> crate::Result<Vec<TileLayer>> {
    let counted = layers(bytes).map(|layer| count(&layer?)).collect::<Result<_, Fault>>();
    counted.map_err(|fault| Error::new(ErrorKind::Malformed, "read the tile").with_source(fault))
}

fn count(layer: &Layer<'_>) -> Result<TileLayer, Fault> {
    let mut tagged = {
        let id = if layer.name == "sequence" { "id" } else { "sequence_id" };
        Tagged::new(layer, id, &TileFilter::default())
    };
    let (mut features, mut ids) = (0, HashSet::new());
    for feature in layer.features() {
        let feature = feature??;
        if let Id::Text(_, id) = tagged.read(&feature).id {
            ids.insert(id);
        }
        feature.lies_in(&Clip::nowhere())?;
        features += 1;
    }
    Ok(TileLayer { name: layer.name.to_owned(), features, sequences: ids.len() })
}
