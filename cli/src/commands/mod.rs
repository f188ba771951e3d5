//! The command line: one variant and one file per command.
//!
//! The file of a command contains its arguments, examples, flow and next command. `main` dispatches to it.

#![allow(clippy::doc_markdown, reason = "these comments are the help text, where backticks would be shown")]

pub(crate) mod classes;
pub(crate) mod completions;
pub(crate) mod config;
pub(crate) mod convert;
pub(crate) mod crawl;
pub(crate) mod crops;
pub(crate) mod dataset;
pub(crate) mod detections;
pub(crate) mod download;
pub(crate) mod estimate;
pub(crate) mod features;
pub(crate) mod images;
pub(crate) mod init;
pub(crate) mod man;
pub(crate) mod map;
pub(crate) mod merge;
pub(crate) mod metadata;
mod next_command;
mod offline;
pub(crate) mod overlay;
pub(crate) mod plan;
pub(crate) mod sandbox;
pub(crate) mod sequences;

use clap::builder::styling::{AnsiColor, Styles};
use clap::{Parser, Subcommand};

use crate::args::{DisplayArgs, OutputArgs};
use streetflow::Result;

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
  streetflow map --open

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
    /// Run all steps in one flow
    #[command(after_help = crawl::EXAMPLES)]
    Crawl(Box<crawl::CrawlArgs>),
    /// Divide a crawl into partitions for several processes or machines
    ///
    /// Takes the flags of crawl. Reads the tiles, and writes seq_dataset and plan.json.
    #[command(after_help = plan::EXAMPLES)]
    Plan(Box<plan::PlanArgs>),
    /// Combine the partitions of a plan: one report, one table
    #[command(after_help = merge::EXAMPLES)]
    Merge(merge::MergeArgs),
    /// Find the sequences of an area; writes seq_dataset
    #[command(after_help = sequences::EXAMPLES)]
    Sequences(sequences::SequencesArgs),
    /// List the images of sequences; reads seq_dataset, writes img_dataset
    #[command(after_help = images::EXAMPLES)]
    Images(images::ImagesArgs),
    /// Fetch the metadata of images; reads img_dataset, writes img_meta_dataset
    #[command(after_help = metadata::EXAMPLES)]
    Metadata(metadata::MetadataArgs),
    /// Fetch the detections of images; reads img_meta_dataset or img_dataset
    #[command(after_help = detections::EXAMPLES)]
    Detections(detections::DetectionsArgs),
    /// Download pictures; reads img_meta_dataset, writes downloaded_images/
    #[command(after_help = download::EXAMPLES)]
    Download(download::DownloadArgs),
    /// Find objects and signs on the map; writes map_features
    #[command(after_help = features::EXAMPLES)]
    Features(Box<features::FeaturesArgs>),
    /// Draw detections on pictures; writes images_with_detections/
    #[command(after_help = overlay::EXAMPLES)]
    Overlay(overlay::OverlayArgs),
    /// Cut detections out of pictures; writes cropped_images/
    #[command(after_help = crops::EXAMPLES)]
    Crops(crops::CropsArgs),
    /// Build a training set: COCO, YOLO, masks, WebDataset, Hugging Face
    #[command(after_help = dataset::EXAMPLES)]
    Dataset(Box<dataset::DatasetArgs>),
    /// Count the classes in a table of detections or map features
    #[command(after_help = classes::EXAMPLES)]
    Classes(classes::ClassesArgs),
    /// Convert a table to another format
    #[command(after_help = convert::EXAMPLES)]
    Convert(convert::ConvertArgs),
    /// Show the images of a table on a map: one HTML file
    #[command(after_help = map::EXAMPLES)]
    Map(map::MapArgs),
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

