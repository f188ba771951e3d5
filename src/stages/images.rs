//! Sequences to their images.

use futures::StreamExt;
use futures::stream;

use super::empty_lists::{Listing, listings};
use super::{Stage, end_in_doubt};
use crate::client::{Class, Client, invalid_entries_error};
use crate::model::{Image, Sequence};
use crate::observe::{Event, Step};
use crate::sources::RecordStream;

/// Lists the images of each sequence, in the order the API gives them: that of capture.
///
/// A sequence that exists no longer gives one error of kind [`Gone`](crate::ErrorKind::Gone)
/// in its place; where nearly all are said to, the stream ends with an error of
/// kind [`Auth`](crate::ErrorKind::Auth) instead. When all images of a sequence are passed on, the client's
/// observer is told ([`Event::InputDone`]). Ids that can't be used are one error of
/// kind [`Malformed`](crate::ErrorKind::Malformed) behind the good ones.
///
/// A list without images may be an outage, so such sequences are asked again at
/// the end, and where fifty follow each other. Their images come then, and only
/// those that stay empty while others are not are gone.
///
/// ```
/// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use futures::{TryStreamExt, stream};
/// use streetflow::{Flow, Image, ListImages, Sequence, SequenceId};
/// use streetflow_sandbox::Sandbox;
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
    pub fn max_in_flight(mut self, sequences: usize) -> Self {
        self.ahead = self.ahead.min(sequences.max(1));
        self
    }
}

impl Stage<Sequence> for ListImages {
    type Out = Image;

    fn apply(self, sequences: RecordStream<Sequence>) -> RecordStream<Image> {
        let (client, observed) = (self.client.clone(), self.client.clone());
        let listed = listings(self.client, self.ahead, sequences).flat_map(move |listed| match listed {
            Ok(Listing { sequence, list }) => {
                let client = observed.clone();
                for _ in 0..list.duplicates {
                    client.emit(&Event::Filtered { step: Step::IMAGES, by: "repeated" });
                }
                // With entries that are no ids, the sequence ends as a failure, behind its good images.
                let mut end = Some(invalid_entries_error(&sequence, &list));
                let mut ids = list.ids.into_iter();
                let images = move || {
                    if let Some(img_id) = ids.next() {
                        return Some(Ok(Image { seq_id: sequence.clone(), img_id }));
                    }
                    let failure = end.take()?;
                    if failure.is_none() {
                        client.emit(&Event::InputDone { step: Step::IMAGES });
                    }
                    failure.map(Err)
                };
                stream::iter(std::iter::from_fn(images)).left_stream()
            }
            Err(error) => stream::once(std::future::ready(Err(error))).right_stream(),
        });
        end_in_doubt(listed, client, Class::Search)
    }
}
