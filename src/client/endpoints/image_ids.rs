//! The image ids of a sequence.

use std::collections::HashSet;

use url::Url;

use super::fetch::in_task;
use super::id_list::{IdList, IdPage};
use super::url::endpoint_url;
use crate::client::cache::response_cache::CacheEntry;
use crate::client::handle::Client;
use crate::client::transport::request::ApiRequest;
use crate::client::transport::retry::RetryOverride;
use crate::client::wire::MAX_SEQUENCE_IMAGES;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{ImageId, SequenceId};
use crate::observe::{Class, Event, Step};

/// The largest number of pages of a sequence. No sequence is known to have two.
const MAX_PAGES: usize = 1000;

const DOING: &str = "list the images of sequence";

/// How many invalid entries an error names.
const MAX_NAMED_ENTRIES: usize = 5;

impl Client {
    /// Lists the image ids of a sequence in capture order; at least one.
    ///
    /// Invalid entries are removed and reported to the observer as [`Event::Failed`]. If there are no others, the error
    /// is of kind [`ErrorKind::Malformed`].
    ///
    /// If the sequence does not exist, or two responses are empty, the error is of kind [`ErrorKind::Gone`]. If nearly
    /// all sequences are reported missing, the kind is [`ErrorKind::Auth`], because a token without permission gets the
    /// same responses.
    pub async fn image_ids(&self, sequence: &SequenceId) -> Result<Vec<ImageId>> {
        let mut list = self.id_list(sequence).await?;
        if list.is_empty() {
            tokio::time::sleep(self.wait_after_empty(0)).await;
            list = self.id_list(sequence).await?;
        }
        if list.is_empty() {
            return Err(self.empty_sequence_error(sequence).await);
        }
        match invalid_entries_error(sequence, &list) {
            Some(error) if list.ids.is_empty() => return Err(error),
            Some(error) => self.emit(&Event::Failed { step: Step::IMAGES, error: &error }),
            None => {}
        }
        Ok(list.ids)
    }

    /// Lists the images of a sequence, from the response store or the network. The list may be empty.
    ///
    /// An empty list may be the sign of an outage. The caller must request it again later before it calls
    /// [`Client::empty_sequence_error`].
    pub(crate) async fn id_list(&self, sequence: &SequenceId) -> Result<IdList> {
        let (client, sequence) = (self.clone(), sequence.clone());
        in_task(async move {
            if let Some(ids) = client.stored_image_ids(&sequence).await {
                client.emit(&Event::StoreHit { class: Class::Search });
                client.record_existing(Class::Search, 1);
                return Ok(IdList { ids, ..IdList::default() });
            }
            if let Some(why) = client.stored_gone(Class::Search, sequence.as_str()).await {
                client.emit(&Event::StoreHit { class: Class::Search });
                return Err(client.record_missing(Class::Search, gone(&sequence, why)).await);
            }
            match client.fetch_all_pages(&sequence).await {
                Ok(list) => {
                    client.record_existing(Class::Search, usize::from(!list.is_empty()));
                    Ok(list)
                }
                Err(error) if error.kind() == ErrorKind::Gone => {
                    Err(client.record_missing(Class::Search, error).await)
                }
                Err(error) => Err(error),
            }
        })
        .await
    }

    /// Whether a sequence that had images still has some. Does not use the response store.
    pub(crate) async fn still_has_images(&self, sequence: &SequenceId) -> bool {
        self.bypassing_store().fetch_all_pages(sequence).await.is_ok_and(|list| !list.is_empty())
    }

    /// Counts a sequence with a confirmed empty list as missing, and returns its error.
    ///
    /// This is not stored for the next run, because an empty list may be an outage after all.
    pub(crate) async fn empty_sequence_error(&self, sequence: &SequenceId) -> Error {
        let why = "the sequence was deleted or has no images";
        self.count_missing(Class::Search).await.err().unwrap_or_else(|| gone(sequence, why.to_owned()))
    }

