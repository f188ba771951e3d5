//! Fresh URLs for pictures whose URL has ended or is refused, asked for in batches.

use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio_util::task::AbortOnDropHandle;

use super::Quality;
use crate::client::{Client, MAX_BATCH};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Image, Metadata};
use crate::observe::{Event, Step, report_failure};
use crate::record::Fields;
use crate::stages::fetch_anew;

/// So long a request waits for others, so that one batch serves them all.
const GATHER: Duration = Duration::from_millis(20);

const DOING: &str = "ask for a fresh URL of image";

/// Where downloads ask for another URL.
pub(super) struct FreshUrls {
    lane: mpsc::UnboundedSender<Wanted>,
    _task: AbortOnDropHandle<()>,
}

struct Wanted {
    image: Image,
    answer: oneshot::Sender<Result<Option<String>>>,
}

impl FreshUrls {
    /// Asks through a client; none if that has no token.
    pub(super) fn of(client: &Client, quality: Quality) -> Option<Self> {
        let fields = client.has_token().then(|| quality.field().parse().ok()).flatten()?;
        // Whoever downloads waits for the answer, so there are never more than pictures under way.
        let (lane, inbox) = mpsc::unbounded_channel();
        let task = tokio::spawn(gather(client.clone(), fields, quality, inbox));
        Some(Self { lane, _task: AbortOnDropHandle::new(task) })
    }

    /// A URL of an image's picture that was made just now; none if Mapillary has no such picture.
    pub(super) async fn ask(&self, image: &Metadata) -> Result<Option<String>> {
        let (answer, answered) = oneshot::channel();
        let image = Image { seq_id: image.seq_id.clone(), img_id: image.img_id.clone() };
        let id = image.img_id.clone();
        self.lane.send(Wanted { image, answer }).ok(); // If nobody listens, the answer says so.
        answered.await.unwrap_or_else(|_| {
            Err(Error::new(ErrorKind::Unavailable, DOING)
                .with_subject(id.as_str())
                .with_source("nobody answered"))
        })
    }
}

async fn gather(
    client: Client,
    fields: Fields,
    quality: Quality,
    mut inbox: mpsc::UnboundedReceiver<Wanted>,
) {
    let mut asked = JoinSet::new();
    while let Some(first) = inbox.recv().await {
        let mut batch = vec![first];
        while batch.len() < MAX_BATCH
            && let Ok(Some(wanted)) = tokio::time::timeout(GATHER, inbox.recv()).await
        {
            batch.push(wanted);
        }
        asked.spawn(answer(client.clone(), fields.clone(), quality, batch));
        while asked.try_join_next().is_some() {}
    }
}

async fn answer(client: Client, fields: Fields, quality: Quality, batch: Vec<Wanted>) {
    let images: Vec<Image> = batch.iter().map(|wanted| wanted.image.clone()).collect();
    let fetched = fetch_anew(&client, fields, &images).await;
    for wanted in batch {
        let id = &wanted.image.img_id;
        let url = match (fetched.results.get(id), &fetched.fatal) {
            (Some(Ok(record)), _) => Ok(quality.url(record).map(str::to_owned)),
            (Some(Err(error)), _) | (None, Some(error)) => Err(of_one(error, id.as_str())),
            (None, None) => Err(Error::new(ErrorKind::Malformed, DOING).with_subject(id.as_str())),
        };
        wanted.answer.send(url).ok(); // The download may have been given up.
    }
    for mut error in fetched.unrequested {
        // No picture stands for it, so it enters the step and fails there.
        client.emit(&Event::InputStarted { step: Step::DOWNLOAD });
        report_failure(client.observer(), Step::DOWNLOAD, &mut error);
    }
}

/// A failure to ask, as that of one picture: a token that is refused must not end the download of those whose URL
/// still holds.
fn of_one(error: &Error, id: &str) -> Error {
    if !matches!(error.kind(), ErrorKind::Auth | ErrorKind::Blocked) {
        return error.for_subject(DOING, id);
    }
    let refused = Error::new(ErrorKind::Rejected, DOING).with_subject(id).with_source(error.chain());
    match error.hint() {
        Some(advice) => refused.with_hint(advice.to_owned()),
        None => refused,
    }
}
