//! The detections and pictures that a command without network reads.

use std::path::{Path, PathBuf};

use clap::{ArgGroup, Args};

use super::files::{InputArgs, ONE_RUN};
use super::values::{file_name, parsed, table_name};
use streetflow::{Error, ErrorKind, Quality, Result, training::ClassRules};

#[derive(Debug, Args)]
#[command(next_help_heading = "Files", group = ArgGroup::new(ONE_RUN).multiple(true))]
pub(crate) struct DetectionArgs {
    #[command(flatten)]
    pub(crate) table: InputArgs,
    /// Directory of pictures, of any layout [default: that of the output directory]
    #[arg(long, value_name = "DIR", group = ONE_RUN)]
    pictures: Option<PathBuf>,
    /// Output directory
    #[arg(short, long, value_name = "DIR", default_value = "outputs")]
    pub(crate) output: PathBuf,
    /// Size of the pictures to use [default: the largest of each image]
    ///
    /// 256, 1024, 2048 or original.
    #[arg(long, value_name = "Q", value_parser = parsed::<Quality>)]
    pub(crate) quality: Option<Quality>,
    /// Name of the table of detections
    #[arg(long, value_name = "NAME", default_value = "img_detections_dataset", value_parser = table_name, hide_short_help = true)]
    pub(crate) detections_out_file: String,
    /// Name of the directory of pictures
    #[arg(long, value_name = "NAME", default_value = "downloaded_images", value_parser = file_name, hide_short_help = true)]
    image_downloads_folder: String,
}

impl DetectionArgs {
    /// The directory of pictures.
    pub(crate) fn pictures(&self) -> PathBuf {
        self.pictures.clone().unwrap_or_else(|| self.output.join(&self.image_downloads_folder))
    }
}

/// Reads `PATTERN,…`, `NAME=PATTERN,…`, or the name of a file with these.
pub(crate) fn class_rules(text: &str) -> Result<ClassRules> {
    let path = Path::new(text);
    if path.is_file() {
        return ClassRules::read(path);
    }
    let looks_like_a_file =
        [".csv", ".txt"].iter().any(|ending| text.ends_with(ending)) || text.contains('/');
    if looks_like_a_file {
        return Err(Error::new(ErrorKind::Usage, "read the file of classes")
            .with_subject(text)
            .with_source("it does not exist")
            .with_hint("a list of classes is PATTERN,… or NAME=PATTERN,…"));
    }
    text.parse()
}
