//! Repeats requests with empty responses.
//!
//! During an outage the API returned empty lists with status 200 for things that exist. So an empty response counts only
//! after it was repeated over some seconds.

use std::future::Future;
use std::time::Duration;

use crate::client::handle::Client;
use crate::error::{Error, ErrorKind, Result};
use crate::observe::{Class, Event};

/// The waits before an empty response is requested again, in units of the client's initial backoff (0.5 s): 8 s in all.
const WAITS: [u32; 5] = [1, 1, 2, 4, 8];

/// How often an empty response is requested again before it counts.
pub(crate) const MAX_EMPTY_RETRIES: usize = WAITS.len();

/// The longest wait between two retries.
const MAX_WAIT: Duration = Duration::from_mins(1);

impl Client {
    /// Returns the wait before a retry of an empty response. `retry` counts from 0.
    pub(crate) fn wait_after_empty(&self, retry: usize) -> Duration {
        let last = WAITS[WAITS.len() - 1];
        let beyond = u32::try_from(retry.saturating_sub(WAITS.len() - 1)).unwrap_or(u32::MAX).min(8);
        let units = WAITS.get(retry).copied().unwrap_or(last << beyond);
        self.shared.transport.retry.initial_backoff.saturating_mul(units).min(MAX_WAIT)
    }

    /// Reports a retry of an empty response to the observer and waits.
    pub(crate) async fn pause_after_empty(
        &self,
        retry: usize,
        doing: &'static str,
        subject: String,
    ) -> Result<()> {
        let wait = self.wait_after_empty(retry);
        let error = Error::new(ErrorKind::Unavailable, doing)
            .with_subject(subject)
            .with_source("the response is empty, which can be the sign of an outage");
        let attempt = u32::try_from(retry + 1).unwrap_or(u32::MAX);
        self.emit(&Event::Retry { class: Class::Search, error: &error, attempt, wait });
        tokio::select! {
            () = tokio::time::sleep(wait) => Ok(()),
            () = self.shared.transport.stop.cancelled() => {
                Err(Error::new(ErrorKind::Interrupted, doing).with_source("the run was stopped"))
            }
        }
    }

    /// Requests a page, and repeats the request while the page is empty, at most [`MAX_EMPTY_RETRIES`] times.
    pub(crate) async fn confirmed_page<P, F: Future<Output = Result<P>>>(
        &self,
        doing: &'static str,
        subject: &str,
        is_empty: impl Fn(&P) -> bool,
        mut request: impl FnMut() -> F,
    ) -> Result<P> {
        let mut page = request().await?;
        for retry in 0..MAX_EMPTY_RETRIES {
            if !is_empty(&page) {
                break;
            }
            self.pause_after_empty(retry, doing, subject.to_owned()).await?;
            page = request().await?;
        }
        Ok(page)
    }
}
