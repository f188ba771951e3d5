//! Making a client: hosts, paces, limits.

use std::sync::Arc;
use std::time::Duration;

use reqwest::redirect::Policy;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use url::{Host, Url};

use crate::client::cache::response_cache::Kept;
use crate::client::cache::response_store::ResponseStore;
use crate::client::cache::tile_cache::TileCache;
use crate::client::class::Class;
use crate::client::handle::{Client, Inner};
use crate::client::missing_guard::Gone;
use crate::client::token::Token;
use crate::client::transport::concurrency::Gate;
use crate::client::transport::image_hosts::{Allowed, ImageHosts};
use crate::client::transport::network_error::RedirectRefused;
use crate::client::transport::proxy;
use crate::client::transport::rate_limit::{Quota, RateLimit};
use crate::client::transport::retry::Retry;
use crate::client::transport::send::{LARGE_ANSWERS, Timeouts};
use crate::client::transport::tls::Tls;
use crate::client::{DEFAULT_CONCURRENCY, GRAPH_URL, TILES_URL};
use crate::error::{Error, ErrorKind, Result};
use crate::observe::{Event, Observer};
use crate::text::redact;
use crate::text::without_credentials;

/// What makes a [`Client`].
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
    proxy: Option<String>,
    concurrency: usize,
    retry: Retry,
    timeouts: Timeouts,
    tile_rate_limit: Option<RateLimit>,
    prior_http2: bool,
    observer: Arc<dyn Observer>,
    store: Option<ResponseStore>,
    allowed_hosts: Vec<String>,
    trust_gone: bool,
    tile_cache: Option<TileCache>,
}

impl Default for ClientBuilder {
    fn default() -> Self {
        Self {
            token: None,
            graph_url: GRAPH_URL.to_owned(),
            tiles_url: TILES_URL.to_owned(),
            proxy: None,
            concurrency: DEFAULT_CONCURRENCY,
            retry: Retry {
                attempts: 6,
                initial_backoff: Duration::from_millis(500),
                retries_too_much: false,
            },
            timeouts: Timeouts::default(),
            tile_rate_limit: None,
            prior_http2: false,
            observer: Arc::new(|_: &Event<'_>| ()),
            store: None,
            allowed_hosts: Vec::new(),
            trust_gone: false,
            tile_cache: None,
        }
    }
}

impl ClientBuilder {
    /// A builder with what the environment says.
    ///
    /// That is the token as in [`Token::from_env`], and `MAPILLARY_GRAPH_URL` and `MAPILLARY_TILES_URL` where they are set.
    pub fn from_env() -> Result<Self> {
        let set = |name| std::env::var(name).ok().filter(|text| !text.is_empty());
        let default = Self::default();
        Ok(Self {
            token: Token::from_env()?,
            graph_url: set("MAPILLARY_GRAPH_URL").unwrap_or(default.graph_url),
            tiles_url: set("MAPILLARY_TILES_URL").unwrap_or(default.tiles_url),
            ..Self::default()
        })
    }

    /// The access token; without it only pictures can be fetched.
    pub fn token(mut self, token: Token) -> Self {
        self.token = Some(token);
        self
    }

    /// Another Graph than `https://graph.mapillary.com`: a mirror, the sandbox.
    pub fn graph_url(mut self, url: impl Into<String>) -> Self {
        self.graph_url = url.into();
        self
    }

    /// Another tile host than `https://tiles.mapillary.com`.
    pub fn tiles_url(mut self, url: impl Into<String>) -> Self {
        self.tiles_url = url.into();
        self
    }

    /// The HTTP proxy for pictures, as a URL; otherwise the environment's settings hold.
    pub fn image_proxy(mut self, url: impl Into<String>) -> Self {
        self.proxy = Some(url.into());
        self
    }

    /// Lets pictures come from another host: `host`, `host:port` or `*.host`.
    ///
    /// `*.fbcdn.net`, `*.fbsbx.com` and the API's own need no word.
    ///
    /// The URLs of pictures stand in tables and answers, so without this they could lead a crawler anywhere, into
    /// the network that it runs in too.
    pub fn allow_host(mut self, host: impl Into<String>) -> Self {
        self.allowed_hosts.push(host.into());
        self
    }

