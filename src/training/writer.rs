//! What each format does with a sample.

use super::report::Counts;
use super::sample::Sample;
use crate::error::Result;

/// Writes samples in a format.
pub(super) trait Writer: Send {
    /// Adds a sample. Counts what the format can't express.
    fn add(&mut self, sample: &Sample, counts: &mut Counts) -> Result<()>;

    /// Writes the ends of the files.
    fn finish(self: Box<Self>) -> Result<()>;
}
