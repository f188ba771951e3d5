//! Images to what the API knows of them.

use std::collections::HashMap;

use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt, stream};
use tokio_util::task::AbortOnDropHandle;

use super::in_order::{Bounds, in_order};
use super::{Stage, end_in_doubt};
use crate::client::{BatchFound, Class, Client, MAX_BATCH, RetryOverride};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Image, ImageId, Metadata};
use crate::observe::{Event, Step};
use crate::record::Fields;
use crate::sources::RecordStream;

const DOING: &str = "fetch metadata of image";

/// Fields that make batches fail with "service unavailable", and cost the server dearly: they are asked for singly.
const HEAVY: [&str; 3] = ["sfm_cluster", "mesh", "detections"];

/// A batch that fails is split into so many parts. Three levels then lead from 50 images to one.
const PARTS: usize = 4;

/// While the host answers, a batch that fails is split after so many attempts; a part of one after the first.
const BATCH_ATTEMPTS: u32 = 2;

/// Attempts that an image gets alone at the least, however often it failed within batches.
const LEAST_ALONE: u32 = 2;

/// Records that may wait for an earlier one that is late: some 50 MB.
const MOST_WAITING: usize = 65_536;

/// Fetches the metadata of images, in batches, and gives the records in the order of the images.
///
/// An image that an answer lacks is asked for alone; a batch that fails is
/// split until the image that spoils it is found. An image that exists no
/// longer gives one error of kind [`ErrorKind::Gone`] in its place. Records are
/// matched to images by id; where an answer holds images that were not requested,
/// an error of kind [`ErrorKind::Malformed`] follows the records of that batch.
///
/// ```
/// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use futures::{TryStreamExt, stream};
/// use streetflow::{FetchMetadata, Flow, ListImages, Metadata, Sequence, SequenceId};
/// use streetflow_sandbox::Sandbox;
///
/// let sandbox = Sandbox::start().await?;
/// let client = sandbox.client()?;
/// let seq_id = SequenceId::new(sandbox.world().sequences()[0].id())?;
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
    /// Asks through a client for the default fields, 50 images at a time.
    pub fn new(client: &Client) -> Self {
        Self { client: client.clone(), fields: Fields::default(), batch_size: MAX_BATCH }
    }

    /// The fields to ask for.
    pub fn fields(mut self, fields: &Fields) -> Self {
        self.fields = fields.clone();
        self
    }

    /// How many images one request names, 1 to 50; other sizes are brought into that range.
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
        let (ahead, client) = (self.client.concurrency(), self.client.clone());
        let asked = self.fields.asked();
        let fields = self.fields;
        let observer = self.client.clone();
        let batches = batches(images, size, self.client.clone());
        let start = move |batch: Vec<Result<Image>>, place| {
            // In a task of its own, a search for a spoilt image goes on while records before it are dealt with.
            let ids: Vec<_> = batch.iter().flatten().map(|image| image.img_id.clone()).collect();
            let task = tokio::spawn(fetch_rows(self.client.with_slot(place), asked.clone(), batch));
            let task = AbortOnDropHandle::new(task);
            async move { task.await.unwrap_or_else(|panic| Rows::crashed(&ids, &panic)) }
        };
        let fetched = in_order(batches, Bounds::of(ahead, MOST_WAITING), start, |batch| batch.rows.len())
            .map(move |mut batch| {
                batch.rows.iter_mut().flatten().for_each(|record| record.fill(&fields));
                // Nothing entered the step for it, so it enters now, and fails.
                let observer = observer.clone();
                let unrequested = batch.unrequested.into_iter().map(move |error| {
                    observer.emit(&Event::InputStarted { step: Step::METADATA });
                    Err(error)
                });
                stream::iter(batch.rows.into_iter().chain(unrequested))
            })
            .flatten();
        end_in_doubt(fetched, client, Class::Entity)
    }
}

/// What is known now of some images, whatever the store has.
pub(crate) async fn fetch_anew(client: &Client, fields: Fields, images: &[Image]) -> Fetched {
    Fetch::new(client.bypassing_store(), fields).all(images, 0).await
}

/// The results of some images, by id.
#[derive(Default)]
pub(crate) struct Fetched {
    /// None for an image only if there is a fatal error.
    pub(crate) results: HashMap<ImageId, Result<Metadata>>,
    /// Ends the run.
    pub(crate) fatal: Option<Error>,
    /// Errors about images in answers that were not requested.
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

