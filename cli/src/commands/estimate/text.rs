//! The text and the JSON of an estimate.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::job::{MAX_UNCONFIRMED_PICTURES, picture_size};
use crate::terminal::format::{grouped, human_bytes, human_time};
use streetflow::Quality;
use streetflow::client::{ENTITIES_PER_MINUTE, SEARCHES_PER_MINUTE, TILES_PER_DAY};

/// Images per sequence, if the tiles show none: a range that holds for most areas.
const IMAGES_PER_SEQUENCE_RANGE: [u64; 2] = [50, 400];

/// A typical connection in bytes per second, 100 Mbit/s, for the time of the pictures.
const BYTES_PER_SECOND: f64 = 12.5e6;

/// Bytes per image in tables and stored responses, with the default fields; measured with the sandbox.
const TABLE_BYTES_PER_IMAGE: u64 = 600;

/// Bytes per image in the table of detections and stored responses: 10 to 100 detections of 1,200 bytes, of which the API
/// sends 350.
const DETECTION_BYTES_PER_IMAGE: [u64; 2] = [12_000, 120_000];

/// What was counted.
#[derive(Default)]
pub(super) struct Counted {
    /// `None` if no sequences are listed.
    pub(super) sequences: Option<u64>,
    pub(super) features: Option<u64>,
    pub(super) tiles: Option<Tiles>,
    pub(super) images: u64,
    /// The number of images is a guess, because no tile showed images.
    pub(super) images_guessed: bool,
}

/// The tiles that were read.
pub(super) struct Tiles {
    pub(super) read: u64,
    pub(super) cached: u64,
    pub(super) failed: u64,
}

/// What was counted, and what follows from it.
pub(super) struct Estimate {
    pub(super) counted: Counted,
    pub(super) limit: Option<u64>,
    /// Images per request of metadata; `None` without metadata.
    pub(super) metadata: Option<u16>,
    /// Images per request of detections; `None` without detections.
    pub(super) detections: Option<u16>,
    /// The quality of the pictures; `None` without pictures.
    pub(super) quality: Option<Quality>,
    /// Images outside the area are removed.
    pub(super) clip: bool,
    /// A filter needs metadata.
    pub(super) needs_metadata: bool,
    pub(super) tiles_rate_limited: bool,
    /// Free disk space in bytes, if it is known.
    pub(super) free: Option<u64>,
}

type Row = [String; 3];

impl Estimate {
    /// The estimate as JSON. A pair is a minimum and a maximum.
    pub(super) fn json(&self) -> Value {
        let sizes =
            Quality::ALL.into_iter().map(|quality| (quality.to_string(), json!(self.picture_bytes(quality))));
        let tiles = self.counted.tiles.as_ref();
        json!({
            "sequences": self.counted.sequences,
            "map_features": self.counted.features,
            "images": self.counted.images,
            "tiles": tiles.map(|tiles| {
                json!({ "read": tiles.read, "from_cache": tiles.cached, "failed": tiles.failed })
            }),
            "requests": {
                "search": self.counted.sequences.unwrap_or_default(),
                "entity": self.batches(self.metadata) + self.batches(self.detections),
                "bytes": self.quality.map_or(0, |_| self.counted.images),
            },
            "detection_requests": self.detections.map(|_| self.batches(self.detections)),
            "images_are_estimated": self.counted.images_guessed,
            "images_range": self.image_range(),
            "table_bytes": self.table_bytes(),
            "detection_bytes": self.detections.map(|_| self.detection_bytes()),
            "picture_bytes": Value::Object(sizes.collect()),
            "free_bytes": self.free,
            "needs_confirmation": self.needs_confirmation(),
            "notes": self.notes(),
        })
    }

    /// The estimate for people: four blocks of aligned rows, and notes.
    pub(super) fn text(&self) -> String {
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
        let counted = &self.counted;
        let images = match self.image_range() {
            Some([min, max]) => format!("{} to {}", grouped(min), grouped(max)),
            None => grouped(counted.images),
        };
        let note = match (self.limit, counted) {
            (Some(limit), _) if limit == counted.images => "the limit",
            (_, Counted { images_guessed: true, .. }) => "a guess: tiles below level 14 show none",
            (_, Counted { features: Some(_), .. }) => "that saw them",
            (_, Counted { tiles: None, .. }) => "in the table or list",
            _ => "in the tiles read",
        };
        let sequences = counted.sequences.map(|count| row("sequences", grouped(count), "in the area"));
        let features = counted.features.map(|count| row("map features", grouped(count), "in the table"));
        let images = row("images", images, note);
        sequences.into_iter().chain(features).chain([images]).collect()
    }

    /// The range of the number of images, if it is a guess and no limit is below it.
    fn image_range(&self) -> Option<[u64; 2]> {
        let sequences = self.counted.sequences.filter(|count| *count > 0)?;
        let range = IMAGES_PER_SEQUENCE_RANGE.map(|images| images * sequences);
        let is_open = self.limit.is_none_or(|limit| limit > range[1]);
        (self.counted.images_guessed && is_open).then_some(range)
    }

