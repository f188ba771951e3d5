//! The responses of an unfinished run, by key.
//!
//! | Key | Content |
//! |---|---|
//! | `tile <z>/<x>/<y>` | the bytes of the tile of images |
//! | `tile <tileset> <z>/<x>/<y>` | the bytes of the tile of another tileset |
//! | `features <id>` | the requested ids of map features, of which `id` is the first; then the API's JSON |
//! | `feature <id>` | the API's JSON of one map feature |
//! | `images of <sequence>` | its image ids, one per line |
//! | `page <path and query>` | the sequences of a page of a user's images, and the URL of the next page |
//! | `batch <fields> <id>` | the requested ids, of which `id` is the first; then the API's JSON |
//! | `image <fields> <id>` | the API's JSON |
//! | `detections <id>` | the requested ids, of which `id` is the first; then the API's JSON |
//! | `detections image <id>` | the API's JSON |
//! | `detections page <path and query>` | the API's JSON |
//! | `gone <number> image <id>` | the API's message |
//! | `gone <number> sequence <id>` | the API's message |
//! | `doubts` | that number: how often a run ended because nearly everything was reported missing |
//! | `fields` | all lists of fields that occur in keys, one per line |
//!
//! Fields are sorted by name. A run with another format or quality may need fields that the unfinished run did not
//! request. Then it requests only those.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use serde::de::DeserializeOwned;

use super::cached_metadata::CachedMetadata;
use super::response_store::ResponseStore;
use crate::client::wire::batch::{Batch, Single};
use crate::client::wire::detections::WireDetections;
use crate::client::wire::lenient::Lenient;
use crate::client::wire::signed_url::now;
use crate::error::{Error, ErrorKind, Result};
use crate::model::Fields;
use crate::model::{Image, ImageId, Metadata};
use crate::observe::Class;
use crate::sync::lock;

/// The longest response that is compressed and written in the current task, which takes 0.1 ms. A longer one goes to a
/// thread for blocking work.
const MAX_INLINE_LEN: usize = 128 << 10;

/// A response to be stored.
pub(crate) struct CacheEntry {
    key: String,
    /// Written before the body.
    prefix: Vec<u8>,
    body: Bytes,
}

impl CacheEntry {
    pub(crate) fn new(key: String, body: impl Into<Bytes>) -> Self {
        Self { key, prefix: Vec::new(), body: body.into() }
    }

    /// The response to a batch request. It needs the requested ids, because the response does not say which are absent.
    pub(crate) fn batch(fields: &Fields, ids: &[&str], body: Bytes) -> Self {
        let key = format!("batch {} {}", fields.sorted(), ids.first().unwrap_or(&""));
        Self { key, prefix: format!("{}\n", ids.join(",")).into_bytes(), body }
    }

    /// The response to a request for one image.
    pub(crate) fn single(fields: &Fields, image: &Image, body: Bytes) -> Self {
        Self::new(format!("image {} {}", fields.sorted(), image.img_id), body)
    }

    /// The response to a request for the detections of images: their ids, separated by commas.
    pub(crate) fn detections(ids: &str, body: Bytes) -> Self {
        let first = ids.split(',').next().unwrap_or_default();
        Self { key: format!("detections {first}"), prefix: format!("{ids}\n").into_bytes(), body }
    }

    /// The response to a request for the detections of one image.
    pub(crate) fn detections_of_image(id: &ImageId, body: Bytes) -> Self {
        Self::new(format!("detections image {id}"), body)
    }

    pub(crate) fn body(&self) -> &[u8] {
        &self.body
    }
}

/// A response store with the keys and rules of this client.
pub(crate) struct ResponseCache {
    store: ResponseStore,
    /// How often a run ended because nearly everything was reported missing. Reports of other numbers do not count.
    doubts: u32,
    /// All lists of fields, the newest last.
    field_lists: Mutex<Vec<Fields>>,
}

impl ResponseCache {
    pub(crate) fn new(store: &ResponseStore) -> Self {
        let text = |key| store.get(key).and_then(|text| String::from_utf8(text).ok()).unwrap_or_default();
        let field_lists = text("fields").lines().filter_map(|list| list.parse().ok()).collect();
        let doubts = text("doubts").parse().unwrap_or_default();
        Self { store: store.clone(), doubts, field_lists: Mutex::new(field_lists) }
    }

    /// Whether the unfinished run stored no response.
    pub(crate) fn is_empty(&self) -> bool {
        self.store.is_empty()
    }

