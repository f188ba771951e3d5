//! The answer of `/image_ids`: a list of image ids, perhaps with a next page.
//!
//! Each entry is read by itself, so one that is no id costs itself and not the
//! rest of the sequence.

use std::collections::HashSet;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::client::wire::lenient::Soft;
use crate::client::wire::{MAX_SEQUENCE_IMAGES, Paging};
use crate::model::ImageId;
use crate::text::printable;
use crate::text::redact;

/// More unusable entries than this make the whole answer malformed.
const MAX_REFUSED: usize = 1000;

/// How much of an unusable entry is shown.
const MAX_SHOWN: usize = 80;

/// One page of ids.
pub(crate) struct IdPage {
    pub(crate) list: IdList,
    /// The address of the next page.
    pub(crate) next: Option<String>,
}

impl IdPage {
    /// Reads an answer; an error says why it is no list of ids at all.
    pub(crate) fn read(body: &[u8]) -> serde_json::Result<Self> {
        // Text that is not UTF-8 can only spoil the entry that it stands in.
        let text = String::from_utf8_lossy(body);
        let page: Wire = serde_json::from_str(&text)?;
        let next = page.paging.0.and_then(|paging| paging.next.0);
        Ok(Self { list: page.data, next })
    }
}

/// The ids of a sequence in capture order, and the entries that are no ids.
#[derive(Default)]
pub(crate) struct IdList {
    pub(crate) ids: Vec<ImageId>,
    /// Entries that can't be used, each with the reason.
    pub(crate) refused: Vec<String>,
    /// How many ids were left out because they came twice.
    pub(crate) repeated: usize,
}

impl IdList {
    /// How many entries the answers had.
    pub(crate) fn len(&self) -> usize {
        self.ids.len() + self.refused.len() + self.repeated
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Appends the entries of the next page.
    pub(crate) fn append(&mut self, next: Self) {
        self.ids.extend(next.ids);
        self.refused.extend(next.refused);
    }

    /// Keeps the first of ids that came more than once.
    pub(crate) fn drop_repeated(&mut self) {
        let mut seen = HashSet::with_capacity(self.ids.len());
        let before = self.ids.len();
        self.ids.retain(|id| seen.insert(id.clone()));
        self.repeated += before - self.ids.len();
    }
}

#[derive(serde::Deserialize)]
struct Wire {
    data: IdList,
    #[serde(default)]
    paging: Soft<Paging>,
}

#[derive(serde::Deserialize)]
struct Entry<'a> {
    #[serde(borrow)]
    id: &'a RawValue,
}

/// The id of an entry, or why there is none.
fn id_of(entry: &str) -> Result<ImageId, String> {
    let refuse = |shown: &str, why: &str| {
        let why = why.replace('`', "'");
        Err(format!("`{}` ({why})", printable(&redact(shown), MAX_SHOWN)))
    };
    // An entry that is a list would be taken for the fields in their order.
    if !entry.starts_with('{') {
        return refuse(entry, "it is no object with an id");
    }
    let Ok(Entry { id }) = serde_json::from_str::<Entry<'_>>(entry) else {
        return refuse(entry, "it has no id");
    };
    let id = id.get();
    if !id.starts_with('"') {
        // A whole number is taken digit by digit: a float would lose some.
        return ImageId::check(id).or_else(|why| refuse(id, why));
    }
    match serde_json::from_str::<String>(id) {
        Ok(text) => ImageId::check(&text).or_else(|why| refuse(&text, why)),
        Err(_) => refuse(id, "it is no text"),
    }
}

impl<'de> Deserialize<'de> for IdList {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(ListVisitor)
    }
}

struct ListVisitor;

impl<'de> Visitor<'de> for ListVisitor {
    type Value = IdList;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of ids")
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<IdList, A::Error> {
        let mut list = IdList::default();
        while let Some(entry) = entries.next_element::<&RawValue>()? {
            match id_of(entry.get()) {
                Ok(id) => list.ids.push(id),
                Err(why) => list.refused.push(format!("entry {}: {why}", list.len() + 1)),
            }
            if list.refused.len() > MAX_REFUSED {
                return Err(A::Error::custom("it has more than 1,000 entries that are no ids"));
            }
            if list.ids.len() > MAX_SEQUENCE_IMAGES {
                return Err(A::Error::custom("it has more than a million images"));
            }
        }
        Ok(list)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &[u8]) -> (Vec<String>, Vec<String>) {
        let list = IdPage::read(body).expect("a list").list;
        (list.ids.iter().map(ToString::to_string).collect(), list.refused)
    }

    #[test]
    fn an_entry_that_is_no_id_costs_itself_whatever_it_is() {
        let long = format!(r#"{{"id":"{}"}}"#, "7".repeat(33));
        for bad in [
            "null",
            "5",
            "\"5\"",
            "[]",
            "[\"5\"]",
            "{}",
            r#"{"id":null}"#,
            r#"{"id":""}"#,
            r#"{"id":-5}"#,
            r#"{"id":1.5}"#,
            r#"{"id":1e999}"#,
            r#"{"id":"../5"}"#,
            r#"{"id":"1e5"}"#,
            r#"{"id":"\ud800"}"#,
            r#"{"id":true}"#,
            r#"{"id":{"id":"5"}}"#,
            r#"{"id":"5","id":"6"}"#,
            &long,
        ] {
            let (ids, refused) = read(format!(r#"{{"data":[{{"id":"1"}},{bad},{{"id":3}}]}}"#).as_bytes());
            assert_eq!(ids, ["1", "3"], "{bad}");
            assert!(refused.len() == 1 && refused[0].starts_with("entry 2: `"), "{bad}: {refused:?}");
        }
        let (ids, refused) = read(b"{\"data\":[{\"id\":\"1\"},{\"id\":\"\xff\"},{\"id\":\"2\"}]}");
        assert!(ids == ["1", "2"] && refused.len() == 1, "{refused:?}");
        assert_eq!(read(br#"{"data":[{"id":12345678901234567890123}]}"#).0, ["12345678901234567890123"]);
    }

    #[test]
    fn what_is_no_list_or_nearly_all_refused_is_malformed() {
        for body in
            ["", "[]", "{}", r#"{"data":7}"#, r#"{"data":null}"#, r#"{"data":{"id":"1"}}"#, r#"{"data":["#]
        {
            assert!(IdPage::read(body.as_bytes()).is_err(), "{body}");
        }
        let many = format!(r#"{{"data":[{}null]}}"#, "null,".repeat(MAX_REFUSED));
        assert!(IdPage::read(many.as_bytes()).is_err());
    }

    #[test]
    fn an_id_that_comes_twice_is_kept_once_in_its_first_place() {
        let mut list = IdPage::read(br#"{"data":[{"id":"2"},{"id":"1"},{"id":2}]}"#).expect("a list").list;
        list.drop_repeated();
        assert_eq!(list.ids.iter().map(ImageId::as_str).collect::<Vec<_>>(), ["2", "1"]);
        assert_eq!(list.repeated, 1);
    }
}
