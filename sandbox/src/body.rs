//! The body of an answer, whole or in one of the ways it can go wrong.

use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::time::{Sleep, sleep};

use super::record::UnderWay;

/// How the bytes are sent.
#[derive(Debug, Clone, Copy)]
pub(super) enum Manner {
    /// All at once.
    Whole,
    /// So many, then the connection drops.
    Cut(usize),
    /// None at all, ever.
    Never,
    /// So many a second.
    Trickle(u32),
}

/// A body that counts as under way until its last byte was handed over.
pub(super) struct Body {
    rest: Bytes,
    manner: Manner,
    /// Whether the bytes before a cut were sent.
    cut: bool,
    pause: Option<Pin<Box<Sleep>>>,
    under_way: Option<UnderWay>,
}

impl Body {
    pub(super) fn new(bytes: Bytes, manner: Manner, under_way: UnderWay) -> Self {
        // Nobody polls an empty body, so there is nothing to wait for.
        let under_way = (!bytes.is_empty()).then_some(under_way);
        Self { rest: bytes, manner, cut: false, pause: None, under_way }
    }

    /// The next bytes; with the last of them the request is over, before the client can see it.
    fn next(&mut self, most: usize) -> Option<Result<Frame<Bytes>, io::Error>> {
        let bytes = self.rest.split_to(most.min(self.rest.len()));
        if self.rest.is_empty() {
            self.under_way = None;
        }
        (!bytes.is_empty()).then(|| Ok(Frame::data(bytes)))
    }

    fn rest_for(&mut self, pause: Duration) {
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
        Poll::Ready(match self.manner {
            Manner::Whole => self.next(usize::MAX),
            Manner::Never => return Poll::Pending,
            Manner::Trickle(bytes_per_second) => {
                self.rest_for(Duration::from_millis(100));
                self.next((bytes_per_second as usize / 10).max(1))
            }
            Manner::Cut(_) if self.cut => {
                self.under_way = None;
                Some(Err(io::ErrorKind::ConnectionAborted.into()))
            }
            Manner::Cut(bytes) => {
                self.cut = true;
                // An error at once would throw away what was not sent yet.
                self.rest_for(Duration::from_millis(20));
                if bytes == 0 {
                    return self.poll_frame(context);
                }
                // The last byte is never sent: a whole answer is no truncated one.
                let most = bytes.min(self.rest.len().saturating_sub(1));
                self.next(most)
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
