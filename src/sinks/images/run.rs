//! The download loop: checks which pictures exist, and downloads the others concurrently.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use futures::StreamExt;
use futures::stream::{self, FuturesUnordered};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::spawn_blocking;

use super::download::Downloader;
use super::fresh_urls::FreshUrls;
use super::in_flight::{Claim, InFlight};
use super::options::Options;
use super::panicked::panicked;
use super::place::Place;
use crate::client::Client;
use crate::error::{Error, ErrorKind, Result};
use crate::file_system::report_unsupported;
use crate::model::Metadata;
use crate::observe::{Event, Step, report_failure};
use crate::sinks::Written;
use crate::sinks::warnings::TooSmall;
use crate::sources::RecordStream;
use crate::sync::lock;

/// Existing pictures are looked up in batches: passing work to a thread costs more than a lookup.
const LOOKUP_BATCH: usize = 32;

/// Lookup batches in flight.
const LOOKUP_PREFETCH: usize = 2;

/// Downloads started for each request that the client allows, without those that failed once.
const DOWNLOADS_PER_REQUEST: usize = 2;

/// Downloads started in all, including those that wait for a retry. Each takes about 5 kB.
const MAX_STARTED: usize = 8192;

/// One run of the sink.
pub(super) struct Run {
    pub(super) downloader: Arc<Downloader>,
    too_small: Mutex<TooSmall>,
}

/// An image, and whether its picture exists.
struct Candidate {
    image: Metadata,
    target: PathBuf,
    exists: Result<bool>,
}

impl Run {
    /// Opens the target folder.
    pub(super) async fn start(options: Options) -> Result<Arc<Self>> {
        let (place, warnings) = Place::open(&options).await?;
        warn(&options.client, &warnings);
        let fresh_urls = FreshUrls::start(&options.client, options.quality);
        let downloader = Downloader { options, place, fresh_urls };
        Ok(Arc::new(Self { downloader: Arc::new(downloader), too_small: Mutex::default() }))
    }

    /// Downloads the pictures of all images.
    pub(super) async fn drain(self: Arc<Self>, images: RecordStream<Metadata>) -> Result<Written> {
        let (options, place) = (&self.downloader.options, &self.downloader.place);
        if let (Place::Shards(folder), Some(rows)) = (place, options.shard_rows) {
            let folder = folder.clone();
            return Arc::clone(&self).drain_to_shards(images, folder, rows.get().into()).await;
        }
        let _syncing = place.sync_periodically();
        let mut written = Written { paths: vec![place.path(options)], ..Written::default() };
        let client = &options.client;
        let slots = client.concurrency().saturating_mul(DOWNLOADS_PER_REQUEST).min(MAX_STARTED);
        let slots = Arc::new(Semaphore::new(slots));
        let mut candidates = self.look_up(images);
        // A picture written after its lookup was either in flight at that time or among the latest candidates.
        let mut in_flight = InFlight::new(MAX_STARTED + (LOOKUP_PREFETCH + 2) * LOOKUP_BATCH);
        // Every request runs in a task of its own, so these futures need none.
        let mut downloads = FuturesUnordered::new();
        let mut more = true;
        while more || !downloads.is_empty() {
            tokio::select! {
                biased;
                Some((target, result)) = downloads.next() => {
                    let target: PathBuf = target;
                    let result: Result<u64> = result;
                    // Several rows may name the image of one file.
                    if result.is_ok() {
                        for _ in 0..in_flight.finish(&target) {
                            self.count(&mut written, Ok(None))?;
                        }
                    } else if let Some(next) = in_flight.retry_next(&target) {
                        // The first row of this image has failed, so the next one needs no slot.
                        downloads.push(Arc::clone(&self.downloader).download(next, target, client.clone()));
                    }
                    self.count(&mut written, result.map(Some))?;
                }
                (slot, candidate) = with_slot(&slots, &mut candidates),
                    if more && downloads.len() + in_flight.queued() < MAX_STARTED => match candidate.transpose()? {
                    Some(Candidate { exists: Ok(true), .. }) => self.count(&mut written, Ok(None))?,
                    Some(Candidate { exists: Err(error), .. }) => self.count(&mut written, Err(error))?,
                    Some(Candidate { image, target, .. }) => match in_flight.claim(&target, image) {
                        Claim::Download(image) => {
                            let client = slot.map_or_else(|| client.clone(), |slot| client.with_slot(slot));
                            downloads.push(Arc::clone(&self.downloader).download(image, target, client));
                        }
                        Claim::Exists => self.count(&mut written, Ok(None))?,
                        Claim::Queued => {}
                    },
                    None => more = false,
                },
            }
        }
        place.finish().await?;
        let too_small = std::mem::take(&mut *lock(&self.too_small));
        warn(client, too_small.warning().as_slice());
        Ok(written)
    }

    /// Looks up which pictures exist, in the order of the images.
    fn look_up(self: &Arc<Self>, images: RecordStream<Metadata>) -> RecordStream<Candidate> {
        let run = Arc::clone(self);
        let batches = images.ready_chunks(LOOKUP_BATCH).map(move |images| {
            let run = Arc::clone(&run);
            async move {
                let look_up = move || images.into_iter().map(|image| Ok(run.candidate(image?))).collect();
                spawn_blocking(look_up).await.unwrap_or_else(|panic| vec![Err(panicked(panic))])
            }
        });
        batches.buffered(LOOKUP_PREFETCH).flat_map(stream::iter).boxed()
    }

    fn candidate(&self, image: Metadata) -> Candidate {
        let options = &self.downloader.options;
        let target = options.target(&image);
        let exists = self.downloader.place.exists(&target, options.check_existing, &self.too_small);
        let exists = exists.map_err(|error| error.with_subject(image.img_id.as_str()));
        Candidate { image, target, exists }
    }

    /// Counts and reports the result for an image: its length, `None` if it exists. Returns fatal errors.
    pub(super) fn count(&self, written: &mut Written, result: Result<Option<u64>>) -> Result<()> {
        let observer = self.downloader.options.client.observer();
        match result {
            Ok(Some(bytes)) => {
                observer.on_event(&Event::Record { step: Step::DOWNLOAD });
                written.records += 1;
                written.bytes += bytes;
            }
            Ok(None) => {
                observer.on_event(&Event::AlreadyExists { step: Step::DOWNLOAD });
                written.already_exists += 1;
            }
            // The run was stopped. The next run will download the picture.
            Err(error) if error.kind() == ErrorKind::Interrupted => written.interrupted += 1,
            Err(error) if error.is_fatal() => return Err(error),
            Err(mut error) => {
                report_failure(observer, Step::DOWNLOAD, &mut error);
                match error.kind() {
                    ErrorKind::Gone => written.gone += 1,
                    _ => written.failed += 1,
                }
            }
        }
        Ok(())
    }
}

/// The next candidate, once a slot is free. Cancel-safe: no candidate is lost if the future is dropped.
async fn with_slot(
    slots: &Arc<Semaphore>,
    candidates: &mut RecordStream<Candidate>,
) -> (Option<OwnedSemaphorePermit>, Option<Result<Candidate>>) {
    let slot = Arc::clone(slots).acquire_owned().await.ok();
    (slot, candidates.next().await)
}

pub(super) fn warn(client: &Client, warnings: &[Error]) {
    let observer = client.observer();
    for error in warnings {
        observer.on_event(&Event::Warning { error });
    }
    report_unsupported(observer);
}