    /// Adds a list of fields. It must be stored before the first response with these fields.
    pub(crate) fn add_fields(&self, fields: &Fields) -> Result<()> {
        let fields = fields.sorted();
        let mut lists = lock(&self.field_lists);
        if !lists.contains(&fields) {
            lists.push(fields);
            let lines: Vec<_> = lists.iter().map(Fields::to_string).collect();
            self.store.put("fields", &[lines.join("\n").as_bytes()])?;
        }
        Ok(())
    }

    /// Whether a batch that begins with this image is stored.
    pub(crate) fn has_batch(&self, image: &Image) -> bool {
        let lists = lock(&self.field_lists);
        lists.iter().any(|fields| self.store.has(&format!("batch {fields} {}", image.img_id)))
    }

    /// Returns the stored metadata of images. The images must be distinct.
    pub(crate) fn lookup_batch(&self, images: &[Image], wanted: &Fields) -> Vec<CachedMetadata> {
        let (now, wanted) = (now(), wanted.bit_set());
        let mut cached = vec![CachedMetadata::default(); images.len()];
        let lists = lock(&self.field_lists).clone();
        for fields in lists.iter().rev() {
            for at in 0..images.len() {
                if cached[at].missing_fields(wanted).is_none() {
                    continue;
                }
                if let Some((requested, mut batch)) = self.batch(fields, &images[at]) {
                    for (image, cached) in images.iter().zip(&mut cached) {
                        if requested.split(',').any(|id| id == image.img_id.as_str()) {
                            cached.mark_requested(fields);
                            if let Some(record) = batch.take(image) {
                                cached.add(record, fields, now);
                            }
                        }
                    }
                }
                if let Some(record) = self.single(fields, &images[at]) {
                    cached[at].add(record, fields, now);
                }
            }
        }
        cached
    }

    /// Whether a batch of detections that begins with this image is stored.
    pub(crate) fn has_detections_batch(&self, id: &ImageId) -> bool {
        self.store.has(&format!("detections {id}"))
    }

    /// Returns the requested ids and the response of a batch of detections that begins with an image.
    pub(crate) fn detections_batch(&self, first: &ImageId) -> Option<(String, Batch<WireDetections>)> {
        self.batch_entry(&format!("detections {first}"))
    }

    /// Returns the stored detections of an image that was requested alone.
    pub(crate) fn detections_of_image(&self, id: &ImageId) -> Option<Box<WireDetections>> {
        let entry = self.get(&format!("detections image {id}"))?;
        let image: Lenient<Box<WireDetections>> = serde_json::from_slice(&entry).ok()?;
        image.0.filter(|image| image.id.as_ref() == Some(id))
    }

    /// Returns the requested ids and the response of a batch that begins with an image.
    fn batch(&self, fields: &Fields, first: &Image) -> Option<(String, Batch)> {
        self.batch_entry(&format!("batch {fields} {}", first.img_id))
    }

    fn batch_entry<T: DeserializeOwned>(&self, key: &str) -> Option<(String, T)> {
        let entry = self.get(key)?;
        let requested = entry.split(|byte| *byte == b'\n').next()?;
        let batch = serde_json::from_slice(entry.get(requested.len() + 1..)?).ok()?;
        Some((String::from_utf8(requested.to_vec()).ok()?, batch))
    }

    fn single(&self, fields: &Fields, image: &Image) -> Option<Metadata> {
        let entry = self.get(&format!("image {fields} {}", image.img_id))?;
        serde_json::from_slice::<Single>(&entry).ok()?.into_record(image)
    }

    /// Returns the content under a key.
    pub(crate) fn get(&self, key: &str) -> Option<Vec<u8>> {
        // Most keys are absent, which the index in memory knows.
        if self.store.has(key) { self.store.get(key) } else { None }
    }

    /// Stores a response. When this returns, a kill can't lose it.
    pub(crate) async fn put(self: &Arc<Self>, entry: CacheEntry) -> Result<()> {
        let (cache, len) = (Arc::clone(self), entry.body.len());
        let put = move || cache.store.put(&entry.key, &[&entry.prefix, &entry.body]);
        if len <= MAX_INLINE_LEN {
            return put();
        }
        tokio::task::spawn_blocking(put).await.unwrap_or_else(|panic| {
            Err(Error::new(ErrorKind::Io, "store a response").with_source(panic.to_string()))
        })
    }

    /// Returns the key for an image or a sequence that is gone. Searches request sequences, entities are images.
    pub(crate) fn gone_key(&self, class: Class, id: &str) -> String {
        let item = if class == Class::Search { "sequence" } else { "image" };
        format!("gone {} {item} {id}", self.doubts)
    }

    /// Returns the entry that makes all stored reports of missing items void.
    pub(crate) fn void_gone_entry(&self) -> CacheEntry {
        CacheEntry::new("doubts".to_owned(), (self.doubts + 1).to_string().into_bytes())
    }
}
