//! The client handle.

use std::future::Future;
use std::sync::Arc;

use tokio::sync::OwnedSemaphorePermit;
use url::Url;

use crate::client::cache::known_records::KnownMetadata;
use crate::client::cache::response_cache::ResponseCache;
use crate::client::cache::tile_cache::TileCache;
use crate::client::missing_guard::MissingRateGuard;
use crate::client::transport::body::ResponseBody;
use crate::client::transport::core::Transport;
use crate::client::transport::image_hosts::ImageHosts;
use crate::client::transport::item_slot::ItemSlot;
use crate::client::transport::rate_limit::RateLimit;
use crate::client::transport::request::{ApiRequest, host_of};
use crate::client::transport::retry::RetryOverride;
use crate::error::Result;
use crate::observe::{Class, Event, Observer};

/// HTTP client for the Mapillary API.
///
/// Cheap to clone; all clones share their rate limits and connections. Its methods send requests, retry failures and
/// return errors of the kinds in [`ErrorKind`](crate::ErrorKind). They need a Tokio runtime.
///
/// ```
/// use streetflow::{Client, Token};
///
/// # #[tokio::main] async fn main() -> streetflow::Result<()> {
/// let client = Client::new(Token::new("MLY|1234|abcd")?)?;
/// # let _ = client; Ok(()) }
/// ```
#[derive(Clone)]
pub struct Client {
    pub(crate) shared: Arc<Shared>,
    /// Whether requests bypass the response store.
    bypasses_store: bool,
    /// The metadata of an earlier table, which is not requested.
    pub(super) known: Option<KnownMetadata>,
    /// The slot of the item that the requests are for.
    item: Option<Arc<ItemSlot>>,
}

/// What all clones of a client share.
pub(crate) struct Shared {
    pub(crate) transport: Arc<Transport>,
    pub(crate) graph_url: Url,
    pub(crate) tiles_url: Url,
    pub(crate) image_hosts: ImageHosts,
    pub(crate) concurrency: usize,
    pub(crate) response_cache: Option<Arc<ResponseCache>>,
    pub(crate) tile_cache: Option<TileCache>,
    pub(crate) missing_sequences: MissingRateGuard,
    pub(crate) missing_images: MissingRateGuard,
}

impl Client {
    pub(crate) fn from_shared(shared: Shared) -> Self {
        Self { shared: Arc::new(shared), bypasses_store: false, known: None, item: None }
    }

    /// Returns the highest number of requests in flight.
    pub fn concurrency(&self) -> usize {
        self.shared.concurrency
    }

    /// Returns the rate limit of a class, or `None` if the class has no limit.
    pub fn rate_limit(&self, class: Class) -> Option<RateLimit> {
        self.shared.transport.rates.limit(class)
    }

    /// Stops all clones: requests in flight and later ones fail with [`ErrorKind::Interrupted`].
    ///
    /// [`ErrorKind::Interrupted`]: crate::ErrorKind::Interrupted
    pub fn stop(&self) {
        self.shared.transport.stop.cancel();
    }

    pub(crate) fn observer(&self) -> &dyn Observer {
        &*self.shared.transport.observer
    }

    pub(crate) fn shared_observer(&self) -> Arc<dyn Observer> {
        Arc::clone(&self.shared.transport.observer)
    }

    pub(crate) fn emit(&self, event: &Event<'_>) {
        self.observer().on_event(event);
    }

    /// Reports a complete response with its length.
    pub(crate) fn emit_response(&self, class: Class, bytes: usize) {
        self.emit(&Event::Response { class, bytes: bytes as u64 });
    }

    /// Returns a client that neither reads nor fills the response store, and requests known metadata too.
    pub(crate) fn bypassing_store(&self) -> Self {
        Self { bypasses_store: true, known: None, ..self.clone() }
    }

    /// Returns a client that does not request known metadata.
    pub(crate) fn with_known(&self, known: &KnownMetadata) -> Self {
        Self { known: Some(known.clone()), ..self.clone() }
    }

    /// Returns a client for the requests of one item, which holds a permit until one of them fails.
    pub(crate) fn with_slot(&self, permit: OwnedSemaphorePermit) -> Self {
        Self { item: Some(Arc::new(ItemSlot::new(permit))), ..self.clone() }
    }

    pub(crate) fn has_token(&self) -> bool {
        self.shared.transport.token.is_some()
    }

    /// Returns the number of responses from the host of a class so far.
    pub(crate) fn responses(&self, class: Class) -> u64 {
        self.shared.transport.concurrency.responses(host_of(class))
    }

    /// Whether most requests to the host of a class succeed.
    pub(crate) fn is_host_healthy(&self, class: Class) -> bool {
        self.shared.transport.concurrency.is_healthy(host_of(class))
    }

    /// Returns the highest number of attempts per request.
    pub(crate) fn max_attempts(&self) -> u32 {
        self.shared.transport.retry.max_attempts
    }

    /// Returns the response cache, unless there is none or this client bypasses it.
    pub(crate) fn response_cache(&self) -> Option<&Arc<ResponseCache>> {
        self.shared.response_cache.as_ref().filter(|_| !self.bypasses_store)
    }

    /// Sends a request for this client's item. See [`Transport::send`].
    pub(crate) async fn send<T, R, F>(&self, request: ApiRequest, retry: RetryOverride, read: R) -> Result<T>
    where
        T: Send + 'static,
        R: FnMut(ResponseBody) -> F + Send + 'static,
        F: Future<Output = Result<T>> + Send,
    {
        self.shared.transport.send(request, retry, self.item.clone(), read).await
    }
}
