//! `<output>/.streetflow/`: the responses of unfinished runs, and the lock against a second run.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use streetflow::client::{ResponseStore, STORE_FILES};
use streetflow::file_system::{Lock, try_lock};
use streetflow::{Error, ErrorKind, Result};

const NAME: &str = ".streetflow";
const LOCK: &str = "lock";

/// The copy of the queries of the tables, which `report.json` contains after the run.
const TABLE_QUERIES: &str = "tables.json";

/// The extension of the copy of the earlier table of an update, beside the responses.
const EARLIER: &str = "earlier";

/// The extension of the copy of the earlier table of detections.
pub(super) const EARLIER_DETECTIONS: &str = "earlier_detections";

/// Attempts to take the lock, besides the first.
const LOCK_RETRIES: u32 = 10;
const LOCK_RETRY_WAIT: Duration = Duration::from_millis(100);

const REMOVE: &str = "check what it is, and remove it or move it away";
const RESTART: &str = "`--restart` starts over without it; or remove it yourself";

/// The state directory of an output directory. It holds the lock until it is released.
pub(super) struct StateDir {
    path: PathBuf,
    /// The output directory, if this run created it.
    created_output: Option<PathBuf>,
    lock: Option<File>,
    store: Option<ResponseStore>,
    /// The copy of the earlier table of an update.
    earlier: Option<PathBuf>,
}

impl StateDir {
    /// Locks an output directory. A second run at the same time is a usage error.
    pub(super) fn lock(output: &Path) -> Result<Self> {
        let path = output.join(NAME);
        let reject = |error: io::Error| {
            Error::new(ErrorKind::Io, "use the directory")
                .with_subject(output.display().to_string())
                .with_source(error)
                .with_hint("set another directory with `--output`, one that you may write to")
        };
        check_type(&path, fs::FileType::is_dir, REMOVE)?;
        let lock_path = path.join(LOCK);
        check_type(&lock_path, fs::FileType::is_file, REMOVE)?;
        let created_output = (!output.exists()).then(|| output.to_owned());
        for retries_left in (0..=LOCK_RETRIES).rev() {
            fs::create_dir_all(&path).map_err(reject)?;
            let lock = match File::options().create(true).write(true).truncate(false).open(&lock_path) {
                Ok(lock) => lock,
                // The previous run removed the directory between the two calls.
                Err(error) if error.kind() == io::ErrorKind::NotFound && retries_left > 0 => continue,
                Err(error) => return Err(reject(error)),
            };
            match try_lock(&lock, &lock_path).map_err(reject)? {
                // The previous run ended and removed the file between the two calls.
                Lock::Ours if !lock_path.exists() => {}
                // A file system without locks cannot show another run; the observer warns about that.
                Lock::Ours | Lock::Unknown => {
                    return Ok(Self { path, created_output, lock: Some(lock), store: None, earlier: None });
                }
                // A process that was killed a moment ago may still hold the lock.
                Lock::Busy if retries_left > 0 => std::thread::sleep(LOCK_RETRY_WAIT),
                Lock::Busy => {
                    return Err(Error::new(ErrorKind::Usage, "use the directory")
                        .with_subject(output.display().to_string())
                        .with_source("another streetflow is running in it")
                        .with_hint("wait until it ends, or set another directory with `--output`"));
                }
            }
        }
        Err(reject(io::Error::other("the lock file appears and disappears")))
    }

