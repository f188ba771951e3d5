//! Requests empty image lists again before their sequences count as gone.
//!
//! During an outage, the API returns empty lists for sequences that exist. Each empty list is requested again after half
//! a second. The few that are still empty wait until the end of the step. Then they are requested in rounds, with growing
//! pauses, together with sequences that had images a moment ago. A round in which those are empty too does not count.

use std::collections::VecDeque;

use futures::future::BoxFuture;
use futures::stream::{self, BoxStream, StreamExt};

use super::in_order::{Bounds, in_order};
use crate::client::{Client, IdList, MAX_EMPTY_RETRIES};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Sequence, SequenceId};
use crate::sources::RecordStream;

const DOING: &str = "list the images of sequence";

/// Images in lists that may wait for an earlier list.
const MAX_WAITING: usize = 500_000;

/// Empty lists in a row that start a recheck at once. Doubled each time that the recheck confirms them.
const RECHECK_AFTER: usize = 50;

/// Empty lists that are not suspicious if others have images: three, or one in twenty.
const MAX_FEW: usize = 3;
const MAX_FEW_ONE_IN: u64 = 20;

/// Rounds for few empty lists.
const FEW_ROUNDS: usize = 2;

/// Rounds, in about two minutes, before the run gives up waiting for the end of an outage.
const MAX_ROUNDS: usize = 9;

/// Sequences with images that are remembered, to detect an outage.
const MAX_WITNESSES: usize = 3;

/// A sequence with images or invalid entries.
pub(super) struct Listing {
    pub(super) sequence: SequenceId,
    pub(super) list: IdList,
}

/// Lists the images of sequences in order. Sequences with an empty list come later.
pub(super) fn listings(
    client: Client,
    max_in_flight: usize,
    sequences: RecordStream<Sequence>,
) -> BoxStream<'static, Result<Listing>> {
    let requesting = client.clone();
    let start = move |sequence: Result<Sequence>, permit| {
        let client = requesting.with_slot(permit);
        async move {
            let listing = request_list(&client, sequence?.seq_id).await?;
            if !listing.list.is_empty() {
                return Ok(listing);
            }
            // A short fault does not change the order.
            tokio::time::sleep(client.wait_after_empty(0)).await;
            request_list(&client, listing.sequence).await
        }
    };
    let bounds = Bounds::new(client.concurrency(), MAX_WAITING).at_most(max_in_flight);
    let images_in = |listed: &Result<Listing>| listed.as_ref().map_or(1, |listing| listing.list.ids.len());
    let max_in_flight = max_in_flight.min(client.concurrency());
    let lists = Lists {
        responses: in_order(sequences, bounds, start, images_in).boxed(),
        client,
        max_in_flight,
        ended: false,
        found: 0,
        witnesses: VecDeque::new(),
        empty: Vec::new(),
        empty_in_a_row: 0,
        recheck_after: RECHECK_AFTER,
        recheck: None,
    };
    stream::unfold(lists, |mut lists| async { Some((lists.next().await?, lists)) }).boxed()
}

async fn request_list(client: &Client, sequence: SequenceId) -> Result<Listing> {
    let list = client.id_list(&sequence).await?;
    Ok(Listing { sequence, list })
}

struct Lists {
    client: Client,
    max_in_flight: usize,
    responses: BoxStream<'static, Result<Listing>>,
    /// All first responses were received.
    ended: bool,
    /// Number of sequences with images.
    found: u64,
    /// The latest sequences with images.
    witnesses: VecDeque<SequenceId>,
    /// Sequences with an empty list, to recheck later.
    empty: Vec<SequenceId>,
    /// Empty lists in a row, up to the latest response.
    empty_in_a_row: usize,
    /// Empty lists in a row that start a recheck.
    recheck_after: usize,
    recheck: Option<Recheck>,
}

/// A recheck of empty lists.
struct Recheck {
    round: usize,
    /// Rounds in which the witnesses had images.
    confirmed: usize,
    needed: usize,
    /// Sequences that are still empty after this round.
    empty: VecDeque<SequenceId>,
    /// Responses of this round that are still to come.
    responses: BoxStream<'static, Result<Listing>>,
    /// Whether this round counts.
    healthy: bool,
}

