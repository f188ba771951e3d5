//! Asks before a large download: more than 100,000 pictures, or more than half of the disk that is free.
//!
//! A crawl streams, so at first nobody knows how much it will be. It is asked
//! as soon as the tiles, which are read ahead for it, show more than may go
//! unasked, or the table that is read has more rows; else, for filters and
//! users tell nothing beforehand, at the picture that is one too many.
//!
//! Pictures that are there need no word. But where nobody knows how many there
//! will be, those that are there count, or a command that is run again and
//! again would fill the disk by 100,000 a time.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures::StreamExt;
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;

use crate::args::CrawlArgs;
use crate::job::context::Run;
use crate::job::disk_space;
use crate::job::pipeline::DOWNLOAD;
use crate::progress::screen::Screen;
use crate::terminal::format::{grouped, human_bytes, path_text};
use crate::terminal::question::answer;
use streetflow::file_system::free_space;
use streetflow::geo::MAX_ZOOM;
use streetflow::sinks::pictures_in;
use streetflow::{Class, Client, Error, ErrorKind, Flow, Metadata, Quality, Result};

/// So many pictures go unasked.
pub(crate) const UNASKED: u64 = 100_000;

/// Whether a picture is there is looked up so far ahead, give or take.
const LOOKED_AHEAD: u64 = 128;

/// From so many on, their mean size says more than what others have seen.
const TELLING: u64 = 200;

/// Where a person decides whether so much is meant.
pub(crate) struct Gate {
    screen: Arc<Screen>,
    stop: CancellationToken,
    client: Client,
    folder: PathBuf,
    quality: Quality,
    known: Known,
    free: Option<u64>,
    passed: u64,
    /// Pictures that were there before the run; counted when it matters.
    there: Option<u64>,
    agreed: bool,
    unasked: u64,
}

/// What is known beforehand of how many pictures there will be.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Known {
    /// Nothing.
    Nothing,
    /// As many as a table has rows.
    Rows(u64),
    /// As many as the tiles show, up to a limit.
    Tiles { most: u64 },
}

impl Known {
    /// What tiles tell of how many pictures a crawl downloads.
    pub(crate) fn of_tiles(args: &CrawlArgs) -> Self {
        if args.clip || args.filters.goes_by_images() || args.area.max_zoom < MAX_ZOOM {
            return Self::Nothing;
        }
        Self::Tiles { most: args.filters.limit.unwrap_or(u64::MAX) }
    }
}

impl Gate {
    pub(crate) fn new(run: &Run, folder: &Path, quality: Quality, known: Known, agreed: bool) -> Self {
        Self {
            screen: Arc::clone(&run.screen),
            stop: run.stop.clone(),
            client: run.client.clone(),
            folder: folder.to_owned(),
            quality,
            known,
            free: free_space(folder),
            passed: 0,
            there: None,
            agreed,
            unasked: UNASKED,
        }
    }

    /// Lets images pass to their download while that is agreed to.
    pub(crate) fn before(self, flow: Flow<Metadata>) -> Flow<Metadata> {
        flow.then(move |images: streetflow::RecordStream<Metadata>| {
            let gated = futures::stream::unfold(Some((images, self)), |state| async {
                let (mut images, mut gate) = state?;
                match images.next().await? {
                    Ok(image) => match gate.lets_pass().await {
                        Ok(()) => Some((Ok(image), Some((images, gate)))),
                        // The run ends by the signal that stopped it, and the question has failed at nothing.
                        Err(error) if error.kind() == ErrorKind::Interrupted => std::future::pending().await,
                        Err(refused) => gate.end_well(refused).await,
                    },
                    Err(error) => Some((Err(error), Some((images, gate)))),
                }
            });
            gated.boxed()
        })
    }

    /// Ends the run as Ctrl-C does, with what is there, and never passes anything again.
    async fn end_well<T>(self, refused: Error) -> T {
        self.screen.refuse(refused);
        self.stop.cancel();
        self.client.stop();
        std::future::pending().await
    }

