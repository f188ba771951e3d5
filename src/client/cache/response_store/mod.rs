//! The response store: responses of an unfinished run on disk.
//!
//! Two files only grow: `answers` has the compressed responses, one after the other, and `index` has their positions. A
//! response counts once its index record is complete, so the next start cuts off whatever a kill leaves at the end. A
//! third file, `question`, says to which query the responses belong. Each response starts with its key, so that a wrong
//! one is never used.

mod files;
mod follow;
mod index;
mod log;
#[cfg(test)]
mod tests;

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::SystemTime;

pub use self::files::STORE_FILES;
use self::files::{INDEX, QUERY, RESPONSES, VERSION, aside, foreign_reason, remove_store, set_aside};
pub(super) use self::follow::Follower;
pub(super) use self::index::read_exact_at;
use self::index::{Index, Location};
use self::log::Log;
use crate::error::{Error, ErrorKind, Result};
use crate::file_system::{or_here, parent, sync_file, sync_folder};
use crate::sync::lock;

/// The largest response with its key, in bytes.
const MAX_RESPONSE_LEN: u64 = 65 << 20;

/// Responses of an unfinished run on disk.
///
/// A client with a store ([`ClientBuilder::response_store`](crate::ClientBuilder::response_store)) looks up each request
/// there before it sends it, and stores each response except pictures. Lookups find the responses that existed when the
/// store was opened; what a run adds is for the next run. Clones share the files. Memory grows by 16 bytes per response
/// that existed: a tile, a sequence, or a batch of up to 50 images.
///
/// ```
/// use streetflow::{Client, client::ResponseStore};
///
/// # #[tokio::main] async fn main() -> streetflow::Result<()> {
/// # let folder = tempfile::tempdir().unwrap();
/// let store = ResponseStore::open(folder.path().join("responses"), "all of Cyprus, 22 November")?;
/// assert_eq!(store.len(), 0);
/// let client = Client::builder().response_store(&store).build()?;
/// // … a flow with the client; if it is killed, the next run requests only the rest …
/// # drop(client);
/// store.clear()?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct ResponseStore(Arc<Inner>);

struct Inner {
    folder: PathBuf,
    index: Index,
    /// A handle for reading. A clone of the handle for writing would share its position.
    responses: File,
    started_at: Option<SystemTime>,
    set_aside: Option<String>,
    /// The number of responses that this run added.
    added: AtomicU64,
    /// `None` after the store was closed.
    log: Mutex<Option<Log>>,
    /// Whether there are writes since the last sync.
    dirty: Arc<AtomicBool>,
    failed: Arc<OnceLock<io::Error>>,
}

impl ResponseStore {
    /// Opens the store in a folder, which is created if necessary. Errors are of kind [`ErrorKind::Io`].
    ///
    /// `query` says what the responses are for. If the folder has responses of another query or version, or is damaged,
    /// it is renamed to `<folder>.aside`, and [`ResponseStore::set_aside`] returns the reason.
    pub fn open(folder: impl Into<PathBuf>, query: &str) -> Result<Self> {
        let folder = or_here(&folder.into()).to_owned();
        Self::open_in(&folder, query).map_err(|error| store_error(&folder, &error))
    }

    fn open_in(folder: &Path, query: &str) -> io::Result<Self> {
        let query = format!("{VERSION}\n{query}\n");
        let foreign = foreign_reason(folder, &query);
        if foreign.is_some() {
            set_aside(folder)?;
        }
        fs::create_dir_all(folder)?;
        let query_file = folder.join(QUERY);
        let is_resumed = fs::read_to_string(&query_file).is_ok_and(|found| found == query);
        let modified_at = fs::metadata(&query_file).and_then(|file| file.modified());
        let started_at = modified_at.ok().filter(|_| is_resumed);
        if !is_resumed {
            let mut file = File::create(&query_file)?;
            file.write_all(query.as_bytes())?;
            sync_file(&file, &query_file)?;
        }
        let open = |name| File::options().create(true).read(true).append(true).open(folder.join(name));
        let (responses, index_file) = (open(RESPONSES)?, open(INDEX)?);
        if !is_resumed {
            // Without this a power cut can lose the names of the new files.
            sync_folder(folder)?;
            sync_folder(parent(folder))?;
        }
        let index = Index::read(File::open(folder.join(INDEX))?)?;
        // Cuts off an incomplete record, which would misalign all later ones. Windows can't cut a file that is open only
        // for appending.
        File::options().write(true).open(folder.join(INDEX))?.set_len(index.len_read)?;
        let (dirty, failed) = (Arc::default(), Arc::default());
        let inner = Inner {
            folder: folder.to_owned(),
            responses: File::open(folder.join(RESPONSES))?,
            index,
            started_at,
            set_aside: foreign,
            added: AtomicU64::new(0),
            log: Mutex::new(Some(Log::new(folder, responses, index_file, &dirty, &failed)?)),
            dirty,
            failed,
        };
        Ok(Self(Arc::new(inner)))
    }

