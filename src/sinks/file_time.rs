//! Which time the file of a picture has.

use std::time::{Duration, SystemTime};

use crate::calendar::Moment;
use crate::model::Metadata;
use crate::names::named_variants;

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

named_variants!(FileTime, "read the choice of file time", [Capture => "capture", Download => "download"]);

impl FileTime {
    /// The time that the file of an image's picture is to get; none if it keeps that of its download, for programs that
    /// go by the times of files take one of the future for broken.
    pub(super) fn of(self, image: &Metadata) -> Option<SystemTime> {
        let captured = image.captured_at.filter(|_| self == Self::Capture).and_then(Moment::new)?;
        let time = SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(captured.milliseconds()))?;
        Some(time).filter(|time| *time <= SystemTime::now())
    }
}
