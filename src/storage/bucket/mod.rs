//! Buckets of S3, Google Cloud Storage and Azure, through the crate `object_store`.

mod config;
mod error;
mod lock;
mod object;
mod scheme;

use std::fmt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use bytes::Bytes;
use futures::{Stream, StreamExt, TryStreamExt};
use object_store::multipart::MultipartStore;
use object_store::path::Path as Key;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutPayload, PutResult};
use tokio::io::AsyncWriteExt;

pub use self::config::is_secret_option;
pub use self::lock::{BucketLock, LockOwner};
use crate::error::{Error, ErrorKind, Result};

/// Attempts of a request that the store rejects for its damaged or late content.
const MAX_DAMAGED: u32 = 4;

/// A bucket, or a folder in a bucket.
///
/// Objects appear whole or not at all: small ones by a single request, others by a multipart upload that is completed
/// at the commit. No error contains a credential.
///
/// ```
/// use streetflow::storage::Bucket;
///
/// let options = [("aws_region".to_owned(), "eu-central-1".to_owned())];
/// let bucket = Bucket::open("s3://streets/nicosia", &options)?;
/// assert_eq!(bucket.join("downloaded_images").url(), "s3://streets/nicosia/downloaded_images");
/// assert!(Bucket::is_url("gs://streets") && !Bucket::is_url("outputs"));
/// # Ok::<(), streetflow::Error>(())
/// ```
#[derive(Clone)]
pub struct Bucket {
    inner: Arc<Inner>,
    folder: Key,
}

/// A store with uploads in parts.
trait Store: ObjectStore + MultipartStore {}

impl<S: ObjectStore + MultipartStore> Store for S {}

struct Inner {
    store: Box<dyn Store>,
    /// Scheme and name, such as `s3://streets`.
    root: String,
    /// Values that no message may contain.
    secrets: Vec<String>,
    /// Length of a part of an upload in bytes.
    part_len: usize,
    /// Bytes that the store has confirmed.
    uploaded: AtomicU64,
    /// Why nothing more may be written: another run has the lock.
    revoked: OnceLock<String>,
}

/// An object of a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ObjectInfo {
    /// Name below the folder.
    pub name: String,
    /// Length in bytes.
    pub len: u64,
    /// Time of the last change.
    pub modified: SystemTime,
}

impl fmt::Debug for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The store may show its configuration.
        f.debug_tuple("Bucket").field(&self.url()).finish()
    }
}

impl Bucket {
    /// Whether a text is the URL of a bucket: `s3://`, `gs://` or `az://`.
    pub fn is_url(text: &str) -> bool {
        scheme::scheme(text).is_some()
    }

    /// The URL, without credentials.
    pub fn url(&self) -> String {
        self.url_of(&self.folder)
    }

    /// A folder below this one.
    pub fn join(&self, folder: &str) -> Self {
        let below = folder.split('/').filter(|part| !part.is_empty());
        let folder = below.fold(self.folder.clone(), Key::join);
        Self { inner: Arc::clone(&self.inner), folder }
    }

    /// Writes an object by a single request.
    pub async fn put(&self, name: &str, content: Bytes) -> Result<()> {
        let key = self.key(name);
        self.check_lock(&key)?;
        self.put_with(&key, content, PutMode::Overwrite)
            .await
            .map(drop)
            .map_err(|error| self.error("write", &key, error))
    }

    /// Sends an object. Retries content that was damaged or cut on its way.
    async fn put_with(&self, key: &Key, content: Bytes, mode: PutMode) -> object_store::Result<PutResult> {
        let put = || {
            let payload = PutPayload::from_bytes(content.clone());
            self.store().put_opts(key, payload, mode.clone().into())
        };
        let put = retry_damaged(put).await?;
        self.count_uploaded(content.len());
        Ok(put)
    }

    /// Bytes that were written and that the store has confirmed, in all folders of this bucket.
    pub fn uploaded(&self) -> u64 {
        self.inner.uploaded.load(Ordering::Relaxed)
    }

    fn count_uploaded(&self, len: usize) {
        self.inner.uploaded.fetch_add(len as u64, Ordering::Relaxed);
    }

    /// Reads an object of at most `max_len` bytes; `None` if it does not exist. A larger one is an error.
    pub async fn get(&self, name: &str, max_len: u64) -> Result<Option<Bytes>> {
        let key = self.key(name);
        let found = match self.store().get(&key).await {
            Ok(found) => found,
            Err(error) if error::is_missing_object(&error) => return Ok(None),
            Err(error) => return Err(self.error("read", &key, error)),
        };
        if found.meta.size > max_len {
            return Err(Error::new(ErrorKind::Io, "read")
                .with_subject(self.url_of(&key))
                .with_source(format!("the object has {} bytes, more than {max_len}", found.meta.size)));
        }
        found.bytes().await.map(Some).map_err(|error| self.error("read", &key, error))
    }

