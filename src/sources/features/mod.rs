//! The map features of an area, from vector tiles.
//!
//! Tile requests are scarce, and map features are in two tilesets of level 14, so an area has twice as many tiles of
//! features as of images. Where no image was taken, there are no features. So the source first reads coarse tiles of
//! images, which have the lines of all sequences, and requests only tiles of features near lines (`coverage.rs`).

mod coverage;
mod progress;

use std::collections::HashSet;
use std::sync::Arc;

use futures::{StreamExt, TryStreamExt, stream};

use self::progress::Progress;
use super::mvt::{self, Features};
use super::{RecordStream, Source, TileSource};
use crate::client::{Client, TileAddress, Tileset};
use crate::error::{Error, ErrorKind, Result};
use crate::geo::{Area, Bbox, MAX_ZOOM};
use crate::model::{FeatureKind, MapFeature};
use crate::observe::{Event, Step};

/// Maximum number of tiles in flight; the client may allow fewer.
const MAX_IN_FLIGHT: usize = 32;

/// Maximum number of unusable features of a tile that an error names.
const MAX_LISTED: usize = 5;

/// The map features of an area, each once, in a deterministic order: by tile, then by id.
///
/// Records have the values of tiles: class, kind, coordinates and the times of the first and the last sight. Two
/// features can be the same thing in the street. A feature without a place in its tile is one of the area. Memory grows
/// by about 50 bytes per feature.
///
/// # What is found
///
/// The features of all tiles within 100 m of a line of a sequence in the same coarse tile. Sequences without a line, such
/// as those of a single image, count only with [`FeatureSource::exhaustive`], which requests all tiles of the area.
///
/// ```
/// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use futures::TryStreamExt;
/// use streetflow::{Bbox, FeatureKind, FeatureSource, MapFeature, Source};
/// use streetflow_sandbox::Sandbox;
///
/// let sandbox = Sandbox::start().await?;
/// let nicosia: Bbox = "33.33,35.15,33.39,35.19".parse()?;
/// let signs = FeatureSource::within(&sandbox.client()?, nicosia).only(FeatureKind::Sign);
/// let signs: Vec<MapFeature> = signs.stream().try_collect().await?;
/// assert!(signs.len() > 50 && signs.iter().all(|sign| sign.kind == Some(FeatureKind::Sign)));
/// # Ok(()) }
/// ```
#[derive(Clone)]
#[must_use]
pub struct FeatureSource {
    client: Client,
    /// The area, and the levels above the last one.
    walk: TileSource,
    area: Area,
    tilesets: Vec<Tileset>,
    is_exhaustive: bool,
}

/// How many tiles a [`FeatureSource`] needs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct FeatureTiles {
    /// Coarse tiles of images, read to rule out others.
    pub coverage: u64,
    /// Tiles of map features to read, of all tilesets.
    pub to_read: u64,
    /// Tiles of map features that cover the area, of all tilesets.
    pub in_area: u64,
}

impl FeatureSource {
    /// Finds all map features in a box.
    pub fn within(client: &Client, bbox: Bbox) -> Self {
        Self::inside(client, bbox)
    }

    /// Finds all map features in an area, such as polygons or a circle.
    pub fn inside(client: &Client, area: impl Into<Area>) -> Self {
        let area = area.into();
        Self {
            client: client.clone(),
            walk: TileSource::inside(client, area.clone()),
            area,
            tilesets: vec![Tileset::TrafficSigns, Tileset::Points],
            is_exhaustive: false,
        }
    }

    /// Only finds features of this kind, with half as many requests.
    pub fn only(mut self, kind: FeatureKind) -> Self {
        self.tilesets = vec![match kind {
            FeatureKind::Sign => Tileset::TrafficSigns,
            FeatureKind::Object => Tileset::Points,
        }];
        self
    }

    /// Requests all tiles of the area, also where no sequence has a line.
    pub fn exhaustive(mut self) -> Self {
        self.is_exhaustive = true;
        self
    }

