//! From images to their metadata.

use std::collections::HashMap;

use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt, stream};
use tokio_util::task::AbortOnDropHandle;

use super::in_order::{Bounds, in_order};
use super::{Stage, stop_if_too_many_missing};
use crate::client::{BatchFound, Class, Client, KnownMetadata, MAX_BATCH, RetryOverride};
use crate::error::{Error, ErrorKind, Result};
use crate::model::Fields;
use crate::model::{Image, ImageId, Metadata};
use crate::observe::{Event, Step};
use crate::sources::RecordStream;

const DOING: &str = "fetch metadata of image";

/// Fields that are expensive for the server and make batches fail. They are requested for one image at a time.
const HEAVY: [&str; 3] = ["sfm_cluster", "mesh", "detections"];

/// Number of parts that a failed batch is split into. Three levels lead from 50 images to one.
const SPLIT_PARTS: usize = 4;

/// Attempts before a batch is split, while the host responds to others. A part of a batch gets one.
const BATCH_ATTEMPTS: u32 = 2;

/// Minimum attempts for a single image, however often its batches failed.
const MIN_SINGLE_ATTEMPTS: u32 = 2;

/// Records that may wait for a late one: about 50 MB.
const MAX_WAITING: usize = 65_536;

/// Fetches the metadata of images in batches. Records keep the order of the images.
///
/// - An image that is missing from a response is requested again on its own.
/// - A batch that fails is split until the image that causes the failure is found.
/// - An image that was deleted on Mapillary yields one error of kind [`ErrorKind::Gone`].
/// - Records are matched to images by id. Images in a response that were not requested are errors of kind
///   [`ErrorKind::Malformed`] after the records of the batch.
///
/// ```
/// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use futures::{TryStreamExt, stream};
/// use streetflow::{FetchMetadata, Flow, ListImages, Metadata, Sequence, SequenceId};
/// use streetflow_sandbox::Sandbox;
///
/// let sandbox = Sandbox::start().await?;
/// let client = sandbox.client()?;
/// let seq_id = SequenceId::new(sandbox.mock_data().sequences()[0].id())?;
/// let images: Vec<Metadata> = Flow::from(stream::iter([Ok(Sequence { org_id: None, seq_id })]))
///     .then(ListImages::new(&client))
///     .take(3)
///     .then(FetchMetadata::new(&client).fields(&"captured_at,creator".parse()?))
///     .try_collect()
///     .await?;
/// assert!(images.iter().all(|image| image.captured_at.is_some() && image.width.is_none()));
/// # assert_eq!(images.len(), 3);
/// # Ok(()) }
/// ```
#[derive(Clone)]
#[must_use]
pub struct FetchMetadata {
    client: Client,
    fields: Fields,
    batch_size: usize,
}

impl FetchMetadata {
    /// Fetches the default fields through a client, 50 images per request.
    pub fn new(client: &Client) -> Self {
        Self { client: client.clone(), fields: Fields::default(), batch_size: MAX_BATCH }
    }

    /// Sets the fields to fetch.
    pub fn fields(mut self, fields: &Fields) -> Self {
        self.fields = fields.clone();
        self
    }

    /// Sets the metadata of an earlier table. Only other images, and fields that the table lacks, are requested.
    pub fn known(mut self, known: &KnownMetadata) -> Self {
        self.client = self.client.with_known(known);
        self
    }

    /// Sets the number of images per request, clamped to 1 to 50.
    pub fn batch_size(mut self, images: usize) -> Self {
        self.batch_size = images.clamp(1, MAX_BATCH);
        self
    }
}

impl Stage<Image> for FetchMetadata {
    type Out = Metadata;

    fn apply(self, images: RecordStream<Image>) -> RecordStream<Metadata> {
        let heavy = self.fields.names().iter().any(|field| HEAVY.contains(field));
        let size = if heavy { 1 } else { self.batch_size };
        let (concurrency, client) = (self.client.concurrency(), self.client.clone());
        let request_fields = self.fields.request_fields();
        let fields = self.fields;
        let observer = self.client.clone();
        let batches = batches(images, size, self.client.clone());
        let start = move |batch: Vec<Result<Image>>, permit| {
            // A task of its own, so that the search for a bad image continues while earlier records are processed.
            let ids: Vec<_> = batch.iter().flatten().map(|image| image.img_id.clone()).collect();
            let task = tokio::spawn(fetch_rows(self.client.with_slot(permit), request_fields.clone(), batch));
            let task = AbortOnDropHandle::new(task);
            async move { task.await.unwrap_or_else(|panic| Rows::panicked(&ids, &panic)) }
        };
        let fetched =
            in_order(batches, Bounds::new(concurrency, MAX_WAITING), start, |batch| batch.rows.len())
                .map(move |mut batch| {
                    batch.rows.iter_mut().flatten().for_each(|record| record.fill(&fields));
                    // It belongs to no input, so it counts as one.
                    let observer = observer.clone();
                    let unrequested = batch.unrequested.into_iter().map(move |error| {
                        observer.emit(&Event::InputStarted { step: Step::METADATA });
                        Err(error)
                    });
                    stream::iter(batch.rows.into_iter().chain(unrequested))
                })
                .flatten();
        stop_if_too_many_missing(fetched, client, Class::Entity)
    }
}

