//! The walk over the tree of tiles.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt};

use super::forecast::Forecast;
use super::health::Health;
use super::look::{Look, unusable};
use super::source::TileSource;
use super::tree::{Node, Place, Tree};
use crate::error::{Error, Result};
use crate::geo::TileId;
use crate::model::{Sequence, SequenceId};
use crate::observe::{Event, Step};
use crate::sources::mvt::Shown;

/// Maximum number of requests in flight; the client may allow fewer.
const IN_FLIGHT: usize = 32;

/// Initial maximum, which grows by one with each response. Before the first sequence is found, more requests would only
/// read new areas earlier than what was found.
const IN_FLIGHT_AT_FIRST: usize = 4;

/// A result that the walk waits for.
enum Got {
    /// A tile from the response store or the tile cache, if it is there.
    Cached(Place, Result<Option<Look>>),
    /// The rate limit allows a request.
    Turn(Result<()>),
    /// A tile from the network.
    Requested(Place, Result<Look>),
}

/// A turn under the rate limit.
#[derive(Clone, Copy, PartialEq)]
enum Turn {
    None,
    Awaited,
    /// Granted and not used yet.
    Granted,
}

pub(super) struct Walk {
    source: TileSource,
    first_zoom: u8,
    /// Whether the tree consists of scouts.
    is_scouting: bool,
    /// Number of tiles of the last level with lines according to scouts, by their ancestor of the first level.
    hints: HashMap<TileId, u32>,
    forecast: Forecast,
    /// Minimum and maximum number of tiles, until they are reported.
    bounds: Option<(u64, u64)>,
    tree: Tree,
    waits: FuturesUnordered<BoxFuture<'static, Got>>,
    /// Requests in flight and their maximum, and lookups in store and cache in progress.
    in_flight: usize,
    most_in_flight: usize,
    looking: usize,
    turn: Turn,
    ready: VecDeque<Sequence>,
    /// Whether `ready` comes from a tile that is not reported as done yet.
    giving: bool,
    /// The unusable parts of that tile.
    unusable: Option<Error>,
    seen: HashSet<SequenceId>,
    /// Sequences that do not match according to a tile, with the name of the filter. Another tile may differ.
    filtered: HashMap<SequenceId, &'static str>,
    health: Arc<Health>,
}

impl Walk {
    pub(super) fn new(source: TileSource) -> Self {
        let plan = source.plan();
        let is_scouting = !plan.scouts.is_empty();
        let (forecast, bounds) = (Forecast::new(&source, &plan), source.bounds(&plan));
        let tree = if is_scouting { Tree::of(plan.scouts) } else { Tree::of([TileId::WORLD]) };
        Self {
            source,
            first_zoom: plan.first_zoom,
            is_scouting,
            hints: HashMap::new(),
            forecast,
            bounds: Some(bounds),
            tree,
            waits: FuturesUnordered::new(),
            in_flight: 0,
            most_in_flight: IN_FLIGHT_AT_FIRST,
            looking: 0,
            turn: Turn::None,
            ready: VecDeque::new(),
            giving: false,
            unusable: None,
            seen: HashSet::new(),
            filtered: HashMap::new(),
            health: Arc::default(),
        }
    }

    pub(super) async fn next(&mut self) -> Option<Result<Sequence>> {
        if let Some((min, max)) = self.bounds.take() {
            self.tell(&Event::TilesPlanned { min, max });
        }
        loop {
            while let Some(sequence) = self.ready.pop_front() {
                if self.seen.insert(sequence.seq_id.clone()) {
                    self.filtered.remove(&sequence.seq_id);
                    return Some(Ok(sequence));
                }
            }
            if std::mem::take(&mut self.giving) {
                if let Some(error) = self.unusable.take() {
                    return Some(Err(error));
                }
                self.tell(&Event::InputDone { step: Step::SEQUENCES });
            }
            if let Some(read) = self.tree.pop_read() {
                match read {
                    Ok((tile, shown)) => {
                        for _ in 0..shown.without_sequence {
                            self.tell(&Event::Filtered { step: Step::SEQUENCES, by: "no_sequence" });
                        }
                        (self.giving, self.unusable) = (true, unusable(tile, &shown));
                        self.ready.extend(shown.sequences);
                        self.record_filtered(shown.filtered);
                    }
                    Err(error) => return Some(Err(error)),
                }
                continue;
            }
            if self.is_scouting && self.tree.is_empty() {
                self.open();
            }
            self.go_on();
            let got = self.waits.next().await?;
            if let Err(error) = self.take(got) {
                return Some(Err(error));
            }
        }
    }

