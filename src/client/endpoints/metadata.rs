//! Metadata of images, in batches or one at a time.

use std::borrow::Cow;
use std::collections::HashMap;

use super::url::{batch_request, endpoint_url};
use crate::client::cache::cached_metadata::CachedMetadata;
use crate::client::cache::response_cache::CacheEntry;
use crate::client::handle::Client;
use crate::client::transport::request::ApiRequest;
use crate::client::transport::retry::RetryOverride;
use crate::client::wire::batch::{Batch, MAX_BATCH, Single, Unrequested};
use crate::client::wire::parse_json;
use crate::error::{Error, ErrorKind, Result};
use crate::model::Fields;
use crate::model::{Image, ImageId, Metadata};
use crate::observe::{Class, Event};

const DOING_BATCH: &str = "fetch metadata of images";
const DOING_SINGLE: &str = "fetch metadata of image";

/// The result of a batch request.
pub(crate) struct BatchFound<T = Metadata> {
    /// The records by image id.
    pub(crate) records: HashMap<ImageId, T>,
    /// One error per response with images that were not requested.
    pub(crate) unrequested: Vec<Error>,
}

impl<T> Default for BatchFound<T> {
    fn default() -> Self {
        Self { records: HashMap::new(), unrequested: Vec::new() }
    }
}

impl Client {
    /// Fetches metadata of at most [`MAX_BATCH`] images in one request. Returns `None` for images without a record.
    ///
    /// Records are matched to images by id. Images that were not requested are ignored. More than [`MAX_BATCH`] images
    /// are an error of kind [`ErrorKind::Usage`].
    pub async fn images(&self, images: &[Image], fields: &Fields) -> Result<Vec<Option<Metadata>>> {
        let found = self.batch(images, fields, RetryOverride::default()).await?.records;
        // A table may contain an image twice, with different sequences.
        let row = |image: &Image| {
            let record = found.get(&image.img_id)?.clone();
            Some(Metadata { seq_id: image.seq_id.clone(), ..record })
        };
        Ok(images.iter().map(row).collect())
    }

    /// Fetches metadata of at most [`MAX_BATCH`] images. An image that occurs twice is requested once.
    pub(crate) async fn batch(
        &self,
        images: &[Image],
        fields: &Fields,
        retry: RetryOverride,
    ) -> Result<BatchFound> {
        if images.len() > MAX_BATCH {
            let why = format!("{} images are more than {MAX_BATCH}, the limit of a request", images.len());
            return Err(Error::new(ErrorKind::Usage, DOING_BATCH).with_source(why));
        }
        let mut unique: Vec<Image> = Vec::with_capacity(images.len());
        for image in images {
            if !unique.iter().any(|other| other.img_id == image.img_id) {
                unique.push(image.clone());
            }
        }
        if unique.is_empty() {
            return Ok(BatchFound::default());
        }
        let found = if self.has_metadata() {
            self.complete_stored_batch(unique, fields, retry).await?
        } else {
            self.fetch_batch(unique, fields.clone(), retry).await?
        };
        self.record_existing(Class::Entity, found.records.len());
        Ok(found)
    }

    /// Takes what the response store has, and requests only the rest.
    async fn complete_stored_batch(
        &self,
        images: Vec<Image>,
        fields: &Fields,
        retry: RetryOverride,
    ) -> Result<BatchFound> {
        let (mut cached, wanted) = (self.lookup_batch(&images, fields).await, fields.bit_set());
        if cached.iter().any(|cached| cached.missing_fields(wanted) != Some(wanted)) {
            self.emit(&Event::StoreHit { class: Class::Entity });
        }
        let mut all = BatchFound::default();
        while let Some(missing) = cached.iter().find_map(|cached| cached.missing_fields(wanted)) {
            let misses_same = |at: &usize| cached[*at].missing_fields(wanted) == Some(missing);
            let requested: Vec<usize> = (0..cached.len()).filter(misses_same).collect();
            let batch: Vec<Image> = requested.iter().map(|at| images[*at].clone()).collect();
            let missing = fields.without(!missing);
            let mut found = self.fetch_batch(batch, missing.clone(), retry).await?;
            for at in requested {
                cached[at].add_fresh(found.records.remove(&images[at].img_id), &missing);
            }
            all.unrequested.append(&mut found.unrequested);
        }
        let known =
            images.into_iter().zip(cached).filter_map(|(image, cached)| Some((image.img_id, cached.record?)));
        all.records.extend(known);
        Ok(all)
    }

