//! The files that describe a run: report, failure log and attribution.

pub(crate) mod attribution;
pub(crate) mod changes;
pub(crate) mod csv_file;
pub(crate) mod empty_images;
pub(crate) mod failure_log;
pub(crate) mod owned_file;
pub(crate) mod report;
