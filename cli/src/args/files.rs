//! Which table a command reads, and which files it writes.

use std::path::PathBuf;

use clap::{ArgGroup, Args};

use super::storage::{FetchedTable, Remote, StorageArgs};
use super::values::{file_name, parsed, table_name};
use crate::terminal::shell::quoted;
use streetflow::{Error, ErrorKind, Format, Result, Step};

/// The group of flags that apply to one run: a settings file must not contain them.
pub(crate) const ONE_RUN: &str = "one_run";

#[derive(Debug, Args)]
#[command(next_help_heading = "Files")]
pub(crate) struct InputArgs {
    /// Table to read [default: the table of the previous step]; `-` is standard input
    ///
    /// May be in a bucket: s3://…, gs://… or az://….
    #[arg(short, long, value_name = "FILE", group = ONE_RUN)]
    pub(crate) input: Option<PathBuf>,
    /// Format of that table, if its file name does not tell
    ///
    /// csv, parquet, geojson or geojsonseq.
    #[arg(long, value_name = "FORMAT", value_parser = parsed::<Format>, group = ONE_RUN)]
    pub(crate) input_format: Option<Format>,
    /// The copy of a table in a bucket.
    #[arg(skip)]
    pub(super) fetched: Option<FetchedTable>,
}

impl InputArgs {
    /// The arguments of a table that another flag names.
    pub(crate) fn table(path: PathBuf, format: Option<Format>) -> Self {
        Self { input: Some(path), input_format: format, fetched: None }
    }

    /// The flag `--features` with the name of this table.
    pub(crate) fn features_flag(&self) -> String {
        let name = self.input.as_ref().map(|path| path.display().to_string()).unwrap_or_default();
        format!("--features {}", quoted(&name))
    }
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Files", group = ArgGroup::new(ONE_RUN).multiple(true))]
pub(crate) struct OutputArgs {
    /// Output directory, or a bucket: s3://…
    ///
    /// A bucket is s3://…, gs://… or az://….
    #[arg(short, long, value_name = "DIR", default_value = "outputs")]
    pub(crate) output: PathBuf,
    /// The bucket, if the output directory is in one. `output` is then the local directory of its state.
    #[arg(skip)]
    pub(crate) remote: Option<Remote>,
    #[command(flatten)]
    pub(crate) storage: StorageArgs,
    /// Start over and discard the unfinished run
    #[arg(long, group = ONE_RUN)]
    pub(crate) restart: bool,
    /// Skip confirmation of replaced tables and large downloads
    ///
    /// Without it, a run asks on a terminal and fails elsewhere: before it replaces tables with rows of another query
    /// (area, owner, list of ids, filters), and before it downloads more than 100,000 pictures or fills more than half
    /// of the free disk space.
    #[arg(short, long, group = ONE_RUN)]
    pub(crate) yes: bool,
    #[command(flatten)]
    pub(crate) names: NameArgs,
}

impl OutputArgs {
    /// The directory of pictures.
    pub(crate) fn pictures(&self) -> PathBuf {
        self.output.join(&self.names.image_downloads_folder)
    }
}

/// The name, without its extension, of the list of images without rows in a table of detections.
pub(crate) fn empty_images_stem(table: &str) -> String {
    format!("{table}_none")
}

/// Names below the output directory. The format of a table decides its extension.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Files")]
pub(crate) struct NameArgs {
    /// Name of the table of sequences
    #[arg(long, value_name = "NAME", default_value = "seq_dataset", value_parser = table_name, hide_short_help = true)]
    pub(crate) seq_out_file: String,
    /// Name of the table of images
    #[arg(long, value_name = "NAME", default_value = "img_dataset", value_parser = table_name, hide_short_help = true)]
    pub(crate) img_out_file: String,
    /// Name of the table of metadata
    #[arg(long, value_name = "NAME", default_value = "img_meta_dataset", value_parser = table_name, hide_short_help = true)]
    pub(crate) img_meta_out_file: String,
    /// Name of the table of detections
    #[arg(long, value_name = "NAME", default_value = "img_detections_dataset", value_parser = table_name, hide_short_help = true)]
    pub(crate) detections_out_file: String,
    /// Name of the table of map features
    #[arg(long, value_name = "NAME", default_value = "map_features", value_parser = table_name, hide_short_help = true)]
    pub(crate) features_out_file: String,
    /// Name of the directory of pictures
    #[arg(long, value_name = "NAME", default_value = "downloaded_images", value_parser = file_name, hide_short_help = true)]
    pub(crate) image_downloads_folder: String,
}

impl NameArgs {
    /// The table that a step writes. The download step writes none.
    pub(crate) fn table(&self, step: Step) -> Option<&str> {
        match step {
            Step::SEQUENCES => Some(&self.seq_out_file),
            Step::IMAGES => Some(&self.img_out_file),
            Step::METADATA => Some(&self.img_meta_out_file),
            Step::DETECTIONS => Some(&self.detections_out_file),
            Step::FEATURES => Some(&self.features_out_file),
            _ => None,
        }
    }

    /// Rejects two files with the same name.
    pub(crate) fn check(&self) -> Result<()> {
        let mut names: Vec<_> = Step::BUILT_IN.into_iter().filter_map(|step| self.table(step)).collect();
        let empty = empty_images_stem(&self.detections_out_file);
        names.extend([&*self.image_downloads_folder, &empty]);
        names.sort_unstable();
        match names.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => Err(Error::new(ErrorKind::Usage, "use the name")
                .with_subject(pair[0])
                .with_source("two files cannot have the same name")),
            None => Ok(()),
        }
    }
}