impl Command {
    /// The flags of the output directory, if the command has one.
    pub(crate) fn output_args(&mut self) -> Option<&mut OutputArgs> {
        match self {
            Self::Crawl(args) => Some(&mut args.files),
            Self::Plan(args) => Some(&mut args.crawl.files),
            Self::Sequences(args) => Some(&mut args.files),
            Self::Features(args) => Some(&mut args.files),
            Self::Images(args) => Some(&mut args.files),
            Self::Metadata(args) => Some(&mut args.files),
            Self::Detections(args) => Some(&mut args.files),
            Self::Download(args) => Some(&mut args.files),
            _ => None,
        }
    }

    /// Copies the table that the command reads from its bucket, if it is in one.
    pub(crate) async fn fetch_input(&mut self) -> Result<()> {
        match self {
            Self::Crawl(args) => args.fetch_features().await,
            Self::Images(args) => args.input.fetch(&args.files.storage).await,
            Self::Metadata(args) => args.input.fetch(&args.files.storage).await,
            Self::Detections(args) => args.input.fetch(&args.files.storage).await,
            Self::Download(args) => args.input.fetch(&args.files.storage).await,
            Self::Overlay(args) => args.detections.fetch().await,
            Self::Crops(args) => args.detections.fetch().await,
            Self::Dataset(args) => args.fetch().await,
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use clap::CommandFactory;

    use super::*;
    use crate::config::{setting_names, takes_settings, template};

    fn built() -> clap::Command {
        let mut command = Cli::command();
        command.build();
        command
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn all_flags_of_a_crawl_are_settings_but_those_of_one_run() {
        let command = built();
        let crawl = command.find_subcommand("crawl").expect("a command");
        let flags = crawl.get_arguments().filter(|arg| arg.get_long().is_some());
        let flags: BTreeSet<_> = flags.map(|arg| arg.get_id().to_string()).collect();
        let settings: BTreeSet<_> = setting_names(&command).into_iter().collect();
        let others: Vec<_> = flags.difference(&settings).map(String::as_str).collect();
        assert_eq!(
            others,
            [
                "config",
                "estimate",
                "features",
                "help",
                "images",
                "open",
                "partition",
                "pictures",
                "plan",
                "port",
                "query",
                "recheck_detections",
                "restart",
                "sequences",
                "serve",
                "storage_option",
                "update",
                "yes"
            ]
        );
        // The commands that draw detections have the others.
        let drawing: Vec<_> = settings.difference(&flags).map(String::as_str).collect();
        assert_eq!(
            drawing,
            [
                "detection_colours",
                "detection_masks",
                "image_cropped_detections_folder",
                "image_detections_folder"
            ]
        );
    }

    #[test]
    fn commands_with_an_output_directory_take_settings() {
        let command = built();
        let with_settings = command.get_subcommands().filter(|command| takes_settings(command));
        let names: Vec<_> = with_settings.map(clap::Command::get_name).collect();
        assert_eq!(
            names,
            [
                "crawl",
                "plan",
                "sequences",
                "images",
                "metadata",
                "detections",
                "download",
                "features",
                "overlay",
                "crops",
                "dataset",
                "config"
            ]
        );
    }

    #[test]
    fn flags_of_one_run_may_be_combined() {
        let args = ["streetflow", "images", "--input=a.csv", "--input-format=csv", "--restart", "--yes"];
        assert!(Cli::command().try_get_matches_from(args).is_ok());
    }

    #[test]
    fn the_settings_template_sets_nothing_and_contains_all_settings_with_their_defaults() {
        let command = built();
        let template = template(&command);
        let table: toml::Table = template.parse().expect("TOML");
        assert!(table.is_empty());
        let settings: Vec<_> = template
            .lines()
            .filter_map(|line| line.strip_prefix("# ").filter(|rest| rest.contains(" = ")))
            .collect();
        let table: toml::Table = settings.join("\n").parse().expect("TOML");
        assert_eq!(
            table.keys().cloned().collect::<BTreeSet<_>>(),
            setting_names(&command).into_iter().collect()
        );
        assert_eq!(table["concurrency"].as_integer(), Some(64));
        assert_eq!(table["output"].as_str(), Some("outputs"));
    }
}
