//! The network side: one client through which all requests pass.
//!
//! - `attempts` is the way of one request: rate limit, admission, `send`, judgement, back-off
//! - `quota` limits the rate of a class, `gate` admits requests to their hosts, `retry` says which failures get another
//!   attempt, and when; `place` is what an item gives back when it fails
//! - `classify` says what an answer means, `gone` when the word that images are gone is believed
//! - `network_error` says what a failure below HTTP means, `reach` what it is for a run: an outage, or a mistake in the
//!   set-up; `progress` says whether a body comes fast enough; `tls` and `proxy` are the way to a host
//! - `image_ids` asks for the images of a sequence, and `id_list` reads the answer; `empty` says when an empty one is
//!   believed
//! - `metadata` asks for what is known of images; `wire` turns JSON into records, with values as `soft` takes them
//! - `image_url` says where pictures may come from
//! - `login` takes passwords out of URLs, `secret` holds the token, `token_form` says what is no token, `percent` shows
//!   where it may hide
//! - `store` keeps the answers of an unfinished run, `kept` says what of them is trusted
//! - `user` asks for the sequences of a user
//! - `tiles` asks for tiles; `tile_cache` keeps tiles for later runs, `tile_file` is one of them

mod attempts;
mod build;
mod classify;
mod empty;
#[cfg(any(fuzzing, feature = "internals"))]
#[doc(hidden)]
pub mod fuzzing;
mod gate;
mod gone;
mod id_list;
mod image_ids;
mod image_url;
mod kept;
mod login;
mod metadata;
mod network_error;
mod percent;
mod place;
mod progress;
mod proxy;
mod quota;
mod reach;
mod retry;
mod secret;
mod send;
mod soft;
mod store;
mod tile_cache;
mod tile_file;
mod tile_names;
mod tiles;
mod tls;
mod token_form;
mod user;
mod wire;

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use url::Url;

pub use self::build::ClientBuilder;
pub use self::build::is_mapillary;
pub(crate) use self::build::web_client;
pub(crate) use self::empty::EMPTY_ROUNDS;
use self::gate::Gate;
use self::gone::Gone;
pub(crate) use self::id_list::IdList;
pub(crate) use self::image_ids::unusable;
use self::image_url::ImageHosts;
pub(crate) use self::image_url::has_ended;
use self::kept::{Keeping, Kept};
pub use self::login::without_credentials;
pub(crate) use self::metadata::BatchFound;
use self::place::Place;
use self::quota::Quota;
pub use self::quota::RateLimit;
use self::reach::Reach;
pub(crate) use self::retry::Patience;
use self::retry::Retry;
pub use self::secret::Token;
pub use self::secret::redact;
pub(crate) use self::send::Answer;
use self::send::{Ask, Timeouts};
pub use self::store::ResponseStore;
pub use self::store::STORE_FILES;
pub use self::tile_cache::{DEFAULT_TILE_CACHE_BYTES, TileCache};
pub(crate) use self::user::{UserPage, unknown_user};
use crate::error::{Error, ErrorKind, Result};
use crate::observe::{Event, Observer};

const MIB: usize = 1 << 20;

/// How many images one batch request may name; more than the API's other users dare.
pub const MAX_BATCH: usize = 50;

/// How many requests may be under way at once, unless the builder says otherwise.
pub const DEFAULT_CONCURRENCY: usize = 64;

/// How many tiles Mapillary documents to serve in a day; its tile host blocks addresses long before.
pub const TILES_PER_DAY: u64 = 50_000;

/// How many images Mapillary documents to tell of in a minute.
pub const ENTITIES_PER_MINUTE: u64 = 60_000;

/// How many searches Mapillary documents to answer in a minute: the images of a sequence are one.
pub const SEARCHES_PER_MINUTE: u64 = 10_000;

/// The Graph of Mapillary.
pub const GRAPH_URL: &str = "https://graph.mapillary.com";

/// The tile host of Mapillary.
pub const TILES_URL: &str = "https://tiles.mapillary.com";

/// The kinds of requests, each with its own pace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Class {
    /// A vector tile.
    Tile,
    /// An image, or a batch of images, by id.
    Entity,
    /// The images of a sequence.
    Search,
    /// The bytes of a picture.
    Bytes,
}

impl Class {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Tile, Self::Entity, Self::Search, Self::Bytes];
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tile => "tile",
            Self::Entity => "entity",
            Self::Search => "search",
            Self::Bytes => "bytes",
        })
    }
}

/// What asks Mapillary; cheap to clone, and all clones share their limits.
///
/// ```
/// use streetflow::{Client, Token};
///
/// # #[tokio::main] async fn main() -> streetflow::Result<()> {
/// let client = Client::new(Token::new("MLY|1234|abcd")?)?;
/// # let _ = client; Ok(()) }
/// ```
#[derive(Clone)]
pub struct Client(
    Arc<Inner>,
    /// Whether it asks anew and neither uses nor fills the store.
    bool,
    /// What the item has that it asks for, until a request fails.
    Option<Arc<Place>>,
);

struct Inner {
    graph: reqwest::Client,
    tiles: reqwest::Client,
    images: reqwest::Client,
    token: Option<Token>,
    graph_url: Url,
    tiles_url: Url,
    image_hosts: ImageHosts,
    concurrency: usize,
    gate: Arc<Gate>,
    /// For answers that are larger than usual: a few at once are in memory.
    large: Arc<Semaphore>,
    lanes: [Quota; 4],
    /// What is known of how each host can be reached.
    reaches: [Reach; 3],
    retry: Retry,
    timeouts: Timeouts,
    /// Whether requests may go through a proxy.
    proxied: bool,
    observer: Arc<dyn Observer>,
    stop: CancellationToken,
    kept: Option<Arc<Kept>>,
    tile_cache: Option<TileCache>,
    gone_sequences: Gone,
    gone_images: Gone,
    trust_gone: bool,
}

