//! Asks for confirmation before a large download: more than 100,000 pictures, or more than half of the free disk space.
//!
//! A crawl streams, so its size is unknown at first. The guard asks as soon as the tiles, which are prefetched for it,
//! show more images than the limit, or the input table has more rows. With filters or a user nothing is known in advance,
//! and it asks at the first picture over the limit.
//!
//! Existing pictures need no confirmation if the total is known. Otherwise they count, or a command that is repeated
//! would fill the disk by 100,000 pictures at a time.

use std::path::PathBuf;
use std::sync::Arc;

use futures::StreamExt;
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;

use super::context::RunContext;
use super::monitor::Monitor;
use super::picture_size::picture_size;
use crate::args::{Bucket, OutputArgs};
use crate::terminal::format::{grouped, human_bytes, path_text};
use crate::terminal::question::read_yes_or_no;
use streetflow::file_system::free_space;
use streetflow::sinks::pictures_in;
use streetflow::{Class, Client, Error, ErrorKind, Flow, Metadata, Quality, RecordStream, Result, Step};

/// Pictures that need no confirmation.
pub(crate) const MAX_UNCONFIRMED_PICTURES: u64 = 100_000;

/// The sink checks up to this many pictures ahead for existing files.
const MAX_CHECKED_AHEAD: u64 = 128;

/// Number of downloaded pictures from which their mean size replaces the typical size.
const MIN_MEASURED: u64 = 200;

/// Asks for confirmation before a large download.
pub(super) struct DownloadGuard {
    monitor: Arc<Monitor>,
    stop: CancellationToken,
    client: Client,
    directory: PathBuf,
    bucket: Option<Bucket>,
    quality: Quality,
    count: CountEstimate,
    /// Free disk space in bytes, if it is known.
    free: Option<u64>,
    /// Images that reached the guard.
    passed: u64,
    /// Pictures that existed before the run; counted when it matters.
    existing: Option<u64>,
    confirmed: bool,
    max_unconfirmed: u64,
}

/// What is known in advance about the number of pictures.
#[derive(Debug, Clone, Copy)]
pub(crate) enum CountEstimate {
    Unknown,
    /// The rows of the input table.
    Rows(u64),
    /// The images that the tiles show, at most `max`.
    Tiles {
        max: u64,
    },
}

impl DownloadGuard {
    pub(super) fn new(
        run: &RunContext,
        files: &OutputArgs,
        quality: Quality,
        count: CountEstimate,
        confirmed: bool,
    ) -> Self {
        let directory = files.pictures();
        let bucket =
            files.remote.as_ref().map(|remote| remote.bucket.join(&files.names.image_downloads_folder));
        Self {
            monitor: Arc::clone(&run.monitor),
            stop: run.stop.clone(),
            client: run.client.clone(),
            // A bucket has no end.
            free: if bucket.is_some() { None } else { free_space(&directory) },
            bucket,
            directory,
            quality,
            count,
            passed: 0,
            existing: None,
            confirmed,
            max_unconfirmed: MAX_UNCONFIRMED_PICTURES,
        }
    }

    /// Passes images on to their download until confirmation is needed and denied.
    pub(super) fn guard(self, flow: Flow<Metadata>) -> Flow<Metadata> {
        flow.then(move |images: RecordStream<Metadata>| {
            let guarded = futures::stream::unfold(Some((images, self)), |state| async {
                let (mut images, mut guard) = state?;
                match images.next().await? {
                    Ok(image) => match guard.check().await {
                        Ok(()) => Some((Ok(image), Some((images, guard)))),
                        // The signal that stopped the run ends the flow; the question has not failed.
                        Err(error) if error.kind() == ErrorKind::Interrupted => std::future::pending().await,
                        Err(denied) => guard.stop_run(denied).await,
                    },
                    Err(error) => Some((Err(error), Some((images, guard)))),
                }
            });
            guarded.boxed()
        })
    }

    /// Stops the run like Ctrl-C, and never returns.
    async fn stop_run<T>(self, denied: Error) -> T {
        self.monitor.set_refusal(denied);
        self.stop.cancel();
        self.client.stop();
        std::future::pending().await
    }

    /// Counts an image, and asks for confirmation if the download is large. A denial is a usage error.
    async fn check(&mut self) -> Result<()> {
        self.passed += 1;
        if self.confirmed {
            return Ok(());
        }
        let Some(question) = self.question().await else { return Ok(()) };
        self.confirm(&question).await?;
        self.confirmed = true;
        Ok(())
    }

