//! The sequences of a user, from a paged search for images.

use std::collections::HashMap;
use std::fmt;

use serde::de::{Deserializer, SeqAccess, Visitor};
use url::{Url, form_urlencoded};

use super::empty_responses::MAX_EMPTY_RETRIES;
use super::fetch::in_task;
use super::url::endpoint_url;
use crate::client::cache::response_cache::CacheEntry;
use crate::client::handle::Client;
use crate::client::transport::request::ApiRequest;
use crate::client::transport::retry::RetryOverride;
use crate::client::wire::lenient::{Lenient, lenient_objects};
use crate::client::wire::{Paging, parse_json};
use crate::dates::Dates;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{ImageId, OwnerId, Sequence, SequenceId};
use crate::observe::{Class, Event};
use crate::timestamp::format_timestamp;

/// The numbers of images per page. The smaller ones follow if the API asks to reduce the amount of data. Searches with
/// 2,000 were seen to time out.
const PAGE_SIZES: [u32; 3] = [1000, 250, 50];

/// The same for requests that only look for the user's id, which some images lack.
const ID_PAGE_SIZES: [u32; 3] = [20, 5, 1];

/// How often an empty page is requested again if the page before it still has images.
const MAX_CONFIRMATIONS: usize = 2;

/// How often an empty page is requested again in all, over about two minutes.
const MAX_RETRIES: usize = 9;

/// The largest number of images in a response. The documented maximum is 2,000.
const MAX_PAGE_LEN: usize = 10_000;

const DOING: &str = "list the images of user";

/// One page of a user's images.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct UserPage {
    /// The distinct sequences in the order of the page: the newest image first.
    pub(crate) sequences: Vec<Sequence>,
    /// The images without a sequence.
    pub(crate) without_sequence: Vec<ImageId>,
    /// The number of entries without an image id or a sequence.
    pub(crate) unusable: u64,
    /// The user's id, if one of the images has it.
    pub(crate) owner: Option<OwnerId>,
    /// The URL of the next page.
    pub(crate) next: Option<Url>,
}

impl Client {
    /// Returns the URL of the first page of a user's images, optionally of those captured within some dates.
    pub(crate) fn first_user_page(&self, user: &str, dates: Option<&Dates>) -> Result<Url> {
        self.user_page_url(user, dates, PAGE_SIZES[0])
    }

    fn user_page_url(&self, user: &str, dates: Option<&Dates>, limit: u32) -> Result<Url> {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair("creator_username", user);
        // The API ignores milliseconds and includes the end.
        let end = |at: i64| at.saturating_add(999);
        query.extend_pairs(
            dates.and_then(Dates::from).and_then(format_timestamp).map(|at| ("start_captured_at", at)),
        );
        query.extend_pairs(
            dates.and_then(Dates::to).map(end).and_then(format_timestamp).map(|at| ("end_captured_at", at)),
        );
        let query = query.finish();
        endpoint_url(
            &self.shared.graph_url,
            &format!("/images?{query}&fields=id,sequence,creator&limit={limit}"),
        )
    }

    /// Fetches a page, with fewer images if the API asks to reduce the amount of data. An empty page is requested again.
    ///
    /// `before` is a page of the same search that had images. While it is empty too, there is an outage.
    pub(crate) async fn confirmed_user_page(
        &self,
        user: &str,
        page: Url,
        before: Option<&Url>,
    ) -> Result<UserPage> {
        let mut found = self.reduced_user_page(user, page.clone()).await?;
        let needed = if before.is_some() { MAX_CONFIRMATIONS } else { MAX_EMPTY_RETRIES };
        let mut confirmed = 0;
        for retry in 0..MAX_RETRIES {
            if !found.is_empty() || confirmed == needed {
                return Ok(found);
            }
            self.pause_after_empty(retry, DOING, user.to_owned()).await?;
            if let Some(before) = before {
                let repeated = self.bypassing_store().user_page(user, before.clone()).await;
                if repeated.is_ok_and(|page| page.is_empty()) {
                    continue;
                }
            }
            found = self.reduced_user_page(user, page.clone()).await?;
            confirmed += 1;
        }
        if !found.is_empty() || confirmed == needed {
            return Ok(found);
        }
        Err(Error::new(ErrorKind::Unavailable, DOING)
            .with_subject(user)
            .with_source("the API returns empty pages, also for a page that had images before")
            .with_hint("this looks like an outage at Mapillary: run the same command again later"))
    }

