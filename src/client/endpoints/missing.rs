//! Images and sequences that are gone.

use crate::client::cache::response_cache::CacheEntry;
use crate::client::handle::Client;
use crate::client::missing_guard::MissingRateGuard;
use crate::error::{Error, Result};
use crate::observe::Class;
use crate::text::redact;

impl Client {
    /// Returns the stored reason if an image or a sequence is known to be gone.
    pub(crate) async fn stored_gone(&self, class: Class, id: &str) -> Option<String> {
        let key = self.response_cache()?.gone_key(class, id);
        String::from_utf8(self.stored(&key).await?).ok()
    }

    /// Counts images or sequences that exist.
    pub(crate) fn record_existing(&self, class: Class, count: usize) {
        self.guard(class).record_existing(count);
    }

    /// Counts and stores an item that is gone, and returns its error. If nearly everything is gone, returns the error
    /// that ends the run instead.
    pub(crate) async fn record_missing(&self, class: Class, error: Error) -> Error {
        if let Err(too_many) = self.count_missing(class).await {
            return too_many;
        }
        let why = std::error::Error::source(&error).map_or_else(String::new, ToString::to_string);
        let (Some(id), Some(cache)) = (error.subject(), self.response_cache()) else { return error };
        let entry = CacheEntry::new(cache.gone_key(class, id), redact(&why).into_bytes());
        self.store(entry).await.err().unwrap_or(error)
    }

    /// Counts an item that is gone. Returns an error if nearly everything is.
    pub(crate) async fn count_missing(&self, class: Class) -> Result<()> {
        self.void_if_too_many(self.guard(class).record_missing()).await
    }

    /// At the end of a run, returns an error if nearly everything was gone.
    pub(crate) async fn check_missing_rate(&self, class: Class) -> Result<()> {
        self.void_if_too_many(self.guard(class).check_at_end()).await
    }

    /// Makes the stored reports void if there are too many.
    async fn void_if_too_many(&self, checked: Result<()>) -> Result<()> {
        let Err(too_many) = checked else { return Ok(()) };
        if let Some(cache) = self.response_cache() {
            self.store(cache.void_gone_entry()).await?;
        }
        Err(too_many)
    }

    /// Searches request sequences, entities are images.
    fn guard(&self, class: Class) -> &MissingRateGuard {
        match class {
            Class::Search => &self.shared.missing_sequences,
            _ => &self.shared.missing_images,
        }
    }
}
