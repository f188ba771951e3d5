//! The words of the command line; every value is parsed here, nothing later.

#![allow(clippy::doc_markdown, reason = "these comments are the help text, where backticks would be shown")]

use std::path::PathBuf;

use clap::builder::styling::{AnsiColor, Styles};
use clap::{Args, ColorChoice, Parser, Subcommand, ValueEnum, value_parser};

use super::cache::Age;
use crate::client::{DEFAULT_CONCURRENCY, GRAPH_URL, MAX_BATCH, TILES_URL};
use crate::geo::MAX_ZOOM;
use crate::sinks::{Compression, Exif, PictureLayout};
use crate::sources::FIRST_LINES;
use crate::{Bbox, Error, Fields, Format, OwnerId, Place, Quality};

const EXIT_CODES: &str = "\
Exit codes:
  0    done
  1    failed
  2    wrong usage: a flag, a table, a missing token
  3    done, but some records failed; <output>/failures.csv names them
  130  interrupted; the files are valid and hold what was done so far

The token is read from MAPILLARY_TOKEN, MAPILLARY_CLIENT_TOKEN, MAPILLARY_ACCESS_TOKEN or --token-file.
Pictures from Mapillary are CC BY-SA 4.0: name Mapillary and link to it where you show them.";

const EXAMPLES: &str = "\
Examples:
  streetflow crawl --sandbox
  streetflow crawl --bbox 32.19,34.52,34.18,35.49 --org-id 803468386961584
  streetflow metadata --fields captured_at,camera_type --format csv,parquet
  streetflow download --quality 2048
  streetflow convert outputs/img_meta_dataset.csv images.parquet";

/// Tiles a minute: one an hour, give or take.
const SLOWEST: f64 = 0.0166;

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default())
    .placeholder(AnsiColor::Cyan.on_default());

/// Turns any part of Mapillary into a dataset: sequences, images, metadata and pictures.
#[derive(Debug, Parser)]
#[command(name = "streetflow", version, styles = STYLES, after_help = EXAMPLES, after_long_help = format!("{EXAMPLES}\n\n{EXIT_CODES}"))]
pub(super) struct Cli {
    #[command(subcommand)]
    pub(super) command: Command,

