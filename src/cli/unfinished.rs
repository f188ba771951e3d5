//! `<output>/.streetflow/`: what an unfinished run left for the next, and the lock that keeps two runs apart.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::client::Store;
use crate::{Error, ErrorKind, Result};

const FOLDER: &str = ".streetflow";
const LOCK: &str = "lock";

/// The lock on an output folder, and the answers that are kept in it.
pub(super) struct Unfinished {
    folder: PathBuf,
    /// The output folder, if this run made it.
    made: Option<PathBuf>,
    lock: Option<File>,
    store: Option<Store>,
}

impl Unfinished {
    /// Takes the folder for this run; a second run at the same time is a usage error.
    pub(super) fn lock(output: &Path) -> Result<Self> {
        let folder = output.join(FOLDER);
        let refuse = |error: io::Error| {
            Error::new(ErrorKind::Output, "use the folder")
                .subject(output.display().to_string())
                .because(error)
        };
        let made = (!output.exists()).then(|| output.to_owned());
        fs::create_dir_all(&folder).map_err(refuse)?;
        let path = folder.join(LOCK);
        for tries_left in (0..=10).rev() {
            let lock =
                File::options().create(true).write(true).truncate(false).open(&path).map_err(refuse)?;
            match lock.try_lock() {
                // Between the two calls the run before may have ended and removed the file.
                Ok(()) if !path.exists() => {}
                Ok(()) => return Ok(Self { folder, made, lock: Some(lock), store: None }),
                // A process that was killed a moment ago may still be on its way out.
                Err(fs::TryLockError::WouldBlock) if tries_left > 0 => {
                    std::thread::sleep(Duration::from_millis(100));
                }
                Err(fs::TryLockError::WouldBlock) => {
                    return Err(Error::new(ErrorKind::Usage, "use the folder")
                        .subject(output.display().to_string())
                        .because("another streetflow is at work in it")
                        .hint("wait for it, or name another folder with `--output`"));
                }
                // Where a file system knows no locks, nobody can tell.
                Err(fs::TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => {
                    return Ok(Self { folder, made, lock: None, store: None });
                }
                Err(fs::TryLockError::Error(error)) => return Err(refuse(error)),
            }
        }
        Err(refuse(io::Error::other("its lock comes and goes")))
    }

    /// Opens the answers of a step that are kept for a question; with `restart`, none are.
    pub(super) fn open(&mut self, step: &str, question: &str, restart: bool) -> Result<&Store> {
        let folder = self.folder.join(step);
        if restart {
            Store::open(&folder, question)?.clear()?;
        }
        Ok(self.store.insert(Store::open(folder, question)?))
    }

    /// Brings the answers to the disk; a finished run leaves none.
    pub(super) fn close(&mut self, finished: bool) -> Result<()> {
        match self.store.take() {
            Some(store) if finished || store.holds_nothing() => store.clear(),
            Some(store) => store.close(),
            None => Ok(()),
        }
    }

    /// Lets go of the folder, and removes it if nothing is in it.
    pub(super) fn release(mut self) {
        // The lock goes last, and the folder only if nothing else is in it.
        if let Some(lock) = self.lock.take() {
            fs::remove_file(self.folder.join(LOCK)).ok();
            drop(lock);
        }
        fs::remove_dir(&self.folder).ok();
        if let Some(made) = &self.made {
            fs::remove_dir(made).ok();
        }
    }
}
