//! An area to the sequences in it, through vector tiles.
//!
//! Tile requests are the scarcest thing there is: the host blocks addresses.
//! So the walk starts as deep as a small cover allows and rules tiles out above
//! level 14, but only where a level can be trusted:
//!
//! | Levels | Show | Rule a tile out when they show |
//! |---|---|---|
//! | 0–5 | a sample of images | never, and are never asked |
//! | 6–9 | simplified lines | no sequence of anyone |
//! | 10–13 | all lines | no sequence that is wanted |
//!
//! A tile above the level where sequences are collected only saves requests, so
//! one that can't be had is split like one that shows something (`health` says
//! when that is no use because the whole host fails).
//!
//! Tiles are read in quadkey order, so that neighbours stay together in the
//! output, and that order is the same every time however answers arrive.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;

use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt};

use super::health::Health;
use super::mvt::{self, Owner, Shown, Wanted};
use super::{RecordStream, Source};
use crate::client::Client;
use crate::dates::Dates;
use crate::error::{Error, ErrorKind, Result};
use crate::geo::{Area, Bbox, MAX_ZOOM, TileId};
use crate::model::{OwnerId, Sequence, SequenceId};
use crate::observe::{Event, Step};

/// The coarsest level with lines; above there is only a sample.
pub const FIRST_LINES: u8 = 6;

/// From this level on, lines are complete enough to rule out by what is wanted.
const ALL_LINES: u8 = 10;

/// The walk starts at the deepest level that covers the box with so many tiles.
const FIRST_COVER: usize = 32;

/// How many unusable things of a tile an error names.
const NAMED: usize = 5;

/// How many tiles may be under way; the client may allow fewer.
const UNDER_WAY: usize = 32;

/// How many tiles may be under way or read already, behind one that is slow.
const AHEAD: usize = 128;

/// The sequences in an area, each once, in quadkey order.
///
/// A sequence counts when its line or, at level 14, one of its images lies in
/// the area itself. Memory grows by some 50 bytes a sequence found or left out.
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

    /// Asks every tile of the level of collection and rules nothing out: more requests, no sequence missed.
    ///
    /// Say it last: what tiles tell of dates and panoramas is not heeded either.
    pub fn exhaustive(mut self) -> Self {
        self.min_zoom = self.max_zoom;
        self.wanted.believe_all();
        self
    }

    fn first_zoom(&self) -> u8 {
        let mut cover = vec![TileId::WORLD];
        while let Some(zoom) = cover.first().map(|tile| tile.z).filter(|zoom| *zoom < self.max_zoom) {
            cover = self.below(cover);
            if cover.len() > FIRST_COVER {
                return zoom.max(FIRST_LINES).max(self.min_zoom).min(self.max_zoom);
            }
        }
        self.max_zoom
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
        let first_zoom = self.first_zoom();
        let walk = Walk {
            source: self,
            first_zoom,
            nodes: BTreeMap::from([(0, Node::Waiting(TileId::WORLD))]),
            asked: FuturesUnordered::new(),
            ready: VecDeque::new(),
            giving: false,
            unusable: None,
            seen: HashSet::new(),
            left_out: HashMap::new(),
            health: Arc::default(),
        };
        futures::stream::unfold(Some(walk), |walk| async {
            let mut walk = walk?;
            let item = walk.next().await?;
            let last = item.as_ref().is_err_and(Error::is_fatal);
            Some((item, (!last).then_some(walk)))
        })
        .boxed()
    }
}

/// What a tile said.
pub(super) enum Look {
    Descend,
    RuledOut,
    Sequences(Shown),
    /// It can't be had, and tiles below it can.
    Failed(Error),
}

/// A tile on the list; the list never holds a tile and its descendant.
enum Node {
    Waiting(TileId),
    RecordedRequest(TileId),
    Read(Result<(TileId, Shown)>),
}

struct Walk {
    source: TileSource,
    first_zoom: u8,
    /// By quadkey order, which no two tiles of the list share.
    nodes: BTreeMap<u32, Node>,
    asked: FuturesUnordered<BoxFuture<'static, (u32, Result<Look>)>>,
    ready: VecDeque<Sequence>,
    /// The sequences that are ready are those of a tile that has not been told of yet.
    giving: bool,
    /// What of that tile can't be used.
    unusable: Option<Error>,
    seen: HashSet<SequenceId>,
    /// What tiles said does not fit, and by which filter: another tile may know better.
    left_out: HashMap<SequenceId, &'static str>,
    health: Arc<Health>,
}

impl Walk {
    async fn next(&mut self) -> Option<Result<Sequence>> {
        loop {
            while let Some(sequence) = self.ready.pop_front() {
                if self.seen.insert(sequence.seq_id.clone()) {
                    self.left_out.remove(&sequence.seq_id);
                    return Some(Ok(sequence));
                }
            }
            if std::mem::take(&mut self.giving) {
                if let Some(error) = self.unusable.take() {
                    return Some(Err(error));
                }
                self.source.client.emit(&Event::InputDone { step: Step::SEQUENCES });
            }
            if matches!(self.nodes.first_key_value(), Some((_, Node::Read(_)))) {
                match self.nodes.pop_first() {
                    Some((_, Node::Read(Ok((tile, shown))))) => {
                        for _ in 0..shown.without_sequence {
                            self.source
                                .client
                                .emit(&Event::Filtered { step: Step::SEQUENCES, by: "no_sequence" });
                        }
                        (self.giving, self.unusable) = (true, unusable(tile, &shown));
                        self.ready.extend(shown.sequences);
                        let new = |(id, _): &(SequenceId, _)| !self.seen.contains(id);
                        self.left_out.extend(shown.left_out.into_iter().filter(new));
                    }
                    Some((_, Node::Read(Err(error)))) => return Some(Err(error)),
                    _ => {}
                }
                continue;
            }
            self.ask_ahead();
            let (place, look) = self.asked.next().await?;
            if let Err(error) = self.take(place, look) {
                return Some(Err(error));
            }
        }
    }

