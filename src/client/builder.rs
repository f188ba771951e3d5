//! Creates a client: hosts, limits, timeouts.

use std::sync::Arc;
use std::time::Duration;

use reqwest::redirect::Policy;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::client::cache::response_cache::ResponseCache;
use crate::client::cache::response_store::ResponseStore;
use crate::client::cache::tile_cache::TileCache;
use crate::client::handle::{Client, Shared};
use crate::client::http_client::{finish, http_client, is_loopback, is_mapillary};
use crate::client::missing_guard::{GoneRule, MissingRateGuard};
use crate::client::token::Token;
use crate::client::transport::body::MAX_LARGE_BODIES;
use crate::client::transport::concurrency::ConcurrencyLimiter;
use crate::client::transport::core::Transport;
use crate::client::transport::image_hosts::{AllowedHost, ImageHosts};
use crate::client::transport::proxy;
use crate::client::transport::rate_limit::RateLimit;
use crate::client::transport::rate_source::{RateLimits, RateSource};
use crate::client::transport::redirect::redirect_policy;
use crate::client::transport::request::Timeouts;
use crate::client::transport::retry::RetryPolicy;
use crate::client::transport::tls::Tls;
use crate::error::{Error, ErrorKind, Result};
use crate::observe::{Class, Event, Observer};
use crate::text::{redact, without_credentials};

/// The base URL of the Graph API.
pub const GRAPH_URL: &str = "https://graph.mapillary.com";

/// The base URL of the tile host.
pub const TILES_URL: &str = "https://tiles.mapillary.com";

/// The default number of requests in flight.
pub const DEFAULT_CONCURRENCY: usize = 64;

/// Builder for a [`Client`].
///
/// ```
/// use streetflow::{Client, RateLimit, Token};
///
/// let client = Client::builder()
///     .token(Token::new("MLY|1234|abcd")?)
///     .tile_rate_limit(RateLimit::per_minute(10.0).burst(5).jittered())
///     .concurrency(16)
///     .build()?;
/// assert_eq!(client.concurrency(), 16);
/// # Ok::<(), streetflow::Error>(())
/// ```
#[derive(Clone)]
#[must_use]
pub struct ClientBuilder {
    token: Option<Token>,
    graph_url: String,
    tiles_url: String,
    image_proxy: Option<String>,
    concurrency: usize,
    retry: RetryPolicy,
    timeouts: Timeouts,
    tile_rate_limit: Option<RateLimit>,
    rate_share: u32,
    rate_source: Option<Arc<dyn RateSource>>,
    http2_prior_knowledge: bool,
    observer: Arc<dyn Observer>,
    response_store: Option<ResponseStore>,
    allowed_hosts: Vec<String>,
    gone_rule: GoneRule,
    tile_cache: Option<TileCache>,
}

impl Default for ClientBuilder {
    fn default() -> Self {
        Self {
            token: None,
            graph_url: GRAPH_URL.to_owned(),
            tiles_url: TILES_URL.to_owned(),
            image_proxy: None,
            concurrency: DEFAULT_CONCURRENCY,
            retry: RetryPolicy {
                max_attempts: 6,
                initial_backoff: Duration::from_millis(500),
                retry_too_large: false,
            },
            timeouts: Timeouts::default(),
            tile_rate_limit: None,
            rate_share: 1,
            rate_source: None,
            http2_prior_knowledge: false,
            observer: Arc::new(|_: &Event<'_>| ()),
            response_store: None,
            allowed_hosts: Vec::new(),
            gone_rule: GoneRule::default(),
            tile_cache: None,
        }
    }
}

impl Client {
    /// Creates a client for Mapillary with the default limits.
    pub fn new(token: Token) -> Result<Self> {
        Self::builder().token(token).build()
    }

    /// Creates a client from environment variables: `MAPILLARY_TOKEN`, `MAPILLARY_GRAPH_URL`, `MAPILLARY_TILES_URL`.
    ///
    /// See [`ClientBuilder::from_env`].
    pub fn from_env() -> Result<Self> {
        ClientBuilder::from_env()?.build()
    }

