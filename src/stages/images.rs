//! Sequences to their images.

use futures::StreamExt;
use futures::stream;

use super::{Stage, end_after_fatal};
use crate::client::Client;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Image, Sequence};
use crate::sources::RecordStream;

/// Lists the images of each sequence, in the order the API gives them: that of capture.
///
/// A sequence that exists no longer gives one error of kind [`ErrorKind::Gone`]
/// in its place.
#[derive(Clone)]
#[must_use]
pub struct ListImages {
    client: Client,
}

impl ListImages {
    /// Asks through a client, as many sequences at a time as it allows.
    pub fn new(client: &Client) -> Self {
        Self { client: client.clone() }
    }
}

impl Stage<Sequence> for ListImages {
    type Out = Image;

    fn apply(self, sequences: RecordStream<Sequence>) -> RecordStream<Image> {
        let ahead = self.client.concurrency();
        let listed = sequences
            .map(move |sequence| {
                let client = self.client.clone();
                async move { list(&client, sequence?).await }
            })
            .buffered(ahead)
            .flat_map(|listed| match listed {
                Ok(images) => stream::iter(images.into_iter().map(Ok)).left_stream(),
                Err(error) => stream::once(std::future::ready(Err(error))).right_stream(),
            });
        end_after_fatal(listed.boxed())
    }
}

async fn list(client: &Client, sequence: Sequence) -> Result<Vec<Image>> {
    let ids = client.image_ids(&sequence.seq_id).await?;
    if ids.is_empty() {
        return Err(Error::new(ErrorKind::Gone, "list the images of sequence")
            .subject(sequence.seq_id.as_str())
            .because("the sequence exists no longer, or has no images"));
    }
    Ok(ids.into_iter().map(|img_id| Image { seq_id: sequence.seq_id.clone(), img_id }).collect())
}
