//! Writes responses and their index records.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::Duration;

use super::files::{INDEX, RESPONSES};
use super::index::{Location, pack};
use crate::error::Error;
use crate::file_system::sync_data;

/// How much time of responses a power cut may lose.
const SYNC_INTERVAL: Duration = Duration::from_secs(1);

/// A fast compression level. Most bytes of a response are signatures of URLs, which no level compresses much. Level 1
/// saves a quarter of the disk space and takes twice the time.
const LEVEL: i32 = -3;

/// The two files, open for appending.
pub(super) struct Log {
    responses: File,
    index: File,
    /// The length of the file of responses.
    end: u64,
    /// Reused, because a new one takes longer than the compression of a response.
    compressor: zstd::bulk::Compressor<'static>,
    /// Ends the thread when it is dropped.
    stop: Sender<()>,
    sync_thread: JoinHandle<()>,
}

impl Log {
    /// `dirty` is set after each write and cleared by each sync. `failed` gets the error of a failed sync.
    pub(super) fn new(
        folder: &Path,
        responses: File,
        index: File,
        dirty: &Arc<AtomicBool>,
        failed: &Arc<OnceLock<io::Error>>,
    ) -> io::Result<Self> {
        let end = responses.metadata()?.len();
        let (stop, stopped) = channel();
        let files =
            [(responses.try_clone()?, folder.join(RESPONSES)), (index.try_clone()?, folder.join(INDEX))];
        let (dirty, failed) = (Arc::clone(dirty), Arc::clone(failed));
        let keep_synced = move || {
            if let Err(error) = sync_until(&files, &dirty, &stopped) {
                failed.set(error).ok();
            }
        };
        let sync_thread = std::thread::Builder::new().name("store".to_owned()).spawn(keep_synced);
        // In one line with its hint, because it becomes the source of another error.
        let sync_thread = sync_thread.map_err(|error| {
            let error = Error::thread_refused(error);
            io::Error::other(format!("{}: {}", error.chain(), error.hint().unwrap_or_default()))
        })?;
        let compressor = zstd::bulk::Compressor::new(LEVEL)?;
        Ok(Self { responses, index, end, compressor, stop, sync_thread })
    }

    /// Appends a response and its index record.
    pub(super) fn append(&mut self, key: &str, response: &[&[u8]]) -> io::Result<()> {
        let plain = [&[key.as_bytes(), b"\n"][..], response].concat().concat();
        let packed = &self.compressor.compress(&plain)?[..];
        let len = u32::try_from(packed.len()).map_err(io::Error::other)?;
        self.responses.write_all(packed)?;
        let location = Location { offset: self.end, len, checksum: crc32fast::hash(packed) };
        self.index.write_all(&pack(key, location))?;
        self.end += u64::from(len);
        Ok(())
    }

    /// Syncs the files a last time.
    pub(super) fn close(self) {
        drop(self.stop);
        self.sync_thread.join().ok();
    }
}

/// Syncs the files in intervals until the log is closed. Writing continues in the meantime.
///
/// An index record may reach the disk before its response. After a power cut its checksum does not match, and the
/// response counts as absent.
fn sync_until(files: &[(File, PathBuf); 2], dirty: &AtomicBool, stopped: &Receiver<()>) -> io::Result<()> {
    loop {
        let is_last = stopped.recv_timeout(SYNC_INTERVAL) != Err(RecvTimeoutError::Timeout);
        if dirty.swap(false, Ordering::AcqRel) {
            files.iter().try_for_each(|(file, path)| sync_data(file, path))?;
        }
        if is_last {
            return Ok(());
        }
    }
}