    /// Returns a builder with the default hosts and limits.
    pub fn builder() -> ClientBuilder {
        ClientBuilder::default()
    }
}

impl ClientBuilder {
    /// Creates a builder from environment variables.
    ///
    /// The token is read as in [`Token::from_env`], the base URLs from `MAPILLARY_GRAPH_URL` and `MAPILLARY_TILES_URL`.
    /// Empty variables count as unset. A malformed token is an error of kind [`ErrorKind::Usage`].
    pub fn from_env() -> Result<Self> {
        let variable = |name| std::env::var(name).ok().filter(|text| !text.is_empty());
        let default = Self::default();
        Ok(Self {
            token: Token::from_env()?,
            graph_url: variable("MAPILLARY_GRAPH_URL").unwrap_or(default.graph_url),
            tiles_url: variable("MAPILLARY_TILES_URL").unwrap_or(default.tiles_url),
            ..Self::default()
        })
    }

    /// Sets the access token. Without a token, only pictures can be downloaded.
    pub fn token(mut self, token: Token) -> Self {
        self.token = Some(token);
        self
    }

    /// Sets the base URL of the Graph API; default [`GRAPH_URL`].
    ///
    /// It may have a path, a user name and a password, but no query.
    pub fn graph_url(mut self, url: impl Into<String>) -> Self {
        self.graph_url = url.into();
        self
    }

    /// Sets the base URL of the tile host; default [`TILES_URL`].
    pub fn tiles_url(mut self, url: impl Into<String>) -> Self {
        self.tiles_url = url.into();
        self
    }

    /// Sets the URL of a proxy for pictures. By default the proxy variables of the environment apply.
    pub fn image_proxy(mut self, url: impl Into<String>) -> Self {
        self.image_proxy = Some(url.into());
        self
    }

    /// Allows downloads of pictures from another host: `host`, `host:port` or `*.host`.
    ///
    /// By default `*.fbcdn.net`, `*.fbsbx.com` and the API's own hosts are allowed. The URLs of pictures come from
    /// tables and responses. Without this check they could make the client send requests to any host, also in its own
    /// network.
    pub fn allow_host(mut self, host: impl Into<String>) -> Self {
        self.allowed_hosts.push(host.into());
        self
    }

    /// Accepts that nearly all images or sequences are gone.
    ///
    /// Without this such a run ends with an error of kind [`ErrorKind::Auth`], because a token without permission gets
    /// the same responses.
    pub fn trust_gone(mut self) -> Self {
        self.gone_rule = GoneRule::Always;
        self
    }

    /// Accepts that nearly all images or sequences are gone, unless none of the first `count` (at most 2,000) exists.
    ///
    /// For a part of a crawl whose rest decides: a few users who left can be all of a part. A token without permission
    /// still ends the run, with an error of kind [`ErrorKind::Auth`], before it has spent more of its rate.
    pub fn trust_gone_after(mut self, count: usize) -> Self {
        self.gone_rule = GoneRule::UnlessFirst(count.clamp(1, 2000));
        self
    }

    /// Sets the highest number of requests in flight, of all classes together; at least 1, default
    /// [`DEFAULT_CONCURRENCY`].
    ///
    /// If most requests to a host fail, fewer are in flight there until it recovers.
    pub fn concurrency(mut self, requests: usize) -> Self {
        self.concurrency = requests.clamp(1, Semaphore::MAX_PERMITS);
        self
    }

    /// Sets the rate limit of tiles; default [`RateLimit::TILES`] for Mapillary's host and no limit for other hosts.
    pub fn tile_rate_limit(mut self, limit: RateLimit) -> Self {
        self.tile_rate_limit = Some(limit);
        self
    }

    /// Uses one of `count` equal parts of the default rate limits, for `count` processes that run at once with one token;
    /// default 1. A rate set with [`ClientBuilder::tile_rate_limit`] is not divided.
    ///
    /// ```
    /// use streetflow::{Class, Client, Token};
    ///
    /// let client = Client::builder().token(Token::new("MLY|1234|abcd")?).rate_share(8).build()?;
    /// let rate = client.rate_limit(Class::Entity).map(|limit| limit.requests_per_minute());
    /// assert_eq!(rate, Some(6000.0));
    /// # Ok::<(), streetflow::Error>(())
    /// ```
    pub fn rate_share(mut self, count: u32) -> Self {
        self.rate_share = count.max(1);
        self
    }

