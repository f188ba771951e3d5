//! The sequences of an area, from vector tiles.
//!
//! Tile requests are scarce: the host blocks IP addresses. So the walk reads only the tiles that it needs to find every
//! sequence above a small length (see `plan.rs`):
//!
//! | Levels | Content | Use |
//! |---|---|---|
//! | 0–5 | a sample of images | never requested |
//! | 6–9 | simplified lines | a few scouts show where to begin; in huge areas, empty tiles are pruned with their subtree |
//! | 10–13 | all lines | one of these levels shows which tiles of level 14 are near lines of matching sequences; the others are skipped |
//! | 14 | lines and images | read near such lines; decides which sequences at the edge are inside the area |
//!
//! A line that is inside the area at level 10, with a margin, is yielded at once. [`TileSource::thorough`] reads levels
//! 10 to 13 one by one instead.
//!
//! Tiles above the level of collection only save requests. So one that can't be fetched is replaced by the tiles below
//! it, unless the whole host fails (`health.rs`).
//!
//! The tiles form a tree, which is read depth first. A tile is chosen when the rate limit allows its request, so the
//! walk finishes what it found before it reads new areas. Sequences are yielded in the order of the tree. Only the
//! contents of tiles determine that order, so it does not depend on the order of responses.

mod forecast;
mod health;
mod look;
mod plan;
mod source;
mod tree;
mod walk;

use futures::stream::StreamExt;

pub(in crate::sources) use self::source::ALL_LINES;
pub use self::source::{FIRST_LINES, TileSource};
use self::walk::Walk;
use super::{RecordStream, Source};
use crate::error::Error;
use crate::model::Sequence;

impl Source for TileSource {
    type Item = Sequence;

    fn stream(self) -> RecordStream<Sequence> {
        let walk = Walk::new(self);
        futures::stream::unfold(Some(walk), |walk| async {
            let mut walk = walk?;
            let item = walk.next().await?;
            let last = item.as_ref().is_err_and(Error::is_fatal);
            Some((item, (!last).then_some(walk)))
        })
        .boxed()
    }
}