    /// Copies an object to a local file, in chunks; `None` if it does not exist.
    ///
    /// The file is written in place: give the path of a temporary file.
    pub async fn download(&self, name: &str, file: &Path) -> Result<Option<ObjectInfo>> {
        let key = self.key(name);
        let found = match self.store().get(&key).await {
            Ok(found) => found,
            Err(error) if error::is_missing_object(&error) => return Ok(None),
            Err(error) => return Err(self.error("read", &key, error)),
        };
        let info = ObjectInfo {
            name: name.to_owned(),
            len: found.meta.size,
            modified: found.meta.last_modified.into(),
        };
        let failed = |error: std::io::Error| crate::atomic_file::output_error("write the file", file, error);
        let mut out = tokio::fs::File::create(file).await.map_err(failed)?;
        let mut chunks = found.into_stream();
        let mut len = 0;
        while let Some(chunk) = chunks.try_next().await.map_err(|error| self.error("read", &key, error))? {
            len += chunk.len() as u64;
            out.write_all(&chunk).await.map_err(failed)?;
        }
        out.flush().await.map_err(failed)?;
        if len != info.len {
            return Err(Error::new(ErrorKind::Io, "read")
                .with_subject(self.url_of(&key))
                .with_source(format!("{len} bytes came, the object has {}", info.len)));
        }
        Ok(Some(info))
    }

    /// Removes an object, if it exists.
    pub async fn delete(&self, name: &str) -> Result<()> {
        let key = self.key(name);
        self.check_lock(&key)?;
        match self.store().delete(&key).await {
            Err(error) if !error::is_missing_object(&error) => Err(self.error("remove", &key, error)),
            _ => Ok(()),
        }
    }

    /// Lists the objects of the folder and of all folders below, a thousand a request.
    pub fn list(&self) -> impl Stream<Item = Result<ObjectInfo>> + Send + 'static {
        let bucket = self.clone();
        let folder = (!self.folder.as_ref().is_empty()).then(|| self.folder.clone());
        self.store().list(folder.as_ref()).map(move |found| {
            let found = found.map_err(|error| bucket.error("list", &bucket.folder, error))?;
            let below = found.location.prefix_match(&bucket.folder);
            let parts = below.map(|parts| parts.map(|part| part.as_ref().to_owned()).collect::<Vec<_>>());
            let name = parts.map_or_else(|| found.location.to_string(), |parts| parts.join("/"));
            Ok(ObjectInfo { name, len: found.size, modified: found.last_modified.into() })
        })
    }

    /// Whether there are objects in the folder or below. False if it can't be listed.
    pub async fn has_objects(&self) -> bool {
        let mut objects = std::pin::pin!(self.list());
        matches!(objects.next().await, Some(Ok(_)))
    }

    /// Lists the objects of the folder, without folders below.
    pub async fn list_folder(&self) -> Result<Vec<ObjectInfo>> {
        let folder = (!self.folder.as_ref().is_empty()).then_some(&self.folder);
        let found = self.store().list_with_delimiter(folder).await;
        let found = found.map_err(|error| self.error("list", &self.folder, error))?;
        let object = |found: object_store::ObjectMeta| {
            let name = found.location.filename().unwrap_or_default().to_owned();
            ObjectInfo { name, len: found.size, modified: found.last_modified.into() }
        };
        Ok(found.objects.into_iter().map(object).collect())
    }

    /// Lists the folders of the folder, without those below. A folder exists if an object is in it.
    pub async fn list_folders(&self) -> Result<Vec<String>> {
        let folder = (!self.folder.as_ref().is_empty()).then_some(&self.folder);
        let found = self.store().list_with_delimiter(folder).await;
        let found = found.map_err(|error| self.error("list", &self.folder, error))?;
        Ok(found.common_prefixes.iter().filter_map(|key| key.filename().map(str::to_owned)).collect())
    }

    /// The length of an object in bytes; `None` if it does not exist.
    pub async fn size(&self, name: &str) -> Result<Option<u64>> {
        let key = self.key(name);
        match self.store().head(&key).await {
            Ok(found) => Ok(Some(found.size)),
            Err(error) if error::is_missing_object(&error) => Ok(None),
            Err(error) => Err(self.error("read", &key, error)),
        }
    }

    fn store(&self) -> &dyn ObjectStore {
        &*self.inner.store
    }

    fn multipart(&self) -> &dyn MultipartStore {
        &*self.inner.store
    }

    fn key(&self, name: &str) -> Key {
        name.split('/').fold(self.folder.clone(), Key::join)
    }

    fn url_of(&self, key: &Key) -> String {
        let root = &self.inner.root;
        if key.as_ref().is_empty() { root.clone() } else { format!("{root}/{key}") }
    }

    /// Fails if another run has taken the lock: its output must not be mixed with that of this run.
    fn check_lock(&self, key: &Key) -> Result<()> {
        match self.inner.revoked.get() {
            None => Ok(()),
            Some(why) => Err(Error::new(ErrorKind::Io, "write")
                .with_subject(self.url_of(key))
                .with_source(why.clone())
                .with_hint("let that run end, then run the same command again")),
        }
    }

    #[expect(clippy::needless_pass_by_value, reason = "used with `map_err`")]
    fn error(&self, doing: &'static str, key: &Key, error: object_store::Error) -> Error {
        error::to_error(doing, &self.url_of(key), &self.inner.secrets, &error)
    }
}

/// Repeats a request while the store says that its content arrived damaged or cut.
async fn retry_damaged<T, F: Future<Output = object_store::Result<T>>>(
    send: impl Fn() -> F,
) -> object_store::Result<T> {
    let mut attempt = 1;
    loop {
        match send().await {
            Err(error) if attempt < MAX_DAMAGED && error::is_damaged(&error) => attempt += 1,
            result => return result,
        }
    }
}

#[cfg(test)]
mod tests;
