//! The images that a query selects: filters, and where the limit applies.

use std::sync::Arc;

use super::Query;
use crate::dates::Dates;
use crate::error::{Error, ErrorKind, Result};
use crate::flow::Flow;
use crate::model::{Fields, Image, Metadata, OwnerId};
use crate::observe::{Event, Observer, Step};
use crate::stages::Filter;

/// The filters and the limit of a [`Query`].
///
/// [`Query::metadata`] applies it. Apply it yourself if your flow has other parts between listing and metadata.
#[must_use]
pub struct Selection {
    filters: Vec<Filter>,
    limit: Option<u64>,
}

impl Query {
    /// The capture period, if there is one.
    pub fn dates(&self) -> Result<Option<Dates>> {
        if self.from.is_none() && self.to.is_none() {
            return Ok(None);
        }
        Dates::parse(self.from.as_deref(), self.to.as_deref()).map(Some)
    }

    /// Whether only panoramas are selected (true), or only other images (false). `None` selects both.
    pub fn panoramas(&self) -> Option<bool> {
        (self.pano || self.flat).then_some(self.pano)
    }

    /// Whether a filter needs metadata that tiles do not contain.
    pub fn needs_metadata(&self) -> bool {
        let by_camera = !self.make.is_empty() || !self.model.is_empty();
        by_camera || self.min_quality.is_some() || self.heading.is_some() || self.every.is_some()
    }

    /// The filters of images and the limit. `clip` without an area is a usage error.
    pub fn selection(&self) -> Result<Selection> {
        let mut filters = Vec::new();
        if self.clip {
            let area = self.selected_area()?.ok_or_else(|| {
                Error::new(ErrorKind::Usage, "use the query field")
                    .with_subject("clip")
                    .with_source("it applies only to an area, and none was given")
                    .with_hint("add an area with `bbox`, `area` or `around`")
            })?;
            filters.push(Filter::inside(area));
        }
        let owners = self.owners_to_filter();
        filters.extend((!owners.is_empty()).then(|| Filter::not_owned_by(owners)));
        filters.extend(self.dates()?.map(Filter::captured));
        filters.extend(self.panoramas().map(|pano| if pano { Filter::panoramas() } else { Filter::flat() }));
        filters.extend(self.min_quality.map(Filter::min_quality).transpose()?);
        filters.extend(self.heading.map(Filter::heading));
        filters.extend((!self.make.is_empty()).then(|| Filter::make(&self.make)));
        filters.extend((!self.model.is_empty()).then(|| Filter::model(&self.model)));
        // Last, because it must not measure from an image that another filter removes.
        filters.extend(self.every.map(Filter::every).transpose()?);
        Ok(Selection { filters, limit: self.limit })
    }

    /// The excluded owners that the tile source cannot filter: their ids are too large to be exact in tiles, or no tiles
    /// are read.
    fn owners_to_filter(&self) -> Vec<OwnerId> {
        let is_exact = |owner: &&OwnerId| owner.as_str().parse::<u64>().is_ok_and(|id| id < 1 << 53);
        let reads_tiles = self.reads_tiles();
        self.exclude_owner.iter().filter(|owner| !reads_tiles || !is_exact(owner)).cloned().collect()
    }
}

impl Selection {
    /// The fields to request: the given ones, and those that the filters need.
    pub fn request_fields(&self, fields: Fields) -> Result<Fields> {
        self.filters.iter().try_fold(fields, |fields, filter| filter.request_fields(&fields))
    }

    /// Applies the limit before the metadata if no filter follows, so that no metadata over the limit is requested.
    pub fn apply_before_metadata(&self, flow: Flow<Image>, observer: &Arc<dyn Observer>) -> Flow<Image> {
        match self.max_images() {
            Some(limit) => limited(flow, limit, Step::IMAGES, observer),
            None => flow,
        }
    }

    /// Applies the filters, and the limit if there are filters.
    pub fn apply_after_metadata(self, flow: Flow<Metadata>, observer: &Arc<dyn Observer>) -> Flow<Metadata> {
        let limit = self.limit.filter(|_| !self.filters.is_empty());
        let flow = self
            .filters
            .into_iter()
            .fold(flow, |flow, filter| flow.then(filter.observe(Step::METADATA, Arc::clone(observer))));
        match limit {
            Some(limit) => limited(flow, limit, Step::METADATA, observer),
            None => flow,
        }
    }

    /// The maximum number of images that enter the metadata step, if it is known.
    pub fn max_images(&self) -> Option<u64> {
        self.limit.filter(|_| self.filters.is_empty())
    }

    /// The maximum number of sequences in flight that the limit needs: each sequence has at least one image.
    pub fn max_sequences_in_flight(&self) -> Option<usize> {
        self.limit.and_then(|limit| usize::try_from(limit).ok())
    }
}

/// Ends the flow after `limit` records. What earlier steps prefetched counts as over limit.
fn limited<T: Send + 'static>(
    flow: Flow<T>,
    limit: u64,
    step: Step,
    observer: &Arc<dyn Observer>,
) -> Flow<T> {
    let (observer, mut left) = (Arc::clone(observer), limit);
    let counted = flow.filter(move |_| {
        left = left.saturating_sub(1);
        if left == 0 {
            observer.on_event(&Event::LimitReached { step });
        }
        true
    });
    counted.take(limit)
}
