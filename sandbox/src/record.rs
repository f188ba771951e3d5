//! What was asked of the sandbox.

use std::collections::HashSet;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use streetflow::text::redact;

/// The three hosts of Mapillary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Host {
    /// `tiles.mapillary.com`.
    Tiles,
    /// `graph.mapillary.com`.
    Graph,
    /// The host of the pictures.
    Images,
}

/// One request as it arrived, and the status that it was answered with.
#[derive(Clone)]
pub struct RecordedRequest {
    /// Which host it was for.
    pub host: Host,
    /// Number of the connection it came over, counted over all hosts.
    pub connection: u64,
    /// `HTTP/1.1` or `HTTP/2.0`.
    pub version: String,
    /// The path, as sent.
    pub path: String,
    /// The query, as sent; empty if there was none.
    pub query: String,
    /// The `Authorization` header, if it came.
    pub authorization: Option<String>,
    /// The status of the answer; none while there is none yet, or if the connection was dropped instead.
    pub status: Option<u16>,
    /// How long after the start of the sandbox it came.
    pub at: Duration,
    /// How many requests were under way on its host when it came, itself included.
    pub in_flight: usize,
}

impl fmt::Debug for RecordedRequest {
    /// Without the token, though the fields have it.
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
    /// The decoded value of a query parameter.
    pub fn param(&self, name: &str) -> Option<String> {
        let mut pairs = url::form_urlencoded::parse(self.query.as_bytes());
        pairs.find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
    }

    /// The ids of a batch, in the order asked; empty for any other request.
    pub fn ids(&self) -> Vec<String> {
        let ids = if self.host == Host::Graph { self.param("ids") } else { None };
        ids.map(|ids| ids.split(',').map(|id| id.trim().to_owned()).collect()).unwrap_or_default()
    }
}

/// Keeps what was asked, and counts what is under way.
pub(super) struct Recorder {
    began: Instant,
    keeps: bool,
    asked: Mutex<(u64, Vec<RecordedRequest>)>,
    under_way: [AtomicUsize; 3],
    most: [AtomicUsize; 3],
    connections: Mutex<HashSet<(Host, u64)>>,
}

impl Recorder {
    pub(super) fn new(keeps: bool) -> Self {
        Self {
            began: Instant::now(),
            keeps,
            asked: Mutex::default(),
            under_way: Default::default(),
            most: Default::default(),
            connections: Mutex::default(),
        }
    }

    /// Notes a request that begins. It is under way until the guard is dropped.
    pub(super) fn begin(self: &Arc<Self>, asked: &mut RecordedRequest) -> UnderWay {
        let host = asked.host as usize;
        asked.at = self.began.elapsed();
        asked.in_flight = self.under_way[host].fetch_add(1, SeqCst) + 1;
        self.most[host].fetch_max(asked.in_flight, SeqCst);
        locked(&self.connections).insert((asked.host, asked.connection));
        let mut place = None;
        if self.keeps {
            let mut kept = locked(&self.asked);
            place = Some((kept.0, kept.1.len()));
            kept.1.push(asked.clone());
        }
        UnderWay { recorder: Arc::clone(self), host, place }
    }

    pub(super) fn all(&self) -> Vec<RecordedRequest> {
        locked(&self.asked).1.clone()
    }

    pub(super) fn max_in_flight(&self, host: Host) -> usize {
        self.most[host as usize].load(SeqCst)
    }

    pub(super) fn connections(&self, host: Host) -> usize {
        locked(&self.connections).iter().filter(|(other, _)| *other == host).count()
    }

    pub(super) fn clear(&self) {
        let mut kept = locked(&self.asked);
        kept.0 += 1;
        kept.1.clear();
        for most in &self.most {
            most.store(0, SeqCst);
        }
    }
}

/// A request under way.
pub(super) struct UnderWay {
    recorder: Arc<Recorder>,
    host: usize,
    /// Which round of recording, and where in it.
    place: Option<(u64, usize)>,
}

impl UnderWay {
    pub(super) fn answered(&self, status: u16) {
        if let Some((round, index)) = self.place {
            let mut kept = locked(&self.recorder.asked);
            // After a clearing, the place belongs to another request.
            if kept.0 == round {
                kept.1[index].status = Some(status);
            }
        }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.recorder.under_way[self.host].fetch_sub(1, SeqCst);
    }
}

/// The content of a mutex; a panic elsewhere does not spoil plain counters.
pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
