//! What a crawl takes, said beforehand: the tiles are read, and nothing else is asked.

use std::fmt::Write as _;
use std::sync::Arc;

use futures::TryStreamExt;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::Exit;
use crate::args::{CrawlArgs, ScreenArgs};
use crate::artifacts::failure_log::Ledger;
use crate::exit_of;
use crate::job::context::Run;
use crate::job::disk_space;
use crate::job::frame::heed_signals;
use crate::job::pipeline::{SEQUENCES, sequences_of};
use crate::job::signals::Signals;
use crate::job::tile_cache;
use crate::progress::screen::Screen;
use crate::terminal::format::{grouped, human_bytes, human_time};
use streetflow::client::{ENTITIES_PER_MINUTE, SEARCHES_PER_MINUTE, TILES_PER_DAY};
use streetflow::file_system::free_space;
use streetflow::geo::MAX_ZOOM;
use streetflow::{Class, Error, ErrorKind, OnError, Quality, Result};

/// Where a tile says nothing of images: sequences have so many, more or less.
const IMAGES_A_SEQUENCE: u64 = 150;

/// Bytes a second of a usual connection, 100 Mbit/s, for the time of pictures.
const USUAL: f64 = 12.5e6;

/// Bytes of an image in a table and in the answers that are kept, with the default fields: measured with the sandbox.
const TABLES: u64 = 600;

/// Estimates, and says what came of it.
pub(crate) async fn run(args: &CrawlArgs, display: &ScreenArgs) -> Exit {
    // Failed tiles are named where nobody looks for them: only their number matters here.
    let aside = match tempfile::tempdir() {
        Ok(aside) => aside,
        Err(error) => return crate::fail(display, &Error::new(ErrorKind::Io, "estimate").with_source(error)),
    };
    let screen = Screen::new(display, &[SEQUENCES], Ledger::new(aside.path(), &[SEQUENCES]));
    let run = match begin(args, &screen).await {
        Ok(run) => run,
        Err(error) => {
            screen.finish();
            screen.error(&error);
            return end(&screen, exit_of(&error));
        }
    };
    screen.know(&run.client);
    let drawing = tokio::spawn(Arc::clone(&screen).draw());
    let abandon = CancellationToken::new();
    let (stop, client) = (run.stop.clone(), run.client.clone());
    let signals = tokio::spawn(heed_signals(Signals::listen(), stop, abandon, client, Arc::clone(&screen)));
    let counted = tokio::select! {
        counted = count(&run, args) => counted,
        () = run.stop.cancelled() => Err(Error::new(ErrorKind::Interrupted, "estimate").with_source("the run was stopped")),
    };
    signals.abort();
    drawing.abort();
    screen.finish();
    match counted {
        Ok(sequences) => {
            let estimate =
                Estimate::new(&screen, args, sequences, run.client.rate_limit(Class::Tile).is_some());
            if screen.voice.is_json() {
                screen.voice.object("estimate", estimate.object());
            } else if let Err(error) = crate::terminal::stdout::print(estimate.text().as_bytes()) {
                screen.error(&error);
                return end(&screen, exit_of(&error));
            }
            end(&screen, if screen.failed() > 0 { Exit::SomeFailed } else { Exit::Done })
        }
        Err(error) => {
            screen.error(&error);
            end(&screen, exit_of(&error))
        }
    }
}

fn end(screen: &Screen, exit: Exit) -> Exit {
    screen.voice.end(exit, None, None);
    exit
}

async fn begin(args: &CrawlArgs, screen: &Arc<Screen>) -> Result<Run> {
    args.area.check(args.network.is_sandbox())?;
    args.area.warn(&screen.voice);
    args.filters.dates()?;
    if args.area.is_user_alone() {
        return Err(Error::new(ErrorKind::Usage, "estimate")
            .with_source("no tile is read for `--user` without an area")
            .with_hint("say an area too, with `--bbox`, `--area` or `--around`"));
    }
    let builder = Run::builder(&args.network, true, screen)?;
    let builder = match tile_cache::tiles(&args.area, &args.network)? {
        Some(tiles) => builder.tile_cache(&tiles),
        None => builder,
    };
    Run::new(&args.network, builder, Arc::clone(screen), false, Arc::default()).await
}