/// The number of a class's host at the gate: entities and searches share one.
fn host_of(class: Class) -> usize {
    match class {
        Class::Tile => 0,
        Class::Entity | Class::Search => 1,
        Class::Bytes => 2,
    }
}

impl Client {
    /// A client for Mapillary itself with all limits as documented.
    pub fn new(token: Token) -> Result<Self> {
        Self::builder().token(token).build()
    }

    /// A client with what the environment says.
    ///
    /// That is the token in `MAPILLARY_TOKEN`, other hosts in `MAPILLARY_GRAPH_URL` and `MAPILLARY_TILES_URL`.
    pub fn from_env() -> Result<Self> {
        ClientBuilder::from_env()?.build()
    }

    /// A client with other hosts, paces or limits.
    pub fn builder() -> ClientBuilder {
        ClientBuilder::default()
    }

    /// How many requests may be under way at once.
    pub fn concurrency(&self) -> usize {
        self.0.concurrency
    }

    /// How fast requests of a class may follow one another; none where there is no bound.
    pub fn rate_limit(&self, class: Class) -> Option<RateLimit> {
        self.lane(class).pace()
    }

    /// Ends all requests under way, and every later one, with [`ErrorKind::Interrupted`].
    pub fn stop(&self) {
        self.0.stop.cancel();
    }

    pub(crate) fn tell(&self, event: &Event<'_>) {
        self.0.observer.on_event(event);
    }

    pub(crate) fn observer(&self) -> &dyn Observer {
        &*self.0.observer
    }

    /// The same client for one that asks anew, whatever is in the store.
    pub(crate) fn anew(&self) -> Self {
        Self(Arc::clone(&self.0), true, self.2.clone())
    }

    pub(crate) fn has_token(&self) -> bool {
        self.0.token.is_some()
    }

    fn reach_of(&self, class: Class) -> &Reach {
        &self.0.reaches[host_of(class)]
    }

    fn lane(&self, class: Class) -> &Quota {
        &self.0.lanes[class as usize]
    }

    /// Fetches a picture; `read` takes the body of each attempt, and its failure is an attempt that failed.
    pub(crate) async fn picture<T, R, F>(&self, url: &str, subject: String, read: R) -> Result<T>
    where
        T: Send + 'static,
        R: FnMut(Answer) -> F + Send + 'static,
        F: Future<Output = Result<T>> + Send,
    {
        const DOING: &str = "download image";
        let refuse = |why: String| {
            Error::new(ErrorKind::Rejected, DOING).with_subject(subject.clone()).with_source(why)
        };
        // Tables of others, too, may hold it.
        if self.0.token.as_ref().is_some_and(|token| token.is_in(url.as_bytes())) {
            return Err(refuse("its URL holds the token".to_owned()));
        }
        let url = self.0.image_hosts.check(url).map_err(|not| match not.hint() {
            Some(hint) => refuse(not.why).with_hint(hint),
            None => refuse(not.why),
        })?;
        self.send(Ask { class: Class::Bytes, url, doing: DOING, subject }, Patience::default(), read).await
    }

    pub(crate) fn answered(&self, class: Class, bytes: usize) {
        self.tell(&Event::Response { class, bytes: bytes as u64 });
    }

    /// Asks for a body and keeps what `understand` says is to be kept of it, all within the attempt: an answer whose
    /// request is no longer under way is safe from a kill.
    async fn ask<T: Send + 'static>(
        &self,
        ask: Ask,
        understand: impl Fn(Bytes) -> Result<(T, Option<Keeping>)> + Send + Sync + 'static,
    ) -> Result<T> {
        self.ask_patiently(ask, Patience::default(), understand).await
    }

    /// The same with another patience than that of most requests.
    async fn ask_patiently<T: Send + 'static>(
        &self,
        ask: Ask,
        patience: Patience,
        understand: impl Fn(Bytes) -> Result<(T, Option<Keeping>)> + Send + Sync + 'static,
    ) -> Result<T> {
        let (client, class) = (self.clone(), ask.class);
        let understand = Arc::new(understand);
        self.send(ask, patience, move |answer| {
            let (client, understand) = (client.clone(), Arc::clone(&understand));
            async move {
                let body = answer.whole(class).await?;
                let bytes = body.len();
                let (understood, keeping) = understand(body)?;
                if let Some(keeping) = keeping {
                    client.keep(keeping).await?;
                }
                client.answered(class, bytes);
                Ok(understood)
            }
        })
        .await
    }
}

fn json<T: serde::de::DeserializeOwned>(body: &[u8]) -> Result<T> {
    serde_json::from_slice(body)
        .map_err(|error| Error::new(ErrorKind::Malformed, "").with_source(error).with_status(200))
}

/// Runs in a task of its own, so that an answer is kept as soon as it is there, and not when its turn comes.
async fn in_task<T: Send + 'static>(work: impl Future<Output = Result<T>> + Send + 'static) -> Result<T> {
    let task = AbortOnDropHandle::new(tokio::spawn(work));
    task.await.unwrap_or_else(|panic| {
        Err(Error::new(ErrorKind::Unavailable, "finish a request").with_source(panic.to_string()))
    })
}

/// A path below a base URL, which may have a path of its own.
fn below(base: &Url, path: &str) -> Result<Url> {
    let whole = format!("{}{path}", base.as_str().trim_end_matches('/'));
    Url::parse(&whole).map_err(|error| {
        Error::new(ErrorKind::Usage, "use the URL")
            .with_subject(without_credentials(&whole))
            .with_source(error)
    })
}