    /// Believes that images and sequences are gone even where nearly all are said to be.
    ///
    /// Without it such a run ends with an error of kind [`ErrorKind::Auth`], for a token that may not see the images
    /// hears the same.
    pub fn trust_gone(mut self) -> Self {
        self.trust_gone = true;
        self
    }

    /// How many requests may be under way at once, of all classes together; at least 1.
    ///
    /// That is a ceiling: where a host pushes back there are fewer, and more again when it does not.
    pub fn concurrency(mut self, requests: usize) -> Self {
        self.concurrency = requests.clamp(1, Semaphore::MAX_PERMITS);
        self
    }

    /// The pace of tiles; by default [`RateLimit::TILES`] on Mapillary's own host and none elsewhere.
    pub fn tile_rate_limit(mut self, pace: RateLimit) -> Self {
        self.tile_rate_limit = Some(pace);
        self
    }

    /// How often a request is sent at the most, the first time included; default 6.
    ///
    /// Being over a limit of the API passes with time alone and is waited out up to 30 times.
    pub fn max_attempts(mut self, attempts: u32) -> Self {
        self.retry.attempts = attempts.max(1);
        self
    }

    /// The pause after the first failure of a request; it doubles with each. Default half a second.
    pub fn initial_backoff(mut self, wait: Duration) -> Self {
        self.retry.initial_backoff = wait;
        self
    }

    /// How long an answer may go without a byte; default a minute.
    ///
    /// Tiles and pictures that come steadily may take as long as they need: they fail if they bring less than 1 KiB a
    /// second on average over that time.
    pub fn stall_timeout(mut self, timeout: Duration) -> Self {
        self.timeouts.stall = timeout;
        self
    }

    /// Speaks HTTP/2 to Graph and tile host without asking, also over plain `http:`; over `https:` it is agreed anyway.
    pub fn http2_prior_knowledge(mut self) -> Self {
        self.prior_http2 = true;
        self
    }

    /// Who is told of requests, retries and waits.
    pub fn observer(mut self, observer: Arc<dyn Observer>) -> Self {
        self.observer = observer;
        self
    }

    /// Asks a store before the network, and gives it every answer but pictures.
    pub fn response_store(mut self, store: &ResponseStore) -> Self {
        self.store = Some(store.clone());
        self
    }

    /// Asks a cache for tiles before the network, and gives it every tile that could be read.
    pub fn tile_cache(mut self, cache: &TileCache) -> Self {
        self.tile_cache = Some(cache.clone());
        self
    }