/// How many sequences there are.
async fn count(run: &Run, args: &CrawlArgs) -> Result<u64> {
    let sequences = sequences_of(run, &args.area, Some(&args.filters)).await?;
    let sequences = sequences.observe(SEQUENCES, run.observer()).on_error(OnError::Skip);
    sequences.try_fold(0, |count, _| std::future::ready(Ok(count + 1))).await
}

/// What was counted, and what follows from it.
struct Estimate<'a> {
    args: &'a CrawlArgs,
    tiles: u64,
    cached: u64,
    failed: u64,
    sequences: u64,
    images: u64,
    /// No tile showed images, so they are a guess.
    images_guessed: bool,
    tiles_are_paced: bool,
    free: Option<u64>,
}

impl<'a> Estimate<'a> {
    fn new(screen: &Screen, args: &'a CrawlArgs, sequences: u64, tiles_are_paced: bool) -> Self {
        let images_guessed = args.area.max_zoom < MAX_ZOOM;
        let images = if images_guessed { sequences * IMAGES_A_SEQUENCE } else { screen.tally.tile_images() };
        Self {
            args,
            tiles: screen.tally.requests(Class::Tile),
            cached: screen.tile_cache_hits(),
            failed: screen.failed(),
            sequences,
            images: images.min(args.filters.limit.unwrap_or(u64::MAX)),
            images_guessed,
            tiles_are_paced,
            free: free_space(&args.files.output),
        }
    }

    /// The same for a program; what is a guess is in `guess`, from so much to so much where it is a pair.
    fn object(&self) -> Value {
        let sizes =
            Quality::ALL.into_iter().map(|quality| (quality.to_string(), json!(self.pictures(quality))));
        json!({
            "sequences": self.sequences,
            "images": self.images,
            "tiles": { "read": self.tiles, "from_cache": self.cached, "failed": self.failed },
            "requests": {
                "search": self.sequences,
                "entity": self.batches(),
                "bytes": if self.args.no_download { 0 } else { self.images },
            },
            "guess": {
                "images": self.images_guessed,
                "table_bytes": self.images * TABLES,
                "picture_bytes": Value::Object(sizes.collect()),
            },
            "free_bytes": self.free,
            "asks_first": self.is_much(),
            "notes": self.notes(),
        })
    }

    fn text(&self) -> String {
        let blocks = [self.counted(), self.requests(), self.time(), self.disk()];
        let width = |column: usize| {
            let rows = blocks.iter().flat_map(|(_, rows)| rows);
            rows.map(|row| row[column].chars().count()).max().unwrap_or_default()
        };
        let (names, values) = (width(0), width(1));
        let mut text = String::new();
        for (head, rows) in &blocks {
            for (at, [name, value, note]) in rows.iter().enumerate() {
                let head = if at == 0 { head } else { "" };
                writeln!(text, "{head:<9} {name:<names$}  {value:>values$}  {note}").unwrap_or_default();
            }
            text.push('\n');
        }
        for note in self.notes() {
            writeln!(text, "{note}").unwrap_or_default();
        }
        text
    }

    fn counted(&self) -> (&'static str, Vec<[String; 3]>) {
        let images = match (self.args.filters.limit, self.images_guessed) {
            (Some(limit), _) if limit == self.images => "the limit",
            (_, true) => "a guess: tiles below level 14 show none",
            _ => "in the tiles read",
        };
        let rows = vec![
            row("sequences", grouped(self.sequences), "in the area"),
            row("images", grouped(self.images), images),
        ];
        ("Counted", rows)
    }

    fn batches(&self) -> u64 {
        self.images.div_ceil(u64::from(self.args.ask.batch_size))
    }

