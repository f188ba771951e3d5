//! The sequences of a user, through a search that comes page by page.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use url::{Url, form_urlencoded};

use crate::client::EMPTY_ROUNDS;
use crate::client::cache::response_cache::Keeping;
use crate::client::class::Class;
use crate::client::handle::{Client, below, in_task, json};
use crate::client::transport::send::Ask;
use crate::client::wire::Paging;
use crate::client::wire::lenient::{FromJson, Soft};
use crate::dates::Dates;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{ImageId, OwnerId, Sequence, SequenceId};
use crate::observe::Event;
use crate::record::time::format_timestamp;

/// Images a page, and fewer where the API asks to reduce the amount of data. With 2,000 busy searches were seen to time
/// out.
const LIMITS: [u32; 3] = [1000, 250, 50];

/// Images that are asked for to learn a user's id, of which some may lack it, and fewer on the same word.
const ID_LIMITS: [u32; 3] = [20, 5, 1];

/// How often an empty page is asked again while the page before it has images.
const CONFIRMED: usize = 2;

/// After so many rounds, about two minutes, an outage is no longer waited for.
const MAX_ROUNDS: usize = 9;

/// The API says 2,000.
const MOST_A_PAGE: usize = 10_000;

const DOING: &str = "list the images of user";

/// One page of a user's images.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct UserPage {
    /// Their sequences, each once, in the order of the page: the newest image first.
    pub(crate) sequences: Vec<Sequence>,
    /// Images of which the answer names no sequence.
    pub(crate) without_sequence: Vec<ImageId>,
    /// Entries that name neither an image nor a sequence.
    pub(crate) unusable: u64,
    /// The user's id, if one of the images has it.
    pub(crate) owner: Option<OwnerId>,
    /// Where the next page is.
    pub(crate) next: Option<Url>,
}

impl Client {
    /// The first page of a user's images, or of those captured within some dates.
    pub(crate) fn pages_of(&self, user: &str, dates: Option<&Dates>) -> Result<Url> {
        self.pages_with_limit(user, dates, LIMITS[0])
    }

    fn pages_with_limit(&self, user: &str, dates: Option<&Dates>, limit: u32) -> Result<Url> {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair("creator_username", user);
        // The API counts in seconds, and the end belongs to it.
        let end = |at: i64| at.saturating_add(999);
        query.extend_pairs(
            dates.and_then(Dates::from).and_then(format_timestamp).map(|at| ("start_captured_at", at)),
        );
        query.extend_pairs(
            dates.and_then(Dates::to).map(end).and_then(format_timestamp).map(|at| ("end_captured_at", at)),
        );
        let query = query.finish();
        below(&self.0.graph_url, &format!("/images?{query}&fields=id,sequence,creator&limit={limit}"))
    }

