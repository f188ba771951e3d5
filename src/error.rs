//! The error type of the crate.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use crate::text::shown;

/// The result of every fallible call of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// A failure: its kind, the operation, the subject and the cause.
///
/// `Display` prints one line, "failed to …". The causes follow through [`std::error::Error::source`], or all at once
/// with [`Error::chain`]. No error contains the token or a URL with the token.
///
/// ```
/// use streetflow::{Bbox, ErrorKind};
///
/// let error = "1,2,3".parse::<Bbox>().unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::Usage);
/// assert_eq!(error.to_string(), "failed to read the box `1,2,3`");
/// assert!(error.hint().is_some());
/// ```
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    doing: Cow<'static, str>,
    subject: Option<String>,
    location: Option<String>,
    attempts: u32,
    elapsed: Duration,
    status: Option<u16>,
    retry_after: Option<Duration>,
    reported: bool,
    hint: Option<Cow<'static, str>>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

/// The kind of a failure. Each kind needs another reaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Invalid input: a box, a field, a table without a required column.
    Usage,
    /// The token is missing or was rejected.
    Auth,
    /// The host redirects to its login page: it blocks this IP address, usually for about a day.
    Blocked,
    /// The host can't be reached with this configuration, and waiting does not help: an untrusted certificate, a proxy
    /// that requires a password, a host name that does not exist.
    Unreachable,
    /// A rate limit of the API is exceeded. Waiting helps.
    RateLimited,
    /// The server or the network failed. A retry may help.
    Unavailable,
    /// The response would be too large for the server. A smaller request helps.
    TooLarge,
    /// The server rejected this request. A retry does not help.
    Rejected,
    /// Deleted on Mapillary. Counted separately, not as a failure.
    Gone,
    /// Malformed data: a tile, JSON, a JPEG, a table row.
    Malformed,
    /// Reading or writing files failed.
    Io,
    /// The run was stopped.
    Interrupted,
}

impl ErrorKind {
    /// Whether the error ends the flow, unlike the failure of one record.
    pub fn is_fatal(self) -> bool {
        matches!(
            self,
            Self::Usage | Self::Auth | Self::Blocked | Self::Unreachable | Self::Io | Self::Interrupted
        )
    }
}

/// For your own sources and sinks. The errors of this crate name the file.
impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        Self::new(ErrorKind::Io, "read or write a file").with_source(error)
    }
}

impl Error {
    /// Creates an error of a kind; `doing` completes "failed to …".
    pub fn new(kind: ErrorKind, doing: impl Into<Cow<'static, str>>) -> Self {
        Self(Box::new(Inner {
            kind,
            doing: doing.into(),
            subject: None,
            location: None,
            attempts: 0,
            elapsed: Duration::ZERO,
            status: None,
            retry_after: None,
            reported: false,
            hint: None,
            source: None,
        }))
    }

    /// The error of this crate that an error of a file wraps, else that error.
    pub(crate) fn from_io(error: std::io::Error) -> std::result::Result<Self, std::io::Error> {
        error.downcast::<Self>()
    }

    /// Creates the error for a thread that the system refused to start; its hint names the limits to raise.
    pub fn thread_refused(error: std::io::Error) -> Self {
        Self::new(ErrorKind::Io, "start a thread").with_source(error).with_hint(
            "the system allows no more threads for this user or container: raise the limit of processes (`ulimit -u`, `pids.max`, `docker run --pids-limit`) or of memory (`ulimit -v`), or end other programs",
        )
    }

    /// Sets the subject: `sequence abc`, a file, a tile.
    pub fn with_subject(mut self, subject: impl Into<String>) -> Self {
        self.0.subject = Some(shown(subject.into()));
        self
    }

    /// Sets the cause: another error or a sentence.
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// Sets the hint: what the user can do.
    pub fn with_hint(mut self, hint: impl Into<Cow<'static, str>>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    pub(crate) fn with_attempts(mut self, attempts: u32, elapsed: Duration) -> Self {
        self.0.attempts = attempts;
        self.0.elapsed = elapsed;
        self
    }

