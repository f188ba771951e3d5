//! The words of the command line; every value is parsed here, nothing later.
//!
//! - `examples` are what stands at the end of each help
//! - `groups` are the flags that several commands share
//! - `values` reads what stands behind them

#![allow(clippy::doc_markdown, reason = "these comments are the help text, where backticks would be shown")]

pub(crate) mod area;
mod examples;
mod groups;
mod values;

use std::path::PathBuf;

use clap::builder::styling::{AnsiColor, Styles};
use clap::{Args, Parser, Subcommand};

pub(crate) use self::groups::{
    AreaArgs, AskArgs, EncodingArgs, FilterArgs, GeometryArgs, InputArgs, NameArgs, NetworkArgs, OutputArgs,
    PictureArgs, ProgressArg, ScreenArgs, TableArgs,
};
use self::values::parsed;
use streetflow::{Fields, Format};

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default())
    .placeholder(AnsiColor::Cyan.on_default());

/// Turns any part of Mapillary into a dataset: sequences, images, metadata and pictures.
#[derive(Debug, Parser)]
#[command(name = "streetflow", version, styles = STYLES, after_help = examples::STREETFLOW, after_long_help = format!("{}\n\n{}", examples::STREETFLOW, examples::EXIT_CODES))]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,

    #[command(flatten)]
    pub(crate) screen: ScreenArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// All four steps in one, overlapping
    #[command(after_help = examples::CRAWL)]
    Crawl(Box<CrawlArgs>),
    /// Find the sequences of an area: writes seq_dataset
    #[command(after_help = examples::SEQUENCES)]
    Sequences(SequencesArgs),
    /// List the images of sequences: seq_dataset to img_dataset
    #[command(after_help = examples::IMAGES)]
    Images(ImagesArgs),
    /// Fetch what is known of images: img_dataset to img_meta_dataset
    #[command(after_help = examples::METADATA)]
    Metadata(MetadataArgs),
    /// Download pictures: img_meta_dataset to downloaded_images/
    #[command(after_help = examples::DOWNLOAD)]
    Download(DownloadArgs),
    /// Turn a table into another format
    #[command(after_help = examples::CONVERT)]
    Convert(ConvertArgs),
    /// Write a settings file to fill in: streetflow.toml
    Init {
        /// The file, which must not be there yet [default: streetflow.toml]
        file: Option<PathBuf>,
    },
    /// Show every setting that is in force, and where it comes from
    ///
    /// Takes the flags of crawl, which count too.
    #[command(after_help = examples::CONFIG)]
    Config(Box<CrawlArgs>),
    /// Serve a small Mapillary on this machine until stopped
    #[command(after_help = examples::SANDBOX)]
    Sandbox(SandboxArgs),
    /// Print a completion script for a shell
    #[command(after_help = examples::COMPLETIONS)]
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page, or write all of them into a folder
    #[command(after_help = examples::MAN)]
    Man {
        /// The folder for streetflow.1 and a page for each command; without it, streetflow.1 is printed
        #[arg(value_name = "DIR")]
        folder: Option<PathBuf>,
    },
}

