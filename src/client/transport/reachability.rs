//! Whether a host can be reached.
//!
//! Before the first response of a host, a failure to reach it is a mistake in the set-up of this machine, which waiting
//! does not fix. After it, the same failure is an outage.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use url::Url;

use super::network_error::NetworkFault;
use crate::error::{Error, ErrorKind};
use crate::observe::Class;
use crate::sync::lock;

/// How long a host may be unreachable before its first response.
pub(crate) const FIRST_RESPONSE_TIMEOUT: Duration = Duration::from_secs(10);

/// The number of unreachable pictures after which the set-up is at fault, if no image host has responded.
const MAX_UNREACHABLE_PICTURES: u32 = 10;

/// The number of image hosts that are remembered. Mapillary has some hundreds.
const MAX_HOST_NAMES: usize = 10_000;

/// What is known of a host, or of all image hosts together.
#[derive(Default)]
pub(crate) struct Reachability {
    has_responded: AtomicBool,
    /// The names of the image hosts that have responded.
    known_names: Mutex<HashSet<String>>,
    /// When the host could not be reached for the first time.
    unreachable_since: Mutex<Option<Instant>>,
    /// The number of pictures that failed for a permanent reason.
    unreachable_pictures: AtomicU32,
    /// The faults that were reported to the observer.
    reported: Mutex<Vec<NetworkFault>>,
    last_response: Mutex<Option<Instant>>,
    /// Cancelled when the run gives up the host, so that no request waits for a retry.
    given_up: CancellationToken,
    /// Why the run gives up the host, and the hint.
    reason: OnceLock<(String, Option<String>)>,
}

impl Reachability {
    /// Counts a response, whatever its status.
    pub(crate) fn record_response(&self, class: Class, url: &Url) {
        self.has_responded.store(true, Ordering::Relaxed);
        *lock(&self.last_response) = Some(Instant::now());
        if class == Class::Picture
            && let Some(name) = url.host_str()
        {
            let mut names = lock(&self.known_names);
            if names.len() < MAX_HOST_NAMES && !names.contains(name) {
                names.insert(name.to_owned());
            }
        }
    }

    /// Returns when the last response came.
    pub(crate) fn last_response(&self) -> Option<Instant> {
        *lock(&self.last_response)
    }

    fn has_responded(&self) -> bool {
        self.has_responded.load(Ordering::Relaxed)
    }

    /// Returns the kind of a failure: an outage, a failure of this request only, or a reason to end the run.
    pub(crate) fn error_kind(&self, class: Class, url: &Url, fault: NetworkFault) -> ErrorKind {
        use ErrorKind::{Rejected, Unavailable, Unreachable};
        use NetworkFault::{Broken, NoConnection, NoRoots, ProxyAuth, Redirect, TooManyFiles};
        match (fault, class) {
            (ProxyAuth | NoRoots, _) => Unreachable,
            (Redirect, _) => Rejected,
            (Broken, _) => Unavailable,
            // These can pass, so the host gets some time.
            (NoConnection | TooManyFiles, _) => {
                let since = *lock(&self.unreachable_since).get_or_insert_with(Instant::now);
                let timed_out = !self.has_responded() && since.elapsed() >= FIRST_RESPONSE_TIMEOUT;
                if timed_out { Unreachable } else { Unavailable }
            }
            // One image host of many must not end the download from the others.
            (_, Class::Picture) => {
                let is_known = url.host_str().is_some_and(|name| lock(&self.known_names).contains(name));
                let count = self.unreachable_pictures.fetch_add(1, Ordering::Relaxed) + 1;
                match (is_known, self.has_responded()) {
                    (true, _) => Unavailable,
                    (false, false) if count >= MAX_UNREACHABLE_PICTURES => Unreachable,
                    (false, _) => Rejected,
                }
            }
            _ if self.has_responded() => Unavailable,
            _ => Unreachable,
        }
    }

    /// Waits until the run gives up the host, and returns the error for a request to it.
    pub(crate) async fn given_up(&self, doing: &'static str, subject: &str) -> Error {
        self.given_up.cancelled().await;
        let (why, hint) = self.reason.get().cloned().unwrap_or_default();
        let error = Error::new(ErrorKind::Unreachable, doing).with_subject(subject).with_source(why);
        match hint {
            Some(hint) => error.with_hint(hint),
            None => error,
        }
    }