    fn tell(&self, event: &Event<'_>) {
        self.source.client.emit(event);
    }

    fn record_filtered(&mut self, filtered: Vec<(SequenceId, &'static str)>) {
        let new = filtered.into_iter().filter(|(id, _)| !self.seen.contains(id));
        self.filtered.extend(new);
    }

    /// Replaces the scouts by the tiles of the first level: those with lines first, because the others may be sea.
    fn open(&mut self) {
        self.is_scouting = false;
        let Some(cover) = self.source.cover(self.first_zoom, usize::MAX) else { return };
        let (first, rest): (Vec<_>, Vec<_>) =
            cover.into_iter().partition(|tile| self.hints.contains_key(tile));
        self.tree = Tree::of(first.into_iter().chain(rest));
        self.forecast.hint(std::mem::take(&mut self.hints));
    }

    fn hint(&mut self, tiles: Vec<TileId>) {
        for tile in tiles {
            let up = tile.z - self.first_zoom;
            let above = TileId { z: self.first_zoom, x: tile.x >> up, y: tile.y >> up };
            *self.hints.entry(above).or_default() += 1;
        }
    }

    /// Starts lookups of the next tiles, and the request of the first tile that was not found if the rate limit allows it.
    fn go_on(&mut self) {
        while let Some((place, tile)) = self.next_waiting() {
            if tile.z < self.first_zoom && !self.is_scouting {
                // A level above the first one is not read.
                self.tree.replace(&place, None, self.source.below([tile]));
            } else if !self.source.client.stores_tiles() {
                self.tree.set(place, Node::Missing(tile));
            } else if self.looking < self.window() {
                self.looking += 1;
                self.tree.set(place.clone(), Node::Looking(tile));
                let (source, is_scout) = (self.source.clone(), self.is_scouting);
                self.waits.push(Box::pin(async move {
                    Got::Cached(place, source.read_cached(tile, is_scout).await)
                }));
            } else {
                break;
            }
        }
        self.ask();
    }

    /// The current maximum number of requests in flight.
    fn window(&self) -> usize {
        let most = self.source.prefetch.min(self.source.client.concurrency()).min(IN_FLIGHT);
        self.most_in_flight.min(most).max(1)
    }

    /// The first waiting tile, unless enough tiles before it are open.
    fn next_waiting(&self) -> Option<(Place, TileId)> {
        let (mut begun, mut missing) = (0, 0);
        for (place, node) in self.tree.iter() {
            match node {
                Node::Waiting(tile) => return Some((place.clone(), *tile)),
                Node::Missing(_) => missing += 1,
                _ => {}
            }
            begun += 1;
            if begun >= self.source.prefetch || missing >= self.window() {
                break;
            }
        }
        None
    }

    /// Requests the first missing tile if the rate limit has granted a turn, else waits for a turn.
    fn ask(&mut self) {
        while self.in_flight < self.window() {
            let Some((place, node)) = self.tree.first_open() else { return };
            let place = place.clone();
            match node {
                Node::Missing(tile) if self.turn == Turn::Granted => {
                    let tile = *tile;
                    self.turn = Turn::None;
                    self.in_flight += 1;
                    self.tell(&Event::InputStarted { step: Step::SEQUENCES });
                    self.tree.set(place.clone(), Node::InFlight(tile));
                    let (source, health) = (self.source.clone(), Arc::clone(&self.health));
                    let is_scout = self.is_scouting;
                    self.waits.push(Box::pin(async move {
                        Got::Requested(place, source.read_requested(health, tile, is_scout).await)
                    }));
                }
                Node::Missing(_) if self.turn == Turn::None => {
                    self.turn = Turn::Awaited;
                    let client = self.source.client.clone();
                    self.waits.push(Box::pin(async move { Got::Turn(client.tile_turn().await) }));
                    return;
                }
                // The lookup may find it, and then it needs no turn.
                _ => return,
            }
        }
    }

    /// Takes a result. A fatal error overtakes everything else.
    fn take(&mut self, got: Got) -> Result<()> {
        match got {
            Got::Turn(turn) => {
                self.turn = Turn::Granted;
                turn
            }
            Got::Cached(place, kept) => {
                self.looking -= 1;
                let Some(Node::Looking(tile)) = self.tree.get(&place) else { return Ok(()) };
                let tile = *tile;
                let Some(look) = kept.transpose() else {
                    self.tree.set(place, Node::Missing(tile));
                    return Ok(());
                };
                self.tell(&Event::InputStarted { step: Step::SEQUENCES });
                self.put(&place, tile, look)
            }
            Got::Requested(place, look) => {
                self.in_flight -= 1;
                self.most_in_flight = (self.most_in_flight + 1).min(IN_FLIGHT);
                let Some(Node::InFlight(tile)) = self.tree.get(&place) else { return Ok(()) };
                let tile = *tile;
                self.put(&place, tile, look)
            }
        }
    }

    /// Replaces a tile by what it contains.
    fn put(&mut self, place: &Place, tile: TileId, look: Result<Look>) -> Result<()> {
        let mut following = Vec::new();
        match look {
            Ok(Look::Hints(tiles)) => {
                self.hint(tiles);
                self.tell(&Event::InputDone { step: Step::SEQUENCES });
                self.tree.remove(place);
            }
            Ok(Look::Descend) => {
                self.tell(&Event::InputDone { step: Step::SEQUENCES });
                following = self.source.below([tile]);
                self.tree.replace(place, None, following.iter().copied());
            }
            Ok(Look::Failed(error)) => {
                self.tell(&Event::TileSplit { tile, error: &error });
                self.tell(&Event::InputDone { step: Step::SEQUENCES });
                // All tiles below a scout are in the tree later.
                if !self.is_scouting {
                    following = self.source.below([tile]);
                }
                self.tree.replace(place, None, following.iter().copied());
            }
            Ok(Look::Lines(lines)) => {
                self.record_filtered(lines.filtered);
                following = lines.near;
                if following.is_empty() && lines.certain.is_empty() {
                    self.prune(place, tile);
                } else {
                    let shown = Shown { sequences: lines.certain, ..Shown::default() };
                    self.tree.replace(place, Some((tile, shown)), following.iter().copied());
                }
            }
            Ok(Look::Pruned) => self.prune(place, tile),
            Ok(Look::Sequences(shown)) => {
                self.tell(&Event::TileImages { tile, images: shown.images });
                self.tree.set(place.clone(), Node::Read(Ok((tile, shown))));
            }
            Err(error) if error.is_fatal() => return Err(error),
            Err(error) => self.tree.set(place.clone(), Node::Read(Err(error))),
        }
        if self.is_scouting {
            self.forecast.scout_read();
        } else {
            self.forecast.tile_read(tile, &following);
            let (read, expected) = (self.forecast.read(), self.forecast.expected());
            self.tell(&Event::TilesExpected { read, expected });
        }
        Ok(())
    }

    fn prune(&mut self, place: &Place, tile: TileId) {
        self.tell(&Event::TilePruned { tile });
        self.tree.remove(place);
    }
}

/// The end of the walk reports the sequences that did not match in any tile.
impl Drop for Walk {
    fn drop(&mut self) {
        for by in self.filtered.values() {
            self.tell(&Event::Filtered { step: Step::SEQUENCES, by });
        }
    }
}