    fn requests(&self) -> (&'static str, Vec<[String; 3]>) {
        let cached = match self.cached {
            0 => String::new(),
            cached => format!(", {} more from the cache", grouped(cached)),
        };
        let mut rows = vec![
            row(
                "tiles",
                grouped(self.tiles),
                format!("read just now{cached}; {} a day", grouped(TILES_PER_DAY)),
            ),
            row(
                "lists of images",
                grouped(self.sequences),
                format!("one a sequence; {} a minute", grouped(SEARCHES_PER_MINUTE)),
            ),
            row(
                "metadata",
                grouped(self.batches()),
                format!(
                    "{} each; {} images a minute",
                    self.args.ask.batch_size,
                    grouped(ENTITIES_PER_MINUTE)
                ),
            ),
        ];
        rows.extend(
            (!self.args.no_download).then(|| row("pictures", grouped(self.images), "from another host")),
        );
        ("Requests", rows)
    }

    /// At the limits: what is asked in parallel takes as long as the slowest.
    #[expect(clippy::cast_precision_loss, reason = "a guess")]
    fn time(&self) -> (&'static str, Vec<[String; 3]>) {
        let minutes = |requests: u64, a_minute: u64| requests as f64 / a_minute as f64;
        let lists = minutes(self.sequences, SEARCHES_PER_MINUTE);
        let images = minutes(self.images, ENTITIES_PER_MINUTE);
        let mut rows =
            vec![row("tables", at_least(60.0 * lists.max(images)), "a guess: at the limits above")];
        if !self.args.no_download {
            let [least, most] = self.pictures(self.args.pictures.quality).map(|bytes| bytes as f64 / USUAL);
            rows.push(row(
                "pictures",
                format!("{} to {}", at_least(least), at_least(most)),
                "a guess: at 100 Mbit/s, alongside the tables",
            ));
        }
        ("Time", rows)
    }

    fn pictures(&self, quality: Quality) -> [u64; 2] {
        disk_space::of_picture(quality).map(|bytes| bytes.saturating_mul(self.images))
    }

    fn disk(&self) -> (&'static str, Vec<[String; 3]>) {
        let mut rows = vec![row("tables and answers", human_bytes(self.images * TABLES), "a guess")];
        if !self.args.no_download {
            for quality in Quality::ALL {
                let [least, most] = self.pictures(quality).map(human_bytes);
                let chosen = if quality == self.args.pictures.quality {
                    "a guess; these are chosen"
                } else {
                    "a guess"
                };
                rows.push(row(format!("pictures, {quality}"), format!("{least} to {most}"), chosen));
            }
        }
        rows.extend(self.free.map(|free| row("free", human_bytes(free), "now")));
        ("Disk", rows)
    }

    fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if self.failed > 0 {
            notes.push(format!("{} tiles failed: it will be more than this.", grouped(self.failed)));
        }
        if self.args.clip {
            notes.push(
                "With --clip there will be fewer images: those outside the area are counted here.".to_owned(),
            );
        } else if self.args.filters.limit.is_none() {
            notes.push("Sequences that go on outside the area come whole, so images may be more; --clip keeps those inside.".to_owned());
        }
        if self.args.filters.goes_by_images() {
            notes.push(
                "Filters that look at single images leave some of them out: pictures will be fewer."
                    .to_owned(),
            );
        }
        if self.tiles_are_paced {
            notes.push(
                "Tiles are kept for the crawl, which need not ask for them again (--tile-cache-age)."
                    .to_owned(),
            );
        }
        if self.is_much() {
            notes
                .push("The crawl will ask before it downloads so much; --yes says it beforehand.".to_owned());
        }
        notes
    }

    fn is_much(&self) -> bool {
        let [least, most] = self.pictures(self.args.pictures.quality);
        let is_half = self.free.is_some_and(|free| least.midpoint(most) > free / 2);
        !self.args.no_download && (self.images > crate::job::download_guard::UNASKED || is_half)
    }
}

fn at_least(seconds: f64) -> String {
    human_time(seconds.max(1.0))
}

fn row(name: impl Into<String>, value: impl Into<String>, note: impl Into<String>) -> [String; 3] {
    [name.into(), value.into(), note.into()]
}