    /// Requests of a batch size; 0 for `None`.
    fn batches(&self, size: Option<u16>) -> u64 {
        size.map_or(0, |size| self.counted.images.div_ceil(size.into()))
    }

    fn request_rows(&self) -> Vec<Row> {
        let mut rows = Vec::new();
        if let Some(tiles) = &self.counted.tiles {
            let cached = match tiles.cached {
                0 => String::new(),
                cached => format!(", {} more from the cache", grouped(cached)),
            };
            let limit = format!("already read{cached}; limit {} per day", grouped(TILES_PER_DAY));
            rows.push(row("tiles", grouped(tiles.read), limit));
        }
        if let Some(sequences) = self.counted.sequences {
            let limit = format!("one per sequence; limit {} per minute", grouped(SEARCHES_PER_MINUTE));
            rows.push(row("lists of images", grouped(sequences), limit));
        }
        let mut share = "";
        for (name, size) in [("metadata", self.metadata), ("detections", self.detections)] {
            if let Some(size) = size {
                let limit = grouped(ENTITIES_PER_MINUTE);
                let note = format!("{size} images each; limit {limit} images per minute{share}");
                rows.push(row(name, grouped(self.batches(Some(size))), note));
                share = ", shared";
            }
        }
        if self.quality.is_some() {
            rows.push(row("pictures", grouped(self.counted.images), "from another host"));
        }
        rows
    }

    /// The time at the rate limits. Requests of different classes run in parallel, so the slowest class decides.
    #[expect(clippy::cast_precision_loss, reason = "a guess")]
    fn time_rows(&self) -> Vec<Row> {
        let minutes = |requests: u64, per_minute: u64| requests as f64 / per_minute as f64;
        let lists = minutes(self.counted.sequences.unwrap_or_default(), SEARCHES_PER_MINUTE);
        let steps = u64::from(self.metadata.is_some()) + u64::from(self.detections.is_some());
        let images = minutes(self.counted.images * steps, ENTITIES_PER_MINUTE);
        let tables = time_text(60.0 * lists.max(images));
        let mut rows = vec![row("tables", tables, "a guess: at the limits above")];
        if let Some(quality) = self.quality {
            let [min, max] =
                self.picture_bytes(quality).map(|bytes| time_text(bytes as f64 / BYTES_PER_SECOND));
            let note = "a guess: at 100 Mbit/s, in parallel with the tables";
            rows.push(row("pictures", format!("{min} to {max}"), note));
        }
        rows
    }

    fn disk_rows(&self) -> Vec<Row> {
        let mut rows = Vec::new();
        if self.metadata.is_some() {
            rows.push(row("tables and responses", human_bytes(self.table_bytes()), "a guess"));
        }
        if self.detections.is_some() {
            let [min, max] = self.detection_bytes().map(human_bytes);
            let note = "a guess: 10 to 100 per image, without `--values`";
            rows.push(row("detections", format!("{min} to {max}"), note));
        }
        if let Some(selected) = self.quality {
            for quality in Quality::ALL {
                let [min, max] = self.picture_bytes(quality).map(human_bytes);
                let note = if quality == selected { "a guess; the selected quality" } else { "a guess" };
                rows.push(row(format!("pictures, {quality}"), format!("{min} to {max}"), note));
            }
        }
        rows.extend(self.free.map(|free| row("free", human_bytes(free), "now")));
        rows
    }

    fn table_bytes(&self) -> u64 {
        self.metadata.map_or(0, |_| self.counted.images * TABLE_BYTES_PER_IMAGE)
    }

    /// Minimum and maximum size of the table of detections.
    fn detection_bytes(&self) -> [u64; 2] {
        DETECTION_BYTES_PER_IMAGE.map(|bytes| bytes.saturating_mul(self.counted.images))
    }

    /// Minimum and maximum size of all pictures.
    fn picture_bytes(&self, quality: Quality) -> [u64; 2] {
        picture_size(quality).map(|bytes| bytes.saturating_mul(self.counted.images))
    }

    fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        let failed = self.counted.tiles.as_ref().map_or(0, |tiles| tiles.failed);
        if failed > 0 {
            notes.push(format!("{} tiles failed, so the crawl is larger.", grouped(failed)));
        }
        if self.clip {
            notes.push(
                "--clip removes the images outside the area, which are counted here, so there will be fewer."
                    .to_owned(),
            );
        } else if self.limit.is_none() && self.counted.sequences.is_some() {
            notes.push(
                "Sequences that continue outside the area are complete, so there may be more images; --clip keeps only those inside."
                    .to_owned(),
            );
        }
        if self.needs_metadata {
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
        let Some(quality) = self.quality else { return false };
        let [min, max] = self.picture_bytes(quality);
        let exceeds_disk = self.free.is_some_and(|free| min.midpoint(max) > free / 2);
        self.counted.images > MAX_UNCONFIRMED_PICTURES || exceeds_disk
    }
}

/// The time as text, at least a second.
fn time_text(seconds: f64) -> String {
    human_time(seconds.max(1.0))
}

fn row(name: impl Into<String>, value: impl Into<String>, note: impl Into<String>) -> Row {
    [name.into(), value.into(), note.into()]
}
