//! The token, and what keeps it out of everything a person sees.

use std::fmt;

use bytes::Bytes;
use reqwest::header::HeaderValue;
use serde_json::Value as Json;

use super::percent::{Decoded, decoded, hiding_places};
use super::token_form;
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
        match token_form::flaw(text) {
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
    pub(super) fn has_usual_form(&self) -> bool {
        token_form::is_usual(&self.0)
    }

    /// The header for the Graph.
    pub(super) fn header(&self) -> Result<HeaderValue> {
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
    pub(super) fn is_in(&self, text: &[u8]) -> bool {
        let Some(secret) = self.secret() else { return false };
        let holds = |text: &[u8]| memchr::memmem::find(text, secret.as_bytes()).is_some();
        holds(text)
            || hiding_places(text, secret).any(|part| {
                let once = decoded(part);
                holds(&once) || holds(&decoded(&once))
            })
    }

    /// The text with a mask in the place of the token, wherever [`Token::is_in`] would find it.
    pub(super) fn cut(&self, text: &str) -> String {
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
    pub(super) fn cut_answer(&self, body: Bytes) -> Result<Bytes> {
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
    pub(super) fn cut_tile(&self, tile: Bytes) -> Bytes {
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
    pub(super) fn expose(&self) -> &str {
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

/// Cuts tokens out of a text that came from a server, also percent-encoded once or twice.
///
/// The login redirect of the tile host repeats the request's URL with the token in it, encoded anew.
pub fn redact(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((at, len)) = find_secret(rest) {
        out.push_str(&rest[..at]);
        out.push_str(MASK);
        rest = &rest[at + len..];
    }
    out.push_str(rest);
    out
}

/// Where the first secret begins and how long it is.
fn find_secret(text: &str) -> Option<(usize, usize)> {
    let parameter = text.match_indices("access_token").find_map(|(at, name)| {
        let begin = at + name.len() + separator(&text[at + name.len()..], &["=", "%3D", "%253D"])?;
        Some((begin, value_len(&text[begin..]))).filter(|(_, len)| *len > 0)
    });
    let bare = text.match_indices("MLY").find_map(|(at, name)| {
        separator(&text[at + name.len()..], &["|", "%7C", "%257C"])?;
        Some((at, value_len(&text[at..])))
    });
    [parameter, bare].into_iter().flatten().min()
}

fn separator(text: &str, separators: &[&str]) -> Option<usize> {
    let begins = |s: &&&str| text.get(..s.len()).is_some_and(|head| head.eq_ignore_ascii_case(s));
    separators.iter().find(begins).map(|s| s.len())
}

/// A value ends where a query, a word or a quotation does: rather too much is cut than the name of another secret,
/// which would then stand there without what tells that it is one.
fn value_len(text: &str) -> usize {
    let ends = |c: char| c.is_whitespace() || c.is_control() || "&\"'`<>".contains(c);
    text.find(ends).unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn no_form_of_the_token_survives() {
        let token = &format!("MLY|1234567890123456|{}", "0123456789abcdef".repeat(2));
        let once = token.replace('|', "%7C");
        let twice = once.replace('%', "%25");
        for form in [token, &once, &twice] {
            for text in [
                format!("see https://x/?access_token={form}&a=b"),
                format!("/login/?next=https%3A%2F%2Fx%3Faccess_token%3D{form}"),
                format!("said {form}, twice: {form}."),
            ] {
                let clean = redact(&text);
                assert!(!clean.contains("0123456789abcdef"), "{clean}");
                assert!(clean.contains(MASK));
            }
        }
        assert_eq!(
            redact("nothing to hide, access_token is a word"),
            "nothing to hide, access_token is a word"
        );
    }

    /// Each byte of a text percent-encoded, if `chosen` says so for its place.
    fn encoded(text: &str, chosen: impl Fn(usize) -> bool) -> String {
        let one = |(at, byte): (usize, u8)| {
            if chosen(at) { format!("%{byte:02X}") } else { char::from(byte).to_string() }
        };
        text.bytes().enumerate().map(one).collect()
    }

    /// Each character of a text as a JSON escape, if `chosen` says so for its place.
    fn json_escaped(text: &str, chosen: impl Fn(usize) -> bool) -> String {
        let one = |(at, c): (usize, char)| match c {
            _ if chosen(at) => format!("\\u{:04x}", u32::from(c)),
            '"' | '\\' => format!("\\{c}"),
            c => c.to_string(),
        };
        text.chars().enumerate().map(one).collect()
    }

    proptest::proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]

        #[test]
        fn no_answer_keeps_the_token_in_any_form(
            text in prop_oneof!["MLY\\|[0-9]{16}\\|[0-9a-f]{32}", "[!-~]{16,40}", "[!-~]{8,12}", "[0-9]{16}"]
                .prop_filter("refused for its form", |text| Token::new(text).is_ok()),
            (once, twice, hidden) in (any::<u64>(), any::<u64>(), any::<u64>()),
            levels in 0..3_u8,
            around in "[a-z\u{e9}%=/ ]{0,8}",
        ) {
            let token = Token::new(&text).expect("a token");
            let bit = |bits: u64| move |at: usize| bits >> (at % 64) & 1 == 1;
            let mut form = text.clone();
            if levels > 0 { form = encoded(&form, bit(once)); }
            if levels > 1 { form = encoded(&form, bit(twice)); }
            let echo = format!("{around}{form}{around}{form}");
            // A percent sign before it may make another text of it.
            if token.is_in(echo.as_bytes()) {
                let clean = token.cut(&echo);
                prop_assert!(!token.is_in(clean.as_bytes()), "{clean}");
                prop_assert!(clean.contains(MASK));
            } else {
                prop_assert!(around.contains('%') || text.contains('%'), "{echo}");
            }
            let json = format!(r#"{{"a{0}":["{0}",{{"b":1.5,"c":"{0}"}}]}}"#, json_escaped(&echo, bit(hidden)));
            let cut = token.cut_answer(json.clone().into()).expect("small enough");
            let Json::Object(cut) = serde_json::from_slice(&cut).expect("JSON") else { panic!("{json}") };
            for (name, value) in cut {
                prop_assert!(!token.is_in(name.as_bytes()) && !token.is_in(unescaped(value.to_string().as_bytes()).as_slice()));
            }
            let tile = [b"\x1a", text.as_bytes(), b"\xff", text.as_bytes()].concat();
            let clean = token.cut_tile(tile.clone().into());
            prop_assert_eq!(clean.len(), tile.len());
            prop_assert!(!token.is_in(&clean));
        }
    }

    #[test]
    fn a_secret_is_found_wherever_it_hides_in_a_large_answer() {
        let secret = "0123456789abcdef";
        let token = Token::new(&format!("MLY|1234567890123456|{secret}")).expect("a token");
        let noise = "https://x/?a=%3D%2F%30%39%41%25&bc=".repeat(500);
        assert!(!token.is_in(noise.as_bytes()));
        let twice = |text: &str| encoded(&encoded(text, |_| true), |_| true);
        let last = format!("{}%2566", &secret[..15]);
        for form in
            [secret, &encoded(secret, |_| true), &twice(secret), &last, &encoded(secret, |at| at == 7)]
        {
            // Between two escapes, so that none swallows what comes behind it.
            for cut in [0, 5, 3411, noise.len()] {
                let text = format!("{}{form}{}", &noise[..cut], &noise[cut..]);
                assert!(token.is_in(text.as_bytes()), "{form} at {cut}");
            }
        }
    }

    #[test]
    fn an_answer_without_the_token_stays_as_it_is() {
        let text = format!("MLY|1234567890123456|{}", "0123456789abcdef".repeat(2));
        let token = Token::new(&text).expect("a token");
        for body in [r#"{ "a":"\u00e9%41%2541", "b":1.50 }"#, "<html>%zz%", ""] {
            assert_eq!(token.cut_answer(Bytes::from(body)).expect("fine"), body);
        }
        assert_eq!(token.cut(&format!("see {text}!")), "see [token]!");
        assert!(token.cut_answer(format!("{}{}", token.0, "x".repeat(5 << 20)).into()).is_err());
        let short = Token::new("ab").expect("a token");
        assert_eq!(short.cut("cabin"), "cabin", "what is no secret is not looked for");
    }

    #[test]
    fn a_secret_is_found_behind_another_name_for_one() {
        for text in [
            "access_token=MLaccess_token=0123456789abcdef",
            "access_token=&access_token=0123456789abcdef",
            "MLY|1access_token=0123456789abcdef",
            "access_token=MLY|1|ab/0123456789abcdef",
        ] {
            let clean = redact(text);
            assert!(!clean.contains("0123456789abcdef"), "{text} became {clean}");
            assert_eq!(redact(&clean), clean);
        }
    }

    #[test]
    fn a_token_has_no_spaces_inside() {
        assert!(Token::new("").is_err());
        assert!(Token::new("MLY|1|a b").is_err());
        assert!(Token::new("\tMLY|1|ab\n").is_ok());
    }
}