    async fn reduced_user_page(&self, user: &str, mut page: Url) -> Result<UserPage> {
        loop {
            match self.user_page(user, page.clone()).await {
                Err(error) if error.kind() == ErrorKind::TooLarge => match with_smaller_page(&page) {
                    Some(next) => page = next,
                    None => return Err(error),
                },
                result => return result,
            }
        }
    }

    /// Fetches one page of a user's images.
    pub(crate) async fn user_page(&self, user: &str, page: Url) -> Result<UserPage> {
        let (client, user) = (self.clone(), user.to_owned());
        in_task(async move {
            let key = format!("page {}?{}", page.path(), page.query().unwrap_or_default());
            if let Some(stored) = client.stored(&key).await.and_then(|stored| UserPage::from_stored(&stored))
            {
                client.emit(&Event::StoreHit { class: Class::Search });
                return Ok(stored);
            }
            let malformed =
                |why: &'static str| Error::new(ErrorKind::Malformed, "").with_source(why).with_status(200);
            let url = client.with_login(page);
            let request = ApiRequest { class: Class::Search, url, doing: DOING, subject: user };
            let sender = client.clone();
            let fetched = client.fetch(request, RetryOverride::default(), move |body| {
                let response: WirePage = parse_json(&body)?;
                let entries = response.data.ok_or_else(|| malformed("it is not a list of images"))?;
                let next = response.paging.0.and_then(|paging| paging.next.0);
                let next = next.map(|next| {
                    sender.next_page(&next).ok_or_else(|| malformed("its next page is on another host"))
                });
                let page = UserPage::from_entries(entries, next.transpose()?);
                // An empty page may be the sign of an outage, so it is not stored.
                let entry =
                    (!page.sequences.is_empty()).then(|| CacheEntry::new(key.clone(), page.to_stored()));
                Ok((page, entry))
            });
            fetched.await
        })
        .await
    }

    /// Finds the id of a user by name, for [`TileSource::owned_by`](crate::TileSource::owned_by): tiles contain no names.
    ///
    /// A user without images is an error of kind [`ErrorKind::Usage`].
    pub async fn user_id(&self, user: &str) -> Result<OwnerId> {
        let mut sizes = ID_PAGE_SIZES.into_iter().peekable();
        while let Some(limit) = sizes.next() {
            let page = self.user_page_url(user, None, limit)?;
            let found = match self.confirmed_user_page(user, page, None).await {
                Err(error) if error.kind() == ErrorKind::TooLarge && sizes.peek().is_some() => continue,
                result => result?,
            };
            if let Some(owner) = found.owner {
                return Ok(owner);
            }
            if !found.is_empty() || found.next.is_some() {
                return Err(Error::new(ErrorKind::Usage, "find the id of the user")
                    .with_subject(user)
                    .with_source("none of the latest images has a creator")
                    .with_hint(
                        "run without an area to list all images of the user, or pass the id with `--org-id`",
                    ));
            }
            break;
        }
        Err(unknown_user(user))
    }
}

/// Returns the URL with the next smaller page size, or `None` if there is no smaller one.
fn with_smaller_page(page: &Url) -> Option<Url> {
    let limit: u32 = page.query_pairs().find(|(name, _)| name == "limit")?.1.parse().ok()?;
    let smaller = PAGE_SIZES.into_iter().find(|size| *size < limit && limit > ID_PAGE_SIZES[0])?;
    let pairs = page.query()?.split('&').map(|pair| match pair.strip_prefix("limit=") {
        Some(_) => format!("limit={smaller}"),
        None => pair.to_owned(),
    });
    let query = pairs.collect::<Vec<_>>().join("&");
    let mut page = page.clone();
    page.set_query(Some(&query));
    Some(page)
}