/// Fetches the current metadata of images, without the response store.
pub(crate) async fn refetch(client: &Client, fields: Fields, images: &[Image]) -> Fetched {
    Fetch::new(client.bypassing_store(), fields).fetch(images, 0).await
}

/// The results of some images, by id.
#[derive(Default)]
pub(crate) struct Fetched {
    /// `None` for an image only after a fatal error.
    pub(crate) results: HashMap<ImageId, Result<Metadata>>,
    /// The error that ends the run.
    pub(crate) fatal: Option<Error>,
    /// Errors about images in responses that were not requested.
    pub(crate) unrequested: Vec<Error>,
}

impl Fetched {
    fn fatal(error: Error) -> Self {
        Self { fatal: Some(error), ..Self::default() }
    }

    fn put(&mut self, id: &ImageId, result: Result<Metadata>) {
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
    fn row(&mut self, row: &Image, again: bool) -> Option<Result<Metadata>> {
        let result = if again {
            match self.results.get(&row.img_id)? {
                Ok(record) => Ok(record.clone()),
                Err(error) => Err(error.for_subject(DOING, row.img_id.as_str())),
            }
        } else {
            self.results.remove(&row.img_id)?
        };
        Some(result.map(|record| Metadata { seq_id: row.seq_id.clone(), ..record }))
    }
}

/// The results of one batch of the stream.
struct Rows {
    /// One item for each of the batch, in order, up to a fatal error.
    rows: Vec<Result<Metadata>>,
    unrequested: Vec<Error>,
}

impl Rows {
    fn panicked(ids: &[ImageId], panic: &tokio::task::JoinError) -> Self {
        let panicked = |id: &ImageId| {
            let error = Error::new(ErrorKind::Unavailable, DOING).with_subject(id.as_str());
            Err(error.with_source(panic.to_string()))
        };
        Self { rows: ids.iter().map(panicked).collect(), unrequested: Vec::new() }
    }
}

/// Splits a stream into batches. Errors stay in place and do not count.
///
/// A batch of an unfinished run starts at the same image again. Otherwise, a sequence that failed in that run would shift
/// all batches behind it, and their stored responses would not match.
fn batches(
    images: RecordStream<Image>,
    size: usize,
    client: Client,
) -> impl futures::Stream<Item = Vec<Result<Image>>> + Send {
    let images = Box::pin(images.peekable());
    stream::unfold(Some((images, client)), move |state| async move {
        let (mut images, client) = state?;
        let (mut batch, mut good) = (Vec::new(), 0);
        while good < size && batch.len() < 4 * size {
            if good > 0
                && matches!(images.as_mut().peek().await, Some(Ok(image)) if client.has_stored_batch(image))
            {
                break;
            }
            let Some(item) = images.next().await else {
                return (!batch.is_empty()).then_some((batch, None));
            };
            let fatal = item.as_ref().is_err_and(Error::is_fatal);
            good += usize::from(item.is_ok());
            batch.push(item);
            if fatal {
                return Some((batch, None));
            }
        }
        Some((batch, Some((images, client))))
    })
}

/// One batch in flight.
struct Fetch {
    client: Client,
    fields: Fields,
    /// Successful responses of the host before the batch was sent. If there are more later, the host responds to others.
    responses: u64,
}

/// Fetches a batch and returns the results in the order of its rows. Errors of the stream stay in place.
async fn fetch_rows(client: Client, fields: Fields, batch: Vec<Result<Image>>) -> Rows {
    let images: Vec<Image> = batch.iter().filter_map(|item| item.as_ref().ok().cloned()).collect();
    let mut fetched = Fetch::new(client, fields).fetch(&images, 0).await;
    let mut rows = Vec::with_capacity(batch.len());
    let mut left = images.as_slice();
    for item in batch {
        let row = match item {
            Err(error) => Err(error),
            Ok(image) => {
                left = &left[1..];
                let again = left.iter().any(|later| later.img_id == image.img_id);
                let result = fetched.row(&image, again).or_else(|| fetched.fatal.take().map(Err));
                result.unwrap_or_else(|| Err(no_result(&image)))
            }
        };
        let last = row.as_ref().is_err_and(Error::is_fatal);
        rows.push(row);
        if last {
            break;
        }
    }
    Rows { rows, unrequested: fetched.unrequested }
}

impl Fetch {
    fn new(client: Client, fields: Fields) -> Self {
        let responses = client.responses(Class::Entity);
        Self { client, fields, responses }
    }

