//! Requests about images in batches, shared by the stages that send them.
//!
//! A batch that fails is split until the image that causes the failure is found. Results keep the order of the images.

use std::collections::HashMap;
use std::future::Future;

use futures::future::BoxFuture;
use futures::{FutureExt, Stream};
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::task::AbortOnDropHandle;

use super::in_order::{Bounds, in_order};
use super::splitting::{BATCH_ATTEMPTS, Splitting, batches, no_result, panicked, results};
use crate::client::{BatchFound, Client, RetryOverride};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Image, ImageId};
use crate::sources::RecordStream;

/// Minimum attempts for a single image, however often its batches failed.
const MIN_SINGLE_ATTEMPTS: u32 = 2;

/// A request about images.
pub(super) trait ImageRequest: Clone + Send + Sync + 'static {
    /// What the API returns for an image.
    type Found: Clone + Send + 'static;

    /// Completes "failed to …" for an image.
    const DOING: &'static str;

    /// Number of parts that a failed batch is split into.
    const SPLIT_PARTS: usize;

    /// Requests several images at once.
    fn batch(
        &self,
        client: &Client,
        images: &[Image],
        retry: RetryOverride,
    ) -> impl Future<Output = Result<BatchFound<Result<Self::Found>>>> + Send;

    /// Requests one image.
    fn single(
        &self,
        client: &Client,
        image: &Image,
        retry: RetryOverride,
    ) -> impl Future<Output = Result<Self::Found>> + Send;

    /// Whether the response store has a batch that begins with an image.
    fn is_stored(client: &Client, image: &Image) -> bool;

    /// Whether an image probably needs no request, so that it does not count in a batch.
    fn is_known(&self, image: &Image) -> bool {
        let _ = image;
        false
    }
}

/// Requests images in batches of `size`. Yields the results of each batch, in the order of the images.
///
/// `weight` is the memory that a result needs while it waits for an earlier one, and `max_waiting` its limit.
pub(super) fn fetch_batches<R: ImageRequest>(
    client: &Client,
    request: R,
    images: RecordStream<Image>,
    size: usize,
    max_waiting: usize,
    weight: fn(&Rows<R::Found>) -> usize,
) -> impl Stream<Item = Rows<R::Found>> + Send + use<R> {
    let concurrency = client.concurrency();
    let store = client.clone();
    // A batch of an unfinished run starts at the same image again. Otherwise, a sequence that failed in that run would
    // shift all batches behind it, and their stored responses would not match.
    let known = request.clone();
    let batches =
        batches(images, size, move |image| R::is_stored(&store, image), move |image| !known.is_known(image));
    let client = client.clone();
    let start = move |batch: Vec<Result<Image>>, permit: OwnedSemaphorePermit| {
        // A task of its own, so that the search for a bad image continues while earlier records are processed.
        let ids: Vec<_> = batch.iter().flatten().map(|image| image.img_id.to_string()).collect();
        let task = tokio::spawn(fetch_rows(client.with_slot(permit), request.clone(), batch));
        let task = AbortOnDropHandle::new(task);
        async move {
            task.await.unwrap_or_else(|panic| Rows {
                rows: panicked(R::DOING, &ids, &panic),
                unrequested: Vec::new(),
            })
        }
    };
    in_order(batches, Bounds::new(concurrency, max_waiting), start, weight)
}

/// Requests images, without batches of a stream around them.
pub(super) async fn fetch_images<R: ImageRequest>(
    client: Client,
    request: R,
    images: &[Image],
) -> Fetched<R::Found> {
    Fetch::new(client, request).fetch(images, 0).await
}

/// The results of some images, by id.
pub(crate) struct Fetched<T> {
    /// `None` for an image only after a fatal error.
    pub(crate) results: HashMap<ImageId, Result<T>>,
    /// The error that ends the run.
    pub(crate) fatal: Option<Error>,
    /// Errors about images in responses that were not requested.
    pub(crate) unrequested: Vec<Error>,
}

impl<T> Default for Fetched<T> {
    fn default() -> Self {
        Self { results: HashMap::new(), fatal: None, unrequested: Vec::new() }
    }
}

impl<T: Clone> Fetched<T> {
    fn fatal(error: Error) -> Self {
        Self { fatal: Some(error), ..Self::default() }
    }

    fn put(&mut self, id: &ImageId, result: Result<T>) {
        match result {
            Err(error) if error.is_fatal() => self.fatal = self.fatal.take().or(Some(error)),
            result => drop(self.results.insert(id.clone(), result)),
        }
    }

    fn merge(mut self, other: Self) -> Self {
        self.results.extend(other.results);
        self.fatal = self.fatal.or(other.fatal);
        self.unrequested.extend(other.unrequested);
        self
    }

