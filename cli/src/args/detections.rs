//! The detections and pictures that a command without network reads.

use std::path::{Path, PathBuf};

use clap::{ArgGroup, Args};

use super::files::{InputArgs, NameArgs, ONE_RUN, OutputArgs};
use super::storage::{Bucket, FetchedTable, StorageArgs};
use super::values::parsed;
use streetflow::client::without_credentials;
use streetflow::{Error, ErrorKind, Quality, Result, training::ClassRules};

/// Standard input is not possible: the table is read twice.
const TABLE_HELP: &str = "Table of detections [default: that of the output directory]";

#[derive(Debug, Args)]
#[command(
    next_help_heading = "Files",
    group = ArgGroup::new(ONE_RUN).multiple(true),
    mut_arg("input", |arg| arg.help(TABLE_HELP).long_help(format!("{TABLE_HELP}\n\nMay be in a bucket: s3://…, gs://… or az://….")))
)]
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
    #[command(flatten)]
    storage: StorageArgs,
    #[command(flatten)]
    pub(crate) names: NameArgs,
}

impl DetectionArgs {
    /// The directory of pictures.
    pub(crate) fn pictures(&self) -> PathBuf {
        self.pictures.clone().unwrap_or_else(|| self.output.join(&self.names.image_downloads_folder))
    }

    /// Copies the table from its bucket, if it is in one. An output directory in a bucket is a usage error.
    pub(crate) async fn fetch(&mut self) -> Result<()> {
        let local = [("output", Some(&self.output)), ("pictures", self.pictures.as_ref())];
        for (name, path) in local {
            if let Some(url) = path.and_then(|path| path.to_str()).filter(|text| Bucket::is_url(text)) {
                return Err(Error::new(ErrorKind::Usage, "use the flag")
                    .with_subject(format!("--{name} {}", without_credentials(url)))
                    .with_source("this command reads and writes pictures in local directories only")
                    .with_hint("copy the pictures to a local directory; `--input` may be in a bucket"));
            }
        }
        self.table.fetch(&self.storage).await
    }

    /// Copies another file from its bucket, if it is in one.
    pub(crate) async fn fetch_file(&self, file: Option<&str>) -> Result<Option<FetchedTable>> {
        match file {
            Some(file) => self.storage.fetch_file(file).await,
            None => Ok(None),
        }
    }

    /// The output directory with its report and failure log.
    pub(crate) fn files(&self) -> OutputArgs {
        OutputArgs {
            output: self.output.clone(),
            remote: None,
            storage: self.storage.clone(),
            restart: false,
            yes: false,
            names: self.names.clone(),
        }
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