    /// Sets operation and subject if a lower layer left the operation empty.
    pub(crate) fn with_context(mut self, doing: &'static str, subject: &str) -> Self {
        if self.0.doing.is_empty() {
            self.0.doing = Cow::Borrowed(doing);
            self.0.subject = Some(subject.to_owned());
        }
        self
    }

    /// The same failure for another subject, with this error as the cause; for the same subject a copy.
    pub(crate) fn for_subject(&self, doing: &'static str, subject: &str) -> Self {
        let mut error = Self::new(self.0.kind, doing).with_subject(subject);
        let is_same = self.0.doing == doing && error.0.subject == self.0.subject;
        error.0.source = if is_same { self.causes().map(Into::into) } else { Some(self.chain().into()) };
        error.0.attempts = self.0.attempts;
        error.0.elapsed = self.0.elapsed;
        error.0.status = self.0.status;
        error.0.hint.clone_from(&self.0.hint);
        error
    }

    /// Changes the kind, for callers that know more.
    pub(crate) fn with_kind(mut self, kind: ErrorKind) -> Self {
        self.0.kind = kind;
        self
    }

    /// Sets the HTTP status of the last response.
    pub fn with_status(mut self, status: u16) -> Self {
        self.0.status = Some(status);
        self
    }

    pub(crate) fn with_retry_after(mut self, wait: Option<Duration>) -> Self {
        self.0.retry_after = wait;
        self
    }

    pub(crate) fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// Sets the location within the subject, such as `row 5` of a table.
    pub fn with_location(mut self, location: impl Into<String>) -> Self {
        self.0.location = Some(location.into());
        self
    }

    /// The subject with its location, which identifies a record without an id of its own.
    pub fn id(&self) -> Cow<'_, str> {
        let subject = self.subject().unwrap_or_default();
        match &self.0.location {
            Some(location) => format!("{subject} {location}").into(),
            None => subject.into(),
        }
    }

    pub(crate) fn is_reported(&self) -> bool {
        self.0.reported
    }

    /// Marks the error as reported to an observer; returns true the first time.
    pub(crate) fn mark_reported(&mut self) -> bool {
        !std::mem::replace(&mut self.0.reported, true)
    }

    /// The kind of the failure.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// What the failure is about, such as `sequence abc`.
    pub fn subject(&self) -> Option<&str> {
        self.0.subject.as_deref()
    }

    /// What the user can do.
    pub fn hint(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }

    /// Number of failed attempts; 0 if no request was sent.
    pub fn attempts(&self) -> u32 {
        self.0.attempts
    }

    /// HTTP status of the last response.
    pub fn status(&self) -> Option<u16> {
        self.0.status
    }

    /// Whether the error ends the flow.
    pub fn is_fatal(&self) -> bool {
        self.kind().is_fatal()
    }

    /// The error and all its causes in one line, joined by `: `.
    pub fn chain(&self) -> String {
        match self.causes() {
            Some(causes) => format!("{self}: {causes}"),
            None => self.to_string(),
        }
    }

    /// The causes on one line.
    fn causes(&self) -> Option<String> {
        let causes = std::iter::successors(StdError::source(self), |cause| (*cause).source());
        causes.map(|cause| shown(cause.to_string())).reduce(|line, cause| format!("{line}: {cause}"))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "failed to {}", self.0.doing)?;
        if let Some(subject) = &self.0.subject {
            write!(f, " `{subject}`")?;
        }
        // Attempts say nothing about an object that was deleted.
        if self.0.attempts > 1 && self.0.kind != ErrorKind::Gone {
            write!(f, " after {} attempts in {:.1} s", self.0.attempts, self.0.elapsed.as_secs_f64())?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.0.kind, self.chain())
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_ref().map(|source| &**source as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_one_pointer_wide() {
        assert_eq!(size_of::<Error>(), size_of::<usize>());
        assert_eq!(size_of::<Result<()>>(), size_of::<usize>());
    }

    #[test]
    fn the_chain_contains_each_part_once() {
        let error = Error::new(ErrorKind::Unavailable, "list the images of sequence")
            .with_subject("abc")
            .with_source("connection reset")
            .with_attempts(3, Duration::from_millis(1500));
        assert_eq!(
            error.chain(),
            "failed to list the images of sequence `abc` after 3 attempts in 1.5 s: connection reset"
        );
    }
}