    /// The result for a row; `again` if another row names the same image.
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

/// What becomes of one batch of the stream.
struct Rows {
    /// One item for each of the batch, in its order, up to a fatal error.
    rows: Vec<Result<Metadata>>,
    unrequested: Vec<Error>,
}

impl Rows {
    fn crashed(ids: &[ImageId], panic: &tokio::task::JoinError) -> Self {
        let crashed = |id: &ImageId| {
            let error = Error::new(ErrorKind::Unavailable, DOING).with_subject(id.as_str());
            Err(error.with_source(panic.to_string()))
        };
        Self { rows: ids.iter().map(crashed).collect(), unrequested: Vec::new() }
    }
}

/// Cuts a stream into batches of so many images. Errors travel along in place and take no room in the request.
///
/// Where an unfinished run began a batch, one begins again: else a sequence that failed then and is there now would
/// put all batches behind it out of step with those that are kept.
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

/// One batch being fetched.
struct Fetch {
    client: Client,
    fields: Fields,
    /// Good answers of the host before the batch was sent: if there are more now, it answers others.
    answers: u64,
}

/// Fetches a batch and puts each result in the place of its image; errors stay in theirs.
async fn fetch_rows(client: Client, fields: Fields, batch: Vec<Result<Image>>) -> Rows {
    let images: Vec<Image> = batch.iter().filter_map(|item| item.as_ref().ok().cloned()).collect();
    let mut fetched = Fetch::new(client, fields).all(&images, 0).await;
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
        let answers = client.responses(Class::Entity);
        Self { client, fields, answers }
    }

    /// The result of each image; `depth` counts the batches they failed in.
    fn all<'a>(&'a self, images: &'a [Image], depth: u32) -> BoxFuture<'a, Fetched> {
        let fetch = async move {
            let patience = match depth {
                0 => RetryOverride { max_attempts: Some(BATCH_ATTEMPTS), ..RetryOverride::default() },
                _ => RetryOverride {
                    max_attempts: Some(1),
                    min_responses: Some(self.answers),
                    ..RetryOverride::default()
                },
            };
            let found = match images {
                [] => return Fetched::default(),
                [_] => BatchFound::default(),
                _ => match self.client.batch(images, &self.fields, patience).await {
                    Ok(found) => found,
                    Err(error) if self.may_be_spoilt(&error, depth) => {
                        let parts = images.chunks(images.len().div_ceil(PARTS));
                        let parts = parts.map(|part| self.all(part, depth + 1));
                        let parts = futures::future::join_all(parts).await.into_iter();
                        return parts.reduce(Fetched::merge).unwrap_or_default();
                    }
                    Err(error) if error.is_fatal() => return Fetched::fatal(error),
                    Err(error) => return failed(images, &error),
                },
            };
            self.complete(images, found, depth).await
        };
        fetch.boxed()
    }

    /// Asks alone for each image that the answer lacks.
    async fn complete(&self, images: &[Image], found: BatchFound, depth: u32) -> Fetched {
        let missing = images.iter().filter(|image| !found.records.contains_key(&image.img_id));
        let alone = missing.map(async |image| (&image.img_id, self.one(image, depth).await));
        let alone = futures::future::join_all(alone).await;
        let results = found.records.into_iter().map(|(id, record)| (id, Ok(record))).collect();
        let mut fetched = Fetched { results, fatal: None, unrequested: found.unrequested };
        for (id, result) in alone {
            fetched.put(id, result);
        }
        fetched
    }

    async fn one(&self, image: &Image, depth: u32) -> Result<Metadata> {
        // The batches it failed in count as attempts, if the host answers others meanwhile.
        let failed = if depth == 0 { 0 } else { BATCH_ATTEMPTS + depth - 1 };
        let attempts = self.client.max_attempts().saturating_sub(failed).max(LEAST_ALONE);
        let patience = RetryOverride {
            max_attempts: Some(attempts),
            min_responses: Some(self.answers),
            ..RetryOverride::default()
        };
        let found = self.client.single(image, &self.fields, patience).await;
        found.map_err(|error| match error.kind() {
            // Where a gone image was is worth more than its id.
            ErrorKind::Gone => error.with_subject(format!("{} of sequence {}", image.img_id, image.seq_id)),
            _ => error,
        })
    }

    /// Whether one image may spoil the batch. A server in trouble looks the same, so a part is split only while the
    /// host answers others; what has to be split has three levels at the most.
    fn may_be_spoilt(&self, error: &Error, depth: u32) -> bool {
        match error.kind() {
            ErrorKind::Gone | ErrorKind::Rejected | ErrorKind::TooLarge => true,
            ErrorKind::Unavailable | ErrorKind::Malformed => {
                let gave_up_early = error.attempts() < self.client.max_attempts();
                let answers_others = self.client.responses(Class::Entity) > self.answers;
                gave_up_early || depth == 0 || (answers_others && self.client.is_host_healthy(Class::Entity))
            }
            _ => false,
        }
    }
}

/// The error of a batch, said of each of its images.
fn failed(images: &[Image], error: &Error) -> Fetched {
    let of_image =
        |image: &Image| (image.img_id.clone(), Err(error.for_subject(DOING, image.img_id.as_str())));
    Fetched { results: images.iter().map(of_image).collect(), ..Fetched::default() }
}

/// Guards against a row that would vanish without a word.
fn no_result(image: &Image) -> Error {
    Error::new(ErrorKind::Malformed, DOING)
        .with_subject(image.img_id.as_str())
        .with_source("no answer was about it")
}
