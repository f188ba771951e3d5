//! Objects that are written in parts, and appear when the upload is completed.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use bytes::Bytes;
use object_store::path::Path as Key;
use object_store::{MultipartUpload, ObjectStoreExt, PutMode, PutPayload};
use tokio::runtime::Handle;
use tokio::task::JoinSet;

use super::Bucket;
use crate::storage::{Destination, PendingFile, Target};

/// Length of a part in bytes. S3 allows 10,000 parts of at least 5 MiB.
const PART_LEN: usize = 16 << 20;

/// Parts in flight, besides the one that is filled.
const MAX_PARTS_IN_FLIGHT: usize = 2;

/// How long a dropped upload waits for its abort.
const ABORT_WAIT: Duration = Duration::from_secs(5);

impl Bucket {
    /// The object `name` as the destination of a file.
    pub fn target(&self, name: &str) -> Target {
        Target::new(BucketFile::new(self.clone(), name))
    }
}

/// An object as the destination of a file.
#[derive(Debug)]
struct BucketFile {
    bucket: Bucket,
    key: Key,
    url: PathBuf,
}

impl BucketFile {
    fn new(bucket: Bucket, name: &str) -> Self {
        let key = bucket.key(name);
        let url = bucket.url_of(&key).into();
        Self { bucket, key, url }
    }
}

impl Destination for BucketFile {
    fn create(&self) -> io::Result<Box<dyn PendingFile>> {
        let runtime = Handle::try_current().map_err(io::Error::other)?;
        self.bucket.check_lock(&self.key).map_err(io::Error::other)?;
        Ok(Box::new(Pending {
            bucket: self.bucket.clone(),
            key: self.key.clone(),
            runtime,
            part: Vec::new(),
            upload: None,
            parts: JoinSet::new(),
        }))
    }

    fn path(&self) -> &Path {
        &self.url
    }
}

/// An upload in progress. Memory holds at most three parts.
struct Pending {
    bucket: Bucket,
    key: Key,
    runtime: Handle,
    /// The part that is filled.
    part: Vec<u8>,
    /// `None` until the first part is full: a shorter object needs only one request.
    upload: Option<Box<dyn MultipartUpload>>,
    parts: JoinSet<object_store::Result<()>>,
}

impl Pending {
    fn error(&self, error: object_store::Error) -> io::Error {
        io::Error::other(self.bucket.error("write", &self.key, error))
    }

    /// Sends the filled part, and waits until at most `max_in_flight` are in flight.
    fn send_part(&mut self, max_in_flight: usize) -> io::Result<()> {
        let runtime = self.runtime.clone();
        let sent = runtime.block_on(async {
            if !self.part.is_empty() {
                let upload = match &mut self.upload {
                    Some(upload) => upload,
                    none => none.insert(self.bucket.store().put_multipart(&self.key).await?),
                };
                let part = upload.put_part(PutPayload::from(Bytes::from(std::mem::take(&mut self.part))));
                self.parts.spawn(part);
            }
            while self.parts.len() > max_in_flight {
                match self.parts.join_next().await {
                    Some(Ok(sent)) => sent?,
                    Some(Err(panic)) => return Err(panic.into()),
                    None => {}
                }
            }
            Ok(())
        });
        sent.map_err(|error| self.error(error))
    }
}

impl Write for Pending {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(PART_LEN - self.part.len());
        self.part.extend_from_slice(&bytes[..taken]);
        if self.part.len() == PART_LEN {
            self.send_part(MAX_PARTS_IN_FLIGHT)?;
        }
        Ok(taken)
    }

    /// Does nothing: parts must not be short, and nothing is visible before the commit.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl PendingFile for Pending {
    fn commit(mut self: Box<Self>) -> io::Result<()> {
        let runtime = self.runtime.clone();
        if self.upload.is_none() {
            self.bucket.check_lock(&self.key).map_err(io::Error::other)?;
            let content = Bytes::from(std::mem::take(&mut self.part));
            let put = self.bucket.put_with(&self.key, content, PutMode::Overwrite);
            return runtime.block_on(put).map(drop).map_err(|error| self.error(error));
        }
        self.send_part(0)?;
        // The lock may have been lost during the upload of days.
        self.bucket.check_lock(&self.key).map_err(io::Error::other)?;
        if let Some(upload) = &mut self.upload {
            let completed = runtime.block_on(upload.complete());
            completed.map_err(|error| self.error(error))?;
        }
        self.upload = None;
        Ok(())
    }
}

impl Drop for Pending {
    /// Aborts the upload. If this fails, its parts stay invisible; a lifecycle rule of the bucket removes them.
    fn drop(&mut self) {
        let Some(mut upload) = self.upload.take() else { return };
        self.parts.abort_all();
        let (done, wait) = mpsc::channel();
        self.runtime.spawn(async move {
            upload.abort().await.ok();
            done.send(()).ok();
        });
        wait.recv_timeout(ABORT_WAIT).ok();
    }
}