    /// Opens the responses of a command to a query. With `restart`, removes those of the command to all queries.
    ///
    /// Each query has its own directory, so that another query in between does not discard a crawl of days.
    pub(super) fn open_store(&mut self, command: &str, key: &str, restart: bool) -> Result<&ResponseStore> {
        if restart {
            self.stores_of(command).iter().try_for_each(|path| remove_store(path))?;
        }
        let path = self.store_path(command, key);
        for extension in [EARLIER, EARLIER_DETECTIONS] {
            let earlier = path.with_extension(extension);
            check_type(&earlier, fs::FileType::is_file, RESTART)?;
            if restart {
                fs::remove_file(&earlier).ok();
            }
        }
        self.earlier = Some(path.with_extension(EARLIER));
        check_type(&path, fs::FileType::is_dir, RESTART)?;
        for name in STORE_FILES {
            check_type(&path.join(name), fs::FileType::is_file, RESTART)?;
        }
        Ok(self.store.insert(ResponseStore::open(path, key)?))
    }

    /// The path of the copy of the earlier table of an update. Exists while an update is unfinished.
    pub(super) fn earlier_table(&self) -> Option<PathBuf> {
        self.earlier.clone()
    }

    /// The path of the copy of the queries of the tables.
    pub(super) fn table_queries(&self) -> PathBuf {
        self.path.join(TABLE_QUERIES)
    }

    /// The directories with responses of a command to other queries.
    pub(super) fn other_queries(&self, command: &str, key: &str) -> Vec<PathBuf> {
        let own = self.store_path(command, key);
        let mut others = self.stores_of(command);
        others.retain(|path| *path != own && *path != own.with_extension("aside"));
        others
    }

    fn store_path(&self, command: &str, key: &str) -> PathBuf {
        self.path.join(format!("{command}-{:08x}", crc32fast::hash(key.as_bytes())))
    }

    fn stores_of(&self, command: &str) -> Vec<PathBuf> {
        let entries = fs::read_dir(&self.path).into_iter().flatten().flatten().map(|entry| entry.path());
        let is_store = |path: &PathBuf| {
            path.file_name().and_then(|name| name.to_str()).is_some_and(|name| is_store_of(name, command))
        };
        let mut stores: Vec<_> = entries.filter(is_store).collect();
        stores.sort();
        stores
    }

    /// Writes the responses to disk, or removes them after a finished run.
    pub(super) fn close_store(&mut self, finished: bool) -> Result<()> {
        if let Some(earlier) = self.earlier.take().filter(|_| finished) {
            fs::remove_file(earlier.with_extension(EARLIER_DETECTIONS)).ok();
            fs::remove_file(earlier).ok();
        }
        match self.store.take() {
            Some(store) if finished || store.holds_nothing() => store.close().and_then(|()| store.clear()),
            Some(store) => store.close(),
            None => Ok(()),
        }
    }

    /// Whether no responses are in the store.
    pub(super) fn holds_nothing(&self) -> bool {
        self.store.as_ref().is_none_or(ResponseStore::holds_nothing)
    }

    /// Releases the lock, and removes the directory if it is empty.
    pub(super) fn release(mut self) {
        // The report contains it now.
        fs::remove_file(self.table_queries()).ok();
        // The lock is the last file, so that no other run sees the directory without it.
        if let Some(lock) = self.lock.take() {
            fs::remove_file(self.path.join(LOCK)).ok();
            drop(lock);
        }
        fs::remove_dir(&self.path).ok();
        if let Some(output) = &self.created_output {
            fs::remove_dir(output).ok();
        }
    }
}

/// Rejects a path of another file type. Links are rejected too: the run writes and removes files there.
fn check_type(path: &Path, is_expected: impl Fn(&fs::FileType) -> bool, hint: &'static str) -> Result<()> {
    let reject = |why: io::Error| {
        Error::new(ErrorKind::Io, "use").with_subject(path.display().to_string()).with_source(why)
    };
    // If the path cannot be read, its creation fails later and is reported then.
    let Ok(found) = fs::symlink_metadata(path).map(|found| found.file_type()) else { return Ok(()) };
    if is_expected(&found) {
        return Ok(());
    }
    let why = match found {
        found if found.is_symlink() => return Err(reject(io::Error::other("it is a link")).with_hint(REMOVE)),
        found if found.is_dir() => "it is a directory, and not one of streetflow",
        _ => "it is not a directory of streetflow",
    };
    Err(reject(io::Error::other(why)).with_hint(hint))
}

