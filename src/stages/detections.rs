//! From images to the detections in them.

use std::collections::{HashMap, HashSet};

use futures::{StreamExt, stream};

use super::batches::{ImageRequest, Rows, about_gone, fetch_batches};
use super::{Stage, stop_if_too_many_missing};
use crate::client::{
    BatchFound, Class, Client, DetectionFacts, ImageDetections, KnownDetections, KnownEmpty, MAX_BATCH,
    RetryOverride,
};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Detection, Image, ImageId, Metadata, NoDetections, ValuePatterns};
use crate::observe::{Event, Step};
use crate::sources::RecordStream;

/// Images per request: a response has hundreds of bytes per detection, and images have up to hundreds of detections.
const BATCH_SIZE: usize = 20;

/// Detections that may wait for those of an earlier image: about 50 MB.
const MAX_WAITING: usize = 100_000;

/// Fetches the detections of images in batches. Detections keep the order of the images, and of the API.
///
/// - A batch that fails is halved until the image that causes the failure is found. An image that is missing from a
///   response is requested again on its own.
/// - An image without detections gives no record. [`Event::InputDone`] is reported for it like for others, and an
///   [`Event::Finding`] tells why there are none: `no_detections`; `not_processed` if the image has neither a list of
///   detections nor a reconstructed place, so that Mapillary probably did not process it yet; or `none_kept` if the
///   filters dropped all.
/// - An image that was deleted on Mapillary yields one error of kind [`Gone`](crate::ErrorKind::Gone).
/// - A shape that is absent (`no_shape`) or can't be decoded (`broken_shape`) costs only itself: the record has none.
/// - Further pages of a list are requested. A link to another host is an error of kind
///   [`Malformed`](crate::ErrorKind::Malformed) for the image.
///
/// ```
/// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use futures::{TryStreamExt, stream};
/// use streetflow::{Detection, FetchDetections, Flow, ListImages, OnError, Sequence, SequenceId};
/// use streetflow_sandbox::Sandbox;
///
/// let sandbox = Sandbox::start().await?;
/// let client = sandbox.client()?;
/// let seq_id = SequenceId::new(sandbox.mock_data().sequences()[0].id())?;
/// let detections: Vec<Detection> = Flow::from(stream::iter([Ok(Sequence { org_id: None, seq_id })]))
///     .then(ListImages::new(&client))
///     .take(5)
///     .then(FetchDetections::new(&client).values(&"object--*".parse()?))
///     .on_error(OnError::Skip)
///     .try_collect()
///     .await?;
/// assert!(detections.iter().all(|found| found.value.as_ref().unwrap().starts_with("object--")));
/// # Ok(()) }
/// ```
#[derive(Clone)]
#[must_use]
pub struct FetchDetections {
    client: Client,
    batch_size: usize,
    values: Option<ValuePatterns>,
    min_area: Option<f64>,
    known: Known,
}

/// What an earlier run with the same filters found out.
#[derive(Clone, Default)]
struct Known {
    detections: Option<KnownDetections>,
    empty: KnownEmpty,
}

impl FetchDetections {
    /// Fetches all detections through a client, 20 images per request.
    pub fn new(client: &Client) -> Self {
        Self {
            client: client.clone(),
            batch_size: BATCH_SIZE,
            values: None,
            min_area: None,
            known: Known::default(),
        }
    }

    /// Sets the number of images per request, clamped to 1 to 50.
    pub fn batch_size(mut self, images: usize) -> Self {
        self.batch_size = images.clamp(1, MAX_BATCH);
        self
    }

    /// Sets the detections of an earlier table, made with the same filters. Images with rows in it are not requested;
    /// [`Event::Finding`] counts them as `known`. Images without any are requested, unless they are
    /// [`known_empty`](Self::known_empty).
    pub fn known(mut self, known: &KnownDetections) -> Self {
        self.known.detections = Some(known.clone());
        self
    }

