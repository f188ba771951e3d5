//! Where the permission to send a request comes from: the limits of a client, or a budget that several share.

use std::time::Duration;

use async_trait::async_trait;

use super::rate_limit::{RateLimit, RateLimiter};
use crate::observe::Class;

/// Decides when a request may be sent.
///
/// A client has [`RateLimits`] of its own. Several clients share a budget if they are built with the same source, see
/// [`ClientBuilder::rate_source`](crate::ClientBuilder::rate_source). Implement the trait to take permissions from
/// elsewhere, such as leases of a coordinator for several processes:
///
/// ```
/// use std::time::Duration;
/// use streetflow::client::{RateLimits, RateSource};
/// use streetflow::{Class, async_trait};
///
/// /// Asks a coordinator for each image, and has limits of its own for the rest.
/// struct Leases(RateLimits);
///
/// #[async_trait]
/// impl RateSource for Leases {
///     async fn acquire(&self, class: Class, on_wait: &(dyn Fn(Duration) + Send + Sync)) {
///         if class == Class::Entity {
///             // ask the coordinator here
///         }
///         self.0.acquire(class, on_wait).await;
///     }
///
///     fn pause(&self, class: Class, wait: Duration) {
///         self.0.pause(class, wait);
///     }
///
///     fn report_usage(&self, class: Class, percent: f64) -> bool {
///         self.0.report_usage(class, percent)
///     }
/// }
/// ```
#[async_trait]
pub trait RateSource: Send + Sync {
    /// Waits until a request of a class may be sent. Calls `on_wait` with the length of each wait before it begins.
    ///
    /// The future is dropped if the request is cancelled.
    async fn acquire(&self, class: Class, on_wait: &(dyn Fn(Duration) + Send + Sync));

    /// Holds all requests of a class back for a time, because the API reported an exceeded limit.
    fn pause(&self, class: Class, wait: Duration);

    /// Takes note of the usage of the API's allowance in percent. Returns true if requests are held back because of it.
    fn report_usage(&self, class: Class, percent: f64) -> bool;

    /// The rate limit of a class, if it is known. It is used for estimates only.
    fn limit(&self, class: Class) -> Option<RateLimit> {
        let _ = class;
        None
    }
}

/// The rate limits of each class of requests, for one client or for several that share them.
///
/// ```
/// use std::sync::Arc;
/// use streetflow::client::RateLimits;
/// use streetflow::{Class, Client, Token};
///
/// let shared = Arc::new(RateLimits::mapillary());
/// let client = || Client::builder().token(Token::new("MLY|1234|abcd")?).rate_source(Arc::clone(&shared) as _).build();
/// let clients = [client()?, client()?];
/// assert_eq!(clients[0].rate_limit(Class::Entity), clients[1].rate_limit(Class::Entity));
/// # Ok::<(), streetflow::Error>(())
/// ```
pub struct RateLimits {
    limiters: [RateLimiter; Class::ALL.len()],
}

impl RateLimits {
    /// No limits. Pauses that the API asks for apply.
    pub fn unlimited() -> Self {
        Self { limiters: Class::ALL.map(|_| RateLimiter::new(None)) }
    }

    /// The default limits for Mapillary's hosts.
    pub fn mapillary() -> Self {
        Self::unlimited()
            .with(Class::Tile, RateLimit::TILES)
            .with(Class::Entity, RateLimit::ENTITIES)
            .with(Class::Search, RateLimit::SEARCHES)
    }

    /// Sets the limit of a class.
    #[must_use]
    pub fn with(mut self, class: Class, limit: RateLimit) -> Self {
        self.limiters[class as usize] = RateLimiter::new(Some(limit));
        self
    }
}

#[async_trait]
impl RateSource for RateLimits {
    async fn acquire(&self, class: Class, on_wait: &(dyn Fn(Duration) + Send + Sync)) {
        self.limiters[class as usize].acquire(on_wait).await;
    }

    fn pause(&self, class: Class, wait: Duration) {
        self.limiters[class as usize].pause_for(wait);
    }

    fn report_usage(&self, class: Class, percent: f64) -> bool {
        self.limiters[class as usize].apply_usage(percent)
    }

    fn limit(&self, class: Class) -> Option<RateLimit> {
        self.limiters[class as usize].limit()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::time::Instant;

    use super::*;

    /// Sends as many requests as two users of the sources can in a minute, and returns their number.
    async fn requests_of_two_in_a_minute(sources: [Arc<dyn RateSource>; 2]) -> usize {
        let started = Instant::now();
        let users = sources.map(|source| {
            tokio::spawn(async move {
                let mut sent = 0;
                loop {
                    source.acquire(Class::Entity, &|_| ()).await;
                    if started.elapsed() > Duration::from_mins(1) {
                        return sent;
                    }
                    sent += 1;
                }
            })
        });
        let [first, second] = users;
        first.await.expect("sent") + second.await.expect("sent")
    }

    fn limits(limit: RateLimit) -> Arc<dyn RateSource> {
        Arc::new(RateLimits::unlimited().with(Class::Entity, limit))
    }

    #[tokio::test(start_paused = true)]
    async fn two_clients_on_one_source_keep_the_rate_of_one() {
        let limit = RateLimit::per_minute(600.0).burst(10);
        let shared = limits(limit);
        let together = requests_of_two_in_a_minute([Arc::clone(&shared), shared]).await;
        assert!((600..=612).contains(&together), "{together} requests");
        let alone = requests_of_two_in_a_minute([limits(limit), limits(limit)]).await;
        assert!((1200..=1224).contains(&alone), "{alone} requests without sharing");
    }

    #[tokio::test(start_paused = true)]
    async fn two_shares_of_a_half_keep_the_rate_of_one() {
        let half = RateLimit::per_minute(600.0).burst(10).share(2);
        assert_eq!(half, RateLimit::per_minute(300.0).burst(5));
        let together = requests_of_two_in_a_minute([limits(half), limits(half)]).await;
        assert!((600..=612).contains(&together), "{together} requests");
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_that_one_client_reports_holds_the_other_back() {
        let shared = limits(RateLimit::per_minute(6000.0));
        shared.pause(Class::Entity, Duration::from_secs(30));
        let started = Instant::now();
        shared.acquire(Class::Search, &|_| ()).await;
        assert!(started.elapsed().is_zero(), "other classes are not affected");
        shared.acquire(Class::Entity, &|_| ()).await;
        assert!(started.elapsed() >= Duration::from_secs(30));
    }
}
