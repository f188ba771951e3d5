//! The log of received requests, and counters of requests in flight.

use std::collections::HashSet;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use streetflow::text::redact;

/// A host of Mapillary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Host {
    /// `tiles.mapillary.com`.
    Tiles,
    /// `graph.mapillary.com`.
    Graph,
    /// The host of the pictures, which is a content delivery network.
    Images,
}

/// A request as the mock server received it, and the status of the response.
#[derive(Clone)]
pub struct RecordedRequest {
    /// The host of the request.
    pub host: Host,
    /// Number of the connection, counted over all hosts.
    pub connection: u64,
    /// `HTTP/1.1` or `HTTP/2.0`.
    pub version: String,
    /// The path, still encoded.
    pub path: String,
    /// The query, still encoded. Empty if the request has none.
    pub query: String,
    /// The `Authorization` header, if present.
    pub authorization: Option<String>,
    /// The status of the response. `None` before the response, and if the connection is closed instead.
    pub status: Option<u16>,
    /// Time of arrival, since the start of the mock server.
    pub at: Duration,
    /// Number of requests in flight on the host at arrival, including this one.
    pub in_flight: usize,
}

impl fmt::Debug for RecordedRequest {
    /// Redacts the token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecordedRequest")
            .field("host", &self.host)
            .field("path", &redact(&self.path))
            .field("query", &redact(&self.query))
            .field("has_authorization", &self.authorization.is_some())
            .field("status", &self.status)
            .field("at", &self.at)
            .finish_non_exhaustive()
    }
}

impl RecordedRequest {
    /// Returns the decoded value of a query parameter.
    pub fn param(&self, name: &str) -> Option<String> {
        let mut pairs = url::form_urlencoded::parse(self.query.as_bytes());
        pairs.find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
    }

    /// Returns the ids of a batch request in their order. Empty for other requests.
    pub fn ids(&self) -> Vec<String> {
        let ids = if self.host == Host::Graph { self.param("ids") } else { None };
        ids.map(|ids| ids.split(',').map(|id| id.trim().to_owned()).collect()).unwrap_or_default()
    }
}

/// Records requests and counts those in flight.
pub(crate) struct RequestLog {
    started: Instant,
    enabled: bool,
    /// Number of times the log was cleared, and the requests since the last time.
    requests: Mutex<(u64, Vec<RecordedRequest>)>,
    in_flight: [AtomicUsize; 3],
    max_in_flight: [AtomicUsize; 3],
    connections: Mutex<HashSet<(Host, u64)>>,
}

impl RequestLog {
    pub(crate) fn new(enabled: bool) -> Self {
        Self {
            started: Instant::now(),
            enabled,
            requests: Mutex::default(),
            in_flight: Default::default(),
            max_in_flight: Default::default(),
            connections: Mutex::default(),
        }
    }

    /// Records a request, which is in flight until the guard is dropped. Sets `at` and `in_flight` of the request.
    pub(crate) fn start(self: &Arc<Self>, request: &mut RecordedRequest) -> InFlight {
        let host = request.host as usize;
        request.at = self.started.elapsed();
        request.in_flight = self.in_flight[host].fetch_add(1, SeqCst) + 1;
        self.max_in_flight[host].fetch_max(request.in_flight, SeqCst);
        lock(&self.connections).insert((request.host, request.connection));
        let mut position = None;
        if self.enabled {
            let mut requests = lock(&self.requests);
            position = Some((requests.0, requests.1.len()));
            requests.1.push(request.clone());
        }
        InFlight { log: Arc::clone(self), host, position }
    }

    pub(crate) fn all(&self) -> Vec<RecordedRequest> {
        lock(&self.requests).1.clone()
    }

    pub(crate) fn max_in_flight(&self, host: Host) -> usize {
        self.max_in_flight[host as usize].load(SeqCst)
    }

    pub(crate) fn connections(&self, host: Host) -> usize {
        lock(&self.connections).iter().filter(|(other, _)| *other == host).count()
    }

    pub(crate) fn clear(&self) {
        let mut requests = lock(&self.requests);
        requests.0 += 1;
        requests.1.clear();
        for max in &self.max_in_flight {
            max.store(0, SeqCst);
        }
    }
}

/// A request in flight.
pub(crate) struct InFlight {
    log: Arc<RequestLog>,
    host: usize,
    /// Number of clearings before the request, and its index in the log.
    position: Option<(u64, usize)>,
}

impl InFlight {
    /// Records the status of the response.
    pub(crate) fn set_status(&self, status: u16) {
        if let Some((clearings, index)) = self.position {
            let mut requests = lock(&self.log.requests);
            // After a clearing, another request can have this index.
            if requests.0 == clearings {
                requests.1[index].status = Some(status);
            }
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.log.in_flight[self.host].fetch_sub(1, SeqCst);
    }
}

/// Locks a mutex, ignoring poison: a panic cannot leave counters and lists in a broken state.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
