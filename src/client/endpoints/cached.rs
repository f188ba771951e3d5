//! Access to the response store.

use std::sync::Arc;

use crate::client::cache::cached_metadata::CachedMetadata;
use crate::client::cache::response_cache::{CacheEntry, ResponseCache};
use crate::client::handle::Client;
use crate::error::Result;
use crate::model::Fields;
use crate::model::Image;

impl Client {
    /// Returns the cache if an unfinished run stored responses and this client may use them.
    pub(super) fn filled_cache(&self) -> Option<&Arc<ResponseCache>> {
        self.response_cache().filter(|cache| !cache.is_empty())
    }

    /// Whether there are responses of an unfinished run.
    pub(crate) fn has_stored_responses(&self) -> bool {
        self.filled_cache().is_some()
    }

    /// Returns the stored content under a key.
    pub(crate) async fn stored(&self, key: &str) -> Option<Vec<u8>> {
        let (cache, key) = (Arc::clone(self.filled_cache()?), key.to_owned());
        tokio::task::spawn_blocking(move || cache.get(&key)).await.ok()?
    }

    /// Whether metadata may be known without a request.
    pub(crate) fn has_metadata(&self) -> bool {
        self.known.is_some() || self.has_stored_responses()
    }

    /// Returns the stored and the known metadata of images, one entry per image.
    pub(crate) async fn lookup_batch(&self, images: &[Image], fields: &Fields) -> Vec<CachedMetadata> {
        let nothing = || vec![CachedMetadata::default(); images.len()];
        if !self.has_metadata() {
            return nothing();
        }
        let (cache, known) = (self.filled_cache().map(Arc::clone), self.known.clone());
        let (images_owned, fields) = (images.to_vec(), fields.clone());
        let look_up = move || {
            let mut cached = match cache {
                Some(cache) => cache.lookup_batch(&images_owned, &fields),
                None => vec![CachedMetadata::default(); images_owned.len()],
            };
            let Some(known) = known else { return cached };
            for (image, cached) in images_owned.iter().zip(&mut cached) {
                if cached.missing_fields(fields.bit_set()).is_some()
                    && let Some(record) = known.get(&image.img_id).into_iter().next()
                {
                    cached.add_known(record, known.fields());
                }
            }
            cached
        };
        let found = tokio::task::spawn_blocking(look_up).await;
        found.unwrap_or_else(|_| nothing())
    }

    /// Whether an unfinished run requested a batch that begins with this image.
    ///
    /// A batch that begins with the same image has the same content, so its response is in the store.
    pub(crate) fn has_stored_batch(&self, image: &Image) -> bool {
        self.filled_cache().is_some_and(|cache| cache.has_batch(image))
    }

    /// The same for a batch of detections.
    pub(crate) fn has_stored_detections(&self, image: &Image) -> bool {
        self.filled_cache().is_some_and(|cache| cache.has_detections_batch(&image.img_id))
    }

    /// Stores a response. When this returns, a kill can't lose it.
    pub(crate) async fn store(&self, entry: CacheEntry) -> Result<()> {
        let Some(cache) = self.response_cache() else { return Ok(()) };
        // A server may repeat the token, which must not get into a file.
        if self.shared.transport.holds_token(entry.body()) {
            return Ok(());
        }
        cache.put(entry).await
    }

    /// Stores a list of fields, so that later runs find the responses with them.
    pub(crate) fn store_fields(&self, fields: &Fields) -> Result<()> {
        self.response_cache().map_or(Ok(()), |cache| cache.add_fields(fields))
    }
}
