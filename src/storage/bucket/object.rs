//! Objects that are written in parts, and appear when the upload is completed.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use bytes::Bytes;
use object_store::multipart::PartId;
use object_store::path::Path as Key;
use object_store::{MultipartId, ObjectMeta, ObjectStoreExt, PutMode, PutPayload};
use tokio::runtime::Handle;
use tokio::task::JoinSet;

use super::error::{is_missing_object, is_missing_upload};
use super::{Bucket, retry_damaged};
use crate::storage::{Destination, PendingFile, Target};

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
            begun: 0,
            in_flight: JoinSet::new(),
            sent: BTreeMap::new(),
            len: 0,
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
    upload: Option<MultipartId>,
    /// Parts that were begun.
    begun: usize,
    in_flight: JoinSet<object_store::Result<(usize, PartId)>>,
    sent: BTreeMap<usize, PartId>,
    /// Bytes of all parts that were begun.
    len: u64,
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
                let id = if let Some(id) = &self.upload {
                    id.clone()
                } else {
                    let id = self.bucket.multipart().create_multipart(&self.key).await?;
                    self.upload.insert(id).clone()
                };
                let content = Bytes::from(std::mem::take(&mut self.part));
                self.len += content.len() as u64;
                let (bucket, key, index) = (self.bucket.clone(), self.key.clone(), self.begun);
                self.begun += 1;
                self.in_flight.spawn(async move { bucket.put_part(&key, &id, index, content).await });
            }
            while self.in_flight.len() > max_in_flight {
                match self.in_flight.join_next().await {
                    Some(Ok(sent)) => self.sent.extend([sent?]),
                    Some(Err(panic)) => return Err(panic.into()),
                    None => {}
                }
            }
            Ok(())
        });
        sent.map_err(|error| self.error(error))
    }

    /// Completes the upload. A response that was lost is no error: the object shows that it is complete.
    async fn complete(&mut self, id: &MultipartId) -> object_store::Result<()> {
        let before = self.bucket.store().head(&self.key).await;
        let parts = std::mem::take(&mut self.sent).into_values().collect();
        let completed = self.bucket.multipart().complete_multipart(&self.key, id, parts).await;
        let Err(error) = completed else { return Ok(()) };
        let is_new = |found: &ObjectMeta| match &before {
            Ok(before) => found.e_tag.is_some() && found.e_tag != before.e_tag,
            Err(error) => is_missing_object(error),
        };
        if is_missing_upload(&error)
            && let Ok(found) = self.bucket.store().head(&self.key).await
            && found.size == self.len
            && is_new(&found)
        {
            return Ok(());
        }
        Err(error)
    }
}

impl Bucket {
    /// Sends a part. Sends it again if it was damaged or cut on its way.
    async fn put_part(
        &self,
        key: &Key,
        id: &MultipartId,
        index: usize,
        content: Bytes,
    ) -> object_store::Result<(usize, PartId)> {
        let put = || self.multipart().put_part(key, id, index, PutPayload::from_bytes(content.clone()));
        let part = retry_damaged(put).await?;
        self.count_uploaded(content.len());
        Ok((index, part))
    }
}

impl Write for Pending {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let part_len = self.bucket.inner.part_len;
        let taken = bytes.len().min(part_len - self.part.len());
        self.part.extend_from_slice(&bytes[..taken]);
        if self.part.len() == part_len {
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
        if let Some(id) = self.upload.clone() {
            let completed = runtime.block_on(self.complete(&id));
            completed.map_err(|error| self.error(error))?;
        }
        self.upload = None;
        Ok(())
    }
}

impl Drop for Pending {
    /// Aborts the upload. If this fails, its parts stay invisible; a lifecycle rule of the bucket removes them.
    fn drop(&mut self) {
        let Some(id) = self.upload.take() else { return };
        let (bucket, key) = (self.bucket.clone(), self.key.clone());
        let mut in_flight = std::mem::take(&mut self.in_flight);
        let (done, wait) = mpsc::channel();
        self.runtime.spawn(async move {
            // A part that arrives after the abort would stay.
            in_flight.shutdown().await;
            bucket.multipart().abort_multipart(&key, &id).await.ok();
            done.send(()).ok();
        });
        wait.recv_timeout(ABORT_WAIT).ok();
    }
}
