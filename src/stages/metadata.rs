//! From images to their metadata.

use futures::{StreamExt, stream};

use super::batches::{Fetched, ImageRequest, Rows, fetch_batches, fetch_images};
use super::{Stage, stop_if_too_many_missing};
use crate::client::{BatchFound, Class, Client, KnownMetadata, MAX_BATCH, RetryOverride};
use crate::error::Result;
use crate::model::Fields;
use crate::model::{Image, Metadata};
use crate::observe::{Event, Step};
use crate::sources::RecordStream;

/// Fields that are expensive for the server and make batches fail. They are requested for one image at a time.
const HEAVY: [&str; 3] = ["sfm_cluster", "mesh", "detections"];

/// Records that may wait for a late one: about 50 MB.
const MAX_WAITING: usize = 65_536;

/// Fetches the metadata of images in batches. Records keep the order of the images.
///
/// - An image that is missing from a response is requested again on its own.
/// - A batch that fails is split until the image that causes the failure is found.
/// - An image that was deleted on Mapillary yields one error of kind [`Gone`](crate::ErrorKind::Gone).
/// - Records are matched to images by id. Images in a response that were not requested are errors of kind
///   [`Malformed`](crate::ErrorKind::Malformed) after the records of the batch.
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

/// A request for fields of images.
#[derive(Clone)]
struct MetadataRequest(Fields);

impl ImageRequest for MetadataRequest {
    type Found = Metadata;

    const DOING: &'static str = "fetch metadata of image";
    /// Three levels lead from 50 images to one.
    const SPLIT_PARTS: usize = 4;

    async fn batch(
        &self,
        client: &Client,
        images: &[Image],
        retry: RetryOverride,
    ) -> Result<BatchFound<Result<Metadata>>> {
        let BatchFound { records, unrequested } = client.batch(images, &self.0, retry).await?;
        let records = records.into_iter().map(|(id, record)| (id, Ok(record))).collect();
        Ok(BatchFound { records, unrequested })
    }

    async fn single(&self, client: &Client, image: &Image, retry: RetryOverride) -> Result<Metadata> {
        client.single(image, &self.0, retry).await
    }

    fn is_stored(client: &Client, image: &Image) -> bool {
        client.has_stored_batch(image)
    }
}

impl Stage<Image> for FetchMetadata {
    type Out = Metadata;

    fn apply(self, images: RecordStream<Image>) -> RecordStream<Metadata> {
        let heavy = self.fields.names().iter().any(|field| HEAVY.contains(field));
        let size = if heavy { 1 } else { self.batch_size };
        let (client, observer) = (self.client.clone(), self.client.clone());
        let request = MetadataRequest(self.fields.request_fields());
        let fields = self.fields;
        let weight = |batch: &Rows<Metadata>| batch.rows.len();
        let fetched = fetch_batches(&self.client, request, images, size, MAX_WAITING, weight)
            .map(move |batch| {
                let fields = fields.clone();
                let records = batch.rows.into_iter().map(move |row| {
                    row.map(|(image, record)| {
                        let mut record = Metadata { seq_id: image.seq_id, ..record };
                        record.fill(&fields);
                        record
                    })
                });
                // It belongs to no input, so it counts as one.
                let observer = observer.clone();
                let unrequested = batch.unrequested.into_iter().map(move |error| {
                    observer.emit(&Event::InputStarted { step: Step::METADATA });
                    Err(error)
                });
                stream::iter(records.chain(unrequested))
            })
            .flatten();
        stop_if_too_many_missing(fetched, client, Class::Entity)
    }
}

/// Fetches the current metadata of images, without the response store.
pub(crate) async fn refetch(client: &Client, fields: Fields, images: &[Image]) -> Fetched<Metadata> {
    let mut fetched = fetch_images(client.bypassing_store(), MetadataRequest(fields), images).await;
    for image in images {
        if let Some(Ok(record)) = fetched.results.get_mut(&image.img_id) {
            record.seq_id.clone_from(&image.seq_id);
        }
    }
    fetched
}