    /// Ends all requests to the host.
    pub(crate) fn give_up(&self, error: &Error) {
        let causes = || {
            let mut causes = Vec::new();
            let mut cause = std::error::Error::source(error);
            while let Some(inner) = cause {
                causes.push(inner.to_string());
                cause = inner.source();
            }
            causes.join(": ")
        };
        self.reason.get_or_init(|| (causes(), error.hint().map(str::to_owned)));
        self.given_up.cancel();
    }

    /// Whether a fault occurs for the first time.
    pub(crate) fn is_first(&self, fault: NetworkFault) -> bool {
        let mut reported = lock(&self.reported);
        let is_first = !reported.contains(&fault);
        if is_first {
            reported.push(fault);
        }
        is_first
    }
}

#[cfg(test)]
mod tests {
    use super::super::network_error::CertificateFault;
    use super::*;

    const UNTRUSTED: NetworkFault = NetworkFault::Certificate(CertificateFault::Issuer);

    fn url(host: &str) -> Url {
        Url::parse(&format!("https://{host}/x")).expect("a URL")
    }

    #[tokio::test(start_paused = true)]
    async fn before_the_first_response_permanent_faults_end_the_run() {
        let (host, graph) = (Reachability::default(), url("graph.example"));
        for fault in [
            UNTRUSTED,
            NetworkFault::NoSuchHost,
            NetworkFault::TlsMismatch,
            NetworkFault::NoRoots,
            NetworkFault::ProxyAuth,
        ] {
            assert_eq!(host.error_kind(Class::Entity, &graph, fault), ErrorKind::Unreachable, "{fault:?}");
        }
        let refused = || host.error_kind(Class::Entity, &graph, NetworkFault::NoConnection);
        assert_eq!(refused(), ErrorKind::Unavailable);
        tokio::time::advance(FIRST_RESPONSE_TIMEOUT / 2).await;
        assert_eq!(refused(), ErrorKind::Unavailable);
        tokio::time::advance(FIRST_RESPONSE_TIMEOUT / 2).await;
        assert_eq!(refused(), ErrorKind::Unreachable);
        assert_eq!(host.error_kind(Class::Entity, &graph, NetworkFault::Broken), ErrorKind::Unavailable);
    }

    #[tokio::test(start_paused = true)]
    async fn after_a_response_the_same_faults_are_an_outage() {
        let (host, graph) = (Reachability::default(), url("graph.example"));
        host.record_response(Class::Entity, &graph);
        for fault in
            [UNTRUSTED, NetworkFault::NoSuchHost, NetworkFault::NoConnection, NetworkFault::TooManyFiles]
        {
            for _ in 0..20 {
                assert_eq!(
                    host.error_kind(Class::Search, &graph, fault),
                    ErrorKind::Unavailable,
                    "{fault:?}"
                );
                tokio::time::advance(FIRST_RESPONSE_TIMEOUT).await;
            }
        }
    }

    #[tokio::test]
    async fn giving_up_a_host_ends_all_its_requests() {
        let host = Reachability::default();
        let error = Error::new(ErrorKind::Unreachable, "list").with_source("refused").with_hint("do this");
        let (waited, ()) = tokio::join!(host.given_up("fetch", "7"), async { host.give_up(&error) });
        assert_eq!((waited.kind(), waited.hint()), (ErrorKind::Unreachable, Some("do this")));
        assert_eq!(waited.chain(), "failed to fetch `7`: refused");
    }

    #[tokio::test]
    async fn an_unreachable_image_host_fails_only_its_own_pictures() {
        let host = Reachability::default();
        let kind = |name: &str| host.error_kind(Class::Picture, &url(name), NetworkFault::NoSuchHost);
        assert_eq!(kind("gone.example"), ErrorKind::Rejected);
        host.record_response(Class::Picture, &url("good.example"));
        for _ in 0..2 * MAX_UNREACHABLE_PICTURES {
            assert_eq!(kind("gone.example"), ErrorKind::Rejected);
            assert_eq!(kind("good.example"), ErrorKind::Unavailable, "an outage of the name server");
        }
        let unreachable = Reachability::default();
        let kinds = (0..MAX_UNREACHABLE_PICTURES)
            .map(|_| unreachable.error_kind(Class::Picture, &url("gone.example"), UNTRUSTED));
        assert_eq!(kinds.last(), Some(ErrorKind::Unreachable));
    }
}
