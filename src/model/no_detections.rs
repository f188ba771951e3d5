//! Why an image has no rows in a table of detections.

use crate::names::named_variants;

/// Why an image has no rows in a table of detections, although they were requested.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum NoDetections {
    /// Mapillary returned none.
    NoneFound,
    /// Mapillary probably did not process the image yet.
    NotProcessed,
    /// The filters dropped all of them.
    NoneKept,
    /// The image was deleted on Mapillary.
    Gone,
}

named_variants!(NoDetections, "read why an image has no detections", [
    NoneFound => "no_detections",
    NotProcessed => "not_processed",
    NoneKept => "none_kept",
    Gone => "gone",
]);
