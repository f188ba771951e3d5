//! Lists of images that are empty: asked again before their sequences count as gone.
//!
//! An outage answers so for sequences that exist. Each is asked again after half
//! a second. Those that are empty still are rare, so they wait until the end of
//! the step, where time has passed. Then they are asked in rounds, with growing waits, beside sequences that had images a moment
//! ago: while those are empty too it is an outage, and the round does not
//! count.

use std::collections::VecDeque;

use futures::future::BoxFuture;
use futures::stream::{self, BoxStream, StreamExt};

use super::in_order::{Bounds, in_order};
use crate::client::{Client, IdList, MAX_EMPTY_RETRIES};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Sequence, SequenceId};
use crate::sources::RecordStream;

const DOING: &str = "list the images of sequence";

/// Images of lists that may wait for an earlier list that is late.
const MAX_WAITING: usize = 500_000;

/// So many empty lists in a row are asked again at once; doubled each time that they are confirmed.
const SUSPICIOUS: usize = 50;

/// How many empty lists among all are not suspicious, as long as others have images: three, or one in twenty.
const FEW: usize = 3;
const FEW_ONE_IN: u64 = 20;

/// How often few are asked again.
const FEW_ROUNDS: usize = 2;

/// After so many rounds, about two minutes, an outage is no longer waited for.
const MAX_ROUNDS: usize = 9;

/// How many sequences that had images are remembered, to tell an outage.
const WITNESSES: usize = 3;

/// A sequence that has images, or entries that can't be used.
pub(super) struct Listing {
    pub(super) sequence: SequenceId,
    pub(super) list: IdList,
}

/// The lists of sequences in their order; those of which the first answer was empty come later.
pub(super) fn listings(
    client: Client,
    ahead: usize,
    sequences: RecordStream<Sequence>,
) -> BoxStream<'static, Result<Listing>> {
    let asking = client.clone();
    let start = move |sequence: Result<Sequence>, place| {
        let client = asking.with_slot(place);
        async move {
            let listing = ask(&client, sequence?.seq_id).await?;
            if !listing.list.is_empty() {
                return Ok(listing);
            }
            // A short fault need not change the order.
            tokio::time::sleep(client.wait_after_empty(0)).await;
            ask(&client, listing.sequence).await
        }
    };
    let bounds = Bounds::of(client.concurrency(), MAX_WAITING).at_most(ahead);
    let images_in = |listed: &Result<Listing>| listed.as_ref().map_or(1, |listing| listing.list.ids.len());
    let ahead = ahead.min(client.concurrency());
    let lists = Lists {
        answers: in_order(sequences, bounds, start, images_in).boxed(),
        client,
        ahead,
        ended: false,
        found: 0,
        witnesses: VecDeque::new(),
        empty: Vec::new(),
        in_a_row: 0,
        suspicious: SUSPICIOUS,
        again: None,
    };
    stream::unfold(lists, |mut lists| async { Some((lists.next().await?, lists)) }).boxed()
}

async fn ask(client: &Client, sequence: SequenceId) -> Result<Listing> {
    let list = client.id_list(&sequence).await?;
    Ok(Listing { sequence, list })
}

struct Lists {
    client: Client,
    ahead: usize,
    answers: BoxStream<'static, Result<Listing>>,
    /// The answers came to their end.
    ended: bool,
    /// How many sequences had images.
    found: u64,
    /// The latest of them.
    witnesses: VecDeque<SequenceId>,
    /// Sequences with an empty list, to be asked again.
    empty: Vec<SequenceId>,
    /// How many of the latest answers were empty.
    in_a_row: usize,
    /// How many in a row are asked again at once.
    suspicious: usize,
    again: Option<Again>,
}

/// Empty lists that are being asked again.
struct Again {
    round: usize,
    /// Rounds in which others had images.
    confirmed: usize,
    needed: usize,
    /// Those still empty after this round.
    empty: VecDeque<SequenceId>,
    /// The answers of this round that are still to come.
    answers: BoxStream<'static, Result<Listing>>,
    /// Whether this round counts.
    healthy: bool,
}

