//! Items that failed, with their reasons.

use crate::error::Error;
use crate::model::ImageId;

/// Maximum number of failures that are kept with their reason.
pub const MAX_LISTED_FAILURES: usize = 1000;

/// The failure of an image's picture, with the error of the file as its cause. Its subject is the image, as in a download.
pub(crate) fn failed_picture(doing: &'static str, image: &ImageId, error: &Error) -> Error {
    let failed = error.for_subject(doing, image.as_str());
    match failed.hint() {
        Some(_) => failed,
        None => failed.with_hint("`streetflow download --check-existing` replaces damaged pictures"),
    }
}

/// Items that failed: their number, and the first of them with the reason.
#[derive(Debug, Default)]
pub struct Failures {
    /// The number of failed items.
    pub count: u64,
    /// The first [`MAX_LISTED_FAILURES`] of them.
    pub errors: Vec<Error>,
}

impl Failures {
    /// Adds a failed item.
    pub(crate) fn add(&mut self, error: Error) {
        self.count += 1;
        if self.errors.len() < MAX_LISTED_FAILURES {
            self.errors.push(error);
        }
    }

    /// Adds the failed items of another list.
    pub(crate) fn append(&mut self, others: Self) {
        self.count += others.count;
        let space = MAX_LISTED_FAILURES.saturating_sub(self.errors.len());
        self.errors.extend(others.errors.into_iter().take(space));
    }
}
