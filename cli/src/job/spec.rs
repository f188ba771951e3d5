//! What a run is: flags, steps, input and filters.

use super::id_list::IdList;
use crate::args::{AreaArgs, FetchDetectionArgs, InputArgs, NetworkArgs, OutputArgs};
use streetflow::{Format, Query, Step};

/// A run of a command that writes an output directory.
pub(crate) struct Job<'a> {
    pub(crate) network: &'a NetworkArgs,
    pub(crate) files: &'a OutputArgs,
    /// The steps of the run, in order.
    pub(crate) steps: &'a [Step],
    pub(crate) formats: Vec<Format>,
    pub(crate) input: JobInput<'a>,
    /// The filters as command line arguments.
    pub(crate) filters: Vec<String>,
    /// How a crawl fetches detections, if it does. Its filters apply to the table of detections only.
    pub(crate) detections: Option<&'a FetchDetectionArgs>,
    pub(crate) clip: bool,
    /// Takes metadata from the table of an earlier run.
    pub(crate) update: bool,
    /// The query, for the report. `None` for a step that reads a table.
    pub(crate) query: Option<&'a Query>,
    /// The command to suggest after a complete run.
    pub(crate) next: Option<String>,
}

/// Where the records of a run come from.
#[derive(Clone, Copy)]
pub(crate) enum JobInput<'a> {
    /// An area, or a user.
    Area(&'a AreaArgs),
    Ids(IdList<'a>),
    /// The table that the flags name, else the table `previous` of the output directory.
    Table {
        args: &'a InputArgs,
        previous: &'a str,
    },
}

impl<'a> JobInput<'a> {
    pub(super) fn area(self) -> Option<&'a AreaArgs> {
        match self {
            Self::Area(area) => Some(area),
            Self::Ids(_) | Self::Table { .. } => None,
        }
    }
}

impl Job<'_> {
    /// Whether requests need a token. Pictures come from another host, without one.
    pub(super) fn needs_token(&self) -> bool {
        !self.network.offline && self.steps != [Step::DOWNLOAD]
    }
}
