//! Images to what the API knows of them.

use std::sync::atomic::{AtomicU32, Ordering};

use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt, stream};
use tokio_util::task::AbortOnDropHandle;

use super::{Stage, end_in_doubt};
use crate::client::{Class, Client, MAX_BATCH};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Image, ImageId, Metadata};
use crate::record::Fields;
use crate::sources::RecordStream;

/// Fields that make batches fail with "service unavailable", and cost the server dearly: they are asked for singly.
const HEAVY: [&str; 3] = ["sfm_cluster", "mesh", "detections"];

/// How many failing requests a batch may cost while looking for the image that spoils it.
const SEARCH_BUDGET: u32 = 14;

/// Fetches the metadata of images, in batches, and gives the records in the order of the images.
///
/// An image that an answer lacks is asked for alone; a batch that fails is
/// halved until the image that spoils it is found. An image that exists no
/// longer gives one error of kind [`ErrorKind::Gone`] in its place.
///
/// ```
/// # #[cfg(feature = "sandbox")]
/// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use futures::{TryStreamExt, stream};
/// use streetflow::{FetchMetadata, Flow, ListImages, Metadata, Sequence, SequenceId, sandbox::Sandbox};
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
/// # #[cfg(not(feature = "sandbox"))] fn main() {}
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
        let fetched = batches(images, size, self.client.clone())
            .map(move |batch| {
                // In a task of its own, a search for a spoilt image goes on while records before it are dealt with.
                let ids = batch.iter().flatten().map(|image| image.img_id.clone()).collect::<Vec<_>>();
                let task = tokio::spawn(Fetch::run(self.client.clone(), asked.clone(), batch));
                let task = AbortOnDropHandle::new(task);
                let crashed = move |panic| ids.iter().map(|id| Err(crashed(&panic, id))).collect();
                async { task.await.unwrap_or_else(crashed) }
            })
            .buffered(ahead)
            .map(move |mut batch| {
                batch.iter_mut().flatten().for_each(|record| record.fill(&fields));
                stream::iter(batch)
            })
            .flatten();
        end_in_doubt(fetched, client, Class::Entity)
    }
}

/// What is known now of some images, whatever the store has: a result each, in order, or one that is fatal.
pub(crate) async fn fetch_anew(client: &Client, fields: Fields, images: &[Image]) -> Vec<Result<Metadata>> {
    Fetch { client: client.anew(), fields, budget: AtomicU32::new(SEARCH_BUDGET) }.all(images).await
}

fn crashed(panic: &tokio::task::JoinError, id: &ImageId) -> Error {
    Error::new(ErrorKind::Unavailable, "fetch metadata of image")
        .subject(id.as_str())
        .because(panic.to_string())
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
                && matches!(images.as_mut().peek().await, Some(Ok(image)) if client.began_batch_with(image))
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
    /// Failing requests that the search may still cost.
    budget: AtomicU32,
}

impl Fetch {
    async fn run(client: Client, fields: Fields, batch: Vec<Result<Image>>) -> Vec<Result<Metadata>> {
        let images: Vec<Image> = batch.iter().filter_map(|item| item.as_ref().ok().cloned()).collect();
        let fetch = Self { client, fields, budget: AtomicU32::new(SEARCH_BUDGET) };
        let records = fetch.all(&images).await;
        if images.len() == batch.len() {
            return records;
        }
        let mut records = records.into_iter();
        let in_place = |item: Result<Image>| match item {
            Ok(_) => records.next(),
            Err(error) => Some(Err(error)),
        };
        batch.into_iter().filter_map(in_place).collect()
    }

    /// One result an image, in order; a fatal error may stand for all that come after it.
    fn all<'a>(&'a self, images: &'a [Image]) -> BoxFuture<'a, Vec<Result<Metadata>>> {
        let fetch = async move {
            let found = match images {
                [] => return Vec::new(),
                [only] => return vec![self.one(only).await],
                _ => self.client.images(images, &self.fields).await,
            };
            match found {
                Ok(found) => self.complete(images, found).await,
                Err(error) if self.worth_halving(&error) => {
                    let (left, right) = images.split_at(images.len() / 2);
                    let (mut results, rest) = futures::join!(self.all(left), self.all(right));
                    results.extend(rest);
                    results
                }
                Err(error) if error.is_fatal() => vec![Err(error)],
                Err(error) => images.iter().map(|image| failed_with(image, &error)).collect(),
            }
        };
        fetch.boxed()
    }

    /// Asks alone for each image that the answer lacks.
    async fn complete(&self, images: &[Image], found: Vec<Option<Metadata>>) -> Vec<Result<Metadata>> {
        if found.iter().all(Option::is_some) {
            return found.into_iter().filter_map(|found| found.map(Ok)).collect();
        }
        let each = images.iter().zip(found).map(|(image, found)| async move {
            match found {
                Some(record) => Ok(record),
                None => self.one(image).await,
            }
        });
        futures::future::join_all(each).await
    }

    async fn one(&self, image: &Image) -> Result<Metadata> {
        let found = self.client.image(image, &self.fields).await;
        found.map_err(|error| match error.kind() {
            // Where a gone image was is worth more than its id.
            ErrorKind::Gone => error.subject(format!("{} of sequence {}", image.img_id, image.seq_id)),
            _ => error,
        })
    }

    /// Whether one image may spoil the batch. A server in trouble looks the same, so for that the search is short.
    fn worth_halving(&self, error: &Error) -> bool {
        match error.kind() {
            ErrorKind::Gone | ErrorKind::Refused | ErrorKind::TooMuch => true,
            ErrorKind::Unavailable | ErrorKind::Malformed if error.status().is_some() => {
                let left = |left: u32| left.checked_sub(1);
                self.budget.fetch_update(Ordering::Relaxed, Ordering::Relaxed, left).is_ok()
            }
            _ => false,
        }
    }
}

/// The error of a batch, said of one of its images.
fn failed_with(image: &Image, error: &Error) -> Result<Metadata> {
    Err(error.again("fetch metadata of image", image.img_id.as_str()))
}
