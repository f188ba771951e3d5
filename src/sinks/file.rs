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
    match fs::metadata(path) {
        Ok(found) if found.is_file() => Ok(true),
        Ok(found) if found.is_dir() => Err(io::Error::other("a folder has that name")),
        Ok(_) => Err(io::Error::other("there is something of that name that is no file")),
        Err(_) => Ok(false),
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

/// Opens a temporary file in the target's folder, which is made if need be. It vanishes unless it is committed,
/// and is locked so that [`sweep`] can tell it from one that a killed process left behind.
pub(crate) fn temporary_beside(path: &Path) -> io::Result<NamedTempFile> {
    let folder = folder_of(path);
    let name = path.file_name().ok_or_else(|| io::Error::other("the path names no file"))?.to_string_lossy();
    fs::create_dir_all(folder)?;
    sweep(folder, &name);
    temporary(folder, &name)
}

pub(crate) fn temporary(folder: &Path, name: &str) -> io::Result<NamedTempFile> {
    // Plain permissions: what a person's other programs would give a new file.
    let open = |path: &Path| File::options().write(true).read(true).create_new(true).open(path);
    loop {
        let file =
            tempfile::Builder::new().prefix(&format!(".{name}.")).suffix(PARTIAL).make_in(folder, open)?;
        let (file, path) = file.into_parts();
        // Where a file system knows no locks, leftovers are not told apart and stay.
        file.lock().or_else(|error| match error.kind() {
            io::ErrorKind::Unsupported => Ok(()),
            _ => Err(error),
        })?;
        // Between the two calls, another process may have swept it away as nobody's.
        if path.exists() {
            return Ok(NamedTempFile::from_parts(file, path));
        }
    }
}

/// Removes what killed processes left of the files whose names begin so: nobody holds their lock any more.
pub(crate) fn sweep(folder: &Path, name: &str) {
    // With the dot behind it, for the name of one table may be the beginning of another's.
    let begins = if name.is_empty() { ".".to_owned() } else { format!(".{name}.") };
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let found = entry.file_name();
        let found = found.to_string_lossy();
        if found.starts_with(&begins)
            && found.ends_with(PARTIAL)
            && let Ok(file) = File::open(entry.path())
            // Held until it is removed: whoever made it a moment ago waits, and finds it gone.
            && file.try_lock().is_ok()
            && fs::remove_file(entry.path()).is_err()
        {
            return; // A folder that can't be changed will be told of by whoever writes to it.
        }
    }
}

/// Bytes to the disk, then the final name, then the name to the disk.
pub(crate) fn commit(file: NamedTempFile, path: &Path) -> io::Result<()> {
    file.as_file().sync_all()?;
    file.persist(path).map_err(|PersistError { error, .. }| error)?;
    sync_folder(folder_of(path))
}

#[cfg(unix)]
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Elsewhere a folder can't be opened as a file; the rename itself is as durable as it gets.
#[cfg(not(unix))]
#[expect(clippy::unnecessary_wraps, reason = "on other systems it can fail")]
pub(crate) fn sync_folder(_: &Path) -> io::Result<()> {
    Ok(())
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

pub(crate) fn output_error(doing: &'static str, path: &Path, error: io::Error) -> Error {
    let hint = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            Some("make room and run the same command again")
        }
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            Some("choose a folder that you may write to")
        }
        _ => None,
    };
    let error = Error::new(ErrorKind::Output, doing).subject(path.display().to_string()).because(error);
    match hint {
        Some(hint) => error.hint(hint),
        None => error,
    }
}
