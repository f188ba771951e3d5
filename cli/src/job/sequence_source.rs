//! The sequences of an area or a user.

use super::context::RunContext;
use crate::args::{AreaArgs, FilterArgs, NetworkArgs, missing_area};
use crate::progress::forecast::{WalkInfo, WalkMode};
use streetflow::geo::Area;
use streetflow::stages::Dates;
use streetflow::{Flow, Result, Sequence, TileSource, UserSource};

/// Images in a tile, estimated low: a tile has about ten sequences of a hundred images. Decides how many tiles a limit
/// needs in flight.
const MIN_IMAGES_PER_TILE: u64 = 20;

/// The sequences of an area or a user, and the filters that need no metadata.
pub(crate) struct SequenceSource<'a> {
    args: &'a AreaArgs,
    /// The area, unless all sequences of a user are included.
    area: Option<Area>,
    dates: Option<Dates>,
    is_pano: Option<bool>,
    max_in_flight: Option<usize>,
}

impl<'a> SequenceSource<'a> {
    /// Resolves the flags. A missing area, and flags that contradict each other, are usage errors.
    pub(crate) fn resolve(
        args: &'a AreaArgs,
        filters: Option<&FilterArgs>,
        network: &NetworkArgs,
    ) -> Result<Self> {
        let default = network.default_bbox();
        args.check(default.is_some())?;
        let limit = filters.and_then(|filters| filters.limit);
        Ok(Self {
            args,
            area: args.area(default)?,
            dates: filters.map(FilterArgs::dates).transpose()?.flatten(),
            is_pano: filters.and_then(FilterArgs::is_pano),
            max_in_flight: limit
                .map(|limit| usize::try_from(limit / MIN_IMAGES_PER_TILE).unwrap_or(usize::MAX)),
        })
    }

    /// The area, unless all sequences of a user are included.
    pub(crate) fn area(&self) -> Option<&Area> {
        self.area.as_ref()
    }

    /// Whether the sequences come from tiles, and not from the search by user.
    pub(crate) fn reads_tiles(&self) -> bool {
        !self.args.is_user_alone()
    }

    /// Opens the source. A user in an area is looked up first, because tiles contain ids and no names.
    pub(crate) async fn open(&self, run: &RunContext) -> Result<Flow<Sequence>> {
        let Some(name) = &self.args.user else { return Ok(Flow::from(self.tiles(run)?)) };
        if self.args.is_user_alone() {
            let source = UserSource::named(&run.client, name);
            return Ok(Flow::from(match self.dates {
                Some(dates) => source.captured(dates),
                None => source,
            }));
        }
        let id = run.client.user_id(name).await?;
        Ok(Flow::from(self.tiles(run)?.owned_by(id)))
    }

    fn tiles(&self, run: &RunContext) -> Result<TileSource> {
        let args = self.args;
        let area = self.area.clone().ok_or_else(missing_area)?;
        let mut source = TileSource::inside(&run.client, area).zooms(args.min_zoom, args.max_zoom);
        source = args.org_id.iter().fold(source, |source, owner| source.owned_by(owner.clone()));
        source = args.exclude_owner.iter().fold(source, |source, owner| source.not_owned_by(owner.clone()));
        if let Some(dates) = self.dates {
            source = source.captured(dates);
        }
        if let Some(is_pano) = self.is_pano {
            source = source.panoramas(is_pano);
        }
        if let Some(max) = self.max_in_flight {
            source = source.max_in_flight(max);
        }
        let mode = match (args.lines_only, args.thorough) {
            (true, _) => WalkMode::LinesOnly,
            (_, true) => WalkMode::Thorough,
            _ => WalkMode::Default,
        };
        source = match mode {
            _ if args.exhaustive => source.exhaustive(),
            WalkMode::LinesOnly => source.lines_only(),
            WalkMode::Thorough => source.thorough(),
            WalkMode::Default => source,
        };
        run.monitor.stats.set_walk(WalkInfo { sure_length: source.sure_length(), mode });
        Ok(source)
    }
}
