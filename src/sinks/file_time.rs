//! Which time the file of a picture has.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime};

use crate::calendar::Moment;
use crate::error::{Error, ErrorKind, Result};
use crate::model::Metadata;

/// Which time of modification the file of a picture has.
///
/// ```
/// use streetflow::sinks::FileTime;
///
/// assert_eq!("download".parse::<FileTime>()?, FileTime::Download);
/// # Ok::<(), streetflow::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FileTime {
    /// The time of the capture, where it is known and not in the future; else that of the download.
    #[default]
    Capture,
    /// The time of the download, as backup tools and `make` expect it.
    Download,
}

impl FileTime {
    /// All choices.
    pub const ALL: [Self; 2] = [Self::Capture, Self::Download];

    /// The name: `capture` or `download`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Capture => "capture",
            Self::Download => "download",
        }
    }

    /// The time that the file of an image's picture is to get; none if it keeps that of its download, for programs that
    /// go by the times of files take one of the future for broken.
    pub(super) fn of(self, image: &Metadata) -> Option<SystemTime> {
        let captured = image.captured_at.filter(|_| self == Self::Capture).and_then(Moment::new)?;
        let time = SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(captured.milliseconds()))?;
        Some(time).filter(|time| *time <= SystemTime::now())
    }
}

impl fmt::Display for FileTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for FileTime {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|choice| choice.name() == text).ok_or_else(|| {
            Error::new(ErrorKind::Usage, "choose the time of files")
                .with_subject(text)
                .with_source("there is no such choice")
                .with_hint("the choices are capture and download")
        })
    }
}
