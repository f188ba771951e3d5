//! Files beside the tables: the report, the lists of failures, the attribution.

pub(crate) mod attribution;
pub(crate) mod failure_log;
pub(crate) mod report;