    /// Reads the coarse tiles, and counts the tiles of map features that are left to read.
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use streetflow::{Bbox, FeatureSource};
    /// use streetflow_sandbox::Sandbox;
    ///
    /// let sandbox = Sandbox::start().await?;
    /// let cyprus: Bbox = "32.19,34.52,34.18,35.49".parse()?;
    /// let tiles = FeatureSource::within(&sandbox.client()?, cyprus).count_tiles().await?;
    /// assert!(tiles.coverage + tiles.to_read < tiles.in_area / 20);
    /// # Ok(()) }
    /// ```
    pub async fn count_tiles(&self) -> Result<FeatureTiles> {
        let progress = Arc::new(Progress::default());
        let tiles =
            self.tiles_to_read(&progress).try_fold(0, |sum, tiles| async move { Ok(sum + tiles.len()) });
        let to_read = tiles.await? as u64 * self.tilesets.len() as u64;
        Ok(FeatureTiles { coverage: progress.coverage_read(), to_read, in_area: self.tiles_in_area() })
    }

    fn tiles_in_area(&self) -> u64 {
        self.walk.count(MAX_ZOOM) * self.tilesets.len() as u64
    }

    /// Reads a tile of map features.
    async fn read(self, address: TileAddress, progress: Arc<Progress>) -> Result<(TileAddress, Features)> {
        self.client.emit(&Event::InputStarted { step: Step::FEATURES });
        let area = self.area.clone();
        let parse = move |bytes: &[u8]| {
            let malformed = |fault| Error::new(ErrorKind::Malformed, "").with_source(fault);
            mvt::features(bytes, address.tile, &area).map_err(malformed)
        };
        let read = self.client.parsed_tile(address, parse, is_whole).await;
        progress.feature_tile_read(&self.client);
        read.map(|features| (address, features))
    }
}

impl Source for FeatureSource {
    type Item = MapFeature;

    fn stream(self) -> RecordStream<MapFeature> {
        let progress = Arc::new(Progress::default());
        let (client, mut seen) = (self.client.clone(), HashSet::new());
        let max_in_flight = client.concurrency().clamp(1, MAX_IN_FLIGHT);
        let tiles = self.tiles_to_read(&progress).flat_map({
            let tilesets = self.tilesets.clone();
            move |tiles| match tiles {
                Ok(tiles) => {
                    let tilesets = tilesets.clone();
                    let addresses = tiles.into_iter().flat_map(move |tile| {
                        tilesets
                            .clone()
                            .into_iter()
                            .map(move |tileset| Ok(TileAddress::from((tileset, tile))))
                    });
                    stream::iter(addresses).left_stream()
                }
                Err(error) => stream::once(std::future::ready(Err(error))).right_stream(),
            }
        });
        let read = tiles.map(move |address| {
            let (source, progress) = (self.clone(), Arc::clone(&progress));
            async move { source.read(address?, progress).await }
        });
        let records = read.buffered(max_in_flight).flat_map(move |read| {
            let (address, mut found) = match read {
                Ok(read) => read,
                Err(error) => return stream::once(std::future::ready(Err(error))).right_stream(),
            };
            found.features.retain(|feature| seen.insert(feature.feature_id.clone()));
            let mut end = Some((unusable(address, &found), client.clone()));
            let mut features = found.features.into_iter();
            let items = move || {
                if let Some(feature) = features.next() {
                    return Some(Ok(feature));
                }
                let (failure, client) = end.take()?;
                if failure.is_none() {
                    client.emit(&Event::InputDone { step: Step::FEATURES });
                }
                failure.map(Err)
            };
            stream::iter(std::iter::from_fn(items)).left_stream()
        });
        ended_by_fatal_error(records.boxed())
    }
}

/// Ends a stream after its first fatal error.
fn ended_by_fatal_error(records: RecordStream<MapFeature>) -> RecordStream<MapFeature> {
    let next = |records: Option<RecordStream<MapFeature>>| async move {
        let mut records = records?;
        let item = records.next().await?;
        let is_last = item.as_ref().is_err_and(Error::is_fatal);
        Some((item, (!is_last).then_some(records)))
    };
    stream::unfold(Some(records), next).boxed()
}

/// Whether all features of a tile are usable, so that it can be stored.
fn is_whole(features: &Features) -> bool {
    features.unusable.is_empty()
}

/// The error for the unusable features of a tile, if there are any.
fn unusable(address: TileAddress, found: &Features) -> Option<Error> {
    let named: Vec<_> = found.unusable.iter().take(MAX_LISTED).map(String::as_str).collect();
    let more = found.unusable.len().saturating_sub(MAX_LISTED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    (!named.is_empty()).then(|| {
        Error::new(ErrorKind::Malformed, "use all of the tile")
            .with_subject(address.subject())
            .with_source(format!("{}{more}; its other map features are used", named.join(", ")))
    })
}