impl Lists {
    async fn next(&mut self) -> Option<Result<Listing>> {
        loop {
            if self.recheck.is_some() {
                if let Some(item) = self.next_rechecked().await {
                    return Some(item);
                }
                continue;
            }
            if self.ended && self.empty.is_empty() {
                return None;
            }
            if self.ended || self.empty_in_a_row >= self.recheck_after {
                self.start_recheck();
                continue;
            }
            match self.responses.next().await {
                None => self.ended = true,
                Some(Ok(listing)) if listing.list.is_empty() => {
                    self.empty_in_a_row += 1;
                    self.empty.push(listing.sequence);
                }
                Some(Ok(listing)) => {
                    self.add_witness(&listing);
                    return Some(Ok(listing));
                }
                Some(Err(error)) => return Some(Err(error)),
            }
        }
    }

    fn add_witness(&mut self, listing: &Listing) {
        self.empty_in_a_row = 0;
        self.found += 1;
        self.witnesses.push_back(listing.sequence.clone());
        if self.witnesses.len() > MAX_WITNESSES {
            self.witnesses.pop_front();
        }
    }

    fn start_recheck(&mut self) {
        let empty = std::mem::take(&mut self.empty);
        let many = empty.len() > MAX_FEW && empty.len() as u64 * MAX_FEW_ONE_IN > self.found;
        let needed = if many || self.witnesses.is_empty() { MAX_EMPTY_RETRIES } else { FEW_ROUNDS };
        self.recheck = Some(Recheck {
            round: 0,
            confirmed: 0,
            needed,
            empty: empty.into(),
            responses: stream::empty().boxed(),
            healthy: false,
        });
    }

    /// The next item of the recheck; `None` after a round and at the end.
    async fn next_rechecked(&mut self) -> Option<Result<Listing>> {
        let recheck = self.recheck.as_mut()?;
        while let Some(response) = recheck.responses.next().await {
            match response {
                Ok(listing) if listing.list.is_empty() => recheck.empty.push_back(listing.sequence),
                Ok(listing) => {
                    self.add_witness(&listing);
                    return Some(Ok(listing));
                }
                Err(error) => return Some(Err(error)),
            }
        }
        recheck.confirmed += usize::from(std::mem::take(&mut recheck.healthy));
        if recheck.empty.is_empty() {
            self.end_recheck();
            return None;
        }
        if recheck.confirmed >= recheck.needed || recheck.round == MAX_ROUNDS {
            let gone = recheck.confirmed >= recheck.needed;
            let sequence = recheck.empty.pop_front()?;
            return Some(Err(if gone {
                self.client.empty_sequence_error(&sequence).await
            } else {
                outage(&sequence)
            }));
        }
        self.begin_round().await.err().map(Err)
    }

    /// Ends the recheck: no sequence is left in it.
    fn end_recheck(&mut self) {
        let confirmed = self.recheck.take().is_some_and(|recheck| recheck.confirmed >= recheck.needed);
        self.empty_in_a_row = 0;
        if confirmed {
            self.recheck_after = self.recheck_after.saturating_mul(2);
        }
    }

    async fn begin_round(&mut self) -> Result<()> {
        let Some(recheck) = self.recheck.as_mut() else { return Ok(()) };
        let what = match recheck.empty.len() {
            1 => recheck.empty[0].to_string(),
            many => format!("{} and {} more", recheck.empty[0], many - 1),
        };
        let round = recheck.round;
        recheck.round += 1;
        self.client.pause_after_empty(round, DOING, what).await?;
        // For few sequences, one witness is enough; for many, all three must have images.
        let requests = if recheck.needed == FEW_ROUNDS { 1 } else { MAX_WITNESSES };
        let witnesses = self.witnesses.iter().rev().take(requests).cloned().collect::<Vec<_>>();
        let requesting: Vec<BoxFuture<'static, bool>> = witnesses
            .into_iter()
            .map(|sequence| {
                let client = self.client.clone();
                Box::pin(async move { client.still_has_images(&sequence).await }) as _
            })
            .collect();
        let had = futures::future::join_all(requesting).await;
        let is_outage = !had.is_empty() && !had.contains(&true);
        recheck.healthy = !had.contains(&false);
        if is_outage {
            return Ok(());
        }
        let client = self.client.clone();
        let requests = stream::iter(std::mem::take(&mut recheck.empty)).map(move |sequence| {
            let client = client.clone();
            async move { request_list(&client, sequence).await }
        });
        recheck.responses = requests.buffered(self.max_in_flight).boxed();
        Ok(())
    }
}

fn outage(sequence: &SequenceId) -> Error {
    Error::new(ErrorKind::Unavailable, DOING)
        .with_subject(sequence.as_str())
        .with_source("the API returns empty lists, even for sequences that had images just now")
        .with_hint("this looks like an outage of Mapillary: run the same command again later")
}