    /// Fetches images; `depth` is the number of batches in which they failed.
    fn fetch<'a>(&'a self, images: &'a [Image], depth: u32) -> BoxFuture<'a, Fetched> {
        let fetch = async move {
            let patience = match depth {
                0 => RetryOverride { max_attempts: Some(BATCH_ATTEMPTS), ..RetryOverride::default() },
                _ => RetryOverride {
                    max_attempts: Some(1),
                    min_responses: Some(self.responses),
                    ..RetryOverride::default()
                },
            };
            let found = match images {
                [] => return Fetched::default(),
                [_] => BatchFound::default(),
                _ => match self.client.batch(images, &self.fields, patience).await {
                    Ok(found) => found,
                    Err(error) if self.may_have_bad_image(&error, depth) => {
                        let parts = images.chunks(images.len().div_ceil(SPLIT_PARTS));
                        let parts = parts.map(|part| self.fetch(part, depth + 1));
                        let parts = futures::future::join_all(parts).await.into_iter();
                        return parts.reduce(Fetched::merge).unwrap_or_default();
                    }
                    Err(error) if error.is_fatal() => return Fetched::fatal(error),
                    Err(error) => return fail_all(images, &error),
                },
            };
            self.complete(images, found, depth).await
        };
        fetch.boxed()
    }

    /// Fetches single images that the response lacks.
    async fn complete(&self, images: &[Image], found: BatchFound, depth: u32) -> Fetched {
        let missing = images.iter().filter(|image| !found.records.contains_key(&image.img_id));
        let alone = missing.map(async |image| (&image.img_id, self.fetch_single(image, depth).await));
        let alone = futures::future::join_all(alone).await;
        let results = found.records.into_iter().map(|(id, record)| (id, Ok(record))).collect();
        let mut fetched = Fetched { results, fatal: None, unrequested: found.unrequested };
        for (id, result) in alone {
            fetched.put(id, result);
        }
        fetched
    }

    async fn fetch_single(&self, image: &Image, depth: u32) -> Result<Metadata> {
        // Attempts within failed batches count, if the host responds to others meanwhile.
        let failed = if depth == 0 { 0 } else { BATCH_ATTEMPTS + depth - 1 };
        let attempts = self.client.max_attempts().saturating_sub(failed).max(MIN_SINGLE_ATTEMPTS);
        let patience = RetryOverride {
            max_attempts: Some(attempts),
            min_responses: Some(self.responses),
            ..RetryOverride::default()
        };
        let found = self.client.single(image, &self.fields, patience).await;
        found.map_err(|error| match error.kind() {
            // The sequence is more useful than the id of a deleted image.
            ErrorKind::Gone => error.with_subject(format!("{} of sequence {}", image.img_id, image.seq_id)),
            _ => error,
        })
    }

    /// Whether a single image may cause the failure. An overloaded server looks the same, so a part is split only while
    /// the host responds to others, or if the error requires it. There are at most three levels.
    fn may_have_bad_image(&self, error: &Error, depth: u32) -> bool {
        match error.kind() {
            ErrorKind::Gone | ErrorKind::Rejected | ErrorKind::TooLarge => true,
            ErrorKind::Unavailable | ErrorKind::Malformed => {
                let gave_up_early = error.attempts() < self.client.max_attempts();
                let responds_to_others = self.client.responses(Class::Entity) > self.responses;
                gave_up_early
                    || depth == 0
                    || (responds_to_others && self.client.is_host_healthy(Class::Entity))
            }
            _ => false,
        }
    }
}

/// The error of a batch, for each of its images.
fn fail_all(images: &[Image], error: &Error) -> Fetched {
    let of_image =
        |image: &Image| (image.img_id.clone(), Err(error.for_subject(DOING, image.img_id.as_str())));
    Fetched { results: images.iter().map(of_image).collect(), ..Fetched::default() }
}

/// An error for a row that would be lost otherwise.
fn no_result(image: &Image) -> Error {
    Error::new(ErrorKind::Malformed, DOING)
        .with_subject(image.img_id.as_str())
        .with_source("no response contains it")
}
