//! The sequences of a user, through a search that comes page by page.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use url::{Url, form_urlencoded};

use super::kept::Keeping;
use super::send::Ask;
use super::soft::{FromJson, Soft};
use super::wire::Paging;
use super::{Class, Client, below, in_task, json};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{ImageId, OwnerId, Sequence, SequenceId};
use crate::observe::Event;
use crate::record::time::iso;
use crate::stages::Dates;

/// Images a page: with 2,000 busy searches were seen to time out.
const A_PAGE: usize = 1000;

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
    /// Where the next page is.
    pub(crate) next: Option<Url>,
}

impl Client {
    /// The first page of a user's images, or of those captured within some dates.
    pub(crate) fn pages_of(&self, user: &str, dates: Option<&Dates>) -> Result<Url> {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair("creator_username", user);
        // The API counts in seconds, and the end belongs to it.
        let end = |at: i64| at.saturating_add(999);
        query.extend_pairs(dates.and_then(Dates::from).and_then(iso).map(|at| ("start_captured_at", at)));
        query
            .extend_pairs(dates.and_then(Dates::to).map(end).and_then(iso).map(|at| ("end_captured_at", at)));
        let query = query.finish();
        below(&self.0.graph_url, &format!("/images?{query}&fields=id,sequence,creator&limit={A_PAGE}"))
    }

    /// One page of a user's images.
    pub(crate) async fn user_page(&self, user: &str, page: Url) -> Result<UserPage> {
        let (client, user) = (self.clone(), user.to_owned());
        in_task(async move {
            let key = format!("page {}?{}", page.path(), page.query().unwrap_or_default());
            if let Some(kept) = client.kept(&key).await.and_then(|kept| UserPage::read(&kept)) {
                client.tell(&Event::Stored { class: Class::Search });
                return Ok(kept);
            }
            let malformed =
                |why: &'static str| Error::new(ErrorKind::Malformed, "").because(why).answered(200);
            let ask = Ask { class: Class::Search, url: page, doing: DOING, subject: user };
            let asking = client.clone();
            let answered = client.ask(ask, move |body| {
                let answer: Answer = json(&body)?;
                let found = answer.data.ok_or_else(|| malformed("it is no list of images"))?;
                let next = answer.paging.0.and_then(|paging| paging.next.0).filter(|_| !found.is_empty());
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
        let mut page = self.pages_of(user, None)?;
        let query = page.query().unwrap_or_default().replace(&format!("limit={A_PAGE}"), "limit=1");
        page.set_query(Some(&query));
        let found = self.user_page(user, page).await?;
        found.sequences.into_iter().find_map(|sequence| sequence.org_id).ok_or_else(|| unknown_user(user))
    }
}

/// There is no image by this name.
pub(crate) fn unknown_user(user: &str) -> Error {
    Error::new(ErrorKind::Usage, "find the user")
        .subject(user)
        .because("the API names no image of theirs")
        .hint("a name is written as in the address of their page, https://www.mapillary.com/app/user/NAME")
}

impl UserPage {
    fn of(found: Vec<Found>, next: Option<Url>) -> Self {
        let mut page = Self { next, ..Self::default() };
        let mut seen = std::collections::HashSet::new();
        for image in found {
            let owner = image.creator.0.and_then(|creator| creator.id.0);
            match image.sequence.0 {
                Some(seq_id) => {
                    if seen.insert(seq_id.clone()) {
                        let org_id = owner.and_then(|id| OwnerId::check(id.as_str()).ok());
                        page.sequences.push(Sequence { org_id, seq_id });
                    }
                }
                None => page.without_sequence.extend(image.id.0),
            }
        }
        page
    }

    /// As it is kept: an answer itself may hold the token in the address of the next page.
    fn written(&self) -> String {
        let owner = |sequence: &Sequence| sequence.org_id.as_ref().map_or("", OwnerId::as_str).to_owned();
        let sequences = self.sequences.iter().map(|one| format!("s {} {}", one.seq_id, owner(one)));
        let images = self.without_sequence.iter().map(|id| format!("i {id}"));
        let next = self.next.iter().map(|next| format!("n {next}"));
        sequences.chain(images).chain(next).collect::<Vec<_>>().join("\n")
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
    data: Option<Vec<Found>>,
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

impl FromJson for Creator {
    fn map<'de, A: MapAccess<'de>>(map: A) -> std::result::Result<Option<Self>, A::Error> {
        Self::deserialize(serde::de::value::MapAccessDeserializer::new(map)).map(Some)
    }
}

fn images<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Option<Vec<Found>>, D::Error> {
    deserializer.deserialize_seq(Images).map(Some)
}

struct Images;

impl<'de> Visitor<'de> for Images {
    type Value = Vec<Found>;

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
            {"id":"1"},{"id":"0","sequence":"-d_e","creator":null},{"sequence":[1]}],"paging":{"next":"https://graph.test/x?after=1"}}"#;
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
        assert_eq!(UserPage::read(page.written().as_bytes()), Some(page));
        for spoilt in ["x", "s abc", "s a/b 7", "s abc seven", "i one", "n nowhere", "日"] {
            assert_eq!(UserPage::read(spoilt.as_bytes()), None, "{spoilt}");
        }
    }

    #[test]
    fn what_is_no_page_is_refused() {
        for json in [r#"{"data":7}"#, r#"{"data":{"a":1}}"#, "[]", "{}", r#"{"images":[]}"#] {
            let page = serde_json::from_str::<Answer>(json);
            assert!(page.is_err() || page.is_ok_and(|page| page.data.is_none()), "{json}");
        }
        let many = format!(r#"{{"data":[{}{{}}]}}"#, "{},".repeat(MOST_A_PAGE));
        assert!(serde_json::from_str::<Answer>(&many).is_err());
    }
}
