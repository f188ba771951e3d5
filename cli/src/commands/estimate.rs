//! `crawl --estimate`: reads the tiles of a crawl, and estimates the rest.

use std::fmt::Write as _;
use std::sync::Arc;

use futures::TryStreamExt;
use serde_json::{Value, json};

use super::crawl::CrawlArgs;
use crate::args::DisplayArgs;
use crate::exit_code::Exit;
use crate::job::{
    self, MAX_UNCONFIRMED_PICTURES, Monitor, RunContext, SequenceSource, configure_client, picture_size,
    supervise,
};
use crate::terminal::format::{grouped, human_bytes, human_time};
use crate::terminal::stdout;
use streetflow::client::{ENTITIES_PER_MINUTE, SEARCHES_PER_MINUTE, TILES_PER_DAY};
use streetflow::file_system::free_space;
use streetflow::{Class, Error, ErrorKind, OnError, Quality, Query, Result, Step};

/// Images per sequence, if the tiles show none: a typical number, and a range that holds for most areas.
const IMAGES_PER_SEQUENCE: u64 = 150;
const IMAGES_PER_SEQUENCE_RANGE: [u64; 2] = [50, 400];

/// A typical connection in bytes per second, 100 Mbit/s, for the time of the pictures.
const BYTES_PER_SECOND: f64 = 12.5e6;

/// Bytes per image in tables and stored responses, with the default fields; measured with the sandbox.
const TABLE_BYTES_PER_IMAGE: u64 = 600;

const STEPS: [Step; 1] = [Step::SEQUENCES];

pub(crate) async fn run(args: &CrawlArgs, display: &DisplayArgs) -> Exit {
    // Failed tiles are only counted: their log goes to a temporary directory.
    if let Err(error) = job::find_place(&args.area, &args.files, &display.printer()).await {
        return job::reject(display, &error);
    }
    let (source, log) = match resolve(args) {
        Ok(resolved) => resolved,
        Err(error) => return job::reject(display, &error),
    };
    let monitor = Monitor::new(display, &STEPS, log.path());
    let exit = match estimate(args, &source, &monitor).await {
        Ok(()) if monitor.stats.failed() > 0 => Exit::SomeFailed,
        Ok(()) => Exit::Done,
        Err(error) => {
            monitor.progress.finish();
            monitor.printer.error(&error);
            Exit::from(&error)
        }
    };
    monitor.printer.end(exit as u8, None, None);
    exit
}

fn resolve(args: &CrawlArgs) -> Result<(SequenceSource, tempfile::TempDir)> {
    let source = SequenceSource::resolve(&args.area, Some(&args.filters), &args.network)?;
    if !source.reads_tiles() {
        return Err(Error::new(ErrorKind::Usage, "estimate")
            .with_source("`--user` without an area reads no tiles")
            .with_hint("add an area with `--bbox`, `--area`, `--place` or `--around`"));
    }
    let log =
        tempfile::tempdir().map_err(|error| Error::new(ErrorKind::Io, "estimate").with_source(error))?;
    Ok((source, log))
}

async fn estimate(args: &CrawlArgs, source: &SequenceSource, monitor: &Arc<Monitor>) -> Result<()> {
    let builder = configure_client(&args.network, Some(&args.area), true, monitor)?;
    let monitor = Arc::clone(monitor);
    let run = RunContext::new(&args.network, builder, monitor, false, Arc::default()).await?;
    let sequences = supervise(&run, count_sequences(&run, source)).await.result?;
    let estimate = Estimate::new(&run, args, source.query(), sequences);
    if run.monitor.printer.is_json() {
        run.monitor.printer.object("estimate", estimate.json());
        return Ok(());
    }
    stdout::print(estimate.text().as_bytes())
}

async fn count_sequences(run: &RunContext, source: &SequenceSource) -> Result<u64> {
    let count = async {
        let sequences = source.open(run).await?;
        let sequences = sequences.observe(Step::SEQUENCES, run.observer()).on_error(OnError::Skip);
        sequences.try_fold(0, |count, _| std::future::ready(Ok(count + 1))).await
    };
    tokio::select! {
        counted = count => counted,
        // An estimate of some of the tiles would be misleading.
        () = run.stop.cancelled() => {
            Err(Error::new(ErrorKind::Interrupted, "estimate").with_source("the run was stopped"))
        }
    }
}

