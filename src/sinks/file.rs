//! One file, written in a thread of its own and made visible at the end or not at all; and the same without a file.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use futures::StreamExt;
use tempfile::{NamedTempFile, PersistError};
use tokio::sync::{mpsc, oneshot};

use super::{Encoder, Sink, Written};
use crate::error::{Error, ErrorKind, Result};
use crate::file_system::{Lock, lock, or_here, parent, sync_file, sync_folder, try_lock};
use crate::sources::RecordStream;

/// How many records go to the writer thread at once: one hand-over costs microseconds.
const BATCH: usize = 1024;

/// How many batches may wait for the writer.
const BATCHES_AHEAD: usize = 4;

/// A sink that writes a file through an encoder.
///
/// Bytes go to a temporary file beside the target; the end of the stream makes
/// it durable and gives it the final name in one step. An error, a drop or a
/// kill leaves whatever stood there before.
pub struct FileSink<F> {
    path: PathBuf,
    encoder: F,
}

impl<F> FileSink<F> {
    /// A file at `path`; `encoder` is called once with the place to write to.
    pub fn create(path: impl Into<PathBuf>, encoder: F) -> Self {
        Self { path: path.into(), encoder }
    }
}

/// A sink that encodes to anything that takes bytes, such as standard output: what is written can't be taken back.
pub struct StreamSink<W, F> {
    out: W,
    encoder: F,
}

impl<W, F> StreamSink<W, F> {
    /// Writes to `out`; `encoder` is called once with the place to write to.
    pub fn new(out: W, encoder: F) -> Self {
        Self { out, encoder }
    }
}

/// The end of a channel may be a cancelled run; only this word makes the file visible.
enum Order<T> {
    Encode(Vec<T>),
    Commit,
}

#[async_trait]
impl<T, F> Sink<T> for FileSink<F>
where
    T: Send + 'static,
    F: FnOnce(Box<dyn Write + Send>) -> io::Result<Box<dyn Encoder<T>>> + Send + 'static,
{
    async fn drain(self: Box<Self>, records: RecordStream<T>) -> Result<Written> {
        let Self { path, encoder } = *self;
        in_thread(records, move |orders| write_file(&path, encoder, orders)).await
    }
}

#[async_trait]
impl<T, W, F> Sink<T> for StreamSink<W, F>
where
    T: Send + 'static,
    W: Write + Send + 'static,
    F: FnOnce(Box<dyn Write + Send>) -> io::Result<Box<dyn Encoder<T>>> + Send + 'static,
{
    async fn drain(self: Box<Self>, records: RecordStream<T>) -> Result<Written> {
        let Self { out, encoder } = *self;
        let failed = |error| Error::new(ErrorKind::Output, "write the records").because(error);
        in_thread(records, move |orders| encode(out, encoder, orders, failed)).await
    }
}

/// What the writing thread is given.
struct Orders<T> {
    /// Said when the place to write to is there.
    open: oneshot::Sender<()>,
    inbox: mpsc::Receiver<Order<T>>,
}

async fn in_thread<T: Send + 'static>(
    mut records: RecordStream<T>,
    write: impl FnOnce(Orders<T>) -> Result<Written> + Send + 'static,
) -> Result<Written> {
    let (orders, inbox) = mpsc::channel(BATCHES_AHEAD);
    let (open, opened) = oneshot::channel();
    let writer = tokio::task::spawn_blocking(move || write(Orders { open, inbox }));
    // A folder that can't be written to should not cost a single request.
    let fed = if opened.await.is_ok() { feed(&mut records, &orders).await } else { Ok(()) };
    drop(orders);
    let written = writer.await.map_err(|panic| {
        Error::new(ErrorKind::Output, "write the table").because(format!("the writer stopped: {panic}"))
    })?;
    fed.and(written)
}

async fn feed<T>(records: &mut RecordStream<T>, orders: &mpsc::Sender<Order<T>>) -> Result<()> {
    let mut batch = Vec::with_capacity(BATCH);
    while let Some(record) = records.next().await {
        batch.push(record?);
        if batch.len() == BATCH {
            let full = std::mem::replace(&mut batch, Vec::with_capacity(BATCH));
            if orders.send(Order::Encode(full)).await.is_err() {
                return Ok(()); // The writer has failed and tells why itself.
            }
        }
    }
    for order in [Order::Encode(batch), Order::Commit] {
        if orders.send(order).await.is_err() {
            break;
        }
    }
    Ok(())
}

