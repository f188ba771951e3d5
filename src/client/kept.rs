//! What the client keeps of the API's answers in its store, and when it trusts them.

use std::time::SystemTime;

use super::{Client, secret};
use crate::error::{ErrorKind, Result};
use crate::model::Metadata;

/// What the API said, as it is kept: an answer, or that there is none to be had.
pub(super) enum Kept {
    Answer(Vec<u8>),
    Refused(ErrorKind, String),
}

/// The failures that say the same tomorrow, and the letter that each is kept under.
const FINAL: [(ErrorKind, u8); 3] =
    [(ErrorKind::Gone, b'g'), (ErrorKind::Refused, b'r'), (ErrorKind::TooMuch, b't')];

impl Client {
    /// What the store has under a key.
    pub(super) async fn kept(&self, key: &str) -> Option<Kept> {
        let (store, key) = (self.0.store.clone()?, key.to_owned());
        let mut kept = tokio::task::spawn_blocking(move || store.get(&key)).await.ok()??;
        let letter = *kept.first()?;
        kept.remove(0);
        if letter == b'+' {
            return Some(Kept::Answer(kept));
        }
        let (kind, _) = FINAL.into_iter().find(|(_, known)| *known == letter)?;
        Some(Kept::Refused(kind, String::from_utf8(kept).ok()?))
    }

    pub(super) async fn keep(&self, key: &str, answer: &[u8]) -> Result<()> {
        let Some(store) = &self.0.store else { return Ok(()) };
        // Whatever a server may echo, the token goes into no file.
        if self.0.token.as_ref().is_some_and(|token| token.is_in(answer)) {
            return Ok(());
        }
        store.put(key, &[b"+", answer].concat()).await
    }

    /// Keeps a refusal that would be the same tomorrow, and passes everything on.
    pub(super) async fn keep_refusal<T>(&self, key: &str, answered: Result<T>) -> Result<T> {
        if let (Some(store), Err(error)) = (&self.0.store, &answered)
            && let Some((_, letter)) = FINAL.into_iter().find(|(kind, _)| *kind == error.kind())
        {
            let why = std::error::Error::source(error).map_or_else(String::new, ToString::to_string);
            store.put(key, &[&[letter], secret::redact(&why).as_bytes()].concat()).await?;
        }
        answered
    }
}

/// Whether the signed URLs of a kept record can still be used.
pub(super) fn has_fresh_urls(record: &Metadata) -> bool {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |time| time.as_secs());
    let urls = [
        &record.thumb_256_url,
        &record.thumb_1024_url,
        &record.thumb_2048_url,
        &record.thumb_original_url,
        &record.mesh_url,
        &record.sfm_cluster_url,
    ];
    urls.into_iter().flatten().filter_map(|url| expiry(url)).all(|expiry| expiry > now)
}

/// When a signed URL ends: `oe=`, seconds since 1970 in hexadecimal.
fn expiry(url: &str) -> Option<u64> {
    let (_, query) = url.split_once('?')?;
    let oe = query.split('&').find_map(|pair| pair.strip_prefix("oe="))?;
    u64::from_str_radix(oe, 16).ok()
}
