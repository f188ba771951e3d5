//! The error object of the Graph API.

use serde::Deserialize;
use serde::de::{IgnoredAny, MapAccess, SeqAccess};

use super::lenient::{FromJson, Lenient};

/// The object around an error. Its other keys vary.
#[derive(Deserialize)]
struct Envelope {
    #[serde(default)]
    error: Lenient<GraphError>,
}

/// An error of the Graph API. Each value may be absent or of another type: it is still an error.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(crate) struct GraphError {
    message: Lenient<String>,
    code: Lenient<Code>,
    error_subcode: Lenient<Code>,
    is_transient: Lenient<bool>,
}

impl GraphError {
    /// Finds the error in a body. A response with status 200 may contain one too.
    pub(crate) fn find(body: &[u8]) -> Option<Self> {
        let json = body.trim_ascii_start();
        // Parsing large bodies is slow, so bodies without the word are skipped.
        let is_candidate = json.first() == Some(&b'{') && memchr::memmem::find(json, b"\"error\"").is_some();
        is_candidate.then(|| serde_json::from_slice::<Envelope>(json).ok()?.error.0).flatten()
    }

    /// Returns the message, or an empty text.
    pub(crate) fn message(&self) -> &str {
        self.message.0.as_deref().unwrap_or_default()
    }

    /// Returns the code, or 0.
    pub(crate) fn code(&self) -> i64 {
        self.code.0.map_or(0, |code| code.0)
    }

    /// Returns the subcode, or 0.
    pub(crate) fn subcode(&self) -> i64 {
        self.error_subcode.0.map_or(0, |code| code.0)
    }

    /// Whether the API says that a retry may succeed.
    pub(crate) fn is_transient(&self) -> bool {
        self.is_transient.0 == Some(true)
    }

    fn from_message(message: Option<String>) -> Self {
        Self { message: Lenient(message), ..Self::default() }
    }
}

/// An error code, as a number or as text.
#[derive(Clone, Copy)]
struct Code(i64);

impl FromJson for Code {
    fn text(text: &str) -> Option<Self> {
        text.parse().ok().map(Self)
    }
    fn integer(number: i64) -> Option<Self> {
        Some(Self(number))
    }
}

/// Any value of the key `error` is an error, except `null`.
impl FromJson for GraphError {
    fn text(text: &str) -> Option<Self> {
        Some(Self::from_message(String::text(text)))
    }
    fn float(_: f64) -> Option<Self> {
        Some(Self::default())
    }
    fn integer(_: i64) -> Option<Self> {
        Some(Self::default())
    }
    fn truth(_: bool) -> Option<Self> {
        Some(Self::default())
    }
    fn list<'de, A: SeqAccess<'de>>(mut list: A) -> Result<Option<Self>, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Some(Self::default()))
    }
    fn map<'de, A: MapAccess<'de>>(map: A) -> Result<Option<Self>, A::Error> {
        Self::deserialize(serde::de::value::MapAccessDeserializer::new(map)).map(Some)
    }
}
