//! The classes of requests.

use std::fmt;

/// The kind of a request. Each class has its own rate limit.
///
/// `Display` gives the name that progress events and reports use: `tile`, `entity`, `search` or `bytes`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Class {
    /// A vector tile, from the tile host.
    Tile,
    /// An image or a batch of images by id, from the Graph API.
    Entity,
    /// The images of a sequence or of a user, from the Graph API.
    Search,
    /// A picture, from an image host.
    Picture,
}

impl Class {
    /// All classes.
    pub const ALL: [Self; 4] = [Self::Tile, Self::Entity, Self::Search, Self::Picture];
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tile => "tile",
            Self::Entity => "entity",
            Self::Search => "search",
            Self::Picture => "bytes",
        })
    }
}
