//! From sequences to their images.

use futures::StreamExt;
use futures::stream;

use super::empty_lists::{Listing, listings};
use super::{Stage, stop_if_too_many_missing};
use crate::client::{Class, Client, invalid_entries_error};
use crate::model::{Image, Sequence};
use crate::observe::{Event, Step};
use crate::sources::RecordStream;

/// Lists the images of each sequence, in the order of the API: by capture time.
///
/// - When all images of a sequence are passed on, [`Event::InputDone`] is reported to the client's observer.
/// - A sequence that was deleted on Mapillary yields one error of kind [`Gone`](crate::ErrorKind::Gone). If nearly all
///   sequences are reported missing, the stream ends with an error of kind [`Auth`](crate::ErrorKind::Auth).
/// - An empty list may be an outage, so it is requested again at the end of the stream, or after 50 empty lists in a row.
///   The images of such a sequence come later than those of its neighbours. A sequence is gone only if its list stays
///   empty while others are not.
/// - Invalid ids in a list are one error of kind [`Malformed`](crate::ErrorKind::Malformed) after the valid ones.
///
/// ```
/// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use futures::{TryStreamExt, stream};
/// use streetflow::{Flow, Image, ListImages, Sequence, SequenceId};
/// use streetflow_sandbox::Sandbox;
///
/// let sandbox = Sandbox::start().await?;
/// let mock_sequence = &sandbox.mock_data().sequences()[0];
/// let sequence = Sequence { org_id: None, seq_id: SequenceId::new(mock_sequence.id())? };
/// let images: Vec<Image> = Flow::from(stream::iter([Ok(sequence)]))
///     .then(ListImages::new(&sandbox.client()?))
///     .try_collect()
///     .await?;
/// assert_eq!(images.len(), mock_sequence.image_count() as usize);
/// # Ok(()) }
/// ```
#[derive(Clone)]
#[must_use]
pub struct ListImages {
    client: Client,
    max_in_flight: usize,
}

impl ListImages {
    /// Sends the requests through a client, as many at a time as it allows.
    pub fn new(client: &Client) -> Self {
        Self { client: client.clone(), max_in_flight: usize::MAX }
    }

    /// Limits the number of sequences in flight to fewer than the client allows.
    pub fn max_in_flight(mut self, sequences: usize) -> Self {
        self.max_in_flight = self.max_in_flight.min(sequences.max(1));
        self
    }
}

impl Stage<Sequence> for ListImages {
    type Out = Image;

    fn apply(self, sequences: RecordStream<Sequence>) -> RecordStream<Image> {
        let (client, observed) = (self.client.clone(), self.client.clone());
        let listed =
            listings(self.client, self.max_in_flight, sequences).flat_map(move |listed| match listed {
                Ok(Listing { sequence, list }) => {
                    let client = observed.clone();
                    for _ in 0..list.duplicates {
                        client.emit(&Event::Filtered { step: Step::IMAGES, by: "repeated" });
                    }
                    // A list with invalid entries fails the sequence, after its valid images.
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
        stop_if_too_many_missing(listed, client, Class::Search)
    }
}