#[derive(Debug, Args)]
pub(crate) struct SequencesArgs {
    #[command(flatten)]
    pub(crate) area: AreaArgs,
    #[command(flatten)]
    pub(crate) tables: TableArgs,
    #[command(flatten)]
    pub(crate) files: OutputArgs,
    #[command(flatten)]
    pub(crate) network: NetworkArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ImagesArgs {
    #[command(flatten)]
    pub(crate) input: InputArgs,
    #[command(flatten)]
    pub(crate) tables: TableArgs,
    #[command(flatten)]
    pub(crate) files: OutputArgs,
    #[command(flatten)]
    pub(crate) network: NetworkArgs,
}

#[derive(Debug, Args)]
pub(crate) struct MetadataArgs {
    #[command(flatten)]
    pub(crate) input: InputArgs,
    #[command(flatten)]
    pub(crate) filters: FilterArgs,
    #[command(flatten)]
    pub(crate) ask: AskArgs,
    #[command(flatten)]
    pub(crate) tables: TableArgs,
    #[command(flatten)]
    pub(crate) geometry: GeometryArgs,
    #[command(flatten)]
    pub(crate) files: OutputArgs,
    #[command(flatten)]
    pub(crate) network: NetworkArgs,
}

#[derive(Debug, Args)]
pub(crate) struct DownloadArgs {
    #[command(flatten)]
    pub(crate) input: InputArgs,
    #[command(flatten)]
    pub(crate) pictures: PictureArgs,
    #[command(flatten)]
    pub(crate) files: OutputArgs,
    #[command(flatten)]
    pub(crate) network: NetworkArgs,
}

#[derive(Debug, Args)]
pub(crate) struct CrawlArgs {
    #[command(flatten)]
    pub(crate) area: AreaArgs,
    /// Only images that lie in the area themselves
    ///
    /// Without it, whole sequences that touch the area come.
    #[arg(long, help_heading = "Area")]
    pub(crate) clip: bool,
    /// Start from these sequences instead of an area
    ///
    /// A file with an id a line, a table, ids with commas between them, or - for standard input.
    #[arg(long, value_name = "FILE|ID,…", help_heading = "Area", allow_hyphen_values = true, conflicts_with_all = ["place", "org_id", "user", "images", "clip", "exhaustive"])]
    pub(crate) sequences: Option<String>,
    /// Start from these images, in the same ways
    #[arg(long, value_name = "FILE|ID,…", help_heading = "Area", conflicts_with_all = ["place", "org_id", "user", "clip", "exhaustive"])]
    pub(crate) images: Option<String>,
    /// Tell what the crawl would take, and do not crawl
    ///
    /// Reads the tiles of the area, which the crawl then finds in the cache, and nothing else. Sequences, images and
    /// requests are counted; time and disk are guesses, and it says which is which.
    #[arg(long, help_heading = "Area", conflicts_with_all = ["sequences", "images"])]
    pub(crate) estimate: bool,
    #[command(flatten)]
    pub(crate) filters: FilterArgs,
    #[command(flatten)]
    pub(crate) ask: AskArgs,
    #[command(flatten)]
    pub(crate) pictures: PictureArgs,
    /// Stop at metadata: no pictures
    #[arg(long, help_heading = "Pictures")]
    pub(crate) no_download: bool,
    #[command(flatten)]
    pub(crate) tables: TableArgs,
    #[command(flatten)]
    pub(crate) geometry: GeometryArgs,
    #[command(flatten)]
    pub(crate) files: OutputArgs,
    #[command(flatten)]
    pub(crate) network: NetworkArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ConvertArgs {
    /// The table to read; `-` is standard input
    #[arg(value_name = "IN")]
    pub(crate) input: PathBuf,
    /// The table to write; `-` is standard output
    #[arg(value_name = "OUT")]
    pub(crate) output: PathBuf,
    /// The format of IN, if its name does not tell [default for `-`: csv]
    #[arg(long, value_name = "FORMAT", value_parser = parsed::<Format>)]
    pub(crate) input_format: Option<Format>,
    /// The format of OUT, if its name does not tell [default for `-`: csv]
    #[arg(long, value_name = "FORMAT", value_parser = parsed::<Format>)]
    pub(crate) format: Option<Format>,
    /// The fields to keep, in the order of the columns [default: all that IN has]
    #[arg(long, value_name = "FIELD,…", value_parser = parsed::<Fields>)]
    pub(crate) fields: Option<Fields>,
    #[command(flatten)]
    pub(crate) encoding: EncodingArgs,
    #[command(flatten)]
    pub(crate) geometry: GeometryArgs,
}

#[derive(Debug, Args)]
pub(crate) struct SandboxArgs {
    /// The port of Graph and tile host [default: any that is free]
    #[arg(long, value_name = "N")]
    pub(crate) port: Option<u16>,
    /// How long each answer takes, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 0)]
    pub(crate) latency: u64,
    /// A made-up world of so many images instead of the small one, for trying out sizes
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    pub(crate) images: Option<u64>,
}
