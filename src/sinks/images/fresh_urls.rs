//! New URLs for pictures with an expired or rejected URL, requested in batches.

use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio_util::task::AbortOnDropHandle;

use crate::client::{Client, MAX_BATCH};
use crate::error::{Error, ErrorKind, Result};
use crate::model::Fields;
use crate::model::{Image, Metadata};
use crate::observe::{Event, Step, report_failure};
use crate::sinks::Quality;
use crate::stages::refetch;

/// How long a request waits for others to share its batch.
const BATCH_WAIT: Duration = Duration::from_millis(20);

const DOING: &str = "request a new URL of image";

/// Requests new URLs on behalf of downloads.
pub(super) struct FreshUrls {
    sender: mpsc::UnboundedSender<UrlRequest>,
    _task: AbortOnDropHandle<()>,
}

struct UrlRequest {
    image: Image,
    reply: oneshot::Sender<Result<Option<String>>>,
}

impl FreshUrls {
    /// Starts the task that sends the requests; `None` if the client has no token.
    pub(super) fn start(client: &Client, quality: Quality) -> Option<Self> {
        let fields = client.has_token().then(|| quality.field().parse().ok()).flatten()?;
        // Each download waits for its reply, so the channel never holds more than the downloads in flight.
        let (sender, receiver) = mpsc::unbounded_channel();
        let task = tokio::spawn(send_batches(client.clone(), fields, quality, receiver));
        Some(Self { sender, _task: AbortOnDropHandle::new(task) })
    }

    /// A new URL of the picture of an image; `None` if Mapillary has no such picture.
    pub(super) async fn request(&self, image: &Metadata) -> Result<Option<String>> {
        let (reply, replied) = oneshot::channel();
        let image = Image { seq_id: image.seq_id.clone(), img_id: image.img_id.clone() };
        let id = image.img_id.clone();
        self.sender.send(UrlRequest { image, reply }).ok(); // If the task has ended, there is no reply either.
        replied.await.unwrap_or_else(|_| {
            Err(Error::new(ErrorKind::Unavailable, DOING)
                .with_subject(id.as_str())
                .with_source("the task that requests URLs has ended"))
        })
    }
}

async fn send_batches(
    client: Client,
    fields: Fields,
    quality: Quality,
    mut receiver: mpsc::UnboundedReceiver<UrlRequest>,
) {
    let mut in_flight = JoinSet::new();
    while let Some(first) = receiver.recv().await {
        let mut batch = vec![first];
        while batch.len() < MAX_BATCH
            && let Ok(Some(request)) = tokio::time::timeout(BATCH_WAIT, receiver.recv()).await
        {
            batch.push(request);
        }
        in_flight.spawn(send_batch(client.clone(), fields.clone(), quality, batch));
        while in_flight.try_join_next().is_some() {}
    }
}

async fn send_batch(client: Client, fields: Fields, quality: Quality, batch: Vec<UrlRequest>) {
    let images: Vec<Image> = batch.iter().map(|request| request.image.clone()).collect();
    let fetched = refetch(&client, fields, &images).await;
    for request in batch {
        let id = &request.image.img_id;
        let url = match (fetched.results.get(id), &fetched.fatal) {
            (Some(Ok(record)), _) => Ok(quality.url(record).map(str::to_owned)),
            (Some(Err(error)), _) | (None, Some(error)) => Err(for_image(error, id.as_str())),
            (None, None) => Err(Error::new(ErrorKind::Malformed, DOING).with_subject(id.as_str())),
        };
        request.reply.send(url).ok(); // The download may have been cancelled.
    }
    for mut error in fetched.unrequested {
        // It belongs to no picture, so it counts as an input of its own.
        client.emit(&Event::InputStarted { step: Step::DOWNLOAD });
        report_failure(client.observer(), Step::DOWNLOAD, &mut error);
    }
}

/// A failed request, as the failure of one picture.
///
/// A rejected token does not end the run: pictures with a valid URL can still be downloaded.
fn for_image(error: &Error, id: &str) -> Error {
    if !matches!(error.kind(), ErrorKind::Auth | ErrorKind::Blocked) {
        return error.for_subject(DOING, id);
    }
    let rejected = Error::new(ErrorKind::Rejected, DOING).with_subject(id).with_source(error.chain());
    match error.hint() {
        Some(hint) => rejected.with_hint(hint.to_owned()),
        None => rejected,
    }
}
