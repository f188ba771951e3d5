//! The background of a page, which the reader can switch on.

use std::str::FromStr;

use serde_json::{Value, json};
use url::{Host, Url};

use crate::error::{Error, ErrorKind, Result};

/// Styles of `OpenFreeMap`, which need no key and credit their data themselves.
const NAMED: [(&str, &str); 4] = [
    ("openfreemap", "https://tiles.openfreemap.org/styles/positron"),
    ("positron", "https://tiles.openfreemap.org/styles/positron"),
    ("bright", "https://tiles.openfreemap.org/styles/bright"),
    ("liberty", "https://tiles.openfreemap.org/styles/liberty"),
];

/// Characters of a template that [`Url`] percent-encodes.
const PLACEHOLDERS: [&str; 3] = ["{z}", "{x}", "{y}"];

/// A background map: a `MapLibre` style, or raster tiles.
///
/// ```
/// use streetflow::map::Basemap;
///
/// let basemap: Basemap = "openfreemap".parse()?;
/// assert_eq!(basemap.origin(), "https://tiles.openfreemap.org");
/// let raster: Basemap = "https://tiles.example.org/{z}/{x}/{y}.png".parse()?;
/// assert_eq!(raster.origin(), "https://tiles.example.org");
/// assert!("http://tiles.example.org/style.json".parse::<Basemap>().is_err(), "not encrypted");
/// # Ok::<(), streetflow::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Basemap {
    url: String,
    origin: String,
    host: String,
    credit: String,
}

impl Basemap {
    /// Sets the credit of raster tiles. A style has its own.
    pub fn credit(mut self, text: impl Into<String>) -> Self {
        self.credit = text.into();
        self
    }

    /// Whether the background needs a credit: raster tiles do not contain one.
    pub fn needs_credit(&self) -> bool {
        self.credit.is_empty() && self.url.contains(PLACEHOLDERS[0])
    }

    /// Scheme, host and port. The page may load from there and from no other host.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    pub(super) fn json(&self) -> Value {
        // The map library shows the credit as HTML.
        let credit = self.credit.replace('&', "&amp;").replace('<', "&lt;");
        json!({ "url": self.url, "host": self.host, "attribution": credit })
    }
}

impl FromStr for Basemap {
    type Err = Error;

    /// Reads the name of a style of `OpenFreeMap`, the URL of a `MapLibre` style, or a URL of raster tiles with `{z}`, `{x}`
    /// and `{y}`.
    fn from_str(text: &str) -> Result<Self> {
        let error = |why: &str| {
            Error::new(ErrorKind::Usage, "use the background map")
                .with_subject(text)
                .with_source(why.to_owned())
                .with_hint("use openfreemap, positron, bright, liberty, or the URL of a style or of tiles")
        };
        let named = NAMED.iter().find(|(name, _)| *name == text);
        let text = named.map_or(text, |(_, url)| url);
        let url = Url::parse(text).map_err(|_| error("it is neither a known name nor a URL"))?;
        let is_loopback = match url.host() {
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
            Some(Host::Domain(name)) => name == "localhost",
            None => false,
        };
        if url.scheme() != "https" && !(url.scheme() == "http" && is_loopback) {
            return Err(error("the URL does not begin with `https://`"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(error("the URL contains a password, which everybody with the page could read"));
        }
        // The origin goes into the content security policy of the page, where these characters have a meaning.
        let is_plain = |byte: u8| {
            byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b'[' | b']' | b':')
        };
        if !url.host_str().unwrap_or_default().bytes().all(is_plain) {
            return Err(error("the host of the URL has characters that a host name does not have"));
        }
        let found = PLACEHOLDERS.iter().filter(|name| text.contains(*name)).count();
        if found != 0 && found != PLACEHOLDERS.len() {
            return Err(error("a URL of tiles has all of `{z}`, `{x}` and `{y}`"));
        }
        let mut plain = url.to_string();
        for name in PLACEHOLDERS {
            plain = plain.replace(&name.replace('{', "%7B").replace('}', "%7D"), name);
        }
        let origin = url.origin().ascii_serialization();
        let host = url.host_str().unwrap_or_default().to_owned();
        Ok(Self { url: plain, origin, host, credit: String::new() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_background_is_encrypted_has_no_password_and_a_whole_template() {
        for bad in [
            "streets",
            "http://example.org/style.json",
            "file:///etc/passwd",
            "https://me:secret@example.org/style.json",
            "https://example.org/{z}/{x}.png",
            "javascript:alert(1)",
        ] {
            let error = bad.parse::<Basemap>().expect_err(bad);
            assert_eq!(error.kind(), ErrorKind::Usage, "{bad}");
        }
        let tiles: Basemap = "http://127.0.0.1:8080/{z}/{x}/{y}.png".parse().expect("loopback");
        assert_eq!((tiles.origin(), tiles.needs_credit()), ("http://127.0.0.1:8080", true));
        assert_eq!(tiles.url, "http://127.0.0.1:8080/{z}/{x}/{y}.png");
        assert!(!tiles.credit("© me").needs_credit());
    }

    #[test]
    fn an_origin_can_not_change_the_policy() {
        let url: Result<Basemap> = "https://exa;mple.org'/x".parse();
        assert_eq!(
            url.map(|url| url.origin().to_owned()).map_err(|error| error.kind()),
            Err(ErrorKind::Usage)
        );
    }
}
