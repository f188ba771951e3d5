//! Batches of requests: how a stream is cut into them, how patient their requests are, and when they are split.

use futures::{Stream, StreamExt, stream};

use crate::client::{Class, Client, RetryOverride};
use crate::error::{Error, ErrorKind, Result};
use crate::sources::RecordStream;

/// Attempts before a batch is split, while the host responds to others. A part of a batch gets one.
pub(super) const BATCH_ATTEMPTS: u32 = 2;

/// Most items of a batch with those that do not count, in multiples of the size.
const MAX_BATCH_LEN: usize = 16;

/// Cuts a stream into batches of `size` items. Errors, and items for which `counts` returns false, stay in place and do
/// not count; a fatal error ends the stream.
///
/// An item for which `starts_batch` returns true begins a new batch.
pub(super) fn batches<T: Send + 'static>(
    items: RecordStream<T>,
    size: usize,
    starts_batch: impl Fn(&T) -> bool + Send + 'static,
    counts: impl Fn(&T) -> bool + Send + 'static,
) -> impl Stream<Item = Vec<Result<T>>> + Send {
    let items = Box::pin(items.peekable());
    stream::unfold(Some((items, starts_batch, counts)), move |state| async move {
        let (mut items, starts_batch, counts) = state?;
        let (mut batch, mut good) = (Vec::new(), 0);
        while good < size && batch.len() < MAX_BATCH_LEN * size {
            if good > 0 && matches!(items.as_mut().peek().await, Some(Ok(item)) if starts_batch(item)) {
                break;
            }
            let Some(item) = items.next().await else {
                return (!batch.is_empty()).then_some((batch, None));
            };
            let is_last = item.as_ref().is_err_and(Error::is_fatal);
            good += usize::from(item.as_ref().is_ok_and(&counts));
            batch.push(item);
            if is_last {
                return Some((batch, None));
            }
        }
        Some((batch, Some((items, starts_batch, counts))))
    })
}

/// The results of the items of a batch, in order, up to a fatal error. Errors of the stream stay in place.
pub(super) fn results<T, R>(
    batch: Vec<Result<T>>,
    mut result_of: impl FnMut(T) -> Result<R>,
) -> Vec<Result<R>> {
    let mut results = Vec::with_capacity(batch.len());
    for item in batch {
        let result = item.and_then(&mut result_of);
        let is_last = result.as_ref().is_err_and(Error::is_fatal);
        results.push(result);
        if is_last {
            break;
        }
    }
    results
}

/// A failed item for each id of a batch, because its task panicked.
pub(super) fn panicked<R>(
    doing: &'static str,
    ids: impl IntoIterator<Item = impl AsRef<str>>,
    panic: &tokio::task::JoinError,
) -> Vec<Result<R>> {
    let failed = |id: &str| {
        let error = Error::new(ErrorKind::Unavailable, doing).with_subject(id);
        Err(error.with_source(panic.to_string()))
    };
    ids.into_iter().map(|id| failed(id.as_ref())).collect()
}

/// An error for a row that would be lost otherwise.
pub(super) fn no_result(doing: &'static str, id: &str) -> Error {
    Error::new(ErrorKind::Malformed, doing).with_subject(id).with_source("no response contains it")
}

/// The requests of one batch, which is split until the item that causes a failure is found.
pub(super) struct Splitting {
    client: Client,
    /// Successful responses of the host before the batch was sent. If there are more later, the host responds to others.
    responses: u64,
}

impl Splitting {
    pub(super) fn new(client: &Client) -> Self {
        Self { client: client.clone(), responses: client.responses(Class::Entity) }
    }

    /// The patience of a request for a part of the batch; `depth` is the number of requests in which the part failed.
    pub(super) fn patience(&self, depth: u32) -> RetryOverride {
        match depth {
            0 => RetryOverride { max_attempts: Some(BATCH_ATTEMPTS), ..RetryOverride::default() },
            _ => self.attempts(1),
        }
    }

    /// This number of attempts, if the host responds to others.
    pub(super) fn attempts(&self, attempts: u32) -> RetryOverride {
        RetryOverride {
            max_attempts: Some(attempts),
            min_responses: Some(self.responses),
            ..RetryOverride::default()
        }
    }

    /// Whether a single item may cause the failure of a part. An overloaded server looks the same, so a part is split only
    /// while the host responds to others, or if the error requires it.
    pub(super) fn may_have_bad_item(&self, error: &Error, depth: u32) -> bool {
        match error.kind() {
            ErrorKind::Gone | ErrorKind::Rejected | ErrorKind::TooLarge => true,
            ErrorKind::Unavailable | ErrorKind::Malformed => {
                let gave_up_early = error.attempts() < self.client.max_attempts();
                let responds_to_others = self.client.responses(Class::Entity) > self.responses;
                gave_up_early
                    || depth == 0
                    || (responds_to_others && self.client.is_host_healthy(Class::Entity))
            }
            _ => false,
        }
    }
}