impl Lists {
    async fn next(&mut self) -> Option<Result<Listing>> {
        loop {
            if self.again.is_some() {
                if let Some(item) = self.next_again().await {
                    return Some(item);
                }
                continue;
            }
            if self.ended && self.empty.is_empty() {
                return None;
            }
            if self.ended || self.in_a_row >= self.suspicious {
                self.ask_again();
                continue;
            }
            match self.answers.next().await {
                None => self.ended = true,
                Some(Ok(listing)) if listing.list.is_empty() => {
                    self.in_a_row += 1;
                    self.empty.push(listing.sequence);
                }
                Some(Ok(listing)) => {
                    self.note_found(&listing);
                    return Some(Ok(listing));
                }
                Some(Err(error)) => return Some(Err(error)),
            }
        }
    }

    fn note_found(&mut self, listing: &Listing) {
        self.in_a_row = 0;
        self.found += 1;
        self.witnesses.push_back(listing.sequence.clone());
        if self.witnesses.len() > WITNESSES {
            self.witnesses.pop_front();
        }
    }

    fn ask_again(&mut self) {
        let empty = std::mem::take(&mut self.empty);
        let many = empty.len() > FEW && empty.len() as u64 * FEW_ONE_IN > self.found;
        let needed = if many || self.witnesses.is_empty() { MAX_EMPTY_RETRIES } else { FEW_ROUNDS };
        self.again = Some(Again {
            round: 0,
            confirmed: 0,
            needed,
            empty: empty.into(),
            answers: stream::empty().boxed(),
            healthy: false,
        });
    }

    /// The next of what is asked again; none when the round is over, and at the end.
    async fn next_again(&mut self) -> Option<Result<Listing>> {
        let again = self.again.as_mut()?;
        while let Some(answer) = again.answers.next().await {
            match answer {
                Ok(listing) if listing.list.is_empty() => again.empty.push_back(listing.sequence),
                Ok(listing) => {
                    self.note_found(&listing);
                    return Some(Ok(listing));
                }
                Err(error) => return Some(Err(error)),
            }
        }
        again.confirmed += usize::from(std::mem::take(&mut again.healthy));
        if again.empty.is_empty() {
            self.settle();
            return None;
        }
        if again.confirmed >= again.needed || again.round == MAX_ROUNDS {
            let gone = again.confirmed >= again.needed;
            let sequence = again.empty.pop_front()?;
            return Some(Err(if gone {
                self.client.empty_sequence_error(&sequence).await
            } else {
                outage(&sequence)
            }));
        }
        self.begin_round().await.err().map(Err)
    }

    /// Nothing is empty any more of what was asked again.
    fn settle(&mut self) {
        let confirmed = self.again.take().is_some_and(|again| again.confirmed >= again.needed);
        self.in_a_row = 0;
        if confirmed {
            self.suspicious = self.suspicious.saturating_mul(2);
        }
    }

    async fn begin_round(&mut self) -> Result<()> {
        let Some(again) = self.again.as_mut() else { return Ok(()) };
        let what = match again.empty.len() {
            1 => again.empty[0].to_string(),
            many => format!("{} and {} more", again.empty[0], many - 1),
        };
        let round = again.round;
        again.round += 1;
        self.client.pause_after_empty(round, DOING, what).await?;
        // Few need one witness; where many are empty, all three must have images.
        let asked = if again.needed == FEW_ROUNDS { 1 } else { WITNESSES };
        let witnesses = self.witnesses.iter().rev().take(asked).cloned().collect::<Vec<_>>();
        let asking: Vec<BoxFuture<'static, bool>> = witnesses
            .into_iter()
            .map(|sequence| {
                let client = self.client.clone();
                Box::pin(async move { client.still_has_images(&sequence).await }) as _
            })
            .collect();
        let had = futures::future::join_all(asking).await;
        let is_outage = !had.is_empty() && !had.contains(&true);
        again.healthy = !had.contains(&false);
        if is_outage {
            return Ok(());
        }
        let client = self.client.clone();
        let asked = stream::iter(std::mem::take(&mut again.empty)).map(move |sequence| {
            let client = client.clone();
            async move { ask(&client, sequence).await }
        });
        again.answers = asked.buffered(self.ahead).boxed();
        Ok(())
    }
}

fn outage(sequence: &SequenceId) -> Error {
    Error::new(ErrorKind::Unavailable, DOING)
        .with_subject(sequence.as_str())
        .with_source("the API gives empty lists, even for sequences that had images just now")
        .with_hint("it looks like an outage at Mapillary: run the same command again later")
}