    #[command(flatten)]
    pub(super) screen: ScreenArgs,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Find the sequences in a box: writes seq_dataset
    Sequences(SequencesArgs),
    /// List the images of sequences: seq_dataset to img_dataset
    Images(ImagesArgs),
    /// Fetch what is known of images: img_dataset to img_meta_dataset
    Metadata(MetadataArgs),
    /// Download pictures: img_meta_dataset to downloaded_images/
    Download(DownloadArgs),
    /// All four steps in one, overlapping
    Crawl(CrawlArgs),
    /// Turn a table into another format
    Convert(ConvertArgs),
    /// Serve a small Mapillary on this machine until stopped
    #[cfg(feature = "sandbox")]
    Sandbox(SandboxArgs),
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

#[derive(Debug, Args)]
pub(super) struct SequencesArgs {
    #[command(flatten)]
    pub(super) area: AreaArgs,
    #[command(flatten)]
    pub(super) tables: TableArgs,
    #[command(flatten)]
    pub(super) files: OutputArgs,
    #[command(flatten)]
    pub(super) network: NetworkArgs,
}

#[derive(Debug, Args)]
pub(super) struct ImagesArgs {
    #[command(flatten)]
    pub(super) input: InputArgs,
    #[command(flatten)]
    pub(super) tables: TableArgs,
    #[command(flatten)]
    pub(super) files: OutputArgs,
    #[command(flatten)]
    pub(super) network: NetworkArgs,
}

#[derive(Debug, Args)]
pub(super) struct MetadataArgs {
    #[command(flatten)]
    pub(super) input: InputArgs,
    #[command(flatten)]
    pub(super) ask: AskArgs,
    #[command(flatten)]
    pub(super) tables: TableArgs,
    #[command(flatten)]
    pub(super) geometry: GeometryArgs,
    #[command(flatten)]
    pub(super) files: OutputArgs,
    #[command(flatten)]
    pub(super) network: NetworkArgs,
}

#[derive(Debug, Args)]
pub(super) struct DownloadArgs {
    #[command(flatten)]
    pub(super) input: InputArgs,
    #[command(flatten)]
    pub(super) pictures: PictureArgs,
    #[command(flatten)]
    pub(super) files: OutputArgs,
    #[command(flatten)]
    pub(super) network: NetworkArgs,
}

#[derive(Debug, Args)]
pub(super) struct CrawlArgs {
    #[command(flatten)]
    pub(super) area: AreaArgs,
    #[command(flatten)]
    pub(super) ask: AskArgs,
    #[command(flatten)]
    pub(super) pictures: PictureArgs,
    /// Stop at metadata: no pictures
    #[arg(long, help_heading = "Pictures")]
    pub(super) no_download: bool,
    #[command(flatten)]
    pub(super) tables: TableArgs,
    #[command(flatten)]
    pub(super) geometry: GeometryArgs,
    #[command(flatten)]
    pub(super) files: OutputArgs,
    #[command(flatten)]
    pub(super) network: NetworkArgs,
}

#[derive(Debug, Args)]
pub(super) struct ConvertArgs {
    /// The table to read; `-` is standard input
    #[arg(value_name = "IN")]
    pub(super) input: PathBuf,
    /// The table to write; `-` is standard output
    #[arg(value_name = "OUT")]
    pub(super) output: PathBuf,
    /// The format of IN, if its name does not tell [default for `-`: csv]
    #[arg(long, value_name = "FORMAT", value_parser = format_of)]
    pub(super) input_format: Option<Format>,
    /// The format of OUT, if its name does not tell [default for `-`: csv]
    #[arg(long, value_name = "FORMAT", value_parser = format_of)]
    pub(super) format: Option<Format>,
    /// The fields to keep, in the order of the columns [default: all that IN has]
    #[arg(long, value_name = "FIELD,…", value_parser = fields_of)]
    pub(super) fields: Option<Fields>,
    #[command(flatten)]
    pub(super) encoding: EncodingArgs,
    #[command(flatten)]
    pub(super) geometry: GeometryArgs,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Tables")]
pub(super) struct TableArgs {
    /// The formats of tables: csv, parquet, geojson, geojsonseq; several at once with commas
    #[arg(long, value_name = "FORMAT,…", value_delimiter = ',', default_value = "csv", value_parser = format_of)]
    pub(super) format: Vec<Format>,
    #[command(flatten)]
    pub(super) encoding: EncodingArgs,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Tables")]
pub(super) struct EncodingArgs {
    /// How Parquet is compressed: zstd, zstd:1 to zstd:22, snappy or none [default: zstd:1]
    #[arg(long, value_name = "HOW", value_parser = compression_of)]
    pub(super) compression: Option<Compression>,
    /// Begin every geojsonseq feature with the control character RS, as RFC 8142 wants
    #[arg(long)]
    pub(super) rs: bool,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Tables")]
pub(super) struct GeometryArgs {
    /// Which place is an image's geometry in Parquet and GeoJSON: original (as recorded), computed (after
    /// reconstruction, for images that have it), or best (computed, else original) [default: original]
    #[arg(long, value_name = "WHICH", value_parser = place_of)]
    pub(super) geometry: Option<Place>,
    /// Type the geometry of Parquet as GEOMETRY besides; pyarrow before 20 and polars 2.1 can't open such files
    #[arg(long)]
    pub(super) native_geometry: bool,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Area")]
pub(super) struct AreaArgs {
    /// The box in degrees; with --sandbox it is Cyprus unless given
    #[arg(long, value_name = "W,S,E,N", value_parser = box_of, allow_hyphen_values = true)]
    pub(super) bbox: Option<Bbox>,
    /// Only sequences of this organisation or user
    #[arg(long, value_name = "ID", value_parser = owner_of)]
    pub(super) org_id: Option<OwnerId>,
    /// The coarsest tile level to ask
    #[arg(long, value_name = "Z", default_value_t = 1, value_parser = value_parser!(u8).range(0..=i64::from(MAX_ZOOM)))]
    pub(super) min_zoom: u8,
    /// The tile level where sequences are collected, 6 to 14; below 14 only lines count
    #[arg(long, value_name = "Z", default_value_t = MAX_ZOOM, value_parser = value_parser!(u8).range(i64::from(FIRST_LINES)..=i64::from(MAX_ZOOM)))]
    pub(super) max_zoom: u8,
    /// Rule no tile out: more requests, and sequences that draw no line are found too
    #[arg(long)]
    pub(super) exhaustive: bool,
    /// How old a tile of an earlier run, of whatever box and owner, may be: 90m, 24h, 7d; 0 keeps and takes none. Tiles
    /// lie in the user's cache folder (STREETFLOW_CACHE_DIR names another), 2 GiB at most; --restart leaves them
    /// [default: 24h with Mapillary's own tile host, else 0]
    #[arg(long, value_name = "AGE")]
    pub(super) tile_cache_age: Option<Age>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Metadata")]
pub(super) struct AskArgs {
    /// What to ask of each image, in the order of the columns
    #[arg(long, value_name = "FIELD,…", default_value = Fields::DEFAULT, value_parser = fields_of)]
    pub(super) fields: Fields,
    /// Images a request
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = value_parser!(u16).range(1..=MAX_BATCH as i64))]
    pub(super) batch_size: u16,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Pictures")]
pub(super) struct PictureArgs {
    /// Width in pixels: 256, 1024, 2048 or original
    #[arg(long, value_name = "Q", default_value_t = Quality::Q256, value_parser = quality_of)]
    pub(super) quality: Quality,
    /// Write place, time, camera, author and licence into pictures: auto (originals only; thumbs stay the bytes that
    /// came, and need no fields for it), always or never. No pixel is touched, and a picture that is there is left as
    /// it is
    #[arg(long, value_name = "WHEN", default_value_t = Exif::Auto, value_parser = exif_of)]
    pub(super) exif: Exif,
    /// The folders of pictures: flat (one for all), sequence (one each), date (YYYY/MM/DD of the capture) or prefix
    /// (the last three digits of the image's id). A picture is looked for only there
    #[arg(long, value_name = "HOW", default_value_t = PictureLayout::Flat, value_parser = layout_of)]
    pub(super) layout: PictureLayout,
    /// Look into pictures that are there, and download broken ones anew
    #[arg(long)]
    pub(super) check_existing: bool,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Files")]
pub(super) struct InputArgs {
    /// The table to read [default: what the step before wrote]; `-` is standard input
    #[arg(short, long, value_name = "FILE")]
    pub(super) input: Option<PathBuf>,
    /// The format of that table, if its name does not tell: csv, parquet, geojson, geojsonseq
    #[arg(long, value_name = "FORMAT", value_parser = format_of)]
    pub(super) input_format: Option<Format>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Files")]
pub(super) struct OutputArgs {
    /// The folder for everything that is written
    #[arg(short, long, value_name = "DIR", default_value = "outputs")]
    pub(super) output: PathBuf,
    /// Begin anew, and throw away what an unfinished run left to go on from
    #[arg(long)]
    pub(super) restart: bool,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Network")]
pub(super) struct NetworkArgs {
    /// Ask a small Mapillary inside this program instead; needs no token
    #[cfg(feature = "sandbox")]
    #[arg(long)]
    pub(super) sandbox: bool,
    /// Requests under way at once
    #[arg(long, value_name = "N", default_value_t = DEFAULT_CONCURRENCY as u16, value_parser = value_parser!(u16).range(1..=1024))]
    pub(super) concurrency: u16,
    /// Tiles a minute; Mapillary's own host gets 40 at random times after a burst of 20 unless this is given
    #[arg(long, value_name = "N", value_parser = rate_of)]
    pub(super) tile_rate: Option<f64>,
    /// How often a request is sent before it counts as failed
    #[arg(long, value_name = "N", default_value_t = 6, value_parser = value_parser!(u32).range(1..=20))]
    pub(super) attempts: u32,
    /// Believe that images are gone even if nearly all are; a token that may not see them hears the same
    #[arg(long)]
    pub(super) trust_gone: bool,
    /// Let pictures come from this host too: name, name:port or *.name; Mapillary's and the API's own need no word
    #[arg(long, value_name = "HOST", value_delimiter = ',')]
    pub(super) allow_host: Vec<String>,
    /// Read the token from a file
    #[arg(long, value_name = "FILE")]
    pub(super) token_file: Option<PathBuf>,
    /// Another Graph, such as one's own mirror
    #[arg(long, value_name = "URL", env = "MAPILLARY_GRAPH_URL", default_value = GRAPH_URL, hide_env_values = true)]
    pub(super) graph_url: String,
    /// Another tile host
    #[arg(long, value_name = "URL", env = "MAPILLARY_TILES_URL", default_value = TILES_URL, hide_env_values = true)]
    pub(super) tiles_url: String,
}

impl NetworkArgs {
    /// Whether the embedded sandbox is asked.
    pub(super) fn is_sandbox(&self) -> bool {
        #[cfg(feature = "sandbox")]
        return self.sandbox;
        #[cfg(not(feature = "sandbox"))]
        false
    }
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Display")]
pub(super) struct ScreenArgs {
    /// Say nothing but errors
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub(super) quiet: bool,
    /// Say also what is retried and why
    #[arg(short, long, global = true)]
    pub(super) verbose: bool,
    /// How progress is shown
    #[arg(long, global = true, value_name = "HOW", default_value = "auto")]
    pub(super) progress: ProgressArg,
    /// When to colour
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub(super) color: ColorChoice,
}

#[cfg(feature = "sandbox")]
#[derive(Debug, Args)]
pub(super) struct SandboxArgs {
    /// The port of Graph and tile host [default: any that is free]
    #[arg(long, value_name = "N")]
    pub(super) port: Option<u16>,
    /// How long each answer takes, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 0)]
    pub(super) latency: u64,
    /// A made-up world of so many images instead of the small one, for trying out sizes
    #[arg(long, value_name = "N", value_parser = value_parser!(u64).range(1..=100_000_000))]
    pub(super) images: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum ProgressArg {
    /// Live lines on a terminal, else plain ones
    Auto,
    /// A line now and then
    Plain,
    /// Nothing
    None,
}

/// clap shows one line, so the causes and the hint go into it.
fn one_line(error: &Error) -> String {
    match error.advice() {
        Some(hint) => format!("{}\n\nhint: {hint}", error.chain()),
        None => error.chain(),
    }
}

fn box_of(text: &str) -> Result<Bbox, String> {
    text.parse().map_err(|error| one_line(&error))
}

fn owner_of(text: &str) -> Result<OwnerId, String> {
    OwnerId::new(text).map_err(|error| one_line(&error))
}

fn fields_of(text: &str) -> Result<Fields, String> {
    text.parse().map_err(|error| one_line(&error))
}

fn format_of(text: &str) -> Result<Format, String> {
    text.parse().map_err(|error| one_line(&error))
}

fn compression_of(text: &str) -> Result<Compression, String> {
    text.parse().map_err(|error| one_line(&error))
}

fn place_of(text: &str) -> Result<Place, String> {
    text.parse().map_err(|error| one_line(&error))
}

fn quality_of(text: &str) -> Result<Quality, String> {
    text.parse().map_err(|error| one_line(&error))
}

fn exif_of(text: &str) -> Result<Exif, String> {
    text.parse().map_err(|error| one_line(&error))
}

fn layout_of(text: &str) -> Result<PictureLayout, String> {
    text.parse().map_err(|error| one_line(&error))
}

fn rate_of(text: &str) -> Result<f64, String> {
    let rate: f64 = text.parse().map_err(|_| "it is not a number".to_owned())?;
    if rate.is_finite() && rate >= SLOWEST {
        Ok(rate)
    } else {
        Err("it must be a tile an hour at least: 0.0167".to_owned())
    }
}
