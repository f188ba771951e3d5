//! An area to the sequences in it, through vector tiles.
//!
//! Tile requests are the scarcest thing there is: the host blocks addresses. So the walk reads as few tiles as find
//! every sequence that is not tiny (`plan.rs` says how small that is):
//!
//! | Levels | Show | What the walk does with them |
//! |---|---|---|
//! | 0–5 | a sample of images | never asks for them |
//! | 6–9 | simplified lines | one to four of them say where to begin; they rule a tile out only in huge areas, where they show no sequence of anyone |
//! | 10–13 | all lines | the first of these levels says which tiles of level 14 lines of wanted sequences come near to; the others are skipped |
//! | 14 | lines and images | read where such a line comes near; decides on sequences at the border of the area |
//!
//! A line that lies inside the area at level 10 with a margin is a sequence in the area, and is given at once.
//! [`TileSource::thorough`] reads levels 10 to 13 one after the other instead.
//!
//! A tile above the level where sequences are collected only saves requests, so one that can't be had is split like one
//! that shows something (`health` says when that is no use because the whole host fails).
//!
//! Tiles form a tree, which is read depth first, and a tile is chosen when its request may go: what was found is
//! finished before new ground is opened. Sequences come in the order of the tree, which only the contents of tiles
//! decide, so it is the same every time, however responses arrive.

mod forecast;
mod look;
mod plan;
mod tree;
mod walk;

use futures::stream::StreamExt;

use self::walk::Walk;
use super::mvt::{Owner, Wanted};
use super::{RecordStream, Source};
use crate::client::Client;
use crate::dates::Dates;
use crate::error::Error;
use crate::geo::{Area, Bbox, MAX_ZOOM, TileId};
use crate::model::{OwnerId, Sequence};

/// The coarsest level with lines; above there is only a sample.
pub const FIRST_LINES: u8 = 6;

/// From this level on, lines are complete enough to go by.
pub(crate) const ALL_LINES: u8 = 10;

/// How many tiles may be in flight or read already, behind one that is slow.
const AHEAD: usize = 128;

/// The sequences in an area, each once, in an order that does not change.
///
/// A sequence counts when its line or, at level 14, one of its images lies in the area itself. Memory grows by some 50
/// bytes a sequence found or left out.
///
/// # What is found
///
/// Every sequence whose line in the area is longer than [`TileSource::sure_length`], some 40 m, is found. Shorter ones
/// are found where a tile of level 14 is read anyway. [`TileSource::thorough`] finds more of these, with more requests,
/// and [`TileSource::exhaustive`] all of them, with a request for each tile of level 14.
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
    client: Client,
    area: Area,
    wanted: Wanted,
    min_zoom: u8,
    pub(super) max_zoom: u8,
    is_thorough: bool,
    ahead: usize,
}

impl TileSource {
    /// All sequences in a box.
    pub fn within(client: &Client, bbox: Bbox) -> Self {
        Self::inside(client, bbox)
    }

    /// All sequences in an area, such as polygons or a circle; tiles that do not touch it are not asked.
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
            wanted: Wanted::default(),
            min_zoom: 1,
            max_zoom: MAX_ZOOM,
            is_thorough: false,
            ahead: AHEAD,
        }
    }

    /// Only those of an organisation or a user; said several times, of any of them.
    pub fn owned_by(mut self, owner: OwnerId) -> Self {
        self.wanted.owners.push(Owner::new(owner));
        self
    }

    /// None of an organisation or a user; may be said several times.
    ///
    /// An id above 2^53 may be rounded in a tile. Its sequences are not left out then, for they might be another's.
    pub fn not_owned_by(mut self, owner: OwnerId) -> Self {
        self.wanted.excluded.push(Owner::new(owner));
        self
    }

    /// Leaves sequences out of which a tile says that they were captured more than a day before or after.
    ///
    /// That spares requests; which images fit, only [`Filter::captured`](crate::stages::Filter::captured) decides.
    pub fn captured(mut self, dates: Dates) -> Self {
        self.wanted.captured(dates);
        self
    }

    /// Leaves sequences out of which a tile says that they are no panoramas, or, with false, that they are.
    pub fn panoramas(mut self, wanted: bool) -> Self {
        self.wanted.is_pano = Some(wanted);
        self
    }

    /// Has no more than so many tiles under way, where few sequences are wanted.
    pub fn max_in_flight(mut self, tiles: usize) -> Self {
        self.ahead = tiles.clamp(1, AHEAD);
        self
    }

    /// The coarsest level to ask, and the level where sequences are collected, 6 to 14.
    ///
    /// Below 14 there are only lines to go by. Levels out of range are brought into it.
    pub fn zooms(mut self, min: u8, max: u8) -> Self {
        self.max_zoom = max.clamp(FIRST_LINES, MAX_ZOOM);
        self.min_zoom = min.min(self.max_zoom);
        self
    }

    /// Goes by the lines of level 10 alone: a quick first look, or a huge area. Say it after [`TileSource::zooms`].
    ///
    /// Sequences that draw no line there are not found, and one near the border of the area may lie beside it.
    pub fn lines_only(mut self) -> Self {
        self.max_zoom = self.max_zoom.min(ALL_LINES);
        self.min_zoom = self.min_zoom.min(self.max_zoom);
        self
    }

    /// Reads levels 10 to 13 one after the other instead of level 10 alone: more requests, and more of the sequences
    /// that draw no line, such as those of a single image.
    pub fn thorough(mut self) -> Self {
        self.is_thorough = true;
        self
    }

    /// Asks every tile of the level of collection and rules nothing out: more requests, no sequence missed.
    ///
    /// Say it last: what tiles tell of dates and panoramas is not heeded either.
    pub fn exhaustive(mut self) -> Self {
        self.min_zoom = self.max_zoom;
        self.wanted.believe_all();
        self
    }

    /// The tiles of the next level that touch the area.
    pub(super) fn below(&self, tiles: impl IntoIterator<Item = TileId>) -> Vec<TileId> {
        let children = tiles.into_iter().flat_map(TileId::children);
        children.filter(|child| self.area.touches(*child)).collect()
    }
}

impl Source for TileSource {
    type Item = Sequence;

    fn stream(self) -> RecordStream<Sequence> {
        let walk = Walk::new(self);
        futures::stream::unfold(Some(walk), |walk| async {
            let mut walk = walk?;
            let item = walk.next().await?;
            let last = item.as_ref().is_err_and(Error::is_fatal);
            Some((item, (!last).then_some(walk)))
        })
        .boxed()
    }
}
