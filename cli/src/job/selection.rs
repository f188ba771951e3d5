//! Which images are selected: the filters, and where the limit applies.

use std::sync::Arc;

use super::context::RunContext;
use crate::args::FilterArgs;
use streetflow::geo::Area;
use streetflow::stages::Filter;
use streetflow::{Fields, Flow, Image, Metadata, OwnerId, Result, Step};

/// The filters and the limit of a run.
pub(crate) struct ImageSelection {
    filters: Vec<Filter>,
    limit: Option<u64>,
}

impl ImageSelection {
    pub(crate) fn new(args: &FilterArgs) -> Result<Self> {
        Ok(Self { filters: args.filters()?, limit: args.limit })
    }

    /// Selects only images inside the area. `None` is no restriction.
    pub(crate) fn inside(mut self, area: Option<Area>) -> Self {
        // At the front, because `--every` must come last.
        self.filters.splice(0..0, area.map(Filter::inside));
        self
    }

    /// Selects no images of these owners.
    pub(crate) fn without_owners(mut self, owners: Vec<OwnerId>) -> Self {
        self.filters.splice(0..0, (!owners.is_empty()).then(|| Filter::not_owned_by(owners)));
        self
    }

    /// The fields to request: the given ones, and those that the filters need.
    pub(crate) fn request_fields(&self, fields: Fields) -> Result<Fields> {
        self.filters.iter().try_fold(fields, |fields, filter| filter.request_fields(&fields))
    }

    /// Applies the limit before the metadata if no filter follows, so that no metadata over the limit is requested.
    pub(crate) fn apply_before_metadata(&self, flow: Flow<Image>, run: &RunContext) -> Flow<Image> {
        match self.max_images() {
            Some(limit) => limited(flow, limit, run, Step::IMAGES),
            None => flow,
        }
    }

    /// Applies the filters, and the limit if there are filters.
    pub(crate) fn apply_after_metadata(self, flow: Flow<Metadata>, run: &RunContext) -> Flow<Metadata> {
        let limit = self.limit.filter(|_| !self.filters.is_empty());
        let flow = self
            .filters
            .into_iter()
            .fold(flow, |flow, filter| flow.then(filter.observe(Step::METADATA, run.observer())));
        match limit {
            Some(limit) => limited(flow, limit, run, Step::METADATA),
            None => flow,
        }
    }

    /// The maximum number of images that enter the metadata step, if it is known.
    pub(crate) fn max_images(&self) -> Option<u64> {
        self.limit.filter(|_| self.filters.is_empty())
    }

    /// The maximum number of sequences in flight that the limit needs: each sequence has at least one image.
    pub(crate) fn max_sequences_in_flight(&self) -> Option<usize> {
        self.limit.and_then(|limit| usize::try_from(limit).ok())
    }
}

/// Ends the flow after `limit` records. What earlier steps prefetched counts as over limit.
fn limited<T: Send + 'static>(flow: Flow<T>, limit: u64, run: &RunContext, step: Step) -> Flow<T> {
    let (monitor, mut left) = (Arc::clone(&run.monitor), limit);
    let counted = flow.filter(move |_| {
        left = left.saturating_sub(1);
        if left == 0 {
            monitor.stats.mark_limit_reached(step);
        }
        true
    });
    counted.take(limit)
}
