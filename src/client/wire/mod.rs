//! Reads the API's JSON into records.
//!
//! A value of an undocumented type counts as absent, so that one odd image does not fail the other 49 of its batch. The
//! same holds for invalid ids and for values longer than a table allows. Lists are bounded, so a response never needs
//! many times its size in memory.

pub(crate) mod batch;
pub(crate) mod detections;
pub(crate) mod feature;
pub(crate) mod graph_error;
mod image;
pub(crate) mod lenient;
pub(crate) mod signed_url;
#[cfg(test)]
mod tests;

use serde::de::DeserializeOwned;

use self::lenient::{Lenient, lenient_objects};
use crate::error::{Error, ErrorKind, Result};

/// The largest number of images in a sequence. Real sequences have up to some thousands.
pub(crate) const MAX_SEQUENCE_IMAGES: usize = 1_000_000;

/// The link to the next page.
#[derive(serde::Deserialize, Default)]
#[serde(default)]
pub(crate) struct Paging {
    pub(crate) next: Lenient<String>,
}

lenient_objects!(Paging);

/// Parses the body of a response with status 200.
pub(crate) fn parse_json<T: DeserializeOwned>(body: &[u8]) -> Result<T> {
    // One check of the whole body is faster than one of each text. The parser says where it is not UTF-8.
    let parsed = match std::str::from_utf8(body) {
        Ok(text) => serde_json::from_str(text),
        Err(_) => serde_json::from_slice(body),
    };
    parsed.map_err(|error| Error::new(ErrorKind::Malformed, "").with_source(error).with_status(200))
}
