//! The body of a response.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use super::classify::{ResponseHead, classify};
use super::core::Transport;
use super::network_error::network_error;
use super::request::stalled;
use super::throughput::ThroughputCheck;
use crate::error::{Error, ErrorKind, Result};
use crate::observe::Class;

const MIB: usize = 1 << 20;

/// How many bytes of the body of a failed request are read.
const MAX_EXCERPT_LEN: usize = 64 << 10;

/// How many bodies above the usual length may be in memory at once.
pub(crate) const MAX_LARGE_BODIES: usize = 6;

/// Returns the length up to which any number of bodies may be in memory. Dense tiles have 12 MB.
fn usual_len(class: Class) -> usize {
    match class {
        Class::Tile => 16 * MIB,
        _ => MIB,
    }
}

fn max_len(class: Class) -> usize {
    match class {
        Class::Picture => 200 * MIB,
        Class::Tile | Class::Entity | Class::Search => 64 * MIB,
    }
}

/// A response with its body still to be read.
pub(crate) struct ResponseBody {
    response: reqwest::Response,
    head: ResponseHead,
    class: Class,
    /// How many bytes were read.
    received: usize,
    throughput: ThroughputCheck,
    transport: Arc<Transport>,
}

/// A body in memory. A large one holds its permit until it is dropped.
struct LargeBody {
    bytes: Vec<u8>,
    _permit: Option<OwnedSemaphorePermit>,
}

impl AsRef<[u8]> for LargeBody {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl ResponseBody {
    pub(crate) fn new(
        response: reqwest::Response,
        head: ResponseHead,
        class: Class,
        transport: Arc<Transport>,
    ) -> Self {
        Self { response, head, class, received: 0, throughput: ThroughputCheck::default(), transport }
    }

    pub(crate) fn head(&self) -> &ResponseHead {
        &self.head
    }

    /// Returns the length that the server declared for the bytes of [`ResponseBody::chunk`].
    pub(crate) fn declared_len(&self) -> Option<u64> {
        self.response.content_length()
    }

    /// Reads the next bytes of the body; `None` at its end.
    ///
    /// A stall, a low throughput and a body above the limit of its class are errors.
    pub(crate) async fn chunk(&mut self) -> Result<Option<Bytes>> {
        let (stall, started) = (self.transport.timeouts.stall, Instant::now());
        let next = async { self.response.chunk().await.map_err(network_error) };
        let chunk = tokio::time::timeout(stall, next).await.unwrap_or_else(|_| Err(stalled(stall)))?;
        if let Some(chunk) = &chunk {
            self.throughput.add(chunk.len(), started.elapsed(), stall)?;
        }
        self.received += chunk.as_ref().map_or(0, Bytes::len);
        let limit = max_len(self.class);
        if self.received > limit {
            let why = format!("the response is larger than {} MiB", limit / MIB);
            return Err(Error::new(ErrorKind::Rejected, "").with_source(why).with_status(self.head.status));
        }
        Ok(chunk)
    }

    /// Reads the whole body and classifies it.
    pub(crate) async fn read_all(mut self) -> Result<Bytes> {
        let first = self.chunk().await?.unwrap_or_default();
        let Some(second) = self.chunk().await? else { return self.check(first) };
        let mut bytes = Vec::with_capacity(first.len() + second.len());
        bytes.extend_from_slice(&first);
        bytes.extend_from_slice(&second);
        let mut permit = None;
        while let Some(chunk) = self.chunk().await? {
            bytes.extend_from_slice(&chunk);
            if permit.is_none() && bytes.len() > usual_len(self.class) {
                permit = Arc::clone(&self.transport.large_bodies).acquire_owned().await.ok();
            }
        }
        self.check(Bytes::from_owner(LargeBody { bytes, _permit: permit }))
    }

    fn check(&self, body: Bytes) -> Result<Bytes> {
        let body = self.transport.redact_body(self.class, body)?;
        classify(self.class, &self.head, &body).map_or(Ok(body), Err)
    }

    /// Reads the start of the body of a failed request.
    ///
    /// If the connection breaks, the missing part may have held the reason. Then the error is a network failure, unless
    /// the status says enough.
    pub(crate) async fn excerpt(&mut self) -> Result<Vec<u8>> {
        let mut excerpt = Vec::new();
        while excerpt.len() < MAX_EXCERPT_LEN {
            match self.chunk().await {
                Ok(Some(chunk)) => excerpt.extend_from_slice(&chunk),
                Err(error) if (400..429).contains(&self.head.status) => return Err(error),
                _ => break,
            }
        }
        Ok(excerpt)
    }
}
