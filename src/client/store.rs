//! The answers of an unfinished run, kept on disk: what makes a killed run go on.
//!
//! Two files that only grow: `answers` holds the answers, compressed, one after
//! the other; `index` says in records of a fixed size where each lies. An
//! answer counts once its index record is whole, so whatever a kill leaves at
//! the end of either is cut off at the next start. A third file, `question`,
//! says what run the answers belong to.
//!
//! | Index record | Bytes |
//! |---|--:|
//! | hash of the key (FNV-1a, 128 bits) | 16 |
//! | where the answer begins | 8 |
//! | its compressed length | 4 |
//! | checksum (CRC-32) of the compressed answer | 4 |
//! | checksum of this record | 4 |
//!
//! All numbers are little-endian. The answer itself begins with its key, so a
//! wrong answer can't be taken for the right one.

use std::collections::HashMap;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::error::{Error, ErrorKind, Result};

const ANSWERS: &str = "answers";
const INDEX: &str = "index";
const QUESTION: &str = "question";

/// The first line of [`QUESTION`]; another number means another layout of the files.
const VERSION: &str = "streetflow answers 1";

const RECORD: usize = 36;

/// How many answers may wait for the disk.
const WAITING: usize = 16;

/// What a power cut may cost: the answers of so long.
const SYNC_EVERY: Duration = Duration::from_secs(1);

/// No answer is larger; a length beyond it is damage.
const LONGEST: usize = 64 << 20;

/// The fastest level: most of an answer is signatures of URLs, which no level makes smaller.
const LEVEL: i32 = 1;

/// Answers on disk, by what was asked.
///
/// Clones share the files. A client that has one ([`crate::ClientBuilder::store`])
/// asks it before the network and gives it every answer.
///
/// ```
/// use streetflow::{Client, client::Store};
///
/// # #[tokio::main] async fn main() -> streetflow::Result<()> {
/// # let folder = tempfile::tempdir().unwrap();
/// let store = Store::open(folder.path().join("answers"), "all of Cyprus, 22 November")?;
/// assert_eq!(store.len(), 0);
/// let client = Client::builder().store(&store).build()?;
/// // … a flow with the client; killed and run again, it asks only for the rest …
/// # drop(client);
/// store.clear()?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    folder: PathBuf,
    /// Where each answer lies, by the hash of its key.
    places: Mutex<HashMap<u128, Place>>,
    answers: Mutex<File>,
    found: u64,
    set_aside: Option<String>,
    writer: Mutex<Option<Writer>>,
    failed: Arc<OnceLock<io::Error>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    begin: u64,
    len: u32,
    sum: u32,
}

/// The thread that writes, and the way to it.
struct Writer {
    lane: SyncSender<(u128, Vec<u8>)>,
    thread: JoinHandle<()>,
}

impl Store {
    /// Opens the store in a folder, which is made if need be.
    ///
    /// `question` says what the answers are for. Answers to another question, of another version or damaged are
    /// removed, and [`Store::set_aside`] says why.
    pub fn open(folder: impl Into<PathBuf>, question: &str) -> Result<Self> {
        let folder = folder.into();
        Self::in_folder(&folder, question).map_err(|error| output(&folder, error))
    }

