//! Fetches a response, parses it and stores it within the same attempt.

use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use tokio_util::task::AbortOnDropHandle;

use crate::client::cache::response_cache::CacheEntry;
use crate::client::handle::Client;
use crate::client::transport::request::ApiRequest;
use crate::client::transport::retry::RetryOverride;
use crate::error::{Error, ErrorKind, Result};

impl Client {
    /// Sends a request. `parse` returns the result and what to store of the response.
    ///
    /// Parsing and storing are part of the attempt: a body that can't be parsed is retried, and once the request is no
    /// longer in flight, a kill can't lose its response.
    pub(crate) async fn fetch<T: Send + 'static>(
        &self,
        request: ApiRequest,
        retry: RetryOverride,
        parse: impl Fn(Bytes) -> Result<(T, Option<CacheEntry>)> + Send + Sync + 'static,
    ) -> Result<T> {
        let (client, class) = (self.clone(), request.class);
        let parse = Arc::new(parse);
        self.send(request, retry, move |response| {
            let (client, parse) = (client.clone(), Arc::clone(&parse));
            async move {
                let body = response.read_all().await?;
                let bytes = body.len();
                let (result, entry) = parse(body)?;
                if let Some(entry) = entry {
                    client.store(entry).await?;
                }
                client.emit_response(class, bytes);
                Ok(result)
            }
        })
        .await
    }
}

/// Runs work in its own task, so that a response is stored when it arrives and not when the caller polls for it.
pub(crate) async fn in_task<T: Send + 'static>(
    work: impl Future<Output = Result<T>> + Send + 'static,
) -> Result<T> {
    let task = AbortOnDropHandle::new(tokio::spawn(work));
    task.await.unwrap_or_else(|panic| {
        Err(Error::new(ErrorKind::Unavailable, "finish a request").with_source(panic.to_string()))
    })
}
