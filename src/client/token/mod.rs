//! The access token, and the checks that keep it out of records, files and messages.

mod form;
mod percent;

use std::fmt;

use bytes::Bytes;
use reqwest::header::HeaderValue;
use serde_json::Value as Json;

use self::percent::{Decoded, encoded_candidates, percent_decode};
use crate::error::{Error, ErrorKind, Result};
use crate::text::MASK;

/// The environment variables for a token, in order of precedence.
const VARIABLES: [&str; 3] = ["MAPILLARY_TOKEN", "MAPILLARY_CLIENT_TOKEN", "MAPILLARY_ACCESS_TOKEN"];

/// A Mapillary access token.
///
/// The client sends it, but `Debug` does not print it. Create one at
/// <https://www.mapillary.com/dashboard/developers>.
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
    /// Parses a token from a file or the environment. White space around it is removed.
    ///
    /// A text with a known mistake, such as quotes around it or a line break inside, is an error of kind
    /// [`ErrorKind::Usage`]. The message does not repeat the text.
    pub fn new(text: &str) -> Result<Self> {
        let text = text.trim();
        match form::flaw(text) {
            None => Ok(Self(text.to_owned())),
            Some(flaw) => Err(Error::new(ErrorKind::Usage, "read the token")
                .with_source(flaw.why)
                .with_hint(flaw.hint())),
        }
    }

    /// Reads the token from `MAPILLARY_TOKEN`, `MAPILLARY_CLIENT_TOKEN` or `MAPILLARY_ACCESS_TOKEN`.
    ///
    /// Returns `None` if all of them are unset or empty. Errors as in [`Token::new`], with the name of the variable.
    pub fn from_env() -> Result<Option<Self>> {
        let set = |name: &&'static str| {
            // A value that is not UTF-8 is an error like other damaged tokens; it does not count as unset.
            let text = std::env::var_os(name)?.to_string_lossy().into_owned();
            (!text.trim().is_empty()).then_some((*name, text))
        };
        let Some((name, text)) = VARIABLES.iter().find_map(set) else { return Ok(None) };
        Self::new(&text).map(Some).map_err(|error| error.with_subject(name))
    }

    /// Whether the token has the form that the dashboard shows.
    pub(crate) fn has_usual_form(&self) -> bool {
        form::is_usual(&self.0)
    }

    /// Returns the `Authorization` header for the Graph API.
    pub(crate) fn header(&self) -> Result<HeaderValue> {
        let mut value = HeaderValue::from_str(&format!("OAuth {}", self.0))
            .map_err(|_| Error::new(ErrorKind::Usage, "put the token into a header"))?;
        value.set_sensitive(true);
        Ok(value)
    }

    /// Returns the part to search for: the last part of the token, or all of it if that part is short.
    fn secret(&self) -> Option<&str> {
        let last = self.0.rsplit('|').next().unwrap_or_default();
        if last.len() >= 16 { Some(last) } else { Some(self.0.as_str()).filter(|whole| whole.len() >= 8) }
    }

    /// Whether a text contains the secret, in clear or percent-encoded once or twice.
    pub(crate) fn is_in(&self, text: &[u8]) -> bool {
        let Some(secret) = self.secret() else { return false };
        let holds = |text: &[u8]| memchr::memmem::find(text, secret.as_bytes()).is_some();
        holds(text)
            || encoded_candidates(text, secret).any(|part| {
                let once = percent_decode(part);
                holds(&once) || holds(&percent_decode(&once))
            })
    }

    /// Replaces the token with `[token]` wherever [`Token::is_in`] finds it.
    pub(crate) fn redact(&self, text: &str) -> String {
        let mut text = text.to_owned();
        let Some(secret) = self.secret() else { return text };
        // The whole token first, so that its other parts do not remain.
        for (what, level) in
            [(&*self.0, 0), (&self.0, 1), (&self.0, 2), (secret, 0), (secret, 1), (secret, 2)]
        {
            let decoded = (0..level).fold(Decoded::from_text(text.as_bytes()), |decoded, _| decoded.decode());
            let (mut out, mut end) = (String::new(), 0);
            for at in memchr::memmem::find_iter(&decoded.bytes, what.as_bytes()) {
                out.push_str(&text[end..decoded.offsets[at]]);
                out.push_str(MASK);
                end = decoded.offsets[at + what.len()];
            }
            out.push_str(&text[end..]);
            text = out;
        }
        text
    }

    /// Removes the token from a response of the API, so that an echo never gets into a record.
    pub(crate) fn redact_response(&self, body: Bytes) -> Result<Bytes> {
        let Some(secret) = self.secret() else { return Ok(body) };
        let escaped = memchr::memmem::find(&body, b"\\u00").is_some() || secret.contains(['"', '\\', '/']);
        let echoed = self.is_in(&body) || escaped && self.is_in(&unescape_json(&body));
        if !echoed {
            return Ok(body);
        }
        if body.len() > MAX_ECHO_LEN {
            return Err(
                Error::new(ErrorKind::Malformed, "").with_source("a large response that repeats the token")
            );
        }
        let cut = match serde_json::from_slice(&body) {
            Ok(json) => self.redact_json(json).to_string(),
            Err(_) => self.redact(&String::from_utf8_lossy(&body)),
        };
        Ok(cut.into())
    }

    fn redact_json(&self, json: Json) -> Json {
        match json {
            Json::String(text) => Json::String(self.redact(&text)),
            Json::Number(number) if self.is_in(number.to_string().as_bytes()) => Json::Null,
            Json::Array(all) => all.into_iter().map(|one| self.redact_json(one)).collect(),
            Json::Object(all) => {
                all.into_iter().map(|(name, one)| (self.redact(&name), self.redact_json(one))).collect()
            }
            other => other,
        }
    }

    /// Overwrites the secret in a vector tile. The tile stores lengths, so its own length must not change.
    pub(crate) fn redact_tile(&self, tile: Bytes) -> Bytes {
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

    /// Returns the token for the query of a tile URL. The URL type escapes it.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// The largest response from which the token is removed. A larger one that repeats it is an error.
const MAX_ECHO_LEN: usize = 4 << 20;

/// Resolves the escapes of ASCII characters in JSON.
fn unescape_json(json: &[u8]) -> Vec<u8> {
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