/// Returns the error for a user without images.
pub(crate) fn unknown_user(user: &str) -> Error {
    Error::new(ErrorKind::Usage, "find the user")
        .with_subject(user)
        .with_source("the API returned no images for this user name")
        .with_hint("write the name as in the URL of the profile, https://www.mapillary.com/app/user/NAME")
}

impl UserPage {
    fn from_entries(entries: Vec<Lenient<Entry>>, next: Option<Url>) -> Self {
        let mut page = Self { next, ..Self::default() };
        let mut positions = HashMap::new();
        for entry in entries {
            let image = entry.0.unwrap_or_default();
            let owner = image.creator.0.and_then(|creator| creator.id.0);
            let owner = owner.and_then(|id| OwnerId::check(id.as_str()).ok());
            if page.owner.is_none() {
                page.owner.clone_from(&owner);
            }
            match (image.sequence.0, image.id.0) {
                (Some(seq_id), _) => {
                    let position = *positions.entry(seq_id.clone()).or_insert(page.sequences.len());
                    if position == page.sequences.len() {
                        page.sequences.push(Sequence { org_id: None, seq_id });
                    }
                    // An image may lack its creator while another one of the sequence has it.
                    let org_id = &mut page.sequences[position].org_id;
                    *org_id = org_id.take().or(owner);
                }
                (None, Some(id)) => page.without_sequence.push(id),
                (None, None) => page.unusable += 1,
            }
        }
        page
    }

    /// Whether the response had no entries.
    pub(crate) fn is_empty(&self) -> bool {
        self.sequences.is_empty() && self.without_sequence.is_empty() && self.unusable == 0
    }

    /// Returns the page as it is stored. The response itself may contain the token, in the URL of the next page.
    fn to_stored(&self) -> String {
        let owner = |sequence: &Sequence| sequence.org_id.as_ref().map_or("", OwnerId::as_str).to_owned();
        let sequences = self.sequences.iter().map(|one| format!("s {} {}", one.seq_id, owner(one)));
        let images = self.without_sequence.iter().map(|id| format!("i {id}"));
        let owner = self.owner.iter().map(|owner| format!("o {owner}"));
        let unusable = (self.unusable > 0).then(|| format!("u {}", self.unusable));
        let next = self.next.iter().map(|next| format!("n {next}"));
        sequences.chain(images).chain(owner).chain(unusable).chain(next).collect::<Vec<_>>().join("\n")
    }

    /// Parses a stored page.
    fn from_stored(stored: &[u8]) -> Option<Self> {
        let mut page = Self::default();
        for line in std::str::from_utf8(stored).ok()?.lines() {
            match line.split_at_checked(2)? {
                ("s ", rest) => {
                    let (seq_id, owner) = rest.split_once(' ')?;
                    let org_id = (!owner.is_empty()).then(|| OwnerId::check(owner)).transpose().ok()?;
                    page.sequences.push(Sequence { org_id, seq_id: SequenceId::check(seq_id).ok()? });
                }
                ("i ", id) => page.without_sequence.push(ImageId::check(id).ok()?),
                ("o ", owner) => page.owner = Some(OwnerId::check(owner).ok()?),
                ("u ", count) => page.unusable = count.parse().ok()?,
                ("n ", next) => page.next = Some(Url::parse(next).ok()?),
                _ => return None,
            }
        }
        Some(page)
    }
}

/// A page as the API returns it.
#[derive(serde::Deserialize)]
struct WirePage {
    #[serde(default, deserialize_with = "images")]
    data: Option<Vec<Lenient<Entry>>>,
    #[serde(default)]
    paging: Lenient<Paging>,
}

#[derive(serde::Deserialize, Default)]
#[serde(default)]
struct Entry {
    id: Lenient<ImageId>,
    sequence: Lenient<SequenceId>,
    creator: Lenient<Creator>,
}

