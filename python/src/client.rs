//! `streetflow.Client`: hosts, token, limits.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;

use crate::errors::{Attempt, Failure, usage};
use crate::events::Events;
use crate::leases::Leases;
use crate::runtime::{Owned, runtime};
use streetflow::client::{ClientBuilder, TileCache};
use streetflow::{Class, Error, ErrorKind, RateLimit, Result, Token};

/// The longest token file that is read, in bytes.
const MAX_TOKEN_FILE_LEN: u64 = 64 << 10;

/// How long tiles of Mapillary's host stay in the cache, in hours.
const TILE_CACHE_HOURS: u64 = 24;

/// A connection to Mapillary, with its limits.
///
/// Streams and downloads with the same client share its rate limits and its connections. Without a client, they share
/// that of `default_client()`. The token comes from `token`, `token_file` or the environment (`MAPILLARY_TOKEN`), and
/// appears in no message.
///
/// `concurrency` is the maximum number of requests in flight, 1 to 1024. `tile_rate`, or `rate`, is in tiles a minute;
/// the default for Mapillary is 40. `rate_share` is the number of processes that share the limits of one token, or
/// `"1/8"`. `attempts` are those per request. `tile_cache_age` is in hours: tiles of Mapillary's host stay in the cache of
/// the command for 24 hours by default, those of other hosts for none. `allow_host` names further hosts that may serve
/// pictures.
///
/// >>> import streetflow as sf
/// >>> client = sf.Client(token="MLY|1234|abcd", concurrency=16)
/// >>> client.concurrency
/// 16
#[pyclass(frozen, module = "streetflow")]
pub(crate) struct Client {
    inner: Owned<streetflow::Client>,
    pub(crate) events: Arc<Events>,
    concurrency: usize,
    graph_url: String,
    /// A client of a mock server keeps it running.
    sandbox: Option<Py<PyAny>>,
}

impl Client {
    /// Returns the client of the library, if this process made it.
    pub(crate) fn get(&self) -> Attempt<&streetflow::Client> {
        self.inner.get()
    }

    fn build(builder: ClientBuilder, graph_url: String, sandbox: Option<Py<PyAny>>) -> PyResult<Self> {
        // Refuses a forked process before anything of its parent is used.
        let _entered = runtime()?.enter();
        let events = Arc::new(Events::default());
        let observer: Arc<Events> = Arc::clone(&events);
        let client = builder.observer(observer).build().map_err(Failure::from)?;
        Ok(Self {
            concurrency: client.concurrency(),
            inner: Owned::new(client),
            events,
            graph_url: streetflow::client::without_credentials(&graph_url),
            sandbox,
        })
    }

    /// Creates the client of a mock server. `owner` keeps the server running.
    #[cfg(feature = "sandbox")]
    pub(crate) fn for_sandbox(
        server: &streetflow_sandbox::Sandbox,
        owner: Py<PyAny>,
        concurrency: usize,
    ) -> PyResult<Self> {
        let (graph_url, tiles_url) = (server.graph_url().to_owned(), server.tiles_url().to_owned());
        let token = Token::new(streetflow_sandbox::Sandbox::TOKEN).map_err(Failure::from)?;
        let builder = streetflow::Client::builder()
            .token(token)
            .concurrency(concurrency)
            .graph_url(graph_url.clone())
            .tiles_url(tiles_url);
        Self::build(builder, graph_url, Some(owner))
    }
}

#[pymethods]
impl Client {
    #[new]
    #[pyo3(signature = (*, token=None, token_file=None, concurrency=64, tile_rate=None, rate=None, rate_share=None, attempts=6, graph_url=None, tiles_url=None, image_proxy=None, allow_host=Vec::new(), trust_gone=false, tile_cache_age=None, leases=None))]
    #[expect(clippy::too_many_arguments, reason = "they are keyword arguments")]
    fn new(
        token: Option<&str>,
        token_file: Option<PathBuf>,
        concurrency: i64,
        tile_rate: Option<f64>,
        rate: Option<f64>,
        rate_share: Option<Share>,
        attempts: i64,
        graph_url: Option<String>,
        tiles_url: Option<String>,
        image_proxy: Option<String>,
        allow_host: Vec<String>,
        trust_gone: bool,
        tile_cache_age: Option<f64>,
        leases: Option<&Leases>,
    ) -> PyResult<Self> {
        let mut builder = ClientBuilder::from_env().map_err(Failure::from)?;
        if let Some(token) = read_token(token, token_file).map_err(Failure::from)? {
            builder = builder.token(token);
        }
        let concurrency = concurrency_of(concurrency)?;
        let attempts = within(attempts, 1..=20)
            .ok_or_else(|| Failure::from(usage("use `attempts`", "it must be 1 to 20")))?;
        builder = builder.concurrency(concurrency).max_attempts(attempts);
        if let Some(rate) = tile_rate.or(rate) {
            builder = builder.tile_rate_limit(tile_rate_limit(rate).map_err(Failure::from)?);
        }
        if let Some(share) = rate_share {
            builder = builder.rate_share(share.count().map_err(Failure::from)?);
        }
        let variable = |name| std::env::var(name).ok().filter(|text| !text.is_empty());
        let graph_url = graph_url
            .or_else(|| variable("MAPILLARY_GRAPH_URL"))
            .unwrap_or_else(|| streetflow::client::GRAPH_URL.to_owned());
        let tiles_url = tiles_url
            .or_else(|| variable("MAPILLARY_TILES_URL"))
            .unwrap_or_else(|| streetflow::client::TILES_URL.to_owned());
        if let Some(cache) = tile_cache(&tiles_url, tile_cache_age).map_err(Failure::from)? {
            builder = builder.tile_cache(&cache);
        }
        builder = builder.graph_url(graph_url.clone()).tiles_url(tiles_url);
        if let Some(proxy) = image_proxy {
            builder = builder.image_proxy(proxy);
        }
        builder = allow_host.into_iter().fold(builder, ClientBuilder::allow_host);
        if trust_gone {
            builder = builder.trust_gone();
        }
        if let Some(leases) = leases {
            builder = builder.rate_source(Arc::clone(&leases.0) as _);
        }
        Self::build(builder, graph_url, None)
    }

