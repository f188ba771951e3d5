//! Which images are wanted: flags into filters, and where the limit stands.

use std::fmt::Display;
use std::sync::Arc;

use crate::args::FilterArgs;
use crate::job::context::Run;
use crate::job::pipeline::{IMAGES, METADATA};
use streetflow::geo::Area;
use streetflow::stages::{Dates, Filter};
use streetflow::{Fields, Flow, Image, Metadata, OwnerId, Result, TileSource};

impl FilterArgs {
    /// The stretch of time, if there is one; the wrong way round is a usage error.
    pub(crate) fn dates(&self) -> Result<Option<Dates>> {
        let (from, to) = (self.from.as_ref().map(|when| when.at), self.to.as_ref().map(|when| when.at));
        let dates = (from.is_some() || to.is_some()).then(|| Dates::new(from, to)).transpose();
        dates.map_err(|error| error.with_hint("`--from` must not be after `--to`"))
    }

    /// Whether panoramas are wanted, or what is none; none if both are.
    pub(crate) fn is_pano(&self) -> Option<bool> {
        (self.pano || self.flat).then_some(self.pano)
    }

    /// What a tile can say already.
    pub(crate) fn in_tiles(&self, source: TileSource) -> Result<TileSource> {
        let source = self.dates()?.map_or(source.clone(), |dates| source.captured(dates));
        let source = self.is_pano().map_or(source.clone(), |pano| source.panoramas(pano));
        // A sequence has a hundred images or so, and a tile ten sequences.
        let tiles = self.limit.map(|limit| usize::try_from(limit / 20).unwrap_or(usize::MAX));
        Ok(tiles.map_or(source.clone(), |tiles| source.max_in_flight(tiles)))
    }

    /// Whether there are filters of which no tile says anything.
    pub(crate) fn goes_by_images(&self) -> bool {
        let cameras = !self.make.is_empty() || !self.model.is_empty();
        cameras || self.min_quality.is_some() || self.heading.is_some() || self.every.is_some()
    }

    /// The filters that look at an image.
    fn filters(&self) -> Result<Vec<Filter>> {
        let mut filters = Vec::new();
        filters.extend(self.dates()?.map(Filter::captured));
        filters.extend(self.is_pano().map(|pano| if pano { Filter::panoramas() } else { Filter::flat() }));
        filters.extend(self.min_quality.map(Filter::min_quality).transpose()?);
        filters.extend(self.heading.map(Filter::heading));
        filters.extend((!self.make.is_empty()).then(|| Filter::make(&self.make)));
        filters.extend((!self.model.is_empty()).then(|| Filter::model(&self.model)));
        // Thinning comes last: it must not count from an image that another filter leaves out.
        filters.extend(self.every.map(Filter::every).transpose()?);
        Ok(filters)
    }

    /// The flags as one would say them again.
    pub(crate) fn words(&self) -> Vec<String> {
        fn word(flag: &str, value: impl Display) -> String {
            format!("--{flag} {value}")
        }
        let mut words = Vec::new();
        words.extend(self.from.iter().map(|when| word("from", &when.text)));
        words.extend(self.to.iter().map(|when| word("to", &when.text)));
        words.extend(self.is_pano().map(|pano| if pano { "--pano" } else { "--flat" }.to_owned()));
        words.extend(self.min_quality.map(|score| word("min-quality", score)));
        words.extend(self.heading.map(|heading| word("heading", heading)));
        words.extend(self.make.iter().map(|name| word("make", format_args!("'{name}'"))));
        words.extend(self.model.iter().map(|name| word("model", format_args!("'{name}'"))));
        words.extend(self.every.map(|metres| word("every", metres)));
        words.extend(self.limit.map(|limit| word("limit", limit)));
        words
    }
}

/// The images that are wanted.
pub(crate) struct Want {
    filters: Vec<Filter>,
    limit: Option<u64>,
}

impl Want {
    pub(crate) fn new(args: &FilterArgs) -> Result<Self> {
        Ok(Self { filters: args.filters()?, limit: args.limit })
    }

    /// Only images that lie in the area.
    pub(crate) fn clipped(mut self, area: Option<Area>) -> Self {
        // Before thinning, as the others.
        self.filters.splice(0..0, area.map(Filter::inside));
        self
    }

    /// No images of these owners, where nothing before has seen to that.
    pub(crate) fn without(mut self, owners: Vec<OwnerId>) -> Self {
        self.filters.splice(0..0, (!owners.is_empty()).then(|| Filter::not_owned_by(owners)));
        self
    }

    /// The fields to ask for: those that are wanted, and those that the filters look at.
    pub(crate) fn asked(&self, fields: Fields) -> Result<Fields> {
        self.filters.iter().try_fold(fields, |fields, filter| filter.asked(&fields))
    }

    /// Where nothing is left out later, no more images are asked for than are wanted.
    pub(crate) fn before_metadata(&self, flow: Flow<Image>, run: &Run) -> Flow<Image> {
        match self.limit.filter(|_| self.filters.is_empty()) {
            Some(limit) => limited(flow, limit, run, IMAGES),
            None => flow,
        }
    }

    /// So many images at most can come to the metadata.
    pub(crate) fn most(&self) -> Option<u64> {
        self.limit.filter(|_| self.filters.is_empty())
    }

    /// How many sequences need be under way at once: each gives an image at least.
    pub(crate) fn ahead(&self) -> Option<usize> {
        self.limit.and_then(|limit| usize::try_from(limit).ok())
    }

    pub(crate) fn after_metadata(self, flow: Flow<Metadata>, run: &Run) -> Flow<Metadata> {
        let limit = self.limit.filter(|_| !self.filters.is_empty());
        let flow = self
            .filters
            .into_iter()
            .fold(flow, |flow, filter| flow.then(filter.observe(METADATA, run.observer())));
        match limit {
            Some(limit) => limited(flow, limit, run, METADATA),
            None => flow,
        }
    }
}

/// Ends the flow well after so many; what the steps before have begun by then is left out.
fn limited<T: Send + 'static>(flow: Flow<T>, limit: u64, run: &Run, step: &'static str) -> Flow<T> {
    let (screen, mut left) = (Arc::clone(&run.screen), limit);
    let counted = flow.filter(move |_| {
        left = left.saturating_sub(1);
        if left == 0 {
            screen.limit_is_met(step);
        }
        true
    });
    counted.take(limit)
}
