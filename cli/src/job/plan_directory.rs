//! The directory of a plan: a local one, or a folder of a bucket with a local directory for copies of its files.
//!
//! The files of a plan (`plan.json`, the table of sequences, `report.json`) are read and written in the local directory.
//! For a bucket, `pull` copies a file from there before it is read, and `push` copies it back after it was written.

use std::io;
use std::path::{Path, PathBuf};

use futures::{StreamExt, TryStreamExt, stream};
use serde_json::Value;

use super::partition::{CrawlPlanFile, MAX_PLAN_LEN, PLAN_NAME, PlanPart, parse_part_report};
use super::pull::pull;
use crate::args::{Bucket, OutputArgs, Partition, Remote, StorageArgs};
use crate::artifacts::report::REPORT_NAME;
use crate::terminal::format::show_as;
use streetflow::atomic_file::{output_error, sweep};
use streetflow::storage::Target;
use streetflow::{Error, ErrorKind, Result};

/// Reports of partitions that are read at once from a bucket.
const READS_IN_FLIGHT: usize = 16;

/// The directory of a plan.
#[derive(Debug, Clone)]
pub(crate) struct PlanDirectory {
    /// The local directory, or that of the copies.
    local: PathBuf,
    remote: Option<Remote>,
}

/// A local file, or the copy of an object, which is removed when it is dropped.
pub(crate) struct LocalCopy {
    path: PathBuf,
    _copy: Option<tempfile::TempPath>,
}

