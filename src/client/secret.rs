//! The token, and what keeps it out of everything a person sees.

use std::fmt;

use reqwest::header::HeaderValue;

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
        let refuse = |why| {
            Error::new(ErrorKind::Usage, "read the token")
                .because(why)
                .hint("a token looks like `MLY|<digits>|<letters and digits>`; make one at https://www.mapillary.com/dashboard/developers")
        };
        if text.is_empty() {
            return Err(refuse("it is empty"));
        }
        if !text.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(refuse("it has spaces or characters that no token has"));
        }
        Ok(Self(text.to_owned()))
    }

    /// The token in the environment: `MAPILLARY_TOKEN`, `MAPILLARY_CLIENT_TOKEN` or `MAPILLARY_ACCESS_TOKEN`.
    ///
    /// `None` if none of them is set, or all are empty.
    pub fn from_env() -> Result<Option<Self>> {
        let set = |name: &&str| std::env::var(name).ok().filter(|text| !text.trim().is_empty());
        VARIABLES.iter().find_map(set).map(|text| Self::new(&text)).transpose()
    }

    /// The header for the Graph.
    pub(super) fn header(&self) -> Result<HeaderValue> {
        let mut value = HeaderValue::from_str(&format!("OAuth {}", self.0))
            .map_err(|_| Error::new(ErrorKind::Usage, "put the token into a header"))?;
        value.set_sensitive(true);
        Ok(value)
    }

    /// Whether a text holds the secret part of the token, however the rest is encoded.
    pub(super) fn is_in(&self, text: &[u8]) -> bool {
        let secret = self.0.rsplit('|').next().unwrap_or(&self.0);
        memchr::memmem::find(text, secret.as_bytes()).is_some()
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

/// Cuts tokens out of a text that came from a server, also percent-encoded once or twice.
///
/// The login redirect of the tile host repeats the request's URL with the token in it, encoded anew.
pub(crate) fn redact(text: &str) -> String {
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
