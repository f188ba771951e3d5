//! Output directories and tables in buckets.

use std::path::{Path, PathBuf};

use clap::Args;

#[cfg(not(feature = "object-store"))]
pub(crate) use crate::no_bucket::{Bucket, BucketLock, LockOwner};
use crate::terminal::format::show_as;
use streetflow::sinks::ShardTable;
#[cfg(feature = "object-store")]
pub(crate) use streetflow::storage::{Bucket, BucketLock, LockOwner};
use streetflow::{Error, ErrorKind, Result};

/// Maximum length of the readable part of a state directory's name.
const MAX_NAME_LEN: usize = 80;

#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Files")]
pub(crate) struct StorageArgs {
    /// Option of the store of a bucket, such as aws_region=eu-west-1
    ///
    /// May be repeated. The names are those of the environment variables AWS_…, GOOGLE_… and AZURE_…, which are read
    /// too. Other users of the machine see command lines, so set credentials in the environment.
    #[arg(long, value_name = "KEY=VALUE", group = "one_run", hide_short_help = true)]
    storage_option: Vec<String>,
    /// Local directory for the state of runs into buckets [default: the user's state directory]
    ///
    /// It holds the responses of an unfinished run. To resume on another machine, both must have this directory.
    #[arg(long, value_name = "DIR", hide_short_help = true)]
    pub(super) state_dir: Option<PathBuf>,
}

/// An output directory in a bucket. Tables and pictures go there directly; the other files of a run are written to a
/// local directory and copied at the end.
#[derive(Debug, Clone)]
pub(crate) struct Remote {
    pub(crate) bucket: Bucket,
    pub(crate) url: String,
}

/// A table that was copied from a bucket.
#[derive(Debug)]
pub(crate) struct FetchedTable {
    path: PathBuf,
    _directory: tempfile::TempDir,
}

impl StorageArgs {
    /// The options, with name and value. No error contains a value.
    fn options(&self) -> Result<Vec<(String, String)>> {
        let split = |(number, option): (usize, &String)| match option.split_once('=') {
            Some((name, value)) if !name.trim().is_empty() => Ok((name.to_owned(), value.to_owned())),
            _ => Err(Error::new(ErrorKind::Usage, "use the flag")
                .with_subject("--storage-option")
                .with_source(format!("option {} has no `=` after a name", number + 1))
                .with_hint("write it as KEY=VALUE, such as `--storage-option aws_region=eu-west-1`")),
        };
        self.storage_option.iter().enumerate().map(split).collect()
    }

    /// The arguments of a command line that is not parsed as a whole yet.
    pub(crate) fn new(storage_option: Vec<String>, state_dir: Option<PathBuf>) -> Self {
        Self { storage_option, state_dir }
    }

    /// The local directory for the state of runs into the bucket at a URL.
    pub(crate) fn state_of(&self, url: &str) -> Result<PathBuf> {
        let reject = |why: String| {
            Error::new(ErrorKind::Usage, "use the bucket")
                .with_subject(url)
                .with_source(why)
                .with_hint("set a local directory with `--state-dir`")
        };
        let variable = |name: &str| std::env::var_os(name).map(PathBuf::from);
        let parent = self.state_dir.clone().or_else(|| state_directory(std::env::consts::OS, variable));
        let parent = parent.ok_or_else(|| {
            reject("the environment names no home directory for the state of the run".to_owned())
        })?;
        std::path::absolute(parent.join(name_of(url))).map_err(|error| reject(error.to_string()))
    }

    pub(crate) fn open(&self, url: &str) -> Result<Bucket> {
        Bucket::open(url, &self.options()?)
    }

    /// Copies the table at the URL of a bucket to a temporary directory; `None` for a local path. Of a folder, its
    /// shards are copied, with their pictures or without.
    pub(crate) async fn fetch(&self, table: &Path, pictures: bool) -> Result<Option<FetchedTable>> {
        let Some(url) = table.to_str().filter(|url| Bucket::is_url(url)) else { return Ok(None) };
        if Path::new(url).extension().is_none() {
            return self.fetch_shards(url.trim_end_matches('/'), pictures).await.map(Some);
        }
        self.fetch_object(url).await.map(Some)
    }

    /// Copies the file at the URL of a bucket to a temporary directory; `None` for a local path.
    pub(crate) async fn fetch_file(&self, file: &str) -> Result<Option<FetchedTable>> {
        if !Bucket::is_url(file) {
            return Ok(None);
        }
        self.fetch_object(file).await.map(Some)
    }