    /// Takes permissions to send requests from a source, which other clients may share. It replaces the default rate
    /// limits, [`ClientBuilder::tile_rate_limit`] and [`ClientBuilder::rate_share`].
    pub fn rate_source(mut self, source: Arc<dyn RateSource>) -> Self {
        self.rate_source = Some(source);
        self
    }

    /// Sets the highest number of attempts per request, including the first one; at least 1, default 6.
    ///
    /// A rate limited request has at least 30 attempts, because waiting is enough to get below the limit.
    pub fn max_attempts(mut self, attempts: u32) -> Self {
        self.retry.max_attempts = attempts.max(1);
        self
    }

    /// Sets the pause after the first failure of a request; default 0.5 s. It doubles with each failure, up to a minute.
    pub fn initial_backoff(mut self, wait: Duration) -> Self {
        self.retry.initial_backoff = wait;
        self
    }

    /// Sets the longest time without a byte of a response; default one minute.
    ///
    /// Tiles and pictures have no limit for the whole download, but must arrive at 1 KiB per second on average over this
    /// time.
    pub fn stall_timeout(mut self, timeout: Duration) -> Self {
        self.timeouts.stall = timeout;
        self
    }

    /// Uses HTTP/2 without negotiation for the Graph API and the tile host, also over `http:`.
    ///
    /// Over `https:` the client negotiates HTTP/2 anyway.
    pub fn http2_prior_knowledge(mut self) -> Self {
        self.http2_prior_knowledge = true;
        self
    }

    /// Sets the observer of requests, retries and waits.
    pub fn observer(mut self, observer: Arc<dyn Observer>) -> Self {
        self.observer = observer;
        self
    }

    /// Looks up requests in a store before they are sent, and stores all responses except pictures.
    pub fn response_store(mut self, store: &ResponseStore) -> Self {
        self.response_store = Some(store.clone());
        self
    }

    /// Looks up tiles in a cache before they are requested, and stores each tile that could be read.
    pub fn tile_cache(mut self, cache: &TileCache) -> Self {
        self.tile_cache = Some(cache.clone());
        self
    }

    /// Creates the client. No request is sent.
    ///
    /// An invalid URL, host or proxy is an error of kind [`ErrorKind::Usage`].
    pub fn build(self) -> Result<Client> {
        let graph_url = parse_base_url(&self.graph_url, "Graph")?;
        let tiles_url = parse_base_url(&self.tiles_url, "tile")?;
        // Base URLs occur in messages and in files.
        let holds_token =
            |url: &Url| self.token.as_ref().is_some_and(|token| token.is_in(url.as_str().as_bytes()));
        if holds_token(&graph_url) || holds_token(&tiles_url) {
            return Err(Error::new(ErrorKind::Usage, "use the URL").with_source("it contains the token"));
        }
        let needs_environment =
            self.image_proxy.is_none() || !is_loopback(&graph_url) || !is_loopback(&tiles_url);
        if needs_environment {
            proxy::check_environment()?;
        }
        let tls = Tls::new();
        let allowed = self.allowed_hosts.iter().map(|text| parse_allowed(text)).collect::<Result<_>>()?;
        let image_hosts = ImageHosts::new([&graph_url, &tiles_url], allowed);
        let rates = self.rate_source.clone().unwrap_or_else(|| Arc::new(self.rates(&graph_url, &tiles_url)));
        let transport = Transport {
            graph: self.api_client(&tls, &graph_url)?,
            tiles: self.api_client(&tls, &tiles_url)?,
            images: self.image_client(&tls, &image_hosts)?,
            concurrency: ConcurrencyLimiter::new(self.concurrency),
            large_bodies: Arc::new(Semaphore::new(MAX_LARGE_BODIES)),
            rates,
            hosts: Default::default(),
            uses_proxy: self.image_proxy.is_some() || !proxy::variables_set().is_empty(),
            token: self.token,
            retry: self.retry,
            timeouts: self.timeouts,
            observer: self.observer,
            stop: CancellationToken::new(),
        };
        Ok(Client::from_shared(Shared {
            transport: Arc::new(transport),
            graph_url,
            tiles_url,
            image_hosts,
            concurrency: self.concurrency,
            response_cache: self.response_store.as_ref().map(|store| Arc::new(ResponseCache::new(store))),
            tile_cache: self.tile_cache,
            missing_sequences: MissingRateGuard::new("sequences", self.gone_rule),
            missing_images: MissingRateGuard::new("images", self.gone_rule),
        }))
    }

