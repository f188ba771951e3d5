//! Which time the file of a picture has.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, ErrorKind, Result};

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
                .subject(text)
                .because("there is no such choice")
                .hint("the choices are capture and download")
        })
    }
}