    /// Keeps as many tiles under way as may be, the first of the list first.
    fn ask_ahead(&mut self) {
        loop {
            let begun = self.nodes.values().filter(|node| !matches!(node, Node::Waiting(_))).count();
            if begun >= self.source.ahead || self.asked.len() >= UNDER_WAY {
                return;
            }
            let waiting = self.nodes.iter().find_map(|(place, node)| match node {
                Node::Waiting(tile) => Some((*place, *tile)),
                _ => None,
            });
            let Some((place, tile)) = waiting else { return };
            if tile.z < self.first_zoom {
                self.descend(place, tile);
            } else {
                self.nodes.insert(place, Node::RecordedRequest(tile));
                self.source.client.emit(&Event::InputStarted { step: Step::SEQUENCES });
                self.asked.push(look(self.source.clone(), Arc::clone(&self.health), tile, place));
            }
        }
    }

    fn descend(&mut self, place: u32, tile: TileId) {
        self.nodes.remove(&place);
        for child in self.source.below([tile]) {
            self.nodes.insert(child.z_order(), Node::Waiting(child));
        }
    }

    /// Puts down what a tile said; a fatal error goes ahead of everything that waits.
    fn take(&mut self, place: u32, look: Result<Look>) -> Result<()> {
        let Some(Node::RecordedRequest(tile)) = self.nodes.get(&place) else { return Ok(()) };
        let tile = *tile;
        match look {
            Ok(Look::Descend) => {
                self.source.client.emit(&Event::InputDone { step: Step::SEQUENCES });
                self.descend(place, tile);
            }
            Ok(Look::Failed(error)) => {
                self.source.client.emit(&Event::TileSplit { tile, error: &error });
                self.source.client.emit(&Event::InputDone { step: Step::SEQUENCES });
                self.descend(place, tile);
            }
            Ok(Look::RuledOut) => {
                self.source.client.emit(&Event::TilePruned { tile });
                self.nodes.remove(&place);
            }
            Ok(Look::Sequences(shown)) => {
                self.source.client.emit(&Event::TileImages { tile, images: shown.images });
                self.nodes.insert(place, Node::Read(Ok((tile, shown))));
            }
            Err(error) if error.is_fatal() => return Err(error),
            Err(error) => {
                self.nodes.insert(place, Node::Read(Err(error)));
            }
        }
        Ok(())
    }
}

/// At its end, however it comes, the walk tells what tiles left out, and no tile took back.
impl Drop for Walk {
    fn drop(&mut self) {
        for by in self.left_out.values() {
            self.source.client.emit(&Event::Filtered { step: Step::SEQUENCES, by });
        }
    }
}

fn look(
    source: TileSource,
    health: Arc<Health>,
    tile: TileId,
    place: u32,
) -> BoxFuture<'static, (u32, Result<Look>)> {
    Box::pin(async move {
        let began = health.begin();
        let looked = source.look(tile).await;
        let looked = match looked {
            Ok(look) => {
                health.note_success();
                Ok(look)
            }
            Err(error) if tile.z < source.max_zoom && !error.is_fatal() => {
                if health.is_well(&source, tile, began).await { Ok(Look::Failed(error)) } else { Err(error) }
            }
            Err(error) => Err(error),
        };
        (place, looked)
    })
}

/// The failure of a tile of which something can't be used, if there is any.
fn unusable(tile: TileId, shown: &Shown) -> Option<Error> {
    let named = shown.unusable.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
    let more = shown.unusable.len().saturating_sub(NAMED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    (!shown.unusable.is_empty()).then(|| {
        Error::new(ErrorKind::Malformed, "use all of the tile")
            .with_subject(tile.to_string())
            .with_source(format!("{named}{more}; its other sequences are used ({})", shown.sequences.len()))
    })
}

impl TileSource {
    pub(super) async fn look(&self, tile: TileId) -> Result<Look> {
        let source = self.clone();
        let whole = |look: &Look| !matches!(look, Look::Sequences(shown) if !shown.unusable.is_empty());
        self.client.parsed_tile(tile, move |bytes| source.read(tile, bytes), whole).await
    }

    fn read(&self, tile: TileId, bytes: &[u8]) -> Result<Look> {
        let malformed = |fault| Error::new(ErrorKind::Malformed, "").with_source(fault);
        if tile.z == self.max_zoom {
            let shown = mvt::sequences(bytes, tile, &self.area, &self.wanted).map_err(malformed)?;
            return Ok(Look::Sequences(shown));
        }
        let trusted = if tile.z >= ALL_LINES { &self.wanted } else { &Wanted::default() };
        let shown = mvt::shows(bytes, trusted).map_err(malformed)?;
        Ok(if shown { Look::Descend } else { Look::RuledOut })
    }
}
