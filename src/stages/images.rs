//! Sequences to their images.

use futures::StreamExt;
use futures::stream;

use super::in_order::{Bounds, in_order};
use super::{Stage, end_in_doubt};
use crate::client::{Class, Client};
use crate::error::Result;
use crate::model::{Image, Sequence};
use crate::observe::Event;
use crate::sources::RecordStream;

/// The step's name in events.
const STEP: &str = "images";

/// Images that may wait for those of an earlier sequence: some 25 MB.
const MOST_WAITING: usize = 500_000;

/// Lists the images of each sequence, in the order the API gives them: that of capture.
///
/// A sequence that exists no longer gives one error of kind [`Gone`](crate::ErrorKind::Gone)
/// in its place; where nearly all are said to, the stream ends with an error of
/// kind [`Auth`](crate::ErrorKind::Auth) instead. When all images of a sequence are passed on, the client's
/// observer is told ([`Event::Listed`]).
///
/// ```
/// # #[cfg(feature = "sandbox")]
/// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use futures::{TryStreamExt, stream};
/// use streetflow::{Flow, Image, ListImages, Sequence, SequenceId, sandbox::Sandbox};
///
/// let sandbox = Sandbox::start().await?;
/// let drive = &sandbox.world().sequences()[0];
/// let sequence = Sequence { org_id: None, seq_id: SequenceId::new(drive.id())? };
/// let images: Vec<Image> = Flow::from(stream::iter([Ok(sequence)]))
///     .then(ListImages::new(&sandbox.client()?))
///     .try_collect()
///     .await?;
/// assert_eq!(images.len(), drive.image_count() as usize);
/// # Ok(()) }
/// # #[cfg(not(feature = "sandbox"))] fn main() {}
/// ```
#[derive(Clone)]
#[must_use]
pub struct ListImages {
    client: Client,
    ahead: usize,
}

impl ListImages {
    /// Asks through a client, as many sequences at a time as it allows.
    pub fn new(client: &Client) -> Self {
        Self { client: client.clone(), ahead: usize::MAX }
    }

    /// Has no more than so many sequences under way, where fewer are wanted than the client allows.
    pub fn ahead(mut self, sequences: usize) -> Self {
        self.ahead = self.ahead.min(sequences.max(1));
        self
    }
}

impl Stage<Sequence> for ListImages {
    type Out = Image;

    fn apply(self, sequences: RecordStream<Sequence>) -> RecordStream<Image> {
        let client = self.client.clone();
        let observed = self.client.clone();
        let bounds = Bounds::of(self.client.concurrency(), MOST_WAITING).at_most(self.ahead);
        let start = move |sequence: Result<Sequence>, place| {
            let client = self.client.with_place(place);
            async move { list(&client, sequence?).await }
        };
        let images_in = |listed: &Result<Vec<Image>>| listed.as_ref().map_or(1, Vec::len);
        let listed = in_order(sequences, bounds, start, images_in).flat_map(move |listed| match listed {
            Ok(images) => {
                let client = observed.clone();
                let mut images = images.into_iter();
                let told = move || {
                    images.next().or_else(|| {
                        client.tell(&Event::Listed { step: STEP });
                        None
                    })
                };
                stream::iter(std::iter::from_fn(told).fuse().map(Ok)).left_stream()
            }
            Err(error) => stream::once(std::future::ready(Err(error))).right_stream(),
        });
        end_in_doubt(listed, client, Class::Search)
    }
}

async fn list(client: &Client, sequence: Sequence) -> Result<Vec<Image>> {
    let ids = client.image_ids(&sequence.seq_id).await?;
    Ok(ids.into_iter().map(|img_id| Image { seq_id: sequence.seq_id.clone(), img_id }).collect())
}
