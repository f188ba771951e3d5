//! What a walk reads: the area, the filters and the levels.

use crate::client::Client;
use crate::dates::Dates;
use crate::geo::{Area, Bbox, MAX_ZOOM, TileId};
use crate::model::OwnerId;
use crate::sources::mvt::{Owner, TileFilter};

/// Coarsest level with lines; the levels above contain a sample of images.
pub const FIRST_LINES: u8 = 6;

/// Coarsest level that contains the lines of all sequences.
pub(crate) const ALL_LINES: u8 = 10;

/// Maximum number of tiles that are in flight or read while an earlier one is in flight.
const PREFETCH: usize = 128;

/// The sequences of an area, each once, in a deterministic order.
///
/// A sequence is in the area if its line or, at level 14, one of its images is. Memory grows by about 50 bytes per
/// sequence.
///
/// # What is found
///
/// All sequences with a line in the area longer than [`TileSource::sure_length`], at most 40 m in most areas, are found.
/// Shorter ones are found in tiles of level 14 that are read anyway. [`TileSource::thorough`] finds more of them with
/// more requests. [`TileSource::exhaustive`] finds all of them and requests every tile of level 14.
///
/// ```no_run
/// use streetflow::{Client, CsvSink, Flow, OwnerId, TileSource, Token};
///
/// # #[tokio::main] async fn main() -> streetflow::Result<()> {
/// let client = Client::new(Token::new("MLY|1234|abcd")?)?;
/// let nicosia = "33.30,35.13,33.40,35.20".parse()?;
/// let sequences = TileSource::within(&client, nicosia).owned_by(OwnerId::new("803468386961584")?);
/// Flow::from(sequences).into_sink(CsvSink::create("outputs/seq_dataset.csv")).await?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
#[must_use]
pub struct TileSource {
    pub(super) client: Client,
    pub(super) area: Area,
    pub(super) filter: TileFilter,
    pub(super) min_zoom: u8,
    pub(super) max_zoom: u8,
    pub(super) is_thorough: bool,
    pub(super) prefetch: usize,
}

impl TileSource {
    /// Finds all sequences in a box.
    pub fn within(client: &Client, bbox: Bbox) -> Self {
        Self::inside(client, bbox)
    }

    /// Finds all sequences in an area, such as polygons or a circle. Only tiles that touch it are requested.
    ///
    /// ```no_run
    /// use streetflow::geo::Area;
    /// use streetflow::{Client, TileSource};
    ///
    /// # fn of(client: Client) -> streetflow::Result<()> {
    /// let district = TileSource::inside(&client, Area::open("district.geojson")?);
    /// # drop(district); Ok(()) }
    /// ```
    pub fn inside(client: &Client, area: impl Into<Area>) -> Self {
        Self {
            client: client.clone(),
            area: area.into(),
            filter: TileFilter::default(),
            min_zoom: 1,
            max_zoom: MAX_ZOOM,
            is_thorough: false,
            prefetch: PREFETCH,
        }
    }

    /// Only finds sequences of an organization or a user. Several calls match any of them.
    pub fn owned_by(mut self, owner: OwnerId) -> Self {
        self.filter.owners.push(Owner::new(owner));
        self
    }

    /// Drops sequences of an organization or a user. May be called several times.
    ///
    /// Tiles may round an id above 2^53. The sequences of such an owner pass, because they may belong to another one.
    pub fn not_owned_by(mut self, owner: OwnerId) -> Self {
        self.filter.excluded.push(Owner::new(owner));
        self
    }

    /// Drops sequences that were captured more than a day outside the dates, according to a tile.
    ///
    /// This saves requests. Filter the images with [`Filter::captured`](crate::stages::Filter::captured) as well.
    pub fn captured(mut self, dates: Dates) -> Self {
        self.filter.captured(dates);
        self
    }

    /// Drops sequences that are not panoramas according to a tile, or, with false, those that are.
    pub fn panoramas(mut self, only: bool) -> Self {
        self.filter.is_pano = Some(only);
        self
    }

    /// Limits the number of tiles in flight, if few sequences are needed.
    pub fn max_in_flight(mut self, tiles: usize) -> Self {
        self.prefetch = tiles.clamp(1, PREFETCH);
        self
    }

    /// Sets the coarsest level to read, and the level where sequences are collected, clamped to 6 to 14.
    ///
    /// Levels below 14 contain lines only.
    pub fn zooms(mut self, min: u8, max: u8) -> Self {
        self.max_zoom = max.clamp(FIRST_LINES, MAX_ZOOM);
        self.min_zoom = min.min(self.max_zoom);
        self
    }

    /// Reads level 10 alone, for a first look or a huge area. Call it after [`TileSource::zooms`].
    ///
    /// Sequences without a line at that level are not found, and a sequence near the edge of the area may be outside.
    pub fn lines_only(mut self) -> Self {
        self.max_zoom = self.max_zoom.min(ALL_LINES);
        self.min_zoom = self.min_zoom.min(self.max_zoom);
        self
    }

    /// Reads levels 10 to 13 one by one instead of level 10 alone. Needs more requests, and finds more of the sequences
    /// without a line, such as those of a single image.
    pub fn thorough(mut self) -> Self {
        self.is_thorough = true;
        self
    }

    /// Reads every tile of the level of collection: more requests, but no sequence is missed.
    ///
    /// Call it last: dates and kinds in tiles are then ignored too.
    pub fn exhaustive(mut self) -> Self {
        self.min_zoom = self.max_zoom;
        self.filter.ignore_tags();
        self
    }

    /// The tiles of the next level that touch the area.
    pub(in crate::sources) fn below(&self, tiles: impl IntoIterator<Item = TileId>) -> Vec<TileId> {
        let children = tiles.into_iter().flat_map(TileId::children);
        children.filter(|child| self.area.touches(*child)).collect()
    }
}
