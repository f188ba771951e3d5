//! The body of a response: complete, slow, cut off, or never sent.

use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::time::{Sleep, sleep};

use crate::request_log::InFlight;

/// How to send a body.
#[derive(Debug, Clone, Copy)]
pub(super) enum Delivery {
    /// All at once.
    Complete,
    /// This many bytes, then the connection closes.
    Cut(usize),
    /// No byte, and the connection stays open.
    Never,
    /// This many bytes per second.
    Trickle(u32),
}

/// A body that keeps its request in flight until the last byte is sent.
pub(super) struct Body {
    rest: Bytes,
    delivery: Delivery,
    /// Whether the bytes before the cut are sent.
    cut: bool,
    pause: Option<Pin<Box<Sleep>>>,
    in_flight: Option<InFlight>,
}

impl Body {
    pub(super) fn new(bytes: Bytes, delivery: Delivery, in_flight: InFlight) -> Self {
        // An empty body is never polled.
        let in_flight = (!bytes.is_empty()).then_some(in_flight);
        Self { rest: bytes, delivery, cut: false, pause: None, in_flight }
    }

    /// Returns up to `max_len` bytes. Ends the request before the client receives the last byte.
    fn next(&mut self, max_len: usize) -> Option<Result<Frame<Bytes>, io::Error>> {
        let bytes = self.rest.split_to(max_len.min(self.rest.len()));
        if self.rest.is_empty() {
            self.in_flight = None;
        }
        (!bytes.is_empty()).then(|| Ok(Frame::data(bytes)))
    }

    fn pause_for(&mut self, pause: Duration) {
        self.pause = Some(Box::pin(sleep(pause)));
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if let Some(pause) = &mut self.pause {
            ready!(pause.as_mut().poll(context));
            self.pause = None;
        }
        Poll::Ready(match self.delivery {
            Delivery::Complete => self.next(usize::MAX),
            Delivery::Never => return Poll::Pending,
            Delivery::Trickle(bytes_per_second) => {
                self.pause_for(Duration::from_millis(100));
                self.next((bytes_per_second as usize / 10).max(1))
            }
            Delivery::Cut(_) if self.cut => {
                self.in_flight = None;
                Some(Err(io::ErrorKind::ConnectionAborted.into()))
            }
            Delivery::Cut(bytes) => {
                self.cut = true;
                // An immediate error would discard the bytes that are not sent yet.
                self.pause_for(Duration::from_millis(20));
                if bytes == 0 {
                    return self.poll_frame(context);
                }
                // The last byte is never sent, because with it the response would be complete.
                let max_len = bytes.min(self.rest.len().saturating_sub(1));
                self.next(max_len)
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.rest.len() as u64)
    }
}