    /// Returns the number of responses that existed when the store was opened.
    pub fn len(&self) -> u64 {
        self.0.index.len() as u64
    }

    /// Whether no responses existed when the store was opened.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns when the unfinished run started, or `None` if there was none.
    pub fn started_at(&self) -> Option<SystemTime> {
        self.0.started_at
    }

    /// Returns why existing files were set aside and where they are now, or `None` if there were none.
    pub fn set_aside(&self) -> Option<&str> {
        self.0.set_aside.as_deref()
    }

    /// Whether the store has no responses, neither existing nor new ones.
    pub fn holds_nothing(&self) -> bool {
        self.is_empty() && self.0.added.load(Ordering::Relaxed) == 0
    }

    /// Whether a response existed under a key.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.0.index.has(key)
    }

    /// Returns the response that existed under a key, unless it is damaged.
    pub(crate) fn get(&self, key: &str) -> Option<Vec<u8>> {
        self.0.index.locations(key).find_map(|location| self.read(location, key))
    }

    fn read(&self, location: Location, key: &str) -> Option<Vec<u8>> {
        let mut packed = vec![0; location.len as usize];
        read_exact_at(&self.0.responses, &mut packed, location.offset).ok()?;
        if crc32fast::hash(&packed) != location.checksum {
            return None;
        }
        let mut plain = Vec::new();
        let decoder = zstd::stream::read::Decoder::new(&packed[..]).ok()?;
        decoder.take(MAX_RESPONSE_LEN).read_to_end(&mut plain).ok()?;
        let prefix = format!("{key}\n");
        plain.starts_with(prefix.as_bytes()).then(|| plain.split_off(prefix.len()))
    }

    /// Stores a response, which may come in parts. When this returns, a kill can't lose it.
    ///
    /// After the first failure all calls fail. It takes about 50 µs for a response about 50 images, and the time of the
    /// compression for a tile.
    pub(crate) fn put(&self, key: &str, response: &[&[u8]]) -> Result<()> {
        let put = || -> io::Result<()> {
            if let Some(error) = self.0.failed.get() {
                return Err(copy_error(error));
            }
            match lock(&self.0.log).as_mut() {
                Some(log) => log.append(key, response)?,
                None => return Ok(()),
            }
            self.0.dirty.store(true, Ordering::Release);
            self.0.added.fetch_add(1, Ordering::Relaxed);
            Ok(())
        };
        put().map_err(|error| {
            let failed = store_error(&self.0.folder, &error);
            self.0.failed.set(error).ok();
            failed
        })
    }

    /// Syncs all responses to disk and closes the files. Later responses are not stored.
    pub fn close(&self) -> Result<()> {
        if let Some(log) = lock(&self.0.log).take() {
            log.close();
        }
        self.0.failed.get().map_or(Ok(()), |error| Err(store_error(&self.0.folder, error)))
    }

    /// Closes the store and deletes all responses, because the run is finished.
    pub fn clear(&self) -> Result<()> {
        self.close().ok(); // What could not be written is no longer needed.
        let folder = &self.0.folder;
        [folder, &aside(folder)]
            .into_iter()
            .try_for_each(|folder| remove_store(folder))
            .map_err(|error| store_error(folder, &error))
    }
}

impl fmt::Debug for ResponseStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseStore").field("folder", &self.0.folder).finish_non_exhaustive()
    }
}

/// Copies an I/O error, which does not implement `Clone`.
fn copy_error(error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), error.to_string())
}

pub(super) fn store_error(folder: &Path, error: &io::Error) -> Error {
    let is_full = matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
    let failed = Error::new(ErrorKind::Io, "store responses in")
        .with_subject(folder.display().to_string())
        .with_source(copy_error(error));
    if is_full {
        failed
            .with_hint("make room on the disk and run the same command again: it continues where it stopped")
    } else {
        failed
    }
}
