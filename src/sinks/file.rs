//! Sinks that write through an encoder in a thread of their own: to a file that appears at the end, or to any writer.

use std::io::{self, BufWriter, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use futures::{StreamExt, stream};
use tokio::sync::{mpsc, oneshot};

use super::{Encoder, Sink, Written};
use crate::atomic_file::output_error;
use crate::error::{Error, ErrorKind, Result};
use crate::sources::{BLOCK_LEN, RecordStream};
use crate::storage::{Destination, PendingFile, Target};
use crate::sync::lock;

/// Batches that may wait for the writer thread.
const PREFETCH: usize = 4;

/// Writes a file through an encoder.
///
/// Bytes go to a temporary file in the target's folder. The end of the stream syncs it and renames it to the final name.
/// After an error, a drop or a kill, the previous file is still there. Other [destinations](crate::storage) keep the
/// same promise.
pub struct FileSink<F> {
    destination: Target,
    encoder: F,
}

impl<F> FileSink<F> {
    /// Writes to a file at a path, or to another destination. `encoder` is called once with the writer.
    pub fn create(destination: impl Into<Target>, encoder: F) -> Self {
        Self { destination: destination.into(), encoder }
    }
}

/// Writes to any writer through an encoder, such as to standard output. Bytes that were written can't be undone.
pub struct StreamSink<W, F> {
    out: W,
    encoder: F,
}

impl<W, F> StreamSink<W, F> {
    /// Writes to `out`. `encoder` is called once with the writer.
    pub fn new(out: W, encoder: F) -> Self {
        Self { out, encoder }
    }
}

/// A closed channel may mean a cancelled run, so only `Commit` completes the file.
enum Message<T> {
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
        self.drain_blocks(blocks_of(records)).await
    }

    async fn drain_blocks(self: Box<Self>, blocks: RecordStream<Vec<T>>) -> Result<Written> {
        let Self { destination, encoder } = *self;
        run_writer_thread(blocks, move |messages| write_file(&destination, encoder, messages)).await
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
        self.drain_blocks(blocks_of(records)).await
    }

    async fn drain_blocks(self: Box<Self>, blocks: RecordStream<Vec<T>>) -> Result<Written> {
        let Self { out, encoder } = *self;
        let failed = |error| Error::new(ErrorKind::Io, "write the records").with_source(error);
        run_writer_thread(blocks, move |messages| encode(out, encoder, messages, failed)).await
    }
}

/// The messages to the writer thread.
struct Messages<T> {
    /// Signals that the file is open.
    open: oneshot::Sender<()>,
    receiver: mpsc::Receiver<Message<T>>,
}

async fn run_writer_thread<T: Send + 'static>(
    mut blocks: RecordStream<Vec<T>>,
    write: impl FnOnce(Messages<T>) -> Result<Written> + Send + 'static,
) -> Result<Written> {
    let (messages, receiver) = mpsc::channel(PREFETCH);
    let (open, opened) = oneshot::channel();
    let writer = tokio::task::spawn_blocking(move || write(Messages { open, receiver }));
    // If the folder is not writable, no request should be sent.
    let sent = if opened.await.is_ok() { send_blocks(&mut blocks, &messages).await } else { Ok(()) };
    drop(messages);
    let written = writer.await.map_err(|panic| {
        Error::new(ErrorKind::Io, "write the table").with_source(format!("the writer stopped: {panic}"))
    })?;
    sent.and(written)
}

/// The records of a stream in blocks. An error drops the records before it in its block.
fn blocks_of<T: Send + 'static>(records: RecordStream<T>) -> RecordStream<Vec<T>> {
    let blocks = stream::unfold(Some(records), |records| async {
        let mut records = records?;
        let mut block = Vec::with_capacity(BLOCK_LEN);
        while let Some(record) = records.next().await {
            match record {
                Ok(record) => block.push(record),
                Err(error) => return Some((Err(error), None)),
            }
            if block.len() == BLOCK_LEN {
                return Some((Ok(block), Some(records)));
            }
        }
        Some((Ok(block), None))
    });
    blocks.boxed()
}

async fn send_blocks<T>(
    blocks: &mut RecordStream<Vec<T>>,
    messages: &mpsc::Sender<Message<T>>,
) -> Result<()> {
    while let Some(block) = blocks.next().await {
        if messages.send(Message::Encode(block?)).await.is_err() {
            return Ok(()); // The writer has failed; its result has the error.
        }
    }
    messages.send(Message::Commit).await.ok();
    Ok(())
}

fn write_file<T>(
    destination: &dyn Destination,
    encoder: impl FnOnce(Box<dyn Write + Send>) -> io::Result<Box<dyn Encoder<T>>>,
    messages: Messages<T>,
) -> Result<Written> {
    let path = destination.path();
    let failed = |error| output_error("write the table", path, error);
    let file = destination.create().map_err(|error| output_error("create the file", path, error))?;
    let file = Arc::new(Mutex::new(Some(file)));
    let written = encode(SharedFile(Arc::clone(&file)), encoder, messages, failed)?;
    let file = lock(&file).take();
    file.map_or(Ok(()), PendingFile::commit).map_err(failed)?;
    Ok(Written { paths: vec![path.to_owned()], ..written })
}

/// The file of an encoder, until it is committed.
struct SharedFile(Arc<Mutex<Option<Box<dyn PendingFile>>>>);

impl Write for SharedFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut *lock(&self.0) {
            Some(file) => file.write(bytes),
            None => Err(io::Error::other("the file is complete")),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        lock(&self.0).as_mut().map_or(Ok(()), Write::flush)
    }
}

/// Encodes batches until `Commit`. A channel that closes before is an error.
fn encode<T>(
    out: impl Write + Send + 'static,
    encoder: impl FnOnce(Box<dyn Write + Send>) -> io::Result<Box<dyn Encoder<T>>>,
    mut messages: Messages<T>,
    failed: impl Fn(io::Error) -> Error,
) -> Result<Written> {
    let bytes = Arc::new(AtomicU64::new(0));
    let out = Counted { inner: out, bytes: Arc::clone(&bytes) };
    let mut encoder = encoder(Box::new(BufWriter::with_capacity(1 << 16, out))).map_err(&failed)?;
    let mut records = 0;
    messages.open.send(()).ok(); // If the run was cancelled, the channel is closed too.
    loop {
        match messages.receiver.blocking_recv() {
            Some(Message::Encode(batch)) => {
                encoder.encode(&batch).map_err(&failed)?;
                records += encoder.records(&batch);
            }
            Some(Message::Commit) => break,
            None => {
                let why = "the run was cancelled";
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