    /// Returns the result for a row. With `again`, another row needs the result of the same image.
    fn row(&mut self, doing: &'static str, row: &Image, again: bool) -> Option<Result<T>> {
        if !again {
            return self.results.remove(&row.img_id);
        }
        Some(match self.results.get(&row.img_id)? {
            Ok(found) => Ok(found.clone()),
            Err(error) => Err(error.for_subject(doing, row.img_id.as_str())),
        })
    }
}

/// The results of one batch of the stream.
pub(super) struct Rows<T> {
    /// One item for each of the batch, in order, up to a fatal error: the row and what the API returned for it.
    pub(super) rows: Vec<Result<(Image, T)>>,
    pub(super) unrequested: Vec<Error>,
}

/// One batch in flight.
struct Fetch<R> {
    client: Client,
    request: R,
    splitting: Splitting,
}

/// Fetches a batch and returns the results in the order of its rows. Errors of the stream stay in place.
async fn fetch_rows<R: ImageRequest>(
    client: Client,
    request: R,
    batch: Vec<Result<Image>>,
) -> Rows<R::Found> {
    let images: Vec<Image> = batch.iter().filter_map(|item| item.as_ref().ok().cloned()).collect();
    let mut fetched = Fetch::new(client, request).fetch(&images, 0).await;
    let mut left = images.as_slice();
    let rows = results(batch, |image| {
        left = &left[1..];
        let again = left.iter().any(|later| later.img_id == image.img_id);
        let result = fetched.row(R::DOING, &image, again);
        let result = result.or_else(|| fetched.fatal.take().map(Err));
        let result = result.unwrap_or_else(|| Err(no_result(R::DOING, image.img_id.as_str())));
        result.map(|found| (image, found))
    });
    Rows { rows, unrequested: fetched.unrequested }
}

impl<R: ImageRequest> Fetch<R> {
    fn new(client: Client, request: R) -> Self {
        Self { splitting: Splitting::new(&client), client, request }
    }

    /// Fetches images; `depth` is the number of batches in which they failed.
    fn fetch<'a>(&'a self, images: &'a [Image], depth: u32) -> BoxFuture<'a, Fetched<R::Found>> {
        let fetch = async move {
            let found = match images {
                [] => return Fetched::default(),
                [_] => BatchFound::default(),
                _ => match self.request.batch(&self.client, images, self.splitting.patience(depth)).await {
                    Ok(found) => found,
                    Err(error) if self.splitting.may_have_bad_item(&error, depth) => {
                        let parts = images.chunks(images.len().div_ceil(R::SPLIT_PARTS));
                        let parts = parts.map(|part| self.fetch(part, depth + 1));
                        let parts = futures::future::join_all(parts).await.into_iter();
                        return parts.reduce(Fetched::merge).unwrap_or_default();
                    }
                    Err(error) if error.is_fatal() => return Fetched::fatal(error),
                    Err(error) => return fail_all(R::DOING, images, &error),
                },
            };
            self.complete(images, found, depth).await
        };
        fetch.boxed()
    }

    /// Fetches single images that the response lacks.
    async fn complete(
        &self,
        images: &[Image],
        found: BatchFound<Result<R::Found>>,
        depth: u32,
    ) -> Fetched<R::Found> {
        let missing = images.iter().filter(|image| !found.records.contains_key(&image.img_id));
        let alone = missing.map(async |image| (&image.img_id, self.fetch_single(image, depth).await));
        let alone = futures::future::join_all(alone).await;
        let mut fetched = Fetched { results: found.records, fatal: None, unrequested: found.unrequested };
        for (id, result) in alone {
            fetched.put(id, result);
        }
        fetched
    }

    async fn fetch_single(&self, image: &Image, depth: u32) -> Result<R::Found> {
        // Attempts within failed batches count, if the host responds to others meanwhile.
        let failed = if depth == 0 { 0 } else { BATCH_ATTEMPTS + depth - 1 };
        let attempts = self.client.max_attempts().saturating_sub(failed).max(MIN_SINGLE_ATTEMPTS);
        let found = self.request.single(&self.client, image, self.splitting.attempts(attempts)).await;
        found.map_err(|error| match error.kind() {
            ErrorKind::Gone => about_gone(error, image),
            _ => error,
        })
    }
}

/// Names the image that is gone, and its sequence, which is more useful.
pub(super) fn about_gone(error: Error, image: &Image) -> Error {
    match image.seq_id.as_str() {
        "" => error.with_subject(image.img_id.as_str()),
        sequence => error.with_subject(format!("{} of sequence {sequence}", image.img_id)),
    }
}

/// The error of a batch, for each of its images.
fn fail_all<T: Clone>(doing: &'static str, images: &[Image], error: &Error) -> Fetched<T> {
    let of_image =
        |image: &Image| (image.img_id.clone(), Err(error.for_subject(doing, image.img_id.as_str())));
    Fetched { results: images.iter().map(of_image).collect(), ..Fetched::default() }
}
