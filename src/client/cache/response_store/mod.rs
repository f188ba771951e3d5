//! The answers of an unfinished run, kept on disk: what makes a killed run go on.
//!
//! Two files that only grow: `answers` holds the answers, compressed, one after
//! the other; `index` says where each lies (see the module of that name). An
//! answer counts once its index record is whole, so whatever a kill leaves at
//! the end of either is cut off at the next start. A third file, `question`,
//! says what run the answers belong to. An answer begins with its key, so a
//! wrong one can't be taken for the right one.

mod index;

use std::ffi::OsString;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use self::index::{Index, Place, pack, read_exact_at};
use crate::error::{Error, ErrorKind, Result};
use crate::file_system::{or_here, parent, sync_data, sync_file, sync_folder};

const ANSWERS: &str = "answers";
const INDEX: &str = "index";
const QUESTION: &str = "question";

/// The files of a store, in the order in which they go: without an index there are no answers.
pub const STORE_FILES: [&str; 3] = [INDEX, ANSWERS, QUESTION];

/// How the first line of [`QUESTION`] begins, in every version.
const BEGINS: &str = "streetflow answers ";

/// The first line of [`QUESTION`]; another number means another layout of the files or of the keys.
const VERSION: &str = "streetflow answers 2";

/// What a power cut may cost: the answers of so long.
const SYNC_EVERY: Duration = Duration::from_secs(1);

/// No answer is larger, key and all.
const LONGEST: u64 = 65 << 20;

/// Below the usual levels, where texts stay as they are unless they come again: most of an answer is signatures of
/// URLs, which no level makes much smaller. Level 1 takes a quarter less of the disk and twice the time.
const LEVEL: i32 = -3;

/// Answers on disk, by what was asked.
///
/// Clones share the files. A client that has one ([`crate::ClientBuilder::store`])
/// asks it before the network and gives it every answer. What was there when it
/// was opened can be read; what this run adds is for the next one. Memory grows
/// by 16 bytes an answer that was there: one a tile, a sequence, or a batch of
/// up to 50 images.
///
/// ```
/// use streetflow::{Client, client::ResponseStore};
///
/// # #[tokio::main] async fn main() -> streetflow::Result<()> {
/// # let folder = tempfile::tempdir().unwrap();
/// let store = ResponseStore::open(folder.path().join("answers"), "all of Cyprus, 22 November")?;
/// assert_eq!(store.len(), 0);
/// let client = Client::builder().store(&store).build()?;
/// // … a flow with the client; killed and run again, it asks only for the rest …
/// # drop(client);
/// store.clear()?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct ResponseStore(Arc<Inner>);

struct Inner {
    folder: PathBuf,
    index: Index,
    /// A handle of its own: clones would share the place in the file with the writer.
    answers: File,
    began: Option<SystemTime>,
    set_aside: Option<String>,
    kept: AtomicU64,
    /// `None` after the end.
    log: Mutex<Option<Log>>,
    /// What was written and is perhaps not on the disk itself yet.
    dirty: Arc<AtomicBool>,
    failed: Arc<OnceLock<io::Error>>,
}

/// The files, open for writing at their ends.
struct Log {
    answers: File,
    index: File,
    end: u64,
    /// Used again for every answer: a new one each time would cost more than the compression.
    compressor: zstd::bulk::Compressor<'static>,
    /// Dropped, it ends the thread that syncs.
    ending: Sender<()>,
    syncing: JoinHandle<()>,
}

impl ResponseStore {
    /// Opens the store in a folder, which is made if need be.
    ///
    /// `question` says what the answers are for. Answers to another question, of another version or with a damaged
    /// question are set aside: the folder is renamed to `<folder>.aside`, and [`ResponseStore::set_aside`] says why.
    pub fn open(folder: impl Into<PathBuf>, question: &str) -> Result<Self> {
        let folder = or_here(&folder.into()).to_owned();
        Self::in_folder(&folder, question).map_err(|error| output(&folder, &error))
    }

