//! The folder of a training set: built under a temporary name, and renamed when it is complete.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use super::report::GENERATOR;
use crate::atomic_file::{self, output_error};
use crate::error::{Error, ErrorKind, Result};
use crate::file_system::{Lock, parent, sync_file, sync_folder, try_lock};

/// The file that marks a folder as ours.
pub(super) const MARKER: &str = "dataset.json";

/// End of the name of a folder that is being built: `.NAME.RANDOM.partial.d`, beside the lock `.NAME.RANDOM.partial`.
const SUFFIX: &str = ".d";

/// Most folders below each other in a training set.
const MAX_DEPTH: usize = 4;

/// A folder that is complete or absent under its final name. It is removed on drop unless it is committed.
pub(super) struct Output {
    target: PathBuf,
    temporary: PathBuf,
    /// Locked while the folder is built. Declared last, so that it is removed after the folder.
    _lock: NamedTempFile,
}

impl Output {
    /// Begins a folder. A folder or file at its place that is not ours is an error of kind `Usage`.
    pub(super) fn begin(target: &Path) -> Result<Self> {
        let failed = |error| output_error("write the training set", target, error);
        let name = target.file_name().and_then(|name| name.to_str()).ok_or_else(|| {
            Error::new(ErrorKind::Usage, "write the training set")
                .with_subject(target.display().to_string())
                .with_source("the path names no folder")
        })?;
        check_existing(target)?;
        let folder = parent(target);
        fs::create_dir_all(folder).map_err(failed)?;
        sweep(folder, name).map_err(failed)?;
        let lock = atomic_file::temporary(folder, name).map_err(failed)?;
        let mut temporary = lock.path().as_os_str().to_owned();
        temporary.push(SUFFIX);
        let temporary = PathBuf::from(temporary);
        fs::create_dir(&temporary).map_err(failed)?;
        Ok(Self { target: target.to_owned(), temporary, _lock: lock })
    }

    /// The folder while it is built.
    pub(super) fn path(&self) -> &Path {
        &self.temporary
    }

    /// Creates a folder below it.
    pub(super) fn folder(&self, below: &str) -> Result<PathBuf> {
        let path = self.temporary.join(below);
        fs::create_dir_all(&path).map_err(|error| output_error("create the folder", &path, error))?;
        Ok(path)
    }

    /// Writes a file below it.
    pub(super) fn write(&self, below: &str, content: &[u8]) -> Result<()> {
        write(&self.temporary.join(below), content)
    }

    /// Rejects an earlier set with pictures at the place of this one, which has none.
    pub(super) fn check_no_earlier_set(&self) -> Result<()> {
        if read_marker(&self.target)["counts"]["pictures"].is_null() {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Io, "replace the training set")
            .with_subject(self.target.display().to_string())
            .with_source("the new set has no picture; the earlier one is unchanged")
            .with_hint("check the table of detections and the folder of pictures, or remove the earlier set"))
    }

    /// Syncs everything to disk, and gives the folder its final name. Replaces an earlier training set.
    pub(super) fn commit(self) -> Result<()> {
        let failed = |error| output_error("write the training set", &self.target, error);
        sync_tree(&self.temporary).map_err(failed)?;
        check_existing(&self.target)?;
        if self.target.exists() {
            // The earlier set moves to the temporary name, and is removed there.
            exchange(&self.temporary, &self.target).map_err(failed)?;
            fs::remove_dir_all(&self.temporary).map_err(failed)?;
        } else {
            fs::rename(&self.temporary, &self.target).map_err(failed)?;
        }
        sync_folder(parent(&self.target)).map_err(failed)
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        // After a commit there is no such folder. If it can't be removed, the next run will.
        fs::remove_dir_all(&self.temporary).ok();
    }
}

/// Writes a file of an unfinished folder.
pub(super) fn write(path: &Path, content: &[u8]) -> Result<()> {
    fs::write(path, content).map_err(|error| output_error("write the file", path, error))
}

/// Links a picture into the folder, or copies it where the file system has no such links. Returns whether it was copied.
pub(super) fn link_or_copy(from: &Path, to: &Path, must_copy: bool) -> Result<bool> {
    // A link to a symbolic link would depend on its target.
    let is_file = fs::symlink_metadata(from).is_ok_and(|found| found.is_file());
    if !must_copy && is_file && fs::hard_link(from, to).is_ok() {
        return Ok(false);
    }
    fs::copy(from, to).map_err(|error| match error.kind() {
        // Removed since it was found: costs only itself.
        io::ErrorKind::NotFound if !from.exists() => Error::new(ErrorKind::Malformed, "copy the picture")
            .with_subject(from.display().to_string())
            .with_source(error),
        _ => output_error("copy the picture to", to, error),
    })?;
    Ok(true)
}

