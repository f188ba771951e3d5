//! The command line: the commands and the global flags.

use clap::builder::styling::{AnsiColor, Styles};
use clap::{Parser, Subcommand};

use crate::args::DisplayArgs;
use crate::commands::{
    completions, config, convert, crawl, download, images, init, man, metadata, sandbox, sequences,
};

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default())
    .placeholder(AnsiColor::Cyan.on_default());

const EXAMPLES: &str = "\
Examples:
  streetflow crawl --sandbox
  streetflow crawl --bbox 33.30,35.13,33.40,35.20 --format csv,parquet
  streetflow crawl --user maria_streets --from 2024-06-01 --pano
  streetflow convert outputs/img_meta_dataset.csv images.geojson

`streetflow crawl -h` lists the most common flags, `--help` all of them.";

const EXIT_CODES: &str = "\
Exit codes:
  0    done
  1    failed
  2    wrong usage: a flag, a table, a missing token, a missing confirmation
  3    done, but some records failed; <output>/failures.csv lists them
  130  interrupted; the files are valid and contain what was done so far

The token is read from MAPILLARY_TOKEN, MAPILLARY_CLIENT_TOKEN, MAPILLARY_ACCESS_TOKEN or --token-file.
Pictures from Mapillary are CC BY-SA 4.0: where you show them, name the author and Mapillary, and link to the image.";

/// Turns any part of Mapillary into a dataset: sequences, images, metadata and pictures.
#[derive(Debug, Parser)]
#[command(name = "streetflow", version, styles = STYLES, after_help = EXAMPLES, after_long_help = format!("{EXAMPLES}\n\n{EXIT_CODES}"))]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,

    #[command(flatten)]
    pub(crate) display: DisplayArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run all four steps in one flow
    #[command(after_help = crawl::EXAMPLES)]
    Crawl(Box<crawl::CrawlArgs>),
    /// Find the sequences of an area; writes seq_dataset
    #[command(after_help = sequences::EXAMPLES)]
    Sequences(sequences::SequencesArgs),
    /// List the images of sequences; reads seq_dataset, writes img_dataset
    #[command(after_help = images::EXAMPLES)]
    Images(images::ImagesArgs),
    /// Fetch the metadata of images; reads img_dataset, writes img_meta_dataset
    #[command(after_help = metadata::EXAMPLES)]
    Metadata(metadata::MetadataArgs),
    /// Download pictures; reads img_meta_dataset, writes downloaded_images/
    #[command(after_help = download::EXAMPLES)]
    Download(download::DownloadArgs),
    /// Convert a table to another format
    #[command(after_help = convert::EXAMPLES)]
    Convert(convert::ConvertArgs),
    /// Write a settings template: streetflow.toml
    #[command(after_help = init::EXAMPLES)]
    Init(init::InitArgs),
    /// Show all settings in effect and where each is set
    ///
    /// Takes the flags of crawl, which count too.
    #[command(after_help = config::EXAMPLES)]
    Config(Box<crawl::CrawlArgs>),
    /// Serve the built-in mock server until stopped
    #[command(after_help = sandbox::EXAMPLES)]
    Sandbox(sandbox::SandboxArgs),
    /// Print a shell completion script
    #[command(after_help = completions::EXAMPLES)]
    Completions(completions::CompletionsArgs),
    /// Print the manual page, or write all pages to a directory
    #[command(after_help = man::EXAMPLES)]
    Man(man::ManArgs),
}