    async fn lets_pass(&mut self) -> Result<()> {
        self.passed += 1;
        if self.agreed {
            return Ok(());
        }
        let Some(question) = self.question().await else { return Ok(()) };
        self.ask(&question).await?;
        self.agreed = true;
        Ok(())
    }

    /// What to ask, if it is much.
    async fn question(&mut self) -> Option<String> {
        let step = self.screen.step(DOWNLOAD)?;
        let (came, present) = (step.rows.get(), step.present.get());
        let foreseen = match self.known {
            Known::Nothing => 0,
            Known::Rows(rows) => rows,
            Known::Tiles { most } => self.screen.tally.tile_images().min(most),
        };
        // Those that are there are looked for only where it matters, for there may be millions.
        if self.is_much(foreseen) {
            let there = self.there().await.min(foreseen);
            let more = foreseen - there;
            if self.is_much(more) {
                let bytes = human_bytes(self.bytes(more));
                let there =
                    if there > 0 { format!(", {} of them are there", grouped(there)) } else { String::new() };
                // The tiles go on.
                let least = if matches!(self.known, Known::Tiles { .. }) { "at least " } else { "" };
                return Some(format!(
                    "{least}{} pictures of quality {} are wanted{there}; the rest takes about {bytes}{}",
                    grouped(foreseen),
                    self.quality,
                    self.room()
                ));
            }
        }
        let asked = self.passed.saturating_sub(present);
        match self.known {
            Known::Nothing => {}
            // Whole sequences may go on outside the tiles.
            Known::Tiles { .. } if asked > foreseen => {}
            _ => return None,
        }
        let is_new = asked > LOOKED_AHEAD.min(self.unasked);
        (is_new && self.is_much(self.passed)).then(|| {
            format!(
                "more than {} pictures of quality {} are wanted, {} of them are there, and nobody knows how many more will come{}",
                grouped(self.passed - 1),
                self.quality,
                grouped(came + present),
                self.room()
            )
        })
    }

    fn room(&self) -> String {
        let room = |free| format!("; {} are free for {}", human_bytes(free), path_text(&self.folder));
        self.free.map(room).unwrap_or_default()
    }

    fn is_much(&self, pictures: u64) -> bool {
        pictures > self.unasked || self.free.is_some_and(|free| self.bytes(pictures) > free / 2)
    }

    /// What so many pictures take: as those that came, or as others have seen.
    fn bytes(&self, pictures: u64) -> u64 {
        let came = self.screen.step(DOWNLOAD).map_or(0, |step| step.rows.get());
        let each = if came >= TELLING {
            self.screen.tally.bytes(Class::Picture) / came
        } else {
            disk_space::of_picture(self.quality).iter().sum::<u64>() / 2
        };
        pictures.saturating_mul(each)
    }

    async fn there(&mut self) -> u64 {
        if let Some(there) = self.there {
            return there;
        }
        let (folder, quality) = (self.folder.clone(), self.quality);
        let there = spawn_blocking(move || pictures_in(&folder, quality)).await.unwrap_or_default();
        self.there = Some(there);
        there
    }

    async fn ask(&self, what: &str) -> Result<()> {
        let refuse = |why: &'static str| {
            let error =
                Error::new(ErrorKind::Usage, "download so much").with_source(format!("{what}; {why}"));
            error.with_hint("the same command with `--yes` goes on from what is there; or ask for less")
        };
        if !self.screen.voice.can_ask() {
            return Err(refuse("nobody here can be asked"));
        }
        let stopped = || Error::new(ErrorKind::Interrupted, "ask").with_source("the run was stopped");
        if self.stop.is_cancelled() {
            return Err(stopped());
        }
        let answer = answer().map_err(|_| refuse("no thread could be started to wait for an answer"))?;
        self.screen.hold_still(true);
        self.screen.voice.print(&format!("{what}\ngo on? [y/N] "));
        let answer = tokio::select! {
            biased;
            () = self.stop.cancelled() => {
                self.screen.voice.print("\n");
                return Err(stopped());
            }
            answer = answer => answer.unwrap_or_default(),
        };
        self.screen.hold_still(false);
        if answer { Ok(()) } else { Err(refuse("the answer was no")) }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::Cli;
    use crate::artifacts::failure_log::Ledger;
    use streetflow::{Event, Observer, Step, TileId};