    async fn fetch_object(&self, url: &str) -> Result<FetchedTable> {
        let (folder, name) = split_url(url)?;
        let directory = self.temporary_directory(url)?;
        let path = directory.path().join(name);
        if self.open(folder)?.download(name, &path).await?.is_none() {
            return Err(Error::new(ErrorKind::Usage, "open the table")
                .with_subject(url)
                .with_source("the object does not exist")
                .with_hint("check the name of the bucket and of the table"));
        }
        show_as(&path, url);
        Ok(FetchedTable { path, _directory: directory })
    }

    fn temporary_directory(&self, url: &str) -> Result<tempfile::TempDir> {
        let directory = match &self.state_dir {
            Some(parent) => std::fs::create_dir_all(parent).and_then(|()| tempfile::tempdir_in(parent)),
            None => tempfile::tempdir(),
        };
        directory.map_err(|why| {
            Error::new(ErrorKind::Io, "create a temporary directory for").with_subject(url).with_source(why)
        })
    }

    /// Copies the shards of a folder in a bucket. Without their pictures, there is room for one shard at a time.
    async fn fetch_shards(&self, url: &str, pictures: bool) -> Result<FetchedTable> {
        let (directory, bucket) = (self.temporary_directory(url)?, self.open(url)?);
        let objects = bucket.list_folder().await?;
        for name in objects.iter().map(|object| &object.name).filter(|name| is_shard(name)) {
            let path = directory.path().join(name);
            if pictures {
                bucket.download(name, &path).await?;
                continue;
            }
            let whole = directory.path().join("whole.part");
            bucket.download(name, &whole).await?;
            ShardTable::copy_rows(&whole, &path)?;
            std::fs::remove_file(&whole).ok();
        }
        show_as(directory.path(), url);
        Ok(FetchedTable { path: directory.path().to_owned(), _directory: directory })
    }
}

fn is_shard(name: &str) -> bool {
    name.starts_with("pictures-") && Path::new(name).extension().is_some_and(|extension| extension == "tar")
}

/// The folder and the name of the URL of an object.
pub(crate) fn split_url(url: &str) -> Result<(&str, &str)> {
    match url.rsplit_once('/') {
        Some((folder, name)) if !name.is_empty() && !folder.ends_with('/') => Ok((folder, name)),
        _ => Err(Error::new(ErrorKind::Usage, "use the table")
            .with_subject(streetflow::client::without_credentials(url))
            .with_source("the URL names no object in a bucket")),
    }
}

impl FetchedTable {
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

/// The name of the state directory of a URL.
fn name_of(url: &str) -> String {
    let readable = url.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).take(MAX_NAME_LEN);
    format!("{}-{:08x}", readable.collect::<String>(), crc32fast::hash(url.as_bytes()))
}

/// The state directory of streetflow on an operating system.
fn state_directory(os: &str, variable: impl Fn(&str) -> Option<PathBuf>) -> Option<PathBuf> {
    let absolute = |name| variable(name).filter(|path| path.is_absolute());
    let parent = match os {
        "windows" => absolute("LOCALAPPDATA"),
        "macos" => absolute("HOME").map(|home| home.join("Library/Application Support")),
        _ => absolute("XDG_STATE_HOME").or_else(|| Some(absolute("HOME")?.join(".local/state"))),
    };
    Some(parent?.join("streetflow"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn each_system_has_its_state_directory() {
        let with = |os: &str, set: &[(&str, &str)]| {
            let found =
                |name: &str| set.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into());
            state_directory(os, found).map(|path| path.to_str().expect("text").to_owned())
        };
        let home = ("HOME", "/home/me");
        assert_eq!(with("linux", &[home]).as_deref(), Some("/home/me/.local/state/streetflow"));
        assert_eq!(with("linux", &[home, ("XDG_STATE_HOME", "/s")]).as_deref(), Some("/s/streetflow"));
        assert_eq!(
            with("macos", &[home]).as_deref(),
            Some("/home/me/Library/Application Support/streetflow")
        );
        assert_eq!(with("windows", &[("LOCALAPPDATA", "/l")]).as_deref(), Some("/l/streetflow"));
        assert_eq!(with("linux", &[]), None);
    }

    #[test]
    fn names_of_state_directories_differ_and_stay_in_their_directory() {
        assert_ne!(name_of("s3://a/b"), name_of("s3://a-b"));
        assert!(!name_of("s3://../../x").contains(['/', '.']));
        assert!(name_of(&format!("s3://{}", "x".repeat(500))).len() < 100);
    }
}
