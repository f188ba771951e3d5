//! Areas by name: a search in OpenStreetMap through Nominatim.
//!
//! [`PlaceSearch`] sends one request of [Nominatim's documented search](https://nominatim.org/release-docs/latest/api/Search/)
//! and returns the candidates, best first, with their polygons.
//!
//! The public server has [terms of use](https://operations.osmfoundation.org/policies/nominatim/): at most one request
//! a second, no bulk requests, a user agent that names the program, and the attribution [`ATTRIBUTION`]. For more than
//! that, run a server of your own and name it with [`PlaceSearch::at`].

mod candidate;

use std::time::Duration;

use url::Url;

pub use self::candidate::Place;
use crate::client::web_client;
use crate::error::{Error, ErrorKind, Result};
use crate::text::{redact, without_credentials};

/// The public Nominatim server.
pub const NOMINATIM_URL: &str = "https://nominatim.openstreetmap.org";

/// What must stand wherever results are shown.
pub const ATTRIBUTION: &str = "© OpenStreetMap contributors";

/// The largest response that is read, in bytes. The border of the largest country in full detail has a tenth of it.
const MAX_RESPONSE_LEN: usize = 64 << 20;

/// The longest name that is sent, in bytes.
const MAX_NAME_LEN: usize = 300;

/// How many candidates are requested.
const MAX_CANDIDATES: u8 = 10;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);
const TOTAL_TIMEOUT: Duration = Duration::from_mins(2);

/// Finds areas by their name with one request to a Nominatim server.
///
/// ```no_run
/// # #[tokio::main] async fn main() -> streetflow::Result<()> {
/// use streetflow::places::PlaceSearch;
///
/// let candidates = PlaceSearch::new()?.search("Nicosia, Cyprus").await?;
/// let area = candidates.first().and_then(|place| place.area());
/// # let _ = area; Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct PlaceSearch {
    http: reqwest::Client,
    url: Url,
}

impl PlaceSearch {
    /// A search on the public server, [`NOMINATIM_URL`].
    pub fn new() -> Result<Self> {
        Self::at(NOMINATIM_URL)
    }

    /// A search on another server; `url` is the part before `/search`. Not an `http:` or `https:` URL is a usage error.
    pub fn at(url: &str) -> Result<Self> {
        let refuse = |why: String| {
            Error::new(ErrorKind::Usage, "use the URL of the place search")
                .with_subject(redact(&without_credentials(url)))
                .with_source(why)
        };
        let mut parsed = Url::parse(url.trim()).map_err(|error| refuse(error.to_string()))?;
        if !matches!(parsed.scheme(), "http" | "https") || parsed.host_str().is_none() {
            return Err(refuse("it must begin with `https://` or `http://` and name a host".into()));
        }
        if parsed.query().is_some() || parsed.fragment().is_some() {
            return Err(refuse("it must not have a query or a fragment".into()));
        }
        let path = format!("{}/search", parsed.path().trim_end_matches('/'));
        parsed.set_path(&path);
        Ok(Self { http: web_client(&parsed, CONNECT_TIMEOUT)?, url: parsed })
    }

    /// Searches for a name; returns the candidates, best first. None is an empty list.
    ///
    /// Sends one request and does not retry. Errors: [`ErrorKind::Usage`] for a name that can't be sent,
    /// [`ErrorKind::RateLimited`], [`ErrorKind::Rejected`], [`ErrorKind::Unavailable`] and [`ErrorKind::Malformed`]
    /// for what the server does.
    pub async fn search(&self, name: &str) -> Result<Vec<Place>> {
        Place::from_geojson(&self.search_geojson(name).await?)
    }

    /// Like [`PlaceSearch::search`], but returns the response's GeoJSON, for [`Place::from_geojson`] now and later.
    pub async fn search_geojson(&self, name: &str) -> Result<String> {
        let name = name.trim();
        if name.is_empty() || name.len() > MAX_NAME_LEN {
            return Err(Error::new(ErrorKind::Usage, "search for the place")
                .with_subject(name.chars().take(60).collect::<String>())
                .with_source(format!("a name has 1 to {MAX_NAME_LEN} bytes")));
        }
        self.request(name).await.map_err(|error| error.with_context("search for the place", name))
    }

    async fn request(&self, name: &str) -> Result<String> {
        let mut url = self.url.clone();
        url.query_pairs_mut()
            .append_pair("q", name)
            .append_pair("format", "geojson")
            .append_pair("polygon_geojson", "1")
            .append_pair("limit", &MAX_CANDIDATES.to_string());
        let read = async {
            let mut response = self.http.get(url).send().await.map_err(unreachable)?;
            let status = response.status().as_u16();
            if status != 200 {
                return Err(rejected(status));
            }
            let mut body = Vec::new();
            while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
                if body.len() + chunk.len() > MAX_RESPONSE_LEN {
                    return Err(malformed("the response is larger than 64 MiB"));
                }
                body.extend_from_slice(&chunk);
            }
            String::from_utf8(body).map_err(|_| malformed("the response is not UTF-8"))
        };
        let timed_out = |_| {
            let why = format!("no complete response within {} s", TOTAL_TIMEOUT.as_secs());
            Err(Error::new(ErrorKind::Unavailable, "").with_source(why).with_hint(TRY_LATER))
        };
        tokio::time::timeout(TOTAL_TIMEOUT, read).await.unwrap_or_else(timed_out)
    }
}

const TRY_LATER: &str =
    "try again later, name another server with `--place-url`, or give the area with `--bbox` or `--area`";

fn malformed(why: &'static str) -> Error {
    Error::new(ErrorKind::Malformed, "")
        .with_source(why)
        .with_hint("does `--place-url` name a Nominatim server?")
}

fn unreachable(error: reqwest::Error) -> Error {
    let mut causes = Vec::new();
    let error = error.without_url();
    let mut cause: Option<&dyn std::error::Error> = Some(&error);
    while let Some(error) = cause {
        causes.push(error.to_string());
        cause = error.source();
    }
    Error::new(ErrorKind::Unavailable, "").with_source(causes.join(": ")).with_hint(TRY_LATER)
}

fn rejected(status: u16) -> Error {
    let (kind, why, hint) = match status {
        429 => (
            ErrorKind::RateLimited,
            "rate limited",
            "wait a minute: the public server allows one request a second",
        ),
        403 => (
            ErrorKind::Rejected,
            "access denied",
            "the server may have blocked this address; see its terms of use",
        ),
        500.. => (ErrorKind::Unavailable, "the server failed", TRY_LATER),
        300..=399 => (ErrorKind::Rejected, "redirected", "give the final address with `--place-url`"),
        _ => (ErrorKind::Rejected, "the request was rejected", "does `--place-url` name a Nominatim server?"),
    };
    Error::new(kind, "").with_source(format!("{why} (HTTP {status})")).with_status(status).with_hint(hint)
}

#[cfg(test)]
mod tests;
