//! Counts of the layers of a tile, for inspecting a tile.

use std::collections::HashSet;

use super::filter::TileFilter;
use super::tags::{Id, Tagged};
use super::wire::{Fault, Layer, layers};
use crate::error::{Error, ErrorKind};
use crate::geo::Clip;

/// Counts of a layer of a vector tile.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TileLayer {
    /// Name: `overview`, `sequence` or `image`. The crawler ignores other layers.
    pub name: String,
    /// Number of features.
    pub features: usize,
    /// Number of sequences of the features.
    pub sequences: usize,
}

/// Counts the layers of a tile as the crawler reads it, for inspecting a tile.
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
