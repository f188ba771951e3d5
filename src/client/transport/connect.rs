//! Connects to a host and judges failures below HTTP.

use std::time::Duration;

use tokio::time::Instant;

use super::core::Transport;
use super::network_error::{NetworkFault, network_error, proxy_auth_required};
use super::reachability::{FIRST_RESPONSE_TIMEOUT, Reachability};
use super::request::ApiRequest;
use crate::error::{Error, ErrorKind, Result};
use crate::observe::{Class, Event};

/// The pause before a request tries again to open a socket.
const SOCKET_RETRY_WAIT: Duration = Duration::from_millis(200);

/// How long a request waits for a socket after the last response to any request.
const SOCKET_TIMEOUT: Duration = Duration::from_secs(30);

impl Transport {
    /// Sends a request and waits for the headers. If no socket can be opened, waits for one.
    pub(crate) async fn connect(
        &self,
        request: &ApiRequest,
        mut builder: reqwest::RequestBuilder,
    ) -> Result<reqwest::Response> {
        let class = request.class;
        let host = self.host(class);
        let started = Instant::now();
        loop {
            let copy = builder.try_clone();
            let error = match builder.send().await.map_err(network_error) {
                // The status comes from the proxy, not from the host.
                Ok(response) if response.status().as_u16() == 407 && self.uses_proxy => {
                    return Err(proxy_auth_required());
                }
                Ok(response) => {
                    host.record_response(class, &request.url);
                    return Ok(response);
                }
                Err(error) => error,
            };
            let is_too_many_files = NetworkFault::find(&error) == Some(NetworkFault::TooManyFiles);
            let Some(copy) = copy.filter(|_| is_too_many_files) else {
                return Err(error);
            };
            let error = error.with_context(request.doing, &request.subject);
            self.report_once(class, NetworkFault::TooManyFiles, &error);
            let last = self.hosts.iter().filter_map(Reachability::last_response).max();
            let (since, timeout) = match last {
                Some(response) => (response.max(started), SOCKET_TIMEOUT),
                None => (started, FIRST_RESPONSE_TIMEOUT),
            };
            if since.elapsed() >= timeout {
                return Err(error.with_kind(ErrorKind::Unreachable));
            }
            tokio::time::sleep(SOCKET_RETRY_WAIT).await;
            builder = copy;
        }
    }

    /// Sets the kind of a failed attempt, which depends on earlier responses, and adds the context.
    pub(crate) fn judge_failure(&self, request: &ApiRequest, error: Error) -> Error {
        let (class, error) = (request.class, error.with_context(request.doing, &request.subject));
        if error.kind() == ErrorKind::Auth {
            return self.with_token_hint(error);
        }
        let host = self.host(class);
        let fault = NetworkFault::find(&error).filter(|_| error.kind() == ErrorKind::Unavailable);
        let error = match fault {
            Some(fault) => error.with_kind(host.error_kind(class, &request.url, fault)),
            None => error,
        };
        match (error.kind(), fault) {
            (ErrorKind::Unreachable, _) => host.give_up(&error),
            // A rejected request is reported with its record.
            (ErrorKind::Unavailable, Some(fault)) if fault != NetworkFault::Broken => {
                self.report_once(class, fault, &error);
            }
            _ => {}
        }
        error
    }

    fn report_once(&self, class: Class, fault: NetworkFault, error: &Error) {
        if self.host(class).is_first(fault) {
            self.emit(&Event::HostUnreachable { class, error });
        }
    }

    /// Extends the hint if the refused token does not look like one: it was probably copied incompletely.
    fn with_token_hint(&self, error: Error) -> Error {
        let is_unusual = self.token.as_ref().is_some_and(|token| !token.has_usual_form());
        match error.hint().map(str::to_owned) {
            Some(hint) if is_unusual => error.with_hint(format!(
                "{hint}; the token does not have the usual form `MLY|<16 digits>|<32 letters and digits>` and may be incomplete"
            )),
            _ => error,
        }
    }
}
