//! What can go wrong, said so that somebody can act on it.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use crate::text::shown;

/// What every fallible call of this crate returns.
pub type Result<T> = std::result::Result<T, Error>;

/// A failure: its kind, what was being done, to what, and why.
///
/// `Display` prints one line that completes "failed to …"; the causes follow
/// through [`std::error::Error::source`], or all at once with [`Error::chain`].
/// No error contains the token or a URL that does.
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
    part: Option<String>,
    attempts: u32,
    elapsed: Duration,
    status: Option<u16>,
    retry_after: Option<Duration>,
    told: bool,
    hint: Option<Cow<'static, str>>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

/// What kind of failure it is; each kind is one that somebody treats differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The caller asked for something that can't be: a box, a field, a table without the column.
    Usage,
    /// The token is missing or was refused.
    Auth,
    /// The host answers with a login page: this address is blocked there for about a day.
    Blocked,
    /// The host can't be reached from this machine as it is set up, and waiting does not help: an untrusted certificate,
    /// a proxy that wants a password, a name that does not exist.
    Unreachable,
    /// Over a limit of the API; waiting helps.
    RateLimited,
    /// The server or the network failed; trying again may help.
    Unavailable,
    /// The server refuses to answer that much at once; asking for less helps.
    TooLarge,
    /// The server refuses this very request, and would again.
    Rejected,
    /// It exists no longer at Mapillary: counted, no failure.
    Gone,
    /// Bytes that are not what they should be: a tile, JSON, a JPEG, a row.
    Malformed,
    /// The disk or the output folder.
    Io,
    /// Somebody asked to stop.
    Interrupted,
}

impl ErrorKind {
    /// Whether nothing can go on after it, as against one record that failed.
    pub fn is_fatal(self) -> bool {
        matches!(
            self,
            Self::Usage | Self::Auth | Self::Blocked | Self::Unreachable | Self::Io | Self::Interrupted
        )
    }
}

/// For sources and sinks of one's own; ours name the file.
impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        Self::new(ErrorKind::Io, "read or write a file").with_source(error)
    }
}

impl Error {
    /// An error of a kind; `doing` completes "failed to …".
    pub fn new(kind: ErrorKind, doing: impl Into<Cow<'static, str>>) -> Self {
        Self(Box::new(Inner {
            kind,
            doing: doing.into(),
            subject: None,
            part: None,
            attempts: 0,
            elapsed: Duration::ZERO,
            status: None,
            retry_after: None,
            told: false,
            hint: None,
            source: None,
        }))
    }

    /// The system refused a thread: names the limits that may be raised.
    pub fn thread_refused(error: std::io::Error) -> Self {
        Self::new(ErrorKind::Io, "start a thread").with_source(error).with_hint(
            "the system grants this user or container no more: raise the limit of processes (`ulimit -u`, `pids.max`, `docker run --pids-limit`) or of memory (`ulimit -v`), or end other programs",
        )
    }

    /// Names the thing: `sequence abc`, a file, a tile.
    pub fn with_subject(mut self, subject: impl Into<String>) -> Self {
        self.0.subject = Some(shown(subject.into()));
        self
    }

    /// Says why: another error, or a sentence.
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// Says what to do about it.
    pub fn with_hint(mut self, hint: impl Into<Cow<'static, str>>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    pub(crate) fn with_attempts(mut self, attempts: u32, elapsed: Duration) -> Self {
        self.0.attempts = attempts;
        self.0.elapsed = elapsed;
        self
    }

    /// The same failure, said of what was being done: below, nobody knows that.
    pub(crate) fn with_context(mut self, doing: &'static str, subject: &str) -> Self {
        if self.0.doing.is_empty() {
            self.0.doing = Cow::Borrowed(doing);
            self.0.subject = Some(subject.to_owned());
        }
        self
    }

    /// The same failure, said of another thing that it befell.
    pub(crate) fn for_subject(&self, doing: &'static str, subject: &str) -> Self {
        let mut error = Self::new(self.0.kind, doing).with_subject(subject).with_source(self.chain());
        error.0.attempts = self.0.attempts;
        error.0.elapsed = self.0.elapsed;
        error.0.status = self.0.status;
        error.0.hint.clone_from(&self.0.hint);
        error
    }

    /// The same failure as another kind, where more is known than at the place where it arose.
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

    /// Names the part of the thing: `row 5` of a table.
    pub fn with_location(mut self, part: impl Into<String>) -> Self {
        self.0.part = Some(part.into());
        self
    }

    /// The thing it is about down to the part, as an id: a row has none of its own.
    pub fn id(&self) -> Cow<'_, str> {
        let about = self.subject().unwrap_or_default();
        match &self.0.part {
            Some(part) => format!("{about} {part}").into(),
            None => about.into(),
        }
    }

    pub(crate) fn is_reported(&self) -> bool {
        self.0.told
    }

    /// Marks the error as told to an observer; true the first time.
    pub(crate) fn mark_reported(&mut self) -> bool {
        !std::mem::replace(&mut self.0.told, true)
    }

    /// The kind of failure.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The thing it is about, if it is about one: `sequence abc`.
    pub fn subject(&self) -> Option<&str> {
        self.0.subject.as_deref()
    }

    /// What to do about it, if there is something.
    pub fn hint(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }

    /// How many requests were made in vain; 0 where none was.
    pub fn attempts(&self) -> u32 {
        self.0.attempts
    }

    /// The HTTP status of the last answer, if there was one.
    pub fn status(&self) -> Option<u16> {
        self.0.status
    }

    /// Whether the flow ends with it.
    pub fn is_fatal(&self) -> bool {
        self.kind().is_fatal()
    }

    /// The whole story in one line: the error and its causes, joined by `: `.
    pub fn chain(&self) -> String {
        let mut line = self.to_string();
        let mut cause = StdError::source(self);
        while let Some(error) = cause {
            line = format!("{line}: {}", shown(error.to_string()));
            cause = error.source();
        }
        line
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "failed to {}", self.0.doing)?;
        if let Some(subject) = &self.0.subject {
            write!(f, " `{subject}`")?;
        }
        // What is gone was gone before the first attempt.
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
    fn an_error_is_one_word() {
        assert_eq!(size_of::<Error>(), size_of::<usize>());
        assert_eq!(size_of::<Result<()>>(), size_of::<usize>());
    }

    #[test]
    fn the_chain_tells_everything_once() {
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
