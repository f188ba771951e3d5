//! Parses the response of `/image_ids`: a list of image ids, and possibly a link to the next page.
//!
//! Each entry is parsed separately, so that an invalid one does not affect the others.

use std::collections::HashSet;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::client::wire::lenient::Lenient;
use crate::client::wire::{MAX_SEQUENCE_IMAGES, Paging};
use crate::model::ImageId;
use crate::text::printable;
use crate::text::redact;

/// The largest number of invalid entries in a response. With more, the whole response is malformed.
const MAX_INVALID: usize = 1000;

/// How many characters of an invalid entry a message shows.
const MAX_SHOWN: usize = 80;

/// One page of ids.
pub(crate) struct IdPage {
    pub(crate) list: IdList,
    /// The link to the next page.
    pub(crate) next: Option<String>,
}

impl IdPage {
    /// Parses a response. Returns an error if it is not a list of ids.
    pub(crate) fn parse(body: &[u8]) -> serde_json::Result<Self> {
        // Invalid UTF-8 affects only the entry that contains it.
        let text = String::from_utf8_lossy(body);
        let page: WirePage = serde_json::from_str(&text)?;
        let next = page.paging.0.and_then(|paging| paging.next.0);
        Ok(Self { list: page.data, next })
    }
}

/// The image ids of a sequence in capture order, and the entries that are not ids.
#[derive(Default)]
pub(crate) struct IdList {
    pub(crate) ids: Vec<ImageId>,
    /// The invalid entries, each with the reason.
    pub(crate) invalid: Vec<String>,
    /// The number of ids that were removed because they occurred before.
    pub(crate) duplicates: usize,
}

impl IdList {
    /// Returns the number of entries in the responses.
    pub(crate) fn len(&self) -> usize {
        self.ids.len() + self.invalid.len() + self.duplicates
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Appends the entries of the next page.
    pub(crate) fn append(&mut self, next: Self) {
        self.ids.extend(next.ids);
        self.invalid.extend(next.invalid);
    }

    /// Removes all but the first occurrence of each id.
    pub(crate) fn remove_duplicates(&mut self) {
        let mut seen = HashSet::with_capacity(self.ids.len());
        let before = self.ids.len();
        self.ids.retain(|id| seen.insert(id.clone()));
        self.duplicates += before - self.ids.len();
    }
}

#[derive(serde::Deserialize)]
struct WirePage {
    data: IdList,
    #[serde(default)]
    paging: Lenient<Paging>,
}

#[derive(serde::Deserialize)]
struct Entry<'a> {
    #[serde(borrow)]
    id: &'a RawValue,
}

/// Parses an entry. Returns the reason if it has no valid id.
fn parse_entry(entry: &str) -> Result<ImageId, String> {
    let invalid = |shown: &str, why: &str| {
        let why = why.replace('`', "'");
        Err(format!("`{}` ({why})", printable(&redact(shown), MAX_SHOWN)))
    };
    // A list would be accepted as the fields in their order.
    if !entry.starts_with('{') {
        return invalid(entry, "not an object with an id");
    }
    let Ok(Entry { id }) = serde_json::from_str::<Entry<'_>>(entry) else {
        return invalid(entry, "no id");
    };
    let id = id.get();
    if !id.starts_with('"') {
        // The digits are read as text, because a float would lose some of them.
        return ImageId::check(id).or_else(|why| invalid(id, why));
    }
    match serde_json::from_str::<String>(id) {
        Ok(text) => ImageId::check(&text).or_else(|why| invalid(&text, why)),
        Err(_) => invalid(id, "not a text"),
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
            match parse_entry(entry.get()) {
                Ok(id) => list.ids.push(id),
                Err(why) => list.invalid.push(format!("entry {}: {why}", list.len() + 1)),
            }
            if list.invalid.len() > MAX_INVALID {
                return Err(A::Error::custom("it has more than 1,000 invalid entries"));
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
        let list = IdPage::parse(body).expect("a list").list;
        (list.ids.iter().map(ToString::to_string).collect(), list.invalid)
    }

    #[test]
    fn an_invalid_entry_affects_no_other_entry() {
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
            let (ids, invalid) = read(format!(r#"{{"data":[{{"id":"1"}},{bad},{{"id":3}}]}}"#).as_bytes());
            assert_eq!(ids, ["1", "3"], "{bad}");
            assert!(invalid.len() == 1 && invalid[0].starts_with("entry 2: `"), "{bad}: {invalid:?}");
        }
        let (ids, invalid) = read(b"{\"data\":[{\"id\":\"1\"},{\"id\":\"\xff\"},{\"id\":\"2\"}]}");
        assert!(ids == ["1", "2"] && invalid.len() == 1, "{invalid:?}");
        assert_eq!(read(br#"{"data":[{"id":12345678901234567890123}]}"#).0, ["12345678901234567890123"]);
    }

    #[test]
    fn other_json_and_lists_of_invalid_entries_are_malformed() {
        for body in
            ["", "[]", "{}", r#"{"data":7}"#, r#"{"data":null}"#, r#"{"data":{"id":"1"}}"#, r#"{"data":["#]
        {
            assert!(IdPage::parse(body.as_bytes()).is_err(), "{body}");
        }
        let many = format!(r#"{{"data":[{}null]}}"#, "null,".repeat(MAX_INVALID));
        assert!(IdPage::parse(many.as_bytes()).is_err());
    }

    #[test]
    fn an_id_that_occurs_twice_stays_at_its_first_position() {
        let mut list = IdPage::parse(br#"{"data":[{"id":"2"},{"id":"1"},{"id":2}]}"#).expect("a list").list;
        list.remove_duplicates();
        assert_eq!(list.ids.iter().map(ImageId::as_str).collect::<Vec<_>>(), ["2", "1"]);
        assert_eq!(list.duplicates, 1);
    }
}
