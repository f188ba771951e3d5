//! One file, written in a thread of its own and made visible at the end or not at all; and the same without a file.

use std::fs;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use futures::StreamExt;
use tokio::sync::{mpsc, oneshot};

use super::{Encoder, Sink, Written};
use crate::atomic_file::{commit, is_file, output_error, temporary_beside};
use crate::error::{Error, ErrorKind, Result};
use crate::sources::RecordStream;

/// How many records go to the writer thread at once: one hand-over costs microseconds.
const BATCH: usize = 1024;

/// How many batches may wait for the writer.
const PREFETCH: usize = 4;

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
        let failed = |error| Error::new(ErrorKind::Io, "write the records").with_source(error);
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
    let (orders, inbox) = mpsc::channel(PREFETCH);
    let (open, opened) = oneshot::channel();
    let writer = tokio::task::spawn_blocking(move || write(Orders { open, inbox }));
    // A folder that can't be written to should not cost a single request.
    let fed = if opened.await.is_ok() { feed(&mut records, &orders).await } else { Ok(()) };
    drop(orders);
    let written = writer.await.map_err(|panic| {
        Error::new(ErrorKind::Io, "write the table").with_source(format!("the writer stopped: {panic}"))
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
                return Err(Error::new(ErrorKind::Interrupted, "finish writing").with_source(why));
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
