//! Detections of images, in batches or of one image at a time.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use bytes::Bytes;
use url::Url;

use super::metadata::{BatchFound, unrequested_error};
use super::url::{batch_request, endpoint_url};
use crate::client::cache::response_cache::{CacheEntry, ResponseCache};
use crate::client::handle::Client;
use crate::client::transport::request::ApiRequest;
use crate::client::transport::retry::RetryOverride;
use crate::client::wire::batch::Batch;
use crate::client::wire::detections::{DetectionList, ImageDetections, MAX_DETECTIONS, WireDetections};
use crate::client::wire::lenient::Lenient;
use crate::client::wire::parse_json;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Detection, Image, ImageId};
use crate::observe::{Class, Event};

const DOING_BATCH: &str = "fetch detections of images";
const DOING_SINGLE: &str = "fetch detections of image";
const DOING_PAGE: &str = "fetch the next page of detections of image";

/// The fields of a request. Always the same, so that stored responses serve every run.
const FIELDS: &str = "width,height,exif_orientation,geometry,computed_geometry,\
                      detections.id,detections.value,detections.created_at,detections.geometry";

/// The most pages of the detections of one image. Known responses have one.
const MAX_PAGES: usize = 100;

/// What an unfinished run stored about some images.
#[derive(Default)]
struct Stored {
    images: HashMap<ImageId, Box<WireDetections>>,
    /// Images that were requested, whether or not the response has them.
    requested: HashSet<ImageId>,
}

impl Client {
    /// Fetches the detections of one image, in the order of the API. An image that does not exist is an error of kind
    /// [`ErrorKind::Gone`].
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use streetflow::ImageId;
    ///
    /// let sandbox = streetflow_sandbox::Sandbox::start().await?;
    /// let image = sandbox.mock_data().sequences()[0].images().find(|image| !image.is_gone()).unwrap().id();
    /// let detections = sandbox.client()?.detections(&ImageId::new(&image)?).await?;
    /// assert!(detections.iter().all(|detection| detection.img_id.as_str() == image));
    /// # Ok(()) }
    /// ```
    pub async fn detections(&self, image: &ImageId) -> Result<Vec<Detection>> {
        let image = Image { img_id: image.clone(), ..Image::default() };
        Ok(self.single_detections(&image, RetryOverride::default()).await?.detections)
    }

    /// Fetches the detections of images in one request. Images that the response lacks have no entry.
    pub(crate) async fn batch_detections(
        &self,
        images: &[Image],
        retry: RetryOverride,
    ) -> Result<BatchFound<Result<ImageDetections>>> {
        let mut stored = self.stored_detections(images).await;
        if !stored.images.is_empty() {
            self.emit(&Event::StoreHit { class: Class::Entity });
        }
        let mut rest: Vec<ImageId> = Vec::new();
        for image in images.iter().filter(|image| !stored.requested.contains(&image.img_id)) {
            if !stored.images.contains_key(&image.img_id) && !rest.contains(&image.img_id) {
                rest.push(image.img_id.clone());
            }
        }
        let mut found = BatchFound::default();
        if !rest.is_empty() {
            let (fetched, unrequested) = self.fetch_detections(rest, retry).await?;
            stored.images.extend(fetched);
            found.unrequested.extend(unrequested);
        }
        self.record_existing(Class::Entity, stored.images.len());
        for (id, image) in stored.images {
            match self.with_pages(&id, image).await {
                Err(error) if error.is_fatal() => return Err(error),
                result => drop(found.records.insert(id, result)),
            }
        }
        Ok(found)
    }

    /// Fetches the detections of one image.
    pub(crate) async fn single_detections(
        &self,
        image: &Image,
        retry: RetryOverride,
    ) -> Result<ImageDetections> {
        let id = &image.img_id;
        let stored = self.stored_detections(std::slice::from_ref(image)).await.images.remove(id);
        let found = if let Some(found) = stored {
            self.emit(&Event::StoreHit { class: Class::Entity });
            found
        } else {
            if let Some(why) = self.stored_gone(Class::Entity, id.as_str()).await {
                self.emit(&Event::StoreHit { class: Class::Entity });
                let error =
                    Error::new(ErrorKind::Gone, DOING_SINGLE).with_subject(id.as_str()).with_source(why);
                return Err(self.record_missing(Class::Entity, error).await);
            }
            match self.fetch_single_detections(id, retry).await {
                Err(error) if error.kind() == ErrorKind::Gone => {
                    return Err(self.record_missing(Class::Entity, error.with_subject(id.as_str())).await);
                }
                result => result?,
            }
        };
        self.record_existing(Class::Entity, 1);
        self.with_pages(id, found).await
    }