fn write_file<T>(
    path: &Path,
    encoder: impl FnOnce(Box<dyn Write + Send>) -> io::Result<Box<dyn Encoder<T>>>,
    orders: Orders<T>,
) -> Result<Written> {
    let failed = |error| output_error("write the table", path, error);
    let shown = path;
    let path = &real(path).map_err(failed)?;
    let file = temporary_beside(path).map_err(|error| output_error("create the file", path, error))?;
    let out = file.as_file().try_clone().map_err(failed)?;
    let written = encode(out, encoder, orders, failed)?;
    commit(file, path).map_err(failed)?;
    Ok(Written { paths: vec![shown.to_owned()], ..written })
}

/// Where a link leads, so that it stays one; a device or a pipe must not be replaced by a file.
fn real(path: &Path) -> io::Result<PathBuf> {
    if is_file(path)? { fs::canonicalize(path) } else { Ok(path.to_owned()) }
}

/// Whether a file is there; an error where a folder, a device or a pipe has its name.
pub(crate) fn is_file(path: &Path) -> io::Result<bool> {
    file_len(path).map(|len| len.is_some())
}

/// How long a file is, if it is there; an error where a folder, a device or a pipe has its name.
pub(crate) fn file_len(path: &Path) -> io::Result<Option<u64>> {
    match fs::metadata(path) {
        Ok(found) if found.is_file() => Ok(Some(found.len())),
        Ok(found) if found.is_dir() => Err(io::Error::other("a folder has that name")),
        Ok(_) => Err(io::Error::other("there is something of that name that is no file")),
        Err(_) => Ok(None),
    }
}

/// Encodes what it is ordered to, to the end; anything but the word to commit is an error.
fn encode<T>(
    out: impl Write + Send + 'static,
    encoder: impl FnOnce(Box<dyn Write + Send>) -> io::Result<Box<dyn Encoder<T>>>,
    mut orders: Orders<T>,
    failed: impl Fn(io::Error) -> Error,
) -> Result<Written> {
    let bytes = Arc::new(AtomicU64::new(0));
    let out = Counted { inner: out, bytes: Arc::clone(&bytes) };
    let mut encoder = encoder(Box::new(BufWriter::with_capacity(1 << 16, out))).map_err(&failed)?;
    let mut records = 0;
    orders.open.send(()).ok(); // If the run was abandoned meanwhile, the inbox says so.
    loop {
        match orders.inbox.blocking_recv() {
            Some(Order::Encode(batch)) => {
                encoder.encode(&batch).map_err(&failed)?;
                records += batch.len() as u64;
            }
            Some(Order::Commit) => break,
            None => {
                let why = "the run was abandoned";
                return Err(Error::new(ErrorKind::Interrupted, "finish writing").because(why));
            }
        }
    }
    encoder.finish().map_err(&failed)?;
    let bytes = bytes.load(Ordering::Relaxed);
    Ok(Written { records, bytes, ..Written::default() })
}

struct Counted<W> {
    inner: W,
    bytes: Arc<AtomicU64>,
}

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.bytes.fetch_add(written as u64, Ordering::Relaxed);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

const PARTIAL: &str = ".partial";

/// How many random letters and digits the name of a temporary file has.
const RANDOM_LEN: usize = 6;

/// Opens a temporary file in the target's folder, which is made if need be. It vanishes unless it is committed,
/// and is locked so that [`sweep`] can tell it from one that a killed process left behind.
pub(crate) fn temporary_beside(path: &Path) -> io::Result<NamedTempFile> {
    let folder = parent(path);
    let name = path.file_name().ok_or_else(|| io::Error::other("the path names no file"))?.to_string_lossy();
    fs::create_dir_all(folder)?;
    sweep(folder, |found| found == name).ok(); // A folder that can't be read may still be written to.
    temporary(folder, &name)
}

pub(crate) fn temporary(folder: &Path, name: &str) -> io::Result<NamedTempFile> {
    // Plain permissions: what a person's other programs would give a new file.
    let open = |path: &Path| File::options().write(true).read(true).create_new(true).open(path);
    loop {
        let file = tempfile::Builder::new()
            .prefix(&format!(".{name}."))
            .suffix(PARTIAL)
            .rand_bytes(RANDOM_LEN)
            .make_in(folder, open)?;
        let (file, path) = file.into_parts();
        lock(&file, &path)?;
        // Between the two calls, another process may have swept it away as nobody's.
        if path.exists() {
            return Ok(NamedTempFile::from_parts(file, path));
        }
    }
}

/// The name of the file for which a temporary file stands, if the name is one that [`temporary`] gives.
pub(crate) fn target_of(temporary: &str) -> Option<&str> {
    let (target, random) = temporary.strip_prefix('.')?.strip_suffix(PARTIAL)?.rsplit_once('.')?;
    let is_random = random.len() == RANDOM_LEN && random.bytes().all(|byte| byte.is_ascii_alphanumeric());
    (is_random && !target.is_empty()).then_some(target)
}