    async fn stored_image_ids(&self, sequence: &SequenceId) -> Option<Vec<ImageId>> {
        let stored = self.stored(&key(sequence)).await?;
        let ids: std::result::Result<Vec<_>, _> =
            std::str::from_utf8(&stored).ok()?.lines().map(ImageId::check).collect();
        ids.ok().filter(|ids| !ids.is_empty())
    }

    async fn fetch_all_pages(&self, sequence: &SequenceId) -> Result<IdList> {
        let malformed = |why: &'static str| {
            Error::new(ErrorKind::Malformed, DOING)
                .with_subject(sequence.as_str())
                .with_source(why)
                .with_status(200)
        };
        let (mut all, mut seen) = (IdList::default(), HashSet::new());
        let mut url = endpoint_url(&self.shared.graph_url, &format!("/image_ids?sequence_id={sequence}"))?;
        loop {
            let is_first = seen.is_empty();
            let page = if is_first {
                self.fetch_page(sequence, &url, true).await?
            } else {
                let is_empty = |page: &IdPage| page.list.is_empty();
                let request = || self.fetch_page(sequence, &url, false);
                self.confirmed_page(DOING, sequence.as_str(), is_empty, request).await?
            };
            let next = page.next;
            all.append(page.list);
            if all.ids.len() > MAX_SEQUENCE_IMAGES {
                return Err(malformed("it has more than a million images"));
            }
            let Some(next) = next else {
                all.remove_duplicates();
                if !is_first && let Some(entry) = cache_entry(sequence, &all) {
                    self.store(entry).await?;
                }
                return Ok(all);
            };
            seen.insert(url);
            url = self.next_page(&next).ok_or_else(|| malformed("its next page is on another host"))?;
            if seen.contains(&url) || seen.len() > MAX_PAGES {
                return Err(malformed("its pages never end"));
            }
        }
    }

    /// Fetches one page. If it is the only one of its sequence, it is stored within the attempt.
    ///
    /// The request can't be split, so a response that asks to reduce the amount of data is retried.
    async fn fetch_page(&self, sequence: &SequenceId, url: &Url, is_first: bool) -> Result<IdPage> {
        let request = ApiRequest {
            class: Class::Search,
            url: self.with_login(url.clone()),
            doing: DOING,
            subject: sequence.to_string(),
        };
        let sequence = sequence.clone();
        self.fetch(request, RetryOverride::SINGLE, move |body| {
            let page = IdPage::parse(&body)
                .map_err(|error| Error::new(ErrorKind::Malformed, "").with_source(error).with_status(200))?;
            let is_only = is_first && page.next.is_none();
            let entry = if is_only { cache_entry(&sequence, &page.list) } else { None };
            Ok((page, entry))
        })
        .await
    }
}

fn gone(sequence: &SequenceId, why: String) -> Error {
    Error::new(ErrorKind::Gone, DOING).with_subject(sequence.as_str()).with_source(why)
}

/// Returns the error for the invalid entries of a list, if there are any.
pub(crate) fn invalid_entries_error(sequence: &SequenceId, list: &IdList) -> Option<Error> {
    if list.invalid.is_empty() {
        return None;
    }
    let named =
        list.invalid.iter().take(MAX_NAMED_ENTRIES).map(String::as_str).collect::<Vec<_>>().join(", ");
    let more = list.invalid.len().saturating_sub(MAX_NAMED_ENTRIES);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let error = Error::new(ErrorKind::Malformed, "use some of the image ids of sequence")
        .with_subject(sequence.as_str())
        .with_source(format!("the list has {named}{more}; the other {} are used", list.ids.len()))
        .with_status(200);
    Some(error)
}

/// Returns the ids as they are stored. The response itself may contain the token, in the URL of the next page.
///
/// A list with invalid entries is not stored, so that the next run requests it again.
fn cache_entry(sequence: &SequenceId, list: &IdList) -> Option<CacheEntry> {
    let is_valid = list.invalid.is_empty() && !list.ids.is_empty();
    let lines = || list.ids.iter().map(ImageId::as_str).collect::<Vec<_>>().join("\n");
    is_valid.then(|| CacheEntry::new(key(sequence), lines()))
}

fn key(sequence: &SequenceId) -> String {
    format!("images of {sequence}")
}
