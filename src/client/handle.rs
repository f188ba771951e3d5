//! The client handle.

use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use url::Url;

use crate::client::builder::ClientBuilder;
use crate::client::cache::response_cache::{Keeping, Kept};
use crate::client::cache::tile_cache::TileCache;
use crate::client::class::Class;
use crate::client::missing_guard::Gone;
use crate::client::token::Token;
use crate::client::transport::concurrency::Gate;
use crate::client::transport::image_hosts::ImageHosts;
use crate::client::transport::item_slot::Place;
use crate::client::transport::rate_limit::{Quota, RateLimit};
use crate::client::transport::reachability::Reach;
use crate::client::transport::retry::{Patience, Retry};
use crate::client::transport::send::{Answer, Ask, Timeouts};
use crate::error::{Error, ErrorKind, Result};
use crate::observe::{Event, Observer};
use crate::text::without_credentials;

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
    pub(crate) Arc<Inner>,
    /// Whether it asks anew and neither uses nor fills the store.
    pub(crate) bool,
    /// What the item has that it asks for, until a request fails.
    pub(crate) Option<Arc<Place>>,
);

pub(crate) struct Inner {
    pub(crate) graph: reqwest::Client,
    pub(crate) tiles: reqwest::Client,
    pub(crate) images: reqwest::Client,
    pub(crate) token: Option<Token>,
    pub(crate) graph_url: Url,
    pub(crate) tiles_url: Url,
    pub(crate) image_hosts: ImageHosts,
    pub(crate) concurrency: usize,
    pub(crate) gate: Arc<Gate>,
    /// For answers that are larger than usual: a few at once are in memory.
    pub(crate) large: Arc<Semaphore>,
    pub(crate) lanes: [Quota; 4],
    /// What is known of how each host can be reached.
    pub(crate) reaches: [Reach; 3],
    pub(crate) retry: Retry,
    pub(crate) timeouts: Timeouts,
    /// Whether requests may go through a proxy.
    pub(crate) proxied: bool,
    pub(crate) observer: Arc<dyn Observer>,
    pub(crate) stop: CancellationToken,
    pub(crate) kept: Option<Arc<Kept>>,
    pub(crate) tile_cache: Option<TileCache>,
    pub(crate) gone_sequences: Gone,
    pub(crate) gone_images: Gone,
    pub(crate) trust_gone: bool,
}

/// The number of a class's host at the gate: entities and searches share one.
pub(crate) fn host_of(class: Class) -> usize {
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

    pub(crate) fn reach_of(&self, class: Class) -> &Reach {
        &self.0.reaches[host_of(class)]
    }

    pub(crate) fn lane(&self, class: Class) -> &Quota {
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
    pub(crate) async fn ask<T: Send + 'static>(
        &self,
        ask: Ask,
        understand: impl Fn(Bytes) -> Result<(T, Option<Keeping>)> + Send + Sync + 'static,
    ) -> Result<T> {
        self.ask_patiently(ask, Patience::default(), understand).await
    }

    /// The same with another patience than that of most requests.
    pub(crate) async fn ask_patiently<T: Send + 'static>(
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

pub(crate) fn json<T: serde::de::DeserializeOwned>(body: &[u8]) -> Result<T> {
    serde_json::from_slice(body)
        .map_err(|error| Error::new(ErrorKind::Malformed, "").with_source(error).with_status(200))
}

/// Runs in a task of its own, so that an answer is kept as soon as it is there, and not when its turn comes.
pub(crate) async fn in_task<T: Send + 'static>(
    work: impl Future<Output = Result<T>> + Send + 'static,
) -> Result<T> {
    let task = AbortOnDropHandle::new(tokio::spawn(work));
    task.await.unwrap_or_else(|panic| {
        Err(Error::new(ErrorKind::Unavailable, "finish a request").with_source(panic.to_string()))
    })
}

/// A path below a base URL, which may have a path of its own.
pub(crate) fn below(base: &Url, path: &str) -> Result<Url> {
    let whole = format!("{}{path}", base.as_str().trim_end_matches('/'));
    Url::parse(&whole).map_err(|error| {
        Error::new(ErrorKind::Usage, "use the URL")
            .with_subject(without_credentials(&whole))
            .with_source(error)
    })
}