/// Checks that a folder can be replaced: it is absent, empty, or a training set without files of other programs.
fn check_existing(target: &Path) -> Result<()> {
    let refused = |why: String| {
        Error::new(ErrorKind::Usage, "replace the folder")
            .with_subject(target.display().to_string())
            .with_source(why)
            .with_hint("name another folder, or move this one away")
    };
    let failed = |error| output_error("read the folder", target, error);
    let mut entries = match fs::read_dir(target) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
            return Err(refused("a file has that name".to_owned()));
        }
        Err(error) => return Err(failed(error)),
    };
    if entries.next().is_none() {
        return Ok(());
    }
    if read_marker(target)["generator"] != GENERATOR {
        return Err(refused("it contains files, and is no training set of streetflow".to_owned()));
    }
    match foreign_file(target, 0).map_err(failed)? {
        Some(path) => Err(refused(format!("`{}` is not from streetflow", path.display()))),
        None => Ok(()),
    }
}

/// The content of the marker; null if there is none.
fn read_marker(folder: &Path) -> serde_json::Value {
    let text = fs::read_to_string(folder.join(MARKER)).unwrap_or_default();
    serde_json::from_str(&text).unwrap_or_default()
}

/// A file in a training set that streetflow does not write.
fn foreign_file(folder: &Path, depth: usize) -> io::Result<Option<PathBuf>> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        let is_ours = entry.file_name().to_str().is_some_and(is_own_name);
        let found = if kind.is_dir() && depth < MAX_DEPTH {
            foreign_file(&entry.path(), depth + 1)?
        } else {
            (!kind.is_file() || !is_ours).then(|| entry.path())
        };
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

fn is_own_name(name: &str) -> bool {
    let Some((stem, extension)) = name.rsplit_once('.') else { return false };
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match extension {
        "jpg" | "txt" | "png" => stem.split_once('_').is_some_and(|(id, quality)| {
            is_number(id) && !quality.is_empty() && quality.bytes().all(|byte| byte.is_ascii_alphanumeric())
        }),
        "tar" => stem.rsplit_once('-').is_some_and(|(split, number)| !split.is_empty() && is_number(number)),
        "json" => name == MARKER || stem.starts_with("instances_"),
        _ => ["README.md", "classes.csv", "data.yaml", "metadata.parquet"].contains(&name),
    }
}

/// Removes folders of killed runs. Their lock is free or gone.
fn sweep(folder: &Path, name: &str) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let found = entry.file_name();
        let Some(lock) = found.to_str().and_then(|found| found.strip_suffix(SUFFIX)) else { continue };
        if atomic_file::target_of(lock) != Some(name) || !entry.file_type()?.is_dir() {
            continue;
        }
        let lock = folder.join(lock);
        let is_free = match File::options().write(true).open(&lock) {
            Ok(file) => matches!(try_lock(&file, &lock), Ok(Lock::Ours)),
            Err(error) => error.kind() == io::ErrorKind::NotFound,
        };
        if is_free {
            fs::remove_dir_all(entry.path())?;
        }
    }
    atomic_file::sweep(folder, |found| found == name)
}

/// Swaps two folders in one step, where the system can.
#[cfg(target_os = "linux")]
fn exchange(one: &Path, other: &Path) -> io::Result<()> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    match renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE) {
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS | rustix::io::Errno::NOTSUP) => {
            exchange_in_steps(one, other)
        }
        done => done.map_err(io::Error::from),
    }
}

#[cfg(not(target_os = "linux"))]
fn exchange(one: &Path, other: &Path) -> io::Result<()> {
    exchange_in_steps(one, other)
}

/// A kill between the steps leaves the earlier set under a temporary name, and the next run builds it anew.
fn exchange_in_steps(one: &Path, other: &Path) -> io::Result<()> {
    let mut aside = one.as_os_str().to_owned();
    aside.push(SUFFIX);
    fs::rename(other, &aside)?;
    fs::rename(one, other)?;
    fs::rename(&aside, one)
}

/// Syncs all files of the folder to disk.
#[cfg(target_os = "linux")]
fn sync_tree(folder: &Path) -> io::Result<()> {
    // One call for the whole file system is faster than one for each of many small files.
    crate::file_system::sync_all(&File::open(folder)?)?;
    let marker = folder.join(MARKER);
    sync_file(&File::open(&marker)?, &marker)
}

#[cfg(not(target_os = "linux"))]
fn sync_tree(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            sync_tree(&entry.path())?;
        } else {
            sync_file(&File::options().write(true).open(entry.path())?, &entry.path())?;
        }
    }
    sync_folder(folder)
}