    /// Sets the images that an earlier run with the same filters requested and that have no detections. They are not
    /// requested, and count as `known` too. Leave out those that may have detections by now, such as images that were
    /// not processed. An image that was gone yields an error of kind [`Gone`](crate::ErrorKind::Gone) again.
    pub fn known_empty(mut self, images: &KnownEmpty) -> Self {
        self.known.empty = images.clone();
        self
    }

    /// Keeps only detections with a class that matches the patterns. Others are reported as [`Event::Filtered`].
    pub fn values(mut self, patterns: &ValuePatterns) -> Self {
        self.values = Some(patterns.clone());
        self
    }

    /// Keeps only detections with at least this area, as a fraction of the picture. One without a shape has none.
    pub fn min_area(mut self, fraction: f64) -> Self {
        self.min_area = Some(fraction);
        self
    }

    /// The name of the filter that drops a detection.
    fn dropped_by(&self, detection: &Detection) -> Option<&'static str> {
        let value = detection.value.as_deref().unwrap_or_default();
        if self.values.as_ref().is_some_and(|patterns| !patterns.matches(value)) {
            return Some("values");
        }
        let is_small = |min: f64| detection.area.unwrap_or(0.0) < min;
        self.min_area.is_some_and(is_small).then_some("min_area")
    }

    /// The records of an image, whose findings are reported.
    fn records(
        &self,
        image: &ImageId,
        mut found: ImageDetections,
    ) -> impl Iterator<Item = Detection> + use<> {
        let (client, step) = (self.client.clone(), Step::DETECTIONS);
        let facts = found.facts;
        found.detections.retain(|detection| match self.dropped_by(detection).filter(|_| !facts.is_known) {
            Some(by) => {
                client.emit(&Event::Filtered { step, by });
                false
            }
            None => true,
        });
        let none_kept = facts.none_kept || (!facts.has_none && found.detections.is_empty());
        for (name, count) in [
            ("known", u64::from(facts.is_known)),
            ("not_processed", u64::from(facts.is_unprocessed)),
            ("no_detections", u64::from(facts.has_none && !facts.is_unprocessed)),
            ("none_kept", u64::from(none_kept)),
            ("no_shape", facts.without_shape),
            ("broken_shape", facts.broken_shapes),
            ("no_id", facts.without_id),
            ("repeated", facts.repeated),
        ] {
            if count > 0 {
                client.emit(&Event::Finding { step, name, count, image: Some(image) });
            }
        }
        let mut end = Some(client);
        let done = std::iter::from_fn(move || {
            end.take().iter().for_each(|client| client.emit(&Event::InputDone { step }));
            None
        });
        found.detections.into_iter().chain(done)
    }
}

/// A request for the detections of images, except those that are known.
#[derive(Clone)]
struct DetectionRequest {
    known: Known,
}

impl Known {
    fn is_nothing(&self) -> bool {
        self.detections.is_none() && self.empty.is_empty()
    }

    /// Whether an image is known, by the index in memory, in which two ids may share an entry.
    fn is_probable(&self, image: &ImageId) -> bool {
        self.detections.as_ref().is_some_and(|known| known.has_probably(image))
            || self.empty.get(image).is_some()
    }

    /// Reads what is known of images. Others have no entry.
    async fn read(self, images: Vec<Image>) -> Result<HashMap<ImageId, Result<ImageDetections>>> {
        let find = move |image: Image| Some((image.img_id.clone(), self.find(&image)?));
        let read = move || images.into_iter().filter_map(find).collect();
        let failed = |panic| Error::new(ErrorKind::Io, "read the earlier detections").with_source(panic);
        tokio::task::spawn_blocking(read).await.map_err(failed)
    }

