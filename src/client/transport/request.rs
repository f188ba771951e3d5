//! A request, its host group and its time limits.

use std::time::Duration;

use url::Url;

use crate::error::{Error, ErrorKind};
use crate::observe::Class;

/// The number of host groups: tile host, Graph API, image hosts.
pub(crate) const HOSTS: usize = 3;

/// Returns the index of a class's host group. Entities and searches share the Graph API.
pub(crate) fn host_of(class: Class) -> usize {
    match class {
        Class::Tile => 0,
        Class::Entity | Class::Search => 1,
        Class::Picture => 2,
    }
}

/// A request and the text for its errors.
#[derive(Debug, Clone)]
pub(crate) struct ApiRequest {
    pub(crate) class: Class,
    /// The URL without the token, which each attempt adds.
    pub(crate) url: Url,
    /// What the request does; completes "failed to …".
    pub(crate) doing: &'static str,
    pub(crate) subject: String,
}

impl ApiRequest {
    /// Creates an error about this request.
    pub(crate) fn error(&self, kind: ErrorKind) -> Error {
        Error::new(kind, self.doing).with_subject(self.subject.clone())
    }
}

/// How long an attempt may make no progress.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timeouts {
    pub(crate) connect: Duration,
    /// The longest time without a byte. Also the window over which the throughput of a body is measured.
    pub(crate) stall: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self { connect: Duration::from_secs(20), stall: Duration::from_mins(1) }
    }
}

/// Returns the longest duration of an attempt.
///
/// Tiles and pictures can be large and connections slow, so they have none: a stall, a low throughput or their size ends
/// them.
pub(crate) fn total_timeout(class: Class) -> Option<Duration> {
    match class {
        Class::Entity => Some(Duration::from_mins(1)),
        Class::Search => Some(Duration::from_mins(2)),
        Class::Tile | Class::Picture => None,
    }
}

/// The error of a connection that sent no byte for the stall timeout.
pub(crate) fn stalled(stall: Duration) -> Error {
    Error::new(ErrorKind::Unavailable, "").with_source(format!("no byte for {stall:?}"))
}
