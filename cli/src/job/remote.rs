//! A run into a bucket: the lock, and the files besides tables and pictures.
//!
//! These files (`report.json`, `failures.csv`, …) are read and written in the local state directory of the bucket, as in
//! any output directory. The begin of a run copies them from the bucket, the end copies them back, `report.json` last.
//! Tables and pictures go to the bucket directly.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::context::RunContext;
use super::monitor::Monitor;
use super::outputs::table_path;
use super::place;
use super::pull::pull;
use crate::args::{BucketLock, LockOwner, NameArgs, Remote};
use crate::artifacts::empty_images;
use crate::sync::lock;
use streetflow::atomic_file::output_error;
use streetflow::{Error, ErrorKind, Format, Report, Result, Step};

const REPORT: &str = "report.json";

/// The files of every run besides tables and pictures. The report is last.
const FILES: [&str; 6] = ["failures.csv", "gone.csv", "changes.csv", "ATTRIBUTION.txt", place::NAME, REPORT];

/// A run into a bucket.
pub(super) struct RemoteRun {
    remote: Remote,
    /// The names of the files besides tables and pictures.
    files: Vec<String>,
    lock: BucketLock,
    /// The objects of the folder when the run began.
    existing: BTreeSet<String>,
    /// Cancelled when another run has taken the lock.
    lost: CancellationToken,
    lost_error: Arc<Mutex<Option<Error>>>,
    /// Removes the report of the last run.
    removal: Arc<Mutex<Option<JoinHandle<Result<()>>>>>,
}

impl RemoteRun {
    /// Takes the lock of the folder, and copies its files and the tables `needed` to the local directory.
    pub(super) async fn begin(
        remote: &Remote,
        output: &Path,
        names: &NameArgs,
        needed: &[&str],
        monitor: &Arc<Monitor>,
    ) -> Result<Self> {
        let owner =
            LockOwner { host: host(), process: std::process::id(), state_dir: output.display().to_string() };
        let (lost, lost_error) = (CancellationToken::new(), Arc::new(Mutex::new(None)));
        let on_lost = {
            let (lost, lost_error, monitor) = (lost.clone(), Arc::clone(&lost_error), Arc::clone(monitor));
            move |error: Error| {
                monitor.printer.warn(&error.chain());
                *lock(&lost_error) = Some(error);
                lost.cancel();
            }
        };
        let taken = BucketLock::take(&remote.bucket, owner, on_lost).await?;
        let mut run = Self {
            remote: remote.clone(),
            files: files(names),
            lock: taken,
            existing: BTreeSet::new(),
            lost,
            lost_error,
            removal: Arc::default(),
        };
        match run.copy_files(output, names, needed).await {
            Ok(()) => Ok(run),
            Err(error) => {
                run.release(false).await.ok();
                Err(error)
            }
        }
    }

    async fn copy_files(&mut self, output: &Path, names: &NameArgs, needed: &[&str]) -> Result<()> {
        let bucket = &self.remote.bucket;
        let objects = bucket.list_folder().await?;
        for name in &self.files {
            pull(&self.remote, output, name).await?;
        }
        remove_tables(output, names);
        for table in needed {
            let of_table = |format: &Format| {
                let name = file_name(&table_path(output, table, *format));
                objects.iter().find(|object| object.name == name)
            };
            // The formats of one run have different times in a bucket, and the same rows.
            let newest = Format::ALL.iter().filter_map(of_table).max_by_key(|object| object.modified);
            if let Some(object) = newest {
                pull(&self.remote, output, &object.name).await?;
            }
        }
        self.existing = objects.into_iter().map(|object| object.name).collect();
        Ok(())
    }

    /// Whether the file at a path of the local directory is an object of the bucket.
    pub(super) fn has(&self, path: &Path) -> bool {
        self.existing.contains(&file_name(path))
    }

    /// A note if the run before left responses on another machine or in another directory.
    pub(super) fn note_about_earlier(&self, output: &Path, has_responses: bool) -> Option<String> {
        let earlier = self.lock.earlier()?;
        let elsewhere = earlier.host != host() || Path::new(&earlier.state_dir) != output;
        (elsewhere && !has_responses).then(|| {
            format!(
                "the last run into this bucket did not finish; its responses are in `{}` on {}, so this run requests everything again; with `--state-dir` it finds them, if that directory is here",
                earlier.state_dir, earlier.host
            )
        })
    }

    /// Stops the run when another run has taken the lock.
    pub(super) fn watch_lock(&self, run: &RunContext) {
        let (lost, stop, client) = (self.lost.clone(), run.stop.clone(), run.client.clone());
        tokio::spawn(async move {
            lost.cancelled().await;
            stop.cancel();
            client.stop();
        });
    }

    /// Starts to remove the report of the last run from the bucket.
    pub(super) fn report_removal(&self) -> impl FnOnce() + Send + 'static {
        let (bucket, removal) = (self.remote.bucket.clone(), Arc::clone(&self.removal));
        let runtime = tokio::runtime::Handle::current();
        move || *lock(&removal) = Some(runtime.spawn(async move { bucket.delete(REPORT).await }))
    }

    /// Copies the files of the local directory to the bucket, the report last. Removes those that do not exist.
    pub(super) async fn push(&self, output: &Path) -> Result<()> {
        if let Some(error) = lock(&self.lost_error).take() {
            return Err(error);
        }
        let removal = lock(&self.removal).take();
        if let Some(removal) = removal {
            removal
                .await
                .map_err(|panic| Error::new(ErrorKind::Io, "remove the report").with_source(panic))??;
        }
        for name in &self.files {
            let path = output.join(name);
            match tokio::fs::read(&path).await {
                Ok(content) => self.remote.bucket.put(name, content.into()).await?,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    if self.existing.contains(name) {
                        self.remote.bucket.delete(name).await?;
                    }
                }
                Err(error) => return Err(output_error("read the file", &path, error)),
            }
        }
        Ok(())
    }

    /// Releases the lock.
    pub(super) async fn release(self, unfinished: bool) -> Result<()> {
        self.lock.release(unfinished).await
    }
}

/// The names of the files of a run besides tables and pictures. The report is last.
fn files(names: &NameArgs) -> Vec<String> {
    let of_detections = empty_images::name(&names.detections_out_file);
    [of_detections].into_iter().chain(FILES.map(str::to_owned)).collect()
}

/// Replaces the URLs in a report by paths of the local directory, which the report and the summary show as names.
pub(super) fn localize(report: &mut Report, remote: &Remote, output: &Path) {
    let all = report.taps.iter_mut().chain([&mut report.written]);
    for path in all.flat_map(|written| &mut written.paths) {
        if let Ok(name) = path.strip_prefix(&remote.url) {
            *path = output.join(name);
        }
    }
}

/// Removes the local copies of tables.
pub(super) fn remove_tables(output: &Path, names: &NameArgs) {
    for table in Step::BUILT_IN.into_iter().filter_map(|step| names.table(step)) {
        for format in Format::ALL {
            std::fs::remove_file(table_path(output, table, *format)).ok();
        }
    }
}

fn file_name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// The name of this machine.
fn host() -> String {
    let file = || std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let variable = |name| std::env::var(name).ok();
    let name = file().or_else(|| variable("HOSTNAME")).or_else(|| variable("COMPUTERNAME"));
    name.map(|name| name.trim().to_owned())
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| "unknown".to_owned())
}