/// Removes what killed processes left of files with such names: nobody holds their lock any more.
///
/// Links, folders, and files with any other name are not ours and stay.
pub(crate) fn sweep(folder: &Path, is_ours: impl Fn(&str) -> bool) -> io::Result<()> {
    for entry in fs::read_dir(or_here(folder))? {
        let entry = entry?;
        let name = entry.file_name();
        let ours = name.to_str().and_then(target_of).is_some_and(&is_ours);
        if ours
            && entry.file_type().is_ok_and(|kind| kind.is_file())
            // On NFS a lock needs a handle that may write.
            && let Ok(file) = File::options().write(true).open(entry.path())
            // Held until it is removed: whoever made it a moment ago waits, and finds it gone.
            && matches!(try_lock(&file, &entry.path()), Ok(Lock::Ours))
            && fs::remove_file(entry.path()).is_err()
        {
            return Ok(()); // A folder that can't be changed will be told of by whoever writes to it.
        }
    }
    Ok(())
}

/// Bytes to the disk, then the final name, then the name to the disk.
pub(crate) fn commit(file: NamedTempFile, path: &Path) -> io::Result<()> {
    sync_file(file.as_file(), path)?;
    file.persist(path).map_err(|PersistError { error, .. }| error)?;
    sync_folder(parent(path))
}

/// Whether this process, or the whole system, may open no further file.
fn is_file_limit(error: &io::Error) -> bool {
    #[cfg(unix)]
    {
        use rustix::io::Errno;
        let code = error.raw_os_error();
        [Errno::MFILE, Errno::NFILE].iter().any(|errno| code == Some(errno.raw_os_error()))
    }
    #[cfg(not(unix))]
    {
        // ERROR_TOO_MANY_OPEN_FILES.
        error.raw_os_error() == Some(4)
    }
}

pub(crate) fn output_error(doing: &'static str, path: &Path, error: io::Error) -> Error {
    let hint = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            Some("make room and run the same command again")
        }
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            Some("choose a folder that you may write to")
        }
        _ if is_file_limit(&error) => {
            Some("raise the limit of open files with `ulimit -n 4096`, or say a lower `--concurrency`")
        }
        _ => None,
    };
    let error = Error::new(ErrorKind::Output, doing).subject(path.display().to_string()).because(error);
    match hint {
        Some(hint) => error.hint(hint),
        None => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_temporary_name_is_known_by_its_form_and_others_are_not_ours() {
        let folder = tempfile::tempdir().expect("a folder");
        for name in ["report.json", "7_256.jpg", "a.b.partial", "Ünï"] {
            let file = temporary(folder.path(), name).expect("a file");
            let found = file.path().file_name().and_then(|name| name.to_str()).expect("text").to_owned();
            assert_eq!(target_of(&found), Some(name), "{found}");
        }
        let others = [
            ".thesis.partial",
            "thesis.abcdef.partial",
            ".thesis.abcde.partial",
            ".thesis.abc-ef.partial",
            ".thesis.abcdefg.partial",
            "..abcdef.partial",
            ".abcdef.partial",
            ".thesis.abcdef.part",
        ];
        for name in others {
            assert_eq!(target_of(name), None, "{name}");
        }
    }

    #[test]
    fn a_sweep_takes_leftovers_of_the_names_it_is_given_and_nothing_else() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        let held = temporary(folder.path(), "7_256.jpg").expect("a file");
        for name in [".7_256.jpg.a1B2c3.partial", ".mine.a1B2c3.partial", ".7_256.jpg.partial"] {
            fs::write(path(name), "half").expect("written");
        }
        fs::create_dir(path(".7_256.jpg.d1d1d1.partial")).expect("made");
        #[cfg(unix)]
        std::os::unix::fs::symlink(path(".mine.a1B2c3.partial"), path(".7_256.jpg.e1e1e1.partial"))
            .expect("linked");
        sweep(folder.path(), |name| name == "7_256.jpg").expect("swept");
        assert!(held.path().exists(), "it is locked");
        assert!(!path(".7_256.jpg.a1B2c3.partial").exists());
        for name in [".mine.a1B2c3.partial", ".7_256.jpg.partial", ".7_256.jpg.d1d1d1.partial"] {
            assert!(path(name).exists(), "{name}");
        }
        #[cfg(unix)]
        assert!(path(".7_256.jpg.e1e1e1.partial").is_symlink());
        sweep(&path("not there"), |_| true).expect_err("no such folder");
    }
}