    /// Makes the client; a URL that is none is a usage error.
    pub fn build(self) -> Result<Client> {
        let graph_url = base(&self.graph_url, "Graph")?;
        let tiles_url = base(&self.tiles_url, "tile")?;
        // Base URLs stand in messages, and in what is kept of a run.
        let holds_token =
            |url: &Url| self.token.as_ref().is_some_and(|token| token.is_in(url.as_str().as_bytes()));
        if holds_token(&graph_url) || holds_token(&tiles_url) {
            return Err(Error::new(ErrorKind::Usage, "use the URL").with_source("the token stands in it"));
        }
        let environment_counts = self.proxy.is_none() || !is_loopback(&graph_url) || !is_loopback(&tiles_url);
        if environment_counts {
            proxy::check_environment()?;
        }
        let tls = Tls::new();
        let api = |url: &Url| {
            let protocols: &[_] = if self.prior_http2 { &["h2"] } else { &["h2", "http/1.1"] };
            let client = plain(&tls, protocols)?;
            // A proxy in the environment is for the world outside, not for a mirror on this machine.
            let client = if is_loopback(url) { client.no_proxy() } else { client };
            let client = client.redirect(Policy::none()).connect_timeout(self.timeouts.connect);
            made(if self.prior_http2 { client.http2_prior_knowledge() } else { client })
        };
        let allowed = self.allowed_hosts.iter().map(|text| allowed(text)).collect::<Result<_>>()?;
        let image_hosts = ImageHosts::new([&graph_url, &tiles_url], allowed);
        // HTTP/2 would put all pictures on one connection, with one congestion window.
        let mut images = plain(&tls, &["http/1.1"])?.http1_only().no_gzip();
        images = images.redirect(few_hops(image_hosts.clone()));
        images = images.connect_timeout(self.timeouts.connect);
        if let Some(proxy) = &self.proxy {
            let proxy = reqwest::Proxy::all(proxy).map_err(|error| {
                Error::new(ErrorKind::Usage, "use the proxy").with_source(error.without_url())
            })?;
            images = images.proxy(proxy);
        }
        let paced = |url: &Url, pace| is_mapillary(url).then_some(pace);
        let lane = |class| {
            let pace = match class {
                Class::Tile => self.tile_rate_limit.or(paced(&tiles_url, RateLimit::TILES)),
                Class::Entity => paced(&graph_url, RateLimit::ENTITIES),
                Class::Search => paced(&graph_url, RateLimit::SEARCHES),
                Class::Bytes => None,
            };
            Quota::new(pace)
        };
        let inner = Inner {
            gate: Gate::new(self.concurrency),
            image_hosts,
            gone_sequences: Gone::new("sequences"),
            gone_images: Gone::new("images"),
            trust_gone: self.trust_gone,
            large: Arc::new(Semaphore::new(LARGE_ANSWERS)),
            lanes: Class::ALL.map(lane),
            graph: api(&graph_url)?,
            tiles: api(&tiles_url)?,
            images: made(images)?,
            proxied: self.proxy.is_some() || !proxy::variables_set().is_empty(),
            token: self.token,
            graph_url,
            tiles_url,
            concurrency: self.concurrency,
            reaches: Default::default(),
            retry: self.retry,
            timeouts: self.timeouts,
            observer: self.observer,
            kept: self.store.as_ref().map(|store| Arc::new(Kept::new(store))),
            tile_cache: self.tile_cache,
            stop: CancellationToken::new(),
        };
        Ok(Client(Arc::new(inner), false, None))
    }
}

/// Whether a URL is of Mapillary's own hosts, where requests are scarce.
pub fn is_mapillary(url: &Url) -> bool {
    url.host_str().is_some_and(|host| host == "mapillary.com" || host.ends_with(".mapillary.com"))
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

fn allowed(text: &str) -> Result<Allowed> {
    Allowed::read(text).ok_or_else(|| {
        Error::new(ErrorKind::Usage, "allow the host")
            .with_subject(without_credentials(text).chars().take(80).collect::<String>())
            .with_source("it is not the name of a host, nor all below a name such as `pictures.example`")
            .with_hint("write `pictures.example`, `pictures.example:8080` or `*.pictures.example`")
    })
}

/// A redirect leads to a host that may be asked, and not round in circles.
fn few_hops(hosts: ImageHosts) -> Policy {
    Policy::custom(move |hop| {
        let refuse = |why: &str| RedirectRefused { why: format!("it is redirected {why}"), hint: None };
        if hop.previous().contains(hop.url()) {
            return hop.error(refuse("in a circle"));
        }
        if hop.previous().len() > 3 {
            return hop.error(refuse("too often"));
        }
        let was_secure = hop.previous().last().is_some_and(|url| url.scheme() == "https");
        match hosts.check_url(hop.url()) {
            Ok(()) if was_secure && hop.url().scheme() == "http" => {
                hop.error(refuse("from `https:` to `http:`, where anybody on the way could change it"))
            }
            Ok(()) => hop.follow(),
            Err(not) => {
                let hint = not.hint();
                hop.error(RedirectRefused { hint, ..refuse(&format!("to another host, but {}", not.why)) })
            }
        }
    })
}

fn plain(tls: &Tls, protocols: &[&str]) -> Result<reqwest::ClientBuilder> {
    let config = tls.config(protocols).map_err(|error| set_up(error.into()))?;
    let builder = reqwest::Client::builder().tls_backend_preconfigured(config);
    Ok(builder.user_agent(concat!("streetflow/", env!("CARGO_PKG_VERSION"))))
}

fn made(builder: reqwest::ClientBuilder) -> Result<reqwest::Client> {
    builder.build().map_err(|error| set_up(error.without_url().into()))
}

fn set_up(error: Box<dyn std::error::Error + Send + Sync>) -> Error {
    Error::new(ErrorKind::Usage, "set up the network client").with_source(error)
}

fn base(text: &str, what: &str) -> Result<Url> {
    let refuse = |why: String| {
        Error::new(ErrorKind::Usage, format!("use the {what} URL"))
            .with_subject(redact(&without_credentials(text)))
            .with_source(why)
    };
    let url = Url::parse(text.trim()).map_err(|error| refuse(error.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(refuse("it must begin with `https://` or `http://` and name a host".into()));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(refuse("it must end with the host or a path".into()));
    }
    Ok(url)
}
