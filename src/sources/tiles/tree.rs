//! The open tiles of a walk, in the order of their sequences.

use std::collections::BTreeMap;

use crate::error::Result;
use crate::geo::TileId;
use crate::sources::mvt::Shown;

/// The position of a tile: the path from the root, one number per level. The tiles that replace a tile extend its path,
/// so they precede everything after that tile.
pub(super) type Place = Vec<u32>;

/// The state of a tile. The tree never contains a tile and its descendant.
pub(super) enum Node {
    /// Not started.
    Waiting(TileId),
    /// The lookup in store and cache is in progress.
    Looking(TileId),
    /// In neither of them; waits for its request.
    Missing(TileId),
    /// The request is in flight.
    InFlight(TileId),
    /// Read or failed; waits for the tiles before it.
    Read(Result<(TileId, Shown)>),
}

/// The open tiles.
#[derive(Default)]
pub(super) struct Tree(BTreeMap<Place, Node>);

impl Tree {
    /// Creates a tree of tiles in the given order.
    pub(super) fn of(tiles: impl IntoIterator<Item = TileId>) -> Self {
        Self((0..).zip(tiles).map(|(number, tile)| (vec![number], Node::Waiting(tile))).collect())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn get(&self, place: &Place) -> Option<&Node> {
        self.0.get(place)
    }

    pub(super) fn set(&mut self, place: Place, node: Node) {
        self.0.insert(place, node);
    }

    pub(super) fn remove(&mut self, place: &Place) {
        self.0.remove(place);
    }

    /// Replaces a tile by its own sequences, if any, and by the tiles to read below it.
    pub(super) fn replace(
        &mut self,
        place: &Place,
        read: Option<(TileId, Shown)>,
        below: impl IntoIterator<Item = TileId>,
    ) {
        self.0.remove(place);
        let nodes = read.map(|read| Node::Read(Ok(read))).into_iter();
        for (number, node) in (0..).zip(nodes.chain(below.into_iter().map(Node::Waiting))) {
            let mut place = place.clone();
            place.push(number);
            self.0.insert(place, node);
        }
    }

    /// Removes the first tile if it was read.
    pub(super) fn pop_read(&mut self) -> Option<Result<(TileId, Shown)>> {
        let first = self.0.first_entry()?;
        if !matches!(first.get(), Node::Read(_)) {
            return None;
        }
        match first.remove() {
            Node::Read(read) => Some(read),
            _ => None,
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&Place, &Node)> {
        self.0.iter()
    }

    /// The first tile without a request.
    pub(super) fn first_open(&self) -> Option<(&Place, &Node)> {
        self.0.iter().find(|(_, node)| !matches!(node, Node::InFlight(_) | Node::Read(_)))
    }
}
