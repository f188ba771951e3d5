//! Downloaded pictures: where they are, and how large they are as displayed.

mod failures;
mod folder;
mod header;
mod progress;
mod table;

pub(crate) use self::failures::failed_picture;
pub use self::failures::{Failures, MAX_LISTED_FAILURES};
pub use self::folder::{PictureFile, PictureFolder};
pub use self::header::{JpegHeader, MAX_HEADER_LEN};
pub(crate) use self::progress::StepEvents;
pub use self::table::{DetectionTable, MAX_CLASSES, TableIndex};
pub(crate) use self::table::{ImageDetections, ImageGroups};

#[cfg(test)]
pub(crate) use self::header::tests::with_orientation as header_with_orientation;
