//! The words of the command line; every value is parsed here, nothing later.
//!
//! - `groups` are the flags that several commands share
//! - `values` reads what stands behind them

#![allow(clippy::doc_markdown, reason = "these comments are the help text, where backticks would be shown")]

mod groups;
mod values;

use std::path::PathBuf;

use clap::builder::styling::{AnsiColor, Styles};
use clap::{Args, Parser, Subcommand};

pub(super) use self::groups::{
    AreaArgs, AskArgs, EncodingArgs, FilterArgs, GeometryArgs, InputArgs, NameArgs, NetworkArgs, OutputArgs,
    PictureArgs, ProgressArg, ScreenArgs, TableArgs,
};
use self::values::{fields_of, format_of};
use crate::{Fields, Format};

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
    Crawl(Box<CrawlArgs>),
    /// Turn a table into another format
    Convert(ConvertArgs),
    /// Write a settings file to fill in: streetflow.toml
    Init {
        /// The file, which must not be there yet [default: streetflow.toml]
        file: Option<PathBuf>,
    },
    /// Show every setting that is in force, and where it comes from; flags of crawl count too
    Config(Box<CrawlArgs>),
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
    pub(super) filters: FilterArgs,
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
    /// Only images that lie in the area themselves; without it, whole sequences that touch it come
    #[arg(long, help_heading = "Area")]
    pub(super) clip: bool,
    /// Start from these sequences instead of an area: a file with an id a line, a table, ids with commas between them,
    /// or - for standard input
    #[arg(long, value_name = "FILE|ID,…", help_heading = "Area", allow_hyphen_values = true, conflicts_with_all = ["place", "org_id", "user", "images", "clip"])]
    pub(super) sequences: Option<String>,
    /// Start from these images, in the same ways
    #[arg(long, value_name = "FILE|ID,…", help_heading = "Area", conflicts_with_all = ["place", "org_id", "user", "clip"])]
    pub(super) images: Option<String>,
    #[command(flatten)]
    pub(super) filters: FilterArgs,
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
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    pub(super) images: Option<u64>,
}
