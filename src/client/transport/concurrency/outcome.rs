//! Outcomes and priorities of attempts.

/// The meaning of an attempt for its host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The host responded, whatever the status.
    Responded,
    /// The body is complete but is not what was requested.
    InvalidBody,
    /// The server or the network failed.
    Failed,
    /// A rate limit was exceeded.
    RateLimited,
}

/// Which waiting requests go first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Priority {
    First,
    Retry,
}
