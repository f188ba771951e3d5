//! The classes of requests.

use std::fmt;

/// The kinds of requests, each with its own pace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Class {
    /// A vector tile.
    Tile,
    /// An image, or a batch of images, by id.
    Entity,
    /// The images of a sequence.
    Search,
    /// The bytes of a picture.
    Bytes,
}

impl Class {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Tile, Self::Entity, Self::Search, Self::Bytes];
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tile => "tile",
            Self::Entity => "entity",
            Self::Search => "search",
            Self::Bytes => "bytes",
        })
    }
}
