//! When an empty answer is believed.
//!
//! An outage was seen to answer with empty lists for things that exist, with
//! status 200. So an empty answer counts only after it was given again over
//! some seconds.

use std::future::Future;
use std::time::Duration;

use crate::client::class::Class;
use crate::client::handle::Client;
use crate::error::{Error, ErrorKind, Result};
use crate::observe::Event;

/// The waits before an empty answer is asked for again, in units of the client's first wait (half a second): 8 s in all.
const WAITS: [u32; 5] = [1, 1, 2, 4, 8];

/// How often an empty answer is asked for again before it is believed.
pub(crate) const EMPTY_ROUNDS: usize = WAITS.len();

/// No wait between two rounds is longer.
const MAX_WAIT: Duration = Duration::from_mins(1);

impl Client {
    /// The wait before an empty answer is asked for again for the `round`-th time, from 0.
    pub(crate) fn wait_after_empty(&self, round: usize) -> Duration {
        let last = WAITS[WAITS.len() - 1];
        let beyond = u32::try_from(round.saturating_sub(WAITS.len() - 1)).unwrap_or(u32::MAX).min(8);
        let units = WAITS.get(round).copied().unwrap_or(last << beyond);
        self.0.retry.initial_backoff.saturating_mul(units).min(MAX_WAIT)
    }

    /// Waits before an empty answer is asked for again, and tells the observer; `what` is said to be empty.
    pub(crate) async fn pause_after_empty(
        &self,
        round: usize,
        doing: &'static str,
        what: String,
    ) -> Result<()> {
        let wait = self.wait_after_empty(round);
        let error = Error::new(ErrorKind::Unavailable, doing)
            .with_subject(what)
            .with_source("the answer is empty, which happens in an outage too");
        let attempt = u32::try_from(round + 1).unwrap_or(u32::MAX);
        self.tell(&Event::Retry { class: Class::Search, error: &error, attempt, wait });
        tokio::select! {
            () = tokio::time::sleep(wait) => Ok(()),
            () = self.0.stop.cancelled() => {
                Err(Error::new(ErrorKind::Interrupted, doing).with_source("the run was stopped"))
            }
        }
    }

    /// Asks for a page, and for an empty one again until it is not empty or is to be believed.
    pub(crate) async fn believed_page<P, F: Future<Output = Result<P>>>(
        &self,
        doing: &'static str,
        subject: &str,
        is_empty: impl Fn(&P) -> bool,
        mut ask: impl FnMut() -> F,
    ) -> Result<P> {
        let mut page = ask().await?;
        for round in 0..EMPTY_ROUNDS {
            if !is_empty(&page) {
                break;
            }
            self.pause_after_empty(round, doing, subject.to_owned()).await?;
            page = ask().await?;
        }
        Ok(page)
    }
}
