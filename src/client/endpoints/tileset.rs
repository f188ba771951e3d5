//! The tilesets of the tile host.

use crate::geo::TileId;

/// A tileset of the tile host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Tileset {
    /// Sequences and images, at zoom 0 to 14.
    Images,
    /// Objects on the map, at zoom 14 only.
    Points,
    /// Traffic signs on the map, at zoom 14 only.
    TrafficSigns,
}

impl Tileset {
    /// The name in the path of a tile.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Images => "mly1_public",
            Self::Points => "mly_map_feature_point",
            Self::TrafficSigns => "mly_map_feature_traffic_sign",
        }
    }
}

/// A tile of a tileset.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TileAddress {
    pub(crate) tileset: Tileset,
    pub(crate) tile: TileId,
}

/// Tiles of images are addressed by their id alone.
impl From<TileId> for TileAddress {
    fn from(tile: TileId) -> Self {
        Self { tileset: Tileset::Images, tile }
    }
}

impl From<(Tileset, TileId)> for TileAddress {
    fn from((tileset, tile): (Tileset, TileId)) -> Self {
        Self { tileset, tile }
    }
}

impl TileAddress {
    /// The path below the URL of the tile host.
    pub(crate) fn path(self) -> String {
        format!("/maps/vtp/{}/2/{}", self.tileset.name(), self.tile)
    }

    /// The key in the response store.
    pub(crate) fn key(self) -> String {
        match self.tileset {
            Tileset::Images => format!("tile {}", self.tile),
            other => format!("tile {} {}", other.name(), self.tile),
        }
    }

    /// The name in messages.
    pub(crate) fn subject(self) -> String {
        match self.tileset {
            Tileset::Images => self.tile.to_string(),
            other => format!("{} of {}", self.tile, other.name()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_tileset_has_its_own_path_and_key() {
        let tile = TileId { z: 14, x: 9718, y: 6478 };
        let images = TileAddress::from(tile);
        assert_eq!(images.path(), "/maps/vtp/mly1_public/2/14/9718/6478");
        assert_eq!((images.key(), images.subject()), ("tile 14/9718/6478".to_owned(), tile.to_string()));
        let signs = TileAddress::from((Tileset::TrafficSigns, tile));
        assert_eq!(signs.path(), "/maps/vtp/mly_map_feature_traffic_sign/2/14/9718/6478");
        assert_ne!(signs.key(), TileAddress::from((Tileset::Points, tile)).key());
    }
}
