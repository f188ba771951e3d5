//! A box to the sequences in it, through vector tiles.
//!
//! Tile requests are the scarcest thing there is: the host blocks addresses.
//! So the walk starts as deep as a small cover allows and rules tiles out above
//! level 14, but only where a level can be trusted:
//!
//! | Levels | Show | Rule a tile out when they show |
//! |---|---|---|
//! | 0–5 | a sample of images | never, and are never asked |
//! | 6–9 | simplified lines | no sequence of anyone |
//! | 10–13 | all lines | no sequence of the owner |
//!
//! Tiles are read in quadkey order, so that neighbours stay together in the
//! output, and that order is the same every time however answers arrive.

use std::collections::{BTreeMap, HashSet, VecDeque};

use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt};

use super::mvt::{self, Owner};
use super::{RecordStream, Source};
use crate::client::Client;
use crate::error::{Error, ErrorKind, Result};
use crate::geo::{Bbox, MAX_ZOOM, TileId};
use crate::model::{OwnerId, Sequence, SequenceId};
use crate::observe::Event;

/// The step's name in events.
const STEP: &str = "sequences";

/// The coarsest level with lines; above there is only a sample.
pub(crate) const FIRST_LINES: u8 = 6;

/// From this level on, lines are complete enough to rule out by owner.
const ALL_LINES: u8 = 10;

/// The walk starts at the deepest level that covers the box with so many tiles.
const FIRST_COVER: u64 = 32;

/// How many tiles may be under way; the client may allow fewer.
const UNDER_WAY: usize = 32;

/// How many tiles may be under way or read already, behind one that is slow.
const AHEAD: usize = 128;

/// The sequences in a box, each once, in quadkey order.
///
/// A sequence counts when its line or, at level 14, one of its images lies in
/// the box itself. Memory grows by some 50 bytes a sequence found.
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
    bbox: Bbox,
    owner: Option<Owner>,
    min_zoom: u8,
    max_zoom: u8,
}

impl TileSource {
    /// All sequences in a box.
    pub fn within(client: &Client, bbox: Bbox) -> Self {
        Self { client: client.clone(), bbox, owner: None, min_zoom: 1, max_zoom: MAX_ZOOM }
    }

    /// Only those of an organisation or a user.
    pub fn owned_by(mut self, owner: OwnerId) -> Self {
        self.owner = Some(Owner::new(owner));
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
    pub fn exhaustive(mut self) -> Self {
        self.min_zoom = self.max_zoom;
        self
    }

    fn first_zoom(&self) -> u8 {
        let small = (0..=self.max_zoom).rev().find(|zoom| self.bbox.cover_len(*zoom) <= FIRST_COVER);
        small.unwrap_or(0).max(FIRST_LINES).max(self.min_zoom).min(self.max_zoom)
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
            seen: HashSet::new(),
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
enum Look {
    Descend,
    RuledOut,
    Sequences(Vec<Sequence>),
}

/// A tile on the list; the list never holds a tile and its descendant.
enum Node {
    Waiting(TileId),
    Asked(TileId),
    Read(Result<Vec<Sequence>>),
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
    seen: HashSet<SequenceId>,
}

impl Walk {
    async fn next(&mut self) -> Option<Result<Sequence>> {
        loop {
            while let Some(sequence) = self.ready.pop_front() {
                if self.seen.insert(sequence.seq_id.clone()) {
                    return Some(Ok(sequence));
                }
            }
            if std::mem::take(&mut self.giving) {
                self.source.client.tell(&Event::Listed { step: STEP });
            }
            if matches!(self.nodes.first_key_value(), Some((_, Node::Read(_)))) {
                match self.nodes.pop_first() {
                    Some((_, Node::Read(Ok(sequences)))) => {
                        self.ready.extend(sequences);
                        self.giving = true;
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
            if begun >= AHEAD || self.asked.len() >= UNDER_WAY {
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
                self.nodes.insert(place, Node::Asked(tile));
                self.source.client.tell(&Event::Entered { step: STEP });
                self.asked.push(look(self.source.clone(), tile, place));
            }
        }
    }

    fn descend(&mut self, place: u32, tile: TileId) {
        self.nodes.remove(&place);
        for child in tile.children().into_iter().filter(|child| self.source.bbox.touches(*child)) {
            self.nodes.insert(child.order(), Node::Waiting(child));
        }
    }

    /// Puts down what a tile said; a fatal error goes ahead of everything that waits.
    fn take(&mut self, place: u32, look: Result<Look>) -> Result<()> {
        let Some(Node::Asked(tile)) = self.nodes.get(&place) else { return Ok(()) };
        let tile = *tile;
        match look {
            Ok(Look::Descend) => {
                self.source.client.tell(&Event::Listed { step: STEP });
                self.descend(place, tile);
            }
            Ok(Look::RuledOut) => {
                self.source.client.tell(&Event::RuledOut { tile });
                self.nodes.remove(&place);
            }
            Ok(Look::Sequences(sequences)) => {
                self.nodes.insert(place, Node::Read(Ok(sequences)));
            }
            Err(error) if error.is_fatal() => return Err(error),
            Err(error) => {
                self.nodes.insert(place, Node::Read(Err(error)));
            }
        }
        Ok(())
    }
}

fn look(source: TileSource, tile: TileId, place: u32) -> BoxFuture<'static, (u32, Result<Look>)> {
    Box::pin(async move {
        let client = source.client.clone();
        (place, client.tile_as(tile, move |bytes| source.read(tile, bytes)).await)
    })
}

impl TileSource {
    fn read(&self, tile: TileId, bytes: &[u8]) -> Result<Look> {
        let malformed = |fault| Error::new(ErrorKind::Malformed, "").because(fault);
        let owner = self.owner.as_ref();
        if tile.z == self.max_zoom {
            let sequences = mvt::sequences(bytes, tile, &self.bbox, owner).map_err(malformed)?;
            return Ok(Look::Sequences(sequences));
        }
        let trusted = owner.filter(|_| tile.z >= ALL_LINES);
        let shown = mvt::shows(bytes, trusted).map_err(malformed)?;
        Ok(if shown { Look::Descend } else { Look::RuledOut })
    }
}