    /// What is known of an image. Rows of the table win.
    fn find(&self, image: &Image) -> Option<Result<ImageDetections>> {
        let mut facts = DetectionFacts { is_known: true, ..DetectionFacts::default() };
        let known = self.detections.as_ref().map(|known| known.get(&image.img_id));
        let mut detections = known.unwrap_or_default();
        // An image that the input has twice has its rows twice, and each of its inputs gets them once.
        let mut seen = HashSet::with_capacity(detections.len());
        detections.retain(|detection| seen.insert(detection.detection_id.clone()));
        if detections.is_empty() {
            match self.empty.get(&image.img_id)?.0 {
                NoDetections::NoneFound => facts.has_none = true,
                NoDetections::NotProcessed => (facts.has_none, facts.is_unprocessed) = (true, true),
                NoDetections::NoneKept => facts.none_kept = true,
                NoDetections::Gone => {
                    let gone = Error::new(ErrorKind::Gone, DetectionRequest::DOING)
                        .with_source("an earlier run found it gone");
                    return Some(Err(about_gone(gone, image)));
                }
            }
        }
        Some(Ok(ImageDetections { detections, facts }))
    }
}

impl ImageRequest for DetectionRequest {
    type Found = ImageDetections;

    const DOING: &'static str = "fetch detections of image";
    const SPLIT_PARTS: usize = 2;

    async fn batch(
        &self,
        client: &Client,
        images: &[Image],
        retry: RetryOverride,
    ) -> Result<BatchFound<Result<ImageDetections>>> {
        if self.known.is_nothing() {
            return client.batch_detections(images, retry).await;
        }
        let (known, others): (Vec<_>, Vec<_>) =
            images.iter().cloned().partition(|image| self.is_known(image));
        let mut found = if others.is_empty() {
            BatchFound::default()
        } else {
            client.batch_detections(&others, retry).await?
        };
        // Read last, so that they do not wait for the response. One that is not known after all is requested alone.
        found.records.extend(self.known.clone().read(known).await?);
        Ok(found)
    }

    async fn single(&self, client: &Client, image: &Image, retry: RetryOverride) -> Result<ImageDetections> {
        if !self.known.is_nothing()
            && let Some(found) = self.known.clone().read(vec![image.clone()]).await?.remove(&image.img_id)
        {
            return found;
        }
        client.single_detections(image, retry).await
    }

    fn is_stored(client: &Client, image: &Image) -> bool {
        client.has_stored_detections(image)
    }

    fn is_known(&self, image: &Image) -> bool {
        self.known.is_probable(&image.img_id)
    }
}

impl Stage<Image> for FetchDetections {
    type Out = Detection;

    fn apply(self, images: RecordStream<Image>) -> RecordStream<Detection> {
        let (client, observer) = (self.client.clone(), self.client.clone());
        let weight = |batch: &Rows<ImageDetections>| {
            batch.rows.iter().flatten().map(|(_, found)| found.detections.len() + 1).sum()
        };
        let request = DetectionRequest { known: self.known.clone() };
        let batches = fetch_batches(&self.client, request, images, self.batch_size, MAX_WAITING, weight);
        let fetched = batches.flat_map(move |batch| {
            let stage = self.clone();
            let records = batch.rows.into_iter().flat_map(move |row| match row {
                Ok((image, found)) => Box::new(stage.records(&image.img_id, found).map(Ok)),
                Err(error) => Box::new(std::iter::once(Err(error))) as Box<dyn Iterator<Item = _> + Send>,
            });
            // It belongs to no input, so it counts as one.
            let observer = observer.clone();
            let unrequested = batch.unrequested.into_iter().map(move |error| {
                observer.emit(&Event::InputStarted { step: Step::DETECTIONS });
                Err(error)
            });
            stream::iter(records.chain(unrequested))
        });
        stop_if_too_many_missing(fetched, client, Class::Entity)
    }
}

impl Stage<Metadata> for FetchDetections {
    type Out = Detection;

    fn apply(self, images: RecordStream<Metadata>) -> RecordStream<Detection> {
        let image = |image: Metadata| Image { seq_id: image.seq_id, img_id: image.img_id };
        self.apply(images.map(move |record| record.map(image)).boxed())
    }
}