    /// Requests images of which nothing is stored.
    async fn fetch_batch(
        &self,
        images: Vec<Image>,
        fields: Fields,
        retry: RetryOverride,
    ) -> Result<BatchFound> {
        let ids: Vec<&str> = images.iter().map(|image| image.img_id.as_str()).collect();
        let request = batch_request(&self.shared.graph_url, &ids, &fields_parameter(&fields), DOING_BATCH)?;
        self.store_fields(&fields)?;
        self.fetch(request, retry, move |body| {
            let mut batch: Batch = parse_json(&body)?;
            let ids: Vec<&str> = images.iter().map(|image| image.img_id.as_str()).collect();
            let entry = CacheEntry::batch(&fields, &ids, body);
            let found = |image: &Image| Some((image.img_id.clone(), batch.take(image)?));
            let records = images.iter().filter_map(found).collect();
            let unrequested = batch.unrequested().map(unrequested_error).into_iter().collect();
            Ok((BatchFound { records, unrequested }, Some(entry)))
        })
        .await
    }

    /// Fetches metadata of one image. An image that does not exist is an error of kind [`ErrorKind::Gone`].
    pub async fn image(&self, image: &Image, fields: &Fields) -> Result<Metadata> {
        self.single(image, fields, RetryOverride::default()).await
    }

    /// As [`Client::image`], with changes to the retry policy.
    pub(crate) async fn single(
        &self,
        image: &Image,
        fields: &Fields,
        retry: RetryOverride,
    ) -> Result<Metadata> {
        let cached = self.lookup_batch(std::slice::from_ref(image), fields).await;
        let [mut cached] = <[CachedMetadata; 1]>::try_from(cached).unwrap_or_default();
        let id = image.img_id.as_str();
        if cached.record.is_none()
            && let Some(why) = self.stored_gone(Class::Entity, id).await
        {
            self.emit(&Event::StoreHit { class: Class::Entity });
            let error = Error::new(ErrorKind::Gone, DOING_SINGLE).with_subject(id).with_source(why);
            return Err(self.record_missing(Class::Entity, error).await);
        }
        let wanted = fields.bit_set();
        let missing = if cached.record.is_none() { Some(wanted) } else { cached.missing_fields(wanted) };
        if let Some(missing) = missing {
            let missing = fields.without(!missing);
            let found = match self.fetch_single(image, &missing, retry).await {
                Err(error) if error.kind() == ErrorKind::Gone => {
                    return Err(self.record_missing(Class::Entity, error.with_subject(id)).await);
                }
                result => result?,
            };
            cached.add_fresh(Some(found), &missing);
        } else {
            self.emit(&Event::StoreHit { class: Class::Entity });
        }
        self.record_existing(Class::Entity, 1);
        cached.record.ok_or_else(|| Error::new(ErrorKind::Malformed, DOING_SINGLE).with_subject(id))
    }

    async fn fetch_single(&self, image: &Image, fields: &Fields, retry: RetryOverride) -> Result<Metadata> {
        let path = format!("/{}?fields={}", image.img_id, fields_parameter(fields));
        let url = endpoint_url(&self.shared.graph_url, &path)?;
        self.store_fields(fields)?;
        let subject = image.img_id.to_string();
        let request = ApiRequest { class: Class::Entity, url, doing: DOING_SINGLE, subject };
        let retry = RetryOverride { is_single: true, ..retry };
        let (image, fields) = (image.clone(), fields.clone());
        self.fetch(request, retry, move |body| {
            let found: Single = parse_json(&body)?;
            let found = found.into_record(&image).ok_or_else(|| {
                Error::new(ErrorKind::Malformed, "")
                    .with_source("the response is about another image")
                    .with_status(200)
            })?;
            Ok((found, Some(CacheEntry::single(&fields, &image, body))))
        })
        .await
    }
}

/// Returns the error for a response with images that were not requested. They match no row, so they are not used.
pub(super) fn unrequested_error(Unrequested { first, count }: Unrequested) -> Error {
    let error = Error::new(ErrorKind::Malformed, "use an image that was not requested").with_status(200);
    let others = if count > 1 { format!(" and {} others", count - 1) } else { String::new() };
    match first {
        Some(id) => error.with_subject(id.as_str()).with_source(format!(
            "the response to a batch request contains this image{others}, but no row has its id"
        )),
        None => error.with_source(format!(
            "the response to a batch request contains {count} keys that are not image ids"
        )),
    }
}

/// Returns the `fields` parameter of a request. The API always returns the id.
fn fields_parameter(fields: &Fields) -> Cow<'static, str> {
    if fields.names().is_empty() { Cow::Borrowed("id") } else { Cow::Owned(fields.to_string()) }
}