    /// The question to ask, if the download is large.
    async fn question(&mut self) -> Option<String> {
        let step = self.monitor.stats.step(Step::DOWNLOAD)?;
        let (downloaded, already_exist) = (step.rows.get(), step.already_exists.get());
        let expected = match self.count {
            CountEstimate::Unknown => 0,
            CountEstimate::Rows(rows) => rows,
            CountEstimate::Tiles { max } => self.monitor.stats.tally.tile_images().min(max),
        };
        // Existing pictures are counted only here, because there may be millions of them.
        if self.exceeds_limit(expected) {
            let existing = self.count_existing().await.min(expected);
            let missing = expected - existing;
            if self.exceeds_limit(missing) {
                return Some(self.known_count_question(expected, existing));
            }
        }
        let requested = self.passed.saturating_sub(already_exist);
        match self.count {
            CountEstimate::Unknown => {}
            // Complete sequences may continue outside the tiles.
            CountEstimate::Tiles { .. } if requested > expected => {}
            CountEstimate::Tiles { .. } | CountEstimate::Rows(_) => return None,
        }
        let has_new = requested > MAX_CHECKED_AHEAD.min(self.max_unconfirmed);
        (has_new && self.exceeds_limit(self.passed)).then(|| {
            format!(
                "more than {} pictures of quality {} are selected, {} of them exist, and the total is unknown{}",
                grouped(self.passed - 1),
                self.quality,
                grouped(downloaded + already_exist),
                self.free_text()
            )
        })
    }

    fn known_count_question(&self, expected: u64, existing: u64) -> String {
        let bytes = human_bytes(self.bytes(expected - existing));
        let exist =
            if existing > 0 { format!(", {} of them exist", grouped(existing)) } else { String::new() };
        // More tiles may follow.
        let at_least = if matches!(self.count, CountEstimate::Tiles { .. }) { "at least " } else { "" };
        format!(
            "{at_least}{} pictures of quality {} are selected{exist}; downloading the rest needs about {bytes}{}",
            grouped(expected),
            self.quality,
            self.free_text()
        )
    }

    fn free_text(&self) -> String {
        let text = |free| format!("; {} are free for {}", human_bytes(free), path_text(&self.directory));
        self.free.map(text).unwrap_or_default()
    }

    fn exceeds_limit(&self, pictures: u64) -> bool {
        pictures > self.max_unconfirmed || self.free.is_some_and(|free| self.bytes(pictures) > free / 2)
    }

    /// The expected size of pictures in bytes: by the mean of those downloaded, or by the typical size.
    fn bytes(&self, pictures: u64) -> u64 {
        let downloaded = self.monitor.stats.step(Step::DOWNLOAD).map_or(0, |step| step.rows.get());
        let mean = if downloaded >= MIN_MEASURED {
            self.monitor.stats.tally.bytes(Class::Picture) / downloaded
        } else {
            picture_size(self.quality).iter().sum::<u64>() / 2
        };
        pictures.saturating_mul(mean)
    }

    async fn count_existing(&mut self) -> u64 {
        if let Some(existing) = self.existing {
            return existing;
        }
        if let Some(bucket) = &self.bucket {
            let existing = count_in(bucket, self.quality).await;
            self.existing = Some(existing);
            return existing;
        }
        let (directory, quality) = (self.directory.clone(), self.quality);
        let existing = spawn_blocking(move || pictures_in(&directory, quality)).await.unwrap_or_default();
        self.existing = Some(existing);
        existing
    }

    async fn confirm(&self, what: &str) -> Result<()> {
        let deny = |why: &'static str| {
            Error::new(ErrorKind::Usage, "start a large download")
                .with_source(format!("{what}; {why}"))
                .with_hint("run the same command with `--yes` to resume, or select fewer pictures")
        };
        if !self.monitor.printer.can_confirm() {
            return Err(deny("cannot ask for confirmation (not a terminal); pass `--yes`"));
        }
        let stopped =
            || Error::new(ErrorKind::Interrupted, "ask for confirmation").with_source("the run was stopped");
        if self.stop.is_cancelled() {
            return Err(stopped());
        }
        let answer = read_yes_or_no()
            .map_err(|_| deny("cannot ask for confirmation (the system refused a thread)"))?;
        self.monitor.progress.pause();
        self.monitor.printer.print(&format!("{what}\ncontinue? [y/N] "));
        let is_yes = tokio::select! {
            biased;
            () = self.stop.cancelled() => {
                self.monitor.printer.print("\n");
                return Err(stopped());
            }
            answer = answer => answer.unwrap_or_default(),
        };
        self.monitor.progress.resume();
        if is_yes { Ok(()) } else { Err(deny("the answer was no")) }
    }
}

