//! Which tiles of map features can have any: those near lines of sequences.

use std::sync::Arc;

use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt, stream};

use super::FeatureSource;
use super::progress::Progress;
use crate::error::{Error, ErrorKind, Result};
use crate::geo::{MAX_ZOOM, TileId};
use crate::observe::{Event, Step};
use crate::sources::mvt::{self, TileFilter};
use crate::sources::tiles::ALL_LINES;

/// Maximum distance of a feature from the line of a sequence that saw it, in metres. Features are computed from several
/// images, and nearly all are closer than 50 m.
const MAX_DISTANCE: f64 = 100.0;

/// Minimum margin around a line, in units of 1/4096 of a tile's side, because lines are rounded and simplified.
const MIN_MARGIN: f64 = 8.0;

/// Coarse tiles in flight. Each leads to several tiles of features.
const IN_FLIGHT: usize = 4;

/// The Earth's circumference in web mercator, in metres.
const EQUATOR: f64 = 40_075_016.685_578_5;

/// What a coarse tile of images shows.
enum Shown {
    /// Tiles of the last level near lines.
    Near(Vec<TileId>),
    /// The tiles of the next level must be read.
    Descend,
    Nothing,
}

impl FeatureSource {
    /// The tiles of map features to read, in quadkey order, in groups.
    pub(super) fn tiles_to_read(&self, progress: &Arc<Progress>) -> BoxStream<'static, Result<Vec<TileId>>> {
        let all = self.tiles_in_area();
        let zoom = if self.is_exhaustive { None } else { self.walk.coverage_zoom() };
        let Some(zoom) = zoom else {
            progress.plan(&self.client, 0, all, self.tilesets.len());
            let source = self.clone();
            // From the tiles of a coarser level, because the area may have millions.
            let roots = self.walk.cover(ALL_LINES, usize::MAX).unwrap_or_default();
            return stream::iter(roots).map(move |root| Ok(source.tiles_below(root))).boxed();
        };
        let roots = self.walk.cover(zoom, usize::MAX).unwrap_or_default();
        progress.plan(&self.client, roots.len() as u64, all, self.tilesets.len());
        let (source, progress) = (self.clone(), Arc::clone(progress));
        stream::iter(roots)
            .map(move |root| source.clone().near_lines(root, Arc::clone(&progress)))
            .buffered(IN_FLIGHT)
            .boxed()
    }

    fn tiles_below(&self, root: TileId) -> Vec<TileId> {
        let mut tiles = vec![root];
        for _ in root.z..MAX_ZOOM {
            tiles = self.walk.below(tiles);
        }
        tiles
    }

    /// Returns the tiles of the last level below a coarse tile that are near lines.
    ///
    /// A coarse tile only saves requests. So one that can't be read is replaced by the tiles below it.
    fn near_lines(self, tile: TileId, progress: Arc<Progress>) -> BoxFuture<'static, Result<Vec<TileId>>> {
        async move {
            if tile.z == MAX_ZOOM {
                progress.found(&self.client, 1);
                return Ok(vec![tile]);
            }
            self.client.emit(&Event::InputStarted { step: Step::FEATURES });
            let area = self.area.clone();
            let shown = self.client.parsed_tile(tile, move |bytes| shown(bytes, tile, &area), |_| true).await;
            let below = match shown {
                Ok(Shown::Near(near)) if !near.is_empty() => {
                    self.client.emit(&Event::InputDone { step: Step::FEATURES });
                    progress.coverage_tile_read(0);
                    progress.found(&self.client, near.len());
                    return Ok(near);
                }
                Ok(Shown::Near(_) | Shown::Nothing) => {
                    self.client.emit(&Event::TilePruned { tile });
                    progress.coverage_tile_read(0);
                    progress.found(&self.client, 0);
                    return Ok(Vec::new());
                }
                Ok(Shown::Descend) => self.walk.below([tile]),
                Err(error) if error.is_fatal() => return Err(error),
                Err(error) => {
                    self.client.emit(&Event::TileSplit { tile, error: &error });
                    self.walk.below([tile])
                }
            };
            self.client.emit(&Event::InputDone { step: Step::FEATURES });
            progress.coverage_tile_read(if tile.z + 1 < MAX_ZOOM { below.len() } else { 0 });
            let mut near = Vec::new();
            for tile in below {
                near.extend(self.clone().near_lines(tile, Arc::clone(&progress)).await?);
            }
            Ok(near)
        }
        .boxed()
    }
}

fn shown(bytes: &[u8], tile: TileId, area: &crate::geo::Area) -> Result<Shown> {
    let malformed = |fault| Error::new(ErrorKind::Malformed, "").with_source(fault);
    if tile.z < ALL_LINES {
        let has_lines = mvt::shows(bytes, &TileFilter::default()).map_err(malformed)?;
        return Ok(if has_lines { Shown::Descend } else { Shown::Nothing });
    }
    let near = mvt::tiles_near_lines(bytes, tile, area, MAX_ZOOM, margin(tile)).map_err(malformed)?;
    Ok(near.map_or(Shown::Descend, Shown::Near))
}

/// The margin around lines in units of 1/4096 of a tile's side.
fn margin(tile: TileId) -> f64 {
    let latitude = tile.lonlat(0.5, 0.5, 1.0).lat;
    let unit = EQUATOR * latitude.to_radians().cos() / f64::from(tile.z).exp2() / 4096.0;
    (MAX_DISTANCE / unit).max(MIN_MARGIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_margin_is_a_hundred_metres_at_every_latitude() {
        for (z, y, low, high) in
            [(10, 405, 12.0, 14.0), (10, 512, 10.0, 11.0), (10, 200, 35.0, 37.0), (13, 3_240, 98.0, 106.0)]
        {
            let margin = margin(TileId { z, x: 600, y });
            assert!((low..high).contains(&margin), "{z} {y}: {margin}");
        }
        assert!(
            (margin(TileId { z: 6, x: 30, y: 32 }) - MIN_MARGIN).abs() < 1e-9,
            "never less than the rounding"
        );
    }
}
