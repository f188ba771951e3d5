//! The tiles of a walk, in the order in which their sequences come.

use std::collections::BTreeMap;

use crate::error::Result;
use crate::geo::TileId;
use crate::sources::mvt::Shown;

/// Where a tile stands: the way to it from the root, a number a level. What replaces a tile stands at ways that go on
/// from its own, so all of it comes before whatever came after the tile.
pub(super) type Place = Vec<u32>;

/// A tile of the tree; the tree never holds a tile and its descendant.
pub(super) enum Node {
    /// Nothing was done for it yet.
    Waiting(TileId),
    /// It is looked for in the store and in the cache.
    Looking(TileId),
    /// It is neither there nor there, and is asked for when its turn comes.
    Missing(TileId),
    /// Its request is in flight.
    Asked(TileId),
    /// It was read, or failed, and its sequences wait for those before it.
    Read(Result<(TileId, Shown)>),
}

/// The tiles that are not finished.
#[derive(Default)]
pub(super) struct Tree(BTreeMap<Place, Node>);

impl Tree {
    /// A tree of some tiles, in this order.
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

    /// Puts what was read of a tile, and tiles that follow from it, in its place.
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

    /// Takes the first tile out, if it was read.
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

    /// The first tile that was neither read nor asked for.
    pub(super) fn first_open(&self) -> Option<(&Place, &Node)> {
        self.0.iter().find(|(_, node)| !matches!(node, Node::Asked(_) | Node::Read(_)))
    }
}