/// What was counted, and what follows from it.
struct Estimate<'a> {
    args: &'a CrawlArgs,
    query: &'a Query,
    tiles: u64,
    cached_tiles: u64,
    failed_tiles: u64,
    sequences: u64,
    images: u64,
    /// The number of images is a guess, because no tile showed images.
    images_guessed: bool,
    tiles_rate_limited: bool,
    /// Free disk space in bytes, if it is known.
    free: Option<u64>,
}

type Row = [String; 3];

impl<'a> Estimate<'a> {
    fn new(run: &RunContext, args: &'a CrawlArgs, query: &'a Query, sequences: u64) -> Self {
        let tally = &run.monitor.stats.tally;
        let images_guessed = !query.reads_tile_images();
        let images = if images_guessed { sequences * IMAGES_PER_SEQUENCE } else { tally.tile_images() };
        Self {
            args,
            query,
            tiles: tally.requests(Class::Tile),
            cached_tiles: tally.tile_cache_hits(),
            failed_tiles: run.monitor.stats.failed(),
            sequences,
            images: images.min(query.limit.unwrap_or(u64::MAX)),
            images_guessed,
            tiles_rate_limited: run.client.rate_limit(Class::Tile).is_some(),
            free: args.files.remote.is_none().then(|| free_space(&args.files.output)).flatten(),
        }
    }

    /// The estimate as JSON. A pair is a minimum and a maximum.
    fn json(&self) -> Value {
        let sizes =
            Quality::ALL.into_iter().map(|quality| (quality.to_string(), json!(self.picture_bytes(quality))));
        json!({
            "sequences": self.sequences,
            "images": self.images,
            "tiles": { "read": self.tiles, "from_cache": self.cached_tiles, "failed": self.failed_tiles },
            "requests": {
                "search": self.sequences,
                "entity": self.batches(),
                "bytes": if self.args.no_download { 0 } else { self.images },
            },
            "images_are_estimated": self.images_guessed,
            "images_range": self.image_range(),
            "table_bytes": self.images * TABLE_BYTES_PER_IMAGE,
            "picture_bytes": Value::Object(sizes.collect()),
            "free_bytes": self.free,
            "needs_confirmation": self.needs_confirmation(),
            "notes": self.notes(),
        })
    }