    fn in_folder(folder: &Path, question: &str) -> io::Result<Self> {
        let question = format!("{VERSION}\n{question}\n");
        let set_aside = foreign(folder, &question);
        if set_aside.is_some() {
            let aside = aside(folder);
            remove_answers(&aside)?;
            fs::rename(folder, &aside).map_err(|error| {
                let why = format!("what is in it can't be moved to `{}`: {error}", aside.display());
                io::Error::new(error.kind(), why)
            })?;
        }
        fs::create_dir_all(folder)?;
        let asked = folder.join(QUESTION);
        let goes_on = fs::read_to_string(&asked).is_ok_and(|found| found == question);
        let began = fs::metadata(&asked).and_then(|asked| asked.modified()).ok().filter(|_| goes_on);
        if !goes_on {
            let mut file = File::create(&asked)?;
            file.write_all(question.as_bytes())?;
            sync_file(&file, &asked)?;
        }
        let open = |name| File::options().create(true).read(true).append(true).open(folder.join(name));
        let (answers, index) = (open(ANSWERS)?, open(INDEX)?);
        if !goes_on {
            // A file whose name is not on the disk is lost with all that is in it.
            sync_folder(folder)?;
            sync_folder(parent(folder))?;
        }
        let found = Index::read(File::open(folder.join(INDEX))?)?;
        // What a kill left of a record would put all later ones out of step. On Windows, a file that is open for
        // appending alone can't be cut.
        File::options().write(true).open(folder.join(INDEX))?.set_len(found.len_read)?;
        let (dirty, failed) = (Arc::default(), Arc::default());
        let inner = Inner {
            folder: folder.to_owned(),
            answers: File::open(folder.join(ANSWERS))?,
            index: found,
            began,
            set_aside,
            kept: AtomicU64::new(0),
            log: Mutex::new(Some(Log::new(folder, answers, index, &dirty, &failed)?)),
            dirty,
            failed,
        };
        Ok(Self(Arc::new(inner)))
    }

    /// How many answers there were when it was opened.
    pub fn len(&self) -> u64 {
        self.0.index.len() as u64
    }

    /// Whether there were none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// When the run began that the answers are from; none if there was no such run.
    pub fn started_at(&self) -> Option<SystemTime> {
        self.0.began
    }

    /// Why answers that were there were not trusted, if there were any, and where they are now.
    pub fn set_aside(&self) -> Option<&str> {
        self.0.set_aside.as_deref()
    }

    /// Whether there is no answer now, neither old nor new.
    pub fn holds_nothing(&self) -> bool {
        self.is_empty() && self.0.kept.load(Ordering::Relaxed) == 0
    }

    /// Whether there was an answer under a key.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.0.index.has(key)
    }

    /// The answer that was there under a key; a damaged one is none.
    pub(crate) fn get(&self, key: &str) -> Option<Vec<u8>> {
        self.0.index.places(key).find_map(|place| self.read(place, key))
    }

    fn read(&self, place: Place, key: &str) -> Option<Vec<u8>> {
        let mut packed = vec![0; place.len as usize];
        read_exact_at(&self.0.answers, &mut packed, place.begin).ok()?;
        if crc32fast::hash(&packed) != place.sum {
            return None;
        }
        let mut plain = Vec::new();
        zstd::stream::read::Decoder::new(&packed[..]).ok()?.take(LONGEST).read_to_end(&mut plain).ok()?;
        let head = format!("{key}\n");
        plain.starts_with(head.as_bytes()).then(|| plain.split_off(head.len()))
    }

    /// Keeps an answer, which may come in parts: when this returns, a kill can't take it away. Once the disk has refused one, the run is over.
    ///
    /// It takes some 50 µs for an answer about 50 images, and the time of its compression for a tile.
    pub(crate) fn put(&self, key: &str, answer: &[&[u8]]) -> Result<()> {
        let put = || -> io::Result<()> {
            if let Some(error) = self.0.failed.get() {
                return Err(same(error));
            }
            match lock(&self.0.log).as_mut() {
                Some(log) => log.append(key, answer)?,
                None => return Ok(()),
            }
            self.0.dirty.store(true, Ordering::Release);
            self.0.kept.fetch_add(1, Ordering::Relaxed);
            Ok(())
        };
        put().map_err(|error| {
            let failed = output(&self.0.folder, &error);
            self.0.failed.set(error).ok();
            failed
        })
    }

    /// Brings everything to the disk itself; nothing is kept any more.
    pub fn close(&self) -> Result<()> {
        if let Some(Log { ending, syncing, .. }) = lock(&self.0.log).take() {
            drop(ending);
            syncing.join().ok();
        }
        self.0.failed.get().map_or(Ok(()), |error| Err(output(&self.0.folder, error)))
    }

    /// Forgets all answers: the run is finished.
    pub fn clear(&self) -> Result<()> {
        self.close().ok(); // What could not be written is not wanted any more.
        let folder = &self.0.folder;
        [folder, &aside(folder)]
            .into_iter()
            .try_for_each(|folder| remove_answers(folder))
            .map_err(|error| output(folder, &error))
    }
}