impl LocalCopy {
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl PlanDirectory {
    /// The directory that a flag names: a path, or the URL of a folder in a bucket.
    pub(crate) fn open(directory: &Path, storage: &StorageArgs) -> Result<Self> {
        let Some(url) = directory.to_str().filter(|url| Bucket::is_url(url)) else {
            return Ok(Self { local: directory.to_owned(), remote: None });
        };
        let bucket = storage.open(url)?;
        let url = bucket.url();
        Self::of_bucket(Remote { bucket, url }, storage)
    }

    /// The output directory of `plan`.
    pub(crate) fn of_output(files: &OutputArgs) -> Result<Self> {
        match &files.remote {
            Some(remote) => Self::of_bucket(remote.clone(), &files.storage),
            None => Ok(Self { local: files.output.clone(), remote: None }),
        }
    }

    fn of_bucket(remote: Remote, storage: &StorageArgs) -> Result<Self> {
        // Not the directory of runs into the folder: `plan` removes tables there.
        let local = storage.state_of(&format!("{}/plan", remote.url))?;
        std::fs::create_dir_all(&local)
            .and_then(|()| sweep(&local, |_| true))
            .map_err(|error| output_error("write to the directory", &local, error))?;
        show_as(&local, &remote.url);
        Ok(Self { local, remote: Some(remote) })
    }

    /// The local directory, or that of the copies.
    pub(crate) fn local(&self) -> &Path {
        &self.local
    }

    /// The directory as the user named it.
    pub(crate) fn shown(&self) -> PathBuf {
        self.remote.as_ref().map_or_else(|| self.local.clone(), |remote| remote.url.clone().into())
    }

    /// Copies a file from the bucket, if the directory is in one. Removes the copy of a file that does not exist.
    pub(crate) async fn pull(&self, name: &str) -> Result<()> {
        match &self.remote {
            Some(remote) => pull(remote, &self.local, name).await,
            None => Ok(()),
        }
    }

    /// Copies a file to the bucket, if the directory is in one.
    pub(crate) async fn push(&self, name: &str) -> Result<()> {
        let Some(remote) = &self.remote else { return Ok(()) };
        let path = self.local.join(name);
        let content = tokio::fs::read(&path).await;
        let content = content.map_err(|error| output_error("read the file", &path, error))?;
        remote.bucket.put(name, content.into()).await
    }

    /// Removes the plan.
    pub(crate) async fn remove_plan(&self) -> Result<()> {
        CrawlPlanFile::remove(&self.local)?;
        match &self.remote {
            Some(remote) => remote.bucket.delete(PLAN_NAME).await,
            None => Ok(()),
        }
    }

    /// Reads the plan.
    pub(crate) async fn read_plan(&self) -> Result<CrawlPlanFile> {
        self.pull(PLAN_NAME).await?;
        CrawlPlanFile::read(&self.local)
    }

    /// A partition of a plan. Copies the table of sequences, unless the copy has its checksum.
    pub(crate) async fn part(&self, plan: &CrawlPlanFile, partition: Partition) -> Result<PlanPart> {
        if self.remote.is_some() && !plan.has_table(&self.local) {
            self.pull(&plan.table).await?;
        }
        PlanPart::new(plan, &self.local, partition)
    }

    /// The names of the files and directories.
    pub(crate) async fn names(&self) -> Result<Vec<String>> {
        if let Some(remote) = &self.remote {
            let objects = remote.bucket.list_folder().await?.into_iter().map(|object| object.name);
            return Ok(objects.chain(remote.bucket.list_folders().await?).collect());
        }
        let entries = std::fs::read_dir(&self.local)
            .map_err(|error| output_error("read the directory", &self.local, error))?;
        Ok(entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect())
    }

    /// The reports of all partitions, in order. `None` for those without one, or with one of another plan.
    pub(crate) async fn part_reports(&self, count: u32, hash: &str) -> Result<Vec<Option<Value>>> {
        let read = |index| async move {
            let partition = Partition { index, count };
            let text = read_report(&self.local, self.remote.as_ref(), &partition.name()).await?;
            Ok(text.and_then(|text| parse_part_report(&text, hash, partition)))
        };
        stream::iter(0..count).map(read).buffered(READS_IN_FLIGHT).try_collect().await
    }

    /// The file of a partition, or a copy of it. A missing file is an error.
    pub(crate) async fn fetch(&self, part: &str, name: &str) -> Result<LocalCopy> {
        let Some(remote) = &self.remote else {
            return Ok(LocalCopy { path: self.local.join(part).join(name), _copy: None });
        };
        let failed = |error| output_error("create a temporary file in", &self.local, error);
        // The format of a table follows from its extension.
        let suffix = format!("-{name}");
        let copy = tempfile::Builder::new().suffix(&suffix).tempfile_in(&self.local).map_err(failed)?;
        let copy = copy.into_temp_path();
        let found = remote.bucket.join(part).download(name, &copy).await?;
        if found.is_none() {
            return Err(Error::new(ErrorKind::Io, "read the table")
                .with_subject(format!("{}/{part}/{name}", remote.url))
                .with_source("the object does not exist, but the report of its partition names it")
                .with_hint("run the partition again with `--restart`"));
        }
        Ok(LocalCopy { path: copy.to_path_buf(), _copy: Some(copy) })
    }

    /// The destination of a file of the directory.
    pub(crate) fn target(&self, name: &str) -> Target {
        match &self.remote {
            Some(remote) => remote.bucket.target(name),
            None => self.local.join(name).into(),
        }
    }

    /// The size of a file in bytes, if it exists.
    pub(crate) async fn size(&self, name: &str) -> Option<u64> {
        match &self.remote {
            Some(remote) => remote.bucket.size(name).await.ok().flatten(),
            None => std::fs::metadata(self.local.join(name)).ok().map(|found| found.len()),
        }
    }
}

/// Whether a partition is done without failures, and its tables exist.
pub(crate) async fn is_done(files: &OutputArgs, part: &PlanPart) -> Result<bool> {
    let remote = files.remote.as_ref();
    let Some(text) = read_report(&files.output, remote, "").await? else { return Ok(false) };
    let Some(report) = parse_part_report(&text, &part.hash, part.partition) else { return Ok(false) };
    if report["outcome"] != "finished" {
        return Ok(false);
    }
    let written = report["files"].as_array().into_iter().flatten();
    let paths: Vec<_> = written.filter_map(|file| file["path"].as_str()).collect();
    let Some(remote) = remote else {
        return Ok(paths.iter().all(|path| files.output.join(path).exists()));
    };
    let (objects, folders) = (remote.bucket.list_folder().await?, remote.bucket.list_folders().await?);
    let exists = |path: &str| {
        objects.iter().any(|object| object.name == path) || folders.iter().any(|name| name == path)
    };
    Ok(paths.into_iter().all(exists))
}

/// Reads `report.json` of a folder below a directory.
async fn read_report(local: &Path, remote: Option<&Remote>, folder: &str) -> Result<Option<String>> {
    if let Some(remote) = remote {
        let found = remote.bucket.join(folder).get(REPORT_NAME, MAX_PLAN_LEN).await?;
        return Ok(found.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()));
    }
    let path = local.join(folder).join(REPORT_NAME);
    match std::fs::metadata(&path) {
        Ok(found) if found.len() <= MAX_PLAN_LEN => {}
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(output_error("read the report", &path, error));
        }
        _ => return Ok(None),
    }
    Ok(std::fs::read_to_string(path).ok())
}
