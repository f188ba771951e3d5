//! Modification times of pictures.

use std::time::{Duration, SystemTime};

use crate::calendar::Moment;
use crate::model::Metadata;
use crate::names::named_variants;

/// Modification time of a picture's file.
///
/// ```
/// use streetflow::sinks::FileTime;
///
/// assert_eq!("download".parse::<FileTime>()?, FileTime::Download);
/// # Ok::<(), streetflow::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FileTime {
    /// The capture time, if it is known and not in the future; else the download time.
    #[default]
    Capture,
    /// The download time, as backup tools and `make` expect.
    Download,
}

named_variants!(FileTime, "read the choice of file time", [Capture => "capture", Download => "download"]);

impl FileTime {
    /// The modification time to set; `None` for the download time.
    ///
    /// Times in the future are not set, because some programs take such files for damaged.
    pub(super) fn modified_time(self, image: &Metadata) -> Option<SystemTime> {
        let captured = image.captured_at.filter(|_| self == Self::Capture).and_then(Moment::new)?;
        let time = SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(captured.milliseconds()))?;
        Some(time).filter(|time| *time <= SystemTime::now())
    }
}