#[derive(serde::Deserialize, Default)]
#[serde(default)]
struct Creator {
    id: Lenient<ImageId>,
}

lenient_objects!(Entry, Creator);

fn images<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> std::result::Result<Option<Vec<Lenient<Entry>>>, D::Error> {
    deserializer.deserialize_seq(Images).map(Some)
}

struct Images;

impl<'de> Visitor<'de> for Images {
    type Value = Vec<Lenient<Entry>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of images")
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> std::result::Result<Self::Value, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = list.next_element()? {
            if entries.len() == MAX_PAGE_LEN {
                return Err(serde::de::Error::custom("it has more images than a page may have"));
            }
            entries.push(entry);
        }
        Ok(entries)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_has_each_sequence_once_and_is_stored_without_loss() {
        let json = r#"{"data":[{"id":"3","sequence":"abc","creator":{"id":"7","username":"me"}},{"id":"2","sequence":"abc"},
            {"id":"1"},{"id":"0","sequence":"-d_e","creator":null},{"sequence":[1]},null,7],"paging":{"next":"https://graph.test/x?after=1"}}"#;
        let response: WirePage = serde_json::from_str(json).expect("a page");
        let page = UserPage::from_entries(
            response.data.expect("images"),
            Url::parse("https://graph.test/x?after=1").ok(),
        );
        let ids: Vec<_> = page
            .sequences
            .iter()
            .map(|one| (one.seq_id.as_str(), one.org_id.as_ref().map(OwnerId::as_str)))
            .collect();
        assert_eq!(ids, [("abc", Some("7")), ("-d_e", None)]);
        assert_eq!(page.without_sequence, [ImageId::new("1").expect("an id")]);
        assert_eq!((page.unusable, page.owner.as_ref().map(OwnerId::as_str)), (3, Some("7")));
        assert_eq!(UserPage::from_stored(page.to_stored().as_bytes()), Some(page));
        for damaged in ["x", "s abc", "s a/b 7", "s abc seven", "i one", "n nowhere", "o me", "u many", "日"]
        {
            assert_eq!(UserPage::from_stored(damaged.as_bytes()), None, "{damaged}");
        }
    }

    #[test]
    fn a_page_gets_smaller_step_by_step_with_the_same_cursor() {
        let mut page =
            Url::parse("https://graph.test/images?creator_username=a%26limit%3D7&limit=1000&after=x");
        for limit in [250, 50] {
            page = Ok(with_smaller_page(page.as_ref().expect("a URL")).expect("a smaller one"));
            let expected = format!("creator_username=a%26limit%3D7&limit={limit}&after=x");
            assert_eq!(page.as_ref().ok().and_then(Url::query), Some(&*expected));
        }
        assert_eq!(page.ok().as_ref().and_then(with_smaller_page), None);
        let id = Url::parse("https://graph.test/images?limit=20").expect("a URL");
        assert_eq!(with_smaller_page(&id), None, "the search for an id has its own sizes");
    }

    #[test]
    fn one_image_with_a_creator_is_enough_for_the_owner() {
        let json = r#"{"data":[{"id":"3","sequence":"abc"},{"id":"2","sequence":"abc","creator":{"id":"7"}},{"id":"1","sequence":"abc"}]}"#;
        let response: WirePage = serde_json::from_str(json).expect("a page");
        let page = UserPage::from_entries(response.data.expect("images"), None);
        assert_eq!(page.sequences[0].org_id.as_ref().map(OwnerId::as_str), Some("7"));
    }

    #[test]
    fn other_json_is_not_a_page() {
        for json in [r#"{"data":7}"#, r#"{"data":{"a":1}}"#, "[]"] {
            let response = serde_json::from_str::<WirePage>(json);
            assert!(response.ok().and_then(|response| response.data).is_none(), "{json}");
        }
        let many = format!(r#"{{"data":[{}{{}}]}}"#, "{},".repeat(MAX_PAGE_LEN));
        assert!(serde_json::from_str::<WirePage>(&many).is_err());
    }
}