/// Removes the files of a response store, and nothing else in its directory or behind a link.
fn remove_store(path: &Path) -> Result<()> {
    let reject = |path: &Path, why: io::Error| {
        Error::new(ErrorKind::Io, "remove").with_subject(path.display().to_string()).with_source(why)
    };
    let found = fs::symlink_metadata(path).map_err(|why| reject(path, why))?;
    if found.is_symlink() {
        return Err(reject(path, io::Error::other("it is a link")).with_hint(REMOVE));
    }
    if !found.is_dir() {
        return fs::remove_file(path).map_err(|why| reject(path, why));
    }
    for path in STORE_FILES.map(|name| path.join(name)) {
        match fs::symlink_metadata(&path) {
            Ok(found) if found.is_dir() => fs::remove_dir_all(&path),
            Ok(_) => fs::remove_file(&path),
            Err(_) => Ok(()),
        }
        .map_err(|why| reject(&path, why))?;
    }
    // Fails, as it should, if other files are in the directory.
    fs::remove_dir(path).ok();
    Ok(())
}

/// Whether a name is that of a response store of a command: `<command>-<checksum of the key>`, or one set aside.
fn is_store_of(name: &str, command: &str) -> bool {
    let checksum = name.strip_prefix(command).and_then(|rest| rest.strip_prefix('-')).unwrap_or_default();
    let checksum = checksum.strip_suffix(".aside").unwrap_or(checksum);
    checksum.len() == 8 && checksum.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The responses of the run that another process has in a directory; `None` if there is no such run.
///
/// The path is that of the newest store, which may not exist yet.
pub(crate) fn running_store(output: &Path) -> Option<PathBuf> {
    let (folder, lock_path) = (output.join(NAME), output.join(NAME).join(LOCK));
    let lock = File::options().write(true).open(&lock_path).ok()?;
    if !matches!(try_lock(&lock, &lock_path), Ok(Lock::Busy)) {
        return None;
    }
    let entries = fs::read_dir(&folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let changed = |path: &PathBuf| {
        let index = STORE_FILES.iter().map(|name| path.join(name)).find(|path| path.is_file())?;
        fs::metadata(index).and_then(|file| file.modified()).ok()
    };
    let stores = entries.filter(|path| path.extension().is_none() && path.is_dir());
    Some(stores.filter(|path| changed(path).is_some()).max_by_key(changed).unwrap_or(folder))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_restart_removes_responses_and_no_other_files() {
        let base = tempfile::tempdir().expect("a directory");
        let mut state = StateDir::lock(base.path()).expect("locked");
        state.open_store("crawl", "a query", false).expect("opened");
        state.close_store(false).expect("closed");
        let hidden = base.path().join(NAME);
        let own = hidden.join(format!("crawl-{:08x}", crc32fast::hash(b"a query")));
        fs::create_dir_all(own.join("mine")).expect("created");
        let others = ["crawl-notes.txt", "crawl-old", "crawl-0000000g", "crawler-12345678"];
        for name in others {
            fs::write(hidden.join(name), "mine").expect("written");
        }
        fs::write(hidden.join("crawl-12345678.aside"), "a file").expect("written");
        fs::create_dir_all(hidden.join("crawl-87654321/index")).expect("created");
        state.open_store("crawl", "a query", true).expect("opened");
        state.close_store(true).expect("closed");
        assert!(own.join("mine").is_dir());
        assert!(others.iter().all(|name| hidden.join(name).exists()));
        assert!(!hidden.join("crawl-12345678.aside").exists() && !hidden.join("crawl-87654321").exists());
        assert_eq!(state.other_queries("crawl", "another query"), [own]);
        state.release();
        assert!(!hidden.join(LOCK).exists());
    }
}