    /// A gate behind which ten pictures go unasked, on an endless disk; nobody can be asked.
    fn gate(folder: &Path, known: Known) -> Gate {
        let args = Cli::try_parse_from(["streetflow", "download", "-q"]).expect("words");
        Gate {
            screen: Screen::new(&args.screen, &[DOWNLOAD], Ledger::new(folder, &[DOWNLOAD])),
            stop: CancellationToken::new(),
            client: Client::builder().build().expect("a client"),
            folder: folder.to_owned(),
            quality: Quality::Q256,
            known,
            free: None,
            passed: 0,
            there: None,
            agreed: false,
            unasked: 10,
        }
    }

    /// How many images it lets pass of so many, each being told of as an event.
    async fn pass(gate: &mut Gate, images: u64, becomes: Option<Event<'static>>) -> u64 {
        for passed in 0..images {
            if let Err(error) = gate.lets_pass().await {
                assert_eq!(error.kind(), ErrorKind::Usage);
                return passed;
            }
            if let Some(event) = &becomes {
                gate.screen.on_event(event);
            }
        }
        images
    }

    #[tokio::test]
    async fn what_is_known_beforehand_is_asked_at_once_and_the_rest_at_the_one_too_many() {
        let folder = tempfile::tempdir().expect("a folder");
        let shows =
            |gate: &Gate, images| gate.screen.on_event(&Event::TileImages { tile: TileId::WORLD, images });
        let path = folder.path();
        assert_eq!(pass(&mut gate(path, Known::Nothing), 30, None).await, 10);
        assert_eq!(pass(&mut gate(path, Known::Rows(10)), 10, None).await, 10);
        assert_eq!(pass(&mut gate(path, Known::Rows(11)), 11, None).await, 0);
        let mut crawl = gate(path, Known::Tiles { most: u64::MAX });
        shows(&crawl, 10);
        assert_eq!(pass(&mut crawl, 5, None).await, 5);
        shows(&crawl, 1);
        assert_eq!(pass(&mut crawl, 5, None).await, 0);
        let mut limited = gate(path, Known::Tiles { most: 10 });
        shows(&limited, 1000);
        assert_eq!(pass(&mut limited, 10, None).await, 10);
        let mut agreed = gate(path, Known::Rows(1000));
        agreed.agreed = true;
        assert_eq!(pass(&mut agreed, 1000, None).await, 1000);
    }

    #[tokio::test]
    async fn pictures_that_are_there_do_not_count_and_a_small_disk_does() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path();
        let present = Event::AlreadyExists { step: Step::DOWNLOAD };
        assert_eq!(pass(&mut gate(path, Known::Nothing), 1000, Some(present)).await, 1000);
        let mut again = gate(path, Known::Nothing);
        assert_eq!(pass(&mut again, 15, Some(Event::AlreadyExists { step: Step::DOWNLOAD })).await, 15);
        assert_eq!(pass(&mut again, 100, None).await, 10, "the last run ended here, unanswered");
        std::fs::write(path.join("1_256.jpg"), "").expect("written");
        assert_eq!(pass(&mut gate(path, Known::Rows(11)), 1, None).await, 1);
        let mut small = gate(path, Known::Rows(5));
        small.free = Some(80_000);
        assert_eq!(pass(&mut small, 1, None).await, 1, "five are 45 kB, but one is there");
        small.there = Some(0);
        assert_eq!(pass(&mut small, 1, None).await, 0);
    }
}
