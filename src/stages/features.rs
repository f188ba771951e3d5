//! From map features of tiles to those of the API.

use std::collections::HashMap;

use futures::future::{BoxFuture, join_all};
use futures::{FutureExt, StreamExt, stream};
use tokio_util::task::AbortOnDropHandle;

use super::in_order::{Bounds, in_order};
use super::splitting::{Splitting, batches, no_result, panicked, results};
use super::{Stage, stop_if_too_many_missing};
use crate::client::{Class, Client, FoundFeatures, MAX_BATCH, RetryOverride};
use crate::error::{Error, Result};
use crate::model::{FeatureId, MapFeature};
use crate::sources::RecordStream;

const DOING: &str = "fetch map feature";

/// Number of parts that a failed batch is split into. Three levels lead from 50 features to one.
const SPLIT_PARTS: usize = 4;

/// Records that may wait for a late one: about 50 MB.
const MAX_WAITING: usize = 65_536;

/// Fetches what tiles do not have: coordinates in full precision, the direction and the images that saw a feature.
///
/// Records keep their order. Values of the API replace those of tiles, except the times, which are finer in tiles. A
/// feature without coordinates in the API keeps those of its tile. A feature that the API does not know any more yields
/// one error of kind [`ErrorKind::Gone`](crate::ErrorKind::Gone). Requests have 50 features; a batch that fails is split.
///
/// ```
/// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use futures::TryStreamExt;
/// use streetflow::{Bbox, FeatureKind, FeatureSource, FetchFeatures, Flow, MapFeature, OnError};
/// use streetflow_sandbox::Sandbox;
///
/// let sandbox = Sandbox::start().await?;
/// let client = sandbox.client()?;
/// let nicosia: Bbox = "33.36,35.16,33.37,35.18".parse()?;
/// let signs: Vec<MapFeature> = Flow::from(FeatureSource::within(&client, nicosia).only(FeatureKind::Sign))
///     .then(FetchFeatures::new(&client))
///     .on_error(OnError::Skip)
///     .try_collect()
///     .await?;
/// assert!(signs.iter().all(|sign| sign.n_images.is_some()));
/// # Ok(()) }
/// ```
#[derive(Clone)]
#[must_use]
pub struct FetchFeatures {
    client: Client,
}

impl FetchFeatures {
    /// Sends the requests through a client.
    pub fn new(client: &Client) -> Self {
        Self { client: client.clone() }
    }
}

impl Stage<MapFeature> for FetchFeatures {
    type Out = MapFeature;

    fn apply(self, features: RecordStream<MapFeature>) -> RecordStream<MapFeature> {
        let (client, concurrency) = (self.client.clone(), self.client.concurrency());
        let start = move |batch: Vec<Result<MapFeature>>, permit| {
            let ids =
                batch.iter().flatten().map(|feature| feature.feature_id.to_string()).collect::<Vec<_>>();
            // A task of its own, so that requests continue while earlier records are processed.
            let task = AbortOnDropHandle::new(tokio::spawn(fetch_rows(self.client.with_slot(permit), batch)));
            async move { task.await.unwrap_or_else(|panic| panicked(DOING, &ids, &panic)) }
        };
        let bounds = Bounds::new(concurrency, MAX_WAITING);
        let rows = in_order(batches(features, MAX_BATCH, |_| false, |_| true), bounds, start, Vec::len)
            .flat_map(stream::iter);
        stop_if_too_many_missing(rows, client, Class::Entity)
    }
}

/// Fetches a batch and returns the results in the order of its rows, up to a fatal error.
async fn fetch_rows(client: Client, batch: Vec<Result<MapFeature>>) -> Vec<Result<MapFeature>> {
    let mut ids: Vec<FeatureId> = Vec::new();
    for feature in batch.iter().flatten() {
        if !ids.contains(&feature.feature_id) {
            ids.push(feature.feature_id.clone());
        }
    }
    let mut fetched = Fetch { splitting: Splitting::new(&client), client }.fetch(&ids, 0).await;
    results(batch, |feature| match fetched.results.get(&feature.feature_id) {
        Some(Ok(found)) => Ok(merged(feature, found)),
        Some(Err(error)) => Err(error.for_subject(DOING, feature.feature_id.as_str())),
        None => Err(fetched.fatal.take().unwrap_or_else(|| no_result(DOING, feature.feature_id.as_str()))),
    })
}

/// The values of the API, and those of the tile that it lacks. Times are milliseconds in tiles and seconds in the API.
fn merged(tile: MapFeature, api: &MapFeature) -> MapFeature {
    MapFeature {
        feature_id: tile.feature_id,
        value: api.value.clone().or(tile.value),
        kind: tile.kind,
        geometry: api.geometry.or(tile.geometry),
        first_seen_at: tile.first_seen_at.or(api.first_seen_at),
        last_seen_at: tile.last_seen_at.or(api.last_seen_at),
        object_type: api.object_type.clone(),
        aligned_direction: api.aligned_direction,
        n_images: api.n_images,
        image_ids: api.image_ids.clone(),
    }
}

/// The results of some features, by id.
#[derive(Default)]
struct Fetched {
    /// A feature has no result only after a fatal error.
    results: HashMap<FeatureId, Result<MapFeature>>,
    fatal: Option<Error>,
}

impl Fetched {
    fn put(&mut self, id: &FeatureId, result: Result<MapFeature>) {
        match result {
            Err(error) if error.is_fatal() => self.fatal = self.fatal.take().or(Some(error)),
            result => drop(self.results.insert(id.clone(), result)),
        }
    }

    fn merge(mut self, other: Self) -> Self {
        self.results.extend(other.results);
        self.fatal = self.fatal.or(other.fatal);
        self
    }
}

/// A batch in flight.
struct Fetch {
    client: Client,
    splitting: Splitting,
}

impl Fetch {
    /// Fetches features; `depth` is the number of batches in which they failed.
    fn fetch<'a>(&'a self, ids: &'a [FeatureId], depth: u32) -> BoxFuture<'a, Fetched> {
        async move {
            let found = match ids {
                [] => return Fetched::default(),
                [_] => FoundFeatures::new(),
                _ => match self.client.features(ids, self.splitting.patience(depth)).await {
                    Ok(found) => found,
                    Err(error) if self.splitting.may_have_bad_item(&error, depth) => {
                        let parts = ids.chunks(ids.len().div_ceil(SPLIT_PARTS));
                        let parts = join_all(parts.map(|part| self.fetch(part, depth + 1))).await;
                        return parts.into_iter().reduce(Fetched::merge).unwrap_or_default();
                    }
                    Err(error) if error.is_fatal() => {
                        return Fetched { fatal: Some(error), ..Fetched::default() };
                    }
                    Err(error) => {
                        let failed =
                            |id: &FeatureId| (id.clone(), Err(error.for_subject(DOING, id.as_str())));
                        return Fetched { results: ids.iter().map(failed).collect(), fatal: None };
                    }
                },
            };
            self.complete(ids, found).await
        }
        .boxed()
    }

    /// Fetches single features that the response lacks.
    async fn complete(&self, ids: &[FeatureId], found: FoundFeatures) -> Fetched {
        let missing = ids.iter().filter(|id| !found.contains_key(id));
        let alone =
            join_all(missing.map(async |id| (id, self.client.feature(id, RetryOverride::default()).await)))
                .await;
        let results = found.into_iter().map(|(id, record)| (id, Ok(record))).collect();
        let mut fetched = Fetched { results, fatal: None };
        for (id, result) in alone {
            fetched.put(id, result);
        }
        fetched
    }
}
