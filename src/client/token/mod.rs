//! The token, and what keeps it out of everything a person sees.

mod form;
mod percent;

use std::fmt;

use bytes::Bytes;
use reqwest::header::HeaderValue;
use serde_json::Value as Json;

use crate::client::token::percent::{Decoded, decoded, hiding_places};
use crate::error::{Error, ErrorKind, Result};

/// Where a token may stand in the environment; the first that is set counts.
const VARIABLES: [&str; 3] = ["MAPILLARY_TOKEN", "MAPILLARY_CLIENT_TOKEN", "MAPILLARY_ACCESS_TOKEN"];

/// A Mapillary access token; it can be sent but not printed.
///
/// ```
/// use streetflow::Token;
///
/// let token = Token::new(" MLY|1234|abcd\n")?;
/// assert_eq!(format!("{token:?}"), "Token(…)");
/// # Ok::<(), streetflow::Error>(())
/// ```
#[derive(Clone)]
pub struct Token(String);

impl Token {
    /// Takes a token as read from a file or the environment; white space around it is cut off.
    pub fn new(text: &str) -> Result<Self> {
        let text = text.trim();
        match form::flaw(text) {
            None => Ok(Self(text.to_owned())),
            Some(flaw) => Err(Error::new(ErrorKind::Usage, "read the token")
                .with_source(flaw.why)
                .with_hint(flaw.hint())),
        }
    }

    /// The token in the environment: `MAPILLARY_TOKEN`, `MAPILLARY_CLIENT_TOKEN` or `MAPILLARY_ACCESS_TOKEN`.
    ///
    /// `None` if none of them is set, or all are empty.
    pub fn from_env() -> Result<Option<Self>> {
        let set = |name: &&'static str| {
            // A value that is not UTF-8 is refused like any other damaged token, not taken for an absent one.
            let text = std::env::var_os(name)?.to_string_lossy().into_owned();
            (!text.trim().is_empty()).then_some((*name, text))
        };
        let Some((name, text)) = VARIABLES.iter().find_map(set) else { return Ok(None) };
        Self::new(&text).map(Some).map_err(|error| error.with_subject(name))
    }

    /// Whether the token has the form of those that the dashboard gives out.
    pub(crate) fn has_usual_form(&self) -> bool {
        form::is_usual(&self.0)
    }

    /// The header for the Graph.
    pub(crate) fn header(&self) -> Result<HeaderValue> {
        let mut value = HeaderValue::from_str(&format!("OAuth {}", self.0))
            .map_err(|_| Error::new(ErrorKind::Usage, "put the token into a header"))?;
        value.set_sensitive(true);
        Ok(value)
    }

    /// What is looked for: the part that is secret, if the token has the usual form.
    fn secret(&self) -> Option<&str> {
        let last = self.0.rsplit('|').next().unwrap_or_default();
        if last.len() >= 16 { Some(last) } else { Some(self.0.as_str()).filter(|whole| whole.len() >= 8) }
    }

    /// Whether a text holds the secret, in clear or percent-encoded once or twice.
    pub(crate) fn is_in(&self, text: &[u8]) -> bool {
        let Some(secret) = self.secret() else { return false };
        let holds = |text: &[u8]| memchr::memmem::find(text, secret.as_bytes()).is_some();
        holds(text)
            || hiding_places(text, secret).any(|part| {
                let once = decoded(part);
                holds(&once) || holds(&decoded(&once))
            })
    }

    /// The text with a mask in the place of the token, wherever [`Token::is_in`] would find it.
    pub(crate) fn cut(&self, text: &str) -> String {
        let mut text = text.to_owned();
        let Some(secret) = self.secret() else { return text };
        // The whole of it first, so that its other parts do not stay behind.
        for (what, level) in
            [(&*self.0, 0), (&self.0, 1), (&self.0, 2), (secret, 0), (secret, 1), (secret, 2)]
        {
            let decoded = (0..level).fold(Decoded::of(text.as_bytes()), |decoded, _| decoded.decode());
            let (mut out, mut end) = (String::new(), 0);
            for at in memchr::memmem::find_iter(&decoded.bytes, what.as_bytes()) {
                out.push_str(&text[end..decoded.begins[at]]);
                out.push_str(MASK);
                end = decoded.begins[at + what.len()];
            }
            out.push_str(&text[end..]);
            text = out;
        }
        text
    }

    /// An answer of the API without the token, whatever the server echoes, so that it can't come into a record.
    pub(crate) fn cut_answer(&self, body: Bytes) -> Result<Bytes> {
        let Some(secret) = self.secret() else { return Ok(body) };
        let escaped = memchr::memmem::find(&body, b"\\u00").is_some() || secret.contains(['"', '\\', '/']);
        let echoed = self.is_in(&body) || escaped && self.is_in(&unescaped(&body));
        if !echoed {
            return Ok(body);
        }
        if body.len() > LONGEST_ECHO {
            return Err(
                Error::new(ErrorKind::Malformed, "").with_source("a large answer that repeats the token")
            );
        }
        let cut = match serde_json::from_slice(&body) {
            Ok(json) => self.cut_json(json).to_string(),
            Err(_) => self.cut(&String::from_utf8_lossy(&body)),
        };
        Ok(cut.into())
    }

    fn cut_json(&self, json: Json) -> Json {
        match json {
            Json::String(text) => Json::String(self.cut(&text)),
            Json::Number(number) if self.is_in(number.to_string().as_bytes()) => Json::Null,
            Json::Array(all) => all.into_iter().map(|one| self.cut_json(one)).collect(),
            Json::Object(all) => {
                all.into_iter().map(|(name, one)| (self.cut(&name), self.cut_json(one))).collect()
            }
            other => other,
        }
    }

    /// A tile without the secret. Its length stays, for lengths are written in it; with a mask no text is an id.
    pub(crate) fn cut_tile(&self, tile: Bytes) -> Bytes {
        let Some(secret) = self.secret() else { return tile };
        let found: Vec<_> = memchr::memmem::find_iter(&tile, secret.as_bytes()).collect();
        if found.is_empty() {
            return tile;
        }
        let mut tile = Vec::from(tile);
        for at in found {
            tile[at..at + secret.len()].fill(b'#');
        }
        tile.into()
    }

    /// The token for the query of a tile; the URL type escapes it.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

const MASK: &str = "[token]";

/// The largest answer from which the token is cut out; a larger one that repeats it is of no use.
const LONGEST_ECHO: usize = 4 << 20;

/// JSON without the escapes behind which ASCII can hide.
fn unescaped(json: &[u8]) -> Vec<u8> {
    let (mut plain, mut rest) = (Vec::with_capacity(json.len()), json);
    while let Some((byte, behind)) = rest.split_first() {
        let code = rest.get(..6).and_then(|escape| std::str::from_utf8(escape.strip_prefix(b"\\u")?).ok());
        let code = code.and_then(|digits| u8::try_from(u16::from_str_radix(digits, 16).ok()?).ok());
        let plain_byte;
        (plain_byte, rest) = match (code, byte, behind.split_first()) {
            (Some(code), ..) => (code, &rest[6..]),
            (None, b'\\', Some((escaped, behind))) => (*escaped, behind),
            _ => (*byte, behind),
        };
        plain.push(plain_byte);
    }
    plain
}

#[cfg(test)]
mod tests;