    /// Requests images of which nothing is stored.
    async fn fetch_detections(
        &self,
        ids: Vec<ImageId>,
        retry: RetryOverride,
    ) -> Result<(HashMap<ImageId, Box<WireDetections>>, Option<Error>)> {
        let texts: Vec<_> = ids.iter().map(ImageId::as_str).collect();
        let request = batch_request(&self.shared.graph_url, &texts, FIELDS, DOING_BATCH)?;
        let list = texts.join(",");
        self.fetch(request, retry, move |body| {
            let mut batch: Batch<WireDetections> = parse_json(&body)?;
            let found = ids.iter().filter_map(|id| Some((id.clone(), take(&mut batch, id)?))).collect();
            let unrequested = batch.unrequested().map(unrequested_error);
            Ok(((found, unrequested), Some(CacheEntry::detections(&list, body))))
        })
        .await
    }

    async fn fetch_single_detections(
        &self,
        id: &ImageId,
        retry: RetryOverride,
    ) -> Result<Box<WireDetections>> {
        let url = endpoint_url(&self.shared.graph_url, &format!("/{id}?fields={FIELDS}"))?;
        let request = ApiRequest { class: Class::Entity, url, doing: DOING_SINGLE, subject: id.to_string() };
        let id = id.clone();
        self.fetch(request, RetryOverride { is_single: true, ..retry }, move |body| {
            let found: Lenient<Box<WireDetections>> = parse_json(&body)?;
            let found = found.0.filter(|image| image.id.as_ref() == Some(&id));
            let found = found.ok_or_else(|| malformed("the response is about another image"))?;
            Ok((found, Some(CacheEntry::detections_of_image(&id, body))))
        })
        .await
    }

    /// Follows the links to the next pages of an image's detections.
    async fn with_pages(&self, id: &ImageId, mut image: Box<WireDetections>) -> Result<ImageDetections> {
        let about = |error: Error| error.with_context(DOING_SINGLE, id.as_str());
        let mut next = image.list.as_mut().and_then(|list| list.next.take());
        let mut count = image.list.as_ref().map_or(0, DetectionList::len);
        let (mut pages, mut visited) = (Vec::new(), HashSet::new());
        while let Some(link) = next {
            let page = self.next_page(&link);
            let page = page.ok_or_else(|| about(malformed("its next page is on another host")))?;
            if pages.len() == MAX_PAGES || !visited.insert(page.clone()) {
                return Err(about(malformed("the pages of its detections do not end")));
            }
            let mut list = self.detections_page(id, page).await?;
            next = list.next.take();
            count += list.len();
            if count > MAX_DETECTIONS {
                return Err(about(malformed("it has more than 10,000 detections")));
            }
            pages.push(list);
        }
        Ok(image.into_records(id, pages))
    }

    async fn detections_page(&self, id: &ImageId, page: Url) -> Result<DetectionList> {
        let key = format!("detections page {}?{}", page.path(), page.query().unwrap_or_default());
        let parse = |body: &Bytes| -> Result<DetectionList> {
            let list: Lenient<DetectionList> = parse_json(body)?;
            list.0.ok_or_else(|| malformed("it is not a list of detections"))
        };
        if let Some(stored) = self.stored(&key).await.and_then(|stored| parse(&stored.into()).ok()) {
            self.emit(&Event::StoreHit { class: Class::Entity });
            return Ok(stored);
        }
        let url = self.with_login(page);
        let request = ApiRequest { class: Class::Entity, url, doing: DOING_SINGLE, subject: id.to_string() };
        let fetched = self.fetch(request, RetryOverride::default(), move |body| {
            Ok((parse(&body)?, Some(CacheEntry::new(key.clone(), body))))
        });
        fetched.await.map_err(|error| match error.kind() {
            // The image itself exists: its first page was in a response.
            ErrorKind::Gone => error.for_subject(DOING_PAGE, id.as_str()).with_kind(ErrorKind::Malformed),
            _ => error,
        })
    }

    /// Returns what an unfinished run stored about images.
    async fn stored_detections(&self, images: &[Image]) -> Stored {
        let Some(cache) = self.filled_cache().map(Arc::clone) else { return Stored::default() };
        let ids: Vec<ImageId> = images.iter().map(|image| image.img_id.clone()).collect();
        tokio::task::spawn_blocking(move || Stored::read(&cache, &ids)).await.unwrap_or_default()
    }
}

impl Stored {
    fn read(cache: &ResponseCache, ids: &[ImageId]) -> Self {
        let mut stored = Self::default();
        for id in ids {
            if stored.images.contains_key(id) {
                continue;
            }
            if let Some((requested, mut batch)) = cache.detections_batch(id) {
                for other in requested.split(',').filter_map(|other| ImageId::check(other).ok()) {
                    if ids.contains(&other) {
                        if let Some(image) = take(&mut batch, &other) {
                            stored.images.insert(other.clone(), image);
                        }
                        stored.requested.insert(other);
                    }
                }
            }
            if let Some(image) = cache.detections_of_image(id) {
                stored.images.insert(id.clone(), image);
            }
        }
        stored
    }
}

/// Takes an image out of a batch, if its object does not name another id.
fn take(batch: &mut Batch<WireDetections>, id: &ImageId) -> Option<Box<WireDetections>> {
    batch.take_object(id).filter(|image| image.id.as_ref() == Some(id))
}

fn malformed(why: &'static str) -> Error {
    Error::new(ErrorKind::Malformed, "").with_source(why).with_status(200)
}
