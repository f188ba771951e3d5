//! The state that all requests of a client share.

use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::concurrency::ConcurrencyLimiter;
use super::rate_source::RateSource;
use super::reachability::Reachability;
use super::request::{HOSTS, Timeouts, host_of};
use super::retry::RetryPolicy;
use crate::client::token::Token;
use crate::observe::{Class, Event, Observer};

/// Sends the requests of one client and enforces its limits.
pub(crate) struct Transport {
    pub(crate) graph: reqwest::Client,
    pub(crate) tiles: reqwest::Client,
    pub(crate) images: reqwest::Client,
    pub(crate) token: Option<Token>,
    pub(crate) concurrency: Arc<ConcurrencyLimiter>,
    /// Permits for bodies above the usual length.
    pub(crate) large_bodies: Arc<Semaphore>,
    pub(crate) rates: Arc<dyn RateSource>,
    pub(crate) hosts: [Reachability; HOSTS],
    pub(crate) retry: RetryPolicy,
    pub(crate) timeouts: Timeouts,
    /// Whether requests may go through a proxy.
    pub(crate) uses_proxy: bool,
    pub(crate) observer: Arc<dyn Observer>,
    /// Cancelled when the client stops.
    pub(crate) stop: CancellationToken,
}

impl Transport {
    pub(crate) fn emit(&self, event: &Event<'_>) {
        self.observer.on_event(event);
    }

    /// Waits until a request may be sent. The request then needs a permit of its host.
    pub(crate) async fn acquire_rate(&self, class: Class) {
        self.rates.acquire(class, &|wait| self.emit(&Event::RateLimitWait { class, wait })).await;
    }

    pub(crate) fn host(&self, class: Class) -> &Reachability {
        &self.hosts[host_of(class)]
    }

    /// Whether a text contains the token.
    pub(crate) fn holds_token(&self, text: &[u8]) -> bool {
        self.token.as_ref().is_some_and(|token| token.is_in(text))
    }
}