    fn in_folder(folder: &Path, question: &str) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let question = format!("{VERSION}\n{question}\n");
        let set_aside = match fs::read_to_string(folder.join(QUESTION)) {
            Ok(found) if found == question => None,
            Ok(found) if !found.starts_with(&format!("{VERSION}\n")) => Some("another version wrote them"),
            Ok(_) => Some("they belong to another run"),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                folder.join(INDEX).exists().then_some("it is not known what they answer")
            }
            Err(_) => Some("it is not known what they answer"),
        };
        if set_aside.is_some() || !folder.join(QUESTION).exists() {
            remove(folder)?;
            let mut file = File::create(folder.join(QUESTION))?;
            file.write_all(question.as_bytes())?;
            file.sync_all()?;
        }
        let open = |name| File::options().create(true).read(true).append(true).open(folder.join(name));
        let (answers, index) = (open(ANSWERS)?, open(INDEX)?);
        let places = places(&index, answers.metadata()?.len())?;
        // What a kill left of a record would put all later ones out of step.
        index.set_len(places.len_read)?;
        let failed = Arc::new(OnceLock::new());
        let (lane, inbox) = sync_channel(WAITING);
        let inner = Inner {
            folder: folder.to_owned(),
            found: places.all.len() as u64,
            places: Mutex::new(places.all),
            // A handle of its own: clones would share the place in the file with the writer.
            answers: Mutex::new(File::open(folder.join(ANSWERS))?),
            set_aside: set_aside.map(str::to_owned),
            writer: Mutex::default(),
            failed: Arc::clone(&failed),
        };
        let store = Self(Arc::new(inner));
        let weak = Arc::downgrade(&store.0);
        let thread = std::thread::spawn(move || {
            let note = |key, place| {
                if let Some(inner) = weak.upgrade() {
                    lock(&inner.places).insert(key, place);
                }
            };
            if let Err(error) = write(answers, index, &inbox, note) {
                failed.set(error).ok();
            }
        });
        *lock(&store.0.writer) = Some(Writer { lane, thread });
        Ok(store)
    }

    /// How many answers there were when it was opened.
    pub fn len(&self) -> u64 {
        self.0.found
    }

    /// Whether there were none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether there is no answer now, neither old nor new.
    #[cfg(feature = "cli")]
    pub(crate) fn holds_nothing(&self) -> bool {
        self.close().is_ok() && lock(&self.0.places).is_empty()
    }

    /// Why answers that were there were not trusted, if there were any.
    pub fn set_aside(&self) -> Option<&str> {
        self.0.set_aside.as_deref()
    }

    /// The answer that is kept under a key; a damaged one is none.
    pub(crate) fn get(&self, key: &str) -> Option<Vec<u8>> {
        let place = *lock(&self.0.places).get(&hash(key))?;
        let mut packed = vec![0; place.len as usize];
        {
            let mut answers = lock(&self.0.answers);
            answers.seek(SeekFrom::Start(place.begin)).ok()?;
            answers.read_exact(&mut packed).ok()?;
        }
        if crc32fast::hash(&packed) != place.sum {
            return None;
        }
        let mut plain = Vec::new();
        zstd::stream::read::Decoder::new(&packed[..])
            .ok()?
            .take(LONGEST as u64)
            .read_to_end(&mut plain)
            .ok()?;
        let head = format!("{key}\n");
        plain.starts_with(head.as_bytes()).then(|| plain.split_off(head.len()))
    }

    /// Keeps an answer; waits while the disk is slow. Once the disk has refused one, the run is over.
    pub(crate) async fn put(&self, key: &str, answer: &[u8]) -> Result<()> {
        let mut item = (hash(key), [key.as_bytes(), b"\n", answer].concat());
        loop {
            if let Some(error) = self.0.failed.get() {
                return Err(output(&self.0.folder, io::Error::new(error.kind(), error.to_string())));
            }
            let sent = match lock(&self.0.writer).as_ref() {
                Some(writer) => writer.lane.try_send(item),
                None => return Ok(()),
            };
            match sent {
                Ok(()) => return Ok(()),
                Err(TrySendError::Full(back) | TrySendError::Disconnected(back)) => item = back,
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Writes what waits, to the disk itself.
    pub fn close(&self) -> Result<()> {
        if let Some(Writer { lane, thread }) = lock(&self.0.writer).take() {
            drop(lane);
            thread.join().ok();
        }
        match self.0.failed.get() {
            None => Ok(()),
            Some(error) => Err(output(&self.0.folder, io::Error::new(error.kind(), error.to_string()))),
        }
    }

    /// Forgets all answers: the run is finished.
    pub fn clear(&self) -> Result<()> {
        self.close().ok(); // What could not be written is not wanted any more.
        lock(&self.0.places).clear();
        remove(&self.0.folder).map_err(|error| output(&self.0.folder, error))?;
        // Gone with it if nothing else is inside.
        fs::remove_dir(&self.0.folder).ok();
        Ok(())
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("folder", &self.0.folder).finish_non_exhaustive()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn output(folder: &Path, error: io::Error) -> Error {
    let full = matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
    let failed =
        Error::new(ErrorKind::Output, "keep answers in").subject(folder.display().to_string()).because(error);
    if full {
        failed.hint("make room and run the same command again: it goes on where it stopped")
    } else {
        failed
    }
}

fn remove(folder: &Path) -> io::Result<()> {
    for name in [QUESTION, INDEX, ANSWERS] {
        match fs::remove_file(folder.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

struct Places {
    all: HashMap<u128, Place>,
    /// How much of the index is whole records.
    len_read: u64,
}

/// Reads the index up to the first record that is not whole.
fn places(index: &File, answers_len: u64) -> io::Result<Places> {
    let count = usize::try_from(index.metadata()?.len()).unwrap_or(0) / RECORD;
    let mut all = HashMap::with_capacity(count);
    let mut len_read = 0;
    let mut reader = BufReader::with_capacity(1 << 20, index);
    let mut record = [0; RECORD];
    for _ in 0..count {
        reader.read_exact(&mut record)?;
        let Some((key, place)) = unpack(&record) else { break };
        len_read += RECORD as u64;
        // The index may have reached the disk before the answers did.
        if place.begin.saturating_add(u64::from(place.len)) <= answers_len {
            all.insert(key, place);
        }
    }
    Ok(Places { all, len_read })
}

fn pack(key: u128, place: Place) -> [u8; RECORD] {
    let mut record = [0; RECORD];
    record[..16].copy_from_slice(&key.to_le_bytes());
    record[16..24].copy_from_slice(&place.begin.to_le_bytes());
    record[24..28].copy_from_slice(&place.len.to_le_bytes());
    record[28..32].copy_from_slice(&place.sum.to_le_bytes());
    let sum = crc32fast::hash(&record[..32]);
    record[32..].copy_from_slice(&sum.to_le_bytes());
    record
}

fn unpack(record: &[u8; RECORD]) -> Option<(u128, Place)> {
    let (key, rest) = record.split_first_chunk::<16>()?;
    let (begin, rest) = rest.split_first_chunk::<8>()?;
    let (len, rest) = rest.split_first_chunk::<4>()?;
    let (sum, rest) = rest.split_first_chunk::<4>()?;
    let whole = crc32fast::hash(&record[..32]).to_le_bytes() == *rest;
    let place = Place {
        begin: u64::from_le_bytes(*begin),
        len: u32::from_le_bytes(*len),
        sum: u32::from_le_bytes(*sum),
    };
    (whole && place.len as usize <= LONGEST).then(|| (u128::from_le_bytes(*key), place))
}

/// Writes answers until nobody sends any more; what is written is noted only then, so that it can be read.
///
/// The disk's own time for it is spent in a thread beside: meanwhile answers go on being written, so that a kill
/// costs only what is under way.
fn write(
    mut answers: File,
    mut index: File,
    inbox: &Receiver<(u128, Vec<u8>)>,
    note: impl Fn(u128, Place),
) -> io::Result<()> {
    let mut begin = answers.seek(SeekFrom::End(0))?;
    let dirty = Arc::new(AtomicBool::new(false));
    let (end, ended) = sync_channel(1);
    let files = (answers.try_clone()?, index.try_clone()?);
    let syncing = std::thread::spawn({
        let dirty = Arc::clone(&dirty);
        move || sync(&files, &dirty, &ended)
    });
    for (key, plain) in inbox {
        let packed = zstd::bulk::compress(&plain, LEVEL)?;
        let Ok(len) = u32::try_from(packed.len()) else { continue };
        answers.write_all(&packed)?;
        let place = Place { begin, len, sum: crc32fast::hash(&packed) };
        index.write_all(&pack(key, place))?;
        begin += u64::from(len);
        note(key, place);
        dirty.store(true, Ordering::Release);
        if syncing.is_finished() {
            break;
        }
    }
    drop(end);
    syncing.join().unwrap_or_else(|_| Err(io::Error::other("the thread that syncs gave up")))
}

/// Brings what was written to the disk itself, now and then and at the end.
///
/// An index record may get there before its answer: then the checksum does not fit, and the answer counts as absent.
fn sync((answers, index): &(File, File), dirty: &AtomicBool, ended: &Receiver<()>) -> io::Result<()> {
    loop {
        let last = ended.recv_timeout(SYNC_EVERY) != Err(RecvTimeoutError::Timeout);
        if dirty.swap(false, Ordering::AcqRel) {
            answers.sync_data()?;
            index.sync_data()?;
        }
        if last {
            return Ok(());
        }
    }
}

/// FNV-1a: the same in every version of every program.
fn hash(key: &str) -> u128 {
    const BASIS: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
    key.bytes().fold(BASIS, |hash, byte| (hash ^ u128::from(byte)).wrapping_mul(PRIME))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
    }

    fn filled(folder: &Path, count: u32) {
        let store = Store::open(folder, "a question").expect("a store");
        runtime().block_on(async {
            for number in 0..count {
                let answer = format!("answer {number} ").repeat(20);
                store.put(&format!("key {number}"), answer.as_bytes()).await.expect("kept");
            }
        });
        store.close().expect("closed");
    }

    fn right(store: &Store, number: u32) -> bool {
        store.get(&format!("key {number}")) == Some(format!("answer {number} ").repeat(20).into_bytes())
    }

    #[test]
    fn what_was_kept_is_there_after_a_restart_and_gone_after_the_end() {
        let folder = tempfile::tempdir().expect("a folder");
        filled(folder.path(), 100);
        let store = Store::open(folder.path(), "a question").expect("a store");
        assert_eq!(store.len(), 100);
        assert!((0..100).all(|number| right(&store, number)) && store.get("key 100").is_none());
        store.clear().expect("cleared");
        assert!(!folder.path().exists());
    }

    #[test]
    fn cut_at_any_byte_it_has_what_was_whole_and_takes_more() {
        let folder = tempfile::tempdir().expect("a folder");
        filled(folder.path(), 10);
        let whole = |name| fs::read(folder.path().join(name)).expect("a file");
        let (answers, index) = (whole(ANSWERS), whole(INDEX));
        for cut in (0..index.len()).step_by(7) {
            fs::write(folder.path().join(INDEX), &index[..cut]).expect("written");
            fs::write(folder.path().join(ANSWERS), &answers[..answers.len() - cut / 4]).expect("written");
            let store = Store::open(folder.path(), "a question").expect("a store");
            assert!(store.len() <= (cut / RECORD) as u64);
            assert!(
                (0..10).all(|number| right(&store, number) || store.get(&format!("key {number}")).is_none())
            );
            store.close().expect("closed");
            filled(folder.path(), 12);
            let store = Store::open(folder.path(), "a question").expect("a store");
            assert!((0..12).all(|number| right(&store, number)), "cut at {cut}");
        }
    }

    #[test]
    fn another_question_is_not_answered() {
        let folder = tempfile::tempdir().expect("a folder");
        filled(folder.path(), 3);
        let store = Store::open(folder.path(), "another question").expect("a store");
        assert!(store.is_empty() && store.get("key 1").is_none());
        assert!(store.set_aside().is_some_and(|why| why.contains("another run")));
    }
}
