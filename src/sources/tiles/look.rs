//! Reads one tile, and decides what a failure means.

use std::sync::Arc;

use super::health::Health;
use super::source::{ALL_LINES, TileSource};
use crate::error::{Error, ErrorKind, Result};
use crate::geo::TileId;
use crate::sources::mvt::{self, Lines, Shown, TileFilter};

/// Maximum number of unusable parts of a tile that an error names.
const MAX_LISTED: usize = 5;

/// The content of a tile, as far as the walk needs it.
pub(in crate::sources) enum Look {
    /// Tiles of the last level with lines, according to a scout.
    Hints(Vec<TileId>),
    /// All tiles of the next level must be read.
    Descend,
    /// No tile below must be read.
    Pruned,
    /// Some tiles of the last level must be read.
    Lines(Lines),
    /// The sequences of a tile of the last level.
    Sequences(Shown),
    /// The tile can't be fetched, but tiles below it can.
    Failed(Error),
}

impl TileSource {
    /// Reads a tile from store, cache or network.
    pub(in crate::sources) async fn look(&self, tile: TileId) -> Result<Look> {
        let source = self.clone();
        self.client.parsed_tile(tile, move |bytes| source.read(tile, false, bytes), is_whole).await
    }

    /// Reads a tile from store or cache, if it is there.
    pub(super) async fn read_cached(&self, tile: TileId, is_scout: bool) -> Result<Option<Look>> {
        let source = self.clone();
        self.client.stored_tile(tile, move |bytes| source.read(tile, is_scout, bytes), is_whole).await
    }

    /// Requests a tile. The caller has waited for the rate limit.
    pub(super) async fn read_requested(
        &self,
        health: Arc<Health>,
        tile: TileId,
        is_scout: bool,
    ) -> Result<Look> {
        let (source, began) = (self.clone(), health.begin());
        let read = move |bytes: &[u8]| source.read(tile, is_scout, bytes);
        match self.client.requested_tile(tile, read, is_whole, true).await {
            Ok(look) => {
                health.note_success();
                Ok(look)
            }
            Err(error) if tile.z < self.max_zoom && !error.is_fatal() => {
                let is_split = is_scout || health.is_well(began, self.can_read_sample(tile)).await;
                if is_split { Ok(Look::Failed(error)) } else { Err(error) }
            }
            Err(error) => Err(error),
        }
    }

    /// Whether a sample of the tiles below a tile can be read.
    async fn can_read_sample(&self, tile: TileId) -> bool {
        let samples = samples_below(self, tile).into_iter();
        let looks = futures::future::join_all(samples.map(|tile| self.look(tile))).await;
        looks.iter().any(Result::is_ok)
    }

    fn read(&self, tile: TileId, is_scout: bool, bytes: &[u8]) -> Result<Look> {
        let malformed = |fault| Error::new(ErrorKind::Malformed, "").with_source(fault);
        let (area, filter) = (&self.area, &self.filter);
        if is_scout {
            return mvt::hints(bytes, tile, area, filter, self.max_zoom).map(Look::Hints).map_err(malformed);
        }
        if tile.z == self.max_zoom {
            let shown = mvt::sequences(bytes, tile, area, filter).map_err(malformed)?;
            return Ok(Look::Sequences(shown));
        }
        if tile.z >= ALL_LINES && !self.is_thorough {
            let lines = mvt::lines(bytes, tile, area, filter, self.max_zoom).map_err(malformed)?;
            return Ok(lines.map_or(Look::Descend, Look::Lines));
        }
        let trusted = if tile.z >= ALL_LINES { filter } else { &TileFilter::default() };
        let shown = mvt::shows(bytes, trusted).map_err(malformed)?;
        Ok(if shown { Look::Descend } else { Look::Pruned })
    }
}

/// The first, a middle and the last tile of the level of collection below a tile.
fn samples_below(source: &TileSource, tile: TileId) -> Vec<TileId> {
    let choose: [fn(usize) -> usize; 3] = [|_| 0, |len| len / 2, |len| len - 1];
    let mut samples = Vec::new();
    for choose in choose {
        let mut sample = tile;
        while sample.z < source.max_zoom {
            let below = source.below([sample]);
            let Some(next) = (!below.is_empty()).then(|| below[choose(below.len())]) else { break };
            sample = next;
        }
        if sample.z == source.max_zoom && !samples.contains(&sample) {
            samples.push(sample);
        }
    }
    samples
}

/// Whether all parts of a tile are usable, so that it can be stored.
fn is_whole(look: &Look) -> bool {
    !matches!(look, Look::Sequences(shown) if !shown.unusable.is_empty())
}

/// The error for the unusable parts of a tile, if there are any.
pub(super) fn unusable(tile: TileId, shown: &Shown) -> Option<Error> {
    let named = shown.unusable.iter().take(MAX_LISTED).map(String::as_str).collect::<Vec<_>>().join(", ");
    let more = shown.unusable.len().saturating_sub(MAX_LISTED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    (!shown.unusable.is_empty()).then(|| {
        Error::new(ErrorKind::Malformed, "use all of the tile")
            .with_subject(tile.to_string())
            .with_source(format!("{named}{more}; its other sequences are used ({})", shown.sequences.len()))
    })
}