impl Log {
    fn new(
        folder: &Path,
        answers: File,
        index: File,
        dirty: &Arc<AtomicBool>,
        failed: &Arc<OnceLock<io::Error>>,
    ) -> io::Result<Self> {
        let end = answers.metadata()?.len();
        let (ending, ended) = channel();
        let files = [(answers.try_clone()?, folder.join(ANSWERS)), (index.try_clone()?, folder.join(INDEX))];
        let (dirty, failed) = (Arc::clone(dirty), Arc::clone(failed));
        let keep_synced = move || {
            if let Err(error) = sync(&files, &dirty, &ended) {
                failed.set(error).ok();
            }
        };
        let syncing = std::thread::Builder::new().name("store".to_owned()).spawn(keep_synced);
        // The whole of it in one line: what comes of it is an error of a file.
        let syncing = syncing.map_err(|error| {
            let error = Error::thread_refused(error);
            io::Error::other(format!("{}: {}", error.chain(), error.hint().unwrap_or_default()))
        })?;
        let compressor = zstd::bulk::Compressor::new(LEVEL)?;
        Ok(Self { answers, index, end, compressor, ending, syncing })
    }

    fn append(&mut self, key: &str, answer: &[&[u8]]) -> io::Result<()> {
        let plain = [&[key.as_bytes(), b"\n"][..], answer].concat().concat();
        let packed = &self.compressor.compress(&plain)?[..];
        let len = u32::try_from(packed.len()).map_err(io::Error::other)?;
        self.answers.write_all(packed)?;
        self.index.write_all(&pack(key, Place { begin: self.end, len, sum: crc32fast::hash(packed) }))?;
        self.end += u64::from(len);
        Ok(())
    }
}

/// Brings what was written to the disk itself, now and then and at the end; writing goes on meanwhile.
///
/// An index record may get there before its answer: then the checksum does not fit, and the answer counts as absent.
fn sync(files: &[(File, PathBuf); 2], dirty: &AtomicBool, ended: &Receiver<()>) -> io::Result<()> {
    loop {
        let last = ended.recv_timeout(SYNC_EVERY) != Err(RecvTimeoutError::Timeout);
        if dirty.swap(false, Ordering::AcqRel) {
            files.iter().try_for_each(|(file, path)| sync_data(file, path))?;
        }
        if last {
            return Ok(());
        }
    }
}

impl fmt::Debug for ResponseStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseStore").field("folder", &self.0.folder).finish_non_exhaustive()
    }
}

/// Why what is in a folder is not the answers to this question, if there is anything.
fn foreign(folder: &Path, question: &str) -> Option<String> {
    let found = fs::read_to_string(folder.join(QUESTION));
    if found.as_ref().is_ok_and(|found| found == question) {
        return None;
    }
    let holds = |name| fs::metadata(folder.join(name)).is_ok_and(|file| !file.is_file() || file.len() > 0);
    let why = match found {
        // A run that ended before its first answer.
        Ok(found) if found.starts_with(BEGINS) && !holds(INDEX) => return None,
        Ok(found) if found.starts_with(&format!("{VERSION}\n")) => "they belong to another run",
        Ok(found) if found.starts_with(BEGINS) => "another version wrote them",
        // Files of such names that may be anybody's.
        _ if STORE_FILES.into_iter().any(holds) => "it is not known what they answer",
        _ => return None,
    };
    Some(format!("{why}; they are in `{}` now", aside(folder).display()))
}

fn aside(folder: &Path) -> PathBuf {
    let mut name = folder.file_name().map(OsString::from).unwrap_or_default();
    name.push(".aside");
    folder.with_file_name(name)
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An I/O error can't be cloned.
fn same(error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), error.to_string())
}

fn output(folder: &Path, error: &io::Error) -> Error {
    let full = matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
    let failed = Error::new(ErrorKind::Io, "keep answers in")
        .with_subject(folder.display().to_string())
        .with_source(same(error));
    if full {
        failed.with_hint("make room and run the same command again: it goes on where it stopped")
    } else {
        failed
    }
}

/// Removes answers, and their folder if nothing else is in it; files of the same names that are not ours stay.
fn remove_answers(folder: &Path) -> io::Result<()> {
    let mut begins = String::new();
    let read = File::open(folder.join(QUESTION))
        .and_then(|file| file.take(BEGINS.len() as u64).read_to_string(&mut begins));
    // The question goes last, so what an interrupted removal leaves is still known to be ours.
    if read.is_ok() && begins == BEGINS {
        for name in STORE_FILES {
            match fs::remove_file(folder.join(name)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
    }
    fs::remove_dir(folder).ok();
    Ok(())
}

#[cfg(test)]
mod tests;
