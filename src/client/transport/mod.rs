//! Sends requests: rate limits, concurrency limits, retries, and the classification of responses.
//!
//! `send` starts a request, `retry_loop` repeats its attempts, and `attempt` is one of them. The other modules hold the
//! state and the rules that these use.

mod attempt;
pub(crate) mod body;
pub(crate) mod classify;
pub(crate) mod concurrency;
mod connect;
pub(crate) mod core;
pub(crate) mod image_hosts;
pub(crate) mod item_slot;
pub(crate) mod network_error;
pub(crate) mod proxy;
pub(crate) mod rate_limit;
pub(crate) mod rate_source;
pub(crate) mod reachability;
pub(crate) mod redirect;
pub(crate) mod request;
pub(crate) mod retry;
mod retry_loop;
mod send;
mod throughput;
pub(crate) mod tls;
