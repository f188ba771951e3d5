//! The flags that several commands share.

use std::path::PathBuf;

use clap::{Args, ColorChoice, ValueEnum, value_parser};

use super::values::{
    AreaFile, When, area_of, count_of, file_name, first_of, last_of, lonlat_of, metres_of, name_of, owner_of,
    parsed, rate_of, score_of, table_name,
};
use crate::job::tile_cache::Age;
use streetflow::client::{DEFAULT_CONCURRENCY, GRAPH_URL, MAX_BATCH, TILES_URL};
use streetflow::geo::MAX_ZOOM;
use streetflow::sinks::{Compression, Exif, FileTime, PictureLayout};
use streetflow::sources::FIRST_LINES;
use streetflow::stages::Heading;
use streetflow::{Bbox, Fields, Format, GeometryChoice, LonLat, OwnerId, Quality};

#[derive(Debug, Args)]
#[command(next_help_heading = "Tables")]
pub(crate) struct TableArgs {
    /// Formats of tables: csv, parquet, geojson, geojsonseq
    ///
    /// Several at once with commas: all of them are written from the same answers.
    #[arg(long, value_name = "FORMAT,…", value_delimiter = ',', default_value = "csv", value_parser = parsed::<Format>)]
    pub(crate) format: Vec<Format>,
    #[command(flatten)]
    pub(crate) encoding: EncodingArgs,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Tables")]
pub(crate) struct EncodingArgs {
    /// How Parquet is compressed: zstd, zstd:1 to zstd:22, snappy or none [default: zstd:1]
    #[arg(long, value_name = "HOW", value_parser = parsed::<Compression>, hide_short_help = true)]
    pub(crate) compression: Option<Compression>,
    /// Begin every geojsonseq feature with the control character RS, as RFC 8142 wants
    #[arg(long, hide_short_help = true)]
    pub(crate) rs: bool,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Tables")]
pub(crate) struct GeometryArgs {
    /// Which place is the geometry: original, computed or best [default: original]
    ///
    /// In Parquet and GeoJSON. original is as recorded, computed is after reconstruction, for images that have it, and
    /// best is computed, else original.
    #[arg(long, value_name = "WHICH", value_parser = parsed::<GeometryChoice>, hide_short_help = true)]
    pub(crate) geometry: Option<GeometryChoice>,
    /// Type the geometry of Parquet as GEOMETRY besides
    ///
    /// pyarrow before 20 and polars 2.1 can't open such files.
    #[arg(long, hide_short_help = true)]
    pub(crate) native_geometry: bool,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Area")]
pub(crate) struct AreaArgs {
    /// A box in degrees
    ///
    /// With --sandbox it is Cyprus unless an area is given.
    #[arg(long, value_name = "W,S,E,N", value_parser = parsed::<Bbox>, allow_hyphen_values = true, group = "place")]
    pub(crate) bbox: Option<Bbox>,
    /// The polygons of a GeoJSON file
    ///
    /// Only tiles that touch them are asked, and only sequences that touch them count.
    #[arg(long, value_name = "FILE", value_parser = area_of, group = "place")]
    pub(crate) area: Option<AreaFile>,
    /// Around a place in degrees, as far as --radius
    ///
    /// Longitude comes first.
    #[arg(long, value_name = "LON,LAT", value_parser = lonlat_of, allow_hyphen_values = true, group = "place", requires = "radius")]
    pub(crate) around: Option<LonLat>,
    /// How far around, in metres
    #[arg(long, value_name = "M", value_parser = metres_of, allow_hyphen_values = true, requires = "around")]
    pub(crate) radius: Option<f64>,
    /// Only images of the user of this name
    ///
    /// Without an area all of them, wherever they are.
    #[arg(long, value_name = "NAME", value_parser = name_of, conflicts_with = "org_id")]
    pub(crate) user: Option<String>,
    /// Only sequences of this organisation or user
    ///
    /// Several with commas, or said several times.
    #[arg(long, value_name = "ID,…", value_delimiter = ',', value_parser = owner_of)]
    pub(crate) org_id: Vec<OwnerId>,
    /// No sequences of this organisation or user
    ///
    /// Several with commas, or said several times.
    #[arg(long, value_name = "ID,…", value_delimiter = ',', value_parser = owner_of, hide_short_help = true)]
    pub(crate) exclude_owner: Vec<OwnerId>,
    /// The coarsest tile level to ask
    #[arg(long, value_name = "Z", default_value_t = 1, value_parser = value_parser!(u8).range(0..=i64::from(MAX_ZOOM)), hide_short_help = true)]
    pub(crate) min_zoom: u8,
    /// The tile level where sequences are collected, 6 to 14; below 14 only lines count
    #[arg(long, value_name = "Z", default_value_t = MAX_ZOOM, value_parser = value_parser!(u8).range(i64::from(FIRST_LINES)..=i64::from(MAX_ZOOM)), hide_short_help = true)]
    pub(crate) max_zoom: u8,
    /// Rule no tile out: more requests, and sequences that draw no line are found too
    #[arg(long, hide_short_help = true)]
    pub(crate) exhaustive: bool,
    /// How old a tile of an earlier run may be [default: 24h with Mapillary's own tile host, else 0]
    ///
    /// Such as 90m, 24h, 7d; 0 keeps and takes none. Tiles serve runs of whatever box and owner. They lie in the user's
    /// cache folder (STREETFLOW_CACHE_DIR names another), 2 GiB at most, and --restart leaves them.
    #[arg(long, value_name = "AGE", hide_short_help = true)]
    pub(crate) tile_cache_age: Option<Age>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Filters")]
pub(crate) struct FilterArgs {
    /// Only images captured on this day or later, in UTC
    ///
    /// A day such as 2024-06-01, or a time such as 2024-06-01T08:00:00Z.
    #[arg(long, value_name = "DATE", value_parser = first_of)]
    pub(crate) from: Option<When>,
    /// Only images captured on this day or earlier
    ///
    /// A day counts to its end, a time to itself.
    #[arg(long, value_name = "DATE", value_parser = last_of)]
    pub(crate) to: Option<When>,
    /// Only panoramas
    #[arg(long, conflicts_with = "flat")]
    pub(crate) pano: bool,
    /// No panoramas
    #[arg(long)]
    pub(crate) flat: bool,
    /// Only images whose quality_score is so much at least, 0 to 1
    #[arg(long, value_name = "Q", value_parser = score_of, allow_hyphen_values = true, hide_short_help = true)]
    pub(crate) min_quality: Option<f64>,
    /// Only images that look so, in degrees from north
    ///
    /// By compass_angle, clockwise from A to B: 315..45 is northwards.
    #[arg(long, value_name = "A..B", value_parser = parsed::<Heading>, allow_hyphen_values = true, hide_short_help = true)]
    pub(crate) heading: Option<Heading>,
    /// Only images of cameras of this maker
    ///
    /// Whatever the case; may be given several times.
    #[arg(long, value_name = "NAME", value_parser = name_of, hide_short_help = true)]
    pub(crate) make: Vec<String>,
    /// Only images of cameras of this model
    ///
    /// Whatever the case; may be given several times.
    #[arg(long, value_name = "NAME", value_parser = name_of, hide_short_help = true)]
    pub(crate) model: Vec<String>,
    /// Thin sequences out: an image every so many metres
    ///
    /// An image stays if it is so far from the last one of its sequence that stayed.
    #[arg(long, value_name = "METRES", value_parser = metres_of, allow_hyphen_values = true)]
    pub(crate) every: Option<f64>,
    /// At most so many images
    ///
    /// The tables of steps before may name some more, which were asked for ahead.
    #[arg(long, value_name = "N", value_parser = count_of, allow_hyphen_values = true)]
    pub(crate) limit: Option<u64>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Metadata")]
pub(crate) struct AskArgs {
    /// What to ask of each image, in the order of the columns
    #[arg(long, value_name = "FIELD,…", default_value = Fields::DEFAULT, value_parser = parsed::<Fields>)]
    pub(crate) fields: Fields,
    /// Images a request
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = value_parser!(u16).range(1..=MAX_BATCH as i64), hide_short_help = true)]
    pub(crate) batch_size: u16,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Pictures")]
pub(crate) struct PictureArgs {
    /// Width in pixels: 256, 1024, 2048 or original
    #[arg(long, value_name = "Q", default_value_t = Quality::Q256, value_parser = parsed::<Quality>)]
    pub(crate) quality: Quality,
    /// Write place, time, camera, author and licence into pictures: auto, always, never
    ///
    /// auto does it to originals only; thumbs stay the bytes that came, and need no fields for it. No pixel is touched,
    /// and a picture that is there is left as it is.
    #[arg(long, value_name = "WHEN", default_value_t = Exif::Auto, value_parser = parsed::<Exif>)]
    pub(crate) exif: Exif,
    /// The folders of pictures: flat, sequence, date, prefix
    ///
    /// flat is one for all, sequence one each, date YYYY/MM/DD of the capture, prefix the last three digits of the
    /// image's id. A picture is looked for only there.
    #[arg(long, value_name = "HOW", default_value_t = PictureLayout::Flat, value_parser = parsed::<PictureLayout>)]
    pub(crate) layout: PictureLayout,
    /// Which time the files of pictures have: capture, download
    ///
    /// capture is when the picture was taken, as cameras do it, where that is known and past. Backup tools and `make`
    /// go by the time of the download.
    #[arg(long, value_name = "WHICH", default_value_t = FileTime::Capture, value_parser = parsed::<FileTime>, hide_short_help = true)]
    pub(crate) file_time: FileTime,
    /// Look into pictures that are there, and download broken ones anew
    #[arg(long, hide_short_help = true)]
    pub(crate) check_existing: bool,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Files")]
pub(crate) struct InputArgs {
    /// The table to read [default: what the step before wrote]; `-` is standard input
    #[arg(short, long, value_name = "FILE")]
    pub(crate) input: Option<PathBuf>,
    /// The format of that table, if its name does not tell
    ///
    /// csv, parquet, geojson or geojsonseq.
    #[arg(long, value_name = "FORMAT", value_parser = parsed::<Format>)]
    pub(crate) input_format: Option<Format>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Files")]
pub(crate) struct OutputArgs {
    /// The folder for all that is written
    #[arg(short, long, value_name = "DIR", default_value = "outputs")]
    pub(crate) output: PathBuf,
    /// Begin anew, and forget an unfinished run
    #[arg(long)]
    pub(crate) restart: bool,
    /// Go on without asking: replace tables of another query, download however much it is
    ///
    /// On a terminal a run asks first, and elsewhere it ends: before it replaces tables that have rows of another query
    /// (area, owner, list of ids, filters), and before over 100,000 pictures, or more than half of the disk that is free.
    #[arg(short, long)]
    pub(crate) yes: bool,
    #[command(flatten)]
    pub(crate) names: NameArgs,
}

/// The names of what is written; the ending of a table follows from its format.
#[derive(Debug, Args)]
#[command(next_help_heading = "Files")]
pub(crate) struct NameArgs {
    /// The name of the table of sequences
    #[arg(long, value_name = "NAME", default_value = "seq_dataset", value_parser = table_name, hide_short_help = true)]
    pub(crate) seq_out_file: String,
    /// The name of the table of images
    #[arg(long, value_name = "NAME", default_value = "img_dataset", value_parser = table_name, hide_short_help = true)]
    pub(crate) img_out_file: String,
    /// The name of the table of metadata
    #[arg(long, value_name = "NAME", default_value = "img_meta_dataset", value_parser = table_name, hide_short_help = true)]
    pub(crate) img_meta_out_file: String,
    /// The name of the folder of pictures
    #[arg(long, value_name = "NAME", default_value = "downloaded_images", value_parser = file_name, hide_short_help = true)]
    pub(crate) image_downloads_folder: String,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Network")]
pub(crate) struct NetworkArgs {
    /// Ask a small Mapillary in here; needs no token
    #[arg(long)]
    pub(crate) sandbox: bool,
    /// Requests under way at once
    #[arg(long, value_name = "N", default_value_t = DEFAULT_CONCURRENCY as u16, value_parser = value_parser!(u16).range(1..=1024), hide_short_help = true)]
    pub(crate) concurrency: u16,
    /// Tiles a minute [default: 40 with a burst of 20 for Mapillary, else no bound]
    ///
    /// Mapillary blocks addresses that ask faster for about a day. Its own host gets the 40 at random times.
    #[arg(long, value_name = "N", value_parser = rate_of, hide_short_help = true)]
    pub(crate) tile_rate: Option<f64>,
    /// How often a request is sent before it counts as failed
    #[arg(long, value_name = "N", default_value_t = 6, value_parser = value_parser!(u32).range(1..=20), hide_short_help = true)]
    pub(crate) attempts: u32,
    /// Believe that images are gone even if nearly all are
    ///
    /// A token that may not see them hears the same.
    #[arg(long, hide_short_help = true)]
    pub(crate) trust_gone: bool,
    /// Let pictures come from this host too: name, name:port or *.name
    ///
    /// Mapillary's hosts and the API's own need no word.
    #[arg(long, value_name = "HOST", value_delimiter = ',', hide_short_help = true)]
    pub(crate) allow_host: Vec<String>,
    /// Read the token from a file
    #[arg(long, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
    /// Another Graph, such as one's own mirror
    #[arg(long, value_name = "URL", env = "MAPILLARY_GRAPH_URL", default_value = GRAPH_URL, hide_env_values = true, hide_short_help = true)]
    pub(crate) graph_url: String,
    /// Another tile host
    #[arg(long, value_name = "URL", env = "MAPILLARY_TILES_URL", default_value = TILES_URL, hide_env_values = true, hide_short_help = true)]
    pub(crate) tiles_url: String,
}

impl NetworkArgs {
    /// Whether the embedded sandbox is asked.
    pub(crate) fn is_sandbox(&self) -> bool {
        self.sandbox
    }
}

#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Display")]
pub(crate) struct ScreenArgs {
    /// Say nothing but errors
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
    /// Say also what is retried and why
    #[arg(short, long, global = true)]
    pub(crate) verbose: bool,
    /// Read settings from this file
    ///
    /// Else from streetflow.toml, where it lies in the folder one is in.
    #[arg(long, global = true, value_name = "FILE", hide_short_help = true)]
    pub(crate) config: Option<PathBuf>,
    /// How progress is shown
    #[arg(long, global = true, value_name = "HOW", default_value = "auto", hide_short_help = true)]
    pub(crate) progress: ProgressArg,
    /// When to colour
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto", hide_short_help = true)]
    pub(crate) color: ColorChoice,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ProgressArg {
    /// Live lines on a terminal, else plain ones
    Auto,
    /// A line now and then
    Plain,
    /// An object a line for programs: progress every second, all that is said, and the end
    Json,
    /// Nothing
    None,
}
