//! Starts a request in a task of its own.

use std::future::Future;
use std::sync::Arc;

use tokio_util::task::AbortOnDropHandle;

use super::body::ResponseBody;
use super::core::Transport;
use super::item_slot::ItemSlot;
use super::request::ApiRequest;
use super::retry::RetryOverride;
use crate::error::{Error, ErrorKind, Result};

impl Transport {
    /// Sends a request until an attempt succeeds or a retry is useless. `read` reads the body of each response.
    ///
    /// The request runs in its own task, so that a slow consumer can't stall it into a timeout. To drop the future ends
    /// the task.
    pub(crate) async fn send<T, R, F>(
        self: &Arc<Self>,
        request: ApiRequest,
        retry: RetryOverride,
        item: Option<Arc<ItemSlot>>,
        read: R,
    ) -> Result<T>
    where
        T: Send + 'static,
        R: FnMut(ResponseBody) -> F + Send + 'static,
        F: Future<Output = Result<T>> + Send,
    {
        let (doing, subject, transport) = (request.doing, request.subject.clone(), Arc::clone(self));
        let host = self.host(request.class);
        let attempts = async move { transport.retry_loop(request, retry, item, read).await };
        let task = AbortOnDropHandle::new(tokio::spawn(attempts));
        let result = tokio::select! {
            result = task => result,
            unreachable = host.given_up(doing, &subject) => return Err(unreachable),
            () = self.stop.cancelled() => {
                let stopped = Error::new(ErrorKind::Interrupted, doing).with_subject(subject);
                return Err(stopped.with_source("the run was stopped"));
            }
        };
        result.unwrap_or_else(|panic| {
            Err(Error::new(ErrorKind::Unavailable, doing).with_source(panic.to_string()))
        })
    }
}
