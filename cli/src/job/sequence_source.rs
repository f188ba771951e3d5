//! The sequences of an area or a user.

use super::context::RunContext;
use crate::args::{AreaArgs, FilterArgs, NetworkArgs};
use crate::progress::forecast::{WalkInfo, WalkMode};
use streetflow::{Flow, Query, Result, Sequence};

/// The sequences of an area or a user, and the filters that need no metadata.
pub(crate) struct SequenceSource {
    query: Query,
}

impl SequenceSource {
    /// Resolves the flags. A missing area, and flags that contradict each other, are usage errors.
    pub(crate) fn resolve(
        args: &AreaArgs,
        filters: Option<&FilterArgs>,
        network: &NetworkArgs,
    ) -> Result<Self> {
        let default = network.default_bbox();
        args.check(default.is_some())?;
        let mut query = Query::default();
        args.fill(&mut query, default);
        if let Some(filters) = filters {
            filters.dates()?;
            filters.fill(&mut query);
        }
        query.selected_area()?;
        Ok(Self { query })
    }

    /// The query: area, owners, and the filters if there are any.
    pub(crate) fn query(&self) -> &Query {
        &self.query
    }

    /// Whether the sequences come from tiles, and not from the search by user.
    pub(crate) fn reads_tiles(&self) -> bool {
        self.query.reads_tiles()
    }

    /// Opens the source. A user in an area is looked up first, because tiles contain ids and no names.
    pub(crate) async fn open(&self, run: &RunContext) -> Result<Flow<Sequence>> {
        if self.reads_tiles() {
            let mode = match (self.query.lines_only, self.query.thorough) {
                (true, _) => WalkMode::LinesOnly,
                (_, true) => WalkMode::Thorough,
                _ => WalkMode::Default,
            };
            let sure_length = self.query.tiles(&run.client)?.sure_length();
            run.monitor.stats.set_walk(WalkInfo { sure_length, mode });
        }
        self.query.source(&run.client).await
    }
}