    /// A page, with fewer images where the API asks to reduce the amount of data; an empty one was given several times.
    ///
    /// `before` is a page of the same listing that had images: while that one is empty too it is an outage.
    pub(crate) async fn believed_user_page(
        &self,
        user: &str,
        page: Url,
        before: Option<&Url>,
    ) -> Result<UserPage> {
        let mut found = self.reduced_user_page(user, page.clone()).await?;
        let needed = if before.is_some() { CONFIRMED } else { EMPTY_ROUNDS };
        let mut confirmed = 0;
        for round in 0..MAX_ROUNDS {
            if !found.is_empty() || confirmed == needed {
                return Ok(found);
            }
            self.pause_after_empty(round, DOING, user.to_owned()).await?;
            if let Some(before) = before {
                let again = self.anew().user_page(user, before.clone()).await;
                if again.is_ok_and(|again| again.is_empty()) {
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
            .with_source("the API gives empty pages, even where it had images just now")
            .with_hint("it looks like an outage at Mapillary: run the same command again later"))
    }

    async fn reduced_user_page(&self, user: &str, mut page: Url) -> Result<UserPage> {
        loop {
            match self.user_page(user, page.clone()).await {
                Err(error) if error.kind() == ErrorKind::TooLarge => match smaller(&page) {
                    Some(next) => page = next,
                    None => return Err(error),
                },
                answered => return answered,
            }
        }
    }

    /// One page of a user's images.
    pub(crate) async fn user_page(&self, user: &str, page: Url) -> Result<UserPage> {
        let (client, user) = (self.clone(), user.to_owned());
        in_task(async move {
            let key = format!("page {}?{}", page.path(), page.query().unwrap_or_default());
            if let Some(kept) = client.kept(&key).await.and_then(|kept| UserPage::read(&kept)) {
                client.tell(&Event::StoreHit { class: Class::Search });
                return Ok(kept);
            }
            let malformed =
                |why: &'static str| Error::new(ErrorKind::Malformed, "").with_source(why).with_status(200);
            let ask = Ask { class: Class::Search, url: client.with_login(page), doing: DOING, subject: user };
            let asking = client.clone();
            let answered = client.ask(ask, move |body| {
                let answer: Answer = json(&body)?;
                let found = answer.data.ok_or_else(|| malformed("it is no list of images"))?;
                let next = answer.paging.0.and_then(|paging| paging.next.0);
                let next = next.map(|next| {
                    asking.same_host(&next).ok_or_else(|| malformed("its next page is on another host"))
                });
                let page = UserPage::of(found, next.transpose()?);
                // An outage was seen to answer with nothing, so that is not kept.
                let keeping = (!page.sequences.is_empty())
                    .then(|| Keeping::new(key.clone(), page.written().into_bytes().into()));
                Ok((page, keeping))
            });
            answered.await
        })
        .await
    }

    /// The id of a user, by the name, for [`TileSource::owned_by`](crate::TileSource::owned_by): no tile knows names.
    ///
    /// A user without images is a usage error.
    pub async fn user_id(&self, user: &str) -> Result<OwnerId> {
        let mut limits = ID_LIMITS.into_iter().peekable();
        while let Some(limit) = limits.next() {
            let page = self.pages_with_limit(user, None, limit)?;
            let found = match self.believed_user_page(user, page, None).await {
                Err(error) if error.kind() == ErrorKind::TooLarge && limits.peek().is_some() => continue,
                answered => answered?,
            };
            if let Some(owner) = found.owner {
                return Ok(owner);
            }
            if !found.is_empty() || found.next.is_some() {
                return Err(Error::new(ErrorKind::Usage, "find the id of the user")
                    .with_subject(user)
                    .with_source("none of their latest images names its creator")
                    .with_hint(
                        "leave the area out to list all images of the user, or give the id with `--org-id`",
                    ));
            }
            break;
        }
        Err(unknown_user(user))
    }
}

/// The same page with the next smaller number of images; none where it is the smallest.
fn smaller(page: &Url) -> Option<Url> {
    let limit: u32 = page.query_pairs().find(|(name, _)| name == "limit")?.1.parse().ok()?;
    let less = LIMITS.into_iter().find(|less| *less < limit && limit > ID_LIMITS[0])?;
    let pairs = page.query()?.split('&').map(|pair| match pair.strip_prefix("limit=") {
        Some(_) => format!("limit={less}"),
        None => pair.to_owned(),
    });
    let query = pairs.collect::<Vec<_>>().join("&");
    let mut page = page.clone();
    page.set_query(Some(&query));
    Some(page)
}

/// There is no image by this name.
pub(crate) fn unknown_user(user: &str) -> Error {
    Error::new(ErrorKind::Usage, "find the user")
        .with_subject(user)
        .with_source("the API names no image of theirs")
        .with_hint(
            "a name is written as in the address of their page, https://www.mapillary.com/app/user/NAME",
        )
}

impl UserPage {
    fn of(found: Vec<Soft<Found>>, next: Option<Url>) -> Self {
        let mut page = Self { next, ..Self::default() };
        let mut places = std::collections::HashMap::new();
        for image in found {
            let image = image.0.unwrap_or_default();
            let owner = image.creator.0.and_then(|creator| creator.id.0);
            let owner = owner.and_then(|id| OwnerId::check(id.as_str()).ok());
            if page.owner.is_none() {
                page.owner.clone_from(&owner);
            }
            match (image.sequence.0, image.id.0) {
                (Some(seq_id), _) => {
                    let place = *places.entry(seq_id.clone()).or_insert(page.sequences.len());
                    if place == page.sequences.len() {
                        page.sequences.push(Sequence { org_id: None, seq_id });
                    }
                    // An image may lack its creator, and the next one of the sequence have it.
                    let known = &mut page.sequences[place].org_id;
                    *known = known.take().or(owner);
                }
                (None, Some(id)) => page.without_sequence.push(id),
                (None, None) => page.unusable += 1,
            }
        }
        page
    }

    /// Whether the answer had no entry.
    pub(crate) fn is_empty(&self) -> bool {
        self.sequences.is_empty() && self.without_sequence.is_empty() && self.unusable == 0
    }

    /// As it is kept: an answer itself may hold the token in the address of the next page.
    fn written(&self) -> String {
        let owner = |sequence: &Sequence| sequence.org_id.as_ref().map_or("", OwnerId::as_str).to_owned();
        let sequences = self.sequences.iter().map(|one| format!("s {} {}", one.seq_id, owner(one)));
        let images = self.without_sequence.iter().map(|id| format!("i {id}"));
        let owner = self.owner.iter().map(|owner| format!("o {owner}"));
        let unusable = (self.unusable > 0).then(|| format!("u {}", self.unusable));
        let next = self.next.iter().map(|next| format!("n {next}"));
        sequences.chain(images).chain(owner).chain(unusable).chain(next).collect::<Vec<_>>().join("\n")
    }

    fn read(kept: &[u8]) -> Option<Self> {
        let mut page = Self::default();
        for line in std::str::from_utf8(kept).ok()?.lines() {
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

/// A page as the API gives it.
#[derive(serde::Deserialize)]
struct Answer {
    #[serde(default, deserialize_with = "images")]
    data: Option<Vec<Soft<Found>>>,
    #[serde(default)]
    paging: Soft<Paging>,
}

#[derive(serde::Deserialize, Default)]
#[serde(default)]
struct Found {
    id: Soft<ImageId>,
    sequence: Soft<SequenceId>,
    creator: Soft<Creator>,
}

#[derive(serde::Deserialize, Default)]
#[serde(default)]
struct Creator {
    id: Soft<ImageId>,
}

impl FromJson for Found {
    fn map<'de, A: MapAccess<'de>>(map: A) -> std::result::Result<Option<Self>, A::Error> {
        Self::deserialize(serde::de::value::MapAccessDeserializer::new(map)).map(Some)
    }
}

impl FromJson for Creator {
    fn map<'de, A: MapAccess<'de>>(map: A) -> std::result::Result<Option<Self>, A::Error> {
        Self::deserialize(serde::de::value::MapAccessDeserializer::new(map)).map(Some)
    }
}

fn images<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> std::result::Result<Option<Vec<Soft<Found>>>, D::Error> {
    deserializer.deserialize_seq(Images).map(Some)
}

struct Images;

impl<'de> Visitor<'de> for Images {
    type Value = Vec<Soft<Found>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of images")
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> std::result::Result<Self::Value, A::Error> {
        let mut found = Vec::new();
        while let Some(image) = list.next_element()? {
            if found.len() == MOST_A_PAGE {
                return Err(serde::de::Error::custom("it has more images than a page holds"));
            }
            found.push(image);
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_gives_each_sequence_once_and_is_kept_without_loss() {
        let json = r#"{"data":[{"id":"3","sequence":"abc","creator":{"id":"7","username":"me"}},{"id":"2","sequence":"abc"},
            {"id":"1"},{"id":"0","sequence":"-d_e","creator":null},{"sequence":[1]},null,7],"paging":{"next":"https://graph.test/x?after=1"}}"#;
        let answer: Answer = serde_json::from_str(json).expect("a page");
        let page =
            UserPage::of(answer.data.expect("images"), Url::parse("https://graph.test/x?after=1").ok());
        let ids: Vec<_> = page
            .sequences
            .iter()
            .map(|one| (one.seq_id.as_str(), one.org_id.as_ref().map(OwnerId::as_str)))
            .collect();
        assert_eq!(ids, [("abc", Some("7")), ("-d_e", None)]);
        assert_eq!(page.without_sequence, [ImageId::new("1").expect("an id")]);
        assert_eq!((page.unusable, page.owner.as_ref().map(OwnerId::as_str)), (3, Some("7")));
        assert_eq!(UserPage::read(page.written().as_bytes()), Some(page));
        for spoilt in ["x", "s abc", "s a/b 7", "s abc seven", "i one", "n nowhere", "o me", "u many", "日"]
        {
            assert_eq!(UserPage::read(spoilt.as_bytes()), None, "{spoilt}");
        }
    }

    #[test]
    fn a_page_gets_smaller_step_by_step_and_keeps_its_cursor() {
        let mut page =
            Url::parse("https://graph.test/images?creator_username=a%26limit%3D7&limit=1000&after=x");
        for limit in [250, 50] {
            page = Ok(smaller(page.as_ref().expect("a URL")).expect("a smaller one"));
            let expected = format!("creator_username=a%26limit%3D7&limit={limit}&after=x");
            assert_eq!(page.as_ref().ok().and_then(Url::query), Some(&*expected));
        }
        assert_eq!(page.ok().as_ref().and_then(smaller), None);
        let id = Url::parse("https://graph.test/images?limit=20").expect("a URL");
        assert_eq!(smaller(&id), None, "that one has limits of its own");
    }

    #[test]
    fn an_image_without_a_creator_costs_the_sequence_no_owner() {
        let json = r#"{"data":[{"id":"3","sequence":"abc"},{"id":"2","sequence":"abc","creator":{"id":"7"}},{"id":"1","sequence":"abc"}]}"#;
        let answer: Answer = serde_json::from_str(json).expect("a page");
        let page = UserPage::of(answer.data.expect("images"), None);
        assert_eq!(page.sequences[0].org_id.as_ref().map(OwnerId::as_str), Some("7"));
    }

    #[test]
    fn what_is_no_page_is_refused() {
        for json in [r#"{"data":7}"#, r#"{"data":{"a":1}}"#, "[]"] {
            let answer = serde_json::from_str::<Answer>(json);
            assert!(answer.ok().and_then(|answer| answer.data).is_none(), "{json}");
        }
        let many = format!(r#"{{"data":[{}{{}}]}}"#, "{},".repeat(MOST_A_PAGE));
        assert!(serde_json::from_str::<Answer>(&many).is_err());
    }
}
