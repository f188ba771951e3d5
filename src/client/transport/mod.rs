//! Sends requests: rate limits, concurrency, retries and the classification of responses.

pub(crate) mod classify;
pub(crate) mod concurrency;
pub(crate) mod image_hosts;
pub(crate) mod item_slot;
pub(crate) mod network_error;
pub(crate) mod proxy;
pub(crate) mod rate_limit;
pub(crate) mod reachability;
pub(crate) mod retry;
pub(crate) mod retry_loop;
pub(crate) mod send;
pub(crate) mod throughput;
pub(crate) mod tls;