    /// The rate limits of a client that shares none.
    fn rates(&self, graph_url: &Url, tiles_url: &Url) -> RateLimits {
        Class::ALL.into_iter().fold(RateLimits::unlimited(), |rates, class| {
            match self.rate_limit(class, graph_url, tiles_url) {
                Some(limit) => rates.with(class, limit),
                None => rates,
            }
        })
    }

    fn rate_limit(&self, class: Class, graph_url: &Url, tiles_url: &Url) -> Option<RateLimit> {
        let on_mapillary =
            |url: &Url, limit: RateLimit| is_mapillary(url).then_some(limit.share(self.rate_share));
        match class {
            Class::Tile => self.tile_rate_limit.or(on_mapillary(tiles_url, RateLimit::TILES)),
            Class::Entity => on_mapillary(graph_url, RateLimit::ENTITIES),
            Class::Search => on_mapillary(graph_url, RateLimit::SEARCHES),
            Class::Picture => None,
        }
    }

    /// Creates the HTTP client for the Graph API or the tile host.
    fn api_client(&self, tls: &Tls, url: &Url) -> Result<reqwest::Client> {
        let protocols: &[_] = if self.http2_prior_knowledge { &["h2"] } else { &["h2", "http/1.1"] };
        let builder = http_client(tls, protocols)?;
        // The proxy of the environment is not for a server on this machine.
        let builder = if is_loopback(url) { builder.no_proxy() } else { builder };
        let builder = builder.redirect(Policy::none()).connect_timeout(self.timeouts.connect);
        finish(if self.http2_prior_knowledge { builder.http2_prior_knowledge() } else { builder })
    }

    /// Creates the HTTP client for pictures.
    fn image_client(&self, tls: &Tls, hosts: &ImageHosts) -> Result<reqwest::Client> {
        // HTTP/2 would send all pictures over one connection with one congestion window.
        let mut builder = http_client(tls, &["http/1.1"])?.http1_only().no_gzip();
        builder = builder.redirect(redirect_policy(hosts.clone()));
        builder = builder.connect_timeout(self.timeouts.connect);
        if let Some(proxy) = &self.image_proxy {
            let proxy = reqwest::Proxy::all(proxy).map_err(|error| {
                Error::new(ErrorKind::Usage, "use the proxy").with_source(error.without_url())
            })?;
            builder = builder.proxy(proxy);
        }
        finish(builder)
    }
}

fn parse_allowed(text: &str) -> Result<AllowedHost> {
    AllowedHost::parse(text).ok_or_else(|| {
        Error::new(ErrorKind::Usage, "allow the host")
            .with_subject(without_credentials(text).chars().take(80).collect::<String>())
            .with_source("it is not the name of a host or a pattern for subdomains")
            .with_hint("write `pictures.example`, `pictures.example:8080` or `*.pictures.example`")
    })
}

fn parse_base_url(text: &str, what: &str) -> Result<Url> {
    let invalid = |why: String| {
        Error::new(ErrorKind::Usage, format!("use the {what} URL"))
            .with_subject(redact(&without_credentials(text)))
            .with_source(why)
    };
    let url = Url::parse(text.trim()).map_err(|error| invalid(error.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(invalid("it must begin with `https://` or `http://` and name a host".into()));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(invalid("it must end with the host or a path".into()));
    }
    Ok(url)
}