/// Counts the pictures of a quality in a bucket, as far as it can be listed.
#[cfg(feature = "object-store")]
async fn count_in(bucket: &Bucket, quality: Quality) -> u64 {
    let suffix = format!("_{quality}.jpg");
    let is_one = |object: &Result<_>| {
        let is_one = |object: &streetflow::storage::ObjectInfo| object.name.ends_with(&suffix);
        object.as_ref().is_ok_and(is_one)
    };
    let pictures = bucket.list().filter(|object| std::future::ready(is_one(object)));
    pictures.fold(0, |count, _| std::future::ready(count + 1)).await
}

#[cfg(not(feature = "object-store"))]
async fn count_in(_: &Bucket, _: Quality) -> u64 {
    std::future::ready(0).await
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use clap::Parser;

    use super::*;
    use crate::args::DisplayArgs;
    use streetflow::{Event, Observer, TileId};

    #[derive(Parser)]
    struct Args {
        #[command(flatten)]
        display: DisplayArgs,
    }

    /// A guard that confirms nothing, with a limit of ten pictures and an endless disk.
    fn guard(directory: &Path, count: CountEstimate) -> DownloadGuard {
        let args = Args::try_parse_from(["streetflow", "-q"]).expect("arguments");
        DownloadGuard {
            monitor: Monitor::new(&args.display, &[Step::DOWNLOAD], directory),
            stop: CancellationToken::new(),
            client: Client::builder().build().expect("a client"),
            directory: directory.to_owned(),
            bucket: None,
            quality: Quality::Q256,
            count,
            free: None,
            passed: 0,
            existing: None,
            confirmed: false,
            max_unconfirmed: 10,
        }
    }

    /// The number of images that pass, out of `images`. Each of them causes the event.
    async fn pass(guard: &mut DownloadGuard, images: u64, event: Option<Event<'static>>) -> u64 {
        for passed in 0..images {
            if let Err(error) = guard.check().await {
                assert_eq!(error.kind(), ErrorKind::Usage);
                return passed;
            }
            if let Some(event) = &event {
                guard.monitor.on_event(event);
            }
        }
        images
    }

    #[tokio::test]
    async fn a_known_count_is_checked_at_once_and_an_unknown_one_at_the_first_picture_over_the_limit() {
        let directory = tempfile::tempdir().expect("a directory");
        let show = |guard: &DownloadGuard, images| {
            guard.monitor.on_event(&Event::TileImages { tile: TileId::WORLD, images });
        };
        let path = directory.path();
        assert_eq!(pass(&mut guard(path, CountEstimate::Unknown), 30, None).await, 10);
        assert_eq!(pass(&mut guard(path, CountEstimate::Rows(10)), 10, None).await, 10);
        assert_eq!(pass(&mut guard(path, CountEstimate::Rows(11)), 11, None).await, 0);
        let mut crawl = guard(path, CountEstimate::Tiles { max: u64::MAX });
        show(&crawl, 10);
        assert_eq!(pass(&mut crawl, 5, None).await, 5);
        show(&crawl, 1);
        assert_eq!(pass(&mut crawl, 5, None).await, 0);
        let mut limited = guard(path, CountEstimate::Tiles { max: 10 });
        show(&limited, 1000);
        assert_eq!(pass(&mut limited, 10, None).await, 10);
        let mut confirmed = guard(path, CountEstimate::Rows(1000));
        confirmed.confirmed = true;
        assert_eq!(pass(&mut confirmed, 1000, None).await, 1000);
    }

    #[tokio::test]
    async fn existing_pictures_do_not_count_and_a_small_disk_does() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path();
        let exists = || Some(Event::AlreadyExists { step: Step::DOWNLOAD });
        assert_eq!(pass(&mut guard(path, CountEstimate::Unknown), 1000, exists()).await, 1000);
        let mut resumed = guard(path, CountEstimate::Unknown);
        assert_eq!(pass(&mut resumed, 15, exists()).await, 15);
        assert_eq!(pass(&mut resumed, 100, None).await, 10, "the previous run ended here");
        std::fs::write(path.join("1_256.jpg"), "").expect("written");
        assert_eq!(pass(&mut guard(path, CountEstimate::Rows(11)), 1, None).await, 1);
        let mut small = guard(path, CountEstimate::Rows(5));
        small.free = Some(80_000);
        assert_eq!(pass(&mut small, 1, None).await, 1, "five need 45 kB, but one exists");
        small.existing = Some(0);
        assert_eq!(pass(&mut small, 1, None).await, 0);
    }
}