    /// The maximum number of requests in flight.
    #[getter]
    fn concurrency(&self) -> usize {
        self.concurrency
    }

    /// The number of requests sent so far, retries included.
    #[getter]
    fn requests(&self) -> u64 {
        self.events.requests()
    }

    /// The number of tiles requested so far, and of those from the tile cache.
    #[getter]
    fn tile_requests(&self) -> (u64, u64) {
        (self.events.tally.requests(Class::Tile), self.events.tally.tile_cache_hits())
    }

    fn __repr__(&self) -> String {
        let sandbox = if self.sandbox.is_some() { ", sandbox" } else { "" };
        format!("<streetflow.Client {}, concurrency {}{sandbox}>", self.graph_url, self.concurrency)
    }

    fn __reduce__(&self) -> PyResult<()> {
        Err(PyTypeError::new_err(
            "a streetflow.Client cannot be pickled: its limits belong to this process. Make one in each worker; the token comes from MAPILLARY_TOKEN there",
        ))
    }
}

/// Checks a maximum number of requests in flight.
pub(crate) fn concurrency_of(number: i64) -> Attempt<usize> {
    Ok(within(number, 1..=1024).ok_or_else(|| usage("use `concurrency`", "it must be 1 to 1024"))?)
}

/// The number, if it is in the range. Python has negative numbers, too, whose conversion would fail without a name.
pub(crate) fn within<T: TryFrom<i64>>(number: i64, range: RangeInclusive<i64>) -> Option<T> {
    T::try_from(number).ok().filter(|_| range.contains(&number))
}

/// The share of one process in the rate limits: the number of processes, or the text of the flag, such as `1/8`.
#[derive(FromPyObject)]
enum Share {
    Count(u32),
    Text(String),
}

impl Share {
    fn count(&self) -> Result<u32> {
        let count = match self {
            Self::Count(count) => Some(*count),
            Self::Text(text) => text.strip_prefix("1/").and_then(|count| count.trim().parse().ok()),
        };
        count
            .filter(|count| (1..=10_000).contains(count))
            .ok_or_else(|| usage("use `rate_share`", "it must be the number of processes, or 1/K"))
    }
}

/// The token of the arguments; the environment has one otherwise.
fn read_token(token: Option<&str>, file: Option<PathBuf>) -> Result<Option<Token>> {
    use std::io::Read;

    let Some(path) = file else { return token.map(Token::new).transpose() };
    if token.is_some() {
        return Err(usage("use the token", "both `token` and `token_file` are set"));
    }
    let failed = |error: std::io::Error| {
        Error::new(ErrorKind::Usage, "read the token file")
            .with_subject(path.display().to_string())
            .with_source(error)
    };
    let mut text = String::new();
    let file = std::fs::File::open(&path).map_err(failed)?;
    file.take(MAX_TOKEN_FILE_LEN).read_to_string(&mut text).map_err(failed)?;
    Token::new(text.trim()).map(Some)
}

fn tile_rate_limit(per_minute: f64) -> Result<RateLimit> {
    if !per_minute.is_finite() || per_minute < 1.0 / 60.0 {
        return Err(usage("use `tile_rate`", "it must be at least one tile per hour: 0.0167"));
    }
    Ok(RateLimit::per_minute(per_minute).jittered())
}

/// Opens the tile cache that the command uses too: by default for Mapillary's tile host only.
fn tile_cache(tiles_url: &str, hours: Option<f64>) -> Result<Option<TileCache>> {
    let is_limited = || tiles_url.parse().is_ok_and(|url| streetflow::client::is_mapillary(&url));
    let age = match hours {
        Some(hours) => Duration::try_from_secs_f64(hours * 3600.0)
            .map_err(|error| usage("use `tile_cache_age`", error.to_string()))?,
        None if is_limited() => Duration::from_hours(TILE_CACHE_HOURS),
        None => Duration::ZERO,
    };
    let folder = if age.is_zero() { None } else { cache_folder() };
    Ok(folder.map(|folder| TileCache::open(folder.join("tiles"), age)))
}

/// The cache directory of the command.
fn cache_folder() -> Option<PathBuf> {
    let set = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| !path.as_os_str().is_empty());
    let absolute = |name| set(name).filter(|path| path.is_absolute());
    let caches = || match std::env::consts::OS {
        "windows" => absolute("LOCALAPPDATA"),
        "macos" => absolute("HOME").map(|home| home.join("Library/Caches")),
        _ => absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache"))),
    };
    set("STREETFLOW_CACHE_DIR").or_else(|| Some(caches()?.join("streetflow")))
}