    /// The estimate for people: four blocks of aligned rows, and notes.
    fn text(&self) -> String {
        let blocks = [
            ("Counted", self.count_rows()),
            ("Requests", self.request_rows()),
            ("Time", self.time_rows()),
            ("Disk", self.disk_rows()),
        ];
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

    fn count_rows(&self) -> Vec<Row> {
        let image_count = match self.image_range() {
            Some([min, max]) => format!("{} to {}", grouped(min), grouped(max)),
            None => grouped(self.images),
        };
        let images = match (self.query.limit, self.images_guessed) {
            (Some(limit), _) if limit == self.images => "the limit",
            (_, true) => "a guess: tiles below level 14 show none",
            _ => "in the tiles read",
        };
        vec![row("sequences", grouped(self.sequences), "in the area"), row("images", image_count, images)]
    }

    /// The range of the number of images, if it is a guess and no limit is below it.
    fn image_range(&self) -> Option<[u64; 2]> {
        let range = IMAGES_PER_SEQUENCE_RANGE.map(|images| images * self.sequences);
        let is_open = self.query.limit.is_none_or(|limit| limit > range[1]);
        (self.images_guessed && is_open && self.sequences > 0).then_some(range)
    }

    fn batches(&self) -> u64 {
        self.images.div_ceil(u64::from(self.args.fetch.batch_size))
    }

    fn request_rows(&self) -> Vec<Row> {
        let cached = match self.cached_tiles {
            0 => String::new(),
            cached => format!(", {} more from the cache", grouped(cached)),
        };
        let tiles = format!("already read{cached}; limit {} per day", grouped(TILES_PER_DAY));
        let lists = format!("one per sequence; limit {} per minute", grouped(SEARCHES_PER_MINUTE));
        let batch_size = self.args.fetch.batch_size;
        let batches =
            format!("{batch_size} images each; limit {} images per minute", grouped(ENTITIES_PER_MINUTE));
        let mut rows = vec![
            row("tiles", grouped(self.tiles), tiles),
            row("lists of images", grouped(self.sequences), lists),
            row("metadata", grouped(self.batches()), batches),
        ];
        if !self.args.no_download {
            rows.push(row("pictures", grouped(self.images), "from another host"));
        }
        rows
    }

    /// The time at the rate limits. Requests of different classes run in parallel, so the slowest class decides.
    #[expect(clippy::cast_precision_loss, reason = "a guess")]
    fn time_rows(&self) -> Vec<Row> {
        let minutes = |requests: u64, per_minute: u64| requests as f64 / per_minute as f64;
        let lists = minutes(self.sequences, SEARCHES_PER_MINUTE);
        let images = minutes(self.images, ENTITIES_PER_MINUTE);
        let tables = time_text(60.0 * lists.max(images));
        let mut rows = vec![row("tables", tables, "a guess: at the limits above")];
        if !self.args.no_download {
            let [min, max] = self
                .picture_bytes(self.args.pictures.quality)
                .map(|bytes| time_text(bytes as f64 / BYTES_PER_SECOND));
            let note = "a guess: at 100 Mbit/s, in parallel with the tables";
            rows.push(row("pictures", format!("{min} to {max}"), note));
        }
        rows
    }

    fn disk_rows(&self) -> Vec<Row> {
        let tables = human_bytes(self.images * TABLE_BYTES_PER_IMAGE);
        let mut rows = vec![row("tables and responses", tables, "a guess")];
        if !self.args.no_download {
            for quality in Quality::ALL {
                let [min, max] = self.picture_bytes(quality).map(human_bytes);
                let is_selected = quality == self.args.pictures.quality;
                let note = if is_selected { "a guess; the selected quality" } else { "a guess" };
                rows.push(row(format!("pictures, {quality}"), format!("{min} to {max}"), note));
            }
        }
        rows.extend(self.free.map(|free| row("free", human_bytes(free), "now")));
        rows
    }

    /// Minimum and maximum size of all pictures.
    fn picture_bytes(&self, quality: Quality) -> [u64; 2] {
        picture_size(quality).map(|bytes| bytes.saturating_mul(self.images))
    }

    fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if self.failed_tiles > 0 {
            notes.push(format!("{} tiles failed, so the crawl is larger.", grouped(self.failed_tiles)));
        }
        if self.args.clip {
            notes.push(
                "--clip removes the images outside the area, which are counted here, so there will be fewer."
                    .to_owned(),
            );
        } else if self.query.limit.is_none() {
            notes.push(
                "Sequences that continue outside the area are complete, so there may be more images; --clip keeps only those inside."
                    .to_owned(),
            );
        }
        if self.query.needs_metadata() {
            notes.push("Some filters need metadata, so there will be fewer pictures.".to_owned());
        }
        if self.tiles_rate_limited {
            notes.push(
                "The tiles are cached, so the crawl need not request them again (--tile-cache-age)."
                    .to_owned(),
            );
        }
        if self.needs_confirmation() {
            notes.push(
                "The crawl asks for confirmation before such a large download; --yes skips that.".to_owned(),
            );
        }
        notes
    }

    fn needs_confirmation(&self) -> bool {
        let [min, max] = self.picture_bytes(self.args.pictures.quality);
        let exceeds_disk = self.free.is_some_and(|free| min.midpoint(max) > free / 2);
        !self.args.no_download && (self.images > MAX_UNCONFIRMED_PICTURES || exceeds_disk)
    }
}

/// The time as text, at least a second.
fn time_text(seconds: f64) -> String {
    human_time(seconds.max(1.0))
}

fn row(name: impl Into<String>, value: impl Into<String>, note: impl Into<String>) -> Row {
    [name.into(), value.into(), note.into()]
}
